"""The moment at which a request leaves: what `on_sent` hangs on. Only requests that ask for it carry a trace.

`on_sent` may raise, and then nothing leaves. Where an engine does not tell the moment it is too late for that: then its
method `note` is called, if it has one, which says only that the request has left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class SentTrace:
    """A `trace` extension (of httpcore's kind) that calls `on_sent` just before the first byte of the request.

    Attributes:
        seen: The engine traces at all; a mock does not.
        sent: `on_sent` was called.
    """

    __slots__ = ("_on_sent", "seen", "sent")

    def __init__(self, on_sent: Callable[[], None]) -> None:
        self._on_sent = on_sent
        self.seen = False
        self.sent = False

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self.seen = True
        # A tunnel's CONNECT is a request too, but not ours.
        if event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT" and not self.sent:
            self._on_sent()  # may raise, so that nothing leaves
            self.sent = True

    def note(self) -> None:
        """Say afterwards that it has left, or may have, where the engine did not tell the moment."""
        if not self.sent:
            self.sent = True
            getattr(self._on_sent, "note", self._on_sent)()

    @property
    def unsent(self) -> bool:
        """Whether it is certain that nothing has left."""
        return self.seen and not self.sent
