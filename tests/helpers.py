"""Doubles every folder of tests may use: virtual time, and a transport that answers from a script.

`VirtualTime`, the kit's, replaces clock, pauses and random numbers, on asyncio and on trio: a pause costs no real time, and of
several sleepers the one due first wakes first. `Scripted` stands in for the other side: it records what it was given and
plays one step for each attempt. `make_core` puts both under a real `Core`.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._api.request import Form
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import ClientOptions
from neuralbox._core.credentials import ApiKey, Credential
from neuralbox._core.exchange import Core
from neuralbox._errors import APITimeoutError, ConfigurationError, ConnectError, ProtocolError
from neuralbox._hooks import Hooks
from neuralbox._transport.base import Reply, StreamedReply, Timeouts
from neuralbox.testing import _time

KEY = "nb_live_planted-key"
TIMES = int(os.environ.get("NEURALBOX_TEST_TIMES", "1"))
"""So many times the random worlds that a run of the suite has; more of them for a night."""
START = _time.START
VirtualTime: TypeAlias = _time.VirtualTime

one_loop = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""For a test that takes long, while shorter ones of the same code run on both loops."""
Test = TypeVar("Test", bound=Callable[..., object])


def dear(test: Test) -> Test:
    """Mark a simulation that takes long and goes the ways of shorter ones: one loop has it, and coverage does not count it."""
    marked: Test = pytest.mark.uncovered(one_loop(test))
    return marked


def in_turn(cases: Iterable[Any]) -> list[Any]:
    """Give the loops cases in turn: each takes long, and what is decided is the same on both."""
    return [pytest.param(("asyncio", "trio")[at % 2], case, id=str(case)) for at, case in enumerate(cases)]


def hooks_telling(tell: Callable[[Any], object]) -> Hooks:
    """Hooks that tell one function of every event."""
    return Hooks(**{each.name: tell for each in fields(Hooks)})


# What the other side does.


class _Stall:
    def __repr__(self) -> str:
        return "STALL"


STALL = _Stall()
"""Answers nothing until the caller gives up."""


@dataclass(frozen=True)
class Unsent:
    """Happens before the first byte has left, so that `on_sent` is never called."""

    step: Exception | _Stall


@dataclass(frozen=True)
class Streamed:
    """A reply whose body comes in pieces; an exception among them breaks it off, `STALL` lets it hang."""

    pieces: Sequence[bytes | Exception | _Stall]
    status_code: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})


Play: TypeAlias = "Reply | Streamed | Exception | Unsent | _Stall"
Answerer: TypeAlias = "Callable[[Sent], Play | Awaitable[Play]]"
Step: TypeAlias = "Play | Answerer"


def reply(status_code: int = 200, body: object = None, **headers: str) -> Reply:
    """Build a reply; `body` is bytes as they are, or a value to be written as JSON; `_` in a header name is `-`."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status_code, httpx.Headers(lines), content)


def refusal(status_code: int, code: str, message: str = "No.", **headers: str) -> Reply:
    """Build an error reply in the service's own words."""
    return reply(status_code, {"error": code, "message": message, "details": {}}, **headers)


@dataclass(frozen=True)
class Sent:
    """What one attempt gave to the transport.

    Attributes:
        at: Virtual seconds since the start, when it was sent; -1 while it is only prepared.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    form: Form | None
    timeouts: Timeouts
    at: float = -1.0

    @property
    def path(self) -> str:
        """The path below the prefix."""
        return urlsplit(self.url).path.removeprefix("/api/v2")

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body, or None where there is none."""
        return json.loads(self.content) if self.content else None


class FakeTransport:
    """A transport without an other side: who inherits says in `_play` what becomes of an attempt.

    Attributes:
        closed: Whether it was closed and not opened again.
        open_streams: Streams whose block is not left yet.
    """

    closed = False
    open_streams = 0

    def prepare(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        content: bytes | None = None,
        form: Form | None = None,
    ) -> Sent:
        if self.closed:
            raise ConfigurationError("The client is closed.")
        return Sent(method, url, headers, content or b"", form, timeouts)

    async def send(self, prepared: Sent, *, max_bytes: int, on_sent: Callable[[], None] | None = None) -> Reply:
        played = await self._play(prepared, on_sent)
        if isinstance(played, Streamed):
            body = _Body(played)
            return Reply(played.status_code, body.headers, await body.read(max_bytes=max_bytes))
        if len(played.content) > max_bytes:
            raise ProtocolError("The answer is too long.", status_code=played.status_code)
        return played

    @asynccontextmanager
    async def stream(
        self, prepared: Sent, *, on_sent: Callable[[], None] | None = None, download: bool = False
    ) -> AsyncIterator[StreamedReply]:
        played = await self._play(prepared, on_sent)
        if isinstance(played, Reply):
            played = Streamed([played.content] if played.content else [], played.status_code, played.headers)
        self.open_streams += 1
        try:
            yield _Body(played)
        finally:
            self.open_streams -= 1

    async def aclose(self) -> None:
        self.closed = True

    def reopen(self) -> None:
        self.closed = False

    async def _play(self, sent: Sent, on_sent: Callable[[], None] | None) -> Reply | Streamed:
        raise NotImplementedError


class Scripted(FakeTransport):
    """A transport that plays a script.

    Args:
        script: One step for each attempt in order, or one function that answers them all. A step is a reply, an
            error, `STALL`, any of the last two as `Unsent`, or a function of what was sent that returns one of these.
        time: Dates what is sent.

    Attributes:
        sent: Every attempt, in order.
        prepared: Every request built.
        cancelled: Attempts that ended by cancellation.
    """

    def __init__(self, script: Iterable[Step] | Answerer, time: VirtualTime | None = None) -> None:
        self._answer: Answerer | None = script if callable(script) else None
        self._steps = [] if callable(script) else list(script)
        self._time = time or VirtualTime()
        self.sent: list[Sent] = []
        self.prepared: list[Sent] = []
        self.cancelled = 0

    @property
    def left(self) -> int:
        """Steps that were not played."""
        return len(self._steps)

    def prepare(self, method: str, url: str, *, headers: Mapping[str, str], **more: Any) -> Sent:
        made = super().prepare(method, url, headers=httpx.Headers(dict(headers)), **more)
        self.prepared.append(made)
        return made

    async def _play(self, sent: Sent, on_sent: Callable[[], None] | None) -> Reply | Streamed:
        sent = replace(sent, at=self._time.elapsed)
        self.sent.append(sent)
        if self._answer is None and not self._steps:
            raise AssertionError(f"The script is at its end, but {sent.method} {sent.path} was sent.")
        step: Any = self._answer or self._steps.pop(0)
        if callable(step):
            step = step(sent)
            if inspect.isawaitable(step):
                step = await step
        unsent = isinstance(step, Unsent)
        if isinstance(step, Unsent):
            step = step.step
        elif isinstance(step, ConnectError) or (
            isinstance(step, APITimeoutError) and step.phase in ("connect", "pool")
        ):
            unsent = True
        if on_sent is not None and not unsent:
            on_sent()
        try:
            await checkpoint()
            if step is STALL:
                await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        if isinstance(step, Exception):
            raise copy.copy(step)  # the core completes an error's message, and a step may be played twice
        assert isinstance(step, Reply | Streamed), f"{step!r} is not a step of a script."
        return step


class _Body:
    """A scripted reply while it is read."""

    def __init__(self, played: Streamed) -> None:
        self.status_code = played.status_code
        self.headers: Mapping[str, str] = httpx.Headers(dict(played.headers))
        self._pieces = played.pieces

    async def chunks(self, *, raw: bool = False) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await checkpoint()
            if isinstance(piece, Exception):
                raise copy.copy(piece)
            if isinstance(piece, _Stall):
                await anyio.sleep_forever()
            else:
                yield piece

    async def read(self, *, max_bytes: int) -> bytes:
        content = b"".join([piece async for piece in self.chunks()])
        if len(content) > max_bytes:
            raise ProtocolError("The answer is too long.", status_code=self.status_code)
        return content


@asynccontextmanager
async def cancelled_at_a_stall() -> AsyncIterator[anyio.CancelScope]:
    """Cancel the block when it has come to a `STALL`: after many turns of the event loop, on however busy a machine."""

    async def give_up() -> None:
        for _ in range(200):
            await checkpoint()
        scope.cancel()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(give_up)
            yield scope
            group.cancel_scope.cancel()


# Both under a real core.


class Bench(NamedTuple):
    """A core and what it stands on."""

    core: Core
    transport: Scripted
    time: VirtualTime

    @property
    def sent(self) -> list[Sent]:
        """Every attempt, in order."""
        return self.transport.sent

    @property
    def times(self) -> list[float]:
        """When each attempt was sent, in virtual seconds."""
        return [one.at for one in self.transport.sent]


def make_core(
    script: Iterable[Step] | Answerer,
    *,
    credential: Credential | None = None,
    time: VirtualTime | None = None,
    **options: Any,
) -> Bench:
    """Build a core over a script, in virtual time; `options` are those of `ClientOptions`."""
    time = time or VirtualTime()
    transport = Scripted(script, time)
    options.setdefault("base_url", "http://box.test")
    options.setdefault("draw_seed", False)  # the bodies are compared
    core = Core(transport, ClientOptions(**options), credential or ApiKey(KEY), time.time_source)
    return Bench(core, transport, time)


# A whole client over a function that stands in for the service.

Handler: TypeAlias = Callable[[httpx.Request], httpx.Response]


def make_client(handler: Handler, *, time: VirtualTime | None = None, **options: Any) -> AsyncNeuralBox:
    """Build a client in virtual time whose every request is answered by `handler`; nothing reaches a network."""

    class Client(AsyncNeuralBox):
        _clockwork = (time or VirtualTime()).time_source

    if "session" not in options:
        options.setdefault("api_key", KEY)
    options.setdefault("base_url", "http://box.test")
    return Client(transport=httpx.MockTransport(handler), **options)
