"""The states of a text stream: the transitions that happen are those of the table, and each of them does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from neuralbox._errors import ConfigurationError, NeuralBoxError
from neuralbox._resources.text import Text
from neuralbox._result_cache import ResultCache
from neuralbox._text_stream import stream as stream_module
from neuralbox._text_stream.state import StreamState
from neuralbox._text_stream.stream import TextStream
from tests.helpers import STALL, Step, cancelled_at_a_stall, refusal, reply

from ..core.state_tables import record_transitions, transitions_of
from ..service import LOST, a_shop
from .test_recovery import begins, greet
from .test_stream import DONE, END, ID, START, bench, delta, line, stream, text_stream

pytestmark = pytest.mark.anyio

FAILURE = line({"type": "error", "message": "No more."})
STATES = {state.value for state in StreamState}


def expected() -> set[tuple[str, str]]:
    """The table; `any` stands for each state but the last."""
    rows = transitions_of(stream_module)
    spelt = {(state, following) for state, following in rows if state != "any"}
    assert {state for row in spelt for state in row} == STATES
    return spelt | {(state, "left") for state in STATES - {"new", "left"}}


async def read(*script: Step, **options: Any) -> None:
    """Read a stream to its end, or to its error."""
    with suppress(NeuralBoxError):
        async with text_stream(bench(*script, **options)) as open_stream:
            await open_stream.collect()


async def left_early(answer: Step) -> None:
    """Leave a stream after its first event."""
    async with text_stream(bench(answer)) as open_stream:
        await anext(open_stream.events())


async def cancelled_in(*script: Step) -> None:
    """Cancel a read that stalls, inside the block."""
    async with text_stream(bench(*script)) as open_stream, cancelled_at_a_stall():
        await open_stream.collect()


async def left_by_another_task(*script: Step) -> None:
    """Leave the block while another task reads."""
    open_stream = text_stream(bench(*script))

    async def collect() -> None:
        with suppress(NeuralBoxError):
            await open_stream.collect()

    async with anyio.create_task_group() as group:
        await open_stream.__aenter__()
        group.start_soon(collect)
        await anyio.wait_all_tasks_blocked()
        await open_stream.__aexit__(None, None, None)
        group.cancel_scope.cancel()


async def lost(*ends: str, bodies: Sequence[Sequence[Any]] = (), forgets: int = 0) -> None:
    """Lose the answers of a stream, with another generation of ours in the history."""
    async with a_shop() as shop:
        core = shop.core()
        await Text(core).create(model="gpt-5", prompt="Another")
        shop.end_with("answered", *ends)
        begins(shop, *bodies)
        shop.forgets = forgets
        with suppress(NeuralBoxError):
            await greet(core)


async def test_the_transitions_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    transitions = record_transitions(monkeypatch, TextStream, "_state")
    cache = ResultCache(tmp_path / "c.sqlite")
    await read(stream(START, delta("Good"), END), cache=cache)
    await read(cache=cache)
    cache.close()
    await read(stream(START, delta("Good"), END, DONE))
    await read(stream(START, FAILURE))
    await read(stream(START + b"data: {oops\n\n"), reply(200, {"id": ID, "status": "completed", "result_text": "x"}))
    await read(stream(START, delta("Good"), END.rstrip()))
    await read(stream(START, DONE), reply(200, {"id": ID, "status": "completed", "result_text": "x"}))
    await read(stream(START, FAILURE.rstrip()))
    await read(stream(START, LOST), refusal(403, "insufficient_plan"))
    await read(refusal(402, "insufficient_tokens"))
    await read(reply(200, {"id": ID, "status": "completed", "result_text": "Good"}))
    await read(reply(200, {"id": ID, "status": "failed", "error": "No more."}))
    await left_early(stream(START, delta("Good"), delta(" morning")))
    await left_early(reply(200, {"id": ID, "status": "completed", "result_text": "Good"}))
    await cancelled_in(stream(START, STALL))
    await cancelled_in(stream(START, LOST), STALL)
    await left_by_another_task(stream(START, STALL))
    await left_by_another_task(stream(START, LOST), STALL)
    await lost("dropped after")
    await lost(bodies=[[b": hello\n\n", LOST]], forgets=1)
    await lost("answered", "dropped after", bodies=[[b": hello\n\n", LOST]], forgets=1)
    missing, extra = expected() - transitions.seen, transitions.seen - expected()
    assert (missing, extra) == (set(), set())


async def test_a_piece_that_comes_after_another_task_has_left_the_block_is_not_delivered() -> None:
    open_stream = text_stream(bench(stream(START, *[delta("on ")] * 1_000, END)))
    errors: list[NeuralBoxError] = []
    text = ""

    async def collect() -> None:
        with pytest.raises(ConfigurationError, match="block was left") as caught:
            await open_stream.collect()
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        await open_stream.__aenter__()
        group.start_soon(collect)
        while open_stream.job is None:
            await anyio.lowlevel.checkpoint()
        await open_stream.__aexit__(None, None, None)
        text = open_stream.text
    assert len(errors) == 1
    assert open_stream.text == text != "on " * 1_000
