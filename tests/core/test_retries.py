"""How often a request is sent, at which times, and which error is left at the end."""

from __future__ import annotations

from random import Random
from threading import Thread
from typing import Any

import anyio
import pytest

from neuralbox import _errors as errors
from neuralbox._api.request import Request, RetrySafety
from neuralbox._core.call_events import AttemptListener
from neuralbox._core.exchange import Attempt, Core
from neuralbox._transport.base import Reply
from neuralbox._transport.closing import announce_closed, announce_open
from tests.helpers import START, Bench, Sent, Step, Streamed, Unsent, VirtualTime, make_core, refusal, reply

pytestmark = pytest.mark.anyio

OK = reply(200, {"ok": True})
LOST = errors.ConnectionLostError("The connection broke.")
PAGE = reply(502, b"<html>bad gateway</html>", content_type="text/html")
BODY = {"model": "gpt-5", "prompt": "the planted prompt"}


def request(safety: RetrySafety) -> Request:
    if safety is RetrySafety.REPEATABLE:
        return Request("GET", "/balance")
    return Request("POST", "/generate", safety, body=BODY)


async def send(bench: Bench, safety: RetrySafety = RetrySafety.PAID) -> Any:
    return await bench.core.send(request(safety), bench.core.as_json)


async def opened(bench: Bench, safety: RetrySafety = RetrySafety.PAID) -> Any:
    """Ask for the same answer as it comes."""
    async with bench.core.open(request(safety)) as streamed:
        return bench.core.as_json(Reply(200, {}, await streamed.read(max_bytes=1_000)))


BOTH = pytest.mark.parametrize("ask", [send, opened])


# at-most-one-charge.md, by row: (what one attempt ends with, attempts of PAID, ONCE, REPEATABLE with two retries,
# and the error each ends with).

ROWS: list[tuple[str, Step, tuple[int, int, int], tuple[type[errors.NeuralBoxError], ...]]] = [
    ("no connection", errors.ConnectError("refused"), (3, 3, 3), (errors.ConnectError,) * 3),
    ("no slot", errors.APITimeoutError("pool", phase="pool"), (3, 3, 3), (errors.APITimeoutError,) * 3),
    ("slow to connect", errors.APITimeoutError("connect", phase="connect"), (3, 3, 3), (errors.APITimeoutError,) * 3),
    ("lost before the first byte", Unsent(LOST), (3, 3, 3), (errors.ConnectionLostError,) * 3),
    ("429 of ours", refusal(429, "rate_limit_exceeded"), (3, 3, 3), (errors.RateLimitError,) * 3),
    ("503 of ours", refusal(503, "model_unavailable"), (3, 3, 3), (errors.ModelUnavailableError,) * 3),
    ("400", refusal(400, "bad_request"), (1, 1, 1), (errors.BadRequestError,) * 3),
    ("401", refusal(401, "not_authenticated"), (1, 1, 1), (errors.AuthenticationError,) * 3),
    ("401 expired, with a key", refusal(401, "token_expired"), (1, 1, 1), (errors.AuthenticationError,) * 3),
    ("402", refusal(402, "insufficient_tokens"), (1, 1, 1), (errors.InsufficientTokensError,) * 3),
    ("403 of ours", refusal(403, "insufficient_plan"), (1, 1, 1), (errors.PermissionDeniedError,) * 3),
    ("404", refusal(404, "not_found"), (1, 1, 1), (errors.NotFoundError,) * 3),
    ("422", refusal(422, "validation_error"), (1, 1, 1), (errors.UnprocessableEntityError,) * 3),
    ("409", refusal(409, "conflict"), (1, 1, 1), (errors.APIStatusError,) * 3),
    ("413 of a proxy", reply(413, b"<html>too large</html>"), (1, 1, 1), (errors.APIStatusError,) * 3),
    ("301", reply(301, b"", location="https://elsewhere.test/"), (1, 1, 1), (errors.APIStatusError,) * 3),
    ("308", reply(308, b"", location="https://elsewhere.test/"), (1, 1, 1), (errors.APIStatusError,) * 3),
    *(
        (
            f"{status} of a content network",
            reply(status, b"<html>Access denied</html>"),
            (1, 1, 3),
            (errors.SubmissionUnknownError, kind, kind),
        )
        for status, kind in (
            (401, errors.AuthenticationError),
            (403, errors.PermissionDeniedError),
            (404, errors.NotFoundError),
            (410, errors.APIStatusError),
        )
    ),
    ("408", reply(408, b""), (1, 1, 3), (errors.SubmissionUnknownError, errors.APIStatusError, errors.APIStatusError)),
    # Unknown: it may have been accepted. The first is documented as free.
    (
        "500 of ours",
        refusal(500, "provider_error"),
        (1, 1, 3),
        (errors.SubmissionUnknownError, errors.ProviderError, errors.ProviderError),
    ),
    ("lost", LOST, (1, 1, 3), (errors.SubmissionUnknownError, errors.ConnectionLostError, errors.ConnectionLostError)),
    (
        "no answer",
        errors.APITimeoutError("read", phase="read"),
        (1, 1, 3),
        (errors.SubmissionUnknownError, errors.APITimeoutError, errors.APITimeoutError),
    ),
    (
        "stuck while sending",
        errors.APITimeoutError("write", phase="write"),
        (1, 1, 3),
        (errors.SubmissionUnknownError, errors.APITimeoutError, errors.APITimeoutError),
    ),
    ("502", PAGE, (1, 1, 3), (errors.SubmissionUnknownError, errors.InternalServerError, errors.InternalServerError)),
    (
        "504",
        reply(504, b""),
        (1, 1, 3),
        (errors.SubmissionUnknownError, errors.InternalServerError, errors.InternalServerError),
    ),
    (
        "500 of a proxy",
        reply(500, b"Internal Server Error"),
        (1, 1, 3),
        (errors.SubmissionUnknownError, errors.ProviderError, errors.ProviderError),
    ),
    (
        "429 of a proxy",
        reply(429, b"<html>slow down</html>"),
        (1, 1, 3),
        (errors.SubmissionUnknownError, errors.RateLimitError, errors.RateLimitError),
    ),
    (
        "503 of a proxy",
        reply(503, b"<html>maintenance</html>"),
        (1, 1, 3),
        (errors.SubmissionUnknownError, errors.ModelUnavailableError, errors.ModelUnavailableError),
    ),
    (
        "not HTTP",
        errors.ProtocolError("Not HTTP."),
        (1, 1, 3),
        (errors.SubmissionUnknownError, errors.ProtocolError, errors.ProtocolError),
    ),
]

CASES = [
    pytest.param(step, safety, attempts[index], kinds[index], id=f"{name} {safety.value}")
    for name, step, attempts, kinds in ROWS
    for index, safety in enumerate((RetrySafety.PAID, RetrySafety.ONCE, RetrySafety.REPEATABLE))
]


@pytest.mark.uncovered
@BOTH
@pytest.mark.parametrize(("step", "safety", "attempts", "kind"), CASES)
async def test_every_ending_is_followed_by_as_many_attempts_as_are_safe(
    step: Step, safety: RetrySafety, attempts: int, kind: type[errors.NeuralBoxError], ask: Any
) -> None:
    bench = make_core([step] * 5, max_retries=2)
    with pytest.raises(errors.NeuralBoxError) as caught:
        await ask(bench, safety)
    assert type(caught.value) is kind
    assert len(bench.sent) == attempts
    assert {one.content for one in bench.sent} == {bench.sent[0].content}
    assert bench.transport.open_streams == 0
    gave_up = attempts == 3
    assert ("Given up after 3 attempts." in caught.value.message) is gave_up


@BOTH
@pytest.mark.parametrize(
    ("step", "safety"),
    [
        pytest.param(step, safety, id=f"{name} {safety.value}")
        for name, step, attempts, _ in ROWS
        for index, safety in enumerate((RetrySafety.PAID, RetrySafety.ONCE, RetrySafety.REPEATABLE))
        if attempts[index] > 1
    ],
)
async def test_what_may_be_repeated_succeeds_at_the_second_attempt(step: Step, safety: RetrySafety, ask: Any) -> None:
    bench = make_core([step, OK])
    assert await ask(bench, safety) == {"ok": True}
    assert len(bench.sent) == 2


# The numbers.


async def test_pauses_are_drawn_from_bounds_that_double_up_to_eight_seconds() -> None:
    bench = make_core([refusal(503, "model_unavailable")] * 9, max_retries=8)
    with pytest.raises(errors.ModelUnavailableError):
        await send(bench)
    assert bench.time.pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert bench.times[:4] == [0.0, 0.25, 0.75, 1.75]


async def test_the_dice_may_let_a_retry_follow_at_once() -> None:
    bench = make_core([LOST, LOST, OK])
    bench.time.random_value = 0.0
    await send(bench, RetrySafety.REPEATABLE)
    assert bench.times == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("safety", list(RetrySafety))
async def test_no_retries_means_one_attempt_and_a_plain_error(safety: RetrySafety) -> None:
    bench = make_core([errors.ConnectError("Nobody listens.")], max_retries=0)
    with pytest.raises(errors.ConnectError) as caught:
        await send(bench, safety)
    assert caught.value.message == "Nobody listens."
    assert len(bench.sent) == 1


@pytest.mark.parametrize(
    ("busy", "pause"),
    [
        (refusal(429, "rate_limit_exceeded", retry_after="7"), 7.0),
        (refusal(429, "rate_limit_exceeded", retry_after="Sun, 08 Mar 2026 12:00:09 GMT"), 9.0),
        (
            refusal(
                429,
                "rate_limit_exceeded",
                retry_after="Sun, 08 Mar 2026 11:59:09 GMT",
                date="Sun, 08 Mar 2026 11:59:00 GMT",
            ),
            9.0,
        ),
        (refusal(503, "model_unavailable", retry_after="11"), 11.0),
        (reply(429, {"error": "rate_limit_exceeded", "message": "No.", "retry_after": 13}), 13.0),
        (refusal(429, "rate_limit_exceeded", x_ratelimit_reset_hour=str(int(START) + 15)), 15.0),
    ],
)
async def test_the_service_says_how_long_to_wait(busy: Reply, pause: float) -> None:
    bench = make_core([busy, OK], time=VirtualTime(random_value=0.0))
    await send(bench)
    assert bench.times == [0.0, pause]


async def test_a_crowd_that_was_told_one_moment_does_not_come_back_at_it_together() -> None:
    chance, time = Random(17), VirtualTime()
    time.random = chance.random  # type: ignore[method-assign]
    busy = refusal(429, "rate_limit_exceeded", retry_after="2")
    bench = make_core(lambda sent: busy if sent.at < 2.0 else OK, time=time)
    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(send, bench)
    back = sorted(bench.times)[60:]
    assert len(back) == 60
    assert back[0] >= 2.0
    assert back[-1] - back[0] > 0.5
    assert max(sum(at <= other < at + 0.02 for other in back) for at in back) < 10


NO_PAUSE = [
    refusal(429, "rate_limit_exceeded", retry_after="0"),
    refusal(429, "rate_limit_exceeded", retry_after="-5"),
    refusal(429, "rate_limit_exceeded", retry_after="0.001"),
    refusal(429, "rate_limit_exceeded", retry_after="Sun, 08 Mar 2026 11:00:00 GMT"),
    reply(429, {"error": "rate_limit_exceeded", "message": "No.", "retry_after": 0}),
]


@pytest.mark.parametrize("busy", NO_PAUSE)
async def test_a_told_pause_of_nothing_or_next_to_nothing_is_backed_off_from(busy: Reply) -> None:
    bench = make_core([busy, busy, busy, OK], max_retries=3)
    await send(bench)
    assert bench.times == pytest.approx([0.0, 0.25, 0.75, 1.75], abs=0.01)


@BOTH
async def test_a_wait_above_the_cap_raises_at_once_with_the_time_in_the_error(ask: Any) -> None:
    bench = make_core([refusal(429, "rate_limit_exceeded", retry_after="420")], max_retry_wait=60)
    with pytest.raises(errors.RateLimitError, match=r"asks to wait 420 s, more than `max_retry_wait`=60 s") as caught:
        await ask(bench)
    assert caught.value.retry_after == 420.0
    assert bench.time.pauses == []


async def test_a_wait_at_the_cap_is_waited() -> None:
    bench = make_core([refusal(429, "rate_limit_exceeded", retry_after="60"), OK], max_retry_wait=60)
    assert await send(bench) == {"ok": True}


@BOTH
async def test_no_pause_begins_that_would_pass_the_deadline(ask: Any) -> None:
    bench = make_core([refusal(503, "model_unavailable", retry_after="6")] * 5, max_retries=4, deadline=13.0)
    bench.time.random_value = 0.0
    with pytest.raises(errors.ModelUnavailableError, match="would pass the deadline of 13 s"):
        await ask(bench)
    assert bench.times == [0.0, 6.0, 12.0]


async def test_limits_below_a_second_are_said_as_they_are() -> None:
    bench = make_core([refusal(503, "model_unavailable", retry_after="0.7")], max_retry_wait=0.5)
    with pytest.raises(errors.ModelUnavailableError, match=r"asks to wait 0\.7 s, more than `max_retry_wait`=0\.5 s"):
        await send(bench)


# Answers that came but say nothing.


@pytest.mark.parametrize(
    "content", [b"", b"<html>hello</html>", b'{"id": 1, "status"', b"null garbage", b"\xff\xfe\x00"]
)
async def test_a_garbled_answer_to_a_question_is_asked_for_again_and_then_one_clear_error(content: bytes) -> None:
    bench = make_core([reply(200, content), OK, *[reply(200, content)] * 3])
    assert await send(bench, RetrySafety.REPEATABLE) == {"ok": True}
    assert len(bench.sent) == 2
    with pytest.raises(errors.ProtocolError, match="instead of JSON"):
        await send(bench, RetrySafety.REPEATABLE)
    assert len(bench.sent) == 5


@pytest.mark.parametrize("content", [b"", b"<html>hello</html>", b'{"id": 1, "status"'])
async def test_a_garbled_answer_to_a_paid_request_is_an_unknown_outcome(content: bytes) -> None:
    bench = make_core([reply(200, content)])
    with pytest.raises(errors.SubmissionUnknownError, match="instead of JSON"):
        await send(bench)
    assert len(bench.sent) == 1


async def test_an_answer_that_is_too_long_is_one_clear_error_and_not_asked_again() -> None:
    bench = make_core([reply(200, b"x" * 11)], max_reply_bytes=10)
    with pytest.raises(errors.ProtocolError, match="too long"):
        await send(bench, RetrySafety.REPEATABLE)
    assert len(bench.sent) == 1


async def test_a_redirect_points_at_the_base_url_and_is_never_followed() -> None:
    bench = make_core([reply(307, b"", location="https://elsewhere.test/steal")])
    with pytest.raises(errors.APIStatusError, match="base_url") as caught:
        await send(bench)
    assert caught.value.status_code == 307
    assert [one.url for one in bench.sent] == ["http://box.test/api/v2/generate"]


async def test_a_paid_request_that_a_listener_keeps_from_leaving_has_not_left() -> None:
    class Keeps(AttemptListener):
        def leaving(self) -> None:
            raise errors.JournalError("Its lease is over.")

    bench = make_core([reply(200, {})])
    attempt = Attempt(bench.core.clock(), (Keeps(),))
    with pytest.raises(errors.JournalError):
        await bench.core.send(request(RetrySafety.PAID), lambda _: None, attempt=attempt)
    assert not attempt.sent


# Deleting.


async def test_a_delete_that_was_lost_and_then_finds_nothing_has_done_its_work() -> None:
    bench = make_core([LOST, refusal(404, "not_found")])
    assert await bench.core.send(Request("DELETE", "/user/history/7"), lambda reply: reply.status_code) == 204
    assert len(bench.sent) == 2


async def test_a_delete_that_was_lost_has_done_its_work_though_another_attempt_was_refused_since() -> None:
    bench = make_core([LOST, refusal(429, "rate_limit_exceeded"), refusal(404, "not_found")])
    assert await bench.core.send(Request("DELETE", "/user/history/7"), lambda reply: reply.status_code) == 204
    assert len(bench.sent) == 3


async def test_a_page_of_somebody_else_does_not_prove_that_a_lost_delete_has_done_its_work() -> None:
    bench = make_core([LOST, *[reply(404, b"<html>not here</html>")] * 2])
    with pytest.raises(errors.NotFoundError):
        await bench.core.send(Request("DELETE", "/user/history/7"), lambda reply: reply.status_code)
    assert len(bench.sent) == 3


@pytest.mark.parametrize("first", [None, errors.ConnectError("refused"), refusal(429, "rate_limit_exceeded")])
async def test_a_delete_of_what_was_never_there_says_so(first: Step | None) -> None:
    bench = make_core([*([first] if first else []), refusal(404, "not_found")])
    with pytest.raises(errors.NotFoundError):
        await bench.core.send(Request("DELETE", "/user/history/7"), lambda reply: None)


# Streams: the rules hold until the headers are there, and no longer.


async def test_a_reply_that_breaks_while_it_is_read_is_not_asked_for_again() -> None:
    bench = make_core([Streamed([b"data: 1\n\n", LOST]), OK])
    with pytest.raises(errors.ConnectionLostError):
        await opened(bench, RetrySafety.REPEATABLE)
    assert len(bench.sent) == 1
    assert bench.transport.open_streams == 0


@pytest.mark.parametrize(
    "error",
    [errors.ConnectError("x"), errors.ProtocolError("x"), errors.NotFoundError("x", status_code=404), KeyError("x")],
)
async def test_an_error_of_the_callers_own_block_passes_through(error: Exception) -> None:
    bench = make_core([OK, OK])
    with pytest.raises(type(error)) as caught:
        async with bench.core.open(request(RetrySafety.REPEATABLE)):
            raise error
    assert caught.value is error
    assert len(bench.sent) == 1


async def test_a_refusal_that_breaks_while_it_is_read_is_an_attempt_like_any_other() -> None:
    bench = make_core([Streamed([b"{", LOST], 429), OK])
    assert await opened(bench, RetrySafety.REPEATABLE) == {"ok": True}


async def test_an_endless_refusal_is_read_only_as_far_as_a_refusal_goes() -> None:
    bench = make_core([Streamed([b"x" * 100_000] * 3, 404)])
    with pytest.raises(errors.ProtocolError, match="too long"):
        await opened(bench, RetrySafety.ONCE)


# Foreign addresses.


async def test_a_foreign_address_gets_neither_credential_nor_default_headers_and_one_attempt() -> None:
    bench = make_core([reply(503, b"later")], default_headers={"X-Tenant": "a"})
    async with bench.core.fetch("https://storage.test/a.webp?sig=1", headers={"range": "bytes=5-"}) as streamed:
        assert streamed.status_code == 503
    (sent,) = bench.sent
    assert sent.url == "https://storage.test/a.webp?sig=1"
    assert set(sent.headers) == {"user-agent", "range"}
    assert sent.timeouts.read == 30.0


async def test_a_foreign_address_has_the_limits_it_is_given() -> None:
    def answer(sent: Sent) -> Reply:
        return reply(200, [sent.timeouts.read])

    bench = make_core(answer)
    async with bench.core.fetch("https://storage.test/a.webp", timeout=3.0) as streamed:
        assert await streamed.read(max_bytes=100) == b"[3.0]"


# A client that is closed meanwhile.


@pytest.mark.parametrize("from_a_thread", [False, True])
@pytest.mark.parametrize("safety", RetrySafety)
async def test_a_pause_ends_when_its_client_is_closed(safety: RetrySafety, *, from_a_thread: bool) -> None:
    bench = make_core([refusal(503, "model_unavailable", retry_after="50"), OK])

    async def ask() -> None:
        with pytest.raises(errors.ConfigurationError, match="closed while this was waiting"):
            await bench.core.send(Request("POST", "/generate", safety), Core.as_object)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await bench.time.sleep(10.0)
        if from_a_thread:
            close_in_a_thread(bench)
        else:
            announce_closed(bench.transport)
    assert bench.time.elapsed < 11.0
    assert len(bench.sent) == 1


async def test_no_pause_begins_after_its_client_was_closed() -> None:
    def close_and_refuse(_: Sent) -> Reply:
        announce_closed(bench.transport)
        return refusal(503, "model_unavailable", retry_after="50")

    bench = make_core(close_and_refuse)
    with pytest.raises(errors.ConfigurationError, match="closed while this was waiting"):
        await send(bench)
    assert (bench.time.pauses, len(bench.sent)) == ([], 1)


async def test_a_client_that_is_closed_at_the_very_end_of_a_pause_cancels_nothing_else() -> None:
    bench = make_core([refusal(503, "model_unavailable", retry_after="1"), OK])

    async def sleep(_: float) -> None:
        close_in_a_thread(bench)

    bench.core.sleep = sleep
    with pytest.raises(errors.ConfigurationError, match="closed while this was waiting"):
        await send(bench)
    await anyio.wait_all_tasks_blocked()
    announce_open(bench.transport)
    assert await send(bench) == {"ok": True}


def close_in_a_thread(bench: Bench) -> None:
    thread = Thread(target=announce_closed, args=(bench.transport,))
    thread.start()
    thread.join()
