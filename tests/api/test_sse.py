"""The decoder against the WHATWG's rules, clause by clause, whole and cut at every place."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._api.sse import MAX_EVENT_BYTES, SSEDecoder
from neuralbox._errors import ProtocolError


class ServerSentEvent(NamedTuple):
    """What the decoder tells of one event."""

    payload: bytes
    event: str
    id: str
    retry_ms: int | None

    @property
    def data(self) -> str:
        return self.payload.decode("utf-8", "replace")


def held_bytes(decoder: SSEDecoder[ServerSentEvent]) -> int:
    """How much is kept for the unfinished event."""
    return len(decoder._pending) + decoder._data_bytes


def decode(*chunks: bytes, max_bytes: int = MAX_EVENT_BYTES) -> list[ServerSentEvent]:
    """Decode a stream that comes in these pieces and ends after them."""
    decoder = SSEDecoder(ServerSentEvent, max_bytes=max_bytes)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.end()


def outcome(chunks: list[bytes], max_bytes: int) -> tuple[list[ServerSentEvent], bool]:
    """What a stream comes to: its events, and whether it was refused after them."""
    decoder = SSEDecoder(ServerSentEvent, max_bytes=max_bytes)
    events: list[ServerSentEvent] = []
    try:
        for chunk in chunks:
            events += decoder.feed(chunk)
        events += decoder.end()
    except ProtocolError:
        return events, True
    return events, False


def event(data: str, kind: str = "message", last_id: str = "", retry_ms: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(data.encode(), kind, last_id, retry_ms)


# HTML standard, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream"; one clause each.
CLAUSES = {
    "lines may end with LF": (b"data: a\n\n", [event("a")]),
    "lines may end with CRLF": (b"data: a\r\n\r\n", [event("a")]),
    "lines may end with CR": (b"data: a\r\r", [event("a")]),
    "line ends may be mixed": (b"data: a\r\ndata: b\rdata: c\n\r", [event("a\nb\nc")]),
    "LF then CR are two line ends": (b"data: a\n\rdata: b\n\n", [event("a"), event("b")]),
    "a byte-order mark at the start is dropped": (b"\xef\xbb\xbfdata: a\n\n", [event("a")]),
    "a byte-order mark later is text": (b"data: \xef\xbb\xbfa\n\n", [event("\ufeffa")]),
    "a second byte-order mark makes an unknown field": (
        b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
        [event("b")],
    ),
    "a byte-order mark before a later field makes it unknown": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [event("a")]),
    "several data lines are joined with LF": (b"data: a\ndata: b\n\n", [event("a\nb")]),
    "an empty data line adds an empty line": (b"data: a\ndata\ndata:\ndata: b\n\n", [event("a\n\n\nb")]),
    "a line that starts with a colon is a comment": (b": note\ndata: a\n: note\n\n:\n\n", [event("a")]),
    "a field without a colon has an empty value": (b"data\n\n", [event("")]),
    "two fields without a colon make one empty line": (b"data\ndata\n\n", [event("\n")]),
    "the space after the colon may be missing": (b"data:a\n\n", [event("a")]),
    "only one space after the colon is dropped": (b"data:  a \n\n", [event(" a ")]),
    "a tab after the colon stays": (b"data:\ta\n\n", [event("\ta")]),
    "further colons belong to the value": (b"data: a: b\n\n", [event("a: b")]),
    "a blank before the colon makes the field unknown": (b"data : a\n\n", []),
    "field names know upper and lower case": (b"DATA: a\nData: b\n\n", []),
    "an unknown field is ignored": (b"color: red\ndata: a\n\n", [event("a")]),
    "an event has the type it was given": (b"event: add\ndata: a\n\n", [event("a", "add")]),
    "the last type counts": (b"event: add\nevent: remove\ndata: a\n\n", [event("a", "remove")]),
    "an empty type is the default": (b"event: add\nevent:\ndata: a\n\n", [event("a")]),
    "the type does not outlive its event": (b"event: add\ndata: a\n\ndata: b\n\n", [event("a", "add"), event("b")]),
    "an event without data is not dispatched": (b"event: add\n\n", []),
    "the type of an event without data is forgotten": (b"event: add\n\ndata: a\n\n", [event("a")]),
    "empty data is data": (b"data:\n\n", [event("")]),
    "several empty lines are one end": (b"data: a\n\n\n\n\ndata: b\n\n", [event("a"), event("b")]),
    "empty lines before the first event mean nothing": (b"\n\n\ndata: a\n\n", [event("a")]),
    "an id stays for later events": (
        b"id: 1\ndata: a\n\ndata: b\n\n",
        [event("a", last_id="1"), event("b", last_id="1")],
    ),
    "an id counts without data": (b"id: 1\n\ndata: a\n\n", [event("a", last_id="1")]),
    "an empty id clears it": (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [event("a", last_id="1"), event("b")]),
    "an id with NUL is ignored": (b"id: 1\nid: 2\x003\ndata: a\n\n", [event("a", last_id="1")]),
    "retry takes digits": (b"retry: 1500\ndata: a\n\n", [event("a", retry_ms=1500)]),
    "retry takes leading zeros": (b"retry: 007\ndata: a\n\n", [event("a", retry_ms=7)]),
    "retry with a sign is ignored": (b"retry: +5\nretry: -5\ndata: a\n\n", [event("a")]),
    "retry with a fraction is ignored": (b"retry: 1.5\nretry: 1e3\nretry: 1_000\ndata: a\n\n", [event("a")]),
    "retry without a value is ignored": (b"retry\nretry:\nretry: \ndata: a\n\n", [event("a")]),
    "retry with digits of other scripts is ignored": ("retry: ٣\ndata: a\n\n".encode(), [event("a")]),
    "retry with more digits than a time has is ignored": (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [event("a")]),
    "retry stays for later events": (
        b"retry: 1\ndata: a\n\ndata: b\n\n",
        [event("a", retry_ms=1), event("b", retry_ms=1)],
    ),
    "an event that the stream's end cuts is dropped": (b"data: a\n\ndata: b\n", [event("a")]),
    "a line that the stream's end cuts is dropped": (b"data: a\n\ndata: b", [event("a")]),
    "characters of several bytes are put together": ("data: Привет 🌊\n\n".encode(), [event("Привет 🌊")]),
    "a line separator of Unicode is no line end": (
        "data: a\u2028b\u0085c\x0bd\n\n".encode(),
        [event("a\u2028b\u0085c\x0bd")],
    ),
}


@pytest.mark.parametrize(("stream", "expected"), CLAUSES.values(), ids=CLAUSES.keys())
def test_clause_holds_however_the_stream_is_cut(stream: bytes, expected: list[ServerSentEvent]) -> None:
    assert decode(stream) == expected
    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == expected
    for at in range(min(len(stream), 200)):
        assert decode(stream[:at], stream[at:]) == expected
    # What follows is not swallowed.
    after = decode(stream, b"\n\ndata: after\n\n")
    assert after[-1].data == "after"


def test_bytes_that_are_not_utf8_are_replaced_and_harm_no_neighbour() -> None:
    events = decode(b"data: a\xff\xfeb\xe2\x82\n\ndata: caf\xc3\xa9\n\n")
    assert [one.data for one in events] == ["a\ufffd\ufffdb\ufffd", "café"]


def test_an_event_that_ends_with_a_cr_is_dispatched_before_the_next_piece_comes() -> None:
    decoder = SSEDecoder(ServerSentEvent)
    assert decoder.feed(b"data: a\r\n\r") == [event("a")]
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\ndata: b\r\n\r\n") == [event("b")]


def test_an_unfinished_last_event_is_kept_for_whoever_asks() -> None:
    for stream in (b"data: a\n\ndata: b", b"data: a\n\ndata: b\n", b"data: a\r\n\r\ndata: b\r"):
        decoder = SSEDecoder(ServerSentEvent)
        assert decoder.feed(stream) == [event("a")]
        assert decoder.end(keep_unfinished=True) == [event("b")]
        assert held_bytes(decoder) == 0


# Memory.


@pytest.mark.parametrize("around", [b"", b"data: first\n\n"], ids=["at the start", "later"])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_line_without_an_end_is_refused_and_not_collected(around: bytes, step: int) -> None:
    decoder = SSEDecoder(ServerSentEvent, max_bytes=1_000)
    decoder.feed(around)

    def feed_on() -> None:
        for _ in range(10_000 // step):
            decoder.feed(b"x" * step)
            assert held_bytes(decoder) <= 1_003 + step

    with pytest.raises(ProtocolError, match="one line of more than 1000 bytes"):
        feed_on()
    assert held_bytes(decoder) == 0
    assert isinstance(decoder.error, ProtocolError)
    with pytest.raises(ProtocolError):
        decoder.feed(b"data: a\n\n")
    with pytest.raises(ProtocolError):
        decoder.end()


def test_a_whole_line_or_event_that_is_too_long_is_refused_after_the_events_before_it() -> None:
    first = b"data: a\n\n"
    for long in (b"data: " + b"x" * 100 + b"\n\n", b": " + b"x" * 100 + b"\n", b"data: " + b"x" * 40 + b"\n") * 2:
        decoder = SSEDecoder(ServerSentEvent, max_bytes=99)
        assert decoder.feed(first + long * 3) == [event("a")]
        with pytest.raises(ProtocolError, match="of more than 99 bytes"):
            decoder.feed(b"")


def test_a_line_that_is_too_long_is_refused_before_its_end() -> None:
    for before in (b"data: a\n\n", b"data: a\n"):
        decoder = SSEDecoder(ServerSentEvent, max_bytes=99)
        events = decoder.feed(b"data: b\n\n" + before)
        with pytest.raises(ProtocolError, match="one line of more than 99 bytes"):
            decoder.feed(b"id: 1\ndata: " + b"x" * 100)
        assert events[0] == event("b")
        assert held_bytes(decoder) == 0


def test_data_as_long_as_the_limit_is_taken() -> None:
    assert decode(b"data:" + b"x" * 95 + b"\n\n", max_bytes=100) == [event("x" * 95)]
    assert decode(b"data: " + b"x" * 94 + b"\n\n", max_bytes=100) == [event("x" * 94)]
    assert decode(b"data:x\n" * 50 + b"\n", max_bytes=99)[0].payload == b"\n".join([b"x"] * 50)
    assert outcome([b"data:x\n" * 51 + b"\n"], 99) == ([], True)


def test_endless_comments_keep_nothing() -> None:
    decoder = SSEDecoder(ServerSentEvent, max_bytes=100)
    for _ in range(1_000):
        assert decoder.feed(b": still here\n") == []
        assert held_bytes(decoder) == 0


@pytest.mark.uncovered
def test_a_long_stream_needs_no_more_memory_than_a_short_one() -> None:
    decoder = SSEDecoder(ServerSentEvent)
    piece = b'data: {"type": "content_delta", "delta": "word"}\n\nid: 7\ndata: x\n' * 20
    decoder.feed(piece)
    tracemalloc.start()
    for _ in range(200):
        decoder.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(piece)


# Properties.

LINES = st.sampled_from(
    [
        b"data: a",
        b"data:",
        b"data",
        b"event: e",
        b"id: 1",
        b"id: \0",
        b"retry: 5",
        b": c",
        b"",
        b"",
        b"\xef\xbb\xbf",
        b"\xff",
    ]
)
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, LINE_ENDS).map(b"".join), max_size=12).map(b"".join) | st.binary(max_size=60)


@pytest.mark.uncovered
@given(stream=STREAMS, cuts=st.lists(st.integers(0, 80)), max_bytes=st.sampled_from([4, 9, 1_000]))
def test_any_cutting_gives_the_same_events_and_the_same_end(stream: bytes, cuts: list[int], max_bytes: int) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:stop] for start, stop in pairwise(places)]
    assert outcome(pieces, max_bytes) == outcome([stream], max_bytes)


@pytest.mark.uncovered
@given(chunks=st.lists(STREAMS, max_size=8), max_bytes=st.integers(1, 50))
def test_any_bytes_give_events_or_one_clear_error_and_bounded_memory(chunks: list[bytes], max_bytes: int) -> None:
    decoder = SSEDecoder(ServerSentEvent, max_bytes=max_bytes)
    try:
        for chunk in chunks:
            for one in decoder.feed(chunk):
                assert isinstance(one.data, str)
            assert held_bytes(decoder) <= 2 * max_bytes + 4
        decoder.end()
    except ProtocolError:
        assert held_bytes(decoder) == 0


# Other makers.


def test_an_error_of_the_maker_ends_the_stream_after_the_events_before_it() -> None:
    def make(payload: bytes, *_: object) -> str:
        if payload == b"bad":
            raise ProtocolError("Bad.")
        return payload.decode()

    for pieces in ([b"\n", b"data: a\n\n", b"data: bad\n\n"], [b"\n", b"data: a\n\ndata: bad\n\ndata: b\n\n"]):
        decoder = SSEDecoder(make)
        assert [one for piece in pieces[:2] for one in decoder.feed(piece)] == ["a"]
        with pytest.raises(ProtocolError, match="Bad"):
            decoder.feed(pieces[-1])
        assert decoder.error is not None
