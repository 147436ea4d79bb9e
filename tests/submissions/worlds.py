"""Worlds that differ from the documented one, and what becomes of a program's requests in them.

A `World` says how the service shows what it made and who else is on the account; `live` lets programs buy in it while
answers are lost, and counts. `python -m tests.submissions.worlds` writes the page of the documentation that shows it,
with `--check` it exits with 1 where the page is not what it would write.
"""

from __future__ import annotations

import html
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import starmap
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final, NamedTuple

import anyio
from anyio.abc import TaskGroup

from neuralbox._batch.resource import Batches
from neuralbox._core.exchange import Core
from neuralbox._errors import NeuralBoxError, SubmissionUnknownError
from neuralbox._resources.images import Images
from neuralbox._resources.text import Text
from neuralbox._resources.videos import Videos
from neuralbox._submissions.registry import registry_of

from ..service import Service, a_shop

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "promises" / "worlds.md"
MODELS: Final[Mapping[str, str]] = {"image": "dall-e-3", "video": "kling-v2.1", "text": "gpt-5"}


def _cut(length: int, prompt: str) -> str:
    return prompt[:length]


def _naive(hours: float) -> Callable[[float], str]:
    """Write times as those of a zone that is not told."""
    return lambda seconds: (datetime.fromtimestamp(int(seconds), UTC) + timedelta(hours=hours)).strftime(
        "%Y-%m-%dT%H:%M:%S"
    )


@dataclass(frozen=True)
class World:
    """One way the service and the account may be.

    Attributes:
        name: What is different.
        kind: What is bought.
        ids: See `Service`.
        lag: Seconds until a generation is listed.
        offset: Seconds by which `created_at` is ahead.
        stamp: Writes `created_at`; None leaves it as it is.
        is_dated: Answers have a `Date`.
        shown: What the history shows of a prompt.
        strangers: The share of our requests that somebody else makes too, at about the same time.
        others: How many other requests somebody else makes.
        programs: How many of our programs run on the account.
        requests: How many requests each makes.
        prompts: How many different prompts they have.
        is_lost: Which end a request has, drawn with these weights.
        options: What each request asks for beside its prompt.
        spread: Seconds over which a program's requests are made.
        in_batches: Whether each program makes its requests by a batch, instead of one call for each.
    """

    name: str
    kind: str = "video"
    ids: str = "int"
    lag: float = 0.0
    offset: float = 0.0
    stamp: Callable[[float], str | None] | None = None
    is_dated: bool = True
    shown: Callable[[str], str | None] = str
    strangers: float = 0.0
    others: int = 0
    programs: int = 1
    requests: int = 20
    prompts: int = 20
    is_lost: Mapping[str, float] = field(
        default_factory=lambda: {"answered": 3.0, "dropped after": 1.0, "dropped before": 1.0, "500 after": 0.5}
    )
    options: Mapping[str, Any] = field(default_factory=dict)
    spread: float = 60.0
    in_batches: bool = False


class Count(NamedTuple):
    """What became of all requests of all programs.

    Attributes:
        asked: How many were made.
        charged: How many were charged to us.
        delivered: How many got a generation.
        raised: How many raised that their outcome is unknown.
        wrong: How many got a stranger's or another request's generation, or one that somebody else got as well.
        unnamed: How many were charged, and are neither delivered nor among what is unresolved.
        twice: How many charges there were beyond what was asked for.
        settled: Seconds from sending until the outcome was known, of those whose first answer was lost.
        reads: Pages of the history and single generations that were asked for.
    """

    asked: int
    charged: int
    delivered: int
    raised: int
    wrong: int
    unnamed: int
    twice: int
    settled: tuple[float, ...] = ()
    reads: int = 0


async def live(world: World, seed: int = 0) -> Count:
    """Let programs buy in a world, and count."""
    dice = Random(f"{world.name}/{seed}")
    async with a_shop() as shop:
        shop.listing.ids, shop.listing.created_ahead = world.ids, world.offset
        if not world.is_dated:
            shop.date = lambda now: None
        if world.stamp is not None:
            shop.listing.stamp = world.stamp
        shop.listing.lag = world.lag
        shop.listing.shown = lambda item: {**item, "prompt": world.shown(str(item["prompt"]))}
        ends, weights = zip(*world.is_lost.items(), strict=True)
        shop.ends = lambda number, body: dice.choices(ends, weights)[0]
        programs = [
            Program(world, shop, Random(f"{world.name}/{seed}/{number}"), number) for number in range(world.programs)
        ]
        async with anyio.create_task_group() as group:
            for program in programs:
                group.start_soon(program.run)
            group.start_soon(_strangers, world, shop, Random(f"{world.name}/{seed}/strangers"))
        return _count(shop, programs)


async def _strangers(world: World, shop: Service, dice: Random) -> None:
    for _ in range(world.others):
        await shop.time.sleep(dice.random() * world.spread / world.others)
        shop.make({"model": MODELS[world.kind], "prompt": f"Something else {dice.random()}"}, foreign=True)


class Program:
    """One program with the account's key."""

    def __init__(self, world: World, shop: Service, dice: Random, number: int) -> None:
        self.world, self.shop, self.dice, self.number = world, shop, dice, number
        self.core: Core = shop.core(max_retries=5, draw_seed=True, warn_duplicates=False)
        self.delivered: list[tuple[str, int | str]] = []
        self.raised = 0
        self.asked = 0
        self.settled: list[float] = []

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            if self.world.in_batches:
                group.start_soon(self._buy_all, group)
            else:
                for number in range(self.world.requests):
                    group.start_soon(self._buy, number)

    def _prompt(self, number: int) -> str:
        subject = number % self.world.prompts
        return f"Take {subject} of <b>a heron</b> & {subject} boats, seen from afar on a day that never ends: nobody knows why, {subject}"

    async def _buy_all(self, group: TaskGroup) -> None:
        """Buy them by one batch, which reads a request whenever its time has come."""
        world = self.world

        async def requests() -> AsyncIterator[Mapping[str, Any]]:
            await self.shop.time.sleep(3.0)
            for number in range(world.requests):
                await self.shop.time.sleep(self.dice.random() * 2.0 * world.spread / world.requests)
                self.asked += 1
                if self.dice.random() < world.strangers:
                    group.start_soon(self._copy, self._prompt(number), self.dice.uniform(-3.0, 3.0))
                model = MODELS[world.kind]
                yield {"kind": world.kind, "model": model, "prompt": self._prompt(number), **world.options}

        async with Batches(self.core)(requests()) as run:
            async for outcome in run:
                if outcome.generation is not None:
                    self.delivered.append((str(getattr(outcome.request, "prompt", None)), outcome.generation.id))
                else:
                    self.raised += isinstance(outcome.error, SubmissionUnknownError)

    async def _buy(self, number: int) -> None:
        world, time = self.world, self.shop.time
        moment = self.dice.random() * world.spread
        is_copied, after = self.dice.random() < world.strangers, self.dice.uniform(-3.0, 3.0)
        prompt = self._prompt(number)
        await time.sleep(moment + 3.0)
        self.asked += 1
        began = time.elapsed
        async with anyio.create_task_group() as group:
            if is_copied:
                group.start_soon(self._copy, prompt, after)
            try:
                if world.kind == "image":
                    answer: Any = await Images(self.core).create(model="dall-e-3", prompt=prompt, **world.options)
                elif world.kind == "video":
                    answer = await Videos(self.core).submit(model="kling-v2.1", prompt=prompt, **world.options)
                else:
                    answer = await Text(self.core).create(model="gpt-5", prompt=prompt, **world.options)
                self.delivered.append((prompt, answer.id))
            except SubmissionUnknownError:
                self.raised += 1
            except NeuralBoxError:
                pass
            if prompt in self.shop.lost:
                self.settled.append(time.elapsed - began)

    async def _copy(self, prompt: str, after: float) -> None:
        """Make the same as somebody else, a little before or after."""
        made = self.shop.make(
            {"model": MODELS[self.world.kind], "prompt": prompt, **self.world.options}, foreign=True, after=after
        )
        assert made is not None


def _count(shop: Service, programs: list[Program]) -> Count:
    by_id = {str(one.id): one for one in shop.ledger} | {f"gen_{one.id}": one for one in shop.ledger}
    got = [(prompt, by_id[str(identity)]) for program in programs for prompt, identity in program.delivered]
    times = Counter(one.id for _, one in got)
    wrong = sum(one.id < 0 or times[one.id] > 1 or one.options["prompt"] != prompt for prompt, one in got)
    missing = {one.id for one in shop.ledger if one.id > 0} - set(times)
    open_ = sum(len(registry_of(program.core).unresolved) for program in programs)
    asked = sum(program.asked for program in programs)
    charged = len(shop.charged)
    return Count(
        asked,
        charged,
        len(got),
        sum(program.raised for program in programs),
        wrong,
        max(0, len(missing) - open_),
        max(0, charged - asked),
        tuple(seconds for program in programs for seconds in program.settled),
        len(shop.pages) + len(shop.details),
    )


def worlds() -> Iterator[World]:
    """Go through the worlds of the page."""
    yield World("as documented")
    yield World("as documented, pictures", kind="image")
    yield World("as documented, texts", kind="text")
    for ids in ("gen", "mixed"):
        yield World(f"ids: {ids}", ids=ids)
        yield World(f"ids: {ids}, equal prompts", ids=ids, prompts=2)
        yield World(f"ids: {ids}, equal prompts, pictures", kind="image", ids=ids, prompts=2)
    for offset in (-120.0, -30.0, -8.0, 16.0, 45.0, 120.0):
        yield World(f"`created_at` {offset:+g} s", offset=offset)
    yield World("`created_at` 3 h ahead, no zone", stamp=_naive(3))
    yield World("`created_at` 5 h behind, no zone", stamp=_naive(-5))
    yield World("no `Date`", is_dated=False)
    yield World("no `created_at`", stamp=lambda _: None)
    for length in (20, 100):
        yield World(f"prompts cut to {length}", shown=partial(_cut, length))
    yield World("prompts cut to 20, with dots", shown=lambda prompt: f"{prompt[:20]}…")
    yield World("prompts escaped", shown=html.escape)
    yield World("prompts not shown", shown=lambda _: None)
    for lag in (3.0, 15.0, 75.0):
        yield World(f"listed {lag:g} s late", lag=lag)
        yield World(f"listed {lag:g} s late, pictures", kind="image", lag=lag)
    for share in (0.0, 0.3, 1.0):
        for lag in (0.0, 15.0):
            for kind in ("video", "image"):
                yield World(
                    f"strangers, {share:.0%} equal, listed {lag:g} s late, {kind}s",
                    kind=kind,
                    lag=lag,
                    strangers=share,
                    others=20,
                )
    for programs, forms in ((2, ("int", "gen", "mixed")), (4, ("mixed",))):
        for ids in forms:
            yield World(f"{programs} programs, equal requests, ids: {ids}", ids=ids, programs=programs)
        yield World(f"{programs} programs, equal requests, pictures", kind="image", programs=programs)
        if programs == 2:
            yield World("2 programs, equal requests, `duration`", programs=2, options={"duration": 5})


BY_BATCHES: Final = (
    "as documented",
    "as documented, pictures",
    "as documented, texts",
    "ids: gen, equal prompts",
    "ids: mixed, equal prompts",
    "ids: mixed, equal prompts, pictures",
    "`created_at` -8 s",
    "`created_at` +120 s",
    "`created_at` 5 h behind, no zone",
    "no `Date`",
    "no `created_at`",
    "prompts cut to 20",
    "prompts not shown",
    "listed 15 s late, pictures",
    "listed 75 s late",
    "strangers, 30% equal, listed 0 s late, images",
    "strangers, 100% equal, listed 15 s late, videos",
    "2 programs, equal requests, ids: mixed",
    "2 programs, equal requests, pictures",
)
"""The worlds in which batches live too: each way to differ once, since a batch sends by the same calls."""


def worlds_of_batches() -> Iterator[World]:
    """Go through the worlds in which each program makes its requests by a batch."""
    by_name = {world.name: world for world in worlds()}
    for name in BY_BATCHES:
        yield replace(by_name[name], in_batches=True)


def prices() -> Iterator[tuple[str, float]]:
    """Go through what is bought, and the seconds until it is listed, whose price is told."""
    for kind in MODELS:
        for lag in (0.0, 3.0, 15.0):
            yield kind, lag


HEAD: Final = """# Worlds

Twenty requests of each program, a third of them lost before or after they were accepted, in worlds that differ from the
documented one. Everything charged is delivered, or named in an error and in `nb.unresolved`. The tests of the package
live through each of them in virtual time (`tests/submissions/test_worlds.py`), and this page is made of what they saw.

*raised* are requests whose outcome stays unknown; nothing was sent again for them. *wrong* are results of somebody
else's or another's request, results that two callers got, second charges, and charges that nobody was told of.

"""
TABLE: Final = """| world | asked | charged | delivered | raised | wrong |
|---|---|---|---|---|---|
"""
BATCHES: Final = """
## The same by batches

Each way to differ once more. Each program makes its requests by one `nb.batch`, which also waits for what they make.

"""


PRICE: Final = """
## The price of certainty

Forty requests within a minute, two of five lost, half of those after they were accepted; three runs of each. *seconds* are from sending
until the outcome is known (adopted, or proven absent and sent again), *requests* are those to the history and for single
generations, for each answer that was lost: median and 95th percentile. A picture or a text that was never accepted waits
longest: a service that is still working on it lists it when it is done.

| kind | listed | lost | seconds | requests | raised |
|---|---|---|---|---|---|
"""


def price(kind: str, lag: float) -> str:
    """Write the row of what it takes to know what became of a lost answer."""
    lost = {"answered": 3.0, "dropped after": 1.0, "dropped before": 1.0}
    world = World(f"price, {kind}, {lag:g}", kind=kind, lag=lag, requests=40, prompts=40, is_lost=lost)
    runs = [anyio.run(live, world, seed) for seed in range(3)]
    seconds = [each for run in runs for each in run.settled]
    requests = [run.reads / len(run.settled) for run in runs]
    raised = sum(run.raised for run in runs)
    return f"{price_begins(kind, lag)} {len(seconds)} | {_middle_and_late(seconds)} | {_middle_and_late(requests)} | {raised} |"


def price_begins(kind: str, lag: float) -> str:
    """Write how a row of the prices begins."""
    return f"| {kind} | {f'{lag:g} s late' if lag else 'at once'} |"


def _middle_and_late(values: list[float]) -> str:
    return f"{median(values):.1f} / {sorted(values)[int(0.95 * len(values))]:.1f}"


def row(world: World, count: Count) -> str:
    """Write the row of what became of the requests in a world."""
    wrong = count.wrong + count.unnamed + count.twice
    return f"| {world.name} | {count.asked} | {count.charged} | {count.delivered} | {count.raised} | {wrong} |"


def page(row_of: Callable[[World], str], price_of: Callable[[str, float], str]) -> str:
    """Return the page, whose rows are written by these."""
    single, by_batches = "\n".join(map(row_of, worlds())), "\n".join(map(row_of, worlds_of_batches()))
    dear = "\n".join(starmap(price_of, prices()))
    return f"{HEAD}{TABLE}{single}\n{BATCHES}{TABLE}{by_batches}\n{PRICE}{dear}\n"


if __name__ == "__main__":
    made = page(lambda world: row(world, anyio.run(live, world)), price)
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text(encoding="utf-8") != made)
    PAGE.write_text(made, encoding="utf-8")
