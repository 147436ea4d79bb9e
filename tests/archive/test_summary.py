"""What a history comes to: every generation in one row, whatever the service says of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from neuralbox import ConfigurationError, HistorySummary
from neuralbox._archive import summary as module
from tests.archive.support import Service
from tests.geminigen.support import client as gemini_client
from tests.helpers import make_client
from tests.test_html import Elements

pytestmark = pytest.mark.anyio


@pytest.fixture
def service() -> Service:
    made = Service()
    made.image(1, model="flux-1.1-pro", created_at="2026-03-01T10:00:00Z", tokens_used=8, rating=5)
    made.image(2, model="flux-1.1-pro", created_at="2026-03-01T23:59:59Z", tokens_used=8, rating=2)
    made.image(3, model="flux-1.1-pro", created_at="2026-03-02T00:00:00Z", status="failed", tokens_used=0)
    made.image(4, model="=cmd", created_at="2026-03-02T10:00:00Z")
    made.image(5, model="kling-v2.1", type="video", status="pending", tokens_used=0)
    return made


def table(found: HistorySummary, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in names) for row in found]


async def test_rows_count_what_was_made_failed_rated_and_charged(service: Service) -> None:
    async with make_client(service) as nb:
        found = await nb.history.summary()
        by_model = await nb.history.summary(by="model")
    names = ("day", "model", "status", "kind", "count", "failed", "pending", "unpriced", "tokens", "rated", "rating")
    assert table(found, *names) == [
        ("2026-03-02", "=cmd", "completed", "image", 1, 0, 0, 1, 0, 0, None),
        ("2026-03-02", "flux-1.1-pro", "failed", "image", 1, 1, 0, 0, 0, 0, None),
        ("2026-03-01", "flux-1.1-pro", "completed", "image", 2, 0, 0, 0, 16, 2, 3.5),
        (None, "kling-v2.1", "pending", "video", 1, 0, 1, 0, 0, 0, None),
    ]
    assert (found.total.count, found.total.completed, found.total.tokens, len(found)) == (5, 3, 16, 4)
    assert table(by_model, "model", "count", "day") == [
        ("flux-1.1-pro", 3, None),
        ("kling-v2.1", 1, None),
        ("=cmd", 1, None),
    ]
    assert by_model.to_csv().splitlines()[0] == (
        "model,count,completed,failed,pending,unpriced,tokens,credits,rated,rating"
    )
    assert by_model.to_csv().splitlines()[3].startswith("'=cmd,1,")


async def test_a_notebook_shows_its_rows_as_a_table(service: Service) -> None:
    async with make_client(service) as nb:
        found = Elements((await nb.history.summary(by=("day", "model")))._repr_html_())
    assert found.text.startswith("5 generations, 16 tokensmodel")
    assert len(found.of("tr")) == 1 + 4
    assert "kind" not in found.text  # it is not grouped by that
    rows = [module.SummaryRow(model="<b>", credits=0.1 + 0.2)] * 201
    many = Elements(HistorySummary(("model",), rows, module.SummaryRow(count=1_201, credits=60.3000001))._repr_html_())
    assert many.text.startswith("1,201 generations, 0 tokens, 60.3 credits, the first 200 of 201 rows")
    assert "<b>0" in many.text
    assert "0.3" in many.text
    assert "0.30000" not in many.text
    assert many.of("b") == []


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@a", "\t=1", "＝1", "＋1", "－1", "＠a"])  # noqa: RUF001 - they are meant
def test_a_table_runs_nothing(word: str) -> None:
    found = HistorySummary(
        ("model",), [module.SummaryRow(model=word), module.SummaryRow(model="a=1")], module.SummaryRow()
    )
    assert [line.partition(",")[0] for line in found.to_csv().splitlines()[1:]] == [f"'{word}", "a=1"]


async def test_a_walk_ends_at_a_page_that_is_older_throughout(service: Service) -> None:
    service.items[:0] = [
        {"id": f"n{number}", "type": "text", "status": "completed", "created_at": "2026-04-01T00:00:00Z"}
        for number in range(100)
    ]
    for number in range(300):
        service.items.append(
            {"id": f"o{number}", "type": "text", "status": "completed", "created_at": "2025-01-01T00:00:00Z"}
        )
    async with make_client(service) as nb:
        found = await nb.history.summary(by="day", since=datetime(2026, 3, 2, tzinfo=UTC))
    assert [(row.day, row.count) for row in found] == [("2026-04-01", 100), ("2026-03-02", 2), (None, 1)]


async def test_rows_have_a_bound(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_ROWS", 1)
    async with make_client(service) as nb:
        found = await nb.history.summary(by=("model", "day"))
    assert sorted(table(found, "model", "count"), key=str) == [("(others)", 4), ("kling-v2.1", 1)]


async def test_geminigens_credits_are_no_tokens() -> None:
    items = [{"uuid": "a", "status": 2, "used_credit": 10, "rating": "4"}, {"uuid": "b", "status": 3, "used_credit": 0}]
    async with gemini_client(lambda request: httpx.Response(200, json={"total": 2, "result": items})) as gg:
        [row] = await gg.history.summary(by="service")
    assert (row.service, row.count, row.failed, row.credits, row.tokens, row.rating) == ("geminigen", 2, 1, 10, 0, 4)


@pytest.mark.parametrize("by", [(), "color", ("day", "day"), 7, ("day", 7), [{}]])
async def test_other_groups_are_refused(by: Any, service: Service) -> None:
    async with make_client(service) as nb:
        with pytest.raises(ConfigurationError, match="`by` must be some of service, model, day, kind, status"):
            await nb.history.summary(by=by)
        with pytest.raises(ConfigurationError, match="`since` must be a datetime with a time zone"):
            await nb.history.summary(since=datetime(2026, 3, 2))  # noqa: DTZ001 - it is refused
    assert not service.asked
