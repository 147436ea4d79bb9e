"""What PostgreSQL and its library complain about, said as `JournalError`: what happened where, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import psycopg

from ..._errors import JournalError
from ..._types import JobRef
from .address import PostgresAddress

_NOTHING_LOST: Final = "Nothing that was paid for is lost: continue with the same journal."

FOREIGN: Final = (psycopg.Error,)
"""What the library raises."""

# SQLSTATE, or its class of two characters -> (reason, what happened, what to do).
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_READS_ONLY: Final = (
    "unwritable",
    "The server only answers reads: it is a standby, or was set so",
    "Use the address of the primary; `?target_session_attrs=read-write` finds it among several hosts.",
)
_UNREACHED: Final = (
    "unwritable",
    "The database cannot be reached",
    f"Check the address, the network and whether the server runs. {_NOTHING_LOST}",
)
_TABLE: Final[Mapping[str, tuple[str, str, str]]] = {
    "08": _UNREACHED,  # a pooler says so of a server behind it
    "28": ("unwritable", "The server refused the user or the password", "Check them, and `pg_hba.conf` of the server."),
    "3D000": ("missing", "There is no such database", "Make it (`createdb`), or correct the address."),
    "42501": (
        "unwritable",
        "The role may not do this",
        (
            "Let it make the schema once: `GRANT CREATE ON DATABASE ... TO ...`; or, where another role has made it, "
            "`GRANT USAGE ON SCHEMA neuralbox`, and SELECT, INSERT, UPDATE and DELETE on all of its tables."
        ),
    ),
    "25006": _READS_ONLY,
    "55000": _READS_ONLY,
    "55P03": (
        "unwritable",
        "Something holds what it needs locked for a long time",
        f"Look for it in `pg_locks`: work by hand that was not ended, say. {_NOTHING_LOST}",
    ),
    "57014": (
        "unwritable",
        "The server did not bring a statement to its end: it took longer than `statement_timeout` lets it, or was cancelled",
        f"Let the role take longer: `ALTER ROLE ... SET statement_timeout = '60s'`. {_NOTHING_LOST}",
    ),
    "53100": ("full", "The disk of the server is full", f"Make room. {_NOTHING_LOST}"),
    "53300": (
        "unwritable",
        "The server takes no more connections",
        (
            "A worker holds two: raise `max_connections`, and what role, database or pooler allow, or put a pooler "
            "(PgBouncer, transaction pooling) between."
        ),
    ),
    "53": ("full", "The server has run out of something", f"Make room. {_NOTHING_LOST}"),
    "58": ("unwritable", "The server reported an error of its disk or system", f"Look after it. {_NOTHING_LOST}"),
    "XX": ("corrupt", "The server found its own data damaged", "Look after it before anything else is written there."),
    "57P": ("unwritable", "The server is stopping or starting", f"Start it. {_NOTHING_LOST}"),
    "42P01": ("corrupt", "A table is missing", "The schema `neuralbox` was changed by hand; restore it."),
    "42703": ("corrupt", "A column is missing", "The schema `neuralbox` was changed by hand; restore it."),
}
_TOOK_TOO_LONG: Final = ("25P03", "25P04")
"""The server has ended the connection of a client that stood still in the middle of a transaction."""
_ELSE: Final = ("unwritable", "It cannot be used", "See the cause below.")


def is_connection_lost(error: BaseException) -> bool:
    """Whether an error says that the connection is gone, or the server not there yet; another try may work."""
    if isinstance(error, psycopg.Error) and error.sqlstate in _TOOK_TOO_LONG:
        return True
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    state = error.sqlstate
    return state is None or state[:3] == "57P" or state[:2] == "08"


def is_refusal(error: BaseException) -> bool:
    """Whether an error is a server's word, while a connection was made, that it takes none."""
    return _refused_at_the_door(str(error)) is not None


def is_conflict(error: BaseException) -> bool:
    """Whether an error says that two transactions were in each other's way; the same again works."""
    return isinstance(error, psycopg.Error) and error.sqlstate in ("40001", "40P01", "55P03")


def unreadable(error: psycopg.Error, address: PostgresAddress) -> JournalError:
    """Say that an address is none."""
    said = " ".join(address.hide(str(error)).split())
    return JournalError(
        f"The address {address.shown} cannot be read ({said}). It is written postgresql://USER@HOST:PORT/DATABASE#RUN; a `#`, "
        "`@`, `/` or `%` in a user or password is written as %23, %40, %2F or %25.",
        reason="unwritable",
        path=address.shown,
    )


def explain(
    error: Exception,
    address: PostgresAddress,
    *,
    key: str | None = None,
    job: JobRef | None = None,
    unwritten: Mapping[str, JobRef] | None = None,
) -> JournalError:
    """Build the `JournalError` for what the library raised; its words are shown without any password.

    Args:
        error: What it raised; becomes the cause where it says nothing secret.
        address: The journal.
        key: The request concerned.
        job: The paid generation whose id could not be written.
        unwritten: All of them, by key.
    """
    state = getattr(error, "sqlstate", None) or ""
    if not state:
        reason, happened, advice = _refused_at_the_door(str(error)) or (
            _UNREACHED if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else _ELSE
        )
    else:
        reason, happened, advice = _TABLE.get(state) or _TABLE.get(state[:3]) or _TABLE.get(state[:2]) or _ELSE
    said = " ".join(address.hide(str(error)).split())
    message = f"The journal {address.shown} failed. {happened} ({said}). {advice}"
    if job is not None:
        message += f" The {job} of {key!r} is paid for and not in the journal yet."
    found = JournalError(message, reason=reason, path=address.shown, key=key, job=job, unwritten=unwritten)
    if address.hide(str(error)) == str(error):
        found.__cause__ = error
    return found


def _refused_at_the_door(said: str) -> tuple[str, str, str] | None:
    """Read what a server said while a connection was made: libpq passes on the words and not the SQLSTATE."""
    if "authentication failed" in said or "no pg_hba.conf entry" in said or "no password supplied" in said:
        return _TABLE["28"]
    if "does not exist" in said:
        return _TABLE["3D000"] if "database" in said else _TABLE["28"]
    if re.search("too many (clients|connections)|remaining connection slots|no more connections allowed", said):
        return _TABLE["53300"]
    if "permission denied" in said:
        return _TABLE["42501"]
    return None
