"""What does walking a listing cost, in time and in the client's CPU, against a bare loop over its pages?

10,000 generations, 100 a page, from a server that holds each answer for 20 ms. The baseline asks for one page after the
other with `httpx.AsyncClient.get` and parses it with `response.json()`; its items are the dicts that come out of that,
where ours are `Generation`s, every field of which is read. A second bare loop validates each item with a pydantic model
of the same fields, for those who would otherwise do that themselves. Units: microseconds per item, of the wall's clock
and of this process's CPU. The last rows count what is wrong with the result when three new items arrive per page.

    python -m benchmarks.bench_paging [--full]
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import httpx
from pydantic import BaseModel, ConfigDict

from benchmarks.measure import Row, Settings, compare, main, show
from benchmarks.server import HOST, ROOT, Behaviour, Site, Wire, answer
from neuralbox import AsyncNeuralBox

LATENCY = 0.02
PAGE = 100
ARRIVING = 3
WALL_BOUND = 1 / 3.5  # of the time an item takes: 3.5 times the items per second
CPU_BOUND = 1.0

OURS = "neuralbox, prefetch=4"
OURS_ALONE = "neuralbox, prefetch=0"
BARE = "httpx loop"
BARE_MODELS = "httpx loop + pydantic"

Walk: TypeAlias = Callable[[], Awaitable[int]]


class Item(BaseModel):
    """What one would write beside a bare loop: the documented fields of an item (SEED 000)."""

    model_config = ConfigDict(frozen=True)

    id: str
    type: str
    model: str
    status: str
    prompt: str
    url: str | None
    tokens_used: int
    created_at: datetime


# The other side: a process of its own.


def record(number: int) -> bytes:
    """Return one item of the history as the seed shows it."""
    name = f"gen_01j9x{number:07d}"
    item = {
        "id": name,
        "type": "image",
        "model": "flux-1.1-pro",
        "status": "completed",
        "prompt": "Portrait of a CEO in a modern office",
        "url": f"https://storage.neuralbox.top/generations/{name}.webp",
        "tokens_used": 8,
        "created_at": "2026-03-08T12:02:30Z",
    }
    return json.dumps(item, separators=(",", ":")).encode()


class Listing(Site):
    """A history of so many items; `arriving=3` in a query lets so many new ones come after it is answered."""

    def __init__(self, behaviour: Behaviour, count: int) -> None:
        super().__init__(behaviour)
        self._count = count
        self._head = answer({}).rpartition(b"\r\n\r\n")[0].replace(b"Content-Length: 2", b"Content-Length: %d")
        self._begin()

    def _begin(self) -> None:
        self._items = [record(number) for number in range(self._count, 0, -1)]

    def reply(self, method: str, target: str, body: bytes) -> bytes | list[bytes]:  # noqa: ARG002 - as `Site` is asked
        """Answer one page."""
        asked = {name: values[0] for name, values in parse_qs(target.partition("?")[2]).items()}
        if "page" not in asked:
            self._begin()
            return answer({})
        page, limit, arriving = int(asked["page"]), int(asked["limit"]), int(asked.get("arriving", "0"))
        total = len(self._items)
        shown = b",".join(self._items[(page - 1) * limit : page * limit])
        pages = -(-total // limit)
        content = b'{"items":[%b],"total":%d,"page":%d,"limit":%d,"pages":%d}' % (shown, total, page, limit, pages)
        if arriving:
            self._items[:0] = [record(total + more) for more in range(arriving, 0, -1)]
        return self._head % len(content) + b"\r\n\r\n" + content


async def serve(site: Site) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(site, loop), HOST, 0, backlog=128)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        over = asyncio.Event()
        loop.add_reader(sys.stdin.fileno(), lambda: over.set() if not os.read(sys.stdin.fileno(), 1024) else None)
        await over.wait()
        loop.remove_reader(sys.stdin.fileno())


@contextmanager
def serving(count: int, module: str = "benchmarks.bench_paging") -> Iterator[str]:
    """Run the other side, which a module is with `--serve`, and hand out its address."""
    command = [sys.executable, "-m", module, "--serve", str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://{HOST}:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()  # its lifeline


# The walks.


def ours(nb: AsyncNeuralBox, prefetch: int) -> Walk:
    """Walk with the client."""

    async def walk() -> int:
        count = 0
        async for item in nb.history.list(page_size=PAGE, prefetch=prefetch):
            assert item.is_completed
            count += 1
        return count

    return walk


def bare(client: httpx.AsyncClient, url: str, read: Callable[[dict[str, Any]], object]) -> Walk:
    """Walk by hand: page after page until the last."""

    async def walk() -> int:
        count, page, pages = 0, 1, 1
        while page <= pages:
            reply = (await client.get(url, params={"page": page, "limit": PAGE})).json()
            pages = reply["pages"]
            for item in reply["items"]:
                assert read(item)
                count += 1
            page += 1
        return count

    return walk


async def measure(walks: Mapping[str, Walk], *, rounds: int, seed: int) -> list[dict[str, list[float]]]:
    """Return seconds per item of the wall's clock, and of CPU, one figure per round, by walk."""
    order, rng = list(walks), random.Random(seed)
    for name in order:
        await walks[name]()
    wall: dict[str, list[float]] = {name: [] for name in order}
    cpu: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            gc.collect()
            begun, worked = time.perf_counter(), time.process_time()
            count = await walks[name]()
            wall[name].append((time.perf_counter() - begun) / count)
            cpu[name].append((time.process_time() - worked) / count)
    return [wall, cpu]


async def wrong(url: str, count: int, prefetch: int) -> tuple[int, int]:
    """Walk while items arrive; return how many came twice, and how many of those that were there did not come."""
    async with httpx.AsyncClient() as client, AsyncNeuralBox(api_key="nb_benchmark", base_url=url) as nb:
        await client.get(f"{url}/begin")
        listing = nb.history.list(page_size=PAGE, prefetch=prefetch, extra_query={"arriving": ARRIVING})
        seen = [str(item.id) async for item in listing]
        await client.get(f"{url}/begin")
    expected = {json.loads(record(number))["id"] for number in range(1, count + 1)}
    return len(seen) - len(set(seen)), len(expected - set(seen))


async def all_walks(url: str, settings: Settings) -> list[dict[str, list[float]]]:
    """Measure all walks, on connections that are warm."""
    listing = f"{url}/api/v2/user/history"
    async with AsyncNeuralBox(api_key="nb_benchmark", base_url=url) as nb, httpx.AsyncClient() as client:
        walks = {
            OURS: ours(nb, 4),
            OURS_ALONE: ours(nb, 0),
            BARE: bare(client, listing, lambda item: item["status"] == "completed"),
            BARE_MODELS: bare(client, listing, lambda item: Item.model_validate(item).status == "completed"),
        }
        return await measure(walks, rounds=settings.pick(1, 7), seed=settings.seed)


def run(settings: Settings) -> list[Row]:
    """Measure all walks, then count what is wrong when items arrive."""
    count = settings.pick(300, 10_000)
    with serving(count) as url:
        wall, cpu = asyncio.run(all_walks(url, settings))
        twice, missing = asyncio.run(wrong(url, count, 4))
    rows = [
        compare(f"an item: {OURS}", wall, OURS, BARE, unit="us wall", bound=WALL_BOUND),
        compare(f"an item: {OURS}", wall, OURS, BARE_MODELS, unit="us wall"),
        compare(f"an item: {OURS_ALONE}", wall, OURS_ALONE, BARE, unit="us wall"),
        *(show(f"an item: {name}", wall[name], unit="us wall") for name in (BARE, BARE_MODELS)),
        compare(f"an item: {OURS}", cpu, OURS, BARE, bound=CPU_BOUND),
        compare(f"an item: {OURS}", cpu, OURS, BARE_MODELS),
        compare(f"an item: {OURS_ALONE}", cpu, OURS_ALONE, BARE),
        *(show(f"an item: {name}", cpu[name]) for name in (BARE, BARE_MODELS)),
    ]
    arriving = f"{ARRIVING} new items per page, {OURS}"
    return [
        *rows,
        Row(f"{arriving}: items twice", twice, "items", bound=0.0),
        Row(f"{arriving}: items missing", missing, "items", bound=0.0),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(Listing(Behaviour(latency=LATENCY), int(sys.argv[2]))))
    else:
        main(run, __doc__)
