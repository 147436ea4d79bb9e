"""The report of the account's history: asked for page by page, thumbnails fetched a few at a time."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
from anyio import to_thread

from .._api.checks import require_whole
from .._base_client import core_of
from .._client import AsyncNeuralBox
from .._errors import NeuralBoxError
from .._html import web_address
from .._models.generation import Generation
from .._thumbnails import DecodeBudget, ThumbnailImage, are_possible, thumbnail_of
from .card import PROMPT_CHARACTERS, TEXT_CHARACTERS, Card, State, clip, label, reason_of, shown_as
from .page import MOST_CARDS, ReportPage, find_target, write_page
from .totals import Totals

logger = logging.getLogger("neuralbox")

# Together they keep a report of any pictures below 400 MB: each is held twice for a moment.
_AT_ONCE: Final = 4
_MOST_BYTES: Final = 12 * 1024**2  # of a picture; its thumbnail is not worth more


async def write_history_report(
    nb: AsyncNeuralBox,
    target: str | os.PathLike[str],
    *,
    type: str | None = None,
    model: str | None = None,
    status: str | None = None,
    favorites_only: bool | None = None,
    limit: int = MOST_CARDS,
    thumbnails: bool = True,
) -> Path:
    """Write one HTML page about the newest generations of the account, whoever made them.

    Files are linked at the service, which drops them when the plan's time has passed; thumbnails stay.

    Args:
        nb: Whose history, and by whose connections.
        target: The page's file, which is replaced if it is there; or a directory, for `history.html` in it.
        type: Only generations of this kind.
        model: Only generations of this model.
        status: Only `completed`, `pending` or `failed` ones.
        favorites_only: Only favourites (documented for the page dialect only).
        limit: Most generations to ask for.
        thumbnails: Whether to fetch pictures and stills of films and shrink them; needs pillow.

    Returns:
        Where the page is.

    Raises:
        ConfigurationError: The target cannot be, or `limit` is below 0; nothing was sent.
        NeuralBoxError: The history cannot be read. A picture that cannot be fetched is none: it has no thumbnail.
        DownloadError: The page cannot be written.

    Cancellation:
        Leaves nothing; a page that stood there stays.

    Source:
        As `history.list` (SEED 000).
    """
    require_whole("`limit`", limit, lowest=0)
    path = await to_thread.run_sync(partial(find_target, target, "history.html"))
    totals, cards = Totals(), list[Card]()
    listing = nb.history.list(
        type=type,
        model=model,
        status=status,
        favorites_only=favorites_only,
        page_size=min(max(limit, 1), 100),
        max_items=limit,
    )
    async for item in listing:
        card = card_of(item)
        totals.add(card, ended_at=_ended_at(item))
        cards.append(card)
    small = await _ThumbnailFetcher(nb, cards).run() if thumbnails and are_possible() else [None] * len(cards)
    report = ReportPage(
        title="History",
        about=_about(nb, type=type, model=model, status=status, favorites_only=favorites_only),
        totals=totals,
        cards=cards,
        notes=_notes(cards, small, limit, asked_for=thumbnails),
    )
    return await to_thread.run_sync(partial(write_page, report, small, path))


def _about(nb: AsyncNeuralBox, *, favorites_only: bool | None, **filters: str | None) -> str:
    said = [
        urlsplit(core_of(nb).options.base_url).hostname or "",
        *(f"{name}: {value}" for name, value in filters.items() if value),
    ]
    return " · ".join([*said, *(["favourites"] if favorites_only else [])])


def _notes(cards: Sequence[Card], small: Sequence[ThumbnailImage | None], limit: int, *, asked_for: bool) -> list[str]:
    notes = []
    if limit and len(cards) >= limit:
        notes.append(f"These are the newest {limit:,}; there may be more.")
    missing = sum(card.source is not None and one is None for card, one in zip(cards, small, strict=True))
    if not asked_for:
        notes.append("Thumbnails were not asked for.")
    elif missing and not are_possible():
        notes.append("There are no thumbnails because pillow is not installed: pip install 'neuralbox[report]'")
    elif missing:
        notes.append(f"{missing:,} pictures could not be fetched; their files may have expired, or be too large.")
    return notes


def card_of(item: Generation) -> Card:
    """Show one generation of the history."""
    state: State = "completed" if item.is_completed else "failed" if item.is_failed else "open"
    url = web_address(item.url)
    look = shown_as(item.kind, None if url is None else urlsplit(url).path)
    at = None if item.created_at is None else item.created_at.timestamp()
    ended = _ended_at(item)
    return Card(
        name=label(item.id) or "",
        state=state,
        word=label(item.status) or "state unknown",
        kind=label(item.kind),
        model=label(item.model),
        prompt=clip(item.prompt, PROMPT_CHARACTERS) if item.prompt else None,
        text=clip(item.text, TEXT_CHARACTERS) if item.text else None,
        reason=reason_of(item) if state == "failed" else None,
        tokens=(item.tokens or 0) if state == "failed" else item.tokens,
        seconds=_seconds(item, at, ended),
        at=at,
        look=look,
        address=url,
        source=url if look == "picture" else web_address(item.thumbnail_url),
        advice=("To wait for it:", f"neuralbox wait {shlex.quote(str(item.id))}")
        if state == "open" and item.id != ""
        else None,
    )


def _ended_at(item: Generation) -> float | None:
    return None if item.completed_at is None else item.completed_at.timestamp()


def _seconds(item: Generation, at: float | None, ended: float | None) -> float | None:
    if at is not None and ended is not None:
        return max(0.0, ended - at)
    return None if item.processing_ms is None else item.processing_ms / 1_000


class _ThumbnailFetcher:
    """Fetch pictures and shrink them, `_AT_ONCE` at a time."""

    def __init__(self, nb: AsyncNeuralBox, cards: Sequence[Card]) -> None:
        self._nb = nb
        self._left = [(number, card.source) for number, card in enumerate(cards) if isinstance(card.source, str)]
        self._found: list[ThumbnailImage | None] = [None] * len(cards)

    async def run(self) -> Sequence[ThumbnailImage | None]:
        """Return one for each card, None where there is none."""
        self._left.reverse()
        try:
            with DecodeBudget() as budget:
                async with anyio.create_task_group() as group:
                    for _ in range(min(_AT_ONCE, len(self._left))):
                        group.start_soon(self._work, budget)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # as it is, where a hook or a transport of the user's own has a bug
        return self._found

    async def _work(self, budget: DecodeBudget) -> None:
        while self._left:
            number, source = self._left.pop()
            try:
                content = await self._nb.files.read(source, max_bytes=_MOST_BYTES)
            except NeuralBoxError as error:
                logger.debug("A thumbnail is left out: %s", type(error).__name__)
                continue
            self._found[number] = await to_thread.run_sync(thumbnail_of, content, budget)
