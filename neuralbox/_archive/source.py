"""What an archive has to know of a service, and what a generation has to be saved. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from .._api import vocabulary as words
from .._models.generation import Generation, Model

T = TypeVar("T", bound=Model)

TEXT = "text"
FIRST_FILE = "file"
"""The parts of a generation: its text, its file, and where there are more `file-2`, ..."""
_SHORTEST = "free"
"""The plan that keeps files for the shortest time."""


@dataclass(frozen=True, slots=True)
class ArchiveSource(Generic[T]):
    """A service's history, as far as an archive is concerned.

    Attributes:
        service: Its name in the manifest.
        account: Whose it is, or None where that cannot be known; two that are known must be the same.
        model: Of its items.
        read: Reads an item from the record as it came.
        generation: Says an item in the common vocabulary.
        urls: Addresses of an item's files, the result first.
        ask: Asks for one item, which tells more than the list does.
    """

    service: str
    account: str | None
    model: type[T]
    read: Callable[[Mapping[str, Any]], T]
    generation: Callable[[T], Generation]
    urls: Callable[[T], Sequence[str]]
    ask: Callable[[T], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """One thing of a generation that becomes a file: its text, or what is at an address."""

    name: str
    text: str | None = None
    url: str = ""


def parts_of(generation: Generation, urls: Sequence[str]) -> list[ArchivePart]:
    """Say what there is to save; nothing where the record tells of no result."""
    parts = [ArchivePart(TEXT, text=generation.text)] if generation.text is not None else []
    distinct = list(dict.fromkeys(url for url in urls if url))
    return parts + [
        ArchivePart(f"{FIRST_FILE}-{place}" if place > 1 else FIRST_FILE, url=url)
        for place, url in enumerate(distinct, 1)
    ]


def key_of(generation: Generation) -> str:
    """Name a generation among those of its account: by its id, else by what its record will say again."""
    if generation.id != "":
        return str(generation.id)
    address = (generation.url or "").partition("#")[0].partition("?")[0]  # the query may be a signature
    said = (generation.kind, generation.model, generation.prompt, generation.created_at, generation.text, address)
    return "no-id-" + hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def may_be_gone(generation: Generation, plan: str | None, now: datetime) -> bool:
    """Tell whether a file that its storage has not is gone for good: its time is over, or unknown and it is not new.

    Before that it is a failure of the storage, which the next run may find mended.
    """
    expires_at = generation.expires_at(plan)
    if expires_at is None:
        if words.RETENTION_DAYS.get((plan or "").strip().lower(), 0) is None:  # kept without limit
            return False
        expires_at = generation.expires_at(_SHORTEST)
    return expires_at is None or expires_at <= now


def urgency(generation: Generation, plan: str | None, now: datetime) -> tuple[int, float]:
    """Say when its turn is, the smaller the sooner.

    First what is about to expire, the nearest first; then what has no date, the oldest first; last what should be gone
    by its date, since asking for it is most likely in vain.
    """
    expires_at = generation.expires_at(plan)
    if expires_at is None:
        return 1, 0.0 if generation.created_at is None else generation.created_at.timestamp()
    return (0 if expires_at > now else 2), expires_at.timestamp()
