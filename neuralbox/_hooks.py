"""`Hooks`: functions of the user's that are told what the calls of a client do, attempt by attempt.

The events are frozen and hold plain values: words, numbers, paths with ids in them. None holds a key, a prompt, a
header, a query or what the service wrote, so whatever is done with them, no secret goes with them. In the order in which
one call brings them:

    on_call                       the call begins
      on_request                  an attempt is about to be made
      on_response | on_failure    it was answered, whatever with; or no complete answer came
      on_retry                    another follows, after a pause
      on_submission               of a paid call: what became of it
    on_end                        the call is over

This module only describes; `_core.call_events` calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeAlias

from ._errors import ConfigurationError
from ._types import JobRef


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CallInfo:
    """One call of the client; all events of the call hold the same object.

    Attributes:
        id: Counts the calls of this process, from 1.
        operation: `create` (a generation, waiting for it included), `submit` (without the waiting; each request of a
            batch), `stream`, `download` (one exchange with a storage), or `request` for every other call of the API.
        service: `neuralbox` or `geminigen`.
        server: Scheme, host and port.
        method: HTTP method.
        path: Below the API's prefix; `""` for a download, whose path may be signed.
        template: The documented path it belongs to, such as `/generate/{id}`; None for one that is not documented.
        is_paid: Whether it may cost tokens.
        kind: `image`, `video`, ... of a paid call, where the method tells.
        model: The slug asked for, of a paid call.
        settings: `temperature`, `max_tokens`, `seed` and `duration` of a paid call, those of them that are numbers.
    """

    id: int
    operation: str
    service: str
    server: str
    method: str
    path: str
    template: str | None = None
    is_paid: bool = False
    kind: str | None = None
    model: str | None = None
    settings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """An attempt is about to be made.

    Attributes:
        call: The call.
        attempt: 1 for the call's first, over all repetitions.
    """

    call: CallInfo
    attempt: int


@dataclass(frozen=True, slots=True)
class ResponseEvent:
    """An attempt was answered, whatever with.

    Attributes:
        call: The call.
        attempt: Which attempt.
        status_code: The HTTP status.
        seconds: Since the attempt began, waiting for a connection included; of a stream or download to its headers.
        size_bytes: Length of the body, decompressed; None where it was not read yet.
        request_id: What the service calls this request, where it says so.
    """

    call: CallInfo
    attempt: int
    status_code: int
    seconds: float
    size_bytes: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class FailureEvent:
    """An attempt ended without a complete answer.

    Attributes:
        call: The call.
        attempt: Which attempt.
        error: Name of the error's class, such as `ConnectionLostError`; `Cancelled` where the caller gave up.
        seconds: Since the attempt began.
    """

    call: CallInfo
    attempt: int
    error: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """Another attempt follows.

    Attributes:
        call: The call.
        attempt: The one that follows.
        reason: What the last one came to: `not sent`, `busy`, `unknown`; `absent` where the history
            proved that the service never accepted it; `session expired` where the login was renewed.
        error: Name of the class of its error.
        status_code: Its HTTP status, or None where it had none.
        pause: Seconds until then.
    """

    call: CallInfo
    attempt: int
    reason: str
    error: str
    status_code: int | None
    pause: float


@dataclass(frozen=True, slots=True)
class SubmissionEvent:
    """What is known of a paid call has changed.

    Attributes:
        call: The call.
        outcome: `accepted`: it is a job. `refused`: nothing was charged. `lost`: no answer came, the history is
            searched. `adopted`: found there, so no second one was bought. `absent`: proven never to have been accepted.
            `unknown`: it may have been accepted; the call ends with `SubmissionUnknownError`. New words may come.
        job: The job, once its id is known.
    """

    call: CallInfo
    outcome: str
    job: JobRef | None = None


@dataclass(frozen=True, slots=True)
class EndEvent:
    """A call is over. What a result says is None where there is none, or where the service did not say it.

    Attributes:
        call: The call.
        seconds: How long it took, waiting included.
        attempts: How many were made.
        error: Name of the class of the error it ended with; `Cancelled` where its caller gave up; None for none.
        status_code: HTTP status of the last answer to an attempt.
        job: The generation of a paid call.
        status: The state it was seen in last.
        tokens: NeuralBox tokens that it cost.
        input_tokens: Tokens the language model read.
        output_tokens: Tokens the language model wrote.
    """

    call: CallInfo
    seconds: float
    attempts: int
    error: str | None = None
    status_code: int | None = None
    job: JobRef | None = None
    status: str | None = None
    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


Event: TypeAlias = CallInfo | RequestEvent | ResponseEvent | FailureEvent | RetryEvent | SubmissionEvent | EndEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Functions that are told what the calls of a client do: `AsyncNeuralBox(hooks=Hooks(on_retry=print))`.

    They are plain functions, called in the task of the call and in its context, between its steps: what they do has to be
    quick. What they raise is logged and goes no further. The blocking client's calls run in a thread of their own, and so
    do its hooks: they have to be thread-safe there, and cannot call the client.

    Attributes:
        on_call: A call begins.
        on_request: An attempt is about to be made.
        on_response: An attempt was answered.
        on_failure: An attempt was not answered.
        on_retry: Another attempt follows.
        on_submission: What is known of a paid call has changed.
        on_end: The call is over. A stream's ends with its block.

    Raises:
        ConfigurationError: One of them is no function, or an async one.
    """

    on_call: Callable[[CallInfo], object] | None = None
    on_request: Callable[[RequestEvent], object] | None = None
    on_response: Callable[[ResponseEvent], object] | None = None
    on_failure: Callable[[FailureEvent], object] | None = None
    on_retry: Callable[[RetryEvent], object] | None = None
    on_submission: Callable[[SubmissionEvent], object] | None = None
    on_end: Callable[[EndEvent], object] | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            function = getattr(self, each.name)
            if function is None:
                continue
            if not callable(function):
                raise ConfigurationError(f"hooks.{each.name} must be a function, not {type(function).__name__}.")
            if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
                raise ConfigurationError(f"hooks.{each.name} must be a plain function; it is async.")


def hooks_of(given: Hooks | Sequence[Hooks] | None) -> tuple[Hooks, ...]:
    """Read what a client is given as `hooks=`: none, one, or several that are told one after the other.

    Raises:
        ConfigurationError: It is something else.
    """
    if given is None:
        return ()
    several = (given,) if isinstance(given, Hooks) else tuple(given) if isinstance(given, Sequence) else (given,)
    for one in several:
        if not isinstance(one, Hooks):
            raise ConfigurationError(f"`hooks` must be Hooks, or a list of them, not {type(one).__name__}.")
    return several
