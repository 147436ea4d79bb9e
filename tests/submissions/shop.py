"""A service that sells: it takes orders, charges for them, lists them late, and loses answers as it is told.

Everything is in virtual time. `Shop.charged` is what the service took money for, whatever the client came to know;
`ends` says how each POST ends, in order.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from math import ceil, floor
from random import Random
from typing import Any, TypeAlias

from neuralbox._config import ClientOptions
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core, TimeSource
from neuralbox._errors import APITimeoutError, ConnectError, ConnectionLostError, NeuralBoxError
from neuralbox._transport import Reply
from neuralbox.testing import VirtualTime
from tests.helpers import Scripted, Sent, Streamed, refusal, reply

LOST = ConnectionLostError("The connection broke.")
SILENCE = APITimeoutError("No answer came.", phase="read")
PAGE = reply(502, b"<html>bad gateway</html>")

# How a POST may end: whether it is carried out, and what the client sees of it (None: the answer).
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
}
DOCUMENTED = tuple(end for end in ENDS if end not in ("402", "500 after"))


@dataclass
class Sold:
    """A generation the service made."""

    id: int
    kind: str
    body: Mapping[str, Any]
    created: float
    listed: float
    done: float

    @property
    def options(self) -> dict[str, Any]:
        return {**self.body.get("params", {}), **self.body}


KINDS = {"dall-e-3": "image", "flux-1.1-pro": "image", "gpt-5": "text", "kling-v2.1": "video", "midjourney-v6": "image"}


class Shop(Scripted):
    """The transport of a client, and the service behind it.

    Attributes:
        ends: Names the end of each POST; called with its number from 0 and its body.
        latency: Seconds an exchange takes; half of them pass before the order is carried out.
        lag: Seconds until a generation is listed.
        ahead: Seconds by which the service's clock is ahead of the client's.
        page: Whether items have the names of the page dialect.
        ids: `int`, `gen`, or `mixed`: integers in answers and `gen_…` in the history, for the same generation.
        created_ahead: Seconds by which `created_at` is ahead of the service's own clock.
        stamp: Writes the time of creation; None leaves it out.
        seeds: What the answers show of a seed that was sent.
        refuses_seed: Whether a seed is refused, with 422.
        shown: Turns an item into what the history shows of it; None hides it.
        history: Answers a page of the history instead, called with its number; None leaves it alone.
        events: The pieces of a stream.
        forgets: So many of the next answered orders are not carried out after all.
        sold: What was made, oldest first.
        foreign: Items of other programs, as `Sold` with negative ids.
        posts: Bodies of all that was posted.
        lost: Prompts of which an answer never came.
        pages: When a page of the history was asked for, and which.
        details: Ids that were asked for.
    """

    def __init__(self, time: VirtualTime, *, seed: int = 0) -> None:
        super().__init__([], time)
        self.time = time
        self.dice = Random(seed)
        self.ends: Callable[[int, Mapping[str, Any]], str] = lambda number, body: "answered"
        self.latency: Callable[[], float] = lambda: 0.1
        self.lag: Callable[[], float] = lambda: 0.0
        self.ahead = 0.0
        self.page = False
        self.ids = "int"
        self.created_ahead = 0.0
        self.stamp: Callable[[float], str | None] = _iso
        self.seeds: Callable[[Any], Any] = lambda seed: seed
        self.refuses_seed = False
        self.dated = True
        self.page_size: int | None = None
        self.shown: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda item: item
        self.history: Callable[[int], Reply | NeuralBoxError | None] = lambda number: None
        self.detail: Callable[[Sold], Reply | NeuralBoxError | None] = lambda sold: None
        self.events: Callable[[Sold], Sequence[Any]] = _events
        self.forgets = 0
        self.sold: list[Sold] = []
        self.posts: list[Mapping[str, Any]] = []
        self.lost: set[str | None] = set()
        self.pages: list[tuple[float, int]] = []
        self.details: list[int] = []

    @property
    def charged(self) -> list[int]:
        return [one.id for one in self.sold if one.id > 0]

    @property
    def server_now(self) -> float:
        return self.time.now() + self.ahead

    def end_with(self, *ends: str) -> None:
        """End the first POSTs like this, and all that follow with an answer."""
        self.ends = lambda number, body: ends[number] if number < len(ends) else "answered"

    def make(self, body: Mapping[str, Any], *, foreign: bool = False, after: float = 0.0) -> Sold:
        kind = KINDS.get(str(body.get("model")), "text")
        number = 18_000 + len(self.sold)
        seconds = 60.0 if kind == "video" else 0.0
        now = self.server_now + after
        one = Sold(-number if foreign else number, kind, body, now, now + self.lag(), now + seconds)
        self.sold.append(one)
        return one

    # Answering.

    async def _play(self, prepared: Sent, on_sent: Callable[[], None] | None) -> Reply | Streamed:
        sent = Sent(**{**vars(prepared), "at": self.time.elapsed})
        self.sent.append(sent)
        if sent.method == "POST":
            return await self._order(sent, on_sent)
        if on_sent is not None:
            on_sent()
        await self.time.sleep(self.latency())
        answer = self._listing(sent) if sent.path == "/user/history" else self._one(sent)
        if isinstance(answer, NeuralBoxError):
            raise answer
        return answer

    async def _order(self, sent: Sent, on_sent: Callable[[], None] | None) -> Reply | Streamed:
        fields = dict(sent.form.fields) if sent.form else {}
        body = sent.json if sent.form is None else {**fields, "prompt": sent.form.files[0].file_name}
        number = len(self.posts)
        self.posts.append(body)
        if self.refuses_seed and ("seed" in body or "seed" in body.get("params", ())):
            return refusal(422, "validation_error", message="`seed` is not known to this model")
        happens, seen = ENDS[self.ends(number, body)]
        if seen is not None:
            self.lost.add(prompt_of(body))
        if on_sent is not None and not isinstance(seen, ConnectError):
            on_sent()
        seconds = self.latency()
        await self.time.sleep(seconds / 2)
        made = self.make(body) if happens else None
        await self.time.sleep(seconds / 2)
        if isinstance(seen, NeuralBoxError):
            raise (
                type(seen)(seen.message, phase="read")
                if isinstance(seen, APITimeoutError)
                else type(seen)(seen.message)
            )
        if seen is not None:
            return Reply(seen.status_code, {**seen.headers, **self._date()}, seen.content)
        assert made is not None
        if body.get("stream"):
            pieces = self.events(made)
            if self.forgets:
                self.forgets -= 1
                self.sold.remove(made)
            return Streamed(pieces, headers={"content-type": "text/event-stream", **self._date()})
        told = self._told(made)
        return self._json({**told, "id": self.answered_id(made)} if "id" in told else told)

    def _one(self, sent: Sent) -> Reply | NeuralBoxError:
        if sent.path == "/user/me":  # as many that leave at once ask first
            return self._json({"id": 1})
        wanted = sent.path.rpartition("/")[2]
        one = next((one for one in self.sold if wanted in (str(one.id), self.listed_id(one))), None)
        self.details.append(0 if one is None else one.id)
        if one is None:
            return refusal(404, "not_found")
        return self.detail(one) or self._json({**self._told(one), "id": one.id if wanted == str(one.id) else wanted})

    def answered_id(self, one: Sold) -> int | str:
        return f"gen_{one.id}" if self.ids == "gen" else one.id

    def listed_id(self, one: Sold) -> int | str:
        return one.id if self.ids == "int" else f"gen_{one.id}"

    def _listing(self, sent: Sent) -> Reply | NeuralBoxError:
        number, limit = int(sent.query["page"]), self.page_size or int(sent.query["limit"])
        self.pages.append((self.time.elapsed, number))
        instead = self.history(number)
        if instead is not None:
            return instead
        listed = [
            one for one in reversed(self.sold) if one.listed <= self.server_now and one.created <= self.server_now
        ]
        listed.sort(key=lambda one: -one.created)
        items = [item for one in listed if (item := self.shown(self._item(one))) is not None]
        shown = items[(number - 1) * limit : number * limit]
        counts = {} if self.page else {"pages": ceil(len(items) / limit)}
        return self._json({"items": shown, "total": len(items), "page": number, "limit": limit, **counts})

    def _item(self, one: Sold) -> dict[str, Any]:
        status = "completed" if one.done <= self.server_now else "pending"
        names = ("category", "model_slug") if self.page else ("type", "model")
        return {
            "id": self.listed_id(one),
            names[0]: one.kind,
            names[1]: _answered(one),
            "status": status,
            "prompt": _prompt(one),
            "created_at": self.stamp(one.created + self.created_ahead),
        }

    def _told(self, one: Sold) -> dict[str, Any]:
        if one.done > self.server_now:
            return {"id": one.id, "status": "pending", "model_slug": _answered(one)}
        facts: dict[str, Any] = {"id": one.id, "status": "completed", "model_slug": _answered(one), "tokens_spent": 2}
        if one.kind == "text":
            return {**facts, "result_text": f"An answer to {_prompt(one)}"}
        width, _, height = str(one.options.get("size", "1024x1024")).partition("x")
        pixels = {"width": int(width), "height": int(height)} if height else {}
        return {
            **facts,
            "result_url": f"http://box.test/{one.id}",
            "result_metadata": {**pixels, "duration": one.options.get("duration")},
            "seed": self.seeds(one.options.get("seed", abs(one.id))),
        }

    def _json(self, value: object) -> Reply:
        return Reply(200, self._date(), json.dumps(value).encode())

    def _date(self) -> dict[str, str]:
        return {"date": formatdate(floor(self.server_now), usegmt=True)} if self.dated else {}

    # The client.

    def core(self, **options: Any) -> Core:
        options.setdefault("base_url", "http://box.test")
        options.setdefault("draw_seed", False)
        time = self.time
        time_source = TimeSource(time.clock, time.now, lambda: 0.5, time.sleep, time.wait_until)
        return Core(self, ClientOptions(**options), ApiKey("nb_test"), time_source)

    __hash__ = object.__hash__


def _events(one: Sold) -> list[bytes | Exception | Any]:
    text = f"An answer to {_prompt(one)}"
    lines: Iterable[object] = (
        {"type": "generation_start", "id": one.id, "model": "gpt-5"},
        {"type": "content_delta", "delta": text},
        {"type": "generation_end", "id": one.id, "tokens_used": 2},
    )
    return [b"data: " + json.dumps(line).encode() + b"\n\n" for line in lines]


def _prompt(one: Sold) -> str | None:
    return prompt_of(one.body)


def prompt_of(body: Mapping[str, Any]) -> str | None:
    options = {**body.get("params", {}), **body}
    said = options.get("prompt") or options.get("text")
    if said is None and options.get("messages"):
        said = options["messages"][-1]["content"]
    return None if said is None else str(said)


def _answered(one: Sold) -> str:
    return str(one.body.get("model", "")).replace("midjourney-v6", "midjourney")


def _iso(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(floor(seconds), UTC).isoformat()


@asynccontextmanager
async def a_shop(*, seed: int = 0) -> AsyncIterator[Shop]:
    """A shop with a clock of its own."""
    yield Shop(VirtualTime(), seed=seed)
