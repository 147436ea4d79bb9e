"""A gateway on a socket: what it writes at once, what ends it, and what it needs to be there."""

from __future__ import annotations

import asyncio
import builtins
import importlib
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import neuralbox.gateway
from neuralbox import AsyncNeuralBox
from neuralbox.gateway import app
from neuralbox.gateway._serving import GatewayServer, _HeldTransport


def test_it_stops_on_a_signal_and_gives_the_handlers_back(tmp_path: Path) -> None:
    gateway = app(AsyncNeuralBox(api_key="nb_x"), keys=tmp_path / "keys.json")
    listening = GatewayServer(gateway, port=0)
    server = listening._server
    before = signal.getsignal(signal.SIGTERM)
    with server.capture_signals():
        signal.raise_signal(signal.SIGTERM)
        assert server.should_exit
    assert signal.getsignal(signal.SIGTERM) is before
    listening._listener.close()


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
