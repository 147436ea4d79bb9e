"""What the events of a text stream say, in both dialects and beyond them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._api.stream_events import (
    ContentDelta,
    GenerationEnd,
    GenerationStart,
    PieceReader,
    StreamDone,
    StreamEvent,
    StreamFailure,
    UnknownEvent,
)
from neuralbox._errors import ProtocolError

# The two dialects' events as `docs/service/neuralbox.md` 4.2 has them, and what they mean.
DOCUMENTED: dict[str, tuple[dict[str, Any], StreamEvent]] = {
    "S1 start": (
        {"type": "generation_start", "id": "gen_01k2q7txt900", "model": "gpt-5"},
        GenerationStart("gen_01k2q7txt900", "gpt-5"),
    ),
    "S1 delta": ({"type": "content_delta", "delta": " morning"}, ContentDelta(" morning")),
    "S1 end": (
        {"type": "generation_end", "id": "gen_01k2q7txt900", "tokens_used": 2, "balance_remaining": 118},
        GenerationEnd("gen_01k2q7txt900", 2, 118),
    ),
    "S2 start": ({"type": "generation_start", "id": 20701, "model": "gpt-5"}, GenerationStart(20701, "gpt-5")),
    "S2 end": ({"type": "generation_end", "id": 20701, "tokens_spent": 2}, GenerationEnd(20701, 2)),
    "error": ({"type": "error", "message": "upstream provider failed"}, StreamFailure("upstream provider failed")),
}
# What the documents do not show and a service may send all the same.
BEYOND: dict[str, tuple[object, StreamEvent]] = {
    "a start without an id": ({"type": "generation_start"}, GenerationStart(None)),
    "a start by the other names": (
        {"type": "generation_start", "generation_id": 7, "model_slug": "gpt-5"},
        GenerationStart(7, "gpt-5"),
    ),
    "an end that says nothing": ({"type": "generation_end"}, GenerationEnd(None)),
    "0 is a price and a balance": (
        {"type": "generation_end", "id": 1, "tokens_spent": 0, "balance_remaining": 0},
        GenerationEnd(1, 0, 0),
    ),
    "an empty delta": ({"type": "content_delta", "delta": ""}, ContentDelta("")),
    "a delta that is no text": ({"type": "content_delta", "delta": None}, UnknownEvent("content_delta")),
    "an error without a message": ({"type": "error"}, StreamFailure("")),
    "an error by the name of other answers": ({"type": "error", "error": "no luck"}, StreamFailure("no luck")),
    "an error with an object": ({"type": "error", "error": {"message": "no luck"}}, StreamFailure("no luck")),
    "a refusal as an event": ({"error": "provider_error", "message": "It is down"}, StreamFailure("It is down")),
    "a type of tomorrow": ({"type": "reasoning_delta", "delta": "hm"}, UnknownEvent("reasoning_delta")),
    "no type": ({"delta": "x"}, UnknownEvent("")),
    "a type that is no text": ({"type": ["x"]}, UnknownEvent("")),
    "a number": (7, UnknownEvent("")),
    "a list": ([1, 2], UnknownEvent("")),
    "null": (None, UnknownEvent("")),
}


def read_event(payload: bytes) -> StreamEvent:
    """Read the data of one event, a piece of the text as an event too."""
    piece = PieceReader().read(payload)
    return ContentDelta(piece) if isinstance(piece, str) else piece


@pytest.mark.parametrize(("record", "expected"), [*DOCUMENTED.values(), *BEYOND.values()], ids=[*DOCUMENTED, *BEYOND])
def test_event_is_read(record: object, expected: StreamEvent) -> None:
    event = read_event(json.dumps(record).encode())
    assert event == expected
    if not isinstance(event, ContentDelta | StreamDone):
        assert event.raw == record


def test_a_delta_is_its_bare_text_to_those_who_want_no_more() -> None:
    assert PieceReader().read(b'{"type":"content_delta","delta":" a"}', "message", "", None) == " a"
    assert PieceReader().read(b"[DONE]") == StreamDone()


@pytest.mark.parametrize("payload", [b"[DONE]", b" [DONE] ", b"[DONE]\n"])
def test_the_end_mark_is_read(payload: bytes) -> None:
    assert read_event(payload) == StreamDone()


@pytest.mark.parametrize("payload", [b"", b"  ", b"\n"])
def test_empty_data_is_no_error(payload: bytes) -> None:
    assert read_event(payload) == UnknownEvent("")


@pytest.mark.parametrize(
    "payload",
    [b'{"type":"content_delta","delta":"ha', b"<html>", b"[DONE", b"{}{}", b"DONE", b'{"a":' * 100_000, b"9" * 5_000],
    ids=["cut", "a page", "a cut mark", "two", "a word", "too deep", "a number too long"],
)
def test_what_is_not_json_is_one_clear_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="not JSON") as caught:
        read_event(payload)
    assert len(caught.value.body) <= 300


def test_an_error_shows_no_credential() -> None:
    with pytest.raises(ProtocolError) as caught:
        read_event(b'{"key": "nb_live_abcdefgh", ')
    assert "abcdefgh" not in caught.value.body


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert read_event(b'{"type":"content_delta","delta":"caf\xe9!"}') == ContentDelta("caf\ufffd!")


def test_half_of_a_character_becomes_a_replacement_character() -> None:
    event = read_event(rb'{"type":"content_delta","delta":"\ud83d","x":[1,true]}')
    assert event == ContentDelta("")  # the other half may come with the next
    other = read_event(rb'{"type":"tomorrow","\ud83d":["\ud83d"]}')
    assert isinstance(other, UnknownEvent)
    assert other.raw == {"type": "tomorrow", "\ufffd": ["\ufffd"]}
    assert read_event(rb'{"type":"content_delta","delta":"\ud83c\udf0a"}') == ContentDelta("🌊")


@pytest.mark.uncovered
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: json.dumps(text).encode()))
def test_any_payload_is_an_event_or_a_protocol_error(payload: bytes) -> None:
    try:
        event = read_event(payload)
    except ProtocolError:
        return
    assert isinstance(event, StreamEvent)


@given(st.text())
def test_any_text_comes_through_a_delta_unchanged(text: str) -> None:
    for ascii_only in (True, False):
        record = {"type": "content_delta", "delta": text}
        assert read_event(json.dumps(record, ensure_ascii=ascii_only).encode()) == ContentDelta(text)


def joined(*deltas: str) -> tuple[list[object], str]:
    """Read pieces of a text, given as JSON spells them, by one reader."""
    reader = PieceReader()
    payloads = [b'{"type":"content_delta","delta":"' + delta.encode() + b'"}' for delta in deltas]
    return [reader.read(payload) for payload in payloads], reader.half


@pytest.mark.parametrize(
    ("deltas", "pieces", "half"),
    [
        ((r"Hi \ud83d", r"\ude00 there"), ["Hi ", "\U0001f600 there"], ""),
        ((r"\ud83d", "", r"\ude00"), ["", "", "\U0001f600"], ""),
        ((r"\ud83d", r"\ude00\ud83d", r"\ude01"), ["", "\U0001f600", "\U0001f601"], ""),
        ((r"\ud83d", "there"), ["", "\ufffdthere"], ""),
        ((r"\ud83d", r"\ud83d", r"\ude00"), ["", "\ufffd", "\U0001f600"], ""),
        ((r"\ude00 alone", "on"), ["\ufffd alone", "on"], ""),
        ((r"a \ud83d b",), ["a \ufffd b"], ""),
        ((r"Hi \ud83d",), ["Hi "], "\ud83d"),
    ],
)
def test_halves_of_a_character_in_two_pieces_are_joined(deltas: tuple[str, ...], pieces: list[str], half: str) -> None:
    assert joined(*deltas) == (pieces, half)


def test_half_of_a_character_behind_a_byte_order_mark_is_replaced() -> None:
    assert read_event(b"\xef\xbb\xbf" + rb'{"type":"content_delta","delta":"a \ud83d"}') == ContentDelta("a \ufffd")
