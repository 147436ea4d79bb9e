"""What a refusal becomes: by its `error_code` first, by its HTTP status second, whatever shape the body has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox import _errors as errors
from neuralbox._api import gemini_vocabulary as words
from neuralbox.geminigen._refusals import is_ours, status_error
from tests import samples
from tests.api import json_values


def refused(status: int, body: object = b"", **headers: str) -> errors.APIStatusError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return status_error(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, now=0)


def coded(status: int, code: str) -> errors.APIStatusError:
    return refused(status, {"detail": {"error_code": code, "error_message": "No"}})


CODES = [
    *((code, errors.AuthenticationError) for code in sorted(words.KEY_CODES)),
    *((code, errors.InsufficientTokensError) for code in sorted(words.CREDIT_CODES)),
    *((code, errors.PermissionDeniedError) for code in sorted(words.PLAN_CODES)),
    ("VEO_PREMIUM_PLAN_REQUIRED", errors.PermissionDeniedError),
    ("VOICE_NOT_FOUND", errors.NotFoundError),
    *((code, errors.RateLimitError) for code in sorted(words.LIMIT_CODES)),
    *((code, errors.BadRequestError) for code in sorted(words.INPUT_CODES)),
    ("SYSTEM_ERROR", errors.InternalServerError),
]


@pytest.mark.parametrize(("code", "cls"), CODES)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500])
def test_the_code_decides_whatever_the_status(code: str, cls: type[errors.APIStatusError], status: int) -> None:
    error = coded(status, code)
    assert type(error) is cls
    assert (error.status_code, error.code) == (status, code)
    assert f"HTTP {status} ({code})" in error.message


STATUSES = [
    (400, errors.BadRequestError),
    (401, errors.AuthenticationError),
    (402, errors.InsufficientTokensError),
    (403, errors.PermissionDeniedError),
    (404, errors.NotFoundError),
    (418, errors.APIStatusError),
    (422, errors.UnprocessableEntityError),
    (429, errors.RateLimitError),
    (500, errors.InternalServerError),
    (502, errors.InternalServerError),
    (503, errors.ModelUnavailableError),
]


@pytest.mark.parametrize(("status", "cls"), STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", {"detail": "No"}, {"detail": {"error_code": "NEW_CODE"}}])
def test_without_a_known_code_the_status_decides(status: int, cls: type[errors.APIStatusError], body: object) -> None:
    assert type(refused(status, body)) is cls


MESSAGES: list[tuple[Any, str]] = [
    ({"detail": {"error_code": "X", "error_message": "first", "message": "second"}}, "first"),
    ({"detail": {"error_code": "X", "message": "second"}}, "second"),
    ({"detail": "as text"}, "as text"),
    ({"message": "at the top"}, "at the top"),
    ({"error_code": "SYSTEM_ERROR", "error_message": "top too"}, "top too"),
    ({"error": "as NeuralBox says it"}, "as NeuralBox says it"),
    ({"detail": {"error_code": "NOT_ENOUGH_CREDIT"}}, "not enough credit"),
    ({"detail": {"error_code": "not a code at all", "message": "second"}}, "second"),
    ({"detail": [{"loc": ["body", "scenes"], "msg": "Field required"}]}, "scenes: Field required"),
    ({}, "Bad Request"),
    (b"<html>no</html>", "Bad Request"),
    (b"", "Bad Request"),
]


@pytest.mark.parametrize(("body", "said"), MESSAGES)
def test_the_message_is_found_in_every_shape(body: object, said: str) -> None:
    assert f": {said}." in refused(400, body).message


def test_a_status_nobody_named_still_has_a_message() -> None:
    assert refused(599).message == "HTTP 599: a refusal without a reason."


@pytest.mark.parametrize(
    ("case", "status", "cls"),
    [
        ("refusal_key", 404, errors.AuthenticationError),
        ("refusal_documented", 403, errors.PermissionDeniedError),
        ("refusal_text", 404, errors.NotFoundError),
        ("refusal_validation", 422, errors.UnprocessableEntityError),
        ("refusal_top", 400, errors.BadRequestError),
    ],
)
def test_every_shape_of_the_reference(case: str, status: int, cls: type[errors.APIStatusError]) -> None:
    content = samples.content(f"geminigen/{case}", status)
    assert type(refused(status, content)) is cls
    assert is_ours(content)


def test_an_unknown_key_points_at_the_key_and_not_at_the_id() -> None:
    message = coded(404, "API_KEY_NOT_FOUND").message
    assert "GEMINIGEN_API_KEY" in message
    assert "uuid" not in message


def test_complaints_and_waits_are_values() -> None:
    invalid = refused(422, samples.content("geminigen/refusal_validation", 422))
    assert isinstance(invalid, errors.UnprocessableEntityError)
    assert invalid.fields == {"query.page": "value is not a valid integer"}
    busy = refused(429, {"detail": {"error_code": "RATE_LIMIT_ERROR"}}, retry_after="15")
    assert isinstance(busy, errors.RateLimitError)
    assert (busy.retry_after, busy.plan) == (15, None)
    down = refused(503, b"", retry_after="Thu, 01 Jan 1970 00:00:07 GMT")
    assert isinstance(down, errors.ModelUnavailableError)
    assert down.retry_after == 7


def test_a_redirect_is_told_as_one_and_names_the_base_url() -> None:
    assert "a redirect, which is never followed with a credential; check `base_url`" in refused(307).message


def test_what_looks_like_a_key_is_taken_out() -> None:
    error = refused(404, {"detail": {"error_code": "X", "message": "unknown key geminiai-0123456789abcdef"}})
    assert "0123456789" not in error.message
    assert "[hidden]" in error.message
    told = refused(400, {"detail": "x"}, x_request_id="geminiai-0123456789abcdef")
    assert told.request_id == "[hidden]"


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"[]", b"{}", b'{"detail": null}', b'{"detail": {}}'])
def test_what_no_service_would_say_is_a_proxys(body: bytes) -> None:
    assert not is_ours(body)


@pytest.mark.uncovered
@given(json_values.values, st.integers(300, 599))
def test_no_body_raises(value: Any, status: int) -> None:
    for body in (value, {"detail": value}, {"error_code": value, "message": value}):
        try:
            content = json.dumps(body).encode()
        except ValueError:  # an integer of more digits than Python writes
            continue
        error = refused(status, content)
        assert error.status_code == status
        assert len(error.message) < 2_000
        is_ours(content)
