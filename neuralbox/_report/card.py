"""One result as the page shows it: short texts, a safe address, where its thumbnail comes from. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from .._api.reply import without_secrets
from .._html import Look, look_of
from .._models.generation import Generation
from .._plain_text import clipped, plain

State: TypeAlias = Literal["completed", "failed", "open"]
"""Ended with a result, ended without one, or not ended."""

# A thousand cards stay below 15 MB only if each text has a limit.
PROMPT_CHARACTERS: Final = 800
TEXT_CHARACTERS: Final = 3_000
REASON_CHARACTERS: Final = 500
NAME_CHARACTERS: Final = 120

# What there will be, or would have been, where there is no file to tell.
_KINDS: Final = {
    "picture": ("image",),
    "film": ("video",),
    "sound": ("audio", "music", "speech", "tts"),
    "text": ("stt", "text", "transcription"),
}
_SORT_OF_KIND: Final = MappingProxyType({kind: sort for sort, kinds in _KINDS.items() for kind in kinds})


class Clipped(NamedTuple):
    """The beginning of a text.

    Attributes:
        text: What is shown.
        left: How many characters are not.
    """

    text: str
    left: int


def label(text: object) -> str | None:
    """Return a word of the service as the page shows it: short, on one line; None for none."""
    return clipped(plain(str(text)[: 4 * NAME_CHARACTERS]), NAME_CHARACTERS) or None if text is not None else None


def clip(text: str, characters: int) -> Clipped:
    """Shorten a text to so many characters."""
    return Clipped(text[:characters], max(0, len(text) - characters))


@dataclass(frozen=True, slots=True)
class Card:
    """One result.

    Attributes:
        name: The caller's key, or the generation's id.
        state: How it ended, for colours and filters.
        word: The same in words.
        kind: What it is: the service's word, or a batch's.
        model: The slug, or None.
        prompt: What was asked for, or None.
        text: A text result, or None.
        reason: Why there is no result, or None.
        tokens: What was charged, or None where that is not known.
        seconds: From its submission to its end, or None.
        at: Unix seconds of its submission, or None.
        size_bytes: Length of its file, or None.
        look: What its file is shown as, or None.
        address: Where its file is: a relative path or an http(s) address, written as a page writes it; or None.
        source: What its thumbnail is made of: a file, or an address to be fetched; or None.
        advice: What to do about one that has not ended: a few words, and the command; or None.
    """

    name: str
    state: State
    word: str
    kind: str | None = None
    model: str | None = None
    prompt: Clipped | None = None
    text: Clipped | None = None
    reason: str | None = None
    tokens: int | None = None
    seconds: float | None = None
    at: float | None = None
    size_bytes: int | None = None
    look: Look | None = None
    address: str | None = None
    source: Path | str | None = None
    advice: tuple[str, str] | None = None

    @property
    def sort(self) -> str:
        """What the page filters by: `picture`, `film`, `sound`, `text` or `other`."""
        return self.look or ("text" if self.text else _SORT_OF_KIND.get(self.kind or "", "other"))


def reason_of(generation: Generation) -> str:
    """Say why a generation failed, in the service's words, less what looks like a credential."""
    said = without_secrets(plain((generation.error or "")[: 4 * REASON_CHARACTERS]))
    return clipped(said, REASON_CHARACTERS) or "The service did not say why."


def shown_as(kind: str | None, name: str | None) -> Look | None:
    """Say what a card shows its file as; None where it has none."""
    return None if name is None else look_of(kind, name)
