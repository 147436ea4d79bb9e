"""Answers: JSON or one clear error, a class for every status, how long to wait, and no secret on the way."""

from __future__ import annotations

import json
import pickle
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox import _errors as errors
from neuralbox._api.reply import (
    ErrorBody,
    excerpt,
    read_fields,
    read_json,
    read_object,
    read_retry_after,
    safe_words,
    status_error,
    without_secrets,
)
from tests import samples
from tests.api import json_values

NOW = 1_772_971_200.0  # 2026-03-08T12:00:00Z
HTML = samples.content("refusal_html", 502)

# Parsing.


@pytest.mark.parametrize("value", [None, 0, "text", [], {}, {"id": 18473, "prompt": "Ж"}])
def test_json_is_parsed(value: object) -> None:
    assert read_json(200, json.dumps(value).encode()) == value


def test_half_a_character_is_read_as_a_replacement_character() -> None:
    assert read_json(200, rb'{"result_text": "Party \ud83d"}') == {"result_text": "Party \ufffd"}
    assert ErrorBody(rb'{"error": "bad_request", "message": "No \ud83d"}').message == "No \ufffd"


BROKEN = [
    (b"", "an empty body"),
    (b" \r\n\t", "an empty body"),
    (HTML, "a web page"),
    (b"\n<html>", "a web page"),
    (b"<?xml version='1.0'?>", "a web page"),
    (b'{"id": 18473, "sta', "broken or cut JSON"),
    (b'[{"id": 1},', "broken or cut JSON"),
    (b'{"a": 1} trailing', "broken or cut JSON"),
    (b"[" * 100_000, "broken or cut JSON"),
    (b'{"a":' * 100_000, "broken or cut JSON"),
    (b"upstream connect error", "text"),
    (b"\xff\xfe\x00", "text"),
    (b"9" * 5_000, "text"),
]


@pytest.mark.parametrize(("content", "kind"), BROKEN, ids=[str(index) for index in range(len(BROKEN))])
def test_what_is_no_json_is_one_error_that_says_what_it_is(content: bytes, kind: str) -> None:
    with pytest.raises(errors.ProtocolError, match=f"answered 201 with {kind} instead of JSON") as caught:
        read_json(201, content)
    assert caught.value.status_code == 201
    assert len(caught.value.body) <= 300
    assert "base_url" in caught.value.message


@pytest.mark.parametrize(("content", "kind"), [(b"[]", "list"), (b"null", "NoneType"), (b'"x"', "str"), (b"5", "int")])
def test_an_object_is_told_from_other_json(content: bytes, kind: str) -> None:
    with pytest.raises(errors.ProtocolError, match=f"a JSON {kind} where an object was expected") as caught:
        read_object(200, content)
    assert caught.value.body == content.decode()


def test_an_object_is_read() -> None:
    assert read_object(200, b'{"id": 1}') == {"id": 1}


@pytest.mark.uncovered
@given(st.binary(max_size=40) | json_values.values.map(lambda value: repr(value).encode("utf-8", "replace")))
def test_any_bytes_give_a_value_or_a_protocol_error(content: bytes) -> None:
    with suppress(errors.ProtocolError):
        read_json(200, content)


def test_not_a_number_and_infinity_are_values_nobody_reads_as_numbers() -> None:
    assert [repr(value) for value in read_json(200, b"[NaN, 1e999]")] == ["nan", "inf"]


# Secrets.

SECRETS = {
    "key": ("nb_live_0f1e2d3c4b5a6978", "nb_live_0f1e"),
    "short key": ("nb_0f1e2d", "0f1e2d"),
    "access token": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3OCJ9.c2lnbmF0dXJl", "eyJhbGci"),
    "bearer": ("Bearer opaque-credential", "opaque-credential"),
    "signed address": ("https://s3.example/x.mp4?X-Amz-Signature=0a1b2c&X-Amz-Expires=60", "0a1b2c"),
    "odd query": ("https://s3.example/x??a&sig=0a1b2c", "0a1b2c"),
}
PLACES: list[Any] = [
    lambda secret: {"error": secret},
    lambda secret: {"error": secret, "message": secret},
    lambda secret: {"error": "bad_request", "message": f"Your {secret} is wrong"},
    lambda secret: {"error": {"code": secret, "message": secret}},
    lambda secret: {"error": {"code": "bad_request"}, "message": secret},
    lambda secret: {"detail": secret},
    lambda secret: {"detail": {"error": "bad_request", "message": secret}},
    lambda secret: {"detail": [{"loc": ["header", secret], "msg": f"{secret} is not valid"}]},
    lambda secret: {"detail": [{"loc": ["header"], "input": {"authorization": secret}}]},
    lambda secret: {"detail": [secret]},
    lambda secret: {"error": "x", "message": "", "details": {"sent": secret, secret: ["a", {"b": secret}]}},
    lambda secret: {"error": "x", "details": {"fields": {secret: secret}}},
    lambda secret: {"error": "rate_limit_exceeded", "plan": secret, "retry_after": secret},
    lambda secret: [secret],
    lambda secret: secret,
]


def everything(error: errors.NeuralBoxError) -> str:
    """All that an error shows or hands on: text, repr, arguments, attributes, pickle."""
    cause = error.__cause__
    parts = (str(error), repr(error), repr(error.args), repr(vars(error)), repr(cause), str(pickle.dumps(error)))
    return "\n".join(parts)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("status", [302, 400, 401, 409, 422, 429, 500, 503])
def test_no_secret_of_a_body_survives_in_the_error_of_a_status(name: str, status: int) -> None:
    secret, trace = SECRETS[name]
    for place in PLACES:
        body = json.dumps(place(secret)).encode()
        for content in (body, f"<p>{secret}</p>".encode(), body[:-1]):
            error = status_error(status, {"x-request-id": secret}, content, now=NOW)
            assert trace not in everything(error), content


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_of_a_body_survives_in_a_protocol_error(name: str) -> None:
    secret, trace = SECRETS[name]
    for content in (f'{{"url": "{secret}", "st', f"<p>{secret}</p>", f'["{secret}"]', f"{'x' * 290}{secret}"):
        with pytest.raises(errors.ProtocolError) as caught:
            read_object(200, content.encode())
        assert trace not in everything(caught.value)
        assert "[hidden]" in caught.value.body or len(caught.value.body) == 300


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "password", "API_KEY", "authorization", "cookie"])
def test_a_field_that_is_secret_by_its_name_is_hidden_whatever_it_holds(name: str) -> None:
    cut = json.dumps({name: 'opaque "quoted" words'})[:-3]
    assert "opaque" not in excerpt(cut.encode())
    assert "words" not in excerpt(cut.encode())
    refusal = {"error": "bad_request", "details": {"input": {name: 'opaque "quoted" words'}}}
    assert "opaque" not in everything(status_error(400, {}, json.dumps(refusal).encode(), now=NOW))
    assert "opaque" not in without_secrets(repr({name: "opaque 'quoted' words"}))


def test_ordinary_words_and_addresses_stay_readable() -> None:
    text = "Model `flux-1.1-pro` of https://storage.neuralbox.top/generations/1.webp: why? See bearer."
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "text",
    ["?" * 200_000, "?a" * 100_000, "bearer " * 30_000, "bearer" + " " * 200_000, "'password':'" + "\\" * 200_000],
)
def test_a_body_made_to_be_slow_is_cleaned_in_one_pass(text: str) -> None:
    """A quadratic pattern would take minutes here; pytest's own limit would end the run."""
    assert len(without_secrets(text)) <= len(text)


def test_an_excerpt_is_short_and_survives_bytes_that_are_no_text() -> None:
    assert excerpt(b"\xff" * 10_000) == "\ufffd" * 300


# The error of a status.

DOCUMENTED = [
    (400, errors.BadRequestError, "bad_request"),
    (401, errors.AuthenticationError, "not_authenticated"),
    (402, errors.InsufficientTokensError, "insufficient_tokens"),
    (403, errors.PermissionDeniedError, "insufficient_plan"),
    (404, errors.NotFoundError, "not_found"),
    (422, errors.UnprocessableEntityError, "validation_error"),
    (429, errors.RateLimitError, "rate_limit_exceeded"),
    (500, errors.ProviderError, "provider_error"),
    (503, errors.ModelUnavailableError, "model_unavailable"),
]


@pytest.mark.parametrize(("status", "cls", "code"), DOCUMENTED)
def test_each_documented_refusal_is_its_class(status: int, cls: type[errors.APIStatusError], code: str) -> None:
    content = samples.content("refusal_documented", status)
    error = status_error(status, {"x-request-id": "req-1"}, content, now=NOW)
    assert type(error) is cls
    assert (error.status_code, error.code, error.request_id) == (status, code, "req-1")
    assert error.message.startswith(f"HTTP {status} ({code}): {json.loads(content)['message']}.")


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (301, errors.APIStatusError),
        (405, errors.APIStatusError),
        (409, errors.APIStatusError),
        (418, errors.APIStatusError),
        (502, errors.InternalServerError),
        (504, errors.InternalServerError),
        (599, errors.InternalServerError),
    ],
)
def test_a_status_without_a_class_of_its_own_is_its_family(status: int, cls: type[errors.APIStatusError]) -> None:
    assert type(status_error(status, {}, b"", now=NOW)) is cls


# Case, status; code, start of the message after the label, whether the service itself spoke.
SHAPES = [
    ("refusal_token_expired", 401, "token_expired", "Invalid or expired token. Check the API key", True),
    ("refusal_sentence", 401, None, "Not authenticated. Check the API key", True),
    ("refusal_detail_text", 401, None, "Not authenticated. Check the API key", True),
    ("refusal_detail_list", 422, None, "messages.0.role: unexpected value; temperature: ensure", True),
    ("refusal_detail_object", 503, "model_unavailable", "Model is down. The model is down or over", True),
    ("refusal_nested", 400, "bad_request", "`model` is missing.", True),
    ("refusal_html", 502, None, "a web page.", False),
    ("refusal_empty", 504, None, "an empty body.", False),
    ("refusal_text", 403, None, "text. API access needs a VIP or Elite plan", False),
    ("refusal_cut", 500, None, "broken or cut JSON.", False),
]


@pytest.mark.parametrize(("case", "status", "code", "said", "ours"), SHAPES, ids=[shape[0] for shape in SHAPES])
def test_an_error_body_of_any_shape_is_read(case: str, status: int, code: str | None, said: str, ours: bool) -> None:
    content = samples.content(case, status)
    error = status_error(status, {}, content, now=NOW)
    label = f"HTTP {status} ({code}): " if code else f"HTTP {status}: "
    assert error.message.startswith(label + said)
    assert error.code == code
    assert ErrorBody(content).ours is ours


@pytest.mark.parametrize(
    ("body", "code", "message", "ours"),
    [
        ({"error": "policy_violation"}, "policy_violation", "", True),
        ({"error": "Provider error: content policy violation"}, None, "Provider error: content policy violation", True),
        ({"error": {"message": "No"}}, None, "No", False),
        ({"error": {"code": 429, "message": "Slow down"}}, None, "Slow down", True),
        ({"error": {"code": "x"}, "message": "Outside"}, "x", "Outside", True),
        ({"error": {}, "detail": "Beside"}, None, "Beside", True),
        ({"error": None, "message": "No code"}, None, "No code", False),
        ({"error": "", "message": "Empty code"}, None, "Empty code", True),
        ({"error": [1], "detail": "List"}, None, "List", True),
        ({"detail": {"reason": "x"}}, None, "", False),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Not taken"}]}, None, "", True),
        ({"detail": [{"msg": "Not taken"}, "x"]}, None, "", False),
        ({"detail": {}}, None, "", False),
        ({}, None, "", False),
        ([], None, "", False),
        (None, None, "", False),
    ],
)
def test_code_and_sentence_are_told_apart(body: object, code: str | None, message: str, ours: bool) -> None:
    read = ErrorBody(json.dumps(body).encode())
    assert (read.code, read.message, read.ours) == (code, message, ours)


def test_a_body_with_a_code_only_is_put_into_words() -> None:
    assert status_error(403, {}, b'{"error": "insufficient_plan"}', now=NOW).message.startswith(
        "HTTP 403 (insufficient_plan): insufficient plan. API access needs"
    )


def test_json_without_a_reason_is_called_so() -> None:
    assert status_error(400, {}, b'{"ok": false}', now=NOW).message == "HTTP 400: JSON without a reason."


def test_a_redirect_points_at_the_base_url_and_quotes_nothing() -> None:
    error = status_error(307, {"location": "https://evil.example"}, b"<a>moved</a>", now=NOW)
    assert "redirect" in error.message
    assert "base_url" in error.message
    assert "evil" not in everything(error)


def test_details_are_handed_on() -> None:
    body = {"error": "bad_request", "message": "No", "details": {"field": "size", "allowed": [1, None, 2.5]}}
    error = status_error(400, {}, json.dumps(body).encode(), now=NOW)
    assert error.details == {"field": "size", "allowed": [1, None, 2.5]}


@pytest.mark.parametrize(
    "body",
    [
        {"error": "x " * 100_000},
        {"error": "x" * 100_000},
        {"error": "bad_request", "message": "x" * 100_000},
        {"detail": [{"loc": ["body", "f" * 1_000], "msg": "m" * 5_000}] * 50},
        {"details": {"size": ["m" * 1_000] * 100}},
    ],
    ids=["words", "a code", "a message", "complaints", "complaints about one field"],
)
@pytest.mark.parametrize("status", [400, 422, 429, 500])
def test_a_long_sentence_is_cut(status: int, body: object) -> None:
    error = status_error(status, {}, json.dumps(body).encode(), now=NOW)
    assert len(error.message) < 700
    assert len(error.body) <= 2_000
    assert all(len(name) <= 100 and len(why) <= 500 for name, why in getattr(error, "fields", {}).items())


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (None, ""),
        (5, "5"),
        ("  two\r\nlines\tand \x00 more\u2028", "two lines and more"),
        ("\x1b[2J\x1b]0;title\x07red", "[2J ]0;title red"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("k\u200bey nb_se\u200bcret_key", "key [hidden]"),
        ("half \ud83d", "half \ufffd"),
        ("see https://files.test/1.png?X-Amz-Signature=abc", "see https://files.test/1.png[hidden]"),
        ("👩\u200d🚀 и привет", "👩\u200d🚀 и привет"),
        ("x" * 10_000_000, "x" * 497 + "..."),
    ],
)
def test_words_of_the_service_are_shown_on_one_short_line_without_secrets(said: object, shown: str) -> None:
    assert safe_words(said) == shown


def test_words_are_cut_where_the_caller_says() -> None:
    assert safe_words("one two three", 9) == "one tw..."


def test_an_excerpt_keeps_its_lines_and_nothing_that_acts() -> None:
    assert excerpt(b"<p>\n\x1b[31m\tred\r\n</p>") == "<p>\n [31m\tred \n</p>"


def test_a_refusal_keeps_what_was_said_with_it() -> None:
    headers = {
        "Retry-After": "7",
        "X-RateLimit-Limit-Hour": "100",
        "Date": "Sun, 08 Mar 2026 12:00:00 GMT",
        "X-Request-Id": "req-1\x1b[0m",
        "Set-Cookie": "refresh=secret",
        "Location": "https://files.test/?sig=secret",
        "X-Own": "secret",
    }
    body = {
        "error": "rate_limit_exceeded",
        "message": "Too many.",
        "plan": "pro",
        "limit_hour": 100,
        "limit_day": "1000",
        "upgrade": {"url": "https://neuralbox.top/plans?token=secret", "api_key": "secret"},
    }
    error = status_error(429, httpx.Headers(headers), json.dumps(body).encode(), now=NOW)
    assert isinstance(error, errors.RateLimitError)
    assert (error.limit_hour, error.limit_day, error.plan) == (100, 1000, "pro")
    assert error.headers == {
        "retry-after": "7",
        "x-ratelimit-limit-hour": "100",
        "date": "Sun, 08 Mar 2026 12:00:00 GMT",
        "x-request-id": "req-1 [0m",
    }
    assert error.request_id == "req-1 [0m"
    assert error.raw == {
        **body,
        "upgrade": {"url": "https://neuralbox.top/plans[hidden]", "api_key": "[hidden]"},
    }
    assert error.body.startswith('{"error": "rate_limit_exceeded", "message": "Too many."')
    assert "secret" not in everything(error)


def test_a_refusal_without_words_keeps_what_there_is() -> None:
    error = status_error(502, {}, HTML, now=NOW)
    assert error.body == HTML.decode()[:2_000]
    assert (error.headers, error.raw, error.request_id) == ({}, {}, None)


def test_a_limit_says_how_long_and_whose() -> None:
    error = status_error(429, {}, samples.content("refusal_documented", 429), now=NOW)
    assert isinstance(error, errors.RateLimitError)
    assert (error.retry_after, error.plan) == (420.0, "pro")
    assert status_error(429, {}, b"", now=NOW).__dict__["plan"] is None


def test_an_unavailable_model_may_say_how_long_but_no_hourly_window_speaks_for_it() -> None:
    told = status_error(503, {}, samples.content("refusal_detail_object", 503), now=NOW)
    untold = status_error(503, {"x-ratelimit-reset-hour": str(int(NOW) + 60)}, b"", now=NOW)
    assert isinstance(told, errors.ModelUnavailableError)
    assert isinstance(untold, errors.ModelUnavailableError)
    assert (told.retry_after, untold.retry_after) == (30.0, None)


# The complaints of a 422.

FIELDS: list[tuple[dict[str, Any], dict[str, str]]] = [
    (samples.record("refusal_documented", 422), {"prompt": "is too long", "size": "unknown; not square"}),
    (
        samples.record("refusal_detail_list", 422),
        {"messages.0.role": "unexpected value", "temperature": "ensure this value is less than 2"},
    ),
    ({"details": {"fields": {"size": "bad"}}}, {"size": "bad"}),
    ({"details": {"fields": "none", "size": 5}}, {"fields": "none", "size": "5"}),
    ({"details": {"errors": [{"field": "size", "message": "bad"}]}}, {"size": "bad"}),
    ({"errors": [{"name": "size", "msg": "bad"}, "stray", {"why": 1}]}, {"size": "bad", "": "{'why': 1}"}),
    ({"details": {}, "errors": {"size": [["a"], "b"]}}, {"size": "a; b"}),
    ({"details": "no", "detail": "no", "errors": 5}, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("record", "expected"), FIELDS, ids=[str(index) for index in range(len(FIELDS))])
def test_the_fields_of_a_422_are_read_from_any_layout(record: dict[str, Any], expected: dict[str, str]) -> None:
    assert read_fields(record) == expected
    error = status_error(422, {}, json.dumps(record).encode(), now=NOW)
    assert isinstance(error, errors.UnprocessableEntityError)
    assert error.fields == expected


# How long to wait.

DATE = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
RESET = {"x-ratelimit-reset-hour": str(int(NOW) + 300)}
WAITS: list[tuple[dict[str, str], dict[str, Any], float | None]] = [
    ({"retry-after": "120"}, {}, 120.0),
    ({"retry-after": " 1.5 "}, {}, 1.5),
    ({"retry-after": "0"}, {"retry_after": 9}, 0.0),
    ({"retry-after": "-5"}, {}, 0.0),
    ({"retry-after": DATE}, {}, 90.0),
    ({"retry-after": "Sunday, 08-Mar-26 12:01:30 GMT"}, {}, 90.0),
    ({"retry-after": "Sun Mar  8 12:01:30 2026"}, {}, 90.0),
    ({"retry-after": "Sun, 08 Mar 2026 12:01:30 -0000"}, {}, 90.0),
    ({"retry-after": "Sun, 08 Mar 2026 11:00:00 GMT"}, {}, 0.0),
    ({"retry-after": "soon"}, {"retry_after": 9}, 9.0),
    ({"retry-after": ""}, {"retry_after": 9}, 9.0),
    ({"retry-after": "inf"}, {}, None),
    ({"retry-after": "Sun, 99 Mar 2026 99:99:99 GMT"}, {}, None),
    ({}, {"retry_after": 420}, 420.0),
    ({}, {"retry_after": "420"}, 420.0),
    ({}, {"retry_after": -1}, 0.0),
    ({**RESET}, {"retry_after": 0}, 0.0),
    ({**RESET}, {"retry_after": None}, 300.0),
    ({**RESET}, {"retry_after": []}, 300.0),
    ({**RESET, "x-ratelimit-remaining-hour": "0"}, {}, 300.0),
    ({**RESET, "x-ratelimit-remaining-hour": "-2"}, {}, 300.0),
    ({**RESET, "x-ratelimit-remaining-hour": "?"}, {}, 300.0),
    ({**RESET, "x-ratelimit-remaining-hour": "7"}, {}, None),  # the daily limit then, whose reset is not said
    ({"x-ratelimit-reset-hour": "1"}, {}, 0.0),
    ({"x-ratelimit-reset-hour": "soon", "x-ratelimit-remaining-hour": "0"}, {}, None),
    ({"x-ratelimit-remaining-hour": "0"}, {}, None),
    ({}, {}, None),
    # By a clock that is an hour behind ours.
    ({"retry-after": "Sun, 08 Mar 2026 11:00:30 GMT", "date": "Sun, 08 Mar 2026 11:00:00 GMT"}, {}, 30.0),
    ({"retry-after": "Sun, 08 Mar 2026 11:00:30 GMT", "date": "Sun, 08 Mar 2026 11:00:00 -0000"}, {}, 30.0),
    ({"retry-after": DATE, "date": "noon"}, {}, 90.0),
    ({**RESET, "date": "Sun, 08 Mar 2026 12:04:00 GMT"}, {}, 60.0),
]


@pytest.mark.parametrize(("headers", "record", "expected"), WAITS, ids=[str(index) for index in range(len(WAITS))])
def test_how_long_to_wait(headers: dict[str, str], record: dict[str, Any], expected: float | None) -> None:
    wait = read_retry_after(headers, record, now=NOW)
    assert wait == expected
    assert wait is None or isinstance(wait, float)


def test_the_hourly_window_counts_for_limits_only() -> None:
    assert read_retry_after(RESET, {}, now=NOW, limits=False) is None


def test_a_date_without_a_zone_is_not_this_machines_time(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(time, "tzset"):
        pytest.skip("the zone of this system cannot be set")
    try:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        waits = [read_retry_after(headers, {}, now=NOW) for headers, _, wait in WAITS if wait == 90.0]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert waits == [90.0] * 5


@pytest.mark.uncovered
@given(st.text(max_size=30) | st.text(alphabet="0123456789 :,+-GMTSunMar", max_size=40), json_values.objects)
def test_any_header_gives_a_wait_or_none(header: str, record: dict[str, Any]) -> None:
    wait = read_retry_after({"retry-after": header, **dict.fromkeys(RESET, header)}, record, now=NOW)
    assert wait is None or wait >= 0


# Anything at all.


@pytest.mark.uncovered
@given(st.sampled_from([300, 400, 401, 404, 422, 429, 500, 503, 599]), json_values.values | st.binary(max_size=30))
def test_any_body_gives_the_error_of_its_status(status: int, value: object) -> None:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    error = status_error(status, {}, content, now=NOW)
    assert error.status_code == status
    assert str(error).startswith(f"HTTP {status}")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
