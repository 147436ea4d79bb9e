"""Is each request paid for once and delivered as its own result, whatever dies? Workers of one shared journal, under faults.

Shares of the requests are given to worker processes as an engine does it: whoever dies, or ends with an error, has its share
given to another at once. Meanwhile workers, the keeper among them, are killed or stopped for longer than their lease, the
keeper's tenure is stolen, PostgreSQL is killed, connections are cut, and half of the workers are cut off with their packets
delivered late; the service accepts a part of the requests and loses the answer, or loses the request. The counts that matter:
charged = requested = delivered = different; where a budget covers a part only, spent <= budget in place of the first; where the
plan's hour allows little more than is wanted, at most two are refused by it.

    python -m benchmarks.stress_shared            small, seeded; seconds
    python -m benchmarks.stress_shared --full     2,000 requests for each fault, both kinds of prompts; many minutes
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.shared_worker import KEY, requests, work
from neuralbox.sandbox import Sandbox, serve
from tests.forks import Fork, Forks
from tests.postgres import PostgresServer

_REFUSED = 2


@dataclass
class Scenario:
    """What happens in one run.

    Attributes:
        equal: Requests with the same prompt.
        kills: Workers killed.
        sleepers: Workers stopped for longer than their lease, their share retried meanwhile.
        database_kills: PostgreSQL killed and started again.
        cuts: All connections of the journal cut.
        partitions: Half of the workers cut off from the database for longer than their lease.
        thefts: The keeper's tenure taken away, as if it had been away for longer than its lease.
        lost_after: The share of requests that are accepted and whose answer is lost.
        lost_before: The share that is lost before.
        affords: How many requests the run's budget covers; None for no budget.
        plan: The account's; its hour begins with the run.
        used: Generations of that hour that others have had before.
    """

    requests: int = 200
    equal: int = 1
    workers: int = 3
    kills: int = 0
    sleepers: int = 0
    database_kills: int = 0
    cuts: int = 0
    partitions: int = 0
    thefts: int = 0
    lost_after: float = 0.05
    lost_before: float = 0.0
    affords: int | None = None
    plan: str = "elite"
    used: int = 0
    lease: float = 6.0
    seed: int = 7
    limit: float = 240.0


@dataclass
class Counts:
    """What came of it."""

    requested: int
    charged: int
    delivered: int
    different: int
    two_ids: int
    wrong_prompt: int
    seconds: float
    faults: dict[str, int]
    errors: list[str] = field(default_factory=list)
    budget: int | None = None
    spent: int = 0
    refused: int = 0

    @property
    def is_right(self) -> bool:
        if self.budget is None:
            all_are_paid = self.requested == self.charged
        else:
            all_are_paid = self.spent <= self.budget
        none_is_crossed = self.charged == self.delivered == self.different and not self.two_ids + self.wrong_prompt
        return all_are_paid and none_is_crossed and self.refused <= _REFUSED


class HoldingProxy(threading.Thread):
    """A way to the database that can hold everything back and deliver it late."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._to = port
        self._ready = threading.Event()
        self.is_held = False
        self.port = 0
        self.start()
        self._ready.wait()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, to_them = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass_on(reader, to_them), self._pass_on(theirs, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                while self.is_held:  # noqa: ASYNC110 - another thread sets it
                    await asyncio.sleep(0.02)
                writer.write(data)
                await writer.drain()
        writer.close()


class Driver:
    """Stands for the engine, and for whatever breaks."""

    def __init__(
        self,
        scenario: Scenario,
        url: str,
        forks: Forks,
        server: PostgresServer,
        folder: Path,
        budget: int | None = None,
    ) -> None:
        self._scenario = scenario
        self._forks = forks
        self._budget = budget
        self._url = url
        self._server = server
        self._database_name = server.new_database()
        self._dsn = server.url("stress", database=self._database_name)
        self._folder = folder
        self._dice = random.Random(scenario.seed)
        self._running: dict[Fork, int] = {}
        self._proxied: set[Fork] = set()
        self._proxy = HoldingProxy(server.port) if scenario.partitions else None
        self._started = 0
        pieces = scenario.workers * 2
        self._size = -(-scenario.requests // pieces)
        self._todo = [*range(0, scenario.requests, self._size)]
        self.done: dict[str, int] = {}

    def run(self) -> None:
        faults = [
            name
            for name, count in (
                ("kill", self._scenario.kills),
                ("sleep", self._scenario.sleepers),
                ("database", self._scenario.database_kills),
                ("cut", self._scenario.cuts),
                ("partition", self._scenario.partitions),
                ("theft", self._scenario.thefts),
            )
            for _ in range(count)
        ]
        self._dice.shuffle(faults)
        until = time.monotonic() + self._scenario.limit
        following: float | None = None
        while self._todo or self._running:
            assert time.monotonic() < until, f"not done after {self._scenario.limit} s: {self.errors()}"
            while self._todo and len(self._running) < self._scenario.workers:
                self._start(self._todo.pop(0))
            self._reap()
            if following is None and self._has_begun():
                following = time.monotonic() + 0.5
            if faults and self._running and following is not None and time.monotonic() > following:
                name = faults.pop()
                self.done[name] = self.done.get(name, 0) + 1
                getattr(self, f"_{name}")()
                following = time.monotonic() + self._dice.uniform(0.2, 1.0)
            time.sleep(0.02)

    def _has_begun(self) -> bool:
        """Whether there is a keeper, and something paid for: before that there is little to break."""
        ((table,),) = self._execute("SELECT to_regclass('neuralbox.record')::text")
        query = """SELECT EXISTS (SELECT FROM neuralbox.account WHERE keeper > 0)
            AND EXISTS (SELECT FROM neuralbox.record WHERE state > 1)"""
        return table is not None and self._execute(query) == [(True,)]

    def _execute(self, query: str) -> list[tuple[Any, ...]]:
        return self._server.execute(query, database=self._database_name)

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def errors(self) -> list[str]:
        return (self._folder / "errors").read_text(errors="replace").splitlines()[-12:]

    def outcomes(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for file in self._folder.glob("out-*"):
            for line in file.read_text().splitlines():
                key, _, result = line.partition(" ")
                found.setdefault(key, set()).add(result)
        return found

    def _start(self, first: int) -> None:
        self._started += 1
        dsn, count = self._dsn, min(self._size, self._scenario.requests - first)
        is_proxied = self._proxy is not None and self._started % 2 == 0
        if is_proxied:
            assert self._proxy is not None
            dsn = dsn.replace(f":{self._server.port}/", f":{self._proxy.port}/")
        arguments = (self._url, dsn, first, count, self._scenario.equal, self._scenario.lease, self._budget)
        with (
            (self._folder / f"out-{self._started}").open("wb") as out,
            (self._folder / "errors").open("ab") as errors,
        ):
            process = self._forks.start(work, *arguments, stdout=out, stderr=errors)
        self._running[process] = first
        if is_proxied:
            self._proxied.add(process)

    def _reap(self) -> None:
        for process in [*self._running]:
            if process.poll() is not None:
                first = self._running.pop(process)
                if process.returncode != 0:
                    self._todo.insert(0, first)

    # What breaks.

    def _kill(self) -> None:
        process = self._dice.choice([*self._running])
        process.kill()
        process.wait()
        self._todo.insert(0, self._running.pop(process))

    def _sleep(self) -> None:
        process = self._dice.choice([*self._running])
        os.kill(process.pid, signal.SIGSTOP)
        self._start(self._running[process])  # taken for dead, and retried
        time.sleep(self._scenario.lease * 1.3)
        os.kill(process.pid, signal.SIGCONT)

    def _database(self) -> None:
        self._server.kill()
        time.sleep(0.3)
        self._server.start_again()

    def _cut(self) -> None:
        self._execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'neuralbox' AND datname = current_database()"""
        )

    def _theft(self) -> None:
        self._execute(
            """UPDATE neuralbox.account SET keeper = keeper + 1, keeper_owner = 0,
                keeper_until = clock_timestamp() + interval '0.3 s'"""
        )

    def _partition(self) -> None:
        assert self._proxy is not None
        self._proxy.is_held = True
        time.sleep(self._scenario.lease * 0.7)
        for first in {self._running[each] for each in self._running if each in self._proxied}:
            self._start(first)
        time.sleep(self._scenario.lease * 0.8)
        self._proxy.is_held = False


def run(scenario: Scenario, forks: Forks, server: PostgresServer, *, speed: float = 100.0) -> Counts:
    """Run a scenario in a database of its own and count."""
    started = time.monotonic()
    faults = {"drop-after-accept": scenario.lost_after}
    if scenario.lost_before:
        faults["drop-before-accept@POST /generate"] = scenario.lost_before
    since_the_hour = time.time() % 3_600  # so that no run meets the end of one
    sandbox = Sandbox(
        speed=speed, plan=scenario.plan, faults=faults, seed=scenario.seed, clock=lambda: time.time() - since_the_hour
    )
    account = sandbox.ledger.account_of_key(KEY)
    sandbox.ledger.limits_left(account)
    account.hour_count = scenario.used
    with serve(sandbox) as service, tempfile.TemporaryDirectory(prefix="neuralbox-stress-") as folder:
        budget = None if scenario.affords is None else scenario.affords * price(service.url)
        driver = Driver(scenario, service.url, forks, server, Path(folder), budget)
        try:
            driver.run()
        finally:
            driver.stop()
        found = charged(service.url)
        prompts = {name: prompt for name, (prompt, _) in found.items()}
        outcomes = driver.outcomes()
        errors = [f"{key} {one}" for key, all_ in outcomes.items() for one in all_ if one.startswith("!")]
        errors += driver.errors()
    wanted = {one["key"]: one["prompt"] for one in requests(0, scenario.requests, scenario.equal)}
    ids = {key: {one for one in found if one and not one.startswith("!")} for key, found in outcomes.items()}
    return Counts(
        requested=scenario.requests,
        charged=len(prompts),
        delivered=sum(bool(found) for found in ids.values()),
        different=len({one for found in ids.values() for one in found}),
        two_ids=sum(len(found) > 1 for found in ids.values()),
        wrong_prompt=sum(prompts.get(one) != wanted[key] for key, found in ids.items() for one in found),
        seconds=round(time.monotonic() - started, 1),
        faults=driver.done,
        errors=errors[:20],
        budget=budget,
        spent=sum(tokens for _, tokens in found.values()),
        refused=sum(one.status == 429 for one in sandbox.ledger.received),
    )


def charged(url: str) -> dict[str, tuple[str | None, int]]:
    """Return the prompt of each generation that the service made, and what it was charged."""
    from neuralbox import NeuralBox

    with NeuralBox(api_key=KEY, base_url=url) as nb:
        return {str(item.id): (item.prompt, item.tokens or 0) for item in nb.history.list(page_size=100)}


def price(url: str) -> int:
    """Return what one of the requests costs."""
    from neuralbox import NeuralBox

    with NeuralBox(api_key=KEY, base_url=url) as nb:
        cost = nb.models.price("kling-v2.1", duration=5).token_cost
        assert cost is not None
        return cost


SMALL = [
    Scenario(requests=120, kills=4, sleepers=1, cuts=1, thefts=2, lease=3.0),
    Scenario(requests=120, equal=4, kills=3, database_kills=1, thefts=2, lost_before=0.04, lease=3.0),
    Scenario(requests=120, workers=4, partitions=1, thefts=1, kills=1, lease=3.0),
    Scenario(requests=160, workers=4, kills=4, lease=3.0, affords=100),
    Scenario(
        requests=60, workers=4, kills=4, lease=3.0, plan="vip"
    ),  # 100 an hour, of which the last are spread over it
]
_FAULTS: tuple[dict[str, Any], ...] = (
    {"kills": 100},
    {"sleepers": 10},
    {"database_kills": 10},
    {"cuts": 20},
    {"partitions": 10},
    {"thefts": 50},
    {"kills": 20, "sleepers": 2, "database_kills": 2, "cuts": 4, "partitions": 2},
)
FULL = [
    Scenario(requests=2_000, equal=equal, workers=4, lost_before=0.04, limit=3_000.0, **fault)
    for equal in (1, 4)
    for fault in _FAULTS
]
FULL.append(Scenario(requests=800, workers=8, kills=10, affords=500, limit=600.0))
FULL.append(Scenario(requests=60, workers=8, kills=10, plan="vip", limit=600.0))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", type=int, help="the scenario with this number")
    given = parser.parse_args()
    scenarios = FULL if given.full else SMALL
    with Forks() as forks:
        for number, scenario in enumerate(scenarios):
            if given.only not in (None, number):
                continue
            with PostgresServer(fsync=given.full) as server:
                counts = run(scenario, forks, server, speed=20.0 if given.full else 100.0)
            print(json.dumps({"scenario": number, "equal": scenario.equal, "right": counts.is_right, **vars(counts)}))


if __name__ == "__main__":
    main()
