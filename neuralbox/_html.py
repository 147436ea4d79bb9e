"""HTML of results and of progress, as notebooks show it. Pure: words in, a fragment out; nothing is fetched here.

Whatever comes from outside (texts, addresses, slugs, reasons) is escaped, and an address is named only where it begins
with http or https: a `javascript:` one in a record would run in the reader's notebook. Colours are the notebook's own,
so that a fragment is readable on a dark ground and on a light one. Prompts are left out: a notebook is saved and shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from ._api.content import PICTURE, SOUND_OR_FILM, expected_content
from ._plain_text import clipped, plain

Look: TypeAlias = Literal["picture", "film", "sound"]
"""What a file is shown as."""

_ADDRESS: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f\"<>\\^`{|}]+", re.IGNORECASE)
_LEFT: Final = '<td style="text-align:left">'
_CELL: Final = 80  # characters
_UNSHOWN: Final = frozenset({"prompt", "key"})
_SOUND_KINDS: Final = frozenset({"audio", "music", "speech", "tts"})
_SOUND_ENDINGS: Final = frozenset({"aac", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav", "weba"})


def web_address(text: str | None) -> str | None:
    """Return an address that a page may name: absolute http or https; None for anything else."""
    if text is None or _ADDRESS.fullmatch(text) is None:
        return None
    try:
        host = urlsplit(text).hostname
    except ValueError:  # brackets that hold no IPv6 address
        return None
    return text if host else None


def look_of(kind: str | None, name: str) -> Look | None:
    """Say what a file is shown as, by the ending of its name, else by the kind; None for one that is only linked.

    Args:
        kind: The service's word, or a batch's: `image`, `video`, `tts`, `speech`, `audio`, `music`.
        name: The file's name, or an address's path.
    """
    content = expected_content(name, {"speech": "tts", "music": "audio"}.get(kind or "", kind))
    if content == PICTURE:
        return "picture"
    if content != SOUND_OR_FILM:
        return None
    return "sound" if kind in _SOUND_KINDS or name.rpartition(".")[2].lower() in _SOUND_ENDINGS else "film"


def result_html(
    *,
    kind: str | None,
    url: str | None,
    still: str | None = None,
    text: str | None = None,
    error: str | None = None,
    facts: Iterable[object] = (),
) -> str:
    """Show one result: a picture, a player, a text or the reason why there is none, and a line of facts.

    Args:
        kind: The service's word for what it is.
        url: Where its file is.
        still: Where a still of a film is.
        text: Its text.
        error: Why there is none.
        facts: What stands below, in this order; empty ones are left out.
    """
    said = [str(fact) for fact in facts if fact not in (None, "")]
    body = _file_html(kind, web_address(url), web_address(still), " ".join(said[:2]) or "result")
    if text:
        body += f'<div style="white-space:pre-wrap;max-height:24em;overflow:auto" dir="auto">{escape(text)}</div>'
    if error:
        body += f'<div role="note"><strong>No result:</strong> {escape(error)}</div>'
    caption = f'<figcaption style="opacity:.75;font-size:90%">{escape(" · ".join(said))}</figcaption>'
    return f'<figure style="margin:0;max-width:32em">{body}{caption}</figure>'


def _file_html(kind: str | None, url: str | None, still: str | None, name: str) -> str:
    if url is None:
        return ""
    look, place, label = look_of(kind, urlsplit(url).path), escape(url), escape(name)
    wide = 'style="max-width:100%;max-height:28em"'
    if look == "picture":
        return (
            f'<a href="{place}" target="_blank" rel="noopener noreferrer">'
            f'<img src="{place}" alt="{label}" referrerpolicy="no-referrer" {wide}></a>'
        )
    if look == "film":
        poster = f' poster="{escape(still)}"' if still else ""
        return f'<video src="{place}"{poster} controls preload="none" aria-label="{label}" {wide}></video>'
    if look == "sound":
        return f'<audio src="{place}" controls preload="none" aria-label="{label}" style="width:100%"></audio>'
    return f'<a href="{place}" target="_blank" rel="noopener noreferrer">{label}</a>'


def progress_html(*, title: str, done: int, total: int | None, facts: Iterable[tuple[str, object]]) -> str:
    """Show how far something has come: a bar where the end is known, and named numbers below it.

    Args:
        title: What it is.
        done: How many are done.
        total: Out of how many, or None.
        facts: Name and value of what else is known; those that are None or 0 are left out.
    """
    count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
    bar = ""
    if total is not None:
        bar = (
            f'<progress max="{max(total, 1)}" value="{min(done, total)}" style="width:100%">{escape(count)}</progress>'
        )
    cells = "".join(
        f'<div style="margin-right:1.5em"><dt style="opacity:.75">{escape(name)}</dt>'
        f'<dd style="margin:0">{escape(f"{value:,}" if isinstance(value, int) else str(value))}</dd></div>'
        for name, value in facts
        if value not in (None, 0)
    )
    return (
        f'<div style="max-width:40em"><div><strong>{escape(title)}</strong> {escape(count)}</div>{bar}'
        f'<dl style="display:flex;flex-wrap:wrap;margin:.25em 0">{cells}</dl></div>'
    )


def table_html(records: Sequence[Mapping[str, object]], title: str) -> str:
    """Show records as a table: the columns that say something in one of them; prompts are left out.

    Args:
        records: What `to_dict` says of each.
        title: What they are.
    """
    columns = [name for name in (records[0] if records else ()) if name not in _UNSHOWN]
    columns = [name for name in columns if any(_cell(record.get(name)) for record in records)]
    head = "".join(f'<th style="text-align:left">{escape(name.replace("_", " "))}</th>' for name in columns)
    rows = "".join(
        f"<tr>{''.join(_LEFT + _cell(record.get(name)) + '</td>' for name in columns)}</tr>" for record in records
    )
    caption = f'<caption style="text-align:left;opacity:.75">{escape(title)}</caption>'
    return f'<div style="overflow-x:auto"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(value: object) -> str:
    """Show one value; lists and records are too long for a table, and nothing is shown of what is not known."""
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 100_000 else str(value)
    text = str(round(value, 2) if isinstance(value, float) else value)
    place = web_address(text)
    if place is not None:
        return f'<a href="{escape(place)}" target="_blank" rel="noopener noreferrer">open</a>'
    return escape(clipped(plain(text[: _CELL * 4]), _CELL))
