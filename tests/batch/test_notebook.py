"""A batch in a notebook: what it shows before, in and after its block, and that a live display follows it to the end."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from neuralbox._batch.notebook import batch_html
from neuralbox._batch.progress import BatchProgress

from .support import a_service, batches, images

pytestmark = pytest.mark.anyio


class Notebook:
    """What IPython is in a kernel: it keeps what a display shows."""

    def __init__(self, *, kernel: bool = True) -> None:
        self.shell = SimpleNamespace(kernel=True) if kernel else SimpleNamespace()
        self.shown: list[str] = []

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> Notebook:
        self.update(bundle, raw=raw)
        return self

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        assert bundle["text/plain"].startswith("Batch: ")
        self.shown.append(bundle["text/html"])


@pytest.fixture
def open_notebook(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Notebook]:
    def make(**options: Any) -> Notebook:
        notebook = Notebook(**options)
        monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: notebook.shell)
        monkeypatch.setattr("IPython.display.display", notebook.display)
        return notebook

    return make


async def test_a_display_follows_the_batch_to_its_end(open_notebook: Callable[..., Notebook]) -> None:
    notebook, world = open_notebook(), a_service(holds=3.0)
    async with batches(world)(images(4), max_sending=1) as run:
        run._ipython_display_()
        assert "0 of 4" in notebook.shown[0]
        async for _ in run:
            pass
        await world.time.sleep(10)
        updates = len(notebook.shown)
        await world.time.sleep(60)
        assert len(notebook.shown) == updates  # it is over
    assert "4 of 4" in notebook.shown[-1]
    assert 3 < len(notebook.shown) < 60
    assert any("2 of 4" in html for html in notebook.shown)


async def test_a_block_that_is_left_shows_how_far_it_came(open_notebook: Callable[..., Notebook]) -> None:
    notebook = open_notebook()
    async with batches(a_service())(images(4)) as run:
        run._ipython_display_()
        async for _ in run:
            break
    assert "1 of 4" in notebook.shown[-1]


async def test_what_does_not_run_is_shown_as_it_is(open_notebook: Callable[..., Notebook]) -> None:
    notebook = open_notebook()
    batch = batches(a_service())(images(2))
    assert "not begun" in batch._repr_html_()
    with pytest.raises(NotImplementedError):  # IPython goes on with `_repr_html_`
        batch._ipython_display_()
    async with batch as run:
        async for _ in run:
            pass
    with pytest.raises(NotImplementedError):
        batch._ipython_display_()
    assert "2 of 2" in batch._repr_html_()
    assert notebook.shown == []


async def test_a_terminal_has_no_display(open_notebook: Callable[..., Notebook]) -> None:
    notebook = open_notebook(kernel=False)
    async with batches(a_service())(images(1)) as run:
        with pytest.raises(NotImplementedError):
            run._ipython_display_()
    assert notebook.shown == []


async def test_numbers_are_named_and_times_are_readable() -> None:
    progress = BatchProgress(
        total=None,
        read=20,
        queued=1,
        sending=0,
        waiting=12,
        saving=0,
        ready=0,
        completed=5,
        failed=2,
        resumed=1,
        tokens_spent=1_234,
        tokens_reserved=0,
        tokens_over=0,
        rate_per_minute=12.345,
        eta_seconds=3_725.0,
        throttled_until=1_790_000_000.0,
        elapsed_seconds=65.0,
        not_sent_budget=5,
        budget_tokens=5_000,
        budget_spent=340,
        throttled_by="hour",
    )
    html = batch_html(progress)
    for words in (
        "Batch</strong> 6<",
        "<dd",
        "12 jobs/min",
        "1:02:05",
        "1:05",
        "limits</dt>",
        "hourly limit used up until",
        "not sent (budget)",
        "340 of 5,000 tokens",
    ):
        assert words in html
    assert "reserved" not in html
