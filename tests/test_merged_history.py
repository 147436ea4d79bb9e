"""One history of both services: by time, in one vocabulary, each listing asked for as far as is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
import pytest

import neuralbox.sync
from neuralbox import AsyncGeminiGen, AsyncNeuralBox, ConfigurationError, GeminiGen, NeuralBox, history_of
from neuralbox.sandbox import Sandbox, Server, serve
from tests.geminigen.support import client as gemini_client
from tests.helpers import KEY, make_client

pytestmark = pytest.mark.anyio


def times(*minutes: int | None) -> list[str | None]:
    return [None if minute is None else f"2026-03-01T{minute // 60:02d}:{minute % 60:02d}:00Z" for minute in minutes]


class Both:
    """Two services whose histories were created at these minutes, newest first."""

    def __init__(self, ours: list[str | None], theirs: list[str | None]) -> None:
        self.ours = [
            {"id": f"n{at}", "status": "completed", "tokens_used": 1, "created_at": when}
            for at, when in enumerate(ours)
        ]
        self.theirs = [
            {"uuid": f"g{at}", "status": 2, "used_credit": 2, "created_at": when} for at, when in enumerate(theirs)
        ]
        self.asked = {"n": 0, "g": 0}
        self.is_down = False

    def _page(self, items: list[Any], page: str, limit: str) -> list[Any]:
        return items[(int(page) - 1) * int(limit) : int(page) * int(limit)]

    def nb(self) -> AsyncNeuralBox:
        def handler(request: httpx.Request) -> httpx.Response:
            self.asked["n"] += 1
            asked = request.url.params
            shown = self._page(self.ours, asked["page"], asked["limit"])
            return httpx.Response(200, json={"items": shown, "total": len(self.ours), "limit": int(asked["limit"])})

        return make_client(handler)

    def gg(self) -> AsyncGeminiGen:
        def handler(request: httpx.Request) -> httpx.Response:
            self.asked["g"] += 1
            if self.is_down:
                return httpx.Response(400)
            asked = request.url.params
            shown = self._page(self.theirs, asked["page"], asked["items_per_page"])
            return httpx.Response(200, json={"total": len(self.theirs), "result": shown})

        return gemini_client(handler)


async def test_items_come_by_time_in_one_vocabulary() -> None:
    both = Both(times(9, 7, None, 1), times(8, 8, 2))
    async with both.nb() as nb, both.gg() as gg:
        found = [item async for item in history_of(nb, gg)]
        summary = await history_of(nb, gg).summary(by="service")
        table = await history_of(nb, gg).to_arrow()
    assert [item.id for item in found] == ["n0", "g0", "g1", "n1", "n2", "g2", "n3"]
    assert [(item.service, item.tokens, item.credits) for item in found[:2]] == [
        ("neuralbox", 1, None),
        ("geminigen", None, 2),
    ]
    assert {(row.service, row.count, row.tokens, row.credits) for row in summary} == {
        ("neuralbox", 4, 4, 0),
        ("geminigen", 3, 0, 6),
    }
    assert table.column("id").to_pylist() == [item.id for item in found]


async def test_a_listing_is_asked_as_far_as_it_is_needed() -> None:
    both = Both(times(*range(999, 499, -1)), times(*range(400, 100, -1)))
    async with both.nb() as nb, both.gg() as gg:
        found = [item async for item in history_of(nb, gg, max_items=150)]
        assert (len(found), both.asked) == (150, {"n": 2, "g": 1})
        since = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
        assert sum([1 async for _ in history_of(nb, gg, since=since)]) == 500 + 41
        assert [item async for item in history_of(nb, gg, max_items=0)] == []


async def test_what_is_out_of_order_in_a_listing_stays_where_it_is() -> None:
    both = Both(times(3, 9, 1), times(2))
    async with both.nb() as nb, both.gg() as gg:
        assert [item.id async for item in history_of(nb, gg)] == ["n0", "n1", "g0", "n2"]
    alone = Both(times(3), times())
    async with alone.nb() as nb:
        assert [item.id async for item in history_of(nb)] == ["n0"]


async def test_a_step_that_fails_or_is_cancelled_loses_nothing() -> None:
    both = Both(times(3, 1), times(2))
    both.is_down = True
    async with both.nb() as nb, both.gg() as gg:
        walk = aiter(history_of(nb, gg))
        with pytest.raises(neuralbox.BadRequestError):
            await anext(walk)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(walk)
        both.is_down = False
        assert [item.id async for item in walk] == ["n0", "g0", "n1"]


async def test_an_account_is_read_once_however_many_clients_it_has() -> None:
    both = Both(times(3, 1), times(3))
    async with both.nb() as nb, both.gg() as gg:
        found = [item.id async for item in history_of(nb, gg, nb.with_options(max_retries=1), gg)]
        assert found == ["n0", "g0", "n1"]
        assert both.asked == {"n": 1, "g": 1}


@pytest.mark.parametrize(
    ("clients", "arguments", "problem"),
    [
        ((), {}, "Pass the clients"),
        ((7,), {}, "Pass the clients"),
        ((neuralbox.NeuralBox(api_key="nb_x"),), {}, r"Blocking ones have `neuralbox\.sync\.history_of`"),
        (None, {"max_items": -1}, "`max_items` must be a whole number"),
        (None, {"since": "2026"}, "`since` must be a datetime"),
        (None, {"prefetch": 99}, "`prefetch` must be a whole number of pages from 0 to 16"),
    ],
)
def test_what_cannot_be_is_refused(clients: Any, arguments: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        history_of(*([Both([], []).nb()] if clients is None else clients), **arguments)
    with pytest.raises(ConfigurationError, match="Pass the clients"):
        neuralbox.sync.history_of(7)  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Sandbox(plan="vip")) as running:
        yield running


def test_the_blocking_twin_gives_the_same_over_a_socket(server: Server) -> None:
    with ExitStack() as stack:
        nb = stack.enter_context(NeuralBox(api_key=KEY, base_url=server.url))
        gg = stack.enter_context(GeminiGen(api_key=KEY, base_url=server.url))
        nb.text.create(model="gpt-5", prompt="Hello")
        merged = neuralbox.sync.history_of(nb, gg, max_items=5)
        first = next(iter(merged))
        assert (first.service, first.kind) == ("neuralbox", "text")
        assert neuralbox.sync.history_of(nb).summary(by="kind").total.count == 1
        assert neuralbox.sync.history_of(nb).to_arrow().num_rows == 1
