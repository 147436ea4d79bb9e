"""Server-Sent Events from bytes, by the rules of the WHATWG (HTML, section 9.2.6 "Interpreting an event stream").

Incremental and pure: `feed` takes pieces cut anywhere - inside a line end, a character, the byte-order mark - and
returns the events that are complete. What is kept between two calls is one unfinished line and the unfinished event,
and neither may grow past `max_bytes`. The usual event is one line `data: ...`, so blocks of that form are split off
whole; everything else goes line by line through the rules of its field. What an event becomes is up to the caller, who
gives the decoder a maker (`_api.stream_events.PieceReader` reads the data at once).

Line ends and field names are ASCII, so cutting comes first and decoding last, event by event: the result is that of
decoding the whole stream, and a JSON reader gets its bytes without a detour through text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, NoReturn, TypeVar

from .._errors import ProtocolError

E = TypeVar("E")

MAX_EVENT_BYTES: Final = 1024 * 1024
"""Longest line, and longest data of one event, that is kept; documented events are a few hundred bytes."""

_LF: Final = 0x0A
_BOM: Final = b"\xef\xbb\xbf"
# Longer numbers are no times, and `int` refuses thousands of digits.
_MOST_DIGITS: Final = 18


class SSEDecoder(Generic[E]):
    """Turn the bytes of one stream into events.

    Args:
        make: Called as `make(payload, event, id, retry_ms)` for each event: the data as bytes, its lines joined by LF; the
            event's type, `message` where the stream gave none; the last event id so far, or ""; the reconnection time
            asked for so far, in milliseconds, or None. May raise `ProtocolError`, which ends the stream.
        max_bytes: A longer line, or longer data of one event, is a `ProtocolError`.

    Attributes:
        error: What the next call will raise, or None; set while the events before it are returned.
    """

    __slots__ = (
        "_after_cr",
        "_data",
        "_data_bytes",
        "_event",
        "_id",
        "_idle",
        "_inside",
        "_make",
        "_max_bytes",
        "_pending",
        "_retry_ms",
        "_started",
        "error",
    )

    def __init__(self, make: Callable[[bytes, str, str, int | None], E], *, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._make = make
        self._max_bytes = max_bytes
        self._started = False  # past the place of a byte-order mark
        self._after_cr = False  # the last piece ended with CR: a LF that follows belongs to it
        self._pending = bytearray()  # the unfinished line, with line ends already plain
        self._inside = False  # complete lines of the unfinished event were read
        self._idle = False  # between two events, with nothing kept
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = ""
        self._id = ""
        self._retry_ms: int | None = None
        self.error: ProtocolError | None = None

    def feed(self, chunk: bytes) -> list[E]:
        """Take the next piece and return the events it completes.

        Raises:
            ProtocolError: A line or an event is longer than `max_bytes`, or the maker's error. The events before it
                are returned first, however the stream was cut; from then on every call raises.
        """
        if self.error is not None:
            raise self.error
        events: list[E] = []
        size = len(chunk)
        # One whole event in a piece of its own, as a server writes them: nothing else needs to be asked.
        alone = (
            self._idle
            and chunk[:6] == b"data: "
            and chunk.find(b"\n") == size - 2
            and chunk[-1] == _LF
            and size <= self._max_bytes
            and b"\r" not in chunk
        )
        try:
            if alone:
                events.append(self._make(chunk[6:-2], "message", self._id, self._retry_ms))
            else:
                self._take(chunk, events)
                self._idle = self._started and not (self._inside or self._pending or self._after_cr)
        except ProtocolError as error:
            self.error = error
            if not events:
                raise
        return events

    def end(self, *, keep_unfinished: bool = False) -> list[E]:
        """Tell that the stream is over.

        Args:
            keep_unfinished: Return an event that lacks its final empty line. The rules drop it, since it may be cut;
                a caller who can tell by the data itself whether it is whole may want it.
        """
        if self.error is not None:
            raise self.error
        events: list[E] = []
        if keep_unfinished:
            self._take(b"\n\n", events)
        self._pending.clear()
        self._reset()
        return events

    # From pieces to lines...

    def _take(self, chunk: bytes, events: list[E]) -> None:
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_plain_line_ends(chunk)
        pending = self._pending
        if b"\n" not in chunk:
            pending += chunk
            if len(pending) > self._max_bytes + (0 if self._started else len(_BOM)):
                self._refuse("line")
            return
        if pending:
            pending += chunk
            chunk = bytes(pending)
            pending.clear()
        if not self._started:
            self._started = True
            chunk = chunk.removeprefix(_BOM)
        if self._inside:
            chunk = self._finish_event(chunk, events)
        # From here the chunk starts at the beginning of an event.
        make = self._make
        *blocks, rest = chunk.split(b"\n\n")
        small = len(chunk) <= self._max_bytes
        for block in blocks:
            if block[:6] == b"data: " and b"\n" not in block and (small or len(block) <= self._max_bytes):
                events.append(make(block[6:], "message", self._id, self._retry_ms))
            else:
                for line in block.split(b"\n"):
                    self._line(line, events)
                self._dispatch(events)
        if rest:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                self._line(line, events)
            self._keep(rest)

    def _with_plain_line_ends(self, chunk: bytes) -> bytes:
        """Turn CRLF and CR into LF. A CR at the end of a piece ends its line at once, a LF that follows is dropped."""
        if not chunk:
            return chunk
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
        self._after_cr = chunk[-1:] == b"\r"
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _finish_event(self, chunk: bytes, events: list[E]) -> bytes:
        """Read lines until the unfinished event ends, and return what follows it."""
        start = 0
        while self._inside:
            stop = chunk.find(b"\n", start)
            if stop < 0:
                self._keep(chunk[start:])
                return b""
            self._line(chunk[start:stop], events)
            start = stop + 1
        return chunk[start:]

    def _keep(self, line: bytes) -> None:
        """Keep the beginning of a line."""
        self._pending += line
        if len(line) > self._max_bytes:
            self._refuse("line")

    # ... from lines to fields, and from fields to events.

    def _line(self, line: bytes, events: list[E]) -> None:
        if not line:
            self._dispatch(events)
            return
        if len(line) > self._max_bytes:
            self._refuse("line")
        self._inside = True
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")  # one space only
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            if self._data_bytes > self._max_bytes + 1:  # the last line's end is not part of the data
                self._refuse("event")
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _MOST_DIGITS:
            self._retry_ms = int(value)
        # A comment has an empty name; it and every name we do not know are ignored.

    def _dispatch(self, events: list[E]) -> None:
        if self._data:
            payload = b"\n".join(self._data)
            events.append(self._make(payload, self._event or "message", self._id, self._retry_ms))
        self._reset()

    def _reset(self) -> None:
        self._inside = False
        self._data.clear()
        self._data_bytes = 0
        self._event = ""

    def _refuse(self, what: str) -> NoReturn:
        self._pending.clear()
        self._reset()
        raise ProtocolError(f"The stream sent one {what} of more than {self._max_bytes} bytes; no event is that long.")
