"""What does waiting cost, from one job to a million, with the poller's real code in virtual time?

The service is a model in memory: status answers, history pages of 100 (the newest job first), a latency for each
answer, a lag of the listing, lost answers, and an hourly allowance with its headers and 429s. The clock jumps to the
next timer whenever nothing can run, so an hour takes no hour. Units: requests per job, the submission included; seconds
from the completion at the service to the return of the wait (median and 95th percentile); CPU milliseconds of this
process per job (service model and clock included, so an upper bound); bytes per waiting job. The bounds are issue 4's;
the baseline is a poll every 5 s of each job: 20-21 requests, median 2.5 s, 95th percentile 4.8 s.

With `--grow` each number of jobs from 1 to that is waited for to its end in a process of its own, by a consumer that lets
go of what has ended (`GrowingJobWaiter`, which a batch stands on): how requests, latency, CPU and memory grow.

    python -m benchmarks.simulate_waiting [--full] [--seed 1] [--json]
        [--jobs 100000 | --hold 1000000 | --grow 1000000 | --schedule]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import time
import tracemalloc
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil
from multiprocessing import get_context
from random import Random
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio

from benchmarks.measure import Row, Settings, report
from neuralbox._api.vocabulary import USUAL_SECONDS
from neuralbox._config import NEURALBOX, ClientOptions, Polling
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core, TimeSource
from neuralbox._models.generation import Generation
from neuralbox._polling import listing_plan, schedule
from neuralbox._polling.job import Job
from neuralbox._polling.many import GrowingJobWaiter, wait_all
from neuralbox._transport import Reply
from neuralbox._types import JobRef
from neuralbox.geminigen._service import GEMINIGEN

START = 1_000_000.0
HOUR = 3_600.0
URL = "http://127.0.0.1:9"


class VirtualTime:
    """A clock for one asyncio loop that jumps to the next timer when nothing else is ready.

    Not the kit's (`neuralbox.testing.VirtualTime`), which serves several loops, trio and threads, and with which the same run of
    10,000 jobs asks as often and takes 1.2 to 1.9 times the CPU: what is measured here is the poller's.
    """

    def __init__(self) -> None:
        self.now = START
        self._timers: list[tuple[float, int, asyncio.Future[None] | anyio.Event]] = []
        self._count = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        wake = asyncio.get_running_loop().create_future()
        self._add(seconds, wake)
        await wake

    async def wait_until(self, event: anyio.Event, seconds: float) -> None:
        self._add(seconds, event)
        await event.wait()

    def _add(self, seconds: float, wake: asyncio.Future[None] | anyio.Event) -> None:
        self._count += 1
        heappush(self._timers, (self.now + seconds, self._count, wake))

    async def run(self) -> None:
        """Keep time until cancelled."""
        ready: Any = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            if ready._ready or not self._timers:
                continue
            at, _, wake = heappop(self._timers)
            if isinstance(wake, asyncio.Future):
                if not wake.done():
                    self.now = max(self.now, at)
                    wake.set_result(None)
            elif not wake.is_set():
                self.now = max(self.now, at)
                wake.set()


@dataclass(frozen=True)
class World:
    """What the service is like.

    Attributes:
        latency: Seconds from a request to its answer; half of it is after the service decided.
        lag: Seconds until the listing shows a job, and shows that it has ended.
        loss: Share of the answers that are lost.
        hourly: Requests allowed an hour; 0 for no limit.
        reads_count: Whether GETs count against it.
        eta: Whether a pending answer has an `eta_seconds` within 20 % of the truth.
        by_completion: Whether completed items are listed by their end, not by their beginning.
    """

    latency: float = 0.1
    lag: float = 0.0
    loss: float = 0.0
    hourly: int = 0
    reads_count: bool = True
    eta: bool = False
    by_completion: bool = False


@dataclass(slots=True)
class Made:
    """One job at the service."""

    number: int
    begun: float
    done: float
    found: float = 0.0


@dataclass
class Service:
    """The service's model: a transport of the core."""

    time: VirtualTime
    world: World
    dice: Random
    jobs: dict[int, Made] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=lambda: {"submit": 0, "poll": 0, "page": 0, "429": 0})
    under_way: int = 0
    most_under_way: int = 0
    _hour: int = -1
    _used: int = 0
    _sorted: list[Made] = field(default_factory=list)
    _sorted_at: tuple[float, int] = (-1.0, -1)
    _listed: dict[str, list[Made]] = field(default_factory=dict)

    __hash__ = object.__hash__

    def make(self, seconds: float) -> int:
        """Accept a job; the submission counts as a request."""
        number = len(self.jobs) + 1
        self.requests["submit"] += 1
        self.jobs[number] = Made(number, self.time.now, self.time.now + seconds)
        return number

    # The transport.

    def prepare(self, _method: str, url: str, **_: Any) -> str:
        return url

    async def send(self, url: str, **_: Any) -> Reply:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.time.sleep(self.world.latency / 2)
            reply = self.answer(url)
            await self.time.sleep(self.world.latency / 2)
        finally:
            self.under_way -= 1
        if self.world.loss and self.dice.random() < self.world.loss:
            return Reply(502, {"content-type": "text/html"}, b"<html>bad gateway</html>")
        return reply

    def answer(self, url: str) -> Reply:
        is_page = "?" in url
        headers = {"content-type": "application/json"}
        if not self.admit(headers, counts=self.world.reads_count):
            body: dict[str, Any] = {
                "error": "rate_limit_exceeded",
                "retry_after": int(headers["x-ratelimit-reset-hour"]) - self.time.now,
            }
            return Reply(429, headers, json.dumps(body).encode())
        self.requests["page" if is_page else "poll"] += 1
        said = self._page(url) if is_page else self._status(int(url.rpartition("/")[2]))
        return Reply(200, headers, json.dumps(said).encode())

    def admit(self, headers: dict[str, str], *, counts: bool = True) -> bool:
        """Count a request against the hour; write what is left into the headers."""
        limit = self.world.hourly
        if not limit:
            return True
        hour = int((self.time.now - START) // HOUR)
        if hour != self._hour:
            self._hour, self._used = hour, 0
        refused = counts and self._used >= limit
        self._used += counts and not refused
        self.requests["429"] += refused
        headers["x-ratelimit-limit-hour"] = str(limit)
        headers["x-ratelimit-remaining-hour"] = str(limit - self._used)
        headers["x-ratelimit-reset-hour"] = str(int(START + (hour + 1) * HOUR))
        return not refused

    def _status(self, number: int) -> Mapping[str, Any]:
        job, now = self.jobs[number], self.time.now
        if now >= job.done:
            return {**self._item(job, "completed"), "model": "wan-2.1", "duration": 5}
        hint = {"eta_seconds": (job.done - now) * self.dice.uniform(0.8, 1.2)} if self.world.eta else {}
        return {"id": number, "status": "pending", "model": "wan-2.1", **hint}

    @staticmethod
    def _item(job: Made, status: str) -> dict[str, Any]:
        item: dict[str, Any] = {
            "id": str(job.number),
            "type": "video",
            "model": "wan-2.1",
            "status": status,
            "prompt": "A quiet harbour",
        }
        if status == "completed":
            item |= {"url": f"https://storage.example/{job.number}.mp4", "tokens_used": 60}
        return item

    def _page(self, url: str) -> Mapping[str, Any]:
        asked = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
        page, limit, status = int(asked["page"]), int(asked["limit"]), asked.get("status")
        at = self.time.now - self.world.lag
        if status is None:
            found = [job for job in reversed(self.jobs.values()) if job.begun <= at + 1e-9]
        else:
            found = self._of(status)
        shown = found[(page - 1) * limit : page * limit]
        items = [self._item(job, status or ("completed" if job.done <= at else "pending")) for job in shown]
        return {"items": items, "total": len(found), "page": page, "limit": limit, "pages": ceil(len(found) / limit)}

    def _of(self, status: str) -> list[Made]:
        """The listed jobs in a state, the newest first; worked out once for each moment (0.25 s with many, 1 s with more).

        So with many jobs the listing lags by as much, which makes what is measured a little worse than it would be.
        """
        at = self.time.now - self.world.lag
        moment = 1.0 if len(self.jobs) > 200_000 else 0.25
        grain = at if len(self.jobs) < 20_000 else at // moment * moment
        if self._sorted_at != (grain, len(self.jobs)):
            self._sorted_at = (grain, len(self.jobs))
            self._listed = {}
        if status not in self._listed:
            newest = [job for job in reversed(self.jobs.values()) if job.begun <= grain + 1e-9]
            if status == "pending":
                self._listed[status] = [job for job in newest if job.done > grain]
            else:
                done = [job for job in newest if job.done <= grain]
                self._listed[status] = sorted(done, key=_end, reverse=True) if self.world.by_completion else done
        return self._listed[status]


def _end(job: Made) -> float:
    return job.done


class GeminiService(Service):
    """The other service's model: uuids, states as integers, and one list of everything, the newest first."""

    def _status(self, number: int) -> Mapping[str, Any]:
        job, now = self.jobs[number], self.time.now
        return self._item(job, "completed" if now >= job.done else "pending")

    @staticmethod
    def _item(job: Made, status: str) -> dict[str, Any]:
        is_done = status == "completed"
        return {
            "uuid": str(job.number),
            "type": "video",
            "model_name": "veo-2",
            "status": 2 if is_done else 1,
            "input_text": "A quiet harbour",
            "generate_result": f"https://storage.example/{job.number}.mp4" if is_done else "",
            "used_credit": 20 if is_done else 0,
        }

    def _page(self, url: str) -> Mapping[str, Any]:
        asked = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
        page, size = int(asked["page"]), int(asked["items_per_page"])
        at = self.time.now - self.world.lag
        found = [job for job in reversed(self.jobs.values()) if job.begun <= at + 1e-9]
        items = [self._item(job, "completed" if job.done <= at else "pending") for job in found]
        return {"success": True, "total": len(found), "result": items[(page - 1) * size : page * size]}


def core_of(service: Service, policy: Polling, seed: int) -> Core:
    clock = service.time
    spoken = GEMINIGEN if isinstance(service, GeminiService) else NEURALBOX
    return Core(
        service,  # type: ignore[arg-type]
        ClientOptions(base_url=URL, polling=policy, service=spoken),
        ApiKey("nb_simulation"),
        TimeSource(clock.clock, clock.clock, Random(seed).random, clock.sleep, clock.wait_until),
    )


# Runs.


@dataclass(frozen=True)
class Seen:
    """What one run came to."""

    jobs: int
    requests: float
    median: float
    p95: float
    cpu_ms: float
    refusals: int
    most_under_way: int
    peak_bytes: float = 0.0
    hours: float = 0.0
    pages: int = 0


def uniform(dice: Random) -> float:
    return dice.uniform(20, 180)


def documented(model: str) -> Callable[[Random], float]:
    """Durations inside what the documents say of a model."""
    lowest, highest = USUAL_SECONDS[model]
    return lambda dice: dice.uniform(lowest, highest)


async def waited(
    count: int,
    world: World,
    *,
    seed: int,
    durations: Callable[[Random], float] = uniform,
    policy: Polling | None = None,
    each: bool = False,
    traced: bool = False,
    kind: type[Service] = Service,
) -> Seen:
    """Submit so many jobs together and wait for all of them, in one call or in a task for each."""
    dice, clock = Random(seed), VirtualTime()
    service = kind(clock, world, dice)
    core = core_of(service, policy or Polling(), seed)
    keeper = asyncio.create_task(clock.run())
    for _ in range(count):
        service.make(durations(dice))
    latencies: list[float] = []
    peak = 0.0
    gc.collect()
    if traced:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0] if traced else 0
    began = time.process_time()

    async def one(job: Job) -> None:
        final = await job.wait()
        latencies.append(clock.now - service.jobs[int(final.id)].done)

    def heard(final: Generation) -> None:
        if final.is_final:
            latencies.append(clock.now - service.jobs[int(final.id)].done)

    async def weigh() -> None:
        nonlocal peak
        await clock.sleep(15)
        gc.collect()
        peak = (tracemalloc.get_traced_memory()[0] - before) / count

    weighing = asyncio.create_task(weigh()) if traced else None
    if each or count == 1:
        pending = [core.options.service.read(service._status(number)) for number in service.jobs]
        waits = [one(Job(core, generation=generation)) for generation in pending]
        del pending
        await asyncio.gather(*waits)
    elif traced:
        await wait_all(core, service.jobs)
    else:
        await wait_all(core, _jobs(core, service), on_progress=heard)
    cpu = time.process_time() - began
    if weighing is not None:
        await weighing
        tracemalloc.stop()
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    return _seen(count, service, latencies, cpu, peak)


async def let_go(count: int, world: World, *, seed: int, policy: Polling | None = None) -> Seen:
    """Submit so many jobs together and wait for all, keeping nothing of those that have ended but how late that was.

    `peak_bytes` is what the process grew by at most, the service's model included, for each job.
    """
    dice, clock = Random(seed), VirtualTime()
    service = Service(clock, world, dice)
    core = core_of(service, policy or Polling(), seed)
    keeper = asyncio.create_task(clock.run())
    latencies, over = array("d"), anyio.Event()
    gc.collect()
    before, began = _resident(), time.process_time()

    def ended(number: int, end: object) -> None:
        assert isinstance(end, Generation), end
        latencies.append(clock.now - service.jobs[number].done)
        if len(latencies) == count:
            over.set()

    async with anyio.create_task_group() as group:
        waiter = GrowingJobWaiter(core, None, group, ended)
        for number in range(1, count + 1):
            service.make(uniform(dice))
            waiter.add(JobRef(number), number, generation=Generation.read(service._status(number)), age=0.0)
        group.start_soon(waiter.run)
        await over.wait()
        group.cancel_scope.cancel()
    cpu = time.process_time() - began
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    return _seen(count, service, latencies, cpu, (_resident() - before) / count)


def growth(up_to: int, *, seed: int) -> list[Row]:
    """How the price of waiting grows from one job to so many, each number in a process of its own."""
    rows: list[Row] = []
    counts = [10**power for power in range(len(str(up_to)))]
    for policy in (Polling(), Polling(detail="listing")):
        for count in counts:
            seen, peak = in_fresh_process(count, seed, policy)
            print(f"{count:,}, {policy.detail}: {seen}", file=sys.stderr)  # the next one takes ten times as long
            what = f"{count:,} let go" + (", detail=listing" if policy.detail == "listing" else "")
            rows += rows_for(what, seen, 2.4 if policy.detail == "status" and count >= 1_000 else None, None, None)
            rows.append(Row(f"{what}: CPU", seen.cpu_ms, "ms per job"))
            rows.append(
                Row(f"{what}: memory", seen.peak_bytes, "bytes per job", bound=2_048 if count >= 10_000 else None)
            )
            rows.append(Row(f"{what}: the whole process", peak / 2**30, "GiB", bound=2))
    return rows


def in_fresh_process(count: int, seed: int, policy: Polling) -> tuple[Seen, float]:
    """Wait for so many in a process that does nothing else; also the bytes that it occupies."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(here, count, seed, policy).result()


def here(count: int, seed: int, policy: Polling) -> tuple[Seen, float]:
    """The same in this process."""
    return asyncio.run(let_go(count, World(), seed=seed, policy=policy)), _resident()


def _jobs(core: Core, service: Service) -> list[Job]:
    """Handles as `submit` leaves them: the age is known, and the service said `pending`."""
    read = core.options.service.read
    return [Job(core, generation=read(service._status(number))) for number in service.jobs]


def _seen(count: int, service: Service, latencies: Sequence[float], cpu: float, peak: float = 0.0) -> Seen:
    ordered = sorted(latencies) or [0.0]
    requests = service.requests
    return Seen(
        jobs=count,
        requests=(requests["submit"] + requests["poll"] + requests["page"] + requests["429"]) / count,
        median=median(ordered),
        p95=ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        cpu_ms=1_000 * cpu / count,
        refusals=requests["429"],
        most_under_way=service.most_under_way,
        peak_bytes=peak,
        hours=(service.time.now - START) / HOUR,
        pages=requests["page"],
    )


async def limited(count: int, world: World, *, seed: int, together: bool, seconds: float = 90.0) -> Seen:
    """Wait for so many videos within an hour under an hourly limit: submitted together, or evenly over the hour."""
    dice, clock = Random(seed), VirtualTime()
    service = Service(clock, world, dice)
    core = core_of(service, Polling(timeout=None), seed)
    keeper = asyncio.create_task(clock.run())
    latencies: list[float] = []
    began = time.process_time()

    async def video(number: int) -> None:
        if not together:
            await clock.sleep(number * (HOUR - 2 * seconds) / count)
        headers: dict[str, str] = {}
        if not service.admit(headers):
            return
        generation = Generation.read(service._status(service.make(seconds)))
        final = await Job(core, generation=generation).wait()
        if clock.now - START <= HOUR:
            latencies.append(clock.now - service.jobs[int(final.id)].done)

    await asyncio.gather(*(video(number) for number in range(count)))
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    return _seen(len(latencies) or 1, service, latencies, time.process_time() - began)


def several(runs: list[Seen]) -> Seen:
    """Put small runs together: means of requests, medians of the rest."""
    return Seen(
        jobs=runs[0].jobs,
        requests=sum(run.requests for run in runs) / len(runs),
        median=median(run.median for run in runs),
        p95=median(run.p95 for run in runs),
        cpu_ms=median(run.cpu_ms for run in runs),
        refusals=sum(run.refusals for run in runs),
        most_under_way=max(run.most_under_way for run in runs),
    )


def one_by_one(world: World, *, runs: int, seed: int, **options: Any) -> Seen:
    """Single jobs, each alone with a client of its own."""
    all_of_them = [asyncio.run(waited(1, world, seed=seed + run, **options)) for run in range(runs)]
    latencies = sorted(run.median for run in all_of_them)
    return Seen(
        jobs=1,
        requests=sum(run.requests for run in all_of_them) / runs,
        median=median(latencies),
        p95=latencies[int(0.95 * (runs - 1))],
        cpu_ms=median(run.cpu_ms for run in all_of_them),
        refusals=0,
        most_under_way=1,
    )


# The table.


def schedules(settings: Settings) -> list[Row]:
    """What other pauses would cost: how those of `_polling.schedule` and `_polling.listing_plan` were chosen."""
    rows: list[Row] = []
    chosen = schedule._RELAXED, listing_plan._PAUSE
    try:
        for factor in (1.1, 1.2, 1.3, 1.4, 1.5):
            schedule._RELAXED = factor
            seen = one_by_one(World(), runs=settings.pick(50, 1_000), seed=settings.seed)
            rows += rows_for(f"1, no hints, {5 * factor:g} s between polls", seen, 18, 3.5, 7)
        for factor in (0.6, 0.7, 0.8, 0.9, 1.0, 1.2):
            listing_plan._PAUSE = factor
            seen = asyncio.run(waited(1_000, World(), seed=settings.seed))
            rows += rows_for(f"1,000, {5 * factor:g} s between sweeps", seen, 2.4, 2.5, 5)
    finally:
        schedule._RELAXED, listing_plan._PAUSE = chosen
    return rows


async def held(count: int, *, seed: int, seconds: float = 15.0) -> tuple[float, float]:
    """Wait for so many jobs that never end; return resident bytes that each adds, and those of the model's alone."""
    clock = VirtualTime()
    service = Service(clock, World(), Random(seed))
    core = core_of(service, Polling(), seed)
    keeper = asyncio.create_task(clock.run())
    empty = _resident()
    for _ in range(count):
        service.make(1e9)
    before = _resident()
    waiting = asyncio.create_task(wait_all(core, service.jobs))
    await clock.sleep(seconds)
    gc.collect()
    after = _resident()
    waiting.cancel()
    keeper.cancel()
    await asyncio.gather(waiting, keeper, return_exceptions=True)
    return (after - before) / count, (before - empty) / count


def _resident() -> float:
    """Bytes of this process's memory, at its highest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024


def rows_for(what: str, seen: Seen, requests: float | None, middle: float | None, late: float | None) -> list[Row]:
    note = f"{seen.cpu_ms:.2f} ms CPU per job; at most {seen.most_under_way} requests at once"
    return [
        Row(f"{what}: requests", seen.requests, "per job", bound=requests, note=note),
        Row(f"{what}: latency", seen.median, "s (median)", bound=middle),
        Row(f"{what}: latency", seen.p95, "s (95 %)", bound=late),
    ]


def run(settings: Settings, only: int | None = None) -> list[Row]:
    """All rows of the table; with `only` just one run of so many jobs."""
    seed, plain = settings.seed, World()

    def many(count: int, runs: int = 1, world: World = plain, **options: Any) -> Seen:
        return several([asyncio.run(waited(count, world, seed=seed + run, **options)) for run in range(runs)])

    if only is not None:
        return rows_for(f"{only:,}", many(only), None, None, None)
    runs = settings.pick(30, 300)
    rows = rows_for("1, no hints", one_by_one(plain, runs=runs, seed=seed), 18, 3.5, 7)
    rows += rows_for("1, eta", one_by_one(World(eta=True), runs=runs, seed=seed), 6, 2.5, 5)
    rows += rows_for("10", many(10, settings.pick(5, 40)), 6, 2.8, 5.5)
    rows += rows_for("100", many(100, settings.pick(2, 10)), 2.8, 2.5, 5)
    rows += rows_for("100, a task each", many(100, settings.pick(1, 10), each=True), 2.8, 2.5, 5)
    rows += rows_for("100, kling-v2.1", many(100, durations=documented("kling-v2.1")), None, None, None)
    rows += rows_for("100, lag 5 s", many(100, world=World(lag=5)), None, None, None)
    rows += rows_for("100, 2 % lost", many(100, world=World(loss=0.02)), None, None, None)
    rows += rows_for("1,000", many(1_000), 2.4, 2.5, 5)
    listing = Polling(detail="listing")
    rows += rows_for("1,000, detail=listing", many(1_000, policy=listing), 1.4, 2.5, 5)
    by_end = World(by_completion=True)
    rows += rows_for("1,000, listed by end", many(1_000, world=by_end, policy=listing), 1.4, 2.5, 5)
    rows += rows_for("1,000 of GeminiGen", many(1_000, kind=GeminiService), 1.6, 2.5, 5)
    if settings.full:
        rows += rows_for("10,000 of GeminiGen", many(10_000, kind=GeminiService), 2.6, 5, 10)
        rows += rows_for("10,000", many(10_000), 2.4, 5, 10)
        rows += rows_for("100,000", many(100_000), 2.4, 5, 10)
    count = settings.pick(1_000, 20_000)
    seen = asyncio.run(waited(count, plain, seed=seed, traced=True))
    rows.append(Row(f"{count:,} in one wait", seen.peak_bytes, "bytes per job", bound=2_048))
    count = settings.pick(300, 2_000)
    seen = asyncio.run(waited(count, plain, seed=seed, traced=True, each=True))
    rows.append(Row(f"{count:,} in a task each", seen.peak_bytes, "bytes per job", bound=6_144))
    for counted in (True, False):
        for together in (True, False):
            world = World(hourly=100, reads_count=counted)
            hour = asyncio.run(limited(40, world, seed=seed, together=together))
            how = f"100 an hour ({'GETs count' if counted else 'GETs free'}), 40 {'at once' if together else 'evenly'}"
            rows.append(Row(f"{how}: not found within the hour", 40 - hour.jobs, "videos", bound=0))
            rows.append(Row(f"{how}: refused", hour.refusals, "429s", bound=0))
            rows.append(Row(f"{how}: latency", hour.median, "s (median)", note=f"95 %: {hour.p95:.1f} s"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="up to 100,000 jobs; takes minutes")
    parser.add_argument("--seed", type=int, default=1, help="of durations and dice")
    parser.add_argument("--jobs", type=int, help="one run of so many jobs, up to a million")
    parser.add_argument(
        "--hold", type=int, help="hold so many waits, up to a million: bytes per job, peak of the process"
    )
    parser.add_argument("--schedule", action="store_true", help="what other pauses would cost")
    parser.add_argument("--json", action="store_true", help="rows as JSON, for benchmarks.run")
    parser.add_argument("--grow", type=int, help="from one job to so many, up to a million")
    asked = parser.parse_args()
    settings = Settings(asked.full, asked.seed)
    if asked.hold:
        each, model = asyncio.run(held(asked.hold, seed=asked.seed))
        rows = [
            Row(
                f"{asked.hold:,} held in one wait", each, "bytes per job", bound=2_048, note=f"model: {model:.0f} each"
            ),
            Row("the whole process", _resident() / 2**30, "GiB", bound=2),
        ]
    elif asked.grow:
        rows = growth(asked.grow, seed=asked.seed)
    else:
        rows = schedules(settings) if asked.schedule else run(settings, asked.jobs)
    report(rows, as_json=asked.json)


if __name__ == "__main__":
    main()
