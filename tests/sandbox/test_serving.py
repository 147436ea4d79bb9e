"""Starting and stopping: quick, bounded, quiet, on loopback only; and what a missing extra says."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import neuralbox.sandbox
from neuralbox.sandbox import ASSUMPTIONS, Sandbox, run, serve
from neuralbox.sandbox import _serving as serving

ROOT = Path(neuralbox.sandbox.__file__).parent


def test_starting_and_stopping_is_quick_and_leaves_nothing_behind(capfd: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    begin = time.monotonic()
    with serve(Sandbox()) as server:
        assert server.url.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=server.url, headers={"Authorization": "Bearer nb_x"}, trust_env=False) as client:
            image = client.post("/api/v2/generate", json={"model": "photon-flash", "prompt": "x"}).json()
            assert client.get(image["result_url"]).status_code == 200  # uses a worker thread
            port = client.base_url.port
            begin_stop = time.monotonic()
    assert time.monotonic() - begin < 5
    assert begin_stop > begin
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError, match=r".*"):
        socket.create_connection(("127.0.0.1", port or 0), timeout=1).close()
    assert capfd.readouterr() == ("", "")


def test_a_sandbox_can_be_served_again() -> None:
    sandbox = Sandbox()
    for count in (1, 2):
        with serve(sandbox) as server:
            httpx.get(f"{server.url}/api/v2/balance", headers={"Authorization": "Bearer nb_x"}, trust_env=False)
            assert server.sandbox.ledger.requests == count


def test_a_stop_ends_open_streams_and_hanging_answers(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "GRACE_SECONDS", 0.05)
    headers = {"Authorization": "Bearer nb_x"}
    ends: list[Exception] = []
    sandbox = Sandbox(stream_delay=5, faults={"hang@POST /stt": 1})
    arrived = threading.Semaphore(0)

    def read_stream(url: str) -> None:
        body = {"model": "gpt-5", "prompt": "x", "stream": True}
        try:
            with httpx.stream("POST", url, json=body, headers=headers, timeout=9, trust_env=False) as reply:
                for _ in reply.iter_raw():
                    arrived.release()
        except httpx.TransportError as error:
            ends.append(error)

    def wait_for_ever(url: str) -> None:
        try:
            httpx.post(url, files={"audio": ("a.mp3", b"x")}, headers=headers, timeout=9, trust_env=False)
        except httpx.TransportError as error:
            ends.append(error)

    with serve(sandbox) as server:
        clients = [
            threading.Thread(target=read_stream, args=(f"{server.url}/api/v2/generate",)),
            threading.Thread(target=wait_for_ever, args=(f"{server.url}/api/v2/stt",)),
        ]
        for client in clients:
            client.start()
        assert arrived.acquire(timeout=5)
        deadline = time.monotonic() + 5
        while len(sandbox.ledger.generations) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5  # neither would end by itself, nor be given up so soon
    for client in clients:
        client.join(5)
    assert len(ends) == 2
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("settings", [{"faults": {"latency": 30}}, {"service_seconds": 30}])
def test_a_request_whose_client_has_left_does_not_hold_up_the_stop(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "GRACE_SECONDS", 20.0)
    body, headers = {"model": "gpt-5", "prompt": "x"}, {"Authorization": "Bearer nb_x"}
    with serve(Sandbox(**settings)) as server:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/api/v2/generate", json=body, headers=headers, timeout=0.05, trust_env=False)
        begin = time.monotonic()
    assert time.monotonic() - begin < 10
    assert capfd.readouterr().err == ""


def test_a_large_answer_under_way_is_sent_to_its_end_when_the_server_stops() -> None:
    body = {"model": "openai-tts", "text": "x" * 5_000, "format": "wav"}
    rest: list[int] = []
    with socket.socket() as line:
        with serve(Sandbox()) as server:
            with httpx.Client(base_url=server.url, headers={"Authorization": "Bearer nb_x"}, trust_env=False) as client:
                path = client.post("/api/v2/generate", json=body).json()["result_url"].removeprefix(server.url)
                size = int(client.head(path).headers["content-length"])
            assert size > 10_000_000
            line.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            start = line.recv(1024)
            reader = threading.Thread(target=lambda: rest.append(_read_all(line)))
            reader.start()
        reader.join(5)
    head = start.partition(b"\r\n\r\n")[0]
    assert len(start) + rest[0] == len(head) + 4 + size


def _read_all(line: socket.socket) -> int:
    count = 0
    while piece := line.recv(1 << 20):
        count += len(piece)
    return count


def test_an_error_in_the_block_stops_the_server_too() -> None:
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), serve(Sandbox()):
        raise ZeroDivisionError
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
def test_anything_but_loopback_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        run(Sandbox(), host=host, port=0)
    with pytest.raises(ValueError, match="not a loopback address"), serve(Sandbox(), host=host):
        raise AssertionError  # pragma: no cover - never entered


def test_localhost_and_the_other_loopback_addresses_are_served() -> None:
    hosts = ["localhost", "127.0.0.2"]
    if socket.has_ipv6 and _has_loopback_v6():  # pragma: no branch - the machines of the suite may differ
        hosts.append("::1")
    for host in hosts:
        with serve(Sandbox(), host=host) as server:
            assert httpx.get(f"{server.url}/api/v2/balance", trust_env=False).status_code == 401


def _has_loopback_v6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:  # pragma: no cover - a machine without IPv6
        return False
    return True  # pragma: no cover - a machine with IPv6


def test_a_port_in_use_is_said_in_a_sentence() -> None:
    with serve(Sandbox()) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}"):
            run(Sandbox(), port=port)


def test_a_server_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no loop today")

    monkeypatch.setattr(serving._Uvicorn, "startup", fail)
    with pytest.raises(RuntimeError, match="did not start") as caught, serve(Sandbox()):
        raise AssertionError  # pragma: no cover - never entered
    assert "no loop today" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError, match="no loop today"):
        run(Sandbox(), port=0)


def test_a_process_loads_no_media_library_and_ends_with_0_on_a_signal() -> None:
    program = """import sys; from neuralbox.sandbox import Sandbox, run
sandbox = Sandbox(); sandbox.app
assert not {"PIL", "av"} & set(sys.modules)
run(sandbox, port=0)"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT.parents[1]
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        url = line.split()[3]
        assert httpx.get(f"{url}/api/v2/balance", trust_env=False).status_code == 401
        process.terminate()
        assert process.wait(5) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_stops_on_a_signal_and_gives_the_handlers_back(number: signal.Signals) -> None:
    said: list[str] = []
    former = signal.getsignal(number)

    def announce(line: str) -> None:
        said.append(line)
        os.kill(os.getpid(), number)

    run(Sandbox(), port=0, announce=announce)
    assert len(said) == 1
    assert signal.getsignal(number) is former


def test_run_prints_by_itself(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving._Uvicorn, "main_loop", _nothing)
    run(Sandbox(), port=0)
    assert capsys.readouterr().out.startswith("NeuralBox sandbox on http://127.0.0.1:")


async def _nothing(_self: object) -> None:
    pass


def test_other_hosts_are_served_when_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving._Uvicorn, "main_loop", _nothing)
    said: list[str] = []
    run(Sandbox(), host="0.0.0.0", port=0, allow_remote=True, announce=said.append)
    assert "http://0.0.0.0:" in said[0]


# What is installed.


def test_a_missing_part_of_the_extra_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "av" else there(name))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'neuralbox\[sandbox\]'") as caught:
        run(Sandbox(), port=0)
    assert caught.value.name == "av"


@pytest.mark.parametrize("module", ["starlette", "uvicorn"])
def test_importing_without_the_extra_says_the_remedy(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_sandbox(monkeypatch, module)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'neuralbox\[sandbox\]'") as caught:
        importlib.import_module("neuralbox.sandbox")
    assert str(caught.value.name).partition(".")[0] == module


def test_a_module_that_is_missing_otherwise_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_sandbox(monkeypatch, "sqlite3")
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("neuralbox.sandbox")
    assert "pip" not in str(caught.value)


def _forget_sandbox(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Make the next import of the sandbox a first one, without this module."""
    for name in [*sys.modules]:
        if name.startswith("neuralbox.sandbox") or name.partition(".")[0] == missing:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)


def test_the_assumptions_are_written_down() -> None:
    from neuralbox.sandbox._assumptions import as_markdown

    assert (ROOT / "ASSUMPTIONS.md").read_text("utf-8") == as_markdown()
    assert len(ASSUMPTIONS) == len(set(ASSUMPTIONS)) > 40
    assert all(sentence.endswith(".") for sentence in ASSUMPTIONS)
