"""What a client may be given as `hooks=`, and what its calls tell them, attempt by attempt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import httpx
import pytest

from neuralbox import _errors as errors
from neuralbox._api.request import Request, RetrySafety
from neuralbox._config import CallOptions
from neuralbox._core.call_events import template_of
from neuralbox._core.credentials import Session
from neuralbox._hooks import (
    CallInfo,
    EndEvent,
    FailureEvent,
    Hooks,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    SubmissionEvent,
    hooks_of,
)
from neuralbox._resources.text import Text
from neuralbox._resources.videos import Videos
from neuralbox._submissions import submission
from neuralbox._text_stream.stream import TextStream
from neuralbox._types import JobRef
from neuralbox.geminigen import AsyncGeminiGen
from neuralbox.sync import NeuralBox
from tests.helpers import (
    KEY,
    STALL,
    Bench,
    Sent,
    Step,
    Streamed,
    Unsent,
    cancelled_at_a_stall,
    hooks_telling,
    make_client,
    make_core,
    refusal,
    reply,
)
from tests.service import a_shop

pytestmark = pytest.mark.anyio

_of_the_caller: ContextVar[str] = ContextVar("of_the_caller", default="")

BUY = Request(
    "POST", "/generate", RetrySafety.PAID, body={"model": "gpt-5", "prompt": "p", "temperature": 0.5, "seed": "7"}
)
LOST = errors.ConnectionLostError("The connection broke.")
DONE = {"id": 7, "status": "completed", "model_slug": "gpt-5", "result_text": "Hi", "tokens_spent": 2}


def recorder() -> tuple[Hooks, list[Any]]:
    """Hooks that keep every event."""
    seen: list[Any] = []
    return hooks_telling(seen.append), seen


def told(seen: list[Any]) -> list[str]:
    """The story of the events in words."""
    words: dict[type, Callable[[Any], str]] = {
        CallInfo: lambda event: event.operation,
        RequestEvent: lambda event: f"request {event.attempt}",
        ResponseEvent: lambda event: f"response {event.attempt}: {event.status_code}",
        FailureEvent: lambda event: f"failure {event.attempt}: {event.error}",
        RetryEvent: lambda event: f"retry {event.attempt}: {event.reason}",
        SubmissionEvent: lambda event: event.outcome,
        EndEvent: lambda event: f"end: {event.error}",
    }
    return [words[type(event)](event) for event in seen]


def only(seen: list[Any], kind: type) -> list[Any]:
    return [event for event in seen if type(event) is kind]


async def buy(bench: Bench, **more: Any) -> Any:
    return await submission.send(bench.core, BUY, CallOptions(), kind="text", model="gpt-5", **more)


# What is no set of hooks.


@pytest.mark.parametrize("hooks", [print, [print], {"on_call": print}, 1])
def test_what_is_no_hooks_is_refused(hooks: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="`hooks` must be Hooks, or a list of them, not"):
        make_client(lambda request: httpx.Response(200), hooks=hooks)


def test_a_client_has_none_unless_it_is_given_some() -> None:
    assert hooks_of(None) == ()
    one, two = Hooks(), Hooks(on_end=print)
    assert hooks_of(one) == (one,)
    assert hooks_of([one, two]) == (one, two)


async def wait_for_it(event: object) -> None: ...


class Awaited:
    async def __call__(self, event: object) -> None: ...


@pytest.mark.parametrize(
    ("function", "why"), [("print", "not str"), (wait_for_it, "it is async"), (Awaited(), "it is async")]
)
def test_a_hook_that_is_no_plain_function_is_refused_when_it_is_given(function: Any, why: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"hooks.on_retry must be a .*{why}"):
        Hooks(on_retry=function)


# The events of a call.


async def test_a_call_tells_what_it_is_how_it_was_answered_and_that_it_is_over() -> None:
    hooks, seen = recorder()
    bench = make_core([], hooks=hooks)

    async def answer(sent: Sent) -> Any:
        await bench.time.sleep(0.5)
        return reply(200, {"id": 7}, x_request_id="req-1")

    bench.transport._answer = answer
    await bench.core.send(Request("GET", "/user/history/7"), bench.core.as_json)
    call = seen[0]
    assert (call.operation, call.service, call.server) == ("request", "neuralbox", "http://box.test")
    assert (call.method, call.path, call.template) == ("GET", "/user/history/7", "/user/history/{id}")
    assert (call.is_paid, call.kind, call.model, call.settings) == (False, None, None, {})
    assert seen[1:] == [
        RequestEvent(call, 1),
        ResponseEvent(call, 1, 200, 0.5, len(b'{"id": 7}'), "req-1"),
        EndEvent(call, 0.5, 1, status_code=200),
    ]


async def test_each_call_has_a_number_of_its_own() -> None:
    hooks, seen = recorder()
    bench = make_core([reply(200, {}), reply(200, {})], hooks=hooks)
    for _ in range(2):
        await bench.core.send(Request("GET", "/models"), bench.core.as_json)
    first, second = only(seen, CallInfo)
    assert second.id > first.id
    assert [event.call for event in only(seen, EndEvent)] == [first, second]


async def test_every_attempt_and_every_repetition_is_told_with_its_reason() -> None:
    hooks, seen = recorder()
    script: list[Step] = [errors.ConnectError("refused"), refusal(503, "model_unavailable"), reply(200, DONE)]
    bench = make_core(script, hooks=hooks)
    await buy(bench)
    assert told(seen) == [
        "submit",
        "request 1",
        "failure 1: ConnectError",
        "retry 2: not sent",
        "request 2",
        "response 2: 503",
        "retry 3: busy",
        "request 3",
        "response 3: 200",
        "accepted",
        "end: None",
    ]
    retries = only(seen, RetryEvent)
    assert [(each.error, each.status_code, each.pause) for each in retries] == [
        ("ConnectError", None, 0.25),
        ("ModelUnavailableError", 503, 0.5),
    ]
    [end] = only(seen, EndEvent)
    assert (end.attempts, end.status_code, end.seconds) == (3, 200, 0.75)


async def test_a_call_without_an_answer_ends_with_its_error() -> None:
    hooks, seen = recorder()
    bench = make_core([LOST], hooks=hooks, max_retries=0)
    with pytest.raises(errors.ConnectionLostError):
        await bench.core.send(Request("GET", "/models"), bench.core.as_json)
    assert told(seen) == ["request", "request 1", "failure 1: ConnectionLostError", "end: ConnectionLostError"]
    assert seen[-1].status_code is None


async def test_a_cancelled_call_is_told_to_its_end() -> None:
    hooks, seen = recorder()
    bench = make_core([STALL], hooks=hooks)
    async with cancelled_at_a_stall():
        await bench.core.send(Request("GET", "/models"), bench.core.as_json)
    assert told(seen) == ["request", "request 1", "failure 1: Cancelled", "end: Cancelled"]


async def test_a_login_that_ran_out_is_told_as_the_reason_of_the_repetition() -> None:
    hooks, seen = recorder()
    login = reply(200, {"access_token": "t2", "expires_in": 10_000})
    bench = make_core(
        [refusal(401, "token_expired"), login, reply(200, {})],
        hooks=hooks,
        credential=Session("t1", {"refresh_token": "c"}),
    )
    await bench.core.send(Request("GET", "/models"), bench.core.as_json)
    assert told(seen) == [
        "request",
        "request 1",
        "response 1: 401",
        "request",  # the refresh is a call of its own
        "request 1",
        "response 1: 200",
        "end: None",
        "retry 2: session expired",
        "request 2",
        "response 2: 200",
        "end: None",
    ]


async def test_a_login_is_renewed_for_those_who_do_not_listen_too() -> None:
    login = reply(200, {"access_token": "t2", "expires_in": 10_000})
    session = Session("t1", {"refresh_token": "c"})
    bench = make_core([refusal(401, "token_expired"), login, reply(200, DONE)], credential=session)
    assert (await buy(bench)).id == 7


# What a hook does is its own business.


async def test_what_a_hook_raises_is_logged_and_a_paid_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: object) -> None:
        raise RuntimeError("a bug of the user's")

    hooks, seen = recorder()
    bench = make_core(
        [reply(200, DONE)], hooks=[Hooks(on_call=broken, on_response=broken, on_submission=broken), hooks]
    )
    with caplog.at_level(logging.ERROR, "neuralbox"):
        assert (await buy(bench)).id == 7
    assert [record.getMessage() for record in caplog.records] == [
        "The hook `on_call` raised; the call goes on.",
        "The hook `on_response` raised; the call goes on.",
        "The hook `on_submission` raised; the call goes on.",
    ]
    assert told(seen) == ["submit", "request 1", "response 1: 200", "accepted", "end: None"]


async def test_copies_keep_the_hooks_of_a_client_unless_they_are_given_others() -> None:
    counts: list[str] = []
    nb = make_client(
        lambda request: httpx.Response(200, json={"token_balance": 1}),
        hooks=Hooks(on_end=lambda event: counts.append("first")),
    )
    async with nb:
        await nb.with_options(max_retries=0).account.balance()
        await nb.with_options(hooks=Hooks(on_end=lambda event: counts.append("second"))).account.balance()
        await nb.with_options(hooks=[]).account.balance()
    assert counts == ["first", "second"]


def test_the_blocking_client_calls_them_in_its_own_thread_and_in_the_callers_context() -> None:
    called: list[tuple[str, bool]] = []

    def ask(event: EndEvent) -> None:
        called.append((_of_the_caller.get(), threading.current_thread() is threading.main_thread()))

    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"token_balance": 1}))
    with NeuralBox(api_key=KEY, base_url="http://box.test", transport=transport, hooks=Hooks(on_end=ask)) as nb:
        token = _of_the_caller.set("mine")
        nb.account.balance()
        _of_the_caller.reset(token)
        nb.with_options(hooks=[]).account.balance()
    assert called == [("mine", False)]


def test_a_hook_that_calls_the_blocking_client_is_refused_and_the_call_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"token_balance": 1}))
    again = Hooks(on_response=lambda event: nb.account.me())
    with NeuralBox(api_key=KEY, base_url="http://box.test", transport=transport, hooks=again) as nb:
        assert nb.account.balance().token_balance == 1
    assert caplog.messages == ["The hook `on_response` raised; the call goes on."]


async def test_the_other_service_has_hooks_as_well() -> None:
    hooks, seen = recorder()
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"result": [], "total": 0}))
    async with AsyncGeminiGen(api_key=KEY, base_url="http://gem.test", transport=transport, hooks=hooks) as gg:
        await gg.history.list()
        assert (seen[0].service, seen[0].template, seen[0].path) == ("geminigen", "/histories", "/histories")
        seen.clear()
        await gg.with_options(hooks=[]).history.list()
        assert seen == []


# What became of a paid call.


async def test_the_end_of_a_paid_call_tells_what_it_made_and_cost() -> None:
    hooks, seen = recorder()
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    bench = make_core([reply(200, {**DONE, "usage": usage})], hooks=hooks)
    await Text(bench.core).create(model="gpt-5", prompt="p", temperature=0.5, max_tokens=None)
    call, end = seen[0], seen[-1]
    assert (call.operation, call.kind, call.model, call.is_paid) == ("create", "text", "gpt-5", True)
    assert call.settings == {"temperature": 0.5}
    assert (end.job, end.status, end.tokens) == (JobRef(7, "text", "gpt-5"), "completed", 2)
    assert (end.input_tokens, end.output_tokens) == (10, 20)


async def test_settings_inside_params_are_told_and_words_are_not() -> None:
    hooks, seen = recorder()
    bench = make_core([reply(200, DONE)], hooks=hooks)
    body = {"model": "m", "prompt": "p", "seed": True, "params": {"duration": 5, "temperature": "hot"}}
    request = Request("POST", "/generate", RetrySafety.PAID, body=body)
    await submission.send(bench.core, request, CallOptions(), kind=None, model="m")
    assert seen[0].settings == {"duration": 5}


async def test_waiting_belongs_to_a_call_that_creates() -> None:
    hooks, seen = recorder()
    pending = {"id": 7, "status": "pending"}
    video = {"id": 7, "status": "completed", "result_url": "http://s.test/v.mp4", "tokens_spent": 26}

    def answer(sent: Sent) -> Any:
        if sent.method == "POST":
            return reply(200, pending)
        if sent.path == "/user/history":
            return reply(200, {"items": [], "total": 0})
        return reply(200, video)

    bench = make_core(answer, hooks=hooks)
    await Videos(bench.core).create(model="kling-v2.1", prompt="p")
    call, end = seen[0], seen[-1]
    assert end.call is call
    assert (end.status, end.tokens, end.attempts) == ("completed", 26, 1)
    polls = [other for other in only(seen, CallInfo) if other is not call]
    assert {poll.operation for poll in polls} == {"request"}  # each poll is a call of its own, inside


async def test_a_generation_that_fails_is_told_with_its_state() -> None:
    hooks, seen = recorder()
    bench = make_core([reply(200, {"id": 7, "status": "failed", "error": "no"})], hooks=hooks)
    with pytest.raises(errors.GenerationFailedError):
        await Videos(bench.core).create(model="kling-v2.1", prompt="p")
    assert (seen[-1].error, seen[-1].status, seen[-1].job.id) == ("GenerationFailedError", "failed", 7)


async def test_a_refusal_is_told_as_free() -> None:
    hooks, seen = recorder()
    bench = make_core([refusal(402, "insufficient_tokens")], hooks=hooks)
    with pytest.raises(errors.InsufficientTokensError):
        await buy(bench)
    assert told(seen) == ["submit", "request 1", "response 1: 402", "refused", "end: InsufficientTokensError"]
    assert (seen[-1].status_code, seen[-1].job) == (402, None)


def history(*items: dict[str, Any]) -> Any:
    return reply(200, {"items": list(items), "total": len(items)}, date="Sat, 20 Sep 2025 10:00:05 GMT")


def of_the_purchase(seen: list[Any]) -> list[str]:
    """Without the requests for the history, which are calls of their own."""
    first = seen[0]
    return told([event for event in seen if event is first or getattr(event, "call", None) is first])


async def test_a_lost_answer_that_is_not_looked_for_is_told_as_unknown() -> None:
    hooks, seen = recorder()
    bench = make_core([LOST], hooks=hooks, submission="raise")
    with pytest.raises(errors.SubmissionUnknownError):
        await buy(bench)
    assert of_the_purchase(seen) == [
        "submit",
        "request 1",
        "failure 1: ConnectionLostError",
        "lost",
        "unknown",
        "end: SubmissionUnknownError",
    ]


async def test_a_lost_request_that_may_be_sent_twice_is_told_as_a_repetition() -> None:
    hooks, seen = recorder()
    bench = make_core([LOST, reply(200, DONE)], hooks=hooks, submission="resend")
    await buy(bench)
    assert of_the_purchase(seen)[3:6] == ["lost", "retry 2: unknown", "request 2"]
    assert only(seen, RetryEvent)[0].error == "ConnectionLostError"


async def test_a_cancelled_purchase_is_told_as_unknown() -> None:
    hooks, seen = recorder()
    bench = make_core([STALL], hooks=hooks)
    async with cancelled_at_a_stall():
        await buy(bench)
    assert told(seen) == ["submit", "request 1", "failure 1: Cancelled", "unknown", "end: Cancelled"]


async def test_a_purchase_that_was_cancelled_before_it_left_is_told_as_free() -> None:
    hooks, seen = recorder()
    bench = make_core([Unsent(STALL)], hooks=hooks)
    async with cancelled_at_a_stall():
        await buy(bench)
    assert told(seen)[-2:] == ["refused", "end: Cancelled"]


# Found in the history, or proven absent.


async def test_an_answer_that_is_found_is_told_as_adopted_once() -> None:
    hooks, seen = recorder()
    async with a_shop() as shop:
        shop.end_with("dropped after")
        await Text(shop.core(hooks=hooks)).create(model="gpt-5", prompt="Greet me")
    assert of_the_purchase(seen) == [
        "create",
        "request 1",
        "failure 1: ConnectionLostError",
        "lost",
        "adopted",
        "end: None",
    ]
    assert only(seen, SubmissionEvent)[-1].job == seen[-1].job == JobRef(18_000, "text", "gpt-5")


async def test_a_failure_that_was_accepted_all_the_same_is_told_as_adopted() -> None:
    hooks, seen = recorder()
    async with a_shop() as shop:
        shop.end_with("500 after")
        await Text(shop.core(hooks=hooks)).create(model="gpt-5", prompt="Greet me")
    assert of_the_purchase(seen)[-2:] == ["adopted", "end: None"]


async def test_what_was_never_accepted_is_told_as_absent_and_sent_again() -> None:
    hooks, seen = recorder()
    async with a_shop() as shop:
        core = shop.core(hooks=hooks)
        await Text(core).create(model="gpt-5", prompt="Good morning")  # what shows that the history tells all
        seen.clear()
        shop.end_with("answered", "dropped before")
        await Text(core).create(model="gpt-5", prompt="Greet me")
    assert of_the_purchase(seen) == [
        "create",
        "request 1",
        "failure 1: ConnectionLostError",
        "lost",
        "absent",
        "retry 2: absent",
        "request 2",
        "response 2: 200",
        "accepted",
        "end: None",
    ]
    assert only(seen, RetryEvent)[0].error == "ConnectionLostError"


async def test_what_nobody_can_tell_is_told_as_unknown() -> None:
    hooks, seen = recorder()
    async with a_shop() as shop:
        shop.end_with("dropped before")
        shop.listing.fails = lambda number, now: refusal(403, "permission_denied")
        with pytest.raises(errors.SubmissionUnknownError):
            await Text(shop.core(hooks=hooks)).create(model="gpt-5", prompt="Greet me")
    assert of_the_purchase(seen)[-2:] == ["unknown", "end: SubmissionUnknownError"]


async def test_a_stream_that_breaks_before_its_id_is_told_as_adopted() -> None:
    hooks, seen = recorder()
    async with a_shop() as shop:
        shop.events = lambda sold: [LOST]
        async with TextStream(shop.core(hooks=hooks), STREAM) as stream:
            await stream.collect()
    assert of_the_purchase(seen) == ["stream", "request 1", "response 1: 200", "lost", "adopted", "end: None"]
    assert (seen[-1].status, seen[-1].tokens) == ("completed", 2)


# Streams.

EVENTS = [
    b'data: {"type": "generation_start", "generation_id": 9, "model": "gpt-5"}\n\n',
    b'data: {"type": "content_delta", "delta": "Hel"}\n\n',
    b'data: {"type": "content_delta", "delta": "lo"}\n\n',
    b'data: {"type": "generation_end", "tokens_spent": 3}\n\n',
    b"data: [DONE]\n\n",
]
STREAM = Request(
    "POST",
    "/generate",
    RetrySafety.PAID,
    body={"model": "gpt-5", "prompt": "Greet me", "stream": True},
    accept="text/event-stream",
)


async def test_a_stream_is_one_call_from_the_entering_of_its_block_to_its_end() -> None:
    hooks, seen = recorder()
    bench = make_core([errors.ConnectError("refused"), Streamed(EVENTS)], hooks=hooks)
    async with TextStream(bench.core, STREAM) as stream:
        assert (await stream.collect()).text == "Hello"
        assert told(seen)[-2:] == ["response 2: 200", "accepted"]
    assert told(seen) == [
        "stream",
        "request 1",
        "failure 1: ConnectError",
        "retry 2: not sent",
        "request 2",
        "response 2: 200",
        "accepted",
        "end: None",
    ]
    assert only(seen, ResponseEvent)[0].size_bytes is None
    assert (seen[-1].status, seen[-1].tokens, seen[-1].job) == ("completed", 3, JobRef(9, "text", "gpt-5"))


async def test_a_stream_that_is_refused_is_over() -> None:
    hooks, seen = recorder()
    bench = make_core([refusal(402, "insufficient_tokens")], hooks=hooks)
    with pytest.raises(errors.InsufficientTokensError):
        await TextStream(bench.core, STREAM).__aenter__()
    assert told(seen)[-2:] == ["refused", "end: InsufficientTokensError"]


async def test_a_stream_that_is_never_sent_is_over() -> None:
    hooks, seen = recorder()
    bench = make_core([], hooks=hooks, budget=None)
    bench.transport.closed = True
    with pytest.raises(errors.ConfigurationError):
        await TextStream(bench.core, STREAM).__aenter__()
    assert told(seen)[-1] == "end: ConfigurationError"


async def test_a_stream_that_is_cancelled_while_it_begins_is_over() -> None:
    hooks, seen = recorder()
    bench = make_core([STALL], hooks=hooks)
    async with cancelled_at_a_stall():
        await TextStream(bench.core, STREAM).__aenter__()
    assert told(seen)[-2:] == ["unknown", "end: Cancelled"]


async def test_a_stream_that_is_left_early_is_over_without_a_result() -> None:
    hooks, seen = recorder()
    bench = make_core([Streamed(EVENTS)], hooks=hooks)
    async with TextStream(bench.core, STREAM) as stream:
        async for _ in stream:
            break
    assert (seen[-1].status, seen[-1].job) == (None, JobRef(9, "text", "gpt-5"))
    await stream.__aexit__(None, None, None)  # a blocking client may be closed by its user and by its collection
    assert told(seen).count("end: None") == 1


# Downloads.


async def test_a_download_tells_where_from_and_nothing_of_the_address() -> None:
    hooks, seen = recorder()
    bench = make_core([reply(200, b"123"), reply(200, b"123")], hooks=hooks)
    for url in ("https://user:planted@store.test:8443/planted/a.png?sig=planted", "http://[::1]/planted"):
        async with bench.core.fetch(url) as got:
            assert await got.read(max_bytes=10) == b"123"
    first, second = only(seen, CallInfo)
    assert (first.operation, first.server, first.path, first.template) == (
        "download",
        "https://store.test:8443",
        "",
        None,
    )
    assert second.server == "http://[::1]"
    assert told(seen)[:4] == ["download", "request 1", "response 1: 200", "end: None"]
    assert "planted" not in repr(seen)


# Paths.


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/generate", "/generate"),
        ("/generate/stream", "/generate/stream"),
        ("/generate/18500", "/generate/{id}"),
        ("/generate/status/gen_1", "/generate/status/{id}"),
        ("/models/gpt-5/calculate-price", "/models/{slug}/calculate-price"),
        ("/history/0199", "/history/{id}"),
        ("/new/endpoint", None),
        ("/api/v2", None),
    ],
)
def test_a_path_is_told_with_the_documented_one_it_belongs_to(path: str, template: str | None) -> None:
    assert template_of(path) == template


async def test_a_query_in_the_path_of_a_request_is_sent_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    hooks, seen = recorder()
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={})

    async with make_client(handler, hooks=hooks) as nb:
        with caplog.at_level(logging.DEBUG, "neuralbox"):
            await nb.request("GET", "/new/endpoint?code=planted&empty=", params={"n": 1})
    assert asked == ["http://box.test/api/v2/new/endpoint?code=planted&empty=&n=1"]
    assert "planted" not in repr(seen) + caplog.text
    assert (seen[0].path, seen[0].template) == ("/new/endpoint", None)


def test_events_are_plain_values() -> None:
    call = CallInfo(1, "request", "neuralbox", "http://box.test", "GET", "/models")
    assert call != CallInfo(1, "request", "neuralbox", "http://box.test", "GET", "/models")  # one call, one object
    assert RequestEvent(call, 1) == RequestEvent(call, 1)
    with pytest.raises(AttributeError):
        call.path = "/"  # type: ignore[misc]
