"""A batch in a notebook: its progress as HTML, and a display that follows it while the block runs.

IPython is not imported before IPython itself asks for a display, so there it is. What is shown are numbers only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import anyio

from .._html import progress_html
from .progress import BatchProgress
from .progress_words import NOT_SENT, duration, rate_words, spent_words, throttle_words
from .state import BatchState

# Seconds between two updates: at least so many, since a notebook has to keep up, and at most so many, since time passes.
_SOONEST: Final = 0.5
_LATEST: Final = 5.0


class NotebookDisplay(Protocol):
    """What IPython gives for something that is displayed."""

    def update(self, obj: Any, *, raw: bool) -> None:
        """Replace it by another bundle of representations."""
        ...


def batch_html(progress: BatchProgress | None) -> str:
    """Show how a batch is getting on; None where it has not begun."""
    if progress is None:
        return progress_html(title="Batch, not begun", done=0, total=None, facts=())
    eta, rate, budget = progress.eta_seconds, progress.rate_per_minute, progress.budget_tokens
    return progress_html(
        title="Batch",
        done=progress.done_now,
        total=progress.total_now,
        facts=(
            ("limits", throttle_words(progress)),
            ("left", duration(eta) if eta else None),
            ("rate", None if rate is None else rate_words(rate)),
            ("spent", spent_words(progress.tokens_spent, progress.budget_spent, budget)),
            ("reserved", progress.tokens_reserved),
            ("failed", progress.failed_now),
            (NOT_SENT, progress.not_sent_budget),
            ("queued", progress.queued),
            ("sending", progress.sending),
            ("waiting", progress.waiting),
            ("saving", progress.saving),
            ("from before", progress.resumed),
            ("since the start", duration(progress.elapsed_seconds)),
        ),
    )


def show_live(state: BatchState | None, over: anyio.Event, post: Callable[[Callable[[], object]], object]) -> None:
    """Display a batch in the notebook's present cell, and keep that up to date while the batch runs.

    Args:
        state: The run.
        over: Set when its last outcome is delivered.
        post: Runs a function in the batch's event loop, which may be another thread's; a display belongs to the cell
            whose thread asks for it, and so it is made here.

    Raises:
        NotImplementedError: It does not run, or there is no notebook: IPython takes `_repr_html_` or `repr` instead.
    """
    if state is None or state.group.cancel_scope.cancel_called:
        raise NotImplementedError
    handle = _display(_bundle(state))
    if handle is None:
        raise NotImplementedError
    follow = partial(_follow, handle, state, over)
    post(lambda: state.group.start_soon(state.guarded, follow))


def _bundle(state: BatchState) -> dict[str, str]:
    progress = state.progress
    return {"text/html": batch_html(progress), "text/plain": f"Batch: {progress.done_now} done"}


def _display(bundle: dict[str, str]) -> NotebookDisplay | None:
    """Display it in the notebook's present cell; None in a terminal, which has no cells."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    if not hasattr(get_ipython(), "kernel"):
        return None
    show: Callable[..., Any] = display
    handle: NotebookDisplay = show(bundle, raw=True, display_id=True)
    return handle


async def _follow(handle: NotebookDisplay, state: BatchState, over: anyio.Event) -> None:
    """Keep a display up to date until the batch is over, or is left; either way it shows the last state."""
    try:
        while not over.is_set():
            change = state.changed.next
            handle.update(_bundle(state), raw=True)
            await state.core.wait_until(over, _SOONEST)
            await state.core.wait_until(change, _LATEST)
    finally:
        handle.update(_bundle(state), raw=True)
