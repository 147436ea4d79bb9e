"""Telling a client's hooks what its calls do.

The send loop tells the listeners of a call what its attempts come to; the hooks are one of them. One `CallObserver` goes
with a call from its beginning to its end: the send loop tells it of attempts, `_submissions.submission` of what became of
the money. It turns what it is told into events of plain values. Where a client has no hooks there is no `CallObserver`,
and nothing is done. What a hook raises is logged here: a call that was paid for goes on.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

from .._api import gemini_vocabulary, vocabulary
from .._api.reply import without_secrets
from .._api.request import Request, RetrySafety
from .._config import ClientOptions
from .._errors import NeuralBoxError
from .._hooks import (
    CallInfo,
    EndEvent,
    Event,
    FailureEvent,
    Hooks,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    SubmissionEvent,
)
from .._models.generation import Generation
from .._types import JobRef

logger = logging.getLogger("neuralbox")

_number = itertools.count(1)
_SETTINGS: Final = ("temperature", "max_tokens", "seed", "duration")


class Answer(Protocol):
    """Stand for a reply, whole or streamed."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class AttemptListener:
    """Hears of the attempts of one call; each method does nothing unless a subclass says otherwise."""

    __slots__ = ()

    def sending(self) -> None:
        """Hear that an attempt begins."""

    def leaving(self) -> None:
        """Keep the first byte of a paid request from leaving, by raising; it counts as not sent.

        Raises:
            NeuralBoxError: It may not leave.
        """

    def answered(self, reply: Answer) -> None:
        """Hear that an answer has come, of whatever status; of a streamed one its headers."""

    def failed(self, error: BaseException) -> None:
        """Hear that an attempt ended without an answer."""

    def refused(self, error: NeuralBoxError, reply: Answer) -> None:
        """Hear that the answer was an error, or could not be read."""

    def repeating(self, reason: str, error: NeuralBoxError, pause: float) -> None:
        """Hear that another attempt follows after so many seconds."""

    async def before_repeat(self) -> None:
        """Hold the other attempt back, after its pause, until it may be sent.

        Raises:
            NeuralBoxError: It may not; the call ends with this.
        """


def observer_of(
    options: ClientOptions,
    clock: Callable[[], float],
    request: Request,
    operation: str = "request",
    *,
    kind: str | None = None,
    model: str | None = None,
) -> CallObserver:
    """Return the observer of a call, for a client that has hooks."""
    return CallObserver(options.hooks, clock, describe_call(options, request, operation, kind=kind, model=model))


def observe_call(
    options: ClientOptions,
    clock: Callable[[], float],
    request: Request,
    operation: str,
    *,
    kind: str | None,
    model: str | None,
) -> AbstractContextManager[CallObserver | None]:
    """Observe the call that is made inside the block; None where the client has no hooks."""
    if not options.hooks:
        return nullcontext()
    return observer_of(options, clock, request, operation, kind=kind, model=model)


class CallObserver(AttemptListener):
    """Tells hooks of one call; a context manager around the call, or ended by hand.

    Attributes:
        call: What it is.
        attempts: How many were made so far.
    """

    __slots__ = (
        "_began",
        "_clock",
        "_hooks",
        "_job",
        "_outcome",
        "_result",
        "_started",
        "_status_code",
        "attempts",
        "call",
        "is_over",
    )

    def __init__(self, hooks: tuple[Hooks, ...], clock: Callable[[], float], call: CallInfo) -> None:
        self.call: CallInfo = call
        self.attempts: int = 0
        self.is_over: bool = False
        self._hooks = hooks
        self._clock = clock
        self._started = self._began = clock()
        self._status_code: int | None = None
        self._job: JobRef | None = None
        self._outcome = ""
        self._result: Generation | None = None
        self._tell("on_call", call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    # Attempts.

    def sending(self) -> None:
        """Tell that an attempt begins."""
        self.attempts += 1
        self._began = self._clock()
        self._status_code = None
        self._tell("on_request", RequestEvent(self.call, self.attempts))

    def answered(self, reply: Answer) -> None:
        """Tell of an answer."""
        self._status_code = reply.status_code
        content: bytes | None = getattr(reply, "content", None)
        size = None if content is None else len(content)
        request_id = without_secrets(reply.headers.get("x-request-id", "")) or None
        seconds = self._clock() - self._began
        self._tell("on_response", ResponseEvent(self.call, self.attempts, reply.status_code, seconds, size, request_id))

    def failed(self, error: BaseException) -> None:
        """Tell of what came in an answer's place."""
        self._status_code = status_of(error)
        seconds = self._clock() - self._began
        self._tell("on_failure", FailureEvent(self.call, self.attempts, name_of(error), seconds))

    def repeating(self, reason: str, error: NeuralBoxError, pause: float = 0.0) -> None:
        """Tell that another attempt follows."""
        event = RetryEvent(self.call, self.attempts + 1, reason, name_of(error), status_of(error), pause)
        self._tell("on_retry", event)

    # What became of it.

    def record_submission(self, outcome: str, job: JobRef | None = None) -> None:
        """Tell what is known of a paid call now."""
        self._job = job or self._job
        if (self._outcome, outcome) == ("adopted", "accepted"):
            return  # what was found is taken over like any other answer, which is no news
        self._outcome = outcome
        self._tell("on_submission", SubmissionEvent(self.call, outcome, job))

    def record_result(self, result: Generation) -> None:
        """Take note of a result, or of the last that was seen of it, for the end."""
        self._result = result

    def end(self, error: BaseException | None = None) -> None:
        """Tell that the call is over; only once."""
        if self.is_over:
            return
        self.is_over = True
        last = getattr(error, "generation", None)
        seen = last if isinstance(last, Generation) else self._result
        job = getattr(error, "job", None) or self._job
        event = EndEvent(
            call=self.call,
            seconds=self._clock() - self._started,
            attempts=self.attempts,
            error=None if error is None else name_of(error),
            status_code=self._status_code,
            job=job if seen is None or seen.id == "" else seen.ref,
            status=None if seen is None else seen.status,
            tokens=None if seen is None else seen.tokens,
            input_tokens=None if seen is None or seen.usage is None else seen.usage.prompt_tokens,
            output_tokens=None if seen is None or seen.usage is None else seen.usage.completion_tokens,
        )
        self._tell("on_end", event, self._hooks[::-1])  # as blocks end that stand in one another

    def _tell(self, name: str, event: Event, told: tuple[Hooks, ...] | None = None) -> None:
        for hooks in self._hooks if told is None else told:
            function: Callable[[Event], object] | None = getattr(hooks, name)
            if function is not None:
                try:
                    function(event)
                except Exception:  # the user's own, whatever it is; the call may be paid for and goes on
                    logger.exception("The hook `%s` raised; the call goes on.", name)


# Plain values.


def describe_call(
    options: ClientOptions, request: Request, operation: str, *, kind: str | None, model: str | None
) -> CallInfo:
    """Say what a call is, without anything of what it says to the model."""
    is_paid = request.safety is RetrySafety.PAID
    return CallInfo(
        id=next(_number),
        operation=operation,
        service=options.service.name,
        server=options.base_url,
        method=request.method,
        path=request.path,
        template=template_of(request.path),
        is_paid=is_paid,
        kind=kind,
        model=model,
        settings=_settings_of(request) if is_paid else {},
    )


def describe_download(options: ClientOptions, url: str) -> CallInfo:
    """Say what a download is: where from, and nothing of an address that may be signed."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    server = f"{parts.scheme}://{host}" + ("" if parts.port is None else f":{parts.port}")
    return CallInfo(next(_number), "download", options.service.name, server, "GET", "")


def _settings_of(request: Request) -> Mapping[str, float]:
    body: Mapping[str, Any] = request.body or {}
    params = body.get("params")
    options = {**(params if isinstance(params, Mapping) else {}), **body}
    given = ((name, options.get(name)) for name in _SETTINGS)
    return {name: value for name, value in given if isinstance(value, int | float) and not isinstance(value, bool)}


def name_of(error: BaseException) -> str:
    """Return the class of an error; both event loops' cancellations have one name."""
    name = type(error).__name__
    return "Cancelled" if name == "CancelledError" else name


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status an error is about, if there is one."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


_PATHS: Final = frozenset(
    value
    for words in (vocabulary, gemini_vocabulary)
    for name, value in vars(words).items()
    if name.isupper() and isinstance(value, str) and value.startswith("/") and value != words.PREFIX
)
_PATTERNS: Final = tuple(tuple(path.split("/")) for path in sorted(_PATHS) if "{" in path)


def template_of(path: str) -> str | None:
    """Return the documented path that a filled one belongs to.

    >>> template_of("/user/history/18500/rate")
    '/user/history/{id}/rate'
    """
    if path in _PATHS:
        return path
    parts = path.split("/")
    for pattern in _PATTERNS:
        if len(pattern) == len(parts) and all(
            part == place or place.startswith("{") for part, place in zip(parts, pattern, strict=True)
        ):
            return "/".join(pattern)
    return None
