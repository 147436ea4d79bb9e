"""Every error this package raises, as one tree divided by what the caller can do next.

    NeuralBoxError
      ConfigurationError (ValueError)        before any I/O: mend the call
      APIConnectionError                     no complete reply
        ConnectError                         nothing was sent: repeating is safe
        ConnectionLostError                  effect unknown: repeat only what is safe by its meaning
        APITimeoutError (TimeoutError)       `.phase` says which wait
      ProtocolError                          a reply outside our vocabulary; `.body` is an excerpt
      APIStatusError                         `.status_code .code .message .details .request_id .body .headers .raw`
        BadRequestError 400   AuthenticationError 401   InsufficientTokensError 402
        PermissionDeniedError 403   NotFoundError 404   UnprocessableEntityError 422 (`.fields`)
        RateLimitError 429 (`.retry_after .plan .limit_hour .limit_day`)
        InternalServerError 5xx: ProviderError 500, ModelUnavailableError 503
      GenerationError                        `.job`: a JobRef; `.generation`: the last that was seen
        GenerationFailedError  GenerationTimeoutError (TimeoutError)  SubmissionUnknownError
        SchemaMismatchError                  `.text .problems .answers`
      StreamInterruptedError                 `.text` so far, `.job`
      BudgetExceededError (`.price .left .budget`)  JournalError
      WebhookError                           `.reason .status_code`
      DownloadError                          `.status_code`
        ExpiredFileError                     `.plan .expired_at`

Errors carry plain values - a status, an id, a sentence - never responses or handles, so they have no
cycles, survive pickling and copying, and hold no credential. Any error of a wait has the job in `.job`.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from ._types import JobRef

if TYPE_CHECKING:
    import datetime as dt
else:

    class _LateDatetime:
        """The module `datetime`, imported by whoever resolves type hints: `import neuralbox` stays light."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("datetime"), name)

    dt = _LateDatetime()

Phase: TypeAlias = Literal["connect", "write", "read", "pool", "deadline"]
"""Which wait ran out: opening the connection, sending, reading, waiting for a slot, or the whole call."""


def _rebuild(cls: type[NeuralBoxError], args: tuple[Any, ...], state: dict[str, Any]) -> NeuralBoxError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class NeuralBoxError(Exception):
    """The root of the tree. `except NeuralBoxError` catches whatever this package raises on purpose.

    Attributes:
        message: What happened and what to try, in a sentence or two.
        job: The paid generation concerned, where there is one; `client.job(error.job)` attaches again.
        generations: Of a wait for many: what was last seen of each, in input order, None where nothing was.
    """

    job: JobRef | None
    generations: Sequence[Any]

    def __init__(self, message: str, *, job: JobRef | None = None) -> None:
        super().__init__(message)
        self.job = job
        self.generations = ()

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else ""

    def with_job(self, job: JobRef) -> Self:
        """Return this error for a wait: it carries the job, and says how to go on with it (once), unless it is not there."""
        error = copy.copy(self)
        error.job = job
        advice = f"The {job} is not lost: `client.job(error.job)` attaches again."
        is_lost = isinstance(self, NotFoundError) and self.is_from_service
        error.args = (self.message if is_lost or advice in self.message else f"{self.message} {advice}",)
        error.__cause__, error.__traceback__ = self.__cause__, self.__traceback__
        return error

    def __str__(self) -> str:
        return self.message

    # Keyword-only constructors cannot be called back from `args` alone, so pickle and copy restore the state instead.
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class ConfigurationError(NeuralBoxError, ValueError):
    """The call cannot be right whatever the service says; nothing was sent."""


# No complete reply.


class APIConnectionError(NeuralBoxError):
    """The exchange with the service ended without a complete reply."""


class ConnectError(APIConnectionError):
    """No connection could be made (name, route, TLS, refused): nothing was sent."""


class ConnectionLostError(APIConnectionError):
    """The connection broke after sending had begun: whether the service acted is unknown."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """A wait for the service ran out.

    Attributes:
        phase: `connect` and `pool` mean that nothing was sent; `deadline` is the limit of the whole call.
    """

    phase: Phase

    def __init__(self, message: str, *, phase: Phase, job: JobRef | None = None) -> None:
        super().__init__(message, job=job)
        self.phase = phase


class ProtocolError(NeuralBoxError):
    """The service answered something that is not in its own language (HTML, broken JSON, another shape, too much).

    Attributes:
        status_code: HTTP status of the answer, or None where there was none.
        body: The first characters of the answer; never the whole.
        is_garbled: Whether it was no JSON at all: broken on the way, perhaps, so that another attempt may bring it whole.
    """

    status_code: int | None
    body: str
    is_garbled: bool = False

    def __init__(
        self, message: str, *, status_code: int | None = None, body: str = "", job: JobRef | None = None
    ) -> None:
        super().__init__(message, job=job)
        self.status_code = status_code
        self.body = body


# A reply that says no.


class APIStatusError(NeuralBoxError):
    """The service refused with an HTTP status.

    Attributes:
        status_code: The HTTP status.
        code: The service's machine code (`insufficient_tokens`, ...), or None where the body had none.
        details: The body's `details`, empty where it had none.
        request_id: The request id, where a proxy or the service sends one (undocumented).
        body: The first characters of the answer, without what looks like a credential.
        headers: Those of its headers that tell nothing secret (dates, limits, ids), names in lower case.
        raw: The fields of its JSON object, those we do not know included, without what looks like a credential.
        is_from_service: Whether the service itself refused. A page of a proxy or of a content network is not its word,
            whatever the status.
    """

    status_code: int
    code: str | None
    details: Mapping[str, Any]
    request_id: str | None
    body: str
    headers: Mapping[str, str]
    raw: Mapping[str, Any]
    is_from_service: bool = True

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        raw: Mapping[str, Any] | None = None,
        job: JobRef | None = None,
    ) -> None:
        super().__init__(message, job=job)
        self.status_code = status_code
        self.code = code
        self.details = dict(details or {})
        self.request_id = request_id
        self.body = body
        self.headers = dict(headers or {})
        self.raw = dict(raw or {})


class BadRequestError(APIStatusError):
    """400: bad or missing parameters."""


class AuthenticationError(APIStatusError):
    """401: the credential is missing, wrong or expired."""


class InsufficientTokensError(APIStatusError):
    """402: the balance does not cover the price."""


class PermissionDeniedError(APIStatusError):
    """403: the plan does not include this; API access needs VIP or Elite."""


class NotFoundError(APIStatusError):
    """404: unknown id, model or path."""


class UnprocessableEntityError(APIStatusError):
    """422: the body does not fit the schema.

    Attributes:
        fields: Field name to complaint, as far as the body could be read; its layout is undocumented.
    """

    fields: Mapping[str, str]

    def __init__(self, message: str, *, fields: Mapping[str, str] | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.fields = dict(fields or {})


class RateLimitError(APIStatusError):
    """429: the hourly or daily limit is reached.

    Attributes:
        retry_after: Seconds until another try makes sense, or None where the service did not say.
        plan: The plan whose limit it is, or None.
        limit_hour: Requests an hour that the plan allows, or None where the service did not say.
        limit_day: Requests a day that the plan allows, or None where the service did not say.
    """

    retry_after: float | None
    plan: str | None
    limit_hour: int | None
    limit_day: int | None

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        plan: str | None = None,
        limit_hour: int | None = None,
        limit_day: int | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(message, **rest)
        self.retry_after = retry_after
        self.plan = plan
        self.limit_hour = limit_hour
        self.limit_day = limit_day


class InternalServerError(APIStatusError):
    """5xx: the service or a proxy before it failed."""


class ProviderError(InternalServerError):
    """500: the upstream provider failed; documented as never charged."""


class ModelUnavailableError(InternalServerError):
    """503: the model is down or overloaded.

    Attributes:
        retry_after: Seconds until another try makes sense, or None where the service did not say.
    """

    retry_after: float | None

    def __init__(self, message: str, *, retry_after: float | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.retry_after = retry_after


# A generation that gave no result, or none yet.


class GenerationError(NeuralBoxError):
    """A generation gave no result.

    Attributes:
        job: Which generation; None only where its id was never learnt.
        generation: The last record that was seen of it (`Generation`), or None.
    """

    generation: Any

    def __init__(self, message: str, *, job: JobRef | None = None, generation: Any = None) -> None:
        super().__init__(message, job=job)
        self.generation = generation


class GenerationFailedError(GenerationError):
    """The generation ended as `failed`; the service documents that no tokens are charged for it."""


class GenerationTimeoutError(GenerationError, TimeoutError):
    """The wait's limit passed; the generation still runs on the server and is charged when it completes."""


class SubmissionUnknownError(GenerationError):
    """A paid request was sent and its outcome never arrived: it may have been accepted and charged.

    It was not sent again. `client.reconcile()` searches for it once more; `client.history.list()` shows what there is.

    Attributes:
        request: The body that was sent (the prompt is in it, so it is kept out of the message).
        sent_at: Unix seconds of this machine's clock just before the first byte left.
        lost_at: Unix seconds when the outcome was given up.
        window: When it was created if it was accepted: two Unix times of the service's clock; None where the history
            was not looked at, or its clock is unknown.
        candidates: Generations of the history that may be this one (`Generation`).
    """

    request: Mapping[str, Any]
    sent_at: float | None
    lost_at: float | None
    window: tuple[float, float] | None
    candidates: Sequence[Any]

    def __init__(
        self,
        message: str,
        *,
        request: Mapping[str, Any] | None = None,
        sent_at: float | None = None,
        lost_at: float | None = None,
        window: tuple[float, float] | None = None,
        candidates: Sequence[Any] = (),
        job: JobRef | None = None,
    ) -> None:
        super().__init__(message, job=job)
        self.request = dict(request or {})
        self.sent_at = sent_at
        self.lost_at = lost_at
        self.window = window
        self.candidates = tuple(candidates)


class SchemaMismatchError(GenerationError):
    """A text was paid for, and does not fit the `schema` it was asked to fit.

    Attributes:
        text: The last answer as it came.
        problems: What is wrong with it, in words.
        answers: Every answer that was paid for (`Generation`), the last one in `.generation`.
    """

    text: str
    problems: Sequence[str]
    answers: Sequence[Any]

    def __init__(
        self,
        message: str,
        *,
        text: str = "",
        problems: Sequence[str] = (),
        answers: Sequence[Any] = (),
        job: JobRef | None = None,
        generation: Any = None,
    ) -> None:
        super().__init__(message, job=job, generation=generation)
        self.text = text
        self.problems = tuple(problems)
        self.answers = tuple(answers)


class StreamInterruptedError(NeuralBoxError):
    """A stream was cut before its end and the rest could not be recovered.

    Attributes:
        text: All text that arrived.
        job: The generation, where its id had arrived.
    """

    text: str

    def __init__(self, message: str, *, text: str = "", job: JobRef | None = None) -> None:
        super().__init__(message, job=job)
        self.text = text


class BudgetExceededError(NeuralBoxError):
    """The next paid call would exceed the budget; it was not sent.

    Attributes:
        price: Tokens it would have cost, or None where nobody knows.
        left: Tokens of the budget that are neither spent nor reserved.
        budget: The whole budget, in tokens.
    """

    price: int | None
    left: int
    budget: int

    def __init__(
        self, message: str, *, price: int | None = None, left: int = 0, budget: int = 0, job: JobRef | None = None
    ) -> None:
        super().__init__(message, job=job)
        self.price = price
        self.left = left
        self.budget = budget


class JournalError(NeuralBoxError):
    """The journal of a batch cannot be used: another owner, other requests, a broken or full disk.

    Attributes:
        reason: One word for programs: `locked` (another process has it), `account`, `service`, `version`, `foreign` (no
            journal of ours), `changed` (other requests), `duplicate`, `state` (a mark that does not follow), `full`,
            `corrupt`, `unwritable`, `missing`, `closed`; of one that many share also `lease` (this process was away for too
            long), `taken` (another worker has the request), `restored` (a backup in the place of the database). New words
            may come.
        path: The journal's file, its address without a password, or None for one in memory.
        key: The request concerned, where it is one.
        unwritten: Jobs by key that are paid for and stand nowhere on the disk yet. The journal holds on to them and
            writes them as soon as it can, at the latest on closing; after that this is all that is left of them.
    """

    reason: str
    path: str | None
    key: str | None
    unwritten: Mapping[str, JobRef]

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        path: str | None = None,
        key: str | None = None,
        job: JobRef | None = None,
        unwritten: Mapping[str, JobRef] | None = None,
    ) -> None:
        super().__init__(message, job=job)
        self.reason = reason
        self.path = path
        self.key = key
        self.unwritten = dict(unwritten or {})


class WebhookError(NeuralBoxError):
    """What was posted to a webhook is no event, or not signed as one.

    Attributes:
        reason: One word for programs: `unreadable` or `signature`. New words may come.
        status_code: The HTTP status to answer with: 400, or 401 for a signature.
    """

    reason: str

    def __init__(self, message: str, *, reason: str = "", job: JobRef | None = None) -> None:
        super().__init__(message, job=job)
        self.reason = reason

    @property
    def status_code(self) -> int:
        return 401 if self.reason == "signature" else 400


class DownloadError(NeuralBoxError):
    """A file could not be fetched whole; nothing stands under its final name.

    Attributes:
        status_code: The HTTP status its server answered with, where that was the reason; else None.
    """

    status_code: int | None

    def __init__(self, message: str, *, status_code: int | None = None, job: JobRef | None = None) -> None:
        super().__init__(message, job=job)
        self.status_code = status_code


class ExpiredFileError(DownloadError):
    """The storage has no such file (404, 410), most likely no longer: its time has passed.

    Attributes:
        plan: The plan whose retention counts, where the caller named it; else None.
        expired_at: When the file was due to go (UTC), where the record or the plan tells; else None.
    """

    plan: str | None
    expired_at: dt.datetime | None

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        plan: str | None = None,
        expired_at: dt.datetime | None = None,
        job: JobRef | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, job=job)
        self.plan = plan
        self.expired_at = expired_at
