"""Which replies a call ended with, for those who want to see them (`with_raw_response`).

Kept in a context variable, so that nobody passes it through: whoever captures gets the replies of the calls its own
task makes, and those that are none of its business are made `without_capture`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .._transport import Reply


@dataclass(frozen=True, slots=True)
class CapturedReplies:
    """The reply a call ended with.

    Attributes:
        reply: The reply.
        attempts: How many were made, 1 for the first.
    """

    reply: Reply
    attempts: int


_seen: ContextVar[list[CapturedReplies] | None] = ContextVar("neuralbox_seen", default=None)


@contextmanager
def capture_replies() -> Iterator[list[CapturedReplies]]:
    """Collect the replies of the calls made inside the block by this task."""
    seen: list[CapturedReplies] = []
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


@contextmanager
def without_capture() -> Iterator[None]:
    """Keep the replies of the calls made inside the block from whoever is `capture_replies` outside it."""
    token = _seen.set(None)
    try:
        yield
    finally:
        _seen.reset(token)


def capture(reply: Reply, attempts: int) -> None:
    """Keep a reply for whoever captures."""
    seen = _seen.get()
    if seen is not None:
        seen.append(CapturedReplies(reply, attempts))


def capture_instead(reply: Reply) -> None:
    """Keep a reply for whoever captures and has seen none: the call's own never came."""
    seen = _seen.get()
    if seen is not None and not seen:
        seen.append(CapturedReplies(reply, 1))
