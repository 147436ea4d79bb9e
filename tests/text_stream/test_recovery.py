"""A stream whose start was lost: found in the history and read to its end, begun again, or told as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from neuralbox._api.stream_events import ContentDelta, GenerationEnd, GenerationStart
from neuralbox._core.exchange import Core
from neuralbox._errors import (
    ConfigurationError,
    InsufficientTokensError,
    NeuralBoxError,
    ProviderError,
    StreamInterruptedError,
    SubmissionUnknownError,
)
from neuralbox._resources.text import Text
from neuralbox._submissions.reconcile import reconcile
from neuralbox._submissions.registry import registry_of
from neuralbox._types import JobRef
from tests.helpers import STALL

from ..service import LOST, Made, Service, a_shop

pytestmark = pytest.mark.anyio

ANSWER = "An answer to Greet me"


def begins(shop: Service, *bodies: Sequence[Any]) -> None:
    """Answer the first streams with these pieces; the later ones run to their end."""
    left = list(bodies)
    whole = shop.events

    def events(one: Made) -> Sequence[Any]:
        return left.pop(0) if left else whole(one)

    shop.events = events


async def greet(core: Core, told: list[JobRef] | None = None) -> list[str]:
    on_accepted = None if told is None else told.append
    async with Text(core).stream(model="gpt-5", prompt="Greet me", on_accepted=on_accepted) as stream:
        pieces = [piece async for piece in stream]
        assert stream.result.text == stream.text == "".join(pieces)
        assert stream.job is not None
        return pieces


async def broken(core: Core) -> NeuralBoxError:
    with pytest.raises(NeuralBoxError) as caught:
        await greet(core)
    return caught.value


@pytest.mark.parametrize("end", ["dropped after", "a proxy's 502 after", "silence", "500 after"])
async def test_a_stream_whose_answer_never_came_is_found_and_read(end: str) -> None:
    told: list[JobRef] = []
    async with a_shop() as shop:
        shop.end_with(end)
        core = shop.core()
        assert await greet(core, told) == [ANSWER]
        assert len(shop.posts) == 1
        assert told == [JobRef(18_000, "text", "gpt-5")]
        assert registry_of(core).unresolved == ()
        assert shop.open_streams == 0


@pytest.mark.parametrize("body", [[LOST], [], [b": hello\n\n", LOST], [b'{"id": 18'], [b"<html>\n\n"]])
async def test_a_stream_that_broke_before_its_id_is_found_and_read(body: Sequence[Any]) -> None:
    told: list[JobRef] = []
    async with a_shop() as shop:
        begins(shop, body)
        assert await greet(shop.core(), told) == [ANSWER]
        assert len(shop.posts) == 1
        assert [ref.id for ref in told] == [18_000]


async def test_its_events_are_those_of_a_whole_answer() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        async with Text(shop.core()).stream(model="gpt-5", prompt="Greet me") as stream:
            events = [event async for event in stream.events()]
        assert events == [GenerationStart(18_000, "gpt-5"), ContentDelta(ANSWER), GenerationEnd(18_000, 2)]


@pytest.mark.parametrize("how", ["its answer", "its body"])
async def test_a_stream_that_was_never_accepted_is_begun_again(how: str) -> None:
    async with a_shop() as shop:
        core = shop.core()
        await Text(core).create(model="gpt-5", prompt="Another")
        if how == "its answer":
            shop.end_with("-", "dropped before")
        else:
            begins(shop, [b": hello\n\n", LOST])
            shop.forgets = 1
        assert await greet(core) == [ANSWER]
        assert len(shop.posts) == 3
        assert registry_of(core).unresolved == ()
        assert shop.open_streams == 0


async def test_text_that_came_without_an_id_is_continued_from_the_history() -> None:
    async with a_shop() as shop:
        begins(shop, [b'data: {"type": "content_delta", "delta": "An ans"}\n\n', LOST])
        assert await greet(shop.core()) == ["An ans", "wer to Greet me"]
        assert len(shop.posts) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_text_that_came_is_never_bought_again(known: bool) -> None:
    async with a_shop() as shop:
        core = shop.core()
        if known:
            await Text(core).create(model="gpt-5", prompt="Another")
        begins(shop, [b'data: {"type": "content_delta", "delta": "An ans"}\n\n', LOST])
        shop.forgets = 1
        error = await broken(core)
        assert isinstance(error, StreamInterruptedError)
        assert (error.text, error.job) == ("An ans", None)
        assert "no id had arrived" in error.message
        assert len(shop.posts) == 1 + known
        assert len(registry_of(core).unresolved) == 1


async def test_a_stream_nobody_can_settle_is_told_and_stays_unresolved() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped before")
        core = shop.core()
        error = await broken(core)
        assert isinstance(error, SubmissionUnknownError)
        (left,) = registry_of(core).unresolved
        assert left.request["prompt"] == "Greet me"
        assert "no generation known to be ours" in left.why


async def test_a_stream_that_is_refused_leaves_nothing() -> None:
    async with a_shop() as shop:
        shop.ends = lambda number, body: "402"
        core = shop.core(max_retries=0)
        assert type(await broken(core)) is InsufficientTokensError
        assert registry_of(core).unresolved == ()


async def test_a_stream_that_the_provider_failed_leaves_nothing_once_that_is_proven() -> None:
    async with a_shop() as shop:
        core = shop.core(max_retries=0)
        await Text(core).create(model="gpt-5", prompt="Another")
        shop.ends = lambda number, body: "500"
        assert type(await broken(core)) is ProviderError
        assert registry_of(core).unresolved == ()


@pytest.mark.parametrize("seconds", [0.02, 0.12])
async def test_a_stream_that_is_cancelled_before_its_id_stays_unresolved(seconds: float) -> None:
    async with a_shop() as shop:
        begins(shop, [STALL])
        core = shop.core()
        async with anyio.create_task_group() as group:
            group.start_soon(greet, core)
            await shop.time.sleep(seconds)
            group.cancel_scope.cancel()
        assert len(registry_of(core).unresolved) == 1
        assert shop.open_streams == 0
        if seconds > 0.1:
            assert [each.job.id for each in (await reconcile(core)).adopted] == [18_000]


async def test_a_read_that_goes_on_after_a_cancelled_search_searches_again() -> None:
    async with a_shop() as shop:
        begins(shop, [LOST])
        core = shop.core()
        async with Text(core).stream(model="gpt-5", prompt="Greet me") as stream:
            async with anyio.create_task_group() as group:
                group.start_soon(stream.collect)
                await shop.time.sleep(0.05)
                group.cancel_scope.cancel()
            assert len(registry_of(core).unresolved) == 1
            assert (await stream.collect()).text == ANSWER
        assert registry_of(core).unresolved == ()


async def test_a_stream_that_is_left_before_its_id_stays_unresolved_and_one_with_an_id_does_not() -> None:
    async with a_shop() as shop:
        core = shop.core()
        async with Text(core).stream(model="gpt-5", prompt="Greet me"):
            pass
        assert len(registry_of(core).unresolved) == 1
        async with Text(core).stream(model="gpt-5", prompt="Another") as stream:
            assert await anext(stream) == "An answer to Another"
        assert len(registry_of(core).unresolved) == 1


@pytest.mark.parametrize(
    ("end", "failed"),
    [
        (b'data: {"type": "generation_end", "id": 18000, "tokens_used": 2}\n\n', False),
        (b"data: [DONE]\n\n", False),
        (b'data: {"type": "error", "message": "no"}\n\n', True),
    ],
)
async def test_a_stream_that_ends_without_a_start_is_settled(end: bytes, failed: bool) -> None:
    told: list[JobRef] = []
    async with a_shop() as shop:
        begins(shop, [b'data: {"type": "content_delta", "delta": "Hello"}\n\n', end])
        core = shop.core()
        async with Text(core).stream(model="gpt-5", prompt="Greet me", on_accepted=told.append) as stream:
            if failed:
                with pytest.raises(NeuralBoxError):
                    await stream.collect()
            else:
                assert (await stream.collect()).text == "Hello"
        assert registry_of(core).unresolved == ()
        assert [ref.id for ref in told] == ([18_000] if b"18000" in end else [])


async def test_a_stream_that_cannot_be_sent_leaves_nothing() -> None:
    async with a_shop() as shop:
        core = shop.core()
        shop.closed = True
        with pytest.raises(ConfigurationError):
            await greet(core)
        assert registry_of(core).unresolved == ()
