"""What does it cost to fetch files, and who suffers from it?

Three questions, each against a lean server in a process of its own (below) that makes the bytes up as it sends them:

- The client's CPU for one large file, in seconds per gigabyte, and the memory it takes. Baseline: a bare `httpx` loop,
  `async for chunk in reply.aiter_bytes(): file.write(chunk)`, which neither checks nor flushes nor can go on after a cut.
- What is fetched twice when a file is cut at random bytes, per cut; and whether the file is right.
- How long a poll takes while many files are fetched: the median of `nb.generations.get` in 64 tasks that ask over and over,
  without and with 100 files under way, the service answering after 50 ms. Both ways take turns.

    python -m benchmarks.bench_files [--full]
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import resource
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import httpx

from benchmarks.measure import Row, Settings, compare, interleave, main, show
from benchmarks.server import HOST, started
from neuralbox import AsyncNeuralBox, Limits

CPU_BOUND = 1.3
MEMORY_BOUND = 40.0
TWICE_BOUND = 1024 * 1024
POLLS_BOUND = 1.2

GB = 10**9
MB = 10**6
OURS = "neuralbox"
BARE = "bare httpx"
_BLOCK = 2**20
_LATENCY = 0.05


# The server: bytes that depend on where in the file they stand, so that a file put together wrongly shows.

_PATTERN = random.Random(7).randbytes(_BLOCK + 251)


def bytes_at(first: int, count: int) -> Iterator[memoryview]:
    """Yield the bytes of every file from `first` on, so many."""
    view = memoryview(_PATTERN)
    while count > 0:
        block, within = divmod(first, _BLOCK)
        shift = block % 251
        piece = view[shift + within : shift + min(_BLOCK, within + count)]
        yield piece
        first += len(piece)
        count -= len(piece)


class Files(asyncio.Protocol):
    """Serves `/f/<bytes>[/<cuts>/<seed>]`, `/sent` (bytes of files sent so far) and, after 50 ms, anything else."""

    sent = 0
    cuts: dict[str, list[int]] = {}  # noqa: RUF012 - one for all connections, on purpose

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.room = asyncio.Event()
        self.room.set()
        self.buffer = b""

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.room.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode()
            if target.startswith("/f/"):
                self.task = asyncio.ensure_future(self.file(target, head.decode().lower()))
            elif target == "/sent":
                self.answer(b"%d" % Files.sent)
            else:
                record = b'{"id": 18500, "type": "video", "status": "pending", "progress": 40}'
                asyncio.get_running_loop().call_later(_LATENCY, self.answer, record)

    def answer(self, body: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        self.transport.write(body)

    async def file(self, target: str, head: str) -> None:
        size, *plan = (int(part) for part in target.split("/")[2:])
        first, status, more = 0, "200 OK", ""
        asked = re.search(r"range: bytes=(\d+)-", head)
        if asked:
            first, status = int(asked[1]), "206 Partial Content"
            more = f"content-range: bytes {first}-{size - 1}/{size}\r\n"
        lines = f'HTTP/1.1 {status}\r\ncontent-length: {size - first}\r\netag: "v1"\r\n{more}\r\n'
        self.transport.write(lines.encode())
        if plan and target not in Files.cuts:
            count, seed = plan
            Files.cuts[target] = sorted(random.Random(seed).sample(range(1, size), count))
        cuts = Files.cuts.get(target, [])
        end = next((cut for cut in cuts if cut > first), size)
        for piece in bytes_at(first, end - first):
            await self.room.wait()
            if self.transport.is_closing():
                return
            self.transport.write(piece)
            Files.sent += len(piece)
        if end < size:
            cuts.remove(end)
            self.transport.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Files, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)


def serving() -> AbstractContextManager[str]:
    """Run the server in a process of its own."""
    return started("benchmarks.bench_files", "--serve")


@asynccontextmanager
async def client(url: str) -> AsyncIterator[AsyncNeuralBox]:
    async with AsyncNeuralBox(api_key="nb_benchmark", base_url=url, trust_env=False, limits=Limits()) as nb:
        yield nb


# One large file...


async def measure_cpu(url: str, directory: Path, *, size: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure CPU seconds per byte of one large file, ours and the bare loop's.

    Both begin without the file: to take the memory that the system kept for an old one is cheaper than to get new.
    """
    target = directory / "large.bin"
    async with client(url) as nb, httpx.AsyncClient(trust_env=False) as bare_client:

        async def ours() -> int:
            target.unlink(missing_ok=True)
            await nb.files.download(f"{url}/f/{size}", target)
            assert target.stat().st_size == size
            return size

        async def bare() -> int:
            target.unlink(missing_ok=True)
            async with bare_client.stream("GET", f"{url}/f/{size}") as reply:
                with target.open("wb") as file:
                    async for chunk in reply.aiter_bytes():
                        file.write(chunk)
            assert target.stat().st_size == size
            return size

        return await interleave({OURS: ours, BARE: bare}, rounds=rounds, seed=seed)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure_memory(url: str, directory: Path, *, size: int) -> float:
    """Return the megabytes that a large file takes above what a small one has taken."""
    async with client(url) as nb:
        await nb.files.download(f"{url}/f/{MB}", directory / "small.bin", overwrite=True)
        start = _peak_mb()
        await nb.files.download(f"{url}/f/{size}", directory / "large.bin", overwrite=True)
    return _peak_mb() - start


# ... one that is cut...


async def measure_cuts(url: str, directory: Path, *, size: int, cuts: int, seed: int) -> float:
    """Return the bytes that were sent twice, per cut; the file must be right."""
    target = directory / "cut.bin"
    wanted = hashlib.sha256()
    for piece in bytes_at(0, size):
        wanted.update(piece)

    def sent() -> int:
        with urllib.request.urlopen(f"{url}/sent") as reply:
            return int(reply.read())

    before = await asyncio.to_thread(sent)
    async with client(url) as nb:
        await nb.files.download(f"{url}/f/{size}/{cuts}/{seed}", target, overwrite=True)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == wanted.hexdigest()
    return (await asyncio.to_thread(sent) - before - size) / cuts


# ... and many beside polls.


async def measure_polls(
    service: str, storage: str, directory: Path, *, files: int, size: int, seconds: float, rounds: int
) -> dict[str, list[float]]:
    """Return medians of the polls' seconds, alone and beside files, in pairs."""
    medians: dict[str, list[float]] = {"alone": [], "beside": []}
    async with client(service) as nb:

        async def poll(until: asyncio.Event, found: list[float]) -> None:
            while not until.is_set():
                start = time.perf_counter()
                await nb.generations.get(18500)
                found.append(time.perf_counter() - start)
                await asyncio.sleep(0.25)

        async def polls(*, beside: bool) -> float:
            found: list[float] = []
            until = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for _ in range(64):
                    group.create_task(poll(until, found))
                if beside:
                    names = [directory / f"{number}.bin" for number in range(files)]
                    fetched = [
                        asyncio.ensure_future(nb.files.download(f"{storage}/f/{size}", name, overwrite=True))
                        for name in names
                    ]
                    await asyncio.gather(*fetched)
                else:
                    await asyncio.sleep(seconds)
                until.set()
            return statistics.median(found)

        await polls(beside=False)
        for _ in range(rounds):
            medians["alone"].append(await polls(beside=False))
            medians["beside"].append(await polls(beside=True))
    return medians


def run(settings: Settings) -> list[Row]:
    """Measure all three."""
    size = settings.pick(20 * MB, GB)
    with serving() as url, serving() as storage, tempfile.TemporaryDirectory(prefix="bench-files-") as name:
        directory = Path(name)
        grown = asyncio.run(measure_memory(url, directory, size=size))
        rounds = settings.pick(2, 3)
        cpu = asyncio.run(measure_cpu(url, directory, size=size, rounds=rounds, seed=settings.seed))
        cut_size, cuts = settings.pick(20 * MB, 200 * MB), settings.pick(5, 20)
        twice = asyncio.run(measure_cuts(url, directory, size=cut_size, cuts=cuts, seed=settings.seed))
        polls = asyncio.run(
            measure_polls(
                url,
                storage,
                directory,
                files=settings.pick(20, 100),
                size=settings.pick(MB, 10 * MB),
                seconds=settings.pick(1, 3),
                rounds=settings.pick(1, 3),
            )
        )
    what = f"a file of {size // MB} MB"
    return [
        compare(what, cpu, OURS, BARE, unit="s CPU/GB", scale=GB, bound=CPU_BOUND),
        show(f"{what}: {BARE}", cpu[BARE], unit="s CPU/GB", scale=GB),
        Row(f"{what}: memory above the start", grown, "MB", bound=MEMORY_BOUND),
        Row(f"fetched twice, per cut of {cuts}", twice, "bytes", bound=TWICE_BOUND),
        compare("a poll beside files", polls, "beside", "alone", unit="ms", scale=1e3, bound=POLLS_BOUND),
        show("a poll alone", polls["alone"], unit="ms", scale=1e3),
    ]


if __name__ == "__main__":
    if "--serve" in sys.argv:
        asyncio.run(_serve())
    else:
        main(run, __doc__)
