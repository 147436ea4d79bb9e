"""What can follow a sent request, and what we do: the table of docs/design/at-most-one-charge.md, line by line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox import _errors as errors
from neuralbox._api.reply import ErrorBody, read_json, status_error
from neuralbox._api.request import RetrySafety
from neuralbox._core.retry import (
    AttemptOutcome,
    RetryPolicy,
    StopReason,
    classify_attempt,
    decide,
    is_from_service,
    retry_after_of,
)

HTML = b"<html>Bad Gateway</html>"


def documented(code: str) -> bytes:
    return json.dumps({"error": code, "message": "No", "details": {}}).encode()


def refused(status: int, content: bytes = b"", *, sent: bool = True) -> AttemptOutcome:
    """The outcome of an attempt that was answered with a status."""
    return classify_attempt(answered(status, content), sent=sent)


def answered(status: int, content: bytes = b"") -> errors.APIStatusError:
    error = status_error(status, {}, content, now=0)
    error.is_from_service = ErrorBody(content).ours
    return error


# The table of docs/design/at-most-one-charge.md: what happened -> class.

ANSWERED: list[tuple[str, int, bytes, AttemptOutcome]] = [
    ("429 as documented JSON", 429, documented("rate_limit_exceeded"), AttemptOutcome.BUSY),
    ("429 with a sentence for a code", 429, b'{"error": "Too many requests"}', AttemptOutcome.BUSY),
    ("429 as FastAPI says it", 429, b'{"detail": "Too many requests"}', AttemptOutcome.BUSY),
    ("503 model_unavailable as documented JSON", 503, documented("model_unavailable"), AttemptOutcome.BUSY),
    *(
        (f"{status} of the service", status, documented("x"), AttemptOutcome.REFUSED)
        for status in (400, 401, 402, 403, 404, 422)
    ),
    *(
        (f"{status} as FastAPI says it", status, b'{"detail": "No"}', AttemptOutcome.REFUSED)
        for status in (400, 401, 403, 404, 405, 409, 410, 418, 451, 499)
    ),
    *(
        (f"{status} of anybody", status, content, AttemptOutcome.UNKNOWN)
        for status in (400, 401, 402, 403, 404, 405, 408, 409, 410, 422, 451, 499)
        for content in (HTML, b"", b'{"message": "Forbidden"}')
    ),
    ("408 of the service", 408, documented("request_timeout"), AttemptOutcome.UNKNOWN),
    *((f"{status}: too large for anybody", status, HTML, AttemptOutcome.REFUSED) for status in (413, 414, 431)),
    *((f"3xx: {status}", status, b"", AttemptOutcome.REFUSED) for status in (300, 301, 302, 303, 307, 308, 399)),
    ("500 provider_error as documented JSON", 500, documented("provider_error"), AttemptOutcome.UNKNOWN),
    ("500 with another code", 500, documented("internal"), AttemptOutcome.UNKNOWN),
    ("500 without our JSON", 500, HTML, AttemptOutcome.UNKNOWN),
    ("500 cut in the middle", 500, documented("provider_error")[:-4], AttemptOutcome.UNKNOWN),
    ("501", 501, documented("provider_error"), AttemptOutcome.UNKNOWN),
    ("502", 502, HTML, AttemptOutcome.UNKNOWN),
    ("502 with our JSON", 502, documented("model_unavailable"), AttemptOutcome.UNKNOWN),
    ("504", 504, b"", AttemptOutcome.UNKNOWN),
    ("429 without our JSON", 429, HTML, AttemptOutcome.UNKNOWN),
    ("429 with somebody else's JSON", 429, b'{"message": "API rate limit exceeded"}', AttemptOutcome.UNKNOWN),
    ("503 without our JSON", 503, HTML, AttemptOutcome.UNKNOWN),
    ("503 with another code", 503, documented("maintenance"), AttemptOutcome.UNKNOWN),
    ("429 that names the code of a 503", 429, documented("model_unavailable"), AttemptOutcome.BUSY),
    ("500 that names the code of a 503", 500, documented("model_unavailable"), AttemptOutcome.UNKNOWN),
]


@pytest.mark.parametrize(
    ("status", "content", "outcome"), [row[1:] for row in ANSWERED], ids=[row[0] for row in ANSWERED]
)
def test_what_a_status_means(status: int, content: bytes, outcome: AttemptOutcome) -> None:
    assert refused(status, content) is outcome
    # An answer proves that the request had left, even to an engine that did not notice.
    assert refused(status, content, sent=False) is outcome


LOST: list[tuple[str, errors.NeuralBoxError, bool, AttemptOutcome]] = [
    ("no connection", errors.ConnectError("refused"), False, AttemptOutcome.NOT_SENT),
    ("TLS failure", errors.ConnectError("certificate"), True, AttemptOutcome.NOT_SENT),
    ("no free slot", errors.APITimeoutError("pool", phase="pool"), True, AttemptOutcome.NOT_SENT),
    ("connecting took too long", errors.APITimeoutError("connect", phase="connect"), True, AttemptOutcome.NOT_SENT),
    ("lost before the first byte", errors.ConnectionLostError("reset"), False, AttemptOutcome.NOT_SENT),
    (
        "deadline before the first byte",
        errors.APITimeoutError("deadline", phase="deadline"),
        False,
        AttemptOutcome.NOT_SENT,
    ),
    ("lost after the first byte", errors.ConnectionLostError("reset"), True, AttemptOutcome.UNKNOWN),
    ("writing took too long", errors.APITimeoutError("write", phase="write"), True, AttemptOutcome.UNKNOWN),
    ("reading took too long", errors.APITimeoutError("read", phase="read"), True, AttemptOutcome.UNKNOWN),
    (
        "deadline after the first byte",
        errors.APITimeoutError("deadline", phase="deadline"),
        True,
        AttemptOutcome.UNKNOWN,
    ),
    ("a 2xx that cannot be read", errors.ProtocolError("HTML", status_code=200), True, AttemptOutcome.UNKNOWN),
    ("a 403 that cannot be read", errors.ProtocolError("long", status_code=403), True, AttemptOutcome.UNKNOWN),
    ("a redirect that cannot be read", errors.ProtocolError("long", status_code=301), True, AttemptOutcome.REFUSED),
    ("not HTTP", errors.ProtocolError("garbage"), True, AttemptOutcome.UNKNOWN),
    ("nobody is logged in", errors.ConfigurationError("log in"), True, AttemptOutcome.NOT_SENT),
]


@pytest.mark.parametrize(("error", "sent", "outcome"), [row[1:] for row in LOST], ids=[row[0] for row in LOST])
def test_what_no_reply_means(error: errors.NeuralBoxError, sent: bool, outcome: AttemptOutcome) -> None:
    assert classify_attempt(error, sent=sent) is outcome
    assert not is_from_service(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 500, 502, 503])
def test_a_page_of_somebody_else_is_not_the_services_word(status: int) -> None:
    assert is_from_service(answered(status, documented("x")))
    for page in (HTML, b"", b'{"message": "Forbidden"}', documented("x")[:-4]):
        assert not is_from_service(answered(status, page))


# What follows: safety x outcome.

FOLLOWED = {
    RetrySafety.REPEATABLE: {
        AttemptOutcome.NOT_SENT,
        AttemptOutcome.BUSY,
        AttemptOutcome.UNKNOWN,
    },
    RetrySafety.ONCE: {AttemptOutcome.NOT_SENT, AttemptOutcome.BUSY},
    RetrySafety.PAID: {AttemptOutcome.NOT_SENT, AttemptOutcome.BUSY},
}
LOST_ERROR = errors.ConnectionLostError("reset")
PLAIN = RetryPolicy()


def follow(
    policy: RetryPolicy = PLAIN,
    *,
    safety: RetrySafety = RetrySafety.REPEATABLE,
    outcome: AttemptOutcome = AttemptOutcome.UNKNOWN,
    error: errors.NeuralBoxError = LOST_ERROR,
    attempt: int = 1,
    elapsed: float = 0.0,
    jitter: float = 0.5,
) -> float | StopReason:
    return decide(policy, safety=safety, outcome=outcome, error=error, attempt=attempt, elapsed=elapsed, jitter=jitter)


@pytest.mark.parametrize("safety", RetrySafety)
@pytest.mark.parametrize("outcome", AttemptOutcome)
def test_what_may_be_repeated(safety: RetrySafety, outcome: AttemptOutcome) -> None:
    step = follow(safety=safety, outcome=outcome)
    if outcome in FOLLOWED[safety]:
        assert step == 0.25
    else:
        assert step is StopReason.FINAL


@pytest.mark.parametrize("content", [HTML, b"", documented("provider_error"), documented("overloaded")])
def test_nothing_paid_is_sent_again_that_may_have_been_accepted(content: bytes) -> None:
    for status in range(300, 600):
        outcome = refused(status, content)
        step = follow(safety=RetrySafety.PAID, outcome=outcome, error=answered(status, content))
        assert step is StopReason.FINAL or (status == 429 and content.startswith(b"{")), status


@pytest.mark.parametrize("safety", RetrySafety)
def test_a_call_that_cannot_be_right_is_not_repeated(safety: RetrySafety) -> None:
    error = errors.ConfigurationError("log in")
    assert follow(safety=safety, outcome=AttemptOutcome.NOT_SENT, error=error) is StopReason.FINAL


@pytest.mark.parametrize(("status", "final"), [(200, True), (204, True), (None, False), (502, False)])
def test_an_answer_that_cannot_be_read_would_come_again(status: int | None, final: bool) -> None:
    step = follow(error=errors.ProtocolError("HTML", status_code=status))
    assert (step is StopReason.FINAL) is final


@pytest.mark.parametrize("content", [b"", HTML, b'{"id": 7, "status": "comp', b'{"id": 7,, "status": "completed"}'])
def test_an_answer_that_is_no_json_is_asked_for_again(content: bytes) -> None:
    with pytest.raises(errors.ProtocolError) as caught:
        read_json(200, content)
    assert follow(error=caught.value) == 0.25
    for safety in (RetrySafety.ONCE, RetrySafety.PAID):
        assert follow(safety=safety, error=caught.value) is StopReason.FINAL


@pytest.mark.parametrize(
    ("attempt", "step"), [(1, 0.25), (2, 0.5), (3, StopReason.EXHAUSTED), (9, StopReason.EXHAUSTED)]
)
def test_attempts_are_counted_after_the_first(attempt: int, step: float | StopReason) -> None:
    assert follow(attempt=attempt) == step


def test_no_retries_means_one_attempt() -> None:
    assert follow(RetryPolicy(max_retries=0)) is StopReason.EXHAUSTED


@pytest.mark.parametrize(
    ("attempt", "bound"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (1_000, 8.0), (100_000, 8.0)]
)
def test_the_pause_doubles_up_to_a_bound_and_is_anywhere_below_it(attempt: int, bound: float) -> None:
    policy = RetryPolicy(max_retries=1_000_000)
    assert follow(policy, attempt=attempt, jitter=0.0) == 0.0
    assert follow(policy, attempt=attempt, jitter=0.25) == bound / 4
    assert follow(policy, attempt=attempt, jitter=0.999_999) == pytest.approx(bound, rel=1e-5)


def test_the_numbers_of_the_back_off_are_the_policys() -> None:
    policy = RetryPolicy(max_retries=9, first_pause=3.0, longest_pause=10.0)
    assert [follow(policy, attempt=attempt, jitter=1.0) for attempt in (1, 2, 3)] == [3.0, 6.0, 10.0]


def limited(wait: float | None) -> dict[str, Any]:
    return {"outcome": AttemptOutcome.BUSY, "error": errors.RateLimitError("limit", status_code=429, retry_after=wait)}


@pytest.mark.parametrize("safety", RetrySafety)
@pytest.mark.parametrize(
    ("wait", "step"), [(0.0, 0.25), (0.5, 0.75), (7, 8.0), (42.0, 43.0), (60.0, 61.0), (60.1, StopReason.TOO_LONG)]
)
def test_the_wait_the_service_asks_for_counts_up_to_a_cap(
    safety: RetrySafety, wait: float, step: float | StopReason
) -> None:
    assert follow(safety=safety, **limited(wait)) == step


@pytest.mark.parametrize(("wait", "width"), [(0.0, 0.5), (1.0, 0.5), (2.0, 1.0), (4.0, 2.0), (8.0, 2.0), (60.0, 2.0)])
def test_a_crowd_that_is_told_one_wait_comes_back_after_it_and_spread(wait: float, width: float) -> None:
    assert follow(jitter=0.0, **limited(wait)) == wait
    assert follow(jitter=0.999_999, **limited(wait)) == pytest.approx(wait + width, rel=1e-5)


def test_without_a_wait_a_limit_is_followed_by_the_back_off() -> None:
    assert follow(**limited(None)) == 0.25


def test_a_wait_is_read_from_a_model_that_is_down_too() -> None:
    error = errors.ModelUnavailableError("down", status_code=503, retry_after=12.0)
    assert retry_after_of(error) == 12.0
    assert retry_after_of(LOST_ERROR) is None


@pytest.mark.parametrize(
    ("elapsed", "step"),
    [
        (0.0, 6.0),
        (4.9, pytest.approx(5.05)),
        (5.0, StopReason.DEADLINE),
        (9.0, StopReason.DEADLINE),
        (99.0, StopReason.DEADLINE),
    ],
)
def test_a_pause_that_would_pass_the_deadline_is_not_begun(elapsed: float, step: float | StopReason) -> None:
    assert follow(RetryPolicy(deadline=10.0), elapsed=elapsed, **limited(5.0)) == step


def test_the_cap_is_named_before_the_deadline_and_the_count_before_both() -> None:
    policy = RetryPolicy(deadline=10.0)
    assert follow(policy, **limited(100.0)) is StopReason.TOO_LONG
    assert follow(policy, attempt=3, **limited(100.0)) is StopReason.EXHAUSTED


def test_each_reason_to_stop_can_be_told() -> None:
    told = [stop.value.format(attempts=3, delay=420.0, max_wait=60.0, deadline=10.0) for stop in StopReason]
    assert told[0] == ""
    assert "3 attempts" in told[1]
    assert "420 s" in told[2]
    assert "60 s" in told[2]
    assert "10 s" in told[3]


@pytest.mark.uncovered
@given(
    st.sampled_from(list(RetrySafety)),
    st.sampled_from(list(AttemptOutcome)),
    st.integers(1, 2_000),
    st.floats(0, 1e6),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e308),
)
def test_whatever_follows_is_a_bounded_pause_or_a_reason(
    safety: RetrySafety, outcome: AttemptOutcome, attempt: int, elapsed: float, jitter: float, wait: float | None
) -> None:
    policy = RetryPolicy(max_retries=1_500, deadline=5e5)
    error = errors.RateLimitError("limit", status_code=429, retry_after=wait)
    step = follow(policy, safety=safety, outcome=outcome, error=error, attempt=attempt, elapsed=elapsed, jitter=jitter)
    if not isinstance(step, StopReason):
        assert outcome in FOLLOWED[safety]
        assert (wait or 0.0) <= step <= policy.max_wait + 2.0
        assert elapsed + step < 5e5
