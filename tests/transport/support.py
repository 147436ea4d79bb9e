"""Short ways to say what nearly every test of the transport says, on whichever engine it runs.

`every_engine` stands in for the house's `anyio_backend` in the modules whose tests hold for both engines: the default
one on asyncio and on trio, and aiohttp on asyncio. What looks inside httpcore2 says so with `default_engine`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from neuralbox._transport import HttpxTransport, Limits, Timeouts, build_transport
from neuralbox._transport.aiohttp.adapter import AiohttpTransport
from neuralbox._transport.engine import LoopResources
from neuralbox._transport.httpcore2.adapter import CoreTransport

PATIENT = Timeouts(5.0, 5.0, 5.0)
KEY = "nb_secret_key"
MEGABYTE = 1024 * 1024

chosen: list[str] = []
"""Holds "aiohttp" while a test runs on it; see conftest.py."""


@pytest.fixture(scope="module", params=["asyncio", "trio", "asyncio-aiohttp"])
def every_engine(request: pytest.FixtureRequest) -> str:
    """Run each async test on both engines; conftest.py reads the parameter's second half."""
    backend: str = request.param
    return backend.partition("-")[0]


default_engine = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], scope="module")
"""For tests that look inside httpcore2."""


def build(**options: Any) -> HttpxTransport:
    """Make a transport over the chosen engine."""
    if chosen and "http_client" not in options:
        options.setdefault("transport", *chosen)
    return build_transport(**{"limits": Limits(), **options})


@asynccontextmanager
async def transport_for(**options: Any) -> AsyncIterator[HttpxTransport]:
    """Open a transport, and close it however the test ends."""
    transport = build(**options)
    try:
        yield transport
    finally:
        await transport.aclose()


def prepare(transport: HttpxTransport, url: str, method: str = "GET", **changes: Any) -> Any:
    headers: Mapping[str, str] = {"authorization": f"Bearer {KEY}", "user-agent": "tests"}
    return transport.prepare(method, url, **{"headers": headers, "timeouts": PATIENT, **changes})


def resources_of(transport: HttpxTransport) -> LoopResources:
    """Return what the running loop uses."""
    return transport._per_loop.get(transport._open_resources)


def engine_of(transport: HttpxTransport) -> CoreTransport:
    """Return the default engine the running loop uses."""
    engine = resources_of(transport).engines[0]
    assert isinstance(engine, CoreTransport)
    return engine


def open_sockets(transport: HttpxTransport) -> int:
    """Count the connections our side has open, over all engines of the running loop."""
    return sum(engine.network.open_sockets for engine in resources_of(transport).engines if engine.network is not None)


def pooled(transport: HttpxTransport) -> list[Any]:
    """Return the connections the pools hold, without those that the next request will drop."""
    found: list[Any] = []
    for engine in resources_of(transport).engines:
        if isinstance(engine, AiohttpTransport):
            connector = None if engine.network is None else engine.network.connector
            idle = [wire for wires in connector._conns.values() for wire, _ in wires] if connector else []
            held = [wire for wire in [*connector._acquired, *idle] if wire.is_connected()] if connector else []
        else:
            held = [each for pool in engine.pools.values() for each in pool.connections if not each.is_closed()]
        found += held
    return found


def sockets_of(transport: HttpxTransport) -> list[Any]:
    """Return the sockets of all engines of the running loop."""
    found: list[Any] = []
    for engine in resources_of(transport).engines:
        if isinstance(engine, AiohttpTransport):
            if engine.network is not None:
                found += [sock for sock in engine.network._sockets if sock.fileno() >= 0]
        elif engine.network is not None:
            found += [tcp.get_extra_info("socket") for tcp in engine.network._open]
    return found


def is_connecting(transport: HttpxTransport) -> bool:
    """Tell whether a connection is being made."""
    return bool(sockets_of(transport) if chosen else pooled(transport))


def all_free(transport: HttpxTransport) -> bool:
    """Tell whether every slot of limits and pools is free again."""
    resources = resources_of(transport)
    return (
        resources.requests.value == resources.requests.max_value
        and resources.streams.value == resources.streams.max_value
        and all(_is_free(engine) for engine in resources.engines)
    )


def _is_free(engine: CoreTransport | AiohttpTransport) -> bool:
    if isinstance(engine, AiohttpTransport):
        return engine.network is None or not (engine.network.connector._acquired or engine.network.connector._waiters)
    return all(
        not pool._requests and all(each.is_idle() or each.is_closed() for each in pool.connections)
        for pool in engine.pools.values()
    )
