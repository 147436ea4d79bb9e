"""Each fault does to the client what its name says, and to the ledger what it should."""

from __future__ import annotations

import json
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from neuralbox.sandbox import Faults, Sandbox
from neuralbox.sandbox._server.connection import TRANSPORT, hang_up, until_left

from .conftest import Api, Start

TEXT = {"model": "gpt-5", "prompt": "x"}


def accepted(api: Api) -> int:
    return len(api.sandbox.ledger.generations)


@pytest.mark.parametrize(
    ("fault", "error", "count"),
    [
        ("drop-before-accept", httpx.RemoteProtocolError, 0),
        ("drop-after-accept", httpx.RemoteProtocolError, 1),
        ("reset-after-accept", httpx.ReadError, 1),
        ("cut-answer", httpx.RemoteProtocolError, 1),
    ],
)
def test_a_broken_connection_leaves_what_it_should_in_the_ledger(
    start: Start, fault: str, error: type[Exception], count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    api = start(faults={f"{fault}@POST /generate": 1})
    with pytest.raises(error):
        api.post("/generate", TEXT)
    assert accepted(api) == count
    assert api.sandbox.ledger.charged == 2 * count
    assert api.get("/balance").status_code == 200
    assert capfd.readouterr().err == ""
    assert api.sandbox.ledger.received[0].status == (200 if fault == "cut-answer" else None)


def test_a_cut_answer_promises_more_than_it_sends(start: Start) -> None:
    api = start(faults={"cut-answer": 1})
    half, whole = bytearray(), bytearray()
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
        api.drain(half, "GET", "/balance")
    api.sandbox.faults.clear()
    api.drain(whole, "GET", "/balance")
    assert len(half) == len(whole) // 2


@pytest.mark.parametrize(
    ("fault", "status", "code", "count"),
    [
        ("rate-limit", 429, "rate_limit_exceeded", 0),
        ("error-500", 500, "provider_error", 0),
        ("error-503", 503, "model_unavailable", 0),
        ("html-502", 502, None, 0),
        ("error-500-after-accept", 500, "provider_error", 1),
        ("error-502-after-accept", 502, None, 1),
        ("error-504-after-accept", 504, None, 1),
    ],
)
def test_an_error_answer_leaves_what_it_should_in_the_ledger(
    start: Start, fault: str, status: int, code: str | None, count: int
) -> None:
    api = start(faults={fault: 1})
    reply = api.post("/generate", TEXT)
    assert reply.status_code == status
    assert accepted(api) == count
    if code is None:
        assert reply.headers["content-type"].startswith("text/html")
        assert "<html>" in reply.text
    else:
        assert reply.json()["error"] == code


def test_a_made_up_rate_limit_has_the_documented_body(start: Start) -> None:
    reply = start(faults={"rate-limit": 1}).post("/generate", TEXT)
    assert set(reply.json()) == {"error", "message", "retry_after", "plan", "limit_hour", "limit_day"}
    assert reply.headers["retry-after"] == str(reply.json()["retry_after"])


def test_garbled_json_is_a_200_that_cannot_be_read(start: Start) -> None:
    reply = start(faults={"garbled-json": 1}).get("/balance")
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        reply.json()


def test_a_hanging_answer_never_comes_though_the_job_was_accepted(start: Start) -> None:
    api = start(faults={"hang": 1})
    with pytest.raises(httpx.ReadTimeout):
        api.post("/generate", TEXT, timeout=0.05)
    assert accepted(api) == 1


def test_latency_delays_every_answer(start: Start) -> None:
    api = start(faults={"latency": 0.03, "latency-jitter": 0.01})
    begin = time.monotonic()
    api.get("/balance")
    assert time.monotonic() - begin >= 0.03


def test_a_slow_service_takes_its_time_and_is_paid_whoever_waits(start: Start) -> None:
    api = start(service_seconds=0.1, speed=2)
    with pytest.raises(httpx.ReadTimeout):
        api.post("/generate", TEXT, timeout=0.01)
    assert api.make("gpt-5")["status"] == "completed"
    assert api.sandbox.ledger.charged == 2
    api.clock.advance(0.05)
    assert api.sandbox.ledger.charged == 4


def test_half_a_file_can_be_resumed(start: Start) -> None:
    api = start()
    url = api.make("photon-flash")["result_url"]
    whole = api.get(url).content
    api.sandbox.faults.set("cut-file", 1, times=1)
    got = bytearray()
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
        api.drain(got, "GET", url)
    assert got
    rest = api.get(url, headers={"Range": f"bytes={len(got)}-"})
    assert got + rest.content == whole


def test_an_in_memory_client_sees_a_closed_connection_as_an_error() -> None:
    async def ask() -> None:
        transport = httpx.ASGITransport(Sandbox(faults={"drop-after-accept": 1}).app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox/api/v2", trust_env=False) as client:
            await client.post("/generate", json=TEXT, headers={"Authorization": "Bearer nb_test"})

    with pytest.raises(ConnectionAbortedError):
        anyio.run(ask)


# Where and how often.


def test_faults_after_acceptance_strike_paid_requests_only(start: Start) -> None:
    api = start(faults={"drop-after-accept": 1})
    assert api.get("/user/history").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        api.http.post("/stt", files={"audio": ("a.mp3", b"x")})


def test_faults_of_paid_requests_strike_those_of_the_other_service_too(start: Start) -> None:
    api = start(faults={"drop-after-accept": 1})
    assert api.http.get(f"{api.url}/uapi/v1/account", headers={"x-api-key": "nb_test"}).status_code == 200
    for path, form in (
        ("/generate_image", {"model": "m", "prompt": "P"}),
        ("/video-gen/veo", {"model": "m", "prompt": "P"}),
    ):
        parts = {name: (None, text) for name, text in form.items()}
        with pytest.raises(httpx.RemoteProtocolError):
            api.http.post(f"{api.url}/uapi/v1{path}", files=parts, headers={"x-api-key": "nb_test"})


def test_a_fault_can_be_bound_to_a_route(start: Start) -> None:
    api = start(faults={"error-500@GET /user/*": 1, "error-503@/balance": 1, "rate-limit@* /models": 1})
    statuses = [api.get(path).status_code for path in ("/user/me", "/user/history", "/balance", "/models")]
    assert statuses == [500, 500, 503, 429]
    assert api.post("/generate", TEXT).status_code == 200


def test_a_fault_can_be_bound_to_a_number_of_times(api: Api) -> None:
    api.sandbox.faults.set("error-500", 1, times=2)
    api.sandbox.faults.set("latency", 0.001, times=1)
    assert [api.get("/balance").status_code for _ in range(3)] == [500, 500, 200]
    api.sandbox.faults.set("error-500", 1)
    api.sandbox.faults.set("error-500", 0)
    assert api.get("/balance").status_code == 200
    api.sandbox.faults.set("error-500", 1)
    api.sandbox.faults.clear()
    assert api.get("/balance").status_code == 200


def test_faults_strike_as_often_as_asked_and_the_same_with_each_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Sandbox(faults={"error-500": 0.25}, seed=seed).faults
        return [faults.strikes("error-500", "GET /balance") for _ in range(400)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)
    assert 60 < sum(strikes(1)) < 140


def test_faults_are_read_from_text() -> None:
    faults = Faults.parse("drop-after-accept=1", "cut-answer@GET /user/me = 1", seed=3)
    assert faults.strikes("drop-after-accept", "POST /stt")
    assert not faults.strikes("drop-after-accept", "GET /balance")
    assert faults.strikes("cut-answer", "GET /user/me")
    assert faults.seconds("listing-lag", "POST /generate") == 0
    assert Faults({"listing-lag@POST /stt": 2}).seconds("listing-lag", "POST /generate") == 0
    assert Sandbox(faults=faults).faults is faults


@pytest.mark.parametrize(
    "place", ["POST /nonsense", "post /generate", "GET /generate/18473", "/api/v2/generate", "generate", " "]
)
def test_a_fault_that_would_never_strike_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"would never strike\. There are: DELETE .*, POST /generate, "):
        Sandbox(faults={f"error-500@{place}": 1}, database=tmp_path / "ledger.sqlite")
    sandbox = Sandbox(faults={"latency@GET /history/{uuid}": 1})
    with pytest.raises(ValueError, match="would never strike"):
        sandbox.faults.set(f"error-500@{place}", 1)
    assert not sandbox.faults.strikes("error-500", "POST /generate")
    sandbox.faults.set("html-502@/storage/*", 1)


@pytest.mark.parametrize("text", ["error-500", "error-500=often", "=1", "sunspots=1", "error-500=1.5", "latency=-1"])
def test_a_fault_that_makes_no_sense_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=VALUE|There is no fault|takes"):
        Faults.parse(text)


def test_a_client_that_leaves_while_it_sends_is_forgotten(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    import socket

    host, port = api.http.base_url.host, api.http.base_url.port
    with socket.create_connection((host, port or 0)) as line:
        line.sendall(b"POST /api/v2/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    deadline = time.monotonic() + 30
    while not api.sandbox.ledger.received and time.monotonic() < deadline:
        time.sleep(0.005)
    assert api.get("/balance").status_code == 200
    assert capfd.readouterr().err == ""
    assert accepted(api) == 0


def test_a_huge_body_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuralbox.sandbox._server import endpoint

    monkeypatch.setattr(endpoint, "MAX_BODY_BYTES", 100)
    reply = api.http.post("/generate", content=b"x" * 101)
    assert (reply.status_code, reply.json()["error"]) == (413, "payload_too_large")


def test_waiting_for_the_client_to_leave_overlooks_the_rest_of_its_body() -> None:
    messages = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    anyio.run(until_left, receive)
    assert messages == []


def test_a_client_that_has_closed_its_connection_already_is_reset_without_a_complaint() -> None:
    class Transport:
        """Of a connection whose socket is closed."""

        aborted = False

        def get_extra_info(self, _name: str) -> socket.socket:
            closed = socket.socket()
            closed.close()
            return closed

        def abort(self) -> None:
            self.aborted = True

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    transport = Transport()
    anyio.run(partial(hang_up, {"state": {TRANSPORT: transport}}, receive, reset=True))
    assert transport.aborted


def test_many_threads_can_use_one_sandbox(start: Start) -> None:
    api = start()

    def work() -> None:
        for _ in range(5):
            api.make("gpt-5-nano")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records: dict[Any, Any] = dict(api.sandbox.ledger.generations)
    assert len(records) == api.sandbox.ledger.charged == 20
