"""What is charged, delivered and raised when a tenth of the submissions meets a fault, by client?

Workload: so many pictures, each wanted once, 32 at a time, by each client as its README shows, with its own retries; only
the limit of an answer is set, to 2 s for all. The service is the sandbox on a real socket with an account for each
run; each POST, a repeated one too, is struck with a probability of 10 %. Peers that speak another API meet the same
service and the same faults behind a translation of requests and answers (`TranslatingSandbox`).

Units: charges in the service's ledger, results in the caller's hands (different ones), exceptions the caller saw, and
requests of any kind. Bound: as many charges and results as were wanted, no exception. The clock of the service and of
neuralbox runs 100 times as fast, so that a listing settles in no time; peers have no waits but their back-off, which is
real.

    python -m benchmarks.bench_faults [--full] [--seed 1] [--only neuralbox,openai] [--markdown]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from starlette.applications import Starlette

from benchmarks.measure import Row, Settings, table, without_proxies
from neuralbox import AsyncGeminiGen, AsyncNeuralBox, Polling
from neuralbox.sandbox import Sandbox, serve
from neuralbox.testing import FastTime, using

FAULTS: Final = (
    "drop-after-accept",
    "reset-after-accept",
    "cut-answer",
    "error-500-after-accept",
    "error-502-after-accept",
    "error-504-after-accept",
    "hang",
    "drop-before-accept",
)
RATE: Final = 0.1
PACE: Final = 100.0
TIMEOUT: Final = 2.0  # real seconds: the kernel's, not the fast clock's
GIVEN_UP: Final = 30.0
"""Real seconds after which the benchmark gives up a call for its caller: replicate's `create` has no limit of its own."""
AT_ONCE: Final = 32
PATIENT: Final = Polling(timeout=6_000.0)
"""A minute on the fast clock: the service draws each picture on this machine, which takes longer than the default's six
seconds where other programs run."""
MODEL: Final = "dall-e-3"
ROUTE: Final = "POST /generate"
GEMINI_MODEL: Final = "nano-banana-pro"
GEMINI_ROUTE: Final = "POST /generate_image"

Buy: TypeAlias = Callable[[str], Awaitable[object]]
"""Buys the picture of a prompt and returns what tells it from others."""


# The service, in the words of each client.


def _openai(made: dict[str, Any]) -> dict[str, Any]:
    return {"created": 1, "data": [{"url": made["result_url"], "revised_prompt": str(made["id"])}]}


def _replicate(made: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(made["id"]),
        "model": "owner/model",
        "version": "hidden",
        "status": "succeeded",
        "input": {},
        "output": made["result_url"],
        "logs": "",
        "error": None,
        "metrics": {},
        "created_at": made["created_at"],
        "urls": {"get": "/", "cancel": "/"},
    }


def _runway(made: dict[str, Any]) -> dict[str, Any]:
    return {"id": str(made["id"])}


def _fal(made: dict[str, Any]) -> dict[str, Any]:
    return {"status": "IN_QUEUE", "request_id": str(made["id"])} | dict.fromkeys(
        ("response_url", "status_url", "cancel_url"), "http://127.0.0.1/"
    )


DIALECTS: Final = MappingProxyType(
    {
        "/v1/images/generations": _openai,
        "/v1/predictions": _replicate,
        "/v1/text_to_image": _runway,
        "/fal/image": _fal,
    }
)


def _prompt_in(body: Any) -> str:
    """Find the prompt: each client puts it elsewhere."""
    if isinstance(body, dict):
        for name in ("prompt", "promptText", "prompt_text"):
            if isinstance(body.get(name), str):
                return str(body[name])
        return next((found for value in body.values() if (found := _prompt_in(value))), "")
    return ""


class TranslatingSandbox(Sandbox):
    """The sandbox, which also takes the requests of other APIs and answers in their words."""

    @cached_property
    def app(self) -> Starlette:
        """The application, with a translator in front."""
        app = super().app
        app.add_middleware(_translating)
        return app


def _translating(inner: Any) -> Any:
    async def translated(scope: Any, receive: Any, send: Any) -> None:
        say = DIALECTS.get(scope.get("path", ""))
        if say is None:
            await inner(scope, receive, send)
            return
        body = bytearray()
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        account = scope["path"].replace("/", "_")
        order = json.dumps({"model": MODEL, "prompt": _prompt_in(json.loads(body))}).encode()
        headers = [(b"authorization", f"Bearer nb_{account}".encode()), (b"content-type", b"application/json")]
        scope = {**scope, "path": "/api/v2/generate", "raw_path": b"/api/v2/generate", "headers": headers}
        given = False

        async def hand_over() -> Any:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": order, "more_body": False}

        start: Any = None

        async def answer(event: Any) -> None:
            nonlocal start
            if event["type"] == "http.response.start":
                start = event
                return
            if start is not None:
                text = event.get("body", b"")
                if start["status"] < 300 and not event.get("more_body"):
                    text = json.dumps(say(json.loads(text))).encode()
                    kept = [pair for pair in start["headers"] if pair[0] != b"content-length"]
                    start["headers"] = [*kept, (b"content-length", b"%d" % len(text))]
                await send(start)
                start, event = None, {**event, "body": text}
            await send(event)

        await inner(scope, hand_over, answer)

    return translated


# The clients. The peers are no dependencies, so the type checkers must not look for them.


@asynccontextmanager
async def neuralbox_single(url: str) -> AsyncIterator[Buy]:
    async with AsyncNeuralBox(api_key=f"nb_{uuid.uuid4().hex}", base_url=url, timeout=TIMEOUT) as nb:

        async def buy(prompt: str) -> object:
            return (await nb.images.create(model=MODEL, prompt=prompt)).id

        yield buy


@asynccontextmanager
async def geminigen_single(url: str) -> AsyncIterator[Buy]:
    async with AsyncGeminiGen(api_key=f"geminiai-{uuid.uuid4().hex}", base_url=url, timeout=TIMEOUT) as gg:

        async def buy(prompt: str) -> object:
            return (await gg.images.create(model=GEMINI_MODEL, prompt=prompt)).id

        yield buy


@asynccontextmanager
async def openai(url: str) -> AsyncIterator[Buy]:
    async with import_module("openai").AsyncOpenAI(api_key="sk", base_url=f"{url}/v1", timeout=TIMEOUT) as client:

        async def buy(prompt: str) -> object:
            return (await client.images.generate(model=MODEL, prompt=prompt)).data[0].url

        yield buy


@asynccontextmanager
async def replicate(url: str) -> AsyncIterator[Buy]:
    client = import_module("replicate").Client(api_token="key", base_url=url, timeout=TIMEOUT)

    async def buy(prompt: str) -> object:
        return (await client.predictions.async_create(version="0" * 64, input={"prompt": prompt})).id

    yield buy
    await client._async_client.aclose()  # it has no way to be closed by its user


@asynccontextmanager
async def runway(url: str) -> AsyncIterator[Buy]:
    async with import_module("runwayml").AsyncRunwayML(api_key="key", base_url=url, timeout=TIMEOUT) as client:

        async def buy(prompt: str) -> object:
            return (await client.text_to_image.create(model="gen4_image", prompt_text=prompt, ratio="1024:1024")).id

        yield buy


@asynccontextmanager
async def fal(url: str) -> AsyncIterator[Buy]:
    os.environ["FAL_QUEUE_RUN_HOST"] = url.removeprefix("http://")  # read when it is imported
    inner: Any = import_module("fal_client.client")
    inner.QUEUE_URL_FORMAT = f"{url}/"  # it knows https only
    client = inner.AsyncClient(key="key", default_timeout=TIMEOUT)

    async def buy(prompt: str) -> object:
        return (await client.submit("fal/image", arguments={"prompt": prompt})).request_id

    yield buy
    await (await client._client).aclose()  # it has no way to be closed by its user


@asynccontextmanager
async def httpx_loop(url: str) -> AsyncIterator[Buy]:
    headers = {"authorization": f"Bearer nb_{uuid.uuid4().hex}"}
    async with import_module("httpx").AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT) as client:

        async def buy(prompt: str) -> object:
            reply = await client.post("/api/v2/generate", json={"model": MODEL, "prompt": prompt})
            reply.raise_for_status()
            return reply.json()["id"]

        yield buy


@asynccontextmanager
async def aiohttp_loop(url: str) -> AsyncIterator[Buy]:
    aiohttp: Any = import_module("aiohttp")
    headers = {"authorization": f"Bearer nb_{uuid.uuid4().hex}"}
    timeout = aiohttp.ClientTimeout(sock_read=TIMEOUT)
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout, raise_for_status=True) as session:

        async def buy(prompt: str) -> object:
            async with session.post("/api/v2/generate", json={"model": MODEL, "prompt": prompt}) as reply:
                return (await reply.json())["id"]

        yield buy


BATCH: Final = "neuralbox, nb.batch"
GEMINI: Final = "neuralbox, GeminiGen"
GEMINI_BATCH: Final = "neuralbox, gg.batch"
CLIENTS: Final = MappingProxyType(
    {
        "neuralbox": ("neuralbox", neuralbox_single),
        BATCH: ("neuralbox", None),
        GEMINI: ("neuralbox", geminigen_single),
        GEMINI_BATCH: ("neuralbox", None),
        "openai": ("openai", openai),
        "runwayml": ("runwayml", runway),
        "fal-client": ("fal_client", fal),
        "replicate": ("replicate", replicate),
        "httpx by hand": ("httpx", httpx_loop),
        "aiohttp by hand": ("aiohttp", aiohttp_loop),
    }
)
OURS: Final = ("neuralbox", BATCH, GEMINI, GEMINI_BATCH)


# One run.


@dataclass(frozen=True, slots=True)
class Came:
    """What one run came to.

    Attributes:
        charges: In the service's ledger.
        twice: Prompts that were charged more than once.
        results: Different ones that were handed to the caller.
        exceptions: Seen by the caller.
        posts: Submissions that arrived.
    """

    charges: int
    twice: int
    results: int
    exceptions: int
    posts: int


async def bought(name: str, url: str, count: int) -> tuple[set[object], int]:
    """Let a client buy so many; the results, and how many exceptions its caller saw."""
    results: set[object] = set()
    exceptions = 0
    prompts = [f"Fox {number}" for number in range(count)]
    _, opened = CLIENTS[name]
    if opened is None:
        client: AsyncNeuralBox | AsyncGeminiGen
        if name == BATCH:
            model, client = (
                MODEL,
                AsyncNeuralBox(api_key=f"nb_{uuid.uuid4().hex}", base_url=url, timeout=TIMEOUT, polling=PATIENT),
            )
        else:
            key = f"geminiai-{uuid.uuid4().hex}"
            model, client = GEMINI_MODEL, AsyncGeminiGen(api_key=key, base_url=url, timeout=TIMEOUT, polling=PATIENT)
        requests = [{"kind": "image", "model": model, "prompt": prompt} for prompt in prompts]
        async with client, client.batch(requests, max_sending=AT_ONCE) as run:
            async for outcome in run:
                exceptions += outcome.error is not None
                if outcome.generation is not None:
                    results.add(outcome.generation.id)
        return results, exceptions
    slots = asyncio.Semaphore(AT_ONCE)
    async with opened(url) as buy:

        async def one(prompt: str) -> None:
            nonlocal exceptions
            async with slots:
                try:
                    async with asyncio.timeout(GIVEN_UP):
                        results.add(await buy(prompt))
                except Exception:  # noqa: BLE001 - whatever it is, it is counted
                    exceptions += 1

        await asyncio.gather(*map(one, prompts))
    return results, exceptions


@contextmanager
def translated(fault: str, seed: int, route: str = ROUTE) -> Iterator[tuple[TranslatingSandbox, str]]:
    """Serve one with this fault, in fast time."""
    fast = FastTime(PACE)
    faults = {fault if "@" in fault else f"{fault}@{route}": RATE}
    with using(fast), serve(TranslatingSandbox(clock=fast.now, balance=10_000_000, seed=seed, faults=faults)) as server:
        yield server.sandbox, server.url  # type: ignore[misc]  # the one that was passed


def measured(name: str, fault: str, count: int, seed: int) -> Came:
    """Let one client meet one fault."""
    route = GEMINI_ROUTE if name in (GEMINI, GEMINI_BATCH) else ROUTE
    with translated(fault, seed, route) as (sandbox, url):
        results, exceptions = asyncio.run(bought(name, url, count))
        ledger = sandbox.ledger
        prompts = {one.id: one.prompt for one in ledger.generations.values()}
        charged = [prompts[charge.generation] for charge in ledger.charges]
        return Came(
            charges=len(charged),
            twice=len(charged) - len(set(charged)),
            results=len(results),
            exceptions=exceptions,
            posts=ledger.requests_by_route[route],
        )


def measured_all(names: list[str], count: int, seed: int) -> dict[tuple[str, str], Came]:
    """Let each client that is installed meet each fault."""
    found = {}
    for name in names:
        if find_spec(CLIENTS[name][0]) is None:
            continue
        for fault in FAULTS:
            found[name, fault] = came = measured(name, fault, count, seed)
            print(f"{name}, {fault}: {came}", file=sys.stderr)
    return found


def rows_of(found: dict[tuple[str, str], Came], count: int) -> list[Row]:
    """Say what they came to. The bounds are of ours: nothing charged twice, nothing lost, nothing raised."""
    rows = []
    for (name, fault), came in found.items():
        wrong = came.twice + abs(came.charges - count) + (count - came.results) + came.exceptions
        note = f"{came.charges} charges, {came.results} results, {came.exceptions} exceptions, {came.posts} POSTs"
        what = f"{count} pictures, {RATE:.0%} {fault}, {name}: charges, results or exceptions astray"
        rows.append(Row(what, wrong, "", bound=0 if name in OURS else None, note=note))
    return rows


def markdown(found: dict[tuple[str, str], Came]) -> str:
    """Return the table of the README: charges / results / exceptions."""
    names = [*dict.fromkeys(name for name, _ in found)]
    lines = [f"| fault on 10 % of the POSTs | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
    for fault in FAULTS:
        came = [found[name, fault] for name in names]
        lines.append(f"| {fault} | {' | '.join(f'{c.charges} / {c.results} / {c.exceptions}' for c in came)} |")
    return "\n".join(lines)


def run(settings: Settings) -> list[Row]:
    """Measure the clients that are installed; in the small version ours alone."""
    count = settings.pick(20, 300)
    return rows_of(measured_all([*CLIENTS] if settings.full else [*OURS], count, settings.seed), count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="300 pictures and all clients; takes minutes")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--only", help="names, or parts of them, with commas between")
    parser.add_argument("--markdown", action="store_true", help="print the table of the README")
    parser.add_argument("--json", action="store_true", help="rows as JSON, for benchmarks.run")
    asked = parser.parse_args()
    without_proxies()
    settings = Settings(asked.full, asked.seed)
    if asked.only:
        names = [name for name in CLIENTS if any(part.strip() in name for part in asked.only.split(","))]
    else:
        names = [*CLIENTS] if asked.full else [*OURS]
    count = settings.pick(20, 300)
    found = measured_all(names, count, settings.seed)
    rows = rows_of(found, count)
    if asked.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print(markdown(found) if asked.markdown else table(rows))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
