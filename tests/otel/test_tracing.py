"""What OpenTelemetry is told of a client's calls: one span for each, in the words of its conventions, no secret in any."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from neuralbox import _errors as errors
from neuralbox._api.request import Request
from neuralbox._hooks import CallInfo, EndEvent, Hooks
from neuralbox._resources.text import Text
from neuralbox._resources.videos import Videos
from neuralbox._text_stream.stream import TextStream
from neuralbox.otel import tracing
from neuralbox.sync import NeuralBox
from tests.core.test_call_events import DONE, EVENTS, STREAM
from tests.helpers import KEY, STALL, Sent, Step, Streamed, cancelled_at_a_stall, make_core, refusal, reply
from tests.service import a_shop

pytestmark = pytest.mark.anyio


class Traced:
    """Hooks that trace, and what they have traced so far."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.hooks = tracing(self.provider)
        self.tracer = self.provider.get_tracer("the user's program")

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    @property
    def only(self) -> ReadableSpan:
        [span] = self.spans
        return span


@pytest.fixture
def traced() -> Traced:
    return Traced()


def told(span: ReadableSpan) -> list[str]:
    return [event.name.removeprefix("neuralbox.") for event in span.events]


async def test_a_generation_has_a_span_by_the_genai_conventions(traced: Traced) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    bench = make_core([reply(200, {**DONE, "usage": usage})], hooks=traced.hooks, base_url="https://box.test:8443")
    await Text(bench.core).create(model="gpt-5", prompt="planted", temperature=0.5, max_tokens=100)
    span = traced.only
    assert (span.name, span.kind, span.parent) == ("chat gpt-5", trace.SpanKind.CLIENT, None)
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "neuralbox",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.output.type": "text",
        "gen_ai.response.id": "7",
        "gen_ai.response.model": "gpt-5",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.template": "/generate",
        "server.address": "box.test",
        "server.port": 8443,
        "neuralbox.status": "completed",
        "neuralbox.submission": "accepted",
        "neuralbox.tokens": 2,
    }
    assert span.status.is_unset
    assert told(span) == ["request", "response", "submission"]
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "neuralbox"


async def test_attempts_and_repetitions_are_events_of_the_span(traced: Traced) -> None:
    script: list[Step] = [errors.ConnectError("refused"), refusal(503, "model_unavailable"), reply(200, DONE)]
    bench = make_core(script, hooks=traced.hooks)
    await Text(bench.core).create(model="gpt-5", prompt="planted")
    span = traced.only
    assert told(span) == [
        "request",
        "failure",
        "retry",
        "request",
        "response",
        "retry",
        "request",
        "response",
        "submission",
    ]
    assert [dict(event.attributes or {}) for event in span.events if event.name == "neuralbox.retry"] == [
        {
            "neuralbox.attempt": 2,
            "neuralbox.retry.reason": "not sent",
            "neuralbox.retry.pause": 0.25,
            "error.type": "ConnectError",
        },
        {
            "neuralbox.attempt": 3,
            "neuralbox.retry.reason": "busy",
            "neuralbox.retry.pause": 0.5,
            "error.type": "ModelUnavailableError",
            "http.response.status_code": 503,
        },
    ]
    assert span.attributes is not None
    assert span.attributes["http.request.resend_count"] == 2


async def test_waiting_is_part_of_the_span_and_polls_are_its_children(traced: Traced) -> None:
    def answer(sent: Sent) -> Any:
        if sent.method == "POST":
            return reply(200, {"id": 7, "status": "pending"})
        return reply(200, {"id": 7, "status": "completed", "tokens_spent": 26})

    bench = make_core(answer, hooks=traced.hooks)
    await Videos(bench.core).create(model="kling-v2.1", prompt="planted", duration=5)
    *polls, span = traced.spans
    assert span.name == "generate_content kling-v2.1"
    assert span.attributes is not None
    assert (span.attributes["gen_ai.output.type"], span.attributes["neuralbox.tokens"]) == ("video", 26)
    assert polls
    for poll in polls:
        assert poll.name == "GET /generate/{id}"
        assert poll.parent == span.get_span_context()
        assert poll.attributes == {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "url.template": "/generate/{id}",
            "server.address": "box.test",
            "server.port": 80,
        }


async def test_the_current_span_is_the_parent_and_is_current_again_afterwards(traced: Traced) -> None:
    bench = make_core([reply(200, DONE), refusal(404, "not_found")], hooks=traced.hooks)
    with traced.tracer.start_as_current_span("request of a user") as outer:
        await Text(bench.core).create(model="gpt-5", prompt="planted")
        with pytest.raises(errors.NotFoundError):
            await bench.core.send(Request("GET", "/models/x"), bench.core.as_json)
        assert trace.get_current_span() is outer
    first, second, _ = traced.spans
    assert first.parent == second.parent == outer.get_span_context()


async def test_calls_at_once_do_not_take_each_other_for_parents(traced: Traced) -> None:
    bench = make_core(lambda sent: reply(200, {}), hooks=traced.hooks)

    async def call() -> None:
        await bench.core.send(Request("GET", "/models"), bench.core.as_json)

    with traced.tracer.start_as_current_span("request of a user") as outer:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
    assert [span.parent for span in traced.spans[:5]] == [outer.get_span_context()] * 5


async def test_a_call_that_fails_says_which_error_and_nothing_of_its_text(traced: Traced) -> None:
    bench = make_core([refusal(422, "moderated", "'planted prompt' is not allowed")], hooks=traced.hooks)
    with pytest.raises(errors.UnprocessableEntityError, match="planted prompt"):
        await Text(bench.core).create(model="gpt-5", prompt="planted prompt")
    span = traced.only
    assert span.attributes is not None
    assert span.attributes["error.type"] == "UnprocessableEntityError"
    assert span.attributes["neuralbox.submission"] == "refused"
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, None)
    assert "planted" not in span.to_json()


async def test_a_cancelled_call_has_a_span_that_ended(traced: Traced) -> None:
    bench = make_core([STALL], hooks=traced.hooks)
    async with cancelled_at_a_stall():
        await bench.core.send(Request("GET", "/new/endpoint"), bench.core.as_json)
    span = traced.only
    assert span.name == "GET"  # an endpoint that is not documented may have anything in its path
    assert span.attributes is not None
    assert span.attributes["error.type"] == "Cancelled"


async def test_an_answer_that_was_found_in_the_history_shows(traced: Traced) -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        await Text(shop.core(hooks=traced.hooks)).create(model="gpt-5", prompt="planted")
    span = traced.spans[-1]
    assert span.attributes is not None
    assert (span.attributes["neuralbox.submission"], span.attributes["gen_ai.response.id"]) == ("adopted", "18000")
    assert {one.name for one in traced.spans[:-1]} == {"GET /user/history", "GET /generate/{id}"}


async def test_a_stream_has_a_span_until_its_block_is_left_that_is_not_current_in_it(traced: Traced) -> None:
    bench = make_core([Streamed(EVENTS)], hooks=traced.hooks)
    with traced.tracer.start_as_current_span("request of a user") as outer:
        async with TextStream(bench.core, STREAM) as stream:
            assert trace.get_current_span() is outer
            await stream.collect()
            assert traced.spans == []
    span = traced.spans[0]
    assert (span.name, span.parent) == ("chat gpt-5", outer.get_span_context())
    assert span.attributes is not None
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["neuralbox.tokens"] == 3


async def test_a_generation_of_any_kind_has_a_name(traced: Traced) -> None:
    hooks = traced.hooks
    call = CallInfo(1, "create", "neuralbox", "unknown://", "POST", "/generate", "/generate", is_paid=True)
    assert hooks.on_call is not None
    assert hooks.on_end is not None
    hooks.on_call(call)
    hooks.on_end(EndEvent(call, 1.0, 1))
    assert traced.only.name == "generate_content"
    assert traced.only.attributes == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "neuralbox",
        "http.request.method": "POST",
        "url.template": "/generate",
    }


async def test_hooks_of_the_users_own_go_beside(traced: Traced) -> None:
    current: list[trace.Span] = []
    own = Hooks(on_response=lambda event: current.append(trace.get_current_span()))
    bench = make_core([reply(200, {})], hooks=[traced.hooks, own])
    await bench.core.send(Request("GET", "/models"), bench.core.as_json)
    assert [span.get_span_context() for span in current] == [traced.only.get_span_context()]


async def test_two_sets_of_tracing_hooks_nest_and_leave_the_users_span_current(traced: Traced) -> None:
    bench = make_core([reply(200, {})], hooks=[traced.hooks, tracing(traced.provider)])
    with traced.tracer.start_as_current_span("morning") as outer:
        await bench.core.send(Request("GET", "/models"), bench.core.as_json)
        assert trace.get_current_span() is outer
    inner, middle, _ = traced.spans
    assert inner.parent == middle.get_span_context()
    assert middle.parent == outer.get_span_context()


def test_the_blocking_client_takes_the_span_of_its_caller_for_the_parent(traced: Traced) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=DONE))
    client = NeuralBox(api_key=KEY, base_url="http://box.test", transport=transport, hooks=traced.hooks)
    with client as nb, traced.tracer.start_as_current_span("request of a user") as outer:
        nb.text.create(model="gpt-5", prompt="planted")
        assert trace.get_current_span() is outer
    span = traced.spans[0]
    assert (span.name, span.parent) == ("chat gpt-5", outer.get_span_context())


# What is not there.


def test_nobody_who_does_not_trace_loads_opentelemetry() -> None:
    code = "import sys; from neuralbox import AsyncNeuralBox; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "False"


def test_without_the_extra_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("neuralbox.otel", "neuralbox.otel._spans"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'neuralbox\[otel\]'"):
        importlib.import_module("neuralbox.otel")


def test_what_opentelemetry_itself_lacks_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise ModuleNotFoundError("No module named 'something'", name="something")

    for name in ("neuralbox.otel", "neuralbox.otel._spans"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", Broken("opentelemetry"))
    with pytest.raises(ModuleNotFoundError, match="No module named 'something'"):
        importlib.import_module("neuralbox.otel")
