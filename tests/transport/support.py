"""Short ways to say what nearly every test of the transport says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from neuralbox._transport import HttpxTransport, Limits, Timeouts, build_transport
from neuralbox._transport.adapter import CoreTransport
from neuralbox._transport.engine import Lane

PATIENT = Timeouts(5.0, 5.0, 5.0)
KEY = "nb_secret_key"
MEGABYTE = 1024 * 1024


@asynccontextmanager
async def transport_for(**options: Any) -> AsyncIterator[HttpxTransport]:
    """Open a transport, and close it however the test ends."""
    transport = build_transport(**{"limits": Limits(), **options})
    try:
        yield transport
    finally:
        await transport.aclose()


def prepare(transport: HttpxTransport, url: str, method: str = "GET", **changes: Any) -> Any:
    headers: Mapping[str, str] = {"authorization": f"Bearer {KEY}", "user-agent": "tests"}
    return transport.prepare(method, url, **{"headers": headers, "timeouts": PATIENT, **changes})


def lane_of(transport: HttpxTransport) -> Lane:
    """Return what the running loop uses."""
    return transport._lanes.get(transport._open_lane)


def engine_of(transport: HttpxTransport) -> CoreTransport:
    return lane_of(transport).engines[0]


def open_sockets(transport: HttpxTransport) -> int:
    """Count the connections our side has open, over all engines of the running loop."""
    return sum(engine.network.open_sockets for engine in lane_of(transport).engines if engine.network is not None)


def pooled(transport: HttpxTransport) -> list[Any]:
    """Return the connections the pools hold, without those that the next request will drop."""
    pools = [pool for engine in lane_of(transport).engines for pool in engine.pools.values()]
    return [connection for pool in pools for connection in pool.connections if not connection.is_closed()]


def all_free(transport: HttpxTransport) -> bool:
    """Tell whether every slot of gates and pools is free again."""
    lane = lane_of(transport)
    return (
        lane.requests.value == lane.requests.max_value
        and lane.streams.value == lane.streams.max_value
        and all(not pool._requests for engine in lane.engines for pool in engine.pools.values())
        and all(connection.is_idle() for connection in pooled(transport))
    )
