"""What can follow a sent request, and what we do: the table of the design, line by line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox import _errors as errors
from neuralbox._api.reply import ErrorBody, status_error
from neuralbox._api.request import Safety
from neuralbox._core.retry import Fate, RetryPolicy, Stop, asked_wait, decide, fate_of

HTML = b"<html>Bad Gateway</html>"


def documented(code: str) -> bytes:
    return json.dumps({"error": code, "message": "No", "details": {}}).encode()


def refused(status: int, content: bytes = b"", *, sent: bool = True) -> Fate:
    """The fate of an attempt that was answered with a status."""
    error = status_error(status, {}, content, now=0)
    return fate_of(error, sent=sent, ours=ErrorBody(content).ours)


# The table of design section 5: what happened -> class.

ANSWERED: list[tuple[str, int, bytes, Fate]] = [
    ("429 as documented JSON", 429, documented("rate_limit_exceeded"), Fate.BUSY),
    ("429 with a sentence for a code", 429, b'{"error": "Too many requests"}', Fate.BUSY),
    ("429 as FastAPI says it", 429, b'{"detail": "Too many requests"}', Fate.BUSY),
    ("503 model_unavailable as documented JSON", 503, documented("model_unavailable"), Fate.BUSY),
    *((f"{status} of the service", status, documented("x"), Fate.REFUSED) for status in (400, 401, 402, 403, 404, 422)),
    *((f"{status} of anybody", status, HTML, Fate.REFUSED) for status in (400, 401, 402, 403, 404, 422)),
    *((f"any other 4xx: {status}", status, b"", Fate.REFUSED) for status in (405, 408, 409, 413, 418, 451, 499)),
    *((f"3xx: {status}", status, b"", Fate.REFUSED) for status in (301, 302, 303, 307, 308)),
    ("500 provider_error as documented JSON", 500, documented("provider_error"), Fate.FREE_FAILURE),
    ("500 with another code", 500, documented("internal"), Fate.UNKNOWN),
    ("500 without our JSON", 500, HTML, Fate.UNKNOWN),
    ("500 cut in the middle", 500, documented("provider_error")[:-4], Fate.UNKNOWN),
    ("501", 501, documented("provider_error"), Fate.UNKNOWN),
    ("502", 502, HTML, Fate.UNKNOWN),
    ("502 with our JSON", 502, documented("model_unavailable"), Fate.UNKNOWN),
    ("504", 504, b"", Fate.UNKNOWN),
    ("429 without our JSON", 429, HTML, Fate.UNKNOWN),
    ("429 with somebody else's JSON", 429, b'{"message": "API rate limit exceeded"}', Fate.UNKNOWN),
    ("503 without our JSON", 503, HTML, Fate.UNKNOWN),
    ("503 with another code", 503, documented("maintenance"), Fate.UNKNOWN),
    ("429 that names the code of a 503", 429, documented("model_unavailable"), Fate.BUSY),
    ("500 that names the code of a 503", 500, documented("model_unavailable"), Fate.UNKNOWN),
]


@pytest.mark.parametrize(("status", "content", "fate"), [row[1:] for row in ANSWERED], ids=[row[0] for row in ANSWERED])
def test_what_a_status_means(status: int, content: bytes, fate: Fate) -> None:
    assert refused(status, content) is fate
    # An answer proves that the request had left, even to an engine that did not notice.
    assert refused(status, content, sent=False) is fate


LOST: list[tuple[str, errors.NeuralBoxError, bool, Fate]] = [
    ("no connection", errors.ConnectError("refused"), False, Fate.NOT_SENT),
    ("TLS failure", errors.ConnectError("certificate"), True, Fate.NOT_SENT),
    ("no free slot", errors.APITimeoutError("pool", phase="pool"), True, Fate.NOT_SENT),
    ("connecting took too long", errors.APITimeoutError("connect", phase="connect"), True, Fate.NOT_SENT),
    ("lost before the first byte", errors.ConnectionLostError("reset"), False, Fate.NOT_SENT),
    ("deadline before the first byte", errors.APITimeoutError("deadline", phase="deadline"), False, Fate.NOT_SENT),
    ("lost after the first byte", errors.ConnectionLostError("reset"), True, Fate.UNKNOWN),
    ("writing took too long", errors.APITimeoutError("write", phase="write"), True, Fate.UNKNOWN),
    ("reading took too long", errors.APITimeoutError("read", phase="read"), True, Fate.UNKNOWN),
    ("deadline after the first byte", errors.APITimeoutError("deadline", phase="deadline"), True, Fate.UNKNOWN),
    ("a 2xx that cannot be read", errors.ProtocolError("HTML", status_code=200), True, Fate.UNKNOWN),
    ("not HTTP", errors.ProtocolError("garbage"), True, Fate.UNKNOWN),
    ("nobody is logged in", errors.ConfigurationError("log in"), True, Fate.NOT_SENT),
]


@pytest.mark.parametrize(("error", "sent", "fate"), [row[1:] for row in LOST], ids=[row[0] for row in LOST])
@pytest.mark.parametrize("ours", [False, True])
def test_what_no_reply_means(error: errors.NeuralBoxError, sent: bool, fate: Fate, ours: bool) -> None:
    assert fate_of(error, sent=sent, ours=ours) is fate


# What follows: safety x fate.

FOLLOWED = {
    Safety.REPEATABLE: {Fate.NOT_SENT, Fate.BUSY, Fate.FREE_FAILURE, Fate.UNKNOWN},
    Safety.ONCE: {Fate.NOT_SENT, Fate.BUSY},
    Safety.PAID: {Fate.NOT_SENT, Fate.BUSY},
}
LOST_ERROR = errors.ConnectionLostError("reset")
PLAIN = RetryPolicy()


def follow(
    policy: RetryPolicy = PLAIN,
    *,
    safety: Safety = Safety.REPEATABLE,
    fate: Fate = Fate.UNKNOWN,
    error: errors.NeuralBoxError = LOST_ERROR,
    attempt: int = 1,
    elapsed: float = 0.0,
    jitter: float = 0.5,
) -> float | Stop:
    return decide(policy, safety=safety, fate=fate, error=error, attempt=attempt, elapsed=elapsed, jitter=jitter)


@pytest.mark.parametrize("safety", Safety)
@pytest.mark.parametrize("fate", Fate)
def test_what_may_be_repeated(safety: Safety, fate: Fate) -> None:
    step = follow(safety=safety, fate=fate)
    if fate in FOLLOWED[safety]:
        assert step == 0.25
    else:
        assert step is Stop.FINAL


@pytest.mark.parametrize("content", [HTML, b"", documented("provider_error"), documented("overloaded")])
def test_nothing_paid_is_sent_again_that_may_have_been_accepted(content: bytes) -> None:
    for status in range(300, 600):
        fate = refused(status, content)
        step = follow(safety=Safety.PAID, fate=fate, error=status_error(status, {}, content, now=0))
        assert step is Stop.FINAL or (status == 429 and content.startswith(b"{")), status


@pytest.mark.parametrize("safety", Safety)
def test_a_call_that_cannot_be_right_is_not_repeated(safety: Safety) -> None:
    error = errors.ConfigurationError("log in")
    assert follow(safety=safety, fate=Fate.NOT_SENT, error=error) is Stop.FINAL


@pytest.mark.parametrize(("status", "final"), [(200, True), (204, True), (None, False), (502, False)])
def test_an_answer_that_cannot_be_read_would_come_again(status: int | None, final: bool) -> None:
    step = follow(error=errors.ProtocolError("HTML", status_code=status))
    assert (step is Stop.FINAL) is final


@pytest.mark.parametrize(("attempt", "step"), [(1, 0.25), (2, 0.5), (3, Stop.EXHAUSTED), (9, Stop.EXHAUSTED)])
def test_attempts_are_counted_after_the_first(attempt: int, step: float | Stop) -> None:
    assert follow(attempt=attempt) == step


def test_no_retries_means_one_attempt() -> None:
    assert follow(RetryPolicy(max_retries=0)) is Stop.EXHAUSTED


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
    return {"fate": Fate.BUSY, "error": errors.RateLimitError("limit", status_code=429, retry_after=wait)}


@pytest.mark.parametrize("safety", Safety)
@pytest.mark.parametrize(("wait", "step"), [(0.0, 0.25), (42.0, 42.0), (60.0, 60.0), (60.1, Stop.TOO_LONG), (7, 7)])
def test_the_wait_the_service_asks_for_counts_up_to_a_cap(safety: Safety, wait: float, step: float | Stop) -> None:
    assert follow(safety=safety, **limited(wait)) == step


def test_without_a_wait_a_limit_is_followed_by_the_back_off() -> None:
    assert follow(**limited(None)) == 0.25


def test_a_wait_is_read_from_a_model_that_is_down_too() -> None:
    error = errors.ModelUnavailableError("down", status_code=503, retry_after=12.0)
    assert asked_wait(error) == 12.0
    assert asked_wait(LOST_ERROR) is None


@pytest.mark.parametrize(
    ("elapsed", "step"), [(0.0, 5.0), (4.9, 5.0), (5.0, Stop.DEADLINE), (9.0, Stop.DEADLINE), (99.0, Stop.DEADLINE)]
)
def test_a_pause_that_would_pass_the_deadline_is_not_begun(elapsed: float, step: float | Stop) -> None:
    assert follow(RetryPolicy(deadline=10.0), elapsed=elapsed, **limited(5.0)) == step


def test_the_cap_is_named_before_the_deadline_and_the_count_before_both() -> None:
    policy = RetryPolicy(deadline=10.0)
    assert follow(policy, **limited(100.0)) is Stop.TOO_LONG
    assert follow(policy, attempt=3, **limited(100.0)) is Stop.EXHAUSTED


def test_each_reason_to_stop_can_be_told() -> None:
    told = [stop.value.format(attempts=3, delay=420.0, max_wait=60.0, deadline=10.0) for stop in Stop]
    assert told[0] == ""
    assert "3 attempts" in told[1]
    assert "420 s" in told[2]
    assert "60 s" in told[2]
    assert "10 s" in told[3]


@given(
    st.sampled_from(list(Safety)),
    st.sampled_from(list(Fate)),
    st.integers(1, 2_000),
    st.floats(0, 1e6),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e308),
)
def test_whatever_follows_is_a_bounded_pause_or_a_reason(
    safety: Safety, fate: Fate, attempt: int, elapsed: float, jitter: float, wait: float | None
) -> None:
    policy = RetryPolicy(max_retries=1_500, deadline=5e5)
    error = errors.RateLimitError("limit", status_code=429, retry_after=wait)
    step = follow(policy, safety=safety, fate=fate, error=error, attempt=attempt, elapsed=elapsed, jitter=jitter)
    if not isinstance(step, Stop):
        assert fate in FOLLOWED[safety]
        assert 0 <= step <= policy.max_wait
        assert elapsed + step < 5e5
