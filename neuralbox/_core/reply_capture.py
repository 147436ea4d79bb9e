"""Which replies a call ended with, for those who want to see them (`with_raw_response`).

Kept in a context variable, so that nobody passes it through: whoever watches gets the replies of the calls its own
task makes, and those that are none of its business are made unwatched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .._transport import Reply


@dataclass(frozen=True, slots=True)
class Seen:
    """The reply a call ended with.

    Attributes:
        reply: The reply.
        attempts: How many were made, 1 for the first.
    """

    reply: Reply
    attempts: int


_seen: ContextVar[list[Seen] | None] = ContextVar("neuralbox_seen", default=None)


@contextmanager
def watching() -> Iterator[list[Seen]]:
    """Collect the replies of the calls made inside the block by this task."""
    seen: list[Seen] = []
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


@contextmanager
def unwatched() -> Iterator[None]:
    """Keep the replies of the calls made inside the block from whoever is `watching` outside it."""
    token = _seen.set(None)
    try:
        yield
    finally:
        _seen.reset(token)


def note(reply: Reply, attempts: int) -> None:
    """Hand a reply to whoever watches."""
    seen = _seen.get()
    if seen is not None:
        seen.append(Seen(reply, attempts))


def note_instead(reply: Reply) -> None:
    """Hand a reply to whoever watches and has seen none: the call's own never came."""
    seen = _seen.get()
    if seen is not None and not seen:
        seen.append(Seen(reply, 1))
