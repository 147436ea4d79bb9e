"""Where a shared journal is: `postgresql://user@host:5432/db#run`, read without a database library.

The fragment names the run, for which libpq's URLs have no place. A password may stand in the address; it is handed to the
database and to nobody else: what is shown of an address, here and in every error, has none.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final, TypeGuard
from urllib.parse import unquote, urlsplit

from ..._errors import ConfigurationError

_SCHEMES: Final = ("postgresql://", "postgres://")
_LONGEST_RUN: Final = 200
# libpq takes these as parameters of the URL as well as in their places.
_SECRETS: Final = re.compile(r"(?i)((?:^|[?&\s])(?:password|sslpassword)\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]*)")
_HIDDEN: Final = "***"


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Name one run in one database.

    Attributes:
        dsn: What libpq connects by; it may hold a password.
        run: The run's name.
        shown: The address as it may be shown, without any password.
    """

    dsn: str = field(repr=False)
    run: str
    shown: str

    def hide(self, text: str) -> str:
        """Return a text of the database's library without what must not be seen."""
        for secret in _secrets_of(self.dsn):
            text = text.replace(secret, _HIDDEN)
        return _SECRETS.sub(rf"\1{_HIDDEN}", text)


def is_address(journal: str | os.PathLike[str]) -> TypeGuard[str]:
    """Whether a journal is named by an address of a database, and not by a file."""
    return isinstance(journal, str) and journal.lower().startswith(_SCHEMES)


def require_library() -> None:
    """Require what talks to PostgreSQL.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        import_module("psycopg")
    except ImportError as error:
        raise ConfigurationError(
            f"A journal in PostgreSQL needs psycopg ({error}): pip install 'neuralbox[postgres]'"
        ) from error


def read_address(journal: str) -> PostgresAddress:
    """Read the address of a run.

    Raises:
        ConfigurationError: It names no run, or one that cannot be a name.
    """
    dsn, _, fragment = journal.partition("#")
    run, shown = unquote(fragment), _shown(dsn)
    if not run:
        raise ConfigurationError(
            f"The journal {shown} names no run: add one behind a `#`, as in {shown}#summer-2026. Runs of one database share an "
            "account's knowledge; each has requests of its own."
        )
    if len(run) > _LONGEST_RUN or not run.isprintable():
        raise ConfigurationError(
            f"A run's name has up to {_LONGEST_RUN} printable characters; {run[:40]!r} does not do."
        )
    return PostgresAddress(dsn, run, f"{shown}#{fragment}")


def _shown(dsn: str) -> str:
    """Return a DSN without passwords, wherever libpq takes one."""
    scheme, _, rest = dsn.partition("://")
    place = re.match(r"[^/?]*", rest)
    assert place is not None
    user, at, host = place[0].rpartition("@")
    rest = f"{user.partition(':')[0]}{at}{host}{rest[place.end() :]}"
    return _SECRETS.sub(rf"\1{_HIDDEN}", f"{scheme}://{rest}")


def _secrets_of(dsn: str) -> list[str]:
    user = urlsplit(dsn).netloc.rpartition("@")[0]
    raw = [user.partition(":")[2], *(found[1] for found in _SECRETS.findall(dsn))]
    both = {form for secret in raw for form in (secret, unquote(secret)) if form}
    return sorted(both, key=len, reverse=True)
