"""Errors of the client in openai's words: the status decides whether openai's clients repeat the call."""

from __future__ import annotations

import pytest

from neuralbox import _errors as errors
from neuralbox._types import JobRef
from neuralbox.gateway._error_answers import error_answer

STATUS = {"status_code": 0}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ConfigurationError("`text` is empty."), (400, "input", None, None)),
        (errors.ConfigurationError("Something else."), (400, None, None, None)),
        (errors.BudgetExceededError("No tokens are left."), (429, None, "insufficient_quota", False)),
        (errors.BadRequestError("No.", status_code=400), (400, None, None, None)),
        (errors.AuthenticationError("No.", status_code=401), (401, None, "invalid_api_key", False)),
        (errors.PermissionDeniedError("No.", status_code=403), (403, None, "insufficient_plan", False)),
        (errors.InsufficientTokensError("No.", status_code=402), (429, None, "insufficient_quota", False)),
        (errors.NotFoundError("No.", status_code=404), (404, "model", "model_not_found", None)),
        (
            errors.UnprocessableEntityError("No.", status_code=422, fields={"size": "wrong"}),
            (400, "size", None, None),
        ),
        (errors.RateLimitError("Later.", status_code=429, retry_after=7.2), (429, None, "rate_limit_exceeded", True)),
        (errors.ModelUnavailableError("Down.", status_code=503), (503, None, "model_unavailable", None)),
        (errors.ProviderError("Down.", status_code=500, code="provider_error"), (502, None, "provider_error", None)),
        (errors.GenerationFailedError("It failed."), (500, None, "generation_failed", False)),
        (errors.GenerationTimeoutError("It runs."), (504, None, "still_running", True)),
        (errors.SubmissionUnknownError("Who knows."), (502, None, "outcome_unknown", True)),
        (errors.APITimeoutError("Slow.", phase="read"), (504, None, "upstream_timeout", True)),
        (errors.ConnectError("Nobody there."), (502, None, "upstream_error", True)),
        (errors.StreamInterruptedError("Cut.", job=JobRef(1)), (502, None, "upstream_error", True)),
        (errors.DownloadError("Cut."), (502, None, "download_failed", True)),
        (errors.JournalError("Full.", reason="full"), (503, None, "journal_unavailable", True)),
        (errors.JournalError("Other.", reason="changed"), (400, None, "idempotency_key_reused", False)),
    ],
)
def test_each_error_has_a_status_a_word_and_a_view_on_repeating(
    error: errors.NeuralBoxError, expected: tuple[int, str | None, str | None, bool | None]
) -> None:
    answer = error_answer(error, is_own_key=False, model="gpt-5")
    assert (answer.status, answer.param, answer.code, answer.should_retry) == expected
    assert answer.body()["error"].keys() == {"message", "type", "param", "code"}


def test_the_operators_key_that_is_refused_is_no_fault_of_the_callers() -> None:
    answer = error_answer(errors.AuthenticationError("Wrong.", status_code=401), is_own_key=True)
    assert (answer.status, answer.code, answer.headers()) == (500, "upstream_refused", {"x-should-retry": "false"})
    assert "Wrong" not in answer.message


def test_advice_that_only_a_program_with_our_client_could_follow_is_left_out() -> None:
    for error in (errors.ConnectError("Nobody there."), errors.ProviderError("Down.", status_code=500)):
        answer = error_answer(error.with_job(JobRef(1)), is_own_key=True)
        assert answer.message == error.message


def test_a_pause_is_told_in_whole_seconds_from_one_up() -> None:
    later = error_answer(errors.RateLimitError("Later.", status_code=429, retry_after=7.2), is_own_key=True)
    soon = error_answer(errors.ModelUnavailableError("Down.", status_code=503, retry_after=0.1), is_own_key=True)
    assert (later.headers()["retry-after"], soon.headers()) == ("8", {"retry-after": "1"})


def test_what_is_not_there_is_no_model_where_none_was_asked_for() -> None:
    assert error_answer(errors.NotFoundError("No.", status_code=404), is_own_key=True).code == "not_found"
