"""No key, token, cookie, prompt, header value or query is ever logged or shown by a `repr`."""

from __future__ import annotations

import logging

import pytest

from neuralbox import _errors as errors
from neuralbox._api.request import Request, RetrySafety
from neuralbox._config import CallOptions
from neuralbox._core.credentials import ApiKey, Session
from neuralbox._resources.auth import Auth
from tests.helpers import KEY, START, Step, make_core, refusal, reply

pytestmark = pytest.mark.anyio

PLANTED = [KEY, "planted prompt", "planted-header", "planted-query", "planted-token", "planted-cookie", "planted-pass"]
BUY = Request(
    "POST",
    "/generate",
    RetrySafety.PAID,
    query=(("sig", "planted-query"),),
    body={"model": "m", "prompt": "planted prompt"},
)
CALL = CallOptions(extra_headers={"X-Secret": "planted-header"}, extra_query={"more": "planted-query"})


def nothing_planted_in(text: str) -> None:
    for secret in PLANTED:
        assert secret not in text


async def test_the_log_tells_what_happened_without_what_was_in_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench = make_core(
        [errors.ConnectError("refused"), refusal(503, "model_unavailable"), reply(200, {"text": "planted prompt"})],
        default_headers={"X-Own": "planted-header"},
    )
    await bench.core.send(BUY, bench.core.as_json, CALL)
    assert [record.getMessage() for record in caplog.records] == [
        "POST /generate: ConnectError (not sent); attempt 2 in 0.25 s",
        "POST /generate: ModelUnavailableError (busy); attempt 3 in 0.50 s",
        "POST /generate: 200, attempt 3",
    ]
    assert {record.name for record in caplog.records} == {"neuralbox"}
    nothing_planted_in(caplog.text)


async def test_a_login_and_its_renewal_leave_no_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = reply(200, {"access_token": "planted-token", "expires_in": 10}, set_cookie="r=planted-cookie")
    bench = make_core([answer, answer, reply(200, {})], credential=Session())
    await Auth(bench.core).login(email="ada@example.com", password="planted-pass")
    await bench.core.send(Request("GET", "/x"), bench.core.as_json)
    assert bench.sent[2].headers["authorization"] == "Bearer planted-token"
    assert len(caplog.records) == 3
    nothing_planted_in(caplog.text)
    nothing_planted_in(repr(bench.core.credential))


def test_reprs_say_what_a_thing_is_and_hide_what_it_holds() -> None:
    session = Session("planted-token", {"refresh": "planted-cookie"})
    session.expires_at = START
    bench = make_core([], credential=session)
    assert repr(session) == str(session) == "<Session logged in>"
    assert repr(Session()) == "<Session logged out>"
    assert repr(ApiKey(KEY)) == str(ApiKey(KEY)) == "<ApiKey hidden>"
    assert repr(bench.core) == "<Core http://box.test>"
    session.clear()
    assert repr(session) == "<Session logged out>"


@pytest.mark.parametrize(
    "step",
    [
        errors.ConnectionLostError("The connection broke."),
        refusal(400, "bad_request", f"The key {KEY} is not good for https://s.test/a?sig=planted-query"),
        refusal(401, "not_authenticated", "Bearer planted-token is not known"),
        reply(200, f"<html>{KEY} Bearer planted-token</html>".encode()),
    ],
)
async def test_an_error_repeats_no_credential_the_service_sent_back(step: Step) -> None:
    bench = make_core([step])
    with pytest.raises(errors.NeuralBoxError) as caught:
        await bench.core.send(BUY, bench.core.as_json, CALL)
    nothing_planted_in(f"{caught.value}{caught.value!r}{getattr(caught.value, 'body', '')}")
