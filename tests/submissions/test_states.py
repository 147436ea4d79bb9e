"""The states of a paid request: the transitions that happen are those of the table, and each of them does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from neuralbox._core.exchange import Core
from neuralbox._errors import JournalError, NeuralBoxError
from neuralbox._resources.text import Text
from neuralbox._result_cache import ResultCache
from neuralbox._submissions import submission
from neuralbox._submissions.claim import Claim
from neuralbox._submissions.submission import Submission, SubmissionState

from ..core.state_tables import record_transitions, transitions_of
from ..service import LOST, Service, a_shop
from .support import Notes, buy, draw

pytestmark = pytest.mark.anyio


def test_the_table_names_every_state() -> None:
    table = transitions_of(submission)
    assert {state for row in table for state in row} == {state.value for state in SubmissionState}
    assert {state for state, _ in table}.isdisjoint({"accepted", "refused"})  # nothing follows


async def a_purchase(core: Core, prompt: str = "A fox") -> None:
    with suppress(NeuralBoxError):
        await draw(core, prompt)


async def a_cancelled_purchase(shop: Service, core: Core) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(a_purchase, core)
        await shop.time.sleep(0.07)
        group.cancel_scope.cancel()


async def resumed(core: Core, claim: Claim) -> None:
    with suppress(NeuralBoxError):
        await buy(core, Notes(), claim=claim)


async def test_the_transitions_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    transitions = record_transitions(monkeypatch, Submission, "state")
    async with a_shop() as shop:
        core = shop.core()
        await a_purchase(core)
        shop.end_with("answered", "402", "dropped after", "dropped before")
        for _ in range(3):
            await a_purchase(core)
        await a_cancelled_purchase(shop, core)
        with suppress(JournalError):
            await buy(core, Notes("sending"))
        # The history shows that the request was not accepted, and it is not to be sent again.
        once = shop.core(max_retries=0)
        shop.end_with()
        await draw(once, "A hen")
        shop.end_with(*["answered"] * len(shop.posts), "dropped before")
        await a_purchase(once, "A goat")
        # Of an earlier run.
        notes = Notes()
        await buy(core, notes)
        await resumed(core, notes.claims[0])
        await resumed(core, replace(notes.claims[0], key="another", sent_at=core.now()))
        # A stream whose text had begun, while the history shows that it was not accepted.
        shop.events = lambda sold: [b'data: {"type": "content_delta", "delta": "He"}\n\n', LOST]
        shop.forgets = 1
        with suppress(NeuralBoxError):
            async with Text(core).stream(model="gpt-5", prompt="Greet me") as stream:
                await stream.collect()
        # A text that was bought before.
        cache = ResultCache(tmp_path / "c.sqlite")
        await Text(shop.core(cache=cache)).create(model="gpt-5", prompt="A hit")
        async with Text(shop.core(cache=cache)).stream(model="gpt-5", prompt="A hit") as stream:
            await stream.collect()
        cache.close()
    table = transitions_of(submission)
    assert (table - transitions.seen, transitions.seen - table) == (set(), set())
