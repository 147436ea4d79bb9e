"""The directory of an archive: what is there, what is missing, and how a file comes to its name.

A file is fetched under a name of the workshop, `.neuralbox`, made of nothing but the generation's id. Then the manifest
tells of it, with its length and hash, and then it gets the name by which it is known. So whatever ends the process in
between leaves a file that the next run finds in the workshop and knows by its hash, and no name ever stands for
something else. What stands under a name and is not in the manifest is not ours: the same content is adopted, anything
else keeps its name and ours gets another. All of it runs in worker threads; the lock is for one that outlives the wait
for it (asyncio's own cancellation does that).
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

from .._errors import ConfigurationError
from .._files.names import clean_name, ending_for, ending_of
from .._files.target import sha256_of
from .._models.generation import Generation, Model
from .index import ArchiveIndex
from .manifest import NAME, append, read_manifest
from .manifest_entry import EXPIRED, SAVED, ManifestEntry, fields_of, write_line
from .source import FIRST_FILE, TEXT, ArchivePart, ArchiveSource, parts_of, urgency

T = TypeVar("T", bound=Model)

_WORKSHOP = ".neuralbox"
_LOCK = "archive.lock"
# What a run makes in the workshop beside its lock, the runs before this one included: a fetched file or a text under its
# digest (`_place`), and what `_saving.PartFile` writes on the way there.
_MADE_HERE = re.compile(r"[0-9a-f]{40}|\.neuralbox-[0-9a-f]{16}\.(?:part|json)")
_MOST_NAMES = 100
_LONGEST_STEM = 200


@dataclass(frozen=True, slots=True)
class PendingFile(Generic[T]):
    """A file to be fetched.

    Attributes:
        item: The record it is of.
        generation: The same in the common vocabulary.
        part: Which of its files; None where the record tells of none and has to be asked for.
        place: Where to fetch it to.
        is_last: Whether nothing is left to be done for the generation after it.
    """

    item: T
    generation: Generation
    part: ArchivePart | None
    place: Path
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class FetchedFile(Generic[T]):
    """What came of a part: fetched to its place, or found to be gone (no length)."""

    todo: PendingFile[T]
    part: ArchivePart
    size: int | None = None
    sha256: str | None = None
    content_type: str | None = None


@dataclass(slots=True)
class SortedItems(Generic[T]):
    """What looking at some records came to.

    Attributes:
        todo: What is to be fetched.
        looked_at: How many there were.
        settled: Of them, those for which nothing is left to be done.
        kept: Files that are there.
        expired: Files known to be gone.
        skipped: Generations without a result.
        saved: Files written on the spot.
        bytes: Their length.
    """

    todo: list[PendingFile[T]] = field(default_factory=list)
    looked_at: int = 0
    settled: int = 0
    kept: int = 0
    expired: int = 0
    skipped: int = 0
    saved: int = 0
    bytes: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to be had."""
        return not (self.todo or self.kept or self.expired or self.saved)


class ArchiveDirectory(Generic[T]):
    """An archive's directory, opened for one run; nobody else opens it meanwhile.

    Args:
        directory: Where; it is made where there is none.
        catalogue: Of the service.
        plan: The account's, by which results expire.
        verify: Whether files that are there are read and compared by content, not only by length.

    Raises:
        ConfigurationError: It or its workshop is no directory, another archive is at work in it, or it mirrors
            something else.
        OSError: It cannot be made or written.
    """

    def __init__(self, directory: Path, catalogue: ArchiveSource[T], *, plan: str | None, verify: bool) -> None:
        self.directory = directory
        self.manifest = directory / NAME
        self._catalogue = catalogue
        self._plan = plan
        self._verify = verify
        self._lock = threading.Lock()
        self._is_closed = False
        nearest = next(one for one in (directory, *directory.parents) if os.path.lexists(one) or one == one.parent)
        if os.path.lexists(nearest) and not nearest.is_dir():
            raise ConfigurationError(f"`{nearest}` is not a directory, so no archive can be kept in it.")
        self._workshop = directory / _WORKSHOP
        if self._workshop.is_symlink() or (os.path.lexists(self._workshop) and not self._workshop.is_dir()):
            raise ConfigurationError(
                f"`{self._workshop}` is a link or a file; the archive keeps what is unfinished there and needs a "
                "directory of its own. Remove it, or choose another directory."
            )
        self._workshop.mkdir(parents=True, exist_ok=True)
        self._books = ArchiveIndex(self._workshop / _LOCK)
        try:
            for entry in read_manifest(self.manifest):
                self._require_same(entry)
                self._books.know(entry)
        except BaseException:
            self._books.close()
            raise

    def _require_same(self, entry: ManifestEntry) -> None:
        ours = self._catalogue
        if entry.service != ours.service:
            raise ConfigurationError(f"`{self.directory}` mirrors a history of {entry.service}, not of {ours.service}.")
        if None not in (entry.account, ours.account) and entry.account != ours.account:
            raise ConfigurationError(
                f"`{self.directory}` mirrors the history of account {entry.account}, and this is account "
                f"{ours.account}; give each its own directory."
            )

    def close(self) -> None:
        """Let others use the directory; nothing happens to it afterwards."""
        with self._lock:
            self._is_closed = True
            self._books.close()

    # What there is to do.

    def plan(self, items: Iterable[T], now: float) -> None:
        """Put items into the plan."""
        moment = datetime.fromtimestamp(now, UTC)
        with self._lock:
            if not self._is_closed:
                generations = ((self._catalogue.generation(item), item.raw) for item in items)
                self._books.plan((urgency(one, self._plan, moment), raw) for one, raw in generations)

    def order(self) -> int:
        """Begin with the most urgent item; return how many there are."""
        with self._lock:
            return 0 if self._is_closed else self._books.order()

    def sort_out(self, count: int, now: float) -> SortedItems[T]:
        """Look at the next items: what of them is there, and what is to be fetched. Texts are written at once."""
        found: SortedItems[T] = SortedItems()
        texts: list[FetchedFile[T]] = []
        with self._lock:
            for record in [] if self._is_closed else self._books.take(count):
                item = self._catalogue.read(record)
                generation = self._catalogue.generation(item)
                found.looked_at += 1
                if generation.is_completed:
                    self._look(item, generation, parts_of(generation, self._catalogue.urls(item)), found, texts)
                else:
                    found.skipped += 1
                    found.settled += 1
            self._enter(texts, now, found)
        return found

    def sort_out_asked(self, listed: T, asked: T, now: float) -> SortedItems[T]:
        """Look at an item that was asked for, since the list did not tell of its result."""
        found: SortedItems[T] = SortedItems()
        texts: list[FetchedFile[T]] = []
        # Each of the two may say what the other does not, such as the prompt.
        said = {name: value for name, value in asked.raw.items() if value not in (None, "")}
        item = self._catalogue.read({**listed.raw, **said})
        generation = self._catalogue.generation(item)
        parts = parts_of(generation, self._catalogue.urls(item))
        with self._lock:
            if parts and not self._is_closed:
                self._look(item, generation, parts, found, texts)
                self._enter(texts, now, found)
        return found

    def _look(
        self,
        item: T,
        generation: Generation,
        parts: Sequence[ArchivePart],
        found: SortedItems[T],
        texts: list[FetchedFile[T]],
    ) -> None:
        key = str(generation.id)
        known = self._books.known(key)
        there = {name: self._is_there(one, self._place(key, name)) for name, one in known.items()}
        # The list need not tell of a result that an earlier run has asked for.
        for name in [part.name for part in parts] or (known if all(there.values()) else ()):
            if there.get(name):
                found.expired += known[name].state == EXPIRED
                found.kept += known[name].state == SAVED
        todo = [
            PendingFile(item, generation, one, self._place(key, one.name)) for one in parts if not there.get(one.name)
        ]
        if not parts and not (known and all(there.values())):
            todo = [PendingFile(item, generation, None, self._place(key, ""))]
        texts += [_written(one, one.part.text) for one in todo if one.part is not None and one.part.text is not None]
        files = [one for one in todo if one.part is None or one.part.text is None]
        found.todo += [replace(one, is_last=one is files[-1]) for one in files]
        found.settled += not files

    def _place(self, key: str, part: str) -> Path:
        return self._workshop / _digest(key, part)[:40]

    def _is_there(self, known: ManifestEntry, place: Path) -> bool:
        """Whether nothing is to be done for a file: it is there, or it is known to be gone."""
        if known.path is None:
            return True
        path = self.directory / known.path
        if self._is_same(path, known):
            return True
        if os.path.lexists(path) or not self._is_same(place, known, verify=True):
            return False
        _settle(place, path)  # the process ended between the manifest's line and the name
        return True

    def _is_same(self, path: Path, known: ManifestEntry, *, verify: bool = False) -> bool:
        if not path.is_file() or path.stat().st_size != known.size:
            return False
        return not (verify or self._verify) or sha256_of(path) == known.sha256

    # What was done.

    def enter(self, done: Sequence[FetchedFile[T]], now: float) -> SortedItems[T]:
        """Let the manifest tell of what was fetched, and give it its names."""
        found: SortedItems[T] = SortedItems()
        with self._lock:
            if not self._is_closed:
                self._enter(done, now, found)
        return found

    def _enter(self, done: Sequence[FetchedFile[T]], now: float, found: SortedItems[T]) -> None:
        if not done:
            return
        moment, lines, entries = datetime.fromtimestamp(now, UTC), [], []
        for one in done:
            entry = self._entry(one)
            self._books.know(entry)
            entries.append(entry)
            lines.append(
                write_line(
                    entry,
                    fields_of(one.todo.item),
                    archived_at=moment,
                    expires_at=one.todo.generation.expires_at(self._plan),
                )
            )
        append(self.manifest, lines)
        for one, entry in zip(done, entries, strict=True):
            if entry.path is None:
                found.expired += 1
            else:
                _settle(one.todo.place, self.directory / entry.path)
                found.saved += 1
                found.bytes += entry.size or 0

    def _entry(self, done: FetchedFile[T]) -> ManifestEntry:
        key, ours = str(done.todo.generation.id), self._catalogue
        if done.size is None or done.sha256 is None:
            return ManifestEntry(ours.service, ours.account, key, done.part.name, EXPIRED)
        entry = ManifestEntry(ours.service, ours.account, key, done.part.name, SAVED, "", done.size, done.sha256)
        return replace(entry, path=self._path(done, entry))

    def _path(self, done: FetchedFile[T], entry: ManifestEntry) -> str:
        """Find the name of a file: the one it had, else one after its kind and id that is free."""
        had = self._books.known(entry.key).get(entry.part)
        if had is not None and had.path is not None:
            return had.path
        directory = clean_name(done.todo.generation.kind or "other")
        ending = ".txt" if entry.part == TEXT else ending_of(done.part.url) or ending_for(done.content_type)
        stem = clean_name(entry.key + entry.part.removeprefix(TEXT).removeprefix(FIRST_FILE), fallback="generation")
        mark = _digest(entry.key, entry.part)[:8]
        for attempt in range(_MOST_NAMES):
            more = "" if attempt == 0 else f"-{mark}" if attempt == 1 else f"-{mark}-{attempt}"
            # An id may be longer than a name: what tells it from others must not be what is cut off.
            name = clean_name(stem.encode()[:_LONGEST_STEM].decode("utf-8", "ignore") + more + ending)
            path = str(PurePosixPath(directory, name))
            if self._books.is_free(path, entry) and self._may_take(self.directory / path, entry):
                return path
        raise ConfigurationError(f"`{self.directory / directory}` is full of files named after {entry.key}.")

    def _may_take(self, path: Path, entry: ManifestEntry) -> bool:
        """Whether nothing stands there, or the very same."""
        return not os.path.lexists(path) or self._is_same(path, entry, verify=True)

    def tidy(self) -> None:
        """Remove what runs have left in the workshop, when everything is there and nothing will be gone on with."""
        with self._lock:
            if not self._is_closed:
                for left in self._workshop.iterdir():
                    if _MADE_HERE.fullmatch(left.name):  # what others keep here is theirs
                        with suppress(OSError):
                            left.unlink()


def _digest(key: str, part: str) -> str:
    return hashlib.sha256(f"{key}\n{part}".encode("utf-8", "backslashreplace")).hexdigest()


def _settle(place: Path, path: Path) -> None:
    """Give a file its name. What may stand there is the same, or was ours and is damaged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place.replace(path)


def _written(todo: PendingFile[T], text: str) -> FetchedFile[T]:
    """Write a text to its place."""
    assert todo.part is not None
    content = text.encode("utf-8", "backslashreplace")  # half a character has no bytes
    todo.place.write_bytes(content)
    return FetchedFile(todo, todo.part, len(content), hashlib.sha256(content).hexdigest())
