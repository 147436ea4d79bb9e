"""A service for batches in virtual time: it takes paid requests, keeps a ledger and a history, and tells prices.

What it does with each POST is said by the test: `does(number)` returns how the request with that number (from 1, in the
order of their arrival) ends. The ledger is the truth: what was charged, for which prompt.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from anyio.lowlevel import checkpoint

from neuralbox._batch.resource import Batches
from neuralbox._config import ClientOptions, Polling
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core
from neuralbox._errors import ConnectionLostError
from neuralbox._transport.base import Reply

from ..helpers import KEY, VirtualTime, refusal, reply

PENDING = frozenset({"video", "audio"})
PRICES = {"text": 2, "image": 4, "video": 26, "audio": 10, "tts": 3, "tool": 5, "stt": 2}


@dataclass
class Made:
    """One generation of the ledger."""

    id: int
    prompt: str
    model: str
    at: float
    seconds: float
    tokens: int
    fails: bool = False
    hidden: bool = False


@dataclass
class World:
    """The service, and the transport to it.

    Attributes:
        time: The clock.
        seconds: How long a job takes; 0 answers at once.
        does: What happens to the POST with this number: "" for the ordinary, "lost" for accepted and the answer lost,
            "unsent" for lost before it was accepted, "failed" for a job that fails, a `Reply` for a refusal.
        price: What `calculate-price` says, and None for 404.
        charged: What is charged; as `price` says where it is None.
        latency: Seconds an answer takes.
    """

    time: VirtualTime = field(default_factory=VirtualTime)
    seconds: float = 20.0
    does: Callable[[int], str | Reply] = lambda number: ""
    price: int | None = 4
    charged: int | None = None
    latency: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    ledger: list[Made] = field(default_factory=list)
    posts: int = 0
    looks: int = 0
    prices_asked: int = 0
    under_way: int = 0
    most_under_way: int = 0
    open_streams: int = 0
    files: dict[str, bytes | Exception] = field(default_factory=dict)
    closed: bool = False

    __hash__ = object.__hash__

    @property
    def charges(self) -> Counter[str]:
        """How often each prompt was charged."""
        return Counter(made.prompt for made in self.ledger if not made.fails)

    def core(self, **options: Any) -> Core:
        options.setdefault("base_url", "http://box.test")
        options.setdefault("polling", Polling(min_interval=1.0, max_interval=5.0))
        return Core(self, ClientOptions(**options), ApiKey(KEY), self.time.time_source)

    # The transport.

    def prepare(self, method: str, url: str, *, content: bytes | None = None, form: Any = None, **_: Any) -> Any:
        return method, url, content, form

    async def send(self, prepared: Any, *, on_sent: Callable[[], None] | None = None, **_: Any) -> Reply:
        method, url, content, form = prepared
        path = urlsplit(url).path.removeprefix("/api/v2")
        if method == "POST" and path in ("/generate", "/stt"):
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                if on_sent is not None:
                    on_sent()
                return await self._generate(json.loads(content) if content else dict(form.fields), stt=form is not None)
            finally:
                self.under_way -= 1
        await checkpoint()
        if path.endswith("/calculate-price"):
            self.prices_asked += 1
            return refusal(404, "not_found") if self.price is None else reply(200, {"token_cost": self.price})
        if path == "/user/me":
            return reply(200, {"id": 1})
        if path == "/user/history":
            return self._page({name: value[0] for name, value in parse_qs(urlsplit(url).query).items()})
        self.looks += 1
        found = next((made for made in self.ledger if str(made.id) == path.rpartition("/")[2]), None)
        return refusal(404, "not_found") if found is None else reply(200, self.record(found))

    async def _generate(self, body: Mapping[str, Any], *, stt: bool) -> Reply:
        self.posts += 1
        fate = self.does(self.posts)
        await checkpoint()
        if isinstance(fate, Reply):
            return fate
        if fate == "unsent":
            raise ConnectionLostError("cut")
        options = {**body.get("params", {}), **body}
        prompt = str(options.get("prompt") or options.get("text") or ("audio" if stt else ""))
        model = str(options.get("model"))
        pending = "kling" in model or fate == "slow"
        made = Made(
            18_000 + len(self.ledger),
            prompt,
            model,
            self.time.now(),
            self.seconds if pending else 0.0,
            self.price or 0 if self.charged is None else self.charged,
            fails=fate == "failed",
        )
        self.ledger.append(made)
        await checkpoint()
        if self.latency:
            await self.time.sleep(self.latency)
        if fate == "lost":
            raise ConnectionLostError("cut")
        return reply(200, self.record(made), date=formatdate(self.time.now(), usegmt=True), **dict(self.headers))

    def record(self, made: Made) -> dict[str, Any]:
        done = self.time.now() >= made.at + made.seconds
        record: dict[str, Any] = {"id": made.id, "status": "pending", "model_slug": made.model, "tokens_spent": 0}
        if done and made.fails:
            record |= {"status": "failed", "error": "content policy violation"}
        elif done:
            record |= {"status": "completed", "tokens_spent": made.tokens, "created_at": _iso(made.at)}
            if "gpt" in made.model or made.model == "whisper":
                record |= {"result_text": f"about {made.prompt}"}
            else:
                record |= {"result_url": f"http://files.test/{made.id}.webp"}
        return record

    def _page(self, query: Mapping[str, str]) -> Reply:
        page, limit, status = int(query.get("page", 1)), int(query.get("limit", 20)), query.get("status")
        items = []
        for made in reversed(self.ledger):
            record = self.record(made)
            if not made.hidden and (status is None or record["status"] == status):
                kind = "video" if "kling" in made.model else "text" if "gpt" in made.model else "image"
                items.append({**record, "prompt": made.prompt, "type": kind, "created_at": _iso(made.at)})
        shown = items[(page - 1) * limit : page * limit]
        body = {"items": shown, "total": len(items), "page": page, "pages": max(1, -(-len(items) // limit))}
        return reply(200, body, date=formatdate(self.time.now(), usegmt=True))

    @asynccontextmanager
    async def stream(self, prepared: Any, **_: Any) -> AsyncIterator[Any]:
        self.open_streams += 1
        try:
            await checkpoint()
            name = prepared[1].rpartition("/")[2]
            content: bytes | Exception = self.files[name] if name in self.files else b"bytes of " + name.encode()
            if isinstance(content, Exception):
                raise content
            yield File(content)
        finally:
            self.open_streams -= 1

    async def aclose(self) -> None:
        self.closed = True

    def reopen(self) -> None:
        self.closed = False


class File:
    """A file of the storage while it is read."""

    def __init__(self, content: bytes) -> None:
        self.status_code = 200
        self.headers = httpx.Headers({"content-type": "image/webp", "content-length": str(len(content))})
        self._content = content

    async def chunks(self, *, raw: bool = False) -> AsyncIterator[bytes]:
        await checkpoint()
        yield self._content

    async def read(self, *, max_bytes: int) -> bytes:
        return self._content


def _iso(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def batches(world: World, **options: Any) -> Batches:
    return Batches(world.core(**options))
