"""What `batch run` was told beside its requests, kept in the journal so that `batch resume` needs nothing else.

It stands in the journal's own table of facts, under a name of ours: where the files go, and what may be spent. The key
is never there, and neither is the address of the service: a journal that somebody else made must not decide where a key
is sent, nor where files go that its user would not look for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from .._errors import ConfigurationError
from .saving import require_directory

_NAME = "command_line"


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What a batch was told.

    Attributes:
        to: Directory for the files, absolute; None downloads nothing.
        budget: Most tokens to spend, or None.
        not_sent_budget: How many requests the last run did not send, since the budget did not cover them.
        name_by: What the files there are called, or None for what the user's settings say.
        planned: Digest of the file whose requests are all in the journal; empty where none is.
        is_partial: Whether requests of its file are not in the journal, or were not when it was stopped.
        is_elsewhere: Whether `to` comes from a journal and is neither beside it nor below the current directory.
    """

    to: str | None = None
    budget: int | None = None
    not_sent_budget: int = 0
    name_by: str | None = None
    planned: str = field(default="", compare=False)
    is_partial: bool = False
    is_elsewhere: bool = field(default=False, compare=False)

    def changed(self, to: Path | None, name_by: str | None, budget: int | None) -> BatchSettings:
        """Return these settings with what a later run was told.

        Raises:
            ConfigurationError: The files would go where a journal says, and not where its user would look for them; or
                their names are no names.
        """
        from .._files.naming import FileNaming

        if to is not None:
            require_directory(to)
        name_by = self.name_by if name_by is None else name_by
        if name_by is not None:
            FileNaming.of(name_by)
        if to is None and self.is_elsewhere:
            raise ConfigurationError(
                f"The journal says that files go to {self.to}, which is neither beside it nor below this directory. A journal "
                "may be somebody else's: name the directory with --to."
            )
        place = self.to if to is None else os.path.abspath(to)  # noqa: PTH100 - `resolve` follows links
        budget = self.budget if budget is None else budget
        return replace(self, to=place, budget=budget, name_by=name_by, not_sent_budget=0, is_elsewhere=False)

    def require_unicode(self) -> None:
        """Require what a database can hold.

        Raises:
            ConfigurationError: The name of a directory or of files has bytes that are no text.
        """
        for text in filter(None, (self.to, self.name_by)):
            try:
                text.encode()
            except UnicodeEncodeError:
                raise ConfigurationError(f"A journal in a database cannot keep the name {text!r}.") from None


def recall(journal: Path | str) -> BatchSettings:
    """Read what a journal's batch was told; nothing where it was not told by a command line.

    Args:
        journal: What is known to be a journal: a file, or the address of a run.
    """
    from .._journal import facts

    found = facts(journal).get(_NAME)
    if not isinstance(found, dict):  # of a version that knows another way
        return BatchSettings()
    to, budget = found.get("to"), found.get("budget")
    to = to if isinstance(to, str) else None
    not_sent = found.get("not_sent_budget")
    name_by, planned = found.get("name_by"), found.get("planned")
    return BatchSettings(
        to,
        budget if type(budget) is int else None,
        not_sent if type(not_sent) is int else 0,
        name_by if isinstance(name_by, str) else None,
        planned if isinstance(planned, str) else "",
        found.get("partial") is True,
        to is not None and not _is_near(to, journal),
    )


def _is_near(to: str, journal: Path | str) -> bool:
    try:
        place = Path(to).resolve()
        beside = [journal.resolve().parent] if isinstance(journal, Path) else []
        return any(place.is_relative_to(near.resolve()) for near in (*beside, Path()))
    except (OSError, ValueError, RuntimeError):  # no path at all, or links in a circle
        return False


def remember(journal: Path | str, settings: BatchSettings) -> None:
    """Write it into a journal that is open in this process.

    Raises:
        JournalError: It cannot be written.
    """
    from .._journal import remember as remember_fact

    told: dict[str, str | int | None] = {"to": settings.to, "budget": settings.budget}
    if settings.name_by is not None:
        told["name_by"] = settings.name_by
    known = {
        "not_sent_budget": settings.not_sent_budget,
        "planned": settings.planned,
        "partial": settings.is_partial,
    }
    remember_fact(journal, _NAME, told | {name: value for name, value in known.items() if value})
