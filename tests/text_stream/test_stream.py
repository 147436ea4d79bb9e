"""A text while it is written: what a caller gets, and what becomes of it when the connection breaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._api.request import Request, RetrySafety
from neuralbox._api.stream_events import (
    ContentDelta,
    GenerationEnd,
    GenerationStart,
    StreamDone,
    StreamEvent,
    UnknownEvent,
)
from neuralbox._config import CallOptions
from neuralbox._errors import (
    APITimeoutError,
    ConfigurationError,
    ConnectionLostError,
    GenerationFailedError,
    GenerationTimeoutError,
    InsufficientTokensError,
    NeuralBoxError,
    NotFoundError,
    ProtocolError,
    StreamInterruptedError,
    SubmissionUnknownError,
)
from neuralbox._text_stream.stream import TextStream
from neuralbox._types import JobRef
from tests.helpers import STALL, Bench, Play, Streamed, cancelled_at_a_stall, make_core, refusal, reply

pytestmark = pytest.mark.anyio

ID = "gen_01k2q7txt900"
REF = JobRef(ID, "text", "gpt-5")
LOST = ConnectionLostError("The connection was lost.")


def line(record: object) -> bytes:
    return b"data: " + (record if isinstance(record, bytes) else json.dumps(record).encode()) + b"\n\n"


def delta(text: str) -> bytes:
    return line({"type": "content_delta", "delta": text})


START = line({"type": "generation_start", "id": ID, "model": "gpt-5"})
END = line({"type": "generation_end", "id": ID, "tokens_used": 2, "balance_remaining": 118})
DONE = line(b"[DONE]")
COMPLETED = {"id": ID, "status": "completed", "content": "Good morning!", "tokens_used": 2}


def stream(*pieces: Any, status_code: int = 200) -> Streamed:
    return Streamed(pieces, status_code)


def bench(*script: Any, **options: Any) -> Bench:
    # What is looked for in the history when no id had arrived stands in test_stream_lost.
    options.setdefault("submission", "raise")
    return make_core(script, **options)


def text_stream(core: Bench, **call: Any) -> TextStream:
    body = {"model": "gpt-5", "prompt": "Greet me", "stream": True}
    request = Request("POST", "/generate", RetrySafety.PAID, body=body, slow=True, accept="text/event-stream")
    return TextStream(core.core, request, CallOptions(**call))


async def read_all(core: Bench) -> tuple[list[str], TextStream]:
    async with text_stream(core) as open_stream:
        return [piece async for piece in open_stream], open_stream


async def broken(core: Bench) -> tuple[list[str], NeuralBoxError]:
    """Read until it fails."""
    pieces: list[str] = []

    async def read() -> None:
        async with text_stream(core) as open_stream:
            async for piece in open_stream:
                pieces.append(piece)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(NeuralBoxError) as caught:
        await read()
    assert core.transport.open_streams == 0
    assert sum(one.method == "POST" for one in core.sent) == 1
    return pieces, caught.value


# A stream that comes whole.


async def test_the_pieces_come_as_they_were_sent_and_the_result_is_that_of_a_plain_call() -> None:
    core = bench(stream(START, delta("Good"), delta(" morning"), END, DONE))
    async with text_stream(core) as open_stream:
        assert (open_stream.job, open_stream.text) == (None, "")
        pieces = []
        async for piece in open_stream:
            pieces.append(piece)
            assert open_stream.job == REF
            assert open_stream.text == "".join(pieces)
        assert core.transport.open_streams == 0  # the end frees the connection, not only the block's
    result = open_stream.result
    assert pieces == ["Good", " morning"]
    assert (result.id, result.status, result.kind, result.model) == (ID, "completed", "text", "gpt-5")
    assert (result.text, result.tokens, result.balance) == ("Good morning", 2, 118)
    assert result.raw == {"id": ID, "model": "gpt-5", "tokens_used": 2, "balance_remaining": 118}
    assert core.sent[0].headers["accept"] == "text/event-stream"
    assert len(core.sent) == 1


async def test_the_other_dialect_is_read_too() -> None:
    pieces, done = await read_all(
        bench(
            stream(
                line({"type": "generation_start", "id": 20701, "model": "gpt-5"}),
                delta("Good"),
                line({"type": "generation_end", "id": 20701, "tokens_spent": 0, "usage": {"total_tokens": 9}}),
                DONE,
            )
        )
    )
    result = done.result
    assert (pieces, result.id, result.tokens, result.balance) == (["Good"], 20701, 0, None)
    assert result.usage is not None
    assert result.usage.total_tokens == 9


@pytest.mark.parametrize("size", [1, 3, 40, 10_000])
async def test_the_body_may_be_cut_anywhere(size: int) -> None:
    body = (START + delta("Привет, ") + b": still here\r\n\r\n" + delta("мир 🌊") + END + DONE).replace(b"\n", b"\r\n")
    core = bench(stream(*(body[at : at + size] for at in range(0, len(body), size))))
    pieces, done = await read_all(core)
    assert pieces == ["Привет, ", "мир 🌊"]
    assert done.result.tokens == 2


async def test_halves_of_a_character_in_two_pieces_are_joined() -> None:
    halves = [
        line(rb'{"type": "content_delta", "delta": "Hi \ud83d"}'),
        line(rb'{"type": "content_delta", "delta": "\ude00"}'),
    ]
    for body in (halves, [b"".join(halves)]):
        pieces, done = await read_all(bench(stream(START, *body, END)))
        assert pieces == ["Hi ", "\U0001f600"]
        assert done.result.text == "Hi \U0001f600"


@pytest.mark.parametrize("end", [END, DONE, END.rstrip()])
async def test_half_of_a_character_at_the_end_is_replaced(end: bytes) -> None:
    half = line(rb'{"type": "content_delta", "delta": "Hi \ud83d"}')
    for body in ([half, end], [half + end]):
        pieces, done = await read_all(bench(stream(START, *body)))
        assert pieces == ["Hi ", "\ufffd"]
        assert done.result.text == "Hi \ufffd"


async def test_half_of_a_character_before_a_break_comes_whole_with_the_rest() -> None:
    half = line(rb'{"type": "content_delta", "delta": "Hi \ud83d"}')
    whole = reply(200, {"id": ID, "status": "completed", "result_text": "Hi \U0001f600 there"})
    pieces, _ = await read_all(bench(stream(START, half, LOST), whole))
    assert pieces == ["Hi ", "\U0001f600 there"]


async def test_done_alone_is_an_end() -> None:
    pieces, done = await read_all(bench(stream(START, delta("Good"), DONE)))
    assert pieces == ["Good"]
    assert (done.result.text, done.result.tokens, done.result.id) == ("Good", None, ID)


async def test_the_end_counts_without_its_empty_line() -> None:
    pieces, done = await read_all(bench(stream(START, delta("Good"), END.rstrip())))
    assert pieces == ["Good"]
    assert done.result.tokens == 2


async def test_what_follows_the_end_does_not_count() -> None:
    pieces, done = await read_all(bench(stream(START + delta("Good") + END + delta(" grief") + line(b"{oops"))))
    assert pieces == ["Good"]
    assert done.result.text == "Good"


async def test_empty_pieces_and_unknown_events_are_passed_over() -> None:
    unknown = line({"type": "reasoning_delta", "delta": "hm"})
    pieces, _ = await read_all(bench(stream(b"\xef\xbb\xbf\n", START, delta(""), unknown, delta("Good"), END)))
    assert pieces == ["Good"]


async def test_an_id_that_comes_at_the_end_only_is_taken() -> None:
    _, done = await read_all(bench(stream(delta("Good"), END)))
    assert (done.job, done.result.id, done.result.model) == (REF, ID, "gpt-5")


async def test_a_stream_without_any_id_has_a_result_all_the_same() -> None:
    _, done = await read_all(bench(stream(line({"type": "generation_start"}), delta("Good"), DONE)))
    assert (done.job, done.result.id, done.result.text) == (None, "", "Good")


async def test_typed_events_are_delivered_with_the_unknown_ones() -> None:
    core = bench(stream(START, delta("Good"), line({"type": "news"}), delta(""), END, DONE))
    events: list[StreamEvent] = []
    async with text_stream(core) as open_stream:
        async for event in open_stream.events():
            events.append(event)  # noqa: PERF401
        assert [event async for event in open_stream.events()] == []
    assert events == [
        GenerationStart(ID, "gpt-5"),
        ContentDelta("Good"),
        UnknownEvent("news"),
        ContentDelta(""),
        GenerationEnd(ID, 2, 118),
    ]
    assert open_stream.result.text == "Good"


async def test_done_is_the_last_event_where_there_is_no_other_end() -> None:
    async with text_stream(bench(stream(START, delta("Good"), DONE))) as open_stream:
        events = [event async for event in open_stream.events()]
    assert events == [GenerationStart(ID, "gpt-5"), ContentDelta("Good"), StreamDone()]


FOREIGN = line({"choices": [{"delta": {"content": "Good"}}]})
WHOLE = reply(200, {"id": ID, "status": "completed", "result_text": "Good morning", "tokens_spent": 2})


@pytest.mark.parametrize("body", [[START, DONE], [START, FOREIGN, DONE], [START, FOREIGN, END], [FOREIGN, END]])
async def test_an_end_without_a_word_before_it_is_not_an_empty_success(body: list[bytes]) -> None:
    core = bench(stream(*body), WHOLE)
    async with text_stream(core) as open_stream:
        events = [event async for event in open_stream.events() if not isinstance(event, UnknownEvent)]
    assert events[-2:] == [ContentDelta("Good morning"), GenerationEnd(ID, 2)]
    assert StreamDone() not in events
    assert (open_stream.result.text, open_stream.result.tokens) == ("Good morning", 2)
    assert len(core.sent) == 2


@pytest.mark.parametrize("body", [[DONE], [FOREIGN, DONE], [line({"type": "generation_start"}), DONE]])
async def test_an_end_without_a_word_and_without_an_id_is_a_lost_answer(body: list[bytes]) -> None:
    _, error = await broken(bench(stream(*body)))
    assert isinstance(error, SubmissionUnknownError)
    assert "ended without a word of its text" in error.message


@pytest.mark.parametrize("body", [[START, END], [START, DONE]])
async def test_a_text_may_be_empty_where_the_service_says_so(body: list[bytes]) -> None:
    pieces, done = await read_all(bench(stream(*body), reply(200, {"id": ID, "status": "completed"})))
    assert (pieces, done.result.text, done.result.status) == ([], "", "completed")


async def test_collect_reads_what_is_left_and_a_second_loop_goes_on_where_the_first_was_left() -> None:
    pieces = []
    async with text_stream(bench(stream(START, delta("a"), delta("b"), delta("c"), END))) as open_stream:
        async for piece in open_stream:
            pieces.append(piece)
            break
        async for piece in open_stream:
            pieces.append(piece)
            break
        result = await open_stream.collect()
        assert [piece async for piece in open_stream] == []
        assert await open_stream.collect() is result
    assert pieces == ["a", "b"]
    assert result.text == "abc"


# Refused before it began.


async def test_a_refusal_raises_its_error_on_entering() -> None:
    core = bench(refusal(402, "insufficient_tokens"))
    with pytest.raises(InsufficientTokensError):
        async with text_stream(core):
            raise AssertionError("the block was entered")


async def test_an_overloaded_service_is_asked_again_since_nothing_was_charged() -> None:
    core = bench(refusal(503, "model_unavailable"), stream(START, delta("Good"), END))
    pieces, _ = await read_all(core)
    assert pieces == ["Good"]
    assert len(core.sent) == 2


# JSON in place of a stream.


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf \r\n"])
async def test_a_whole_answer_comes_as_one_piece(head: bytes) -> None:
    body = head + json.dumps(COMPLETED).encode()
    core = bench(stream(*(body[at : at + 20] for at in range(0, len(body), 20))))
    async with text_stream(core) as open_stream:
        events = [event async for event in open_stream.events()]
    assert events == [GenerationStart(ID, "gpt-5"), ContentDelta("Good morning!"), GenerationEnd(ID, 2)]
    assert open_stream.result.text == "Good morning!"
    assert open_stream.result.raw == COMPLETED
    assert open_stream.job == REF


async def test_a_whole_answer_without_an_id_is_a_result_too() -> None:
    pieces, done = await read_all(bench(reply(200, {"status": "completed", "content": "Good"})))
    assert (pieces, done.result.id, done.job) == (["Good"], "", None)


async def test_a_whole_answer_that_is_pending_is_waited_for_without_its_connection() -> None:
    def poll(sent: Any) -> Play:
        assert core.transport.open_streams == 0
        return reply(200, COMPLETED)

    core = bench(reply(200, {"id": ID, "status": "pending"}), poll)
    pieces, done = await read_all(core)
    assert pieces == ["Good morning!"]
    assert done.result.tokens == 2
    assert [one.method for one in core.sent] == ["POST", "GET"]


async def test_a_whole_answer_that_never_ends_pending_times_out_with_its_job() -> None:
    pending = reply(200, {"id": ID, "status": "pending"})
    core = make_core(lambda sent: pending)
    with pytest.raises(GenerationTimeoutError) as caught:
        await read_all(core)
    assert caught.value.job == REF


async def test_a_whole_answer_that_failed_raises() -> None:
    _, error = await broken(bench(reply(200, {"id": ID, "status": "failed", "error": "Content policy"})))
    assert isinstance(error, GenerationFailedError)
    assert error.job == REF


@pytest.mark.parametrize(
    "body",
    [b'{"id": "gen_1", "stat', b"{}", b'{"status": "pending"}', b'{"oops": ' + b"1" * 300 + b"}"],
    ids=["cut", "empty", "pending without an id", "too long"],
)
async def test_a_whole_answer_that_cannot_be_read_leaves_the_outcome_unknown(body: bytes) -> None:
    core = bench(stream(body[:8], body[8:]), max_reply_bytes=200)
    _, error = await broken(core)
    assert isinstance(error, SubmissionUnknownError)


# Cut, and an id to ask by.

CUTS: dict[str, tuple[Any, ...]] = {
    "the connection is lost": (LOST,),
    "the service says nothing for too long": (APITimeoutError("No bytes came.", phase="read"),),
    "the body ends": (),
    "the body ends inside an event": (b'data: {"type": "content_delta", "delta": " mor',),
    "the body ends inside a character": (b'data: {"type": "content_delta", "delta": "\xd0',),
    "an event is garbled": (line(b'{"type": "content_delta", "delta": " mor'), STALL),
    "a line is endless": (b"data: " + b"x" * 2_000_000, STALL),
    "a page of a proxy": (line(b"<html>"),),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
async def test_the_missing_rest_is_fetched_by_id_and_never_bought_again(cut: Sequence[Any]) -> None:
    core = bench(stream(START, delta("Good"), *cut), reply(200, COMPLETED))
    pieces, done = await read_all(core)
    assert pieces == ["Good", " morning!"]
    assert (done.result.text, done.result.tokens, done.result.id) == ("Good morning!", 2, ID)
    assert [one.method for one in core.sent] == ["POST", "GET"]
    assert core.transport.open_streams == 0


async def test_what_arrived_before_the_break_is_handed_out_first() -> None:
    core = bench(stream(START + delta("Good") + line(b"{oops") + delta(" grief")), reply(200, COMPLETED))
    async with text_stream(core) as open_stream:
        assert await anext(open_stream) == "Good"
        assert len(core.sent) == 1
        assert await anext(open_stream) == " morning!"


async def test_an_unfinished_event_that_is_whole_counts_as_delivered() -> None:
    core = bench(stream(START, delta("Good").rstrip()), reply(200, COMPLETED))
    pieces, _ = await read_all(core)
    assert pieces == ["Good", " morning!"]


async def test_the_connection_is_freed_before_the_rest_is_asked_for() -> None:
    def poll(sent: Any) -> Play:
        assert core.transport.open_streams == 0
        return reply(200, COMPLETED)

    core = bench(stream(START, delta("Good"), LOST), poll)
    pieces, _ = await read_all(core)
    assert pieces == ["Good", " morning!"]


async def test_a_generation_that_still_runs_is_waited_for() -> None:
    pending = reply(200, {"id": ID, "status": "pending"})
    core = bench(stream(START, delta("Good"), LOST), pending, LOST, pending, reply(200, COMPLETED))
    pieces, _ = await read_all(core)
    assert pieces == ["Good", " morning!"]
    assert core.time.elapsed > 5


async def test_only_the_end_was_missing() -> None:
    core = bench(stream(START, delta("Good morning!"), LOST), reply(200, COMPLETED))
    async with text_stream(core) as open_stream:
        events = [event async for event in open_stream.events()]
    assert events == [GenerationStart(ID, "gpt-5"), ContentDelta("Good morning!"), GenerationEnd(ID, 2)]
    assert open_stream.result.tokens == 2


async def test_looks_carry_the_headers_of_the_call_but_not_its_body() -> None:
    core = bench(stream(START, LOST), reply(200, COMPLETED))
    call = {"extra_headers": {"x-trace": "7"}, "extra_body": {"mood": "calm"}, "extra_query": {"a": "b"}}
    async with text_stream(core, **call) as open_stream:
        await open_stream.collect()
    post, get = core.sent
    assert post.json["mood"] == "calm"
    assert (get.headers["x-trace"], get.content, get.query) == ("7", b"", {})


async def test_a_generation_that_failed_meanwhile_raises_its_failure() -> None:
    core = bench(stream(START, delta("Good"), LOST), reply(200, {"id": ID, "status": "failed", "error": "Policy"}))
    pieces, error = await broken(core)
    assert pieces == ["Good"]
    assert isinstance(error, GenerationFailedError)
    assert error.job == REF


@pytest.mark.parametrize("text", ["Bad morning!", "Goo", None])
async def test_a_text_that_does_not_continue_is_not_delivered(text: str | None) -> None:
    core = bench(stream(START, delta("Good"), LOST), reply(200, {**COMPLETED, "content": text}))
    pieces, error = await broken(core)
    assert pieces == ["Good"]
    assert isinstance(error, StreamInterruptedError)
    assert (error.text, error.job) == ("Good", REF)
    assert isinstance(error.__cause__, ConnectionLostError)


async def test_a_rest_that_cannot_be_asked_for_interrupts_with_text_and_job() -> None:
    core = make_core(
        lambda sent: stream(START, delta("Good"), LOST) if sent.method == "POST" else refusal(404, "not_found")
    )
    pieces, error = await broken(core)
    assert pieces == ["Good"]
    assert isinstance(error, StreamInterruptedError)
    assert (error.text, error.job) == ("Good", REF)
    assert isinstance(error.__cause__, NotFoundError)


async def test_a_stream_longer_than_the_limit_is_a_break() -> None:
    core = bench(stream(START, delta("Good"), *[delta("x" * 90)] * 9), reply(200, COMPLETED), max_reply_bytes=1_000)
    _, error = await broken(core)
    assert isinstance(error, StreamInterruptedError)
    assert isinstance(error.__cause__, ProtocolError)


# Cut, and nothing to ask by.


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
async def test_a_break_before_the_id_leaves_the_outcome_unknown(cut: Sequence[Any]) -> None:
    core = bench(stream(b": hello\n\n", *cut))
    pieces, error = await broken(core)
    assert pieces == []
    assert isinstance(error, SubmissionUnknownError)
    assert error.request["prompt"] == "Greet me"
    assert error.sent_at is not None
    assert error.lost_at is not None
    assert "Greet me" not in error.message


async def test_a_break_after_text_but_without_an_id_interrupts_with_the_text() -> None:
    pieces, error = await broken(bench(stream(delta("Good"), LOST)))
    assert pieces == ["Good"]
    assert isinstance(error, StreamInterruptedError)
    assert (error.text, error.job) == ("Good", None)


# An error event.


async def test_the_message_of_an_error_event_is_short_and_clean_however_long_the_service_was() -> None:
    failure = line({"type": "error", "message": "No.\x1b[2J\n key nb_secret123 " + "x" * 100_000})
    async with text_stream(bench(stream(START, failure, STALL))) as open_stream:
        with pytest.raises(GenerationFailedError) as caught:
            await open_stream.collect()
    message = caught.value.message
    assert "failed while its text was streamed: No. [2J key [hidden] xxx" in message
    assert len(message) < 700


async def test_an_error_event_raises_at_once_and_keeps_the_text() -> None:
    failure = line({"type": "error", "message": "upstream provider failed"})
    core = bench(stream(START, delta("Good"), failure, STALL))
    async with text_stream(core) as open_stream:
        assert await anext(open_stream) == "Good"
        with pytest.raises(GenerationFailedError, match="upstream provider failed") as caught:
            await anext(open_stream)
        with pytest.raises(GenerationFailedError):
            await anext(open_stream)
    error = caught.value
    assert error.job == REF
    assert (error.generation.text, error.generation.status, error.generation.id) == ("Good", "failed", ID)
    assert error.generation.error == "upstream provider failed"
    assert open_stream.text == "Good"
    with pytest.raises(GenerationFailedError):
        _ = open_stream.result
    assert len(core.sent) == 1


async def test_an_error_event_without_an_id_or_a_reason_raises_too() -> None:
    pieces, error = await broken(bench(stream(line({"type": "error"}))))
    assert pieces == []
    assert isinstance(error, GenerationFailedError)
    assert error.job is None
    assert "no reason" in error.message


# Leaving, and cancelling.


async def test_leaving_early_frees_the_connection_and_keeps_what_is_known() -> None:
    core = bench(stream(START, delta("Good"), STALL))
    async with text_stream(core) as open_stream:
        async for _ in open_stream:
            assert core.transport.open_streams == 1
            break
    assert core.transport.open_streams == 0
    assert (open_stream.text, open_stream.job) == ("Good", REF)
    assert len(core.sent) == 1
    with pytest.raises(ConfigurationError, match="not reached its end"):
        _ = open_stream.result


async def test_an_error_of_the_block_frees_the_connection_and_is_not_hidden() -> None:
    core = bench(stream(START, delta("Good"), END, STALL))

    async def leave_by_error() -> None:
        async with text_stream(core) as open_stream:
            await anext(open_stream)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await leave_by_error()
    assert core.transport.open_streams == 0


async def test_a_service_that_holds_the_connection_after_the_end_is_hung_up_on() -> None:
    core = bench(stream(START, delta("Good"), END, STALL))
    with anyio.fail_after(5):
        pieces, done = await read_all(core)
    assert pieces == ["Good"]
    assert done.result.text == "Good"
    assert core.transport.open_streams == 0


async def test_a_break_after_the_end_goes_unnoticed() -> None:
    pieces, done = await read_all(bench(stream(START, delta("Good"), END, LOST)))
    assert pieces == ["Good"]
    assert done.result.text == "Good"


async def test_a_cancelled_read_leaves_nothing_open() -> None:
    core = bench(stream(START, delta("Good"), STALL))
    open_stream = text_stream(core)
    async with cancelled_at_a_stall() as scope, open_stream:
        async for _ in open_stream:
            pass
    assert scope.cancelled_caught
    assert core.transport.open_streams == 0
    assert open_stream.text == "Good"


async def test_a_read_after_a_cancelled_one_asks_for_the_rest() -> None:
    core = bench(stream(START, delta("Good"), STALL), STALL, reply(200, COMPLETED))
    async with text_stream(core) as open_stream:
        assert await anext(open_stream) == "Good"
        for sent in (1, 2):  # first the read is cancelled, then the poll
            async with cancelled_at_a_stall():
                await anext(open_stream)
            assert len(core.sent) == sent
        assert await anext(open_stream) == " morning!"
        assert (await open_stream.collect()).text == "Good morning!"


async def test_cancelling_while_the_service_makes_up_its_mind_leaves_nothing_open() -> None:
    core, entered = bench(STALL), False
    async with cancelled_at_a_stall(), text_stream(core):
        entered = True
    assert not entered
    assert core.transport.open_streams == 0
    assert core.transport.cancelled == 1


# Used wrongly.


async def test_reading_outside_the_block_is_one_clear_sentence() -> None:
    core = bench(stream(START + delta("Good") + delta("bye") + END))
    unopened = text_stream(core)
    with pytest.raises(ConfigurationError, match="async with"):
        await anext(unopened)
    with pytest.raises(ConfigurationError, match="async with"):
        await unopened.collect()
    assert core.sent == []
    async with unopened as left:
        await anext(left)
    for read in (left.__anext__, left.events().__anext__, left.collect):
        with pytest.raises(ConfigurationError, match="block was left"):
            await read()


async def test_entering_twice_is_one_clear_sentence_and_buys_nothing() -> None:
    core = bench(stream(START, END))
    once = text_stream(core)
    async with once:
        with pytest.raises(ConfigurationError, match="entered once"):
            await once.__aenter__()
    with pytest.raises(ConfigurationError, match="entered once"):
        await once.__aenter__()
    assert len(core.sent) == 1


@pytest.mark.parametrize("break_", [STALL, LOST], ids=["reading", "asking for the rest"])
async def test_two_tasks_at_once_are_one_clear_sentence(break_: Any) -> None:
    core = bench(stream(START, delta("Good"), break_), STALL)
    async with text_stream(core) as open_stream, anyio.create_task_group() as tasks:
        tasks.start_soon(open_stream.collect)
        for _ in range(40):
            await checkpoint()
        with pytest.raises(ConfigurationError, match="Another task"):
            await anext(open_stream)
        tasks.cancel_scope.cancel()


async def test_the_block_may_be_left_while_another_task_still_reads() -> None:
    class Body:
        """An engine whose body is a generator: closing one that runs is an error."""

        status_code = 200
        headers: dict[str, str] = {}  # noqa: RUF012

        async def chunks(self, *, raw: bool = False) -> AsyncIterator[bytes]:
            yield START
            await anyio.sleep_forever()

    core = bench()
    left = []

    @asynccontextmanager
    async def open_body(*_: object) -> AsyncIterator[Body]:
        yield Body()
        left.append(True)

    core.core.open = open_body  # type: ignore[method-assign, assignment]
    async with anyio.create_task_group() as tasks:
        async with text_stream(core) as open_stream:
            tasks.start_soon(open_stream.collect)
            for _ in range(10):
                await checkpoint()
        assert left == [True]
        tasks.cancel_scope.cancel()


async def test_repr_tells_the_state_and_no_prompt() -> None:
    core = bench(stream(START, END))
    open_stream = text_stream(core)
    assert repr(open_stream) == "<TextStream gpt-5 closed>"
    async with open_stream:
        assert repr(open_stream) == "<TextStream gpt-5 open>"
        await open_stream.collect()
    assert repr(open_stream) == "<TextStream gpt-5 ended>"
    failing = TextStream(bench(stream()).core, Request("POST", "/generate", RetrySafety.PAID))
    with pytest.raises(SubmissionUnknownError):
        async with failing:
            await failing.collect()
    assert repr(failing) == "<TextStream failed>"


# The deadline, by the event loop's own clock: real and tiny.


async def test_a_stream_that_only_says_that_it_is_alive_ends_at_the_deadline() -> None:
    # The other end of the deadline: nothing is waited for after it. (The client's clock stands still here.)
    core = bench(stream(START, delta("Good"), STALL), STALL, deadline=0.05)
    pieces, error = await broken(core)
    assert pieces == ["Good"]
    assert isinstance(error, StreamInterruptedError)
    assert (error.text, error.job) == ("Good", REF)
    assert "deadline of 0.05 s for the whole call" in error.message


async def test_a_stream_without_an_id_is_unknown_at_the_deadline() -> None:
    _, error = await broken(bench(stream(b": hello\n\n", STALL), deadline=0.05))
    assert isinstance(error, SubmissionUnknownError)


@pytest.mark.parametrize(
    "script",
    [
        [stream(START, delta("Good"), LOST), STALL],
        [reply(200, {"id": ID, "status": "pending"}), STALL, STALL],
    ],
)
async def test_asking_for_the_rest_ends_at_the_deadline(script: list[Any]) -> None:
    _, error = await broken(bench(*script, deadline=0.05))
    assert isinstance(error, StreamInterruptedError)
    assert error.job is not None
    assert "deadline" in error.message
