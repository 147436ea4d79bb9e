"""Hundreds of answers that no honest service gives, on each engine: a value or an error of ours, short, clean, in time.

Each is drawn from a seed, so that a failure names the answer that made it. Paid requests are among them: whatever
comes back, one POST leaves, and an answer that is not a plain refusal is unknown and never repeated.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from neuralbox import AsyncNeuralBox, NeuralBoxError, Polling, Timeout

from ..helpers import TIMES
from ..transport.servers import Conversation, Server

pytestmark = pytest.mark.uncovered

KEY = "nb_hostile_5f0c9a1e77"
ANSWERS = 480 * TIMES
SHARDS = 2  # one test each, so that the workers share them
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
Ask = Callable[[AsyncNeuralBox], Awaitable[Any]]

WORDS: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 7.0, 1e308, 10**40, "", " ", "completed", "failed", "pending", "\x1b[31mred\x1b[0m",
    f"Bearer {KEY}", "x" * 20_000, "\ud83d", "a\nb", "2026-11-29T10:00:00Z", "not a date", "../../etc/passwd",
    "http://127.0.0.1:1/a.png", "gen_1", [], {}, [[]], [None], {"id": None}, [{"id": 1}], {"items": {}},
)  # fmt: skip
NAMES = (
    "id", "status", "result_text", "result_url", "tokens_spent", "error", "message", "code", "items", "total", "pages",
    "page", "token_balance", "model_slug", "created_at", "progress", "eta_seconds", "usage", "detail", "retry_after",
)  # fmt: skip
STATUSES = (
    200,
    200,
    200,
    200,
    201,
    202,
    204,
    301,
    304,
    400,
    401,
    402,
    403,
    404,
    408,
    409,
    418,
    422,
    429,
    500,
    502,
    503,
    504,
    599,
    999,
)


def draw_json(rng: random.Random, depth: int = 0) -> Any:
    if depth > 2 or rng.random() < 0.2:
        return rng.choice(WORDS)
    if rng.random() < 0.2:
        return [draw_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(NAMES): draw_json(rng, depth + 1) for _ in range(rng.randrange(8))}


def draw_body(rng: random.Random) -> bytes:
    kind = rng.randrange(10)
    if kind < 6:
        return json.dumps(draw_json(rng)).encode()
    if kind == 6:
        return b"<html>" + b"a" * rng.randrange(5_000) + KEY.encode() + b"</html>"
    if kind == 7:
        return rng.randbytes(rng.randrange(3_000))
    if kind == 8:
        return b"[" * rng.randrange(2_000)
    whole = json.dumps(draw_json(rng)).encode()
    return whole[: rng.randrange(len(whole) + 1)]


def draw_answer(rng: random.Random) -> bytes:
    """Draw the bytes of one answer, most of them framed as HTTP wants it."""
    body, status = draw_body(rng), rng.choice(STATUSES)
    headers = [f"Content-Type: {rng.choice(['application/json', 'text/html', 'text/event-stream', 'x/y', ''])}"]
    if rng.random() < 0.1:
        headers.append(
            f"Retry-After: {rng.choice(['0', '-5', '1e99', 'soon', 'Sun, 29 Nov 1926 10:00:00 GMT', '9' * 400])}"
        )
    if rng.random() < 0.1:
        headers.append(f"X-RateLimit-Remaining-Hour: {rng.choice(['-1', 'x', '9' * 30, '1.5'])}")
    if rng.random() < 0.1:
        headers.append(f"Date: {rng.choice(['yesterday', 'Thu, 01 Jan 1970 00:00:00 GMT', '0'])}")
    framing = rng.random()
    if framing < 0.7:
        headers.append(f"Content-Length: {len(body)}")
    elif framing < 0.8:  # a lie, after which the connection ends
        headers += [f"Content-Length: {rng.choice([len(body) + 5, max(0, len(body) - 3), 'x', '-1'])}"]
    elif framing < 0.9:
        headers.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if rng.random() < 0.7 else b"zz\r\n" + body
    else:
        headers.append("Content-Encoding: gzip")
        body = gzip.compress(body) if rng.random() < 0.5 else body
        headers.append(f"Content-Length: {len(body)}")
    if rng.random() < 0.03:
        return rng.randbytes(rng.randrange(1, 200))
    head = f"HTTP/1.1 {status} Said\r\n" + "".join(f"{line}\r\n" for line in headers) + "Connection: close\r\n\r\n"
    return head.encode("latin-1") + body


async def text(nb: AsyncNeuralBox) -> None:
    await nb.text.create(model="gpt-5", prompt="Hi")


async def image(nb: AsyncNeuralBox) -> None:
    await nb.images.create(model="dall-e-3", prompt="A cup", wait_timeout=0)


async def stream(nb: AsyncNeuralBox) -> None:
    async with nb.text.stream(model="gpt-5", prompt="Hi") as pieces:
        async for _ in pieces:
            pass


async def page(nb: AsyncNeuralBox) -> None:
    assert len((await nb.history.list()).items) >= 0


PAID: tuple[Ask, ...] = (text, image, stream)
FREE: tuple[Ask, ...] = (
    page,
    lambda nb: nb.account.balance(),
    lambda nb: nb.account.me(),
    lambda nb: nb.account.stats(),
    lambda nb: nb.models.list(),
    lambda nb: nb.models.price("dall-e-3"),
    lambda nb: nb.generations.get(7),
    lambda nb: nb.job("gen_7").refresh(),
    lambda nb: nb.history.favorite(7),
)


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("engine", [None, "aiohttp"], ids=["httpcore2", "aiohttp"])
def test_whatever_is_answered_is_a_value_or_a_short_and_clean_error_of_ours(engine: str | None, shard: int) -> None:
    if engine == "aiohttp":
        pytest.importorskip("httpx_aiohttp")
    drawn = random.Random(0)

    def hang(conversation: Conversation) -> None:
        if conversation.read_request() is not None:
            conversation.send(draw_answer(drawn))

    async def main() -> None:
        with Server(hang) as server:
            client = AsyncNeuralBox(
                api_key=KEY,
                base_url=f"http://127.0.0.1:{server.port}",
                max_retries=0,
                submission="raise",
                timeout=Timeout(connect=5.0, read=5.0, write=5.0, generation=5.0),
                transport=engine,
                pace="off",
                polling=Polling(timeout=1.0),  # an answer may be a job that is under way
            )
            async with client as nb:
                for seed in range(shard, ANSWERS, SHARDS):
                    drawn.seed(seed)
                    before = len(server.requests)
                    ask = drawn.choice(PAID if seed % 2 else FREE)
                    try:
                        with anyio.fail_after(20):
                            await ask(nb)
                    except NeuralBoxError as error:
                        check(error, seed)
                    posts = [seen for seen in server.requests[before:] if seen.method == "POST"]
                    assert len(posts) <= 1, seed

    anyio.run(main)


def check(error: BaseException, seed: int) -> None:
    """Check what an error says, and what those it came from say."""
    seen: BaseException | None = error
    while seen is not None:
        for said in (str(seen), repr(seen)) if isinstance(seen, NeuralBoxError) else ():
            assert len(said) < 4_000, (seed, len(said))
            assert KEY not in said, seed
            assert CONTROL.search(said) is None, (seed, said)
        seen = seen.__cause__
