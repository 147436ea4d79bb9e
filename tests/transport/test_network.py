from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpcore2
import pytest

from neuralbox._transport.httpcore2 import network as module
from neuralbox._transport.httpcore2.network import CoreNetwork
from neuralbox._transport.private_hosts import PeerGuard

from .servers import Server, answering, eventually


@pytest.mark.anyio
async def test_a_port_that_is_none_is_a_failed_connection() -> None:
    network = CoreNetwork(PeerGuard(sees_peers=True))
    with pytest.raises(httpcore2.ConnectError, match="port"):
        await network.connect_tcp("127.0.0.1", 70_000)
    await network.sleep(0)


@pytest.mark.anyio
async def test_a_connection_that_is_reset_at_once_is_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio knows no peer of it then; nothing was sent, so another attempt may follow."""
    network = CoreNetwork(PeerGuard(sees_peers=True))
    with Server(answering()) as server:
        await (await network.connect_tcp("127.0.0.1", server.port)).aclose()
        monkeypatch.setattr(type(network._engine), "connect_tcp", connected_to_nobody)
        with pytest.raises(httpcore2.ConnectError, match="reset"):
            await network.connect_tcp("127.0.0.1", server.port)


class Nobody:
    """A stream whose other side is gone."""

    def get_extra_info(self, _: str) -> None:
        return None


async def connected_to_nobody(*_: object, **__: object) -> Any:
    return Nobody()


@pytest.mark.anyio
async def test_a_socket_closed_underneath_counts_as_readable() -> None:
    with Server(answering()) as server:
        network = CoreNetwork(PeerGuard(sees_peers=True))
        wire = await network.connect_tcp("127.0.0.1", server.port)
        assert wire.get_extra_info("is_readable") is False
        assert wire.get_extra_info("is_readable") is False
        await wire.aclose()
        await eventually(lambda: bool(wire.get_extra_info("is_readable")))
        assert network.open_sockets == 0
        await eventually(lambda: server.open == 0)


@pytest.mark.anyio
async def test_a_system_that_refuses_keep_alive_still_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEPALIVE", [(99, 99, 1)])
    with Server(answering()) as server:
        network = CoreNetwork(PeerGuard(sees_peers=True))
        await network.connect_tcp("127.0.0.1", server.port)
        assert network.open_sockets == 1
        await network.aclose()
        await eventually(lambda: server.open == 0)


@pytest.mark.parametrize("transport", [SimpleNamespace(), SimpleNamespace(_sock=None, _call_connection_lost=print)])
def test_a_transport_that_has_closed_its_socket_itself_is_left_alone(transport: Any) -> None:
    module._close_without_loop(SimpleNamespace(_stream=SimpleNamespace(_transport=transport)))
