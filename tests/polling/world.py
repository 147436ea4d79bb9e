"""A service in virtual time: the real core, poller and handles over a scripted transport and a clock that jumps.

The clock is `neuralbox.testing`'s, which jumps to the next timer whenever every task waits: nothing sleeps, and every run is the same. The
service answers by id; each request it gets is kept with its time.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from random import Random
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.lowlevel

from neuralbox._config import ClientOptions, Polling
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core, TimeSource
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.poller import Poller
from neuralbox._transport import Reply
from neuralbox.testing import VirtualTime

Answer: TypeAlias = Mapping[str, Any] | tuple[int, Mapping[str, Any] | str] | BaseException
"""A 200 with this JSON, another status with it (or with this page of HTML), or an error of the transport."""


@dataclass(frozen=True)
class Asked:
    """One request the service got."""

    at: float
    id: str
    path: str
    key: str
    headers: Mapping[str, str]


@dataclass
class Listing:
    """A history that is made of the status answers, the newest job first.

    Attributes:
        hidden: Ids that it never shows.
        lag: Seconds from the first request until a job is shown; one for all.
        counted: Whether it says how many pages there are.
        filters: Whether it heeds `status`.
        others: Pending items of other programs, newer than all of ours.
        page_size: Items a page has, whatever was asked for.
        fails: Called with the page number and the virtual time; what it returns is answered instead.
        numbers: Whether it names the jobs by number.
        ignores_page: Whether it shows the first page whatever is asked for.
        empty: Pages that it shows empty, though there are more.
        items: Adds to each item.
    """

    hidden: set[str] = field(default_factory=set)
    lag: float = 0.0
    counted: bool = True
    filters: bool = True
    others: int = 0
    page_size: int = 100
    fails: Callable[[int, float], Answer | None] = lambda number, now: None
    numbers: bool = False
    ignores_page: bool = False
    empty: frozenset[int] = frozenset()
    items: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PageAsked:
    """One request for a page of the history."""

    at: float
    number: int
    status: str
    headers: Mapping[str, str]


@dataclass
class Service:
    """Answers status requests. `answers[id]` is called with the virtual time; unknown ids get 404.

    The history answers 404 unless there is a `listing`.
    """

    time: VirtualTime
    latency: float = 0.05
    answers: dict[str, Callable[[float], Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    listing: Listing | None = None
    pages: list[PageAsked] = field(default_factory=list)
    stalled: anyio.Event | None = None
    under_way: int = 0

    def job(self, id: int | str, seconds: float, *, then: str = "completed", **pending: Any) -> int | str:
        """Make a job that is final so many seconds from now."""
        done = self.time.clock() + seconds

        def answer(now: float) -> Answer:
            if now < done:
                return {"id": id, "status": "pending", **pending}
            if then == "failed":
                return {"id": id, "status": "failed", "error": "content policy violation"}
            return {"id": id, "status": then, "result_url": f"http://127.0.0.1/{id}.mp4", "tokens_spent": 60}

        self.answers[str(id)] = answer
        return id

    def times(self, id: int | str = 1) -> list[float]:
        """When it was asked for an id, in seconds since the start."""
        return [round(asked.at - 1_000.0, 3) for asked in self.asked if asked.id == str(id)]

    # The transport.

    def prepare(self, method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> tuple[str, Mapping[str, str]]:
        assert method == "GET"
        return url, headers

    async def send(self, prepared: tuple[str, Mapping[str, str]], **_: Any) -> Reply:
        url, headers = prepared
        path, _slash, name = url.removeprefix("http://127.0.0.1:9/api/v2").rpartition("/")
        key, page = headers["authorization"][-4:], None
        if name.startswith("history"):
            values = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
            page = PageAsked(self.time.clock(), int(values["page"]), values.get("status", ""), headers)
            self.pages.append(page)
        else:
            self.asked.append(Asked(self.time.clock(), name, path, key, headers))
        self.under_way += 1
        try:
            if self.stalled is not None:
                await self.stalled.wait()
            elif self.latency:
                await self.time.sleep(self.latency)
            else:
                await anyio.lowlevel.checkpoint()
        finally:
            self.under_way -= 1
        known = self.answers.get(name)
        unknown = {"error": "not_found", "message": "No such generation"}
        answer: Answer = (404, unknown) if known is None else known(self.time.clock())
        if page is not None and self.listing is not None:
            answer = self._page(self.listing, page)
        if isinstance(answer, BaseException):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        if isinstance(body, str):
            return Reply(status, {"content-type": "text/html"}, body.encode())
        return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())

    def _page(self, listing: Listing, page: PageAsked) -> Answer:
        now, size = self.time.clock(), listing.page_size
        instead = listing.fails(page.number, now)
        if instead is not None:
            return instead
        items: list[Any] = [{"id": f"other_{number}", "status": "pending"} for number in range(listing.others)]
        if page.status == "completed" and listing.filters:
            items.clear()
        for name, answer in reversed(list(self.answers.items()) if now >= 1_000 + listing.lag else []):
            said = answer(now)
            assert isinstance(said, Mapping)
            is_shown = page.status in ("", said["status"]) or not listing.filters
            if name not in listing.hidden and is_shown:
                items.append({**said, **listing.items, "id": int(name) if listing.numbers else name})
        number = 1 if listing.ignores_page else page.number
        shown = [] if number in listing.empty else items[(number - 1) * size : number * size]
        counts = {"total": len(items), "pages": ceil(len(items) / size), "limit": size} if listing.counted else {}
        return {"items": shown, **counts}

    def core(self, *, key: str = "nb_test", seed: int | None = None, **options: Any) -> Core:
        """Make a client's core that asks this service; the dice always show a half unless seeded."""
        dice, time = Random(seed), self.time
        options.setdefault("polling", Polling())
        return Core(
            self,  # type: ignore[arg-type]
            ClientOptions(base_url="http://127.0.0.1:9", **options),
            ApiKey(key),
            TimeSource(time.clock, time.clock, dice.random if seed is not None else _half, time.sleep, time.wait_until),
        )

    __hash__ = object.__hash__


def _half() -> float:
    return 0.5


@asynccontextmanager
async def a_service(latency: float = 0.05) -> AsyncIterator[Service]:
    """A service with a clock of its own."""
    yield Service(VirtualTime(), latency)


def nothing_left(core: Core) -> bool:
    """Whether the poller of a client holds nothing and nobody; ask inside the loop."""
    poller: Poller = poller_of(core)
    leadership = poller.leadership
    return not (
        poller.jobs
        or len(poller.queue)
        or len(poller._limits)
        or poller._overdue
        or leadership.sleeping
        or leadership.leader
    )
