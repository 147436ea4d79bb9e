"""Small values every layer may hold: ids, references and the mark for "not given".

Near the leaves of the import tree: of the package, only `_plain_text` is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Final, Literal, NoReturn, SupportsIndex, TypeAlias, cast

from ._plain_text import clipped, plain

# Characters of an id or a slug that a message shows.
_WORD: Final = 100

# Digits of an id that is a number: 256 bits. Python refuses to read much longer ones.
_LONGEST_NUMBER: Final = 77

GenerationId: TypeAlias = int | str
"""An id as the service gave it: an integer (vocabulary A) or text such as `gen_…` (vocabulary B)."""


def read_id(given: GenerationId) -> GenerationId:
    """Return an id that was written down or typed as the service gave it: a number where it is made of digits."""
    is_number = isinstance(given, str) and given.isascii() and given.isdecimal() and len(given) <= _LONGEST_NUMBER
    return int(given) if is_number else given


class Omit(Enum):
    """The type of `OMIT`, the default of options that are left out of a request."""

    OMIT = "omit"

    def __repr__(self) -> str:
        return "OMIT"


OMIT: Final[Literal[Omit.OMIT]] = Omit.OMIT
"""Leaves an option out of the request. `None` is different: it is sent as `null`."""


class BoundToProcess:
    """Base of what holds connections, locks, waiting tasks or a count: copying or pickling it is one clear error."""

    __slots__ = ()

    _WHY_NOT_COPIED: ClassVar[str] = (
        "A client and what belongs to it (a job, a batch, a listing, a resource) cannot be copied or pickled: it holds connections. "
        "Make a client where it is needed (`client.with_options()` makes a copy that shares connections), and pass on "
        "`job.ref` or an id: `client.job(ref)` finds the job again."
    )

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(self._WHY_NOT_COPIED)


_WORD_FOR_WORD: Final = frozenset({"content", "raw"})


class PlainValues:
    """Base of dataclasses that are results: their fields as values that JSON can say."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values: times as ISO writes them, paths as text; what is not known is null.

        What the service said word for word (`raw`, `content`) is left out.
        """
        names = [
            field.name
            for field in fields(cast("Any", self))
            if field.name not in _WORD_FOR_WORD and field.name[0] != "_"
        ]
        return {name: plain_value(getattr(self, name)) for name in names}


def plain_value(value: Any) -> Any:
    """Return a value as JSON can say it, whatever is in it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(name): plain_value(each) for name, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain_value(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Exception):
        return {"type": type(value).__name__, "message": str(value)}
    return str(value)


class ListenError(OSError):
    """A server cannot listen where it was told to: no fault of a disk, as another `OSError` mostly is."""


@dataclass(frozen=True, slots=True)
class JobRef(PlainValues):
    """What is needed to find a paid generation again; plain values, so it survives pickling.

    Attributes:
        id: The id as the service gave it.
        kind: `video`, `image`, ... or None where it is not known.
        model: The slug that was asked for, or None where it is not known.
    """

    id: GenerationId
    kind: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        # The service's words, which go into messages and logs.
        what = " ".join(_shown(part) for part in (self.kind, self.model) if part)
        name = "job" if self.id == "" else f"job {_shown(self.id)}"
        return f"{name} ({what})" if what else name


def _shown(word: GenerationId) -> str:
    return clipped(plain(str(word)[: 4 * _WORD]), _WORD)
