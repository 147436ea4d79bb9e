"""The directory of an archive: what is there, what is missing, and how a file comes to its name.

A file is fetched into the staging folder, `.neuralbox`, under a name made of nothing but the generation's id. Then the
manifest tells of it, with its length and hash, and then it gets the name by which it is known. So whatever ends the
process in between leaves a file that the next run finds in the staging folder and knows by its hash
(`_recover_interrupted_renames`), and no name ever stands for something else. What stands under a name and is not in the
manifest is not ours: the same content is adopted, anything else keeps its name and ours gets another. All of it runs in
worker threads; the lock is for one that outlives the wait for it (asyncio's own cancellation does that).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

from .._errors import ConfigurationError
from .._files.names import clean_name, ending_for, ending_of
from .._files.own_file import SHARED, is_own_directory, write_own
from .._files.partial_file import PartFile
from .._files.target import require_regular, sha256_of
from .._models.generation import Generation, Model
from .index import ArchiveIndex
from .manifest import append, read_manifest
from .manifest_entry import EXPIRED, NAME, SAVED, STAGING, ManifestEntry, fields_of, is_reserved, write_line
from .source import FIRST_FILE, TEXT, ArchivePart, ArchiveSource, key_of, may_be_gone, parts_of, urgency

T = TypeVar("T", bound=Model)

_LOCK = "archive.lock"
# What a run makes in the staging folder beside its lock, the runs before this one included: a fetched file or a text
# under its digest (`_staged`), and what `_files.partial_file` writes on the way there.
_MADE_HERE = re.compile(r"[0-9a-f]{40}|\.neuralbox-[0-9a-f]{16}(?:\.[2-4])?\.(?:part|json)")
_MOST_NAMES = 100
_PIECE = 1024 * 1024
_LONGEST_STEM = 200


@dataclass(frozen=True, slots=True)
class PendingFile(Generic[T]):
    """A file to be fetched.

    Attributes:
        item: The record it is of.
        generation: The same in the common vocabulary.
        part: Which of its files; None where the record tells of none and has to be asked for.
        staged: Where to fetch it to.
        is_last: Whether nothing is left to be done for the generation after it.
    """

    item: T
    generation: Generation
    part: ArchivePart | None
    staged: Path
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class FetchedFile(Generic[T]):
    """A part that was fetched into the staging folder, or found to be gone (no length)."""

    pending: PendingFile[T]
    part: ArchivePart
    size: int | None = None
    sha256: str | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class SortedItems(Generic[T]):
    """What some records came to.

    Attributes:
        pending: What is to be fetched.
        examined: How many there were.
        settled: Of them, those for which nothing is left to be done.
        kept: Files that are there.
        expired: Files known to be gone.
        skipped: Generations without a result, or shown twice.
        saved: Files written on the spot.
        bytes: Their length.
    """

    pending: Sequence[PendingFile[T]] = ()
    examined: int = 0
    settled: int = 0
    kept: int = 0
    expired: int = 0
    skipped: int = 0
    saved: int = 0
    bytes: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to be had."""
        return not (self.pending or self.kept or self.expired or self.saved)


@dataclass(frozen=True, slots=True)
class _ItemState(Generic[T]):
    """What is there of one generation: counts, texts to be written and files to be fetched."""

    kept: int
    expired: int
    texts: Sequence[PendingFile[T]]
    files: Sequence[PendingFile[T]]


class ArchiveDirectory(Generic[T]):
    """An archive's directory, opened for one run; nobody else opens it meanwhile.

    Args:
        directory: Where; it is made where there is none.
        source: The service's history.
        plan: The account's, by which results expire.
        verify: Whether files that are there are read and compared by content, not only by length, and those noted as gone
            before their time are asked for again.

    Raises:
        ConfigurationError: It or its staging folder is no directory, another archive is at work in it, or it mirrors
            something else.
        OSError: It cannot be made or written.
    """

    def __init__(self, directory: Path, source: ArchiveSource[T], *, plan: str | None, verify: bool) -> None:
        self.directory = directory
        self.manifest = directory / NAME
        self._source = source
        self._plan = plan
        self._verify = verify
        self._lock = threading.Lock()
        self._is_closed = False
        self._without_id: set[str] = set()
        nearest = next(
            above for above in (directory, *directory.parents) if os.path.lexists(above) or above == above.parent
        )
        if os.path.lexists(nearest) and not nearest.is_dir():
            raise ConfigurationError(f"`{nearest}` is not a directory, so no archive can be kept in it.")
        self._staging = directory / STAGING
        if os.path.lexists(self._staging) and not is_own_directory(self._staging):
            raise ConfigurationError(
                f"`{self._staging}` is a link or a file, or somebody else's; the archive keeps what is unfinished there "
                "and needs a directory of its own. Remove it, or choose another directory."
            )
        self._staging.mkdir(parents=True, exist_ok=True)
        self._index = ArchiveIndex(self._staging / _LOCK)
        try:
            for entry in read_manifest(self.manifest):
                self._require_same(entry)
                self._index.know(entry)
            self._recover_interrupted_renames()
        except BaseException:
            self._index.close()
            raise

    def _require_same(self, entry: ManifestEntry) -> None:
        ours = self._source
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
            self._index.close()

    # What there is to do.

    def plan(self, items: Iterable[T], now: float) -> None:
        """Put items into the plan."""
        moment = datetime.fromtimestamp(now, UTC)
        with self._lock:
            if not self._is_closed:
                pairs = ((self._source.generation(item), item.raw) for item in items)
                self._index.plan((urgency(generation, self._plan, moment), raw) for generation, raw in pairs)

    def order(self) -> int:
        """Begin with the most urgent item; return how many there are."""
        with self._lock:
            return 0 if self._is_closed else self._index.order()

    def sort_out(self, count: int, now: float) -> SortedItems[T]:
        """Examine the next items: what of them is there, and what is to be fetched. Texts are written at once."""
        with self._lock:
            records = [] if self._is_closed else self._index.take(count)
            items = [self._source.read(record) for record in records]
            pairs = [(item, self._source.generation(item)) for item in items]
            states = [
                self._state_of(item, generation, now)
                for item, generation in pairs
                if generation.is_completed and self._is_first(generation)
            ]
            skipped = len(pairs) - len(states)
            found = self._sorted(states, now)
            return replace(found, examined=len(pairs), skipped=skipped, settled=found.settled + skipped)

    def _is_first(self, generation: Generation) -> bool:
        """Whether a record was not met before by this run. The listing tells of those with an id only."""
        if generation.id != "":
            return True
        key = key_of(generation)
        if key in self._without_id:
            return False
        self._without_id.add(key)
        return True

    def sort_out_asked(self, listed: T, asked: T, now: float) -> SortedItems[T]:
        """Examine an item that was asked for, since the list did not tell of its result."""
        # Each of the two may say what the other does not, such as the prompt.
        said = {name: value for name, value in asked.raw.items() if value not in (None, "")}
        item = self._source.read({**listed.raw, **said})
        generation = self._source.generation(item)
        with self._lock:
            if self._is_closed or not parts_of(generation, self._source.urls(item)):
                return SortedItems()
            return self._sorted([self._state_of(item, generation, now)], now)

    def _sorted(self, states: Sequence[_ItemState[T]], now: float) -> SortedItems[T]:
        """Write the texts and enter them, and sum up."""
        entered = self._enter([_write_text(text) for state in states for text in state.texts], now)
        return SortedItems(
            pending=[file for state in states for file in state.files],
            settled=sum(not state.files for state in states),
            kept=sum(state.kept for state in states),
            expired=sum(state.expired for state in states) + entered.expired,
            saved=entered.saved,
            bytes=entered.bytes,
        )

    def _state_of(self, item: T, generation: Generation, now: float) -> _ItemState[T]:
        """Compare what a generation has with what is in the directory."""
        parts = parts_of(generation, self._source.urls(item))
        key = key_of(generation)
        known = self._index.known(key)
        may_return = self._verify and not self.is_over(generation, now)
        there = {name: self._is_there(entry, may_return=may_return) for name, entry in known.items()}
        # The list need not tell of a result that an earlier run has asked for.
        is_whole = bool(known) and all(there.values())
        names = [part.name for part in parts] or (known if is_whole else ())
        states = [known[name].state for name in names if there.get(name)]
        missing = [part for part in parts if not there.get(part.name)]
        texts = [part for part in missing if part.text is not None]
        files: Sequence[ArchivePart | None] = [part for part in missing if part.text is None]
        if not parts and not is_whole:
            files = [None]  # the record tells of nothing: it has to be asked for

        def pending(part: ArchivePart | None, *, is_last: bool = True) -> PendingFile[T]:
            staged = self._staged(key, "" if part is None else part.name)
            return PendingFile(item, generation, part, staged, is_last)

        return _ItemState(
            kept=states.count(SAVED),
            expired=states.count(EXPIRED),
            texts=[pending(part) for part in texts],
            files=[pending(part, is_last=number == len(files)) for number, part in enumerate(files, 1)],
        )

    def _staged(self, key: str, part: str) -> Path:
        return self._staging / _digest(key, part)[:40]

    def _is_there(self, known: ManifestEntry, *, may_return: bool) -> bool:
        """Whether nothing is to be done for a file: it is there, or it is known to be gone."""
        return not may_return if known.path is None else self._is_same(self.directory / known.path, known)

    def is_over(self, generation: Generation, now: float) -> bool:
        """Tell whether files of a generation that the storage has not are gone for good."""
        return may_be_gone(generation, self._plan, datetime.fromtimestamp(now, UTC))

    def _is_same(self, path: Path, known: ManifestEntry, *, verify: bool = False) -> bool:
        if not path.is_file() or path.stat().st_size != known.size:
            return False
        return not (verify or self._verify) or sha256_of(path) == known.sha256

    def _recover_interrupted_renames(self) -> None:
        """Name what a process left that ended between the manifest's line and the name."""
        staged = {path.name for path in self._staging.iterdir() if _MADE_HERE.fullmatch(path.name)}
        if not staged:
            return
        for entry in self._index.saved():
            source = self._staged(entry.key, entry.part)
            assert entry.path is not None
            target = self.directory / entry.path
            if source.name in staged and not os.path.lexists(target) and self._is_same(source, entry, verify=True):
                _rename_into_place(source, target)

    # What was done.

    def enter(self, fetched: Sequence[FetchedFile[T]], now: float) -> SortedItems[T]:
        """Let the manifest tell of what was fetched, and give it its names."""
        with self._lock:
            return SortedItems() if self._is_closed else self._enter(fetched, now)

    def _enter(self, fetched: Sequence[FetchedFile[T]], now: float) -> SortedItems[T]:
        if not fetched:
            return SortedItems()
        moment, lines, entries = datetime.fromtimestamp(now, UTC), [], []
        for file in fetched:
            entry, pending = self._entry(file), file.pending
            self._index.know(entry)
            entries.append(entry)
            expires_at = pending.generation.expires_at(self._plan)
            lines.append(write_line(entry, fields_of(pending.item), archived_at=moment, expires_at=expires_at))
        append(self.manifest, lines)
        for file, entry in zip(fetched, entries, strict=True):
            if entry.path is not None:
                _rename_into_place(file.pending.staged, self.directory / entry.path)
        saved = [entry for entry in entries if entry.path is not None]
        return SortedItems(
            saved=len(saved), expired=len(entries) - len(saved), bytes=sum(entry.size or 0 for entry in saved)
        )

    def _entry(self, file: FetchedFile[T]) -> ManifestEntry:
        key, ours = key_of(file.pending.generation), self._source
        if file.size is None or file.sha256 is None:
            return ManifestEntry(ours.service, ours.account, key, file.part.name, EXPIRED)
        entry = ManifestEntry(ours.service, ours.account, key, file.part.name, SAVED, "", file.size, file.sha256)
        return replace(entry, path=self._path(file, entry))

    def _path(self, file: FetchedFile[T], entry: ManifestEntry) -> str:
        """Find the name of a file: the one it had, else one after its kind and id that is free."""
        had = self._index.known(entry.key).get(entry.part)
        if had is not None and had.path is not None:
            return had.path
        directory = clean_name(file.pending.generation.kind or "other")
        directory = "other" if is_reserved(directory) else directory
        ending = ".txt" if entry.part == TEXT else ending_of(file.part.url) or ending_for(file.content_type)
        stem = clean_name(entry.key + entry.part.removeprefix(TEXT).removeprefix(FIRST_FILE), fallback="generation")
        mark = _digest(entry.key, entry.part)[:8]
        for attempt in range(_MOST_NAMES):
            more = "" if attempt == 0 else f"-{mark}" if attempt == 1 else f"-{mark}-{attempt}"
            # An id may be longer than a name: what tells it from others must not be what is cut off.
            name = clean_name(stem.encode()[:_LONGEST_STEM].decode("utf-8", "ignore") + more + ending)
            path = str(PurePosixPath(directory, name))
            if self._index.is_free(path, entry) and self._may_take(self.directory / path, entry):
                return path
        raise ConfigurationError(f"`{self.directory / directory}` is full of files named after {entry.key}.")

    def _may_take(self, path: Path, entry: ManifestEntry) -> bool:
        """Whether nothing stands there, or the very same."""
        return not os.path.lexists(path) or self._is_same(path, entry, verify=True)

    def tidy(self) -> None:
        """Remove what runs have left in the staging folder, when everything is there and nothing will be gone on with."""
        with self._lock:
            if not self._is_closed:
                for left in self._staging.iterdir():
                    if _MADE_HERE.fullmatch(left.name):  # what others keep here is theirs
                        with suppress(OSError):
                            left.unlink()


def _digest(key: str, part: str) -> str:
    return hashlib.sha256(f"{key}\n{part}".encode("utf-8", "backslashreplace")).hexdigest()


def _rename_into_place(staged: Path, path: Path) -> None:
    """Give a file its name. What may stand there is the same, or was ours and is damaged."""
    require_regular(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        staged.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_into_place(staged, path)  # its owner keeps this kind on another disk: the folder is a link or a mount


def _copy_into_place(staged: Path, path: Path) -> None:
    part = PartFile.beside(path)
    try:
        part.begin(0, None)
        with staged.open("rb") as file:
            while piece := file.read(_PIECE):
                part.write(piece)
        part.publish(path, "replace")
    finally:
        part.close(keep=False)
    staged.unlink()


def _write_text(pending: PendingFile[T]) -> FetchedFile[T]:
    """Write a text into the staging folder."""
    assert pending.part is not None
    assert pending.part.text is not None
    content = pending.part.text.encode("utf-8", "backslashreplace")  # half a character has no bytes
    write_own(pending.staged, content, SHARED)
    return FetchedFile(pending, pending.part, len(content), hashlib.sha256(content).hexdigest())
