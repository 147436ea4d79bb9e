"""Does a program written for openai's API pay once through the gateway, and what does the gateway itself cost?

Four questions, each with its bound:

- Faults: `bench_faults` with openai-python through the gateway, the faults between the gateway and the service. As many
  charges and results as were wanted, nothing raised.
- Kills: the same while the gateway, a process of its own with a journal, is killed (`SIGKILL`) ten times in the middle and
  started again; openai-python repeats up to 40 times, and nobody gives up meanwhile: how long a start takes on a busy
  machine is no question here. The service takes a while for each answer, so that requests are on their way when it dies.
- CPU: of the gateway's process for a chat request, at most twice that of the SDK call that it makes (the same messages,
  by the same clocks); and for a piece of a stream, at most 60 us. The process's own CPU clock tells it, all threads
  together; the requests come from this process. Request and SDK call take turns one by one: either finds the processor's
  caches as the other left them. A loop of nothing but SDK calls keeps them warm, which no server that is woken for a
  request has, and a block of each meets another load of the machine.
- Polls: videos waited for by one client each, whatever their interval; requests that reach the service for each, at most
  2.6. In virtual time, in one process.

    python -m benchmarks.bench_gateway [--full] [--seed 1]
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, Final, TypeAlias

import anyio
import httpx

from benchmarks.answering import answering
from benchmarks.bench_faults import AT_ONCE, FAULTS, GIVEN_UP, MODEL, PACE, RATE, TIMEOUT, Came
from benchmarks.measure import Row, Settings, compare, main, out_of_sight, show
from benchmarks.server import ROOT, Behaviour, running
from neuralbox import AsyncNeuralBox
from neuralbox.gateway import Gateway, KeyFile, _callers, _joins, app
from neuralbox.gateway._serving import GatewayServer
from neuralbox.sandbox import Sandbox, serve
from neuralbox.testing import FastTime, in_memory, using

CPU_BOUND: Final = 2.0
PIECE_BOUND: Final = 60.0
POLLS_BOUND: Final = 2.6
KILLS: Final = 10
SERVICE_SECONDS: Final = 0.05
REPEATS: Final = 40
PATIENCE: Final = 300.0
"""Real seconds after which a call is given up for its caller while gateways are killed."""
OPERATOR: Final = "nb_operator"


# openai's client, and what it came to.


async def bought(
    url: str, key: str, count: int, *, max_retries: int, patience: float = 2 * GIVEN_UP
) -> tuple[set[object], list[str]]:
    """Let openai's client buy so many pictures: the different results, and what its caller saw raised."""
    results: set[object] = set()
    raised: list[str] = []
    slots = asyncio.Semaphore(AT_ONCE)
    made = import_module("openai").AsyncOpenAI(api_key=key, base_url=url, max_retries=max_retries)
    async with made as client:

        async def one(prompt: str) -> None:
            async with slots:
                try:
                    async with asyncio.timeout(patience):
                        answer = await client.images.generate(model=MODEL, prompt=prompt)
                        results.add(answer.data[0].url)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                    raised.append(f"{type(error).__name__}: {error}")

        await asyncio.gather(*(one(f"Fox {number}") for number in range(count)))
    return results, raised


def came_of(sandbox: Sandbox, results: set[object], raised: Sequence[str]) -> Came:
    """Count what one run came to."""
    ledger = sandbox.ledger
    prompts = {one.id: one.prompt for one in ledger.generations.values()}
    charged = [prompts[charge.generation] for charge in ledger.charges]
    for line in raised:
        print(line, file=sys.stderr)
    return Came(
        charges=len(charged),
        twice=len(charged) - len(set(charged)),
        results=len(results),
        exceptions=len(raised),
        posts=ledger.requests_by_route["POST /generate"],
    )


def row_of(what: str, came: Came, count: int) -> Row:
    """Say what one run came to."""
    wrong = came.twice + abs(came.charges - count) + (count - came.results) + came.exceptions
    note = f"{came.charges} charges, {came.results} results, {came.exceptions} exceptions, {came.posts} POSTs"
    return Row(f"{count} pictures by openai-python, {what}: astray", wrong, "", bound=0, note=note)


@contextmanager
def in_thread(gateway: Gateway, client: AsyncNeuralBox) -> Iterator[str]:
    """Serve a gateway from a thread of its own, and close its client there; its base URL for openai's clients."""
    server = GatewayServer(gateway, port=0)
    thread = threading.Thread(target=partial(server.run, close=client.aclose))
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


def under_fault(fault: str, count: int, seed: int) -> Came:
    """Let the service meet one fault."""
    fast = FastTime(PACE)
    faults = {f"{fault}@POST /generate": RATE}
    with tempfile.TemporaryDirectory() as directory, using(fast):
        key, _ = KeyFile(f"{directory}/keys.json").make("benchmark")
        with serve(Sandbox(clock=fast.now, balance=10_000_000, seed=seed, faults=faults)) as server:
            client = AsyncNeuralBox(api_key=OPERATOR, base_url=server.url, timeout=TIMEOUT)
            with in_thread(app(client, keys=f"{directory}/keys.json"), client) as url:
                results, raised = asyncio.run(bought(url, key, count, max_retries=2))
            return came_of(server.sandbox, results, raised)


# Killed and started again.


class KilledGateway:
    """A gateway in a process of its own, always at the same port."""

    def __init__(self, service: str, directory: str, *, pace: float = PACE, journal: bool = True) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.key, _ = KeyFile(f"{directory}/keys.json").make("benchmark")
        self._command = [sys.executable, "-m", "benchmarks.bench_gateway", "--serve", service, directory]
        self._command += [str(self.port), str(pace), "journal" if journal else ""]
        self.process: subprocess.Popen[str]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError("The gateway did not start.")

    def kill(self) -> None:
        """Kill it, as the machine may."""
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for its end."""
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def cpu_seconds(self) -> float:
        """Return the CPU time it took so far, all threads together, those that have ended too."""
        # What `time.process_time` reads of this process; `clock_getcpuclockid` of Linux makes the number.
        return time.clock_gettime((~self.process.pid << 3) | 2)


def serve_here(service: str, directory: str, port: int, pace: float, *, journal: bool) -> None:
    """Be the gateway's process."""
    joined_for = _joins.JOINED_FOR * pace  # callers repeat by the real clock; here time runs so many times as fast
    for module in (_joins, _callers):
        vars(module)["JOINED_FOR"] = joined_for
    # At its own pace time has the clocks that it has for every user: the SDK beside it has them too.
    with nullcontext() if pace == 1.0 else using(FastTime(pace)):
        timeout = TIMEOUT if journal else None
        client = AsyncNeuralBox(
            api_key=OPERATOR,
            base_url=service,
            **({} if timeout is None else {"timeout": timeout}),  # type: ignore[arg-type]
        )
        path = f"{directory}/gateway.sqlite" if journal else None
        gateway = app(client, keys=f"{directory}/keys.json", journal=path, grace=10.0)
        GatewayServer(gateway, port=port).run(lambda url: print(url, flush=True), close=client.aclose)


def under_kills(count: int, kills: int, seed: int, *, fault: str | None = None) -> Came:
    """Kill the gateway so often while so many pictures are bought."""
    fast = FastTime(PACE)
    faults = {} if fault is None else {f"{fault}@POST /generate": RATE}
    sandbox = Sandbox(clock=fast.now, balance=10_000_000, seed=seed, faults=faults, service_seconds=SERVICE_SECONDS)
    with tempfile.TemporaryDirectory() as directory, serve(sandbox) as server:
        gateway = KilledGateway(server.url, directory)
        try:

            async def killing() -> tuple[set[object], list[str]]:
                buying = asyncio.create_task(
                    bought(gateway.url, gateway.key, count, max_retries=REPEATS, patience=PATIENCE)
                )
                for number in range(1, kills + 1):
                    wanted = number * count // (kills + 1)
                    while len(sandbox.ledger.charges) < wanted and not buying.done():
                        await asyncio.wait([buying], timeout=0.002)
                    await asyncio.to_thread(gateway.kill)
                    await asyncio.to_thread(gateway.start)
                return await buying

            results, raised = asyncio.run(killing())
        finally:
            gateway.end()
        return came_of(sandbox, results, raised)


# CPU.


@asynccontextmanager
async def caller(gateway: KilledGateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway that costs nobody but this process."""
    headers = {"authorization": f"Bearer {gateway.key}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60.0) as client:
        yield client


Measured: TypeAlias = tuple[Callable[[], Awaitable[object]], Callable[[], float]]
"""One operation, and the clock of the process whose CPU time it is measured by."""


async def one_by_one(candidates: Mapping[str, Measured], each: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure operations that take turns one by one, after a round that does not count; CPU seconds of each, by round."""
    order, rng = list(candidates), random.Random(seed)
    found: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(rounds + 1):
        with out_of_sight():  # as the gateway has it, whose server does this before it listens
            taken = dict.fromkeys(order, 0.0)
            for _ in range(each):
                rng.shuffle(order)
                for name in order:
                    operation, clock = candidates[name]
                    began = clock()
                    await operation()
                    taken[name] += clock() - began
            for name, seconds in taken.items():
                found[name].append(seconds / each)
    return {name: seconds[1:] for name, seconds in found.items()}


async def cpu_of_chat(each: int, rounds: int, seed: int, *, journal: bool) -> list[Row]:
    """Measure the gateway against the SDK call it makes."""
    messages = [{"role": "user", "content": "Good morning"}]
    with answering() as service, tempfile.TemporaryDirectory() as directory:
        gateway = KilledGateway(service, directory, pace=1.0, journal=journal)
        try:
            async with (
                caller(gateway) as client,
                AsyncNeuralBox(api_key=OPERATOR, base_url=service) as nb,
                sdk_call(
                    nb.with_options(warn_duplicates=False), messages, f"{directory}/direct.sqlite" * journal
                ) as call,
            ):

                async def through_gateway() -> None:
                    reply = await client.post("/chat/completions", json={"model": "gpt-5", "messages": messages})
                    assert reply.status_code == 200, reply.text

                candidates: dict[str, Measured] = {
                    "sdk": (call, time.process_time),
                    "gateway": (through_gateway, gateway.cpu_seconds),
                }
                found = await one_by_one(candidates, each, rounds, seed)
        finally:
            gateway.end()
    kept = "with a journal" if journal else "without a journal"
    return [compare(f"chat request through the gateway, {kept}", found, "gateway", "sdk", bound=CPU_BOUND)]


@asynccontextmanager
async def sdk_call(
    client: AsyncNeuralBox, messages: Any, journal: str
) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """The call that the gateway makes for a chat request; with a journal, under keys of its own."""
    if not journal:
        yield lambda: client.text.create(model="gpt-5", messages=messages)
        return
    from neuralbox._submissions import keyed

    keys = map(str, itertools.count())
    async with keyed.opened(client._core, journal):  # as the gateway has it: open all the time
        yield lambda: client.text.submit(model="gpt-5", messages=messages, journal=journal, key=next(keys))


async def cpu_of_pieces(pieces: int, rounds: int) -> list[Row]:
    """Measure a streamed piece."""
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Boats"}], "stream": True, "max_tokens": pieces}
    rows = []
    for name, behaviour in (("queued", Behaviour()), ("one by one", Behaviour(chunks_per_write=1))):
        with running(behaviour) as service, tempfile.TemporaryDirectory() as directory:
            gateway = KilledGateway(service.url, directory, pace=1.0, journal=False)
            taken = []
            try:
                async with caller(gateway) as client:
                    for _ in range(rounds + 1):
                        began = gateway.cpu_seconds()
                        reply = await client.post("/chat/completions", json=body)
                        seen = reply.text.count('"content":') - 1
                        assert seen == pieces, (seen, reply.text[:500])
                        taken.append((gateway.cpu_seconds() - began) / pieces)
            finally:
                gateway.end()
        row = show(f"piece of a stream through the gateway, {name}", taken[1:])
        rows.append(replace(row, bound=PIECE_BOUND))
    return rows


# Polls.


async def get(gateway: Gateway, key: str, path: str, body: bytes = b"", method: str = "GET") -> Any:
    """Send one request to a gateway in this process, and return what it answered."""
    content, said = [body], bytearray()

    async def receive() -> Any:
        return {"type": "http.request", "body": content.pop() if content else b"", "more_body": False}

    async def send(message: Any) -> None:
        said.extend(message.get("body", b""))

    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    await gateway({**scope, "headers": headers, "root_path": "", "http_version": "1.1"}, receive, send)
    return json.loads(said)


async def polled(count: int, interval: float, seed: int) -> tuple[float, int]:
    """Let one client for each video poll until it is there; requests for each, and polls in all."""
    polls = 0
    with tempfile.TemporaryDirectory() as directory, in_memory(balance=10_000_000, seed=seed) as running_sandbox:
        key, _ = KeyFile(f"{directory}/keys.json").make("benchmark")
        async with running_sandbox.client(api_key=OPERATOR) as client:
            gateway = app(client, keys=f"{directory}/keys.json")

            async def one(number: int) -> None:
                nonlocal polls
                order = json.dumps({"model": "kling-v2.1", "prompt": f"Boat {number}"}).encode()
                video = await get(gateway, key, "/v1/videos", order, "POST")
                while video["status"] != "completed":
                    await running_sandbox.time.sleep(interval)
                    video = await get(gateway, key, f"/v1/videos/{video['id']}")
                    polls += 1

            try:
                async with anyio.create_task_group() as tasks:
                    for number in range(count):
                        tasks.start_soon(one, number)
            finally:
                await gateway.aclose()
        assert len(running_sandbox.ledger.charges) == count
        return running_sandbox.ledger.requests / count, polls


def polls_row(count: int, interval: float, seed: int) -> Row:
    """Say what the polls of so many clients cost the service."""
    each, polls = anyio.run(polled, count, interval, seed)
    note = f"{polls} polls of clients"
    what = f"{count} videos, each polled every {interval:g} s: requests to the service for each"
    # A few videos share no listing: the bound is for many.
    return Row(what, each, "", bound=POLLS_BOUND if count >= 1_000 else None, note=note)


def run(settings: Settings) -> list[Row]:
    """Answer all four questions."""
    count = settings.pick(20, 300)
    faults = FAULTS if settings.full else FAULTS[:1]
    rows = [row_of(f"{RATE:.0%} {fault}", under_fault(fault, count, settings.seed), count) for fault in faults]
    kills = settings.pick(1, KILLS)
    rows.append(row_of(f"{kills} kills", under_kills(count, kills, settings.seed), count))
    if settings.full:
        for fault in FAULTS[:4]:
            came = under_kills(count, kills, settings.seed, fault=fault)
            rows.append(row_of(f"{kills} kills and {RATE:.0%} {fault}", came, count))
    each, rounds = settings.pick(20, 300), settings.pick(2, 9)
    for journal in (False, True):
        rows += asyncio.run(cpu_of_chat(each, rounds, settings.seed, journal=journal))
    rows += asyncio.run(cpu_of_pieces(settings.pick(200, 2_000), rounds))
    for interval in (1.0, 5.0, 30.0) if settings.full else (5.0,):
        rows.append(polls_row(settings.pick(20, 1_000), interval, settings.seed))
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        os.environ.pop("NEURALBOX_API_KEY", None)
        _, _, told, where, at, speed, kept = sys.argv
        serve_here(told, where, int(at), float(speed), journal=bool(kept))
    else:
        main(run, __doc__)
