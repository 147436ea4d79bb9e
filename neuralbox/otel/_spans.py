"""From the events of hooks to spans: their names, their attributes, and which of them are current.

A span that goes on is found by the call it is of, which the call alone keeps alive; so one that is dropped half-way, a
stream that nobody leaves, takes its span along. `create`, `submit` and downloads are current while they go on, for what
the user's own callbacks do inside; a stream is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from opentelemetry import context, trace

from .._api.reply import safe_words
from .._hooks import CallInfo, EndEvent, FailureEvent, Hooks, RequestEvent, ResponseEvent, RetryEvent, SubmissionEvent
from .._version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context

# What is asked for, in the conventions' words; where those have none, in the service's.
_OUTPUTS: Final[Mapping[str, str]] = {"text": "text", "stt": "text", "tts": "speech", "tool": ""}
_SETTINGS: Final[Mapping[str, str]] = {
    "temperature": "gen_ai.request.temperature",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
}
_LONGEST_WORD: Final = 200
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

Value = str | bool | int | float


def tracing(tracer_provider: trace.TracerProvider | None = None) -> Hooks:
    """Make hooks that write a span for each call: `AsyncNeuralBox(hooks=tracing())`.

    With hooks of your own beside: `hooks=[tracing(), Hooks(...)]`.

    Args:
        tracer_provider: Where the spans go; default: the global one, also where that is set later.
    """
    spans = _Spans(tracer_provider)
    return Hooks(
        on_call=spans.begin,
        on_request=spans.request,
        on_response=spans.response,
        on_failure=spans.failure,
        on_retry=spans.retry,
        on_submission=spans.submission,
        on_end=spans.end,
    )


class _Open(NamedTuple):
    """The span of a call that goes on; `token` is that of the context in which it is current."""

    span: trace.Span
    token: Token[Context] | None


class _Spans:
    """The spans of the calls that go on; one that is dropped half-way takes its span along."""

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        self._tracer = trace.get_tracer("neuralbox", __version__, provider)
        self._open: WeakKeyDictionary[CallInfo, _Open] = WeakKeyDictionary()

    def begin(self, call: CallInfo) -> None:
        attributes = {**_server(call), "http.request.method": call.method}
        if call.template is not None:
            attributes["url.template"] = call.template
        name = " ".join(filter(None, (call.method, call.template)))
        if call.operation in ("create", "submit", "stream"):
            attributes |= _generation(call)
            name = " ".join(filter(None, (str(attributes["gen_ai.operation.name"]), call.model)))
        span = self._tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=attributes)
        # A stream's block is the user's own code, and may be left by another task than the one that entered it.
        is_current = call.operation != "stream"
        token = context.attach(trace.set_span_in_context(span)) if is_current else None
        self._open[call] = _Open(span, token)

    def request(self, event: RequestEvent) -> None:
        self._add(event.call, "request", {"neuralbox.attempt": event.attempt})

    def response(self, event: ResponseEvent) -> None:
        said: dict[str, Value | None] = {
            "neuralbox.attempt": event.attempt,
            "http.response.status_code": event.status_code,
            "http.response.body.size": event.size_bytes,
            "neuralbox.request_id": _word(event.request_id),
        }
        self._add(event.call, "response", said)

    def failure(self, event: FailureEvent) -> None:
        self._add(event.call, "failure", {"neuralbox.attempt": event.attempt, "error.type": event.error})

    def retry(self, event: RetryEvent) -> None:
        said: dict[str, Value | None] = {
            "neuralbox.attempt": event.attempt,
            "neuralbox.retry.reason": event.reason,
            "neuralbox.retry.pause": event.pause,
            "error.type": event.error,
            "http.response.status_code": event.status_code,
        }
        self._add(event.call, "retry", said)

    def submission(self, event: SubmissionEvent) -> None:
        job = None if event.job is None else _word(event.job.id)
        self._add(event.call, "submission", {"neuralbox.submission": event.outcome, "gen_ai.response.id": job})
        self._open[event.call].span.set_attribute("neuralbox.submission", event.outcome)

    def end(self, event: EndEvent) -> None:
        span, token = self._open.pop(event.call)
        said: dict[str, Value | None] = {
            "http.response.status_code": event.status_code,
            "http.request.resend_count": event.attempts - 1 if event.attempts > 1 else None,
            "gen_ai.response.id": None if event.job is None else _word(event.job.id),
            "gen_ai.response.model": None if event.job is None else _word(event.job.model),
            "gen_ai.usage.input_tokens": event.input_tokens,
            "gen_ai.usage.output_tokens": event.output_tokens,
            "neuralbox.status": _word(event.status),
            "neuralbox.tokens": event.tokens,
            "error.type": event.error,
        }
        span.set_attributes(_known(said))
        if event.error is not None:
            # Without the sentence: what the service says of a prompt may repeat it.
            span.set_status(trace.StatusCode.ERROR)
        span.end()
        if token is not None:
            context.detach(token)

    def _add(self, call: CallInfo, name: str, said: Mapping[str, Value | None]) -> None:
        self._open[call].span.add_event(f"neuralbox.{name}", _known(said))


def _word(said: object) -> str | None:
    """Return a word of the service as a span may show it; None where there is none."""
    return safe_words(said, _LONGEST_WORD) or None


def _known(said: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in said.items() if value is not None}


def _server(call: CallInfo) -> dict[str, Value]:
    parts = urlsplit(call.server)
    port = parts.port or _PORTS.get(parts.scheme)
    return _known({"server.address": parts.hostname, "server.port": port})


def _generation(call: CallInfo) -> dict[str, Value]:
    """The attributes of the GenAI conventions that are known when a call begins."""
    kind = call.kind or ""
    said: dict[str, Value | None] = {
        "gen_ai.operation.name": "chat" if kind == "text" else "generate_content",
        "gen_ai.provider.name": call.service,
        "gen_ai.request.model": call.model,
        "gen_ai.output.type": _OUTPUTS.get(kind, kind) or None,
        "gen_ai.request.stream": True if call.operation == "stream" else None,
    }
    said |= {_SETTINGS[name]: value for name, value in call.settings.items() if name in _SETTINGS}
    return _known(said)
