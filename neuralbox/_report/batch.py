"""The report of a batch, from its journal alone: no key, no network, also while the batch runs. Blocking."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from .._api.checks import require_whole
from .._batch.budget_record import BudgetRecord, budget_record
from .._batch.journal_records import generation_of
from .._batch.progress_words import not_sent_line, settle_command, worker_phrases
from .._html import web_address
from .._journal import (
    ACCEPTED,
    PLANNED,
    SENDING,
    JournalRecord,
    JournalSummary,
    JournalWorker,
    is_address,
    read_records,
    read_summary,
    read_workers,
)
from .._journal.postgres.address import read_address
from .._plain_text import plain
from .._thumbnails import DecodeBudget, ThumbnailImage, are_possible, still_of, thumbnail_of
from .card import PROMPT_CHARACTERS, TEXT_CHARACTERS, Card, State, clip, label, reason_of, shown_as
from .page import MOST_CARDS, ReportPage, find_target, write_page
from .totals import Totals

_THREADS: Final = 4
_WORDS: Final[Mapping[str, str]] = {
    PLANNED: "not sent",
    SENDING: "sent, outcome unknown",
    ACCEPTED: "still running",
}


def write_batch_report(
    journal: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    files: str | os.PathLike[str] | None = None,
    limit: int = MOST_CARDS,
) -> Path:
    """Write one HTML page about a batch: its results with thumbnails and players, prices, times, failures, a timeline.

    Files are linked relative to the page, so the page and the files may move together. All requests are counted; the
    first `limit` are shown one by one.

    Args:
        journal: The journal: its file, or its address.
        target: The page's file, which is replaced if it is there; or a directory, for `<journal>.html` in it.
        files: Where the results' files are, if they were moved since.
        limit: Most results shown one by one.

    Returns:
        Where the page is.

    Raises:
        ConfigurationError: The target cannot be, or `limit` is below 0.
        JournalError: There is no such journal, or it cannot be read.
        DownloadError: The page cannot be written.
    """
    require_whole("`limit`", limit, lowest=0)
    # Of a database's the run is the name, and files are looked for where we are.
    source = Path(read_address(journal).run.replace("/", "_")) if is_address(journal) else Path(journal)
    path = find_target(target, f"{source.stem}.html")
    summary = read_summary(journal)
    find = Finder(source, path, None if files is None else Path(files))
    totals, cards = Totals(), list[Card]()
    named = read_address(journal).shown if is_address(journal) else os.fspath(journal)
    for record in read_records(journal):
        card = card_of(record, find, None if summary.owner is not None else named)
        totals.add(card, ended_at=record.final_at)
        if len(cards) < limit:
            cards.append(card)
    possible = are_possible()
    report = ReportPage(
        title=f"Batch {source.stem}",
        about=_about(summary),
        totals=totals,
        cards=cards,
        notes=[
            *_worker_notes(read_workers(journal, time.time())),
            *_notes(totals, cards, summary, named, budget_record(journal), possible=possible),
        ],
    )
    with ThreadPoolExecutor(_THREADS) as pool, DecodeBudget() as budget:
        thumbnails = pool.map(partial(_thumbnail, budget), cards) if possible else iter([None] * len(cards))
        return write_page(report, thumbnails, path)


def _thumbnail(budget: DecodeBudget, card: Card) -> ThumbnailImage | None:
    if not isinstance(card.source, Path):
        return None
    return still_of(card.source, budget) if card.look == "film" else thumbnail_of(card.source, budget)


def _about(summary: JournalSummary) -> str:
    with suppress(ValueError):
        return urlsplit(summary.service).hostname or ""
    return ""


def _worker_notes(workers: Sequence[JournalWorker]) -> list[str]:
    """Say who was running it, and how each was getting on."""
    if not workers:
        return []
    count = f"{len(workers)} workers were" if len(workers) > 1 else "One worker was"
    return [
        f"{count} running the batch when this page was made:",
        *(", ".join(worker_phrases(one, is_utc=True)) for one in workers),
    ]


def _notes(
    totals: Totals, cards: list[Card], summary: JournalSummary, journal: str, budget: BudgetRecord, *, possible: bool
) -> list[str]:
    notes = []
    if summary.owner is not None and not is_address(journal):
        notes.append("The batch was running when this page was made.")
    elif summary.owner is None and summary.sending:
        name = shlex.quote(journal)
        notes.append(
            f"Of {summary.sending:,} requests it is unknown whether they were accepted. To look for them: neuralbox "
            f"reconcile {name}; to decide: neuralbox batch settle {name} KEY --adopt ID (or --resend, or --give-up)."
        )
    not_sent = 0 if summary.owner is not None else min(budget.not_sent, summary.planned)
    if not_sent:
        notes.append(not_sent_line(journal, not_sent) + ".")
    if totals.total > len(cards):
        notes.append(f"{len(cards):,} of {totals.total:,} requests are shown one by one; all are counted.")
    if totals.unpriced:
        notes.append(f"Of {totals.unpriced:,} results the price is not known.")
    if not possible and any(card.look == "picture" for card in cards):
        notes.append("There are no thumbnails because pillow is not installed: pip install 'neuralbox[report]'")
    return notes


# One record.


class Finder:
    """Finds the files of results, and says how the page names them.

    Args:
        journal: The journal's file.
        page: Where the page will be.
        files: Where to search first, or None.
    """

    def __init__(self, journal: Path, page: Path, files: Path | None) -> None:
        self._journal = journal.parent
        self._page = page.parent.absolute()
        self._files = files

    def __call__(self, path: str | None) -> Path | None:
        """Return where a file is now; None where it is not to be found."""
        if path is None:
            return None
        noted = Path(path)
        places = [] if self._files is None else [self._files / noted.name, self._files / noted]
        # A relative path was relative to where the batch ran; that may have been beside the journal.
        places += [noted, self._journal / noted]
        with suppress(OSError, ValueError):  # a name that this system cannot have
            return next((place.absolute() for place in places if place.is_file()), None)
        return None

    def address(self, file: Path) -> str:
        """Name a file as the page links to it."""
        try:
            relative = os.path.relpath(file, self._page)
        except ValueError:  # another drive of Windows
            return file.as_uri()
        return quote(os.fsencode(relative.replace(os.sep, "/")))


def card_of(record: JournalRecord, find: Finder, stopped: str | None = None) -> Card:
    """Show one record of a journal.

    Args:
        record: It.
        find: Finds its file.
        stopped: The journal's name, where nobody runs the batch; its commands are advised of what has not ended.
    """
    request = record.request
    kind = label(record.kind or _text(request, "kind"))
    prompt = prompt_of(request)
    began = (
        record.sent_at if record.accepted_at is None else min(record.accepted_at, record.sent_at or record.accepted_at)
    )
    asked: dict[str, Any] = {
        "name": label(record.key) or "",
        "kind": kind,
        "model": label(record.model or _text(request, "model") or _text(_inner(request), "model")),
        "prompt": None if prompt is None else clip(prompt, PROMPT_CHARACTERS),
        "at": began,
    }
    if not record.is_finished:
        advice = None if stopped is None else _advice(record, stopped)
        return Card(state="open", word=_WORDS[record.state], advice=advice, **asked)
    generation = generation_of(record)
    state: State = "completed" if generation.is_completed else "failed"
    file = find(record.path)
    url = web_address(generation.url)
    name = record.path or (None if url is None else urlsplit(url).path)
    look = shown_as(kind, name)
    return Card(
        state=state,
        word=label(record.status) or state,
        text=clip(generation.text, TEXT_CHARACTERS) if generation.text else None,
        reason=reason_of(generation) if state == "failed" else None,
        tokens=(record.tokens or 0) if state == "failed" else record.tokens,
        seconds=None if record.final_at is None or began is None else max(0.0, record.final_at - began),
        size_bytes=record.size_bytes,
        look=look,
        address=find.address(file) if file is not None else url,
        source=file if look in {"picture", "film"} else None,
        **asked,
    )


def _advice(record: JournalRecord, journal: str) -> tuple[str, str]:
    """Say what to do about one that has not ended and that nobody waits for."""
    if record.state != SENDING:
        return "To continue:", f"neuralbox batch resume {shlex.quote(journal)}"
    settle = plain(settle_command(journal, record.key))
    return f"To look for it: neuralbox reconcile {shlex.quote(journal)}; to decide:", settle


def prompt_of(request: Mapping[str, Any]) -> str | None:
    """Find what was asked for: in a batch's request, or in the body that a single job's record holds."""
    return next(_prompts(request), None) or next(_prompts(_inner(request)), None)


def _prompts(request: Mapping[str, Any]) -> Iterator[str]:
    for name in ("prompt", "text"):
        if said := _text(request, name):
            yield said
    messages = request.get("messages")
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, Mapping) and message.get("role") == "user" and (said := _text(message, "content")):
            yield said
    if said := _text(request, "audio"):
        yield said


def _inner(request: Mapping[str, Any]) -> Mapping[str, Any]:
    body = request.get("body")
    return body if isinstance(body, Mapping) else {}


def _text(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) and value else None
