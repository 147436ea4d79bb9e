"""The page: a report put into HTML by jinja2, piece by piece, and into a file that appears when it is whole."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from .._errors import ConfigurationError, DownloadError
from .._files.partial_file import write_whole
from .._files.target import locate_target, require_free
from .._thumbnails import ThumbnailImage
from .._version import __version__
from . import charts, sorting
from .card import Card
from .totals import Totals

MOST_CARDS: Final = 1_000
"""Results shown one by one unless `limit` says otherwise: so many stay below 15 MB."""
_MODELS: Final = 20
_MOST_CHOICES: Final = 50
_DAYS: Final = 60
_REASONS: Final = 30
_ENDINGS: Final = frozenset({".html", ".htm"})


@dataclass(frozen=True, slots=True)
class ReportPage:
    """What a page says.

    Attributes:
        title: Its heading.
        about: A line below the heading.
        totals: Of all results.
        cards: Those shown one by one.
        notes: What the reader should know about the page.
    """

    title: str
    about: str
    totals: Totals
    cards: Sequence[Card]
    notes: Sequence[str] = ()


def find_target(target: str | os.PathLike[str], name: str) -> Path:
    """Find where the page goes.

    Args:
        target: The file, or a directory.
        name: The file's name in a directory.

    Raises:
        ConfigurationError: It cannot be made, or is not named as a page is: it might be the journal itself.
        DownloadError: Its place may not be looked at.
    """
    try:
        place = locate_target(target)
    except OSError as error:
        raise DownloadError(f"The report cannot be written: {error.strerror or error}.") from error
    path = place.directory / name if place.path is None else place.path
    if path.suffix.lower() not in _ENDINGS:
        raise ConfigurationError(f"A report is a web page: its name must end in .html; it is {os.fspath(target)!r}.")
    require_free(path, "replace")
    return path


def write_page(report: ReportPage, thumbnails: Iterable[ThumbnailImage | None], path: Path) -> Path:
    """Write a report; a file that stands at `path` is replaced when the new one is whole. Blocking.

    Args:
        report: What it says.
        thumbnails: One for each card, in order; taken one by one.
        path: Where it goes.

    Raises:
        DownloadError: The disk fails.
    """
    try:
        write_whole(path, _pieces(report, thumbnails), "replace")
    except OSError as error:
        raise DownloadError(f"The report cannot be written: {error.strerror or error}.") from error
    return path


def _pieces(report: ReportPage, thumbnails: Iterable[ThumbnailImage | None]) -> Iterable[str]:
    template, style = _template()
    totals, cards = report.totals, report.cards
    sorts = [("picture", "Pictures"), ("film", "Videos"), ("sound", "Sound"), ("text", "Texts"), ("other", "Other")]
    states = [("failed", "Failed"), ("open", "Not ended")]
    present = {card.sort for card in cards} | {card.state for card in cards}
    models = sorted({card.model for card in cards if card.model})[:_MOST_CHOICES]
    style += sorting.rules(cards, models)
    return template.generate(
        report=report,
        totals=totals,
        cards=zip(cards, thumbnails, strict=True),
        places={card.name: number for number, card in reversed([*enumerate(cards, 1)])},
        facts=_facts(totals),
        timeline=charts.timeline_of(totals),
        by_model=charts.bars_of(totals.dearest(_MODELS)),
        by_day=charts.bars_of(totals.days(_DAYS)),
        reasons=totals.reasons(_REASONS),
        filters=[(name, label) for name, label in sorts + states if name in present],
        models=models,
        orders=sorting.orders_of(cards),
        style=Markup(style),  # noqa: S704 - ours, and numbers
        style_hash=Markup(f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}"),  # noqa: S704 - digits
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        version=__version__,
    )


def _facts(totals: Totals) -> Sequence[tuple[str, str]]:
    facts = [
        ("results", f"{totals.counts['completed']:,}"),
        ("failed", f"{totals.counts['failed']:,}"),
        ("not ended", f"{totals.counts['open']:,}"),
        ("tokens", f"{totals.tokens:,}"),
    ]
    times = [*totals.submitted, *totals.completed, *totals.failed]
    if times:
        facts.append(("from first to last", charts.duration(max(times) - min(times))))
    if totals.completed and totals.tokens:
        facts.append(("tokens per result", f"{Decimal(totals.tokens) / len(totals.completed):,.1f}"))
    return facts


@cache
def _template() -> tuple[Template, str]:
    """The template, and the style that goes into it."""
    here = __package__ or ""
    environment = Environment(
        autoescape=True,
        loader=PackageLoader(here, "page"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    words: dict[str, Callable[..., str]] = {"clock": charts.clock, "duration": charts.duration, "size": charts.size}
    environment.filters.update(words)
    style = (resources.files(here) / "page" / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html"), style
