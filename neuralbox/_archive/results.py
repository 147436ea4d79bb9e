"""What an archive tells of itself: plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .._types import JobRef, PlainValues


@dataclass(frozen=True, slots=True)
class ArchiveFailure(PlainValues):
    """A result that could not be saved this time; the next run tries again.

    Attributes:
        job: The generation.
        error: Name of the error's class.
        message: What it said.
    """

    job: JobRef
    error: str
    message: str

    def __str__(self) -> str:
        return f"{self.job}: {self.message}"


@dataclass(frozen=True, slots=True)
class ArchiveProgress(PlainValues):
    """How far an archive has come. A generation may have several files.

    Attributes:
        listed: Generations read from the history so far.
        total: Generations in all, or None while the history is read and does not say.
        done: Of them, those for which nothing is left to be done by this run.
        saved: Files that were saved.
        kept: Files that were there already.
        expired: Files that the storage no longer has.
        failed: Files that could not be saved this time.
        bytes: Length of what was saved.
    """

    listed: int = 0
    total: int | None = None
    done: int = 0
    saved: int = 0
    kept: int = 0
    expired: int = 0
    failed: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ArchiveResult(PlainValues):
    """What an archive came to.

    Attributes:
        directory: Where it is.
        manifest: Its manifest: JSON lines, one for each file.
        listed: Generations that the history listed.
        saved: Files that were saved by this run.
        kept: Files that were there already.
        expired: Files that the storage no longer has, those found out by earlier runs included.
        skipped: Generations without a result, pending ones come with a later run; and those without an id that were shown twice.
        failed: Files that could not be saved; the next run tries again.
        bytes: Length of what this run saved.
        failures: Why, of the first thousand of them.
    """

    directory: Path
    manifest: Path
    listed: int
    saved: int
    kept: int
    expired: int
    skipped: int
    failed: int
    bytes: int
    failures: Sequence[ArchiveFailure]


@dataclass(frozen=True, slots=True)
class ExportResult(PlainValues):
    """What an export came to.

    Attributes:
        path: The file.
        items: Generations in it.
        bytes: Its length.
        added: Of them, those that this export wrote: fewer than all where it appended to a file, none where there was
            nothing new.
    """

    path: Path
    items: int
    bytes: int
    added: int = 0
