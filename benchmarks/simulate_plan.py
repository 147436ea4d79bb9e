"""How many videos does a plan's allowance bring, and how late are they found? The real code in virtual time.

Every request is counted by the model of the service (`benchmarks.simulate_waiting`, with windows of an hour and a day), and
nothing is told but the headers. Videos take 20-180 s, drawn with the seed. A world is a plan and whether reads count; in it
300 or 1,000 videos are made

    batch       by one `nb.batch`
    urls only   by one `nb.batch` whose files are fetched (by nobody here), so that an address is all it needs
    spread      by a task each, which arrive evenly over the hours: `submit`, again when a window is full, and `wait`

For each it prints what there is in theory (a submission for each video, a listing page for each hundred of them, nothing
else), and

    jobs an hour    videos found by the end of the last whole window, for each hour until then; where all are found in
                    less than a window, by the time it took
    429s            refusals
    found           seconds from the end at the service to the return of the wait, median

    python -m benchmarks.simulate_plan [--full] [--seed 1] [--json] [--only WORLD] [--trace]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import anyio

from benchmarks.measure import Row, report
from benchmarks.simulate_waiting import HOUR, START, URL, Service, VirtualTime, World, uniform
from neuralbox._batch import collector
from neuralbox._batch.resource import Batches
from neuralbox._config import ClientOptions, Polling
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core, TimeSource
from neuralbox._errors import GenerationTimeoutError, RateLimitError
from neuralbox._files.download import SavedFile
from neuralbox._models.generation import Generation
from neuralbox._requests.requests import VideoRequest
from neuralbox._resources.videos import Videos
from neuralbox._transport import Reply

DAY = 24 * HOUR
MODEL = "wan-2.1"


@dataclass
class PlanService(Service):
    """The service's model, taking submissions and naming windows.

    Attributes:
        daily: Requests allowed a day; 0 for no limit.
        trace: Whether each request is printed.
    """

    daily: int = 0
    trace: bool = False
    names: dict[int, str] = field(default_factory=dict)
    _day: int = -1
    _used_today: int = 0

    __hash__ = object.__hash__

    def prepare(self, method: str, url: str, *, content: bytes | None = None, **_: Any) -> Any:  # type: ignore[override]
        return method, url, content

    async def send(  # type: ignore[override]  # a submission has a body
        self, prepared: Any, *, on_sent: Callable[[], None] | None = None, **_: Any
    ) -> Reply:
        method, url, content = prepared
        if method == "GET" and on_sent is not None:
            on_sent()
        half = self.world.latency / 2
        if method == "POST" and on_sent is not None:
            on_sent()
        await self.time.sleep(half)
        reply = self._taken(content) if method == "POST" else self.answer(url)
        if self.trace:
            left = reply.headers.get("x-ratelimit-remaining-hour"), reply.headers.get("x-ratelimit-remaining-day")
            what = "POST" if method == "POST" else url.rpartition("/")[2]
            print(f"{self.time.now - START:10.2f} {what:60} {reply.status_code} {left}", file=sys.stderr)
        await self.time.sleep(half)
        return reply

    def _taken(self, content: bytes | None) -> Reply:
        headers = {"content-type": "application/json"}
        if not self.admit(headers):
            return self._refusal(headers)
        number = self.make(uniform(self.dice))
        self.names[number] = str(json.loads(content or b"{}").get("prompt"))
        return Reply(200, headers, json.dumps(self._status(number)).encode())

    def answer(self, url: str) -> Reply:
        headers = {"content-type": "application/json"}
        if not self.admit(headers, counts=self.world.reads_count):
            return self._refusal(headers)
        path = urlsplit(url).path
        if path.endswith("/user/history"):
            self.requests["page"] += 1
            said = self._page(url)
        elif path.endswith("/user/me"):
            said = {"id": 1, "rate_limit_hourly": self.world.hourly, "rate_limit_daily": self.daily}
            self.requests["poll"] += 1
        else:
            self.requests["poll"] += 1
            said = self._status(int(path.rpartition("/")[2]))
        return Reply(200, headers, json.dumps(said).encode())

    def _refusal(self, headers: Mapping[str, str]) -> Reply:
        now = self.time.now - START
        end = HOUR - now % HOUR if not self._is_day_over() else DAY - now % DAY
        body = {"error": "rate_limit_exceeded", "retry_after": ceil(end)}
        return Reply(429, headers, json.dumps(body).encode())

    def _is_day_over(self) -> bool:
        return bool(self.daily) and self._used_today >= self.daily

    def admit(self, headers: dict[str, str], *, counts: bool = True) -> bool:
        """Count a request against day and hour; write what is left into the headers."""
        day = int((self.time.now - START) // DAY)
        if day != self._day:
            self._day, self._used_today = day, 0
        if counts and self._is_day_over():
            self.requests["429"] += 1
            super().admit(headers, counts=False)
            admitted = False
        else:
            admitted = super().admit(headers, counts=counts)
            self._used_today += counts and admitted
        if self.daily:
            headers["x-ratelimit-limit-day"] = str(self.daily)
            headers["x-ratelimit-remaining-day"] = str(self.daily - self._used_today)
        return admitted


@dataclass(frozen=True)
class PlanWorld:
    """A plan, and how the videos come.

    Attributes:
        name: Of its row.
        hourly: Requests an hour.
        daily: Requests a day; 0 for no limit.
        reads_count: Whether reads count.
        spread: Whether the videos come one by one, `hourly` of them an hour.
        programs: Programs on the account, each with its share of the videos.
        detail: Of `Polling`; None for the default.
        urls_only: Whether an address is all the batch needs.
        wanted: Jobs an hour that issue 17 wants at least, or None.
        counts: Of the videos: the small and the full version.
    """

    name: str
    hourly: int = 100
    daily: int = 0
    reads_count: bool = True
    spread: bool = False
    programs: int = 1
    detail: str | None = None
    urls_only: bool = False
    wanted: float | None = None
    counts: Sequence[int] = (300, 1_000)

    def limit(self) -> float:
        """Return how many videos an hour (or a day, where it has a limit) there are in theory."""
        requests = self.daily or self.hourly
        return requests / 1.01 if self.reads_count else requests


WORLDS = (
    PlanWorld("100 an hour, batch", wanted=92),
    PlanWorld("100 an hour, batch, urls only", urls_only=True, wanted=92),
    PlanWorld("100 an hour, batch, detail=listing", detail="listing", wanted=94),
    PlanWorld("100 an hour, batch, detail=status", detail="status"),
    PlanWorld("100 an hour, spread", spread=True, wanted=85),
    PlanWorld("100 an hour, reads free, batch", reads_count=False, wanted=99),
    PlanWorld("100 an hour, reads free, spread", reads_count=False, spread=True),
    PlanWorld("60 an hour, 500 a day, batch", hourly=60, daily=500, wanted=485, counts=(1_000,)),
    PlanWorld("100 an hour, two programs, batch", programs=2, wanted=88),
    PlanWorld("100 an hour, two programs, spread", programs=2, spread=True),
    PlanWorld("20 an hour, 150 a day, batch", hourly=20, daily=150, counts=(300,)),
    PlanWorld("20 an hour, spread", hourly=20, spread=True, counts=(300,)),
    PlanWorld("1,000 an hour, batch", hourly=1_000, counts=(1_000, 3_000)),
    PlanWorld("1,000 an hour, spread", hourly=1_000, spread=True, counts=(1_000, 3_000)),
)


@dataclass(frozen=True)
class Brought:
    """What one run came to.

    Attributes:
        jobs: Found.
        rate: Found by the end of the last whole window, for each of these windows.
        elapsed: Found, for each hour until the last.
        refusals: 429s.
        requests: For each job.
        median: Seconds until it was found.
        p95: The same for the slowest twentieth.
        hours: Until the last was found.
        timeouts: Waits that their limit ended, and that were begun again.
        in_hour: Found by the end of each hour.
    """

    jobs: int
    rate: float
    elapsed: float
    refusals: int
    requests: float
    median: float
    p95: float
    hours: float
    timeouts: int
    in_hour: Sequence[int]
    kinds: Mapping[str, int]


async def _saved_nowhere(_core: object, generation: Generation, directory: object, **_: object) -> SavedFile:
    """Stand in for the download of a batch's file, which is no request of the plan."""
    assert generation.url is not None
    return SavedFile(Path(str(directory), f"{generation.id}.mp4"), bytes=0)


async def bring(world: PlanWorld, count: int, *, seed: int, trace: bool = False) -> Brought:
    """Make so many videos in a world."""
    clock = VirtualTime()
    plan = World(hourly=world.hourly, reads_count=world.reads_count)
    service = PlanService(clock, plan, Random(seed), daily=world.daily, trace=trace)
    keeper = asyncio.create_task(clock.run())
    module: Any = collector
    saves, module.save = module.save, _saved_nowhere
    found = list[tuple[float, float]]()
    timeouts = 0

    def core(program: int) -> Core:
        polling = Polling() if world.detail is None else Polling(detail=world.detail)  # type: ignore[arg-type]
        source = TimeSource(clock.clock, clock.clock, Random(seed + program).random, clock.sleep, clock.wait_until)
        options = ClientOptions(base_url=URL, polling=polling, warn_duplicates=False)
        return Core(service, options, ApiKey(f"nb_simulation_{program}"), source)  # type: ignore[arg-type]

    def note(number: int) -> None:
        found.append((clock.now, clock.now - service.jobs[number].done))

    async def batch(program: int) -> None:
        share = [VideoRequest(model=MODEL, prompt=f"{program} {one}") for one in range(count // world.programs)]
        batches = Batches(core(program))
        directory = "nowhere" if world.urls_only else None
        async with batches(share, download_to=directory) as run:
            async for outcome in run:
                if outcome.generation is not None:
                    note(int(outcome.generation.id))

    async def one(videos: Videos, number: int) -> None:
        nonlocal timeouts
        await clock.sleep(number * HOUR / world.hourly * 0.999)
        job = None
        while job is None:
            try:
                job = await videos.submit(model=MODEL, prompt=f"video {number}")
            except RateLimitError as error:
                await clock.sleep((error.retry_after or 60.0) + 0.5)
        final = None
        while final is None:
            try:
                final = await job.wait()
            except GenerationTimeoutError:
                timeouts += 1
        note(int(final.id))

    async with anyio.create_task_group() as group:
        if world.spread:
            for program in range(world.programs):
                videos = Videos(core(program))
                for number in range(program, count, world.programs):
                    group.start_soon(one, videos, number)
        else:
            for program in range(world.programs):
                group.start_soon(batch, program)
    module.save = saves
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    return _brought(world, service, found, timeouts)


def _brought(world: PlanWorld, service: PlanService, found: Sequence[tuple[float, float]], timeouts: int) -> Brought:
    end = max(at for at, _ in found) - START
    window = DAY if world.daily else HOUR
    whole = floor(end / window)
    by_then = sum(at - START <= whole * window for at, _ in found)
    ordered = sorted(late for _, late in found)
    requests = service.requests
    return Brought(
        jobs=len(found),
        rate=by_then / whole if whole else len(found) / (end / window),
        elapsed=len(found) / (end / HOUR),
        refusals=requests["429"],
        requests=sum(requests.values()) / len(found),
        median=median(ordered),
        p95=ordered[int(0.95 * (len(ordered) - 1))],
        hours=end / HOUR,
        timeouts=timeouts,
        in_hour=[sum(at - START <= hour * HOUR for at, _ in found) for hour in range(1, ceil(end / HOUR) + 1)],
        kinds=dict(requests),
    )


def rows_for(world: PlanWorld, brought: Brought) -> list[Row]:
    per = "videos a day" if world.daily else "videos an hour"
    of_all = f"{brought.elapsed:.0f} an hour over {brought.hours:.1f} h; {brought.requests:.2f} requests each"
    note = f"at most {world.limit():.0f}" + (f", wanted {world.wanted:g}" if world.wanted else "") + f"; {of_all}"
    what = f"{world.name}, {brought.jobs:,}"
    return [
        Row(what, brought.rate, per, note=note),
        Row(f"{what}: refused", brought.refusals, "429s", note=f"{brought.timeouts} waits begun again"),
        Row(f"{what}: found", brought.median, "s (median)", note=f"95 %: {brought.p95:.0f} s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="300 and 1,000 videos in each world, not 300")
    parser.add_argument("--seed", type=int, default=1, help="of durations and dice")
    parser.add_argument("--only", help="worlds whose name has this in it")
    parser.add_argument("--count", type=int, help="so many videos")
    parser.add_argument("--trace", action="store_true", help="print each request")
    parser.add_argument("--json", action="store_true", help="rows as JSON, for benchmarks.run")
    asked = parser.parse_args()
    rows = list[Row]()
    for world in WORLDS:
        if asked.only and asked.only not in world.name:
            continue
        for count in [asked.count] if asked.count else world.counts if asked.full else world.counts[:1]:
            brought = asyncio.run(bring(world, count, seed=asked.seed, trace=asked.trace))
            if asked.only:
                print(brought, file=sys.stderr)
            rows += rows_for(world, brought)
    report(rows, as_json=asked.json)


if __name__ == "__main__":
    main()
