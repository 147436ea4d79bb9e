"""A gateway on a socket: what it writes at once, what ends it, and what it needs to be there."""

from __future__ import annotations

import asyncio
import builtins
import gc
import importlib
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

import neuralbox.gateway
from neuralbox import JournalError
from neuralbox.gateway import _serving
from neuralbox.gateway._bodies import has_left
from neuralbox.gateway._serving import GatewayServer, _GatewayHttpServer, _HeldTransport


def test_what_is_written_in_one_turn_leaves_together_and_before_the_end() -> None:
    class Transport:
        def __init__(self) -> None:
            self.said: list[Any] = []

        def write(self, data: bytes) -> None:
            self.said.append(data)

        def close(self) -> None:
            self.said.append("closed")

        def is_closing(self) -> bool:
            return False

    async def talk() -> list[Any]:
        transport = Transport()
        held = _HeldTransport(transport)
        held.write(b"head")
        held.write(b"body")
        await asyncio.sleep(0)
        held.write(b"more")
        held.close()
        await asyncio.sleep(0)
        assert not held.is_closing()
        return transport.said

    assert asyncio.run(talk()) == [b"headbody", b"more", "closed"]


class Waiting:
    """What is served here: it asks whether its caller is there, and again when the server says that it left."""

    grace = 1.0
    is_sending = False

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.is_reached, self.is_over = threading.Event(), threading.Event()

    async def start(self) -> None:
        pass

    async def aclose(self, *, grace: float | None = None) -> None:
        pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            assert (await receive())["type"] == "http.request"
            self.asked.append(await has_left(request))
            self.is_reached.set()
            assert (await receive())["type"] == "http.disconnect"
            self.asked.append(await has_left(request))
        finally:
            self.is_over.set()


def test_uvicorn_has_the_marks_by_which_a_caller_that_left_is_known() -> None:
    waiting = Waiting()
    server = GatewayServer(waiting, port=0)  # type: ignore[arg-type]  # it is served like any application
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        where = httpx.URL(server.url)
        with socket.create_connection((where.host, where.port or 0)) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert waiting.is_reached.wait(30)
        assert waiting.is_over.wait(30)
    finally:
        server.stop()
        thread.join()
    assert waiting.asked == [False, True]


class Stopped(Waiting):
    """What is served here: it answers when it is stopped, and its stop fails."""

    grace = 0.0

    async def start(self) -> None:
        self.is_stopped = anyio.Event()

    async def aclose(self, *, grace: float | None = None) -> None:
        if not self.is_stopped.is_set():
            self.is_stopped.set()
            raise JournalError("The journal is gone.")

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.is_reached.set()
        await self.is_stopped.wait()
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"It stops."})


def test_whoever_waits_when_the_time_of_a_stop_is_over_is_answered_by_the_gateway() -> None:
    """uvicorn said 500, which openai's clients repeat: without a journal the next run bought it again."""
    stopped, failures = Stopped(), list[Exception]()
    server = GatewayServer(stopped, port=0)  # type: ignore[arg-type]  # as above

    def run() -> None:
        try:
            server.run()
        except JournalError as error:
            failures.append(error)

    def stop() -> None:
        assert stopped.is_reached.wait(30)
        server.stop()

    threads = [threading.Thread(target=each) for each in (run, stop)]
    for each in threads:
        each.start()
    try:
        answer = httpx.get(server.url)
    finally:
        for each in threads:
            each.join()
    assert (answer.status_code, answer.text) == (503, "It stops.")
    assert [str(each) for each in failures] == ["The journal is gone."]


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_stop_waits_for_what_is_on_its_way_unless_it_is_told_to_twice(
    is_forced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sending(Waiting):
        looks, closed = 0, list[object]()

        @property
        def is_sending(self) -> bool:  # type: ignore[override]  # it changes here
            self.looks += 1
            return self.looks < 3

        async def aclose(self, *, grace: float | None = None) -> None:
            self.closed.append((self.looks, grace))

    monkeypatch.setattr(_serving, "_PAUSE", 0.0)
    sending = Sending()
    server = _GatewayHttpServer(sending)  # type: ignore[arg-type]  # as above
    server.force_exit = is_forced
    anyio.run(server._stop_gateway)
    assert sending.closed == [(0 if is_forced else 3, 0.0)]


@pytest.mark.parametrize(("frozen", "done"), [(0, ["collect", "freeze", "unfreeze"]), (7, ["collect", "freeze"])])
def test_what_the_program_kept_from_collections_before_it_stays_so(
    frozen: int, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(gc, "get_freeze_count", lambda: frozen)
    for name in ("collect", "freeze", "unfreeze"):
        monkeypatch.setattr(gc, name, partial(seen.append, name))
    server = GatewayServer(Waiting(), port=0)  # type: ignore[arg-type]  # as above
    server.run(lambda _: server.stop())
    assert seen == done


@pytest.mark.parametrize("is_gone", [False, True])
@pytest.mark.parametrize("has_answer", [False, True])
def test_where_uvicorn_serves_nobody_waits_to_learn_whether_a_caller_left(is_gone: bool, has_answer: bool) -> None:
    class Cycle:
        disconnected, response_complete = is_gone, has_answer

        async def receive(self) -> Message:
            raise AssertionError("It was waited for.")

    assert asyncio.run(has_left(Request({"type": "http"}, Cycle().receive))) is (is_gone or has_answer)


@pytest.mark.parametrize(
    ("missing", "said"), [("starlette", r"pip install 'neuralbox\[gateway\]'"), ("something", "No module named")]
)
def test_an_installation_without_the_extra_is_told_what_to_install(
    missing: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = builtins.__import__

    def refuse(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if level == 1 and name == "_app":
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return stock(name, globals, locals, fromlist, level)

    kept = {name: module for name, module in sys.modules.items() if name.startswith("neuralbox.gateway")}
    monkeypatch.setattr(builtins, "__import__", refuse)
    try:
        with pytest.raises(ModuleNotFoundError, match=said):
            importlib.reload(neuralbox.gateway)
    finally:
        monkeypatch.undo()
        sys.modules.update(kept)
        importlib.reload(neuralbox.gateway)


def test_the_command_starts_without_the_command_line_that_httpx_brings(tmp_path: Path) -> None:
    """It has rich and pygments, which are a fifth of the time until the gateway listens."""
    program = (
        "import atexit, sys; from neuralbox._cli import main; "
        "atexit.register(lambda: print(*(name for name in ('httpx', 'rich', 'pygments') if name in sys.modules))); main()"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, "gateway", "keys"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["httpx"]
