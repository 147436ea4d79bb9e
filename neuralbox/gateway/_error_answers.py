"""openai's error bodies: which status, type, code and headers stand for what went wrong here.

The status decides what openai's clients do next: they repeat 408, 409, 429 and 5xx by themselves, unless `x-should-retry`
says otherwise. Here a repetition is safe, since it joins the first submission; it is asked for where it may bring
something, and forbidden where it cannot (a budget that is used up, a generation that failed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final

from .. import _errors as errors
from .._plain_text import without_code

_INVALID: Final = "invalid_request_error"
_SERVER: Final = "server_error"


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What a refused or failed call is answered.

    Attributes:
        status: HTTP status.
        message: A sentence for people.
        type: openai's class of errors.
        param: The parameter that is to blame, where one is.
        code: openai's word for programs, where there is one.
        retry_after: Seconds until another try makes sense.
        should_retry: Whether the client shall repeat it by itself; None leaves it to the status.
    """

    status: int
    message: str
    type: str = _INVALID
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None
    should_retry: bool | None = None

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Return the headers that go with it."""
        found = {}
        if self.retry_after is not None:
            found["retry-after"] = str(max(1, ceil(self.retry_after)))
        if self.should_retry is not None:
            found["x-should-retry"] = "true" if self.should_retry else "false"
        return found


class RefusedCallError(Exception):
    """End a call with this answer; nothing was sent to the service."""

    def __init__(self, answer: ErrorAnswer) -> None:
        super().__init__(answer.message)
        self.answer = answer


def refuse(param: str | None, message: str, *, code: str | None = None, status: int = 400) -> RefusedCallError:
    """Build the refusal of a parameter."""
    return RefusedCallError(ErrorAnswer(status, message, param=param, code=code))


NO_KEY: Final = ErrorAnswer(
    401,
    "You didn't provide an API key. Pass one as `Authorization: Bearer <key>`; openai's clients call it `api_key`.",
    should_retry=False,
)
WRONG_KEY: Final = ErrorAnswer(
    401, "Incorrect API key provided: this gateway does not know it.", code="invalid_api_key", should_retry=False
)
MISCONFIGURED: Final = ErrorAnswer(
    503,
    "This gateway is not set up as it must be; its log says why, and its operator has to mend that. Nothing was sent.",
    type=_SERVER,
    code="misconfigured",
    should_retry=True,
)
NO_JOURNAL: Final = ErrorAnswer(
    503,
    "This gateway's journal cannot be used; its log says why, and its operator has to mend that.",
    type=_SERVER,
    code="journal_unavailable",
    retry_after=2.0,
    should_retry=True,
)
STOPPING: Final = ErrorAnswer(
    503, "The gateway is stopping. Nothing was sent.", type=_SERVER, code="stopping", retry_after=1.0, should_retry=True
)
CUT_SHORT: Final = replace(
    STOPPING, message="The gateway is stopping. The video may be deleted already; the same call again tells."
)
LEFT_BEHIND: Final = ErrorAnswer(
    503,
    "The gateway is stopping. What was sent goes on at the service, and the same call again finds it.",
    type=_SERVER,
    code="stopping",
    retry_after=1.0,
    should_retry=True,
)
LOST_BEHIND: Final = ErrorAnswer(
    503,
    "The gateway is stopping. What was sent goes on at the service and may be charged; without a journal the gateway does "
    "not know it again, so the same call would buy another.",
    type=_SERVER,
    code="stopping",
    should_retry=False,
)
BUG: Final = ErrorAnswer(
    500, "The gateway failed on this request; its log says why.", type=_SERVER, code="internal_error"
)


def too_large(most: int) -> ErrorAnswer:
    """Build the refusal of a body."""
    return ErrorAnswer(413, f"The request is larger than this gateway takes ({most} bytes).", code="request_too_large")


def no_model(model: str) -> ErrorAnswer:
    """Build the refusal of a model that is not there, or not for this key."""
    message = f"The model `{model[:100]}` does not exist or you do not have access to it."
    return ErrorAnswer(404, message, param="model", code="model_not_found")


def no_video(video_id: str) -> ErrorAnswer:
    """Build the refusal of a video that is not there, or another caller's."""
    return ErrorAnswer(404, f"No video with the id {video_id[:100]!r}.", param="video_id", code="not_found")


def too_often(limit: int, retry_after: float) -> ErrorAnswer:
    """Build the refusal of a key's request beyond its limit."""
    message = f"Rate limit reached: this key may send {limit} requests a minute."
    return ErrorAnswer(
        429, message, type="requests", code="rate_limit_exceeded", retry_after=retry_after, should_retry=True
    )


# What the client raised, in openai's words.


def error_answer(error: errors.NeuralBoxError, *, is_own_key: bool, model: str | None = None) -> ErrorAnswer:
    """Say an error of the client in openai's words.

    Args:
        error: What ended the call.
        is_own_key: Whether the account is the gateway's own, which is no fault of the caller's.
        model: The slug asked for.
    """
    said = without_code(error.message)
    if isinstance(error, errors.ConfigurationError):
        return ErrorAnswer(400, said, param=_named_in(said))
    if isinstance(error, errors.BudgetExceededError):
        return _quota(f"You exceeded your current quota: {said}")
    if isinstance(error, errors.APIStatusError):
        return _refused_by_service(error, is_own_key=is_own_key, model=model)
    if isinstance(error, errors.GenerationFailedError):
        return ErrorAnswer(500, said, type=_SERVER, code="generation_failed", should_retry=False)
    if isinstance(error, errors.JournalError) and error.reason == "changed":
        message = "This Idempotency-Key was used with another request. Nothing was sent."
        return ErrorAnswer(400, message, code="idempotency_key_reused", should_retry=False)
    if isinstance(error, errors.JournalError):  # where it is, and what is wrong with it, is the operator's business
        return NO_JOURNAL
    for kind, status, code, pause in _PASSING:
        if isinstance(error, kind):
            return ErrorAnswer(status, said, type=_SERVER, code=code, retry_after=pause, should_retry=True)
    return ErrorAnswer(502, said, type=_SERVER, code="upstream_error", should_retry=True)


# What another try, which joins the first, may still bring to a good end: status, code, seconds until then.
_PASSING: Final[tuple[tuple[type[errors.NeuralBoxError], int, str, float | None], ...]] = (
    (errors.SubmissionUnknownError, 502, "outcome_unknown", 5.0),
    (errors.GenerationTimeoutError, 504, "still_running", 5.0),
    (errors.APITimeoutError, 504, "upstream_timeout", None),
    (errors.DownloadError, 502, "download_failed", None),
)


def _refused_by_service(error: errors.APIStatusError, *, is_own_key: bool, model: str | None) -> ErrorAnswer:
    said = without_code(error.message)
    if isinstance(error, errors.AuthenticationError | errors.PermissionDeniedError):
        if is_own_key:  # the operator's business, and no second try helps
            message = "The service refuses this gateway's own key; its operator has to mend that."
            return ErrorAnswer(500, message, type=_SERVER, code="upstream_refused", should_retry=False)
        code = "invalid_api_key" if isinstance(error, errors.AuthenticationError) else "insufficient_plan"
        return ErrorAnswer(error.status_code, said, code=code, should_retry=False)
    if isinstance(error, errors.InsufficientTokensError):
        return _quota(f"You exceeded your current quota: {said}")
    if isinstance(error, errors.NotFoundError):
        return ErrorAnswer(404, said, code="not_found") if model is None else no_model(model)
    if isinstance(error, errors.RateLimitError):
        return ErrorAnswer(
            429, said, type="requests", code="rate_limit_exceeded", retry_after=error.retry_after, should_retry=True
        )
    if isinstance(error, errors.UnprocessableEntityError):
        fields: Mapping[str, str] = error.fields
        return ErrorAnswer(400, said, param=next(iter(fields), None))
    if isinstance(error, errors.ModelUnavailableError):
        return ErrorAnswer(503, said, type=_SERVER, code="model_unavailable", retry_after=error.retry_after)
    if error.status_code < 500:
        return ErrorAnswer(400, said)
    return ErrorAnswer(502, said, type=_SERVER, code=error.code or "upstream_error")


def _quota(message: str) -> ErrorAnswer:
    # openai answers 429 with this type where the money is used up; nothing but money helps.
    return ErrorAnswer(429, message, type="insufficient_quota", code="insufficient_quota", should_retry=False)


# Our names of what a caller calls otherwise.
_CALLERS_WORD: Final = {"text": "input", "audio": "file", "voice_id": "voice", "duration": "seconds"}


def _named_in(message: str) -> str | None:
    """Return the parameter that an error names first; our errors put it between backticks."""
    name = message.partition("`")[2].partition("`")[0]
    return _CALLERS_WORD.get(name, name) or None
