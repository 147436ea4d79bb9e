"""The service of the tests that need none of the sandbox's pictures: in virtual time it sells, charges, lists and errs as it is told.

It is the transport of a real core, in one process and without a socket. `ledger` is the truth: what was made and charged,
whatever the client came to know. `ends` says how each submission ends, `answers` what is said of a job whose story the test
writes itself, and `listing` how the history shows all of it. The presets at the end are what the folders begin with.

The sandbox (`neuralbox.sandbox`) is a whole service, which checks what it is asked and makes real files; it is used where that
is what a test is about, and costs some ten times as much for each request.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cached_property, lru_cache
from math import ceil, floor
from random import Random
from typing import Any, NamedTuple, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from neuralbox._config import ClientOptions
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core
from neuralbox._errors import APITimeoutError, ConnectError, ConnectionLostError, NeuralBoxError
from neuralbox._transport import Reply
from neuralbox.testing import VirtualTime

from .helpers import FakeTransport, Sent, Streamed, refusal, reply

LOST = ConnectionLostError("The connection broke.")
SILENCE = APITimeoutError("No answer came.", phase="read")
PAGE = reply(502, b"<html>bad gateway</html>")

# How a submission may end: whether it is carried out, and what the client sees of it (None: the answer).
Seen: TypeAlias = Reply | NeuralBoxError | None
ENDS: Mapping[str, tuple[bool, Seen]] = {
    "answered": (True, None),
    "dropped after": (True, LOST),
    "cut": (True, reply(200, b'{"id": 184')),
    "a proxy's 502 after": (True, PAGE),
    "silence": (True, SILENCE),
    "dropped before": (False, LOST),
    "a proxy's 502 before": (False, PAGE),
    "never sent": (False, ConnectError("Refused.")),
    "500": (False, refusal(500, "provider_error")),
    "429": (False, refusal(429, "rate_limit_exceeded", retry_after="1")),
    "402": (False, refusal(402, "insufficient_tokens")),
    "500 after": (True, refusal(500, "provider_error")),
    "failed": (True, None),  # the generation, for good
    "slow": (True, None),  # takes its seconds whatever it is
}
DOCUMENTED = tuple(end for end in ENDS if end not in ("402", "500 after", "failed", "slow"))

Answer: TypeAlias = Reply | Mapping[str, Any] | tuple[int, Mapping[str, Any] | str] | BaseException
"""A whole reply, a 200 with this JSON, another status with it (or with this page of HTML), or an error of the transport."""
Seconds: TypeAlias = float | Callable[[], float]
UNKNOWN: Answer = (404, {"error": "not_found", "message": "No such generation"})

_KINDS = {  # by how a model begins; every other one writes texts
    "dall-e": "image",
    "flux": "image",
    "midjourney": "image",
    "kling": "video",
    "veo": "video",
    "openai-tts": "tts",
    "whisper": "stt",
    "upscale": "tool",
}


def prompt_of(body: Mapping[str, Any]) -> str | None:
    options = {**body.get("params", {}), **body}
    said = options.get("prompt") or options.get("text")
    if said is None and options.get("messages"):
        said = options["messages"][-1]["content"]
    return None if said is None else str(said)


@dataclass
class Made:
    """A generation that the service made.

    Attributes:
        id: Of other programs' it is negative.
        body: What was asked for.
        at: When it was made, in Unix seconds of the service's clock.
        seconds: How long it takes.
        tokens: What it costs.
        listed: When the history shows it, by the same clock.
        fails: Whether it fails, which costs nothing.
    """

    id: int
    body: Mapping[str, Any]
    at: float
    seconds: float = 0.0
    tokens: int = 0
    listed: float = 0.0
    fails: bool = False

    # What was asked for stays as it is, and each page of the history says it again.

    @cached_property
    def options(self) -> dict[str, Any]:
        return {**self.body.get("params", {}), **self.body}

    @cached_property
    def prompt(self) -> str | None:
        return prompt_of(self.body)

    @cached_property
    def kind(self) -> str:
        return next((kind for start, kind in _KINDS.items() if str(self.body.get("model")).startswith(start)), "text")

    @cached_property
    def model(self) -> str:
        """As answers name it."""
        return str(self.body.get("model", "")).replace("midjourney-v6", "midjourney")


class Asked(NamedTuple):
    """One request for the state of a job; `at` is the monotonic time."""

    at: float
    id: str
    path: str
    headers: Mapping[str, str]


class PageAsked(NamedTuple):
    """One request for a page of the history; `at` is the monotonic time."""

    at: float
    number: int
    status: str
    limit: int
    headers: Mapping[str, str]


def _iso(seconds: float) -> str:
    return _whole_iso(floor(seconds))


@lru_cache(maxsize=4_096)
def _whole_iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@dataclass
class Listing:
    """How the history shows what there is, the newest first.

    Attributes:
        lag: Seconds until a generation is shown; a job of `answers` began with the clock.
        counted: Whether it says how many pages there are.
        filters: Whether it heeds `status`.
        results: Whether items have all that the answer for one has.
        page: Whether items have the names of the page dialect.
        ids: `int`, `gen`, or `mixed`: integers in answers and `gen_…` in the history, for the same generation.
        created_ahead: Seconds by which `created_at` is ahead of the service's own clock.
        stamp: Writes the time of creation; None leaves it out.
        shown: Turns an item into what is shown of it; None hides it.
        others: Pending items of other programs, newer than all of ours.
        page_size: Items a page has; None as many as were asked for.
        ignores_page: Whether it shows the first page whatever is asked for.
        empty: Pages that it shows empty, though there are more.
        fails: Called with the page number and the monotonic time; what it returns is answered instead.
    """

    lag: Seconds = 0.0
    counted: bool = True
    filters: bool = True
    results: bool = True
    page: bool = False
    ids: str = "int"
    created_ahead: float = 0.0
    stamp: Callable[[float], str | None] = _iso
    shown: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
    others: int = 0
    page_size: int | None = None
    ignores_page: bool = False
    empty: frozenset[int] = frozenset()
    fails: Callable[[int, float], Answer | None] = lambda number, now: None


@dataclass
class Plan:
    """What the account may send, counted by the hours and days of the service's clock.

    Attributes:
        hourly: Requests an hour; 0 without limit, and None for an account that is told nothing of limits.
        daily: Requests a day; 0 without limit.
        reads: Whether reads count, or only submissions.
        headers: Whether answers name the windows.
        tells: Changes these headers; called with the number of the answer, from 0.
        named: Whether a refusal says when to come back.
        profile: Whether there is a `user/me`, which tells the limits.
        length: Seconds of what it calls an hour.
        asked: When each that counts was sent, in Unix seconds; `taken` has those that were not too many.
        profiles_asked: How often `user/me` was asked for.
    """

    hourly: int | None = None
    daily: int = 0
    reads: bool = False
    headers: bool = True
    tells: Callable[[int, dict[str, str]], Mapping[str, str]] = lambda number, headers: headers
    named: bool = True
    profile: bool = True
    length: float = 3_600.0
    asked: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    refused: int = 0
    answered: int = 0
    profiles_asked: int = 0

    def left(self, now: float) -> tuple[int, int]:
        """How many there are left of this hour, and of this day."""
        in_hour = sum(at // self.length == now // self.length for at in self.taken)
        in_day = sum(at // 86_400 == now // 86_400 for at in self.taken)
        return max(0, (self.hourly or 0) - in_hour), max(0, self.daily - in_day)

    def take(self, now: float) -> Reply | None:
        """Count a request, or refuse it."""
        if self.hourly is None:
            return None
        self.asked.append(now)
        hour, day = self.left(now)
        is_day_over = bool(self.daily) and not day
        if not is_day_over and (hour or not self.hourly):
            self.taken.append(now)
            return None
        self.refused += 1
        wait = 86_400 - now % 86_400 if is_day_over else self.length - now % self.length
        body = {"error": "rate_limit_exceeded", "message": "Limit reached"}
        return reply(429, {**body, "retry_after": wait} if self.named else body)

    def stamp(self, now: float) -> Mapping[str, str]:
        """The headers of an answer that is begun now."""
        if self.hourly is None or not self.headers:
            return {}
        hour, day = self.left(now)
        headers = {
            "x-ratelimit-limit-hour": str(self.hourly),
            "x-ratelimit-remaining-hour": str(hour),
            "x-ratelimit-reset-hour": str((now // self.length + 1) * self.length),
        }
        if self.daily:
            headers |= {"x-ratelimit-limit-day": str(self.daily), "x-ratelimit-remaining-day": str(day)}
        self.answered += 1
        return self.tells(self.answered - 1, headers)


def _events(made: Made) -> Sequence[Any]:
    lines = (
        {"type": "generation_start", "id": made.id, "model": "gpt-5"},
        {"type": "content_delta", "delta": f"An answer to {made.prompt}"},
        {"type": "generation_end", "id": made.id, "tokens_used": 2},
    )
    return [b"data: " + json.dumps(line).encode() + b"\n\n" for line in lines]


@dataclass(eq=False)
class Service(FakeTransport):
    """The service, and the transport to it.

    Attributes:
        latency: Seconds an exchange takes; half of them pass before a submission is carried out.
        holds: Seconds for which the answer to a submission is held back, unless `ends` refuses it.
        seconds: How long a video takes; other kinds are answered at once.
        price: What `calculate-price` says; None does not know.
        tokens: What a generation costs; None as `price` says.
        ends: The end of the submission with this number, from 1, and this body: one of `ENDS`, or a reply that refuses it.
        listing: How the history shows what there is.
        plan: What the account may send.
        ahead: Seconds by which the service's clock is ahead of the client's.
        date: Writes the `Date` of answers; None leaves it out.
        traces: Whether the answers show size, duration and seed of a result.
        seeds: What they show of a seed that was sent.
        detail: Says something else of a generation than what is true; None leaves it alone.
        answers: What is said of an id, called with the monotonic time; the history shows these, too.
        events: The pieces of a stream.
        forgets: So many of the next streams are not carried out after all.
        files: What is in the storage under a name; others have made-up bytes.
        apart: Whether each core is as one of another process, which shares nothing with those before.
        stalled: Holds every read while it is not set.
        ledger: What was made, oldest first.
        posts: The bodies of all submissions.
        lost: Prompts of which an answer never came.
        asked: The requests for single generations.
        pages: The requests for pages of the history.
        prices_asked: How often a price was asked for.
        under_way: Reads that have no answer yet.
        selling: Submissions that have no answer yet; `most_selling` is the most there were at once.
    """

    time: VirtualTime = field(default_factory=VirtualTime)
    latency: Seconds = 0.1
    holds: float = 0.0
    seconds: float = 60.0
    price: int | None = None
    tokens: int | None = 2
    ends: Callable[[int, Mapping[str, Any]], str | Reply] = lambda number, body: "answered"
    listing: Listing = field(default_factory=Listing)
    plan: Plan = field(default_factory=Plan)
    ahead: float = 0.0
    date: Callable[[float], str | None] = lambda now: formatdate(floor(now), usegmt=True)
    traces: bool = True
    seeds: Callable[[Any], Any] = lambda seed: seed
    detail: Callable[[Made], Answer | None] = lambda made: None
    answers: dict[str, Callable[[float], Answer]] = field(default_factory=dict)
    events: Callable[[Made], Sequence[Any]] = _events
    forgets: int = 0
    files: dict[str, bytes | Exception] = field(default_factory=dict)
    apart: bool = False
    stalled: anyio.Event | None = None
    ledger: list[Made] = field(default_factory=list)
    posts: list[Mapping[str, Any]] = field(default_factory=list)
    lost: set[str | None] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)
    pages: list[PageAsked] = field(default_factory=list)
    prices_asked: int = 0
    under_way: int = 0
    selling: int = 0
    most_selling: int = 0

    # What a test does and sees.

    def core(self, *, key: str = "nb_test", seed: int | None = None, **options: Any) -> Core:
        """Make a client's core that asks this service; the dice always show a half unless seeded."""
        source = self.time.time_source
        if seed is not None:
            source = replace(source, random=Random(seed).random)
        elif self.apart:  # what cores share hangs on the account, and an account has one source of time
            source = replace(source, random=lambda: 0.5)
        options = {"base_url": "http://box.test", "draw_seed": False, **options}
        return Core(self, ClientOptions(**options), ApiKey(key), source)

    def end_with(self, *ends: str) -> None:
        """End the first submissions like this, and all that follow with an answer."""
        self.ends = lambda number, body: ends[number - 1] if number <= len(ends) else "answered"

    def make(
        self,
        body: Mapping[str, Any],
        *,
        foreign: bool = False,
        after: float = 0.0,
        slow: bool = False,
        fails: bool = False,
    ) -> Made:
        """Make a generation, also one of another program's, or one that was made a little before or after now."""
        number, now = 18_000 + len(self.ledger), self.server_now + after
        tokens = (self.price or 0) if self.tokens is None else self.tokens
        made = Made(-number if foreign else number, body, now, 0.0, tokens, now + _now(self.listing.lag), fails)
        made.seconds = self.seconds if slow or made.kind == "video" else 0.0
        self.ledger.append(made)
        return made

    def job(self, id: int | str, seconds: float, *, then: str = "completed", **pending: Any) -> int | str:
        """Have a job that is final so many seconds from now, which nobody submitted."""
        done = self.time.clock() + seconds

        def answer(now: float) -> Answer:
            if now < done:
                return {"id": id, "status": "pending", **pending}
            if then == "failed":
                return {"id": id, "status": "failed", "error": "content policy violation"}
            return {"id": id, "status": then, "result_url": f"http://127.0.0.1/{id}.mp4", "tokens_spent": 60}

        self.answers[str(id)] = answer
        return id

    @property
    def charged(self) -> list[int]:
        """What our own programs were charged for."""
        return [made.id for made in self.ledger if made.id > 0 and not made.fails]

    @property
    def charges(self) -> Counter[str | None]:
        """How often each prompt was charged."""
        return Counter(made.prompt for made in self.ledger if not made.fails)

    def times(self, id: int | str = 1) -> list[float]:
        """When it was asked for an id, in seconds since the start."""
        return [round(asked.at - 1_000.0, 3) for asked in self.asked if asked.id == str(id)]

    @property
    def details(self) -> list[str]:
        """The ids that were asked for."""
        return [asked.id for asked in self.asked]

    @property
    def server_now(self) -> float:
        return self.time.now() + self.ahead

    # Answering.

    async def _play(self, sent: Sent, on_sent: Callable[[], None] | None) -> Reply | Streamed:
        plan, now = self.plan, self.server_now
        path = sent.path
        is_paid = sent.method == "POST" and not path.endswith("/calculate-price")
        no = plan.take(now) if is_paid or plan.reads else None
        headers = plan.stamp(now) if plan.profile or path != "/user/me" else {}
        if no is None:
            answer = await (self._sold(sent, on_sent) if is_paid else self._read(sent, path, on_sent))
        else:
            if on_sent is not None:
                on_sent()
            await self._pause(_now(self.latency) + (self.holds if is_paid else 0.0))
            answer = no
        return replace(answer, headers={**answer.headers, **headers}) if headers else answer

    async def _sold(self, sent: Sent, on_sent: Callable[[], None] | None) -> Reply | Streamed:
        self.selling += 1
        self.most_selling = max(self.most_selling, self.selling)
        try:
            return await self._sell(sent, on_sent)
        finally:
            self.selling -= 1

    async def _read(self, sent: Sent, path: str, on_sent: Callable[[], None] | None) -> Reply | Streamed:
        if on_sent is not None:
            on_sent()
        if sent.url.startswith("http://files.test/"):
            await checkpoint()
            return self._file(sent.url.rpartition("/")[2])
        where, _, name = path.rpartition("/")
        page = None
        if path == "/user/history":
            query = sent.query
            number, limit = int(query["page"]), int(query["limit"])
            page = PageAsked(self.time.clock(), number, query.get("status", ""), limit, sent.headers)
            self.pages.append(page)
        elif where.startswith("/generate"):
            self.asked.append(Asked(self.time.clock(), name, where, sent.headers))
        self.under_way += 1
        try:
            await (self._pause(_now(self.latency)) if self.stalled is None else self.stalled.wait())
        finally:
            self.under_way -= 1
        if page is not None:
            return self._reply(self._page(page))
        if path == "/user/me":
            return self._reply(self._profile())
        if name == "calculate-price":
            self.prices_asked += 1
            return self._reply(UNKNOWN if self.price is None else {"token_cost": self.price})
        return self._reply(self._said_of(name))

    async def _pause(self, seconds: float) -> None:
        await (self.time.sleep(seconds) if seconds else checkpoint())

    async def _sell(self, sent: Sent, on_sent: Callable[[], None] | None) -> Reply | Streamed:
        form = sent.form
        body = sent.json if form is None else {**dict(form.fields), "prompt": form.files[0].file_name}
        self.posts.append(body)
        end = self.ends(len(self.posts), body)
        happens, seen = (False, end) if isinstance(end, Reply) else ENDS[end]
        if seen is not None:
            self.lost.add(prompt_of(body))
        if on_sent is not None and not isinstance(seen, ConnectError):
            on_sent()
        half = _now(self.latency) / 2
        await self._pause(half)
        made = self.make(body, slow=end == "slow", fails=end == "failed") if happens else None
        await self._pause(half + self.holds if happens else half)
        if isinstance(seen, APITimeoutError):
            raise type(seen)(seen.message, phase="read")
        if isinstance(seen, NeuralBoxError):
            raise type(seen)(seen.message)
        if seen is not None:
            return Reply(seen.status_code, {**seen.headers, **self._date()}, seen.content)
        assert made is not None
        if body.get("stream"):
            pieces = self.events(made)
            if self.forgets:
                self.forgets -= 1
                self.ledger.remove(made)
            return Streamed(pieces, headers={"content-type": "text/event-stream", **self._date()})
        said = self.record(made)
        return self._reply({**said, "id": f"gen_{made.id}"} if self.listing.ids == "gen" and "id" in said else said)

    def record(self, made: Made) -> dict[str, Any]:
        """Write what is true of a generation by now."""
        known: dict[str, Any] = {"id": made.id, "model_slug": made.model}
        if self.server_now < made.at + made.seconds:
            return {**known, "status": "pending"}
        if made.fails:
            return {**known, "status": "failed", "error": "content policy violation"}
        known |= {"status": "completed", "tokens_spent": made.tokens}
        if made.kind in ("text", "stt"):
            return {**known, "result_text": f"An answer to {made.prompt}"}
        known["result_url"] = f"http://files.test/{made.id}.webp"
        if not self.traces:
            return known
        width, _, height = str(made.options.get("size", "1024x1024")).partition("x")
        pixels = {"width": int(width), "height": int(height)} if height else {}
        return {
            **known,
            "result_metadata": {**pixels, "duration": made.options.get("duration")},
            "seed": self.seeds(made.options.get("seed", abs(made.id))),
        }

    def _profile(self) -> Answer:
        plan = self.plan
        plan.profiles_asked += 1
        if not plan.profile:
            return UNKNOWN
        limits = {"rate_limit_hourly": plan.hourly, "rate_limit_daily": plan.daily}
        return {"id": 1} if plan.hourly is None else {"id": 1, **limits}

    def _said_of(self, name: str) -> Answer:
        if name in self.answers:
            return self.answers[name](self.time.clock())
        made = next((made for made in self.ledger if name in (str(made.id), str(self._listed_id(made)))), None)
        if made is None:
            return UNKNOWN
        return self.detail(made) or {**self.record(made), "id": made.id if name == str(made.id) else name}

    def _listed_id(self, made: Made) -> int | str:
        return made.id if self.listing.ids == "int" else f"gen_{made.id}"

    def _page(self, page: PageAsked) -> Answer:
        listing = self.listing
        instead = listing.fails(page.number, self.time.clock())
        if instead is not None:
            return instead
        size, number = listing.page_size or page.limit, 1 if listing.ignores_page else page.number
        items = self._items(page.status if listing.filters else "")
        if listing.shown is not None:
            items = [item for each in items if (item := listing.shown(each))]
        if page.status != "completed" or not listing.filters:
            items = [{"id": f"other_{each}", "status": "pending"} for each in range(listing.others)] + items
        shown = [] if number in listing.empty else items[(number - 1) * size : number * size]
        if not listing.counted:
            return {"items": shown}
        counts = {} if listing.page else {"pages": ceil(len(items) / size)}
        return {"items": shown, "total": len(items), "page": number, "limit": size, **counts}

    def _items(self, status: str) -> list[dict[str, Any]]:
        listing, now, clock = self.listing, self.server_now, self.time.clock()
        items: list[dict[str, Any]] = []
        if self.answers and self.time.elapsed >= _now(listing.lag):
            for name, answer in reversed(self.answers.items()):
                said = answer(clock)
                assert isinstance(said, Mapping)
                if not status or status == said["status"]:
                    items.append({**said, "id": name})
        kind, model = ("category", "model_slug") if listing.page else ("type", "model")
        listed = [made for made in reversed(self.ledger) if max(made.listed, made.at) <= now]
        for made in sorted(listed, key=lambda made: -made.at):
            record = self.record(made)
            if not status or status == record["status"]:
                items.append(
                    {
                        **(record if listing.results else {"status": record["status"]}),
                        "id": self._listed_id(made),
                        kind: made.kind,
                        model: made.model,
                        "prompt": made.prompt,
                        "created_at": listing.stamp(made.at + listing.created_ahead),
                    }
                )
        return items

    def _file(self, name: str) -> Streamed:
        content = self.files.get(name, b"bytes of " + name.encode())
        if isinstance(content, Exception):
            raise content
        return Streamed([content], headers={"content-type": "image/webp", "content-length": str(len(content))})

    def _reply(self, answer: Answer) -> Reply:
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Reply):
            return answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        if isinstance(body, str):
            return Reply(status, {"content-type": "text/html"}, body.encode())
        return Reply(status, {"content-type": "application/json", **self._date()}, json.dumps(body).encode())

    def _date(self) -> dict[str, str]:
        date = self.date(self.server_now)
        return {} if date is None else {"date": date}


def _now(seconds: Seconds) -> float:
    return seconds() if callable(seconds) else seconds


# What the folders begin with.


@asynccontextmanager
async def a_shop() -> AsyncIterator[Service]:
    """A service that sells to any number of processes, and whose history shows so little that each has to be asked for."""
    yield Service(listing=Listing(results=False), apart=True)


@asynccontextmanager
async def a_service(latency: float = 0.05) -> AsyncIterator[Service]:
    """A service that is only asked about jobs, tells no time, and has no history until the test gives it a `Listing`."""
    yield Service(latency=latency, ends=_nothing_is_bought, date=_no_date, listing=Listing(fails=_no_history))


def _nothing_is_bought(_number: int, body: Mapping[str, Any]) -> str:
    raise AssertionError(f"Nothing was to be bought here, but {body} was.")


def _no_date(_now: float) -> None:
    return None


def _no_history(_number: int, _now: float) -> Answer:
    return UNKNOWN
