"""How a file gets to the disk: whole under its name, or not at all.

It is written under a name of its own beside its target, the part, and takes the target's name in one step when it is
whole and flushed to the disk; what is discarded before that is gone.

A part is named after what it is of (`key`), so that what a killed process left is found by the next call, which goes
on from it or clears it away. Beside it lies a record of the version its bytes are of. The rules that keep a part from
being believed wrongly: it is emptied before the record changes, and the record is written before bytes are; it is
locked while somebody writes, so that of two downloads of one file at the same time, in one process or two, the second
makes a part of its own that nobody goes on from; what was not flushed counts only until the machine starts again. Who
finishes clears away the parts of those that were killed meanwhile.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from .names import MAX_NAME_BYTES
from .own_file import FLAGS, is_at, is_own, lock, read_own, write_own
from .ranges import FileVersion, recorded_version
from .target import Overwrite, require_regular, sha256_of, taken

# A part that is no longer than this goes to the disk in one step, so there is nothing to record.
_WORTH_A_RECORD: Final = 2 * 1024 * 1024
# Bytes given to the system at a time. From 64 KB on Linux looks for larger pieces of memory to keep them in, which took up
# to nine times the system's CPU where its memory was in small pieces (measured: ext4, 2 MB at a time against 32 KB).
_STEP: Final = 32 * 1024
# Names of parts of downloads of one file at the same time: the first is gone on from, the others are only cleared away.
_SLOTS: Final = ("", ".2", ".3", ".4")
_ON_WINDOWS: Final = os.name == "nt"


@dataclass(frozen=True, slots=True)
class KeptPart:
    """What an earlier call left.

    Attributes:
        length: How many bytes, above 0.
        version: What they are of.
    """

    length: int
    version: FileVersion


class PartFile:
    """A file on its way: written beside its target, published under the target's name or discarded.

    `close` must follow on every path; after `publish` it does nothing. The lock is for a thread that outlives the wait for
    it (asyncio's own cancellation does that): whatever it still does comes before or after `close`, never in the
    middle, and nothing is opened or published after it.

    Args:
        directory: Where the target will stand.
        key: Names the part; the same for every download of the same file.
        digest: Whether to compute the SHA-256 on the way.
    """

    def __init__(self, directory: Path, key: str, *, digest: bool = False) -> None:
        self._directory = directory
        self._slots = tuple(directory / f".neuralbox-{key}{slot}.part" for slot in _SLOTS)
        self._part = self._slots[0]
        self._record = directory / f".neuralbox-{key}.json"
        self._descriptor = -1
        self._is_own = False  # a part under a name that nobody else knows
        self._version: FileVersion | None = None
        self._is_recorded = False
        self._kept: KeptPart | None = None  # what lies there and was not touched yet
        self._length = 0
        self._hash = hashlib.sha256() if digest else None
        self._hashed = 0
        self._is_closed = False
        self._lock = threading.Lock()

    @classmethod
    def beside(cls, target: Path) -> PartFile:
        """Make the part of a file that this program writes itself, named after its target."""
        return cls(target.parent, hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16])

    @property
    def sha256(self) -> str | None:
        return None if self._hash is None else self._hash.hexdigest()

    def open_kept(self) -> KeptPart | None:
        """Open and lock what an earlier call left; None where there is nothing to go on from."""
        with self._lock:
            if self._is_closed or not os.path.lexists(self._part):
                return None
            self._descriptor = _open_part(self._part, create=False)
            if self._descriptor >= 0:
                self._kept = self._read_record()
            return self._kept

    def discard_kept(self) -> None:
        """Give up what an earlier call left: `close` removes it."""
        self._kept, self._is_recorded = None, False

    def begin(self, first: int, version: FileVersion | None) -> None:
        """Make the part and the directories above it, or go on with what is there, from byte `first`."""
        with self._lock:
            if self._is_closed:
                return
            if self._descriptor < 0:
                self._open()
            self._kept = None
            self._cut(first)
            if not self._is_own:
                self._write_record(version, flushed=0)

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        with self._lock:
            if self._descriptor >= 0:
                self._append(data)

    def publish(
        self, target: Path, overwrite: Overwrite, *, durable: bool = False, same_stays: bool = False
    ) -> Path | None:
        """Give the file its name, in one step.

        Args:
            target: The name.
            overwrite: What happens where something has come to stand there.
            durable: Whether the name, too, is to survive a loss of power from here on; the content always does.
            same_stays: Whether, with `rename`, a file of the same content that stands there is taken for this one.

        Returns:
            Where it is; None where a file has come to stand there that stays.

        Raises:
            ConfigurationError: Something has come to stand there that may not be replaced.
        """
        with self._lock:
            if self._descriptor < 0:
                return target
            # Before the name: after a loss of power a name without content would be a wrong file.
            os.fsync(self._descriptor)
            if not is_at(
                self._part, self._descriptor
            ):  # renamed or replaced by somebody; what lies there now may be anything
                raise OSError(errno.ENOENT, "the part was taken away meanwhile")
            if _ON_WINDOWS:  # pragma: no cover - an open file cannot be renamed there
                self._close_descriptor()
            path = self._rename(target, overwrite, same_stays=same_stays)
            if path is None:
                self._remove()
                return None
            self._close_descriptor()
            self._forget_record()
            self._clear_slots()
            if durable:
                _flush_directory(self._directory)
            return path

    def close(self, *, keep: bool) -> None:
        """Remove the part, unless it was published; nothing happens to it afterwards.

        Args:
            keep: Leave it for a later call, where one could go on from it.
        """
        with self._lock:
            self._is_closed = True
            if self._descriptor < 0:
                return
            with suppress(OSError):  # a disk that fails here has failed before, and that is the error to be told
                if self._kept is not None:
                    self._close_descriptor()  # not ours: it stays as it was found
                elif keep and self._is_recorded and self._length:
                    os.fsync(self._descriptor)
                    self._write_record(self._version, flushed=self._length)
                    self._close_descriptor()
            if self._descriptor >= 0:
                with suppress(OSError):
                    self._remove()

    # The part...

    def _open(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        for slot in self._slots:
            self._part, self._descriptor = slot, _open_part(slot, create=True)
            if self._descriptor >= 0:
                return
            self._is_own = True  # another download of the same file is under way
        # Too many of them, or this disk has no locks.
        self._part = self._directory / f".neuralbox-{secrets.token_hex(8)}.part"
        self._descriptor = os.open(self._part, FLAGS | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)

    def _clear_slots(self) -> None:
        """Remove what other downloads of the same file left that were killed; those under way hold their locks."""
        for path in self._slots:
            if path == self._part or not os.path.lexists(path):
                continue
            descriptor = _open_part(path, create=False)
            if descriptor < 0:
                continue
            with suppress(OSError):
                path.unlink()
                if path == self._slots[0]:
                    self._record.unlink(missing_ok=True)
            os.close(descriptor)

    def _cut(self, first: int) -> None:
        if os.fstat(self._descriptor).st_size < first:  # the system would fill it up with zeros
            raise OSError(errno.EIO, "the part was shortened meanwhile")
        os.ftruncate(self._descriptor, first)
        os.lseek(self._descriptor, first, os.SEEK_SET)
        self._length = first
        if self._hash is None or self._hashed == first:
            return
        self._hash = hashlib.sha256()
        self._hashed = first
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        left = first
        while left > 0 and (piece := os.read(self._descriptor, min(left, _WORTH_A_RECORD))):
            self._hash.update(piece)
            left -= len(piece)

    def _append(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:  # a system may write less than it was given
            rest = rest[os.write(self._descriptor, rest[:_STEP]) :]
        self._length += len(data)
        if self._hash is not None:
            self._hash.update(data)
            self._hashed += len(data)

    def _rename(self, target: Path, overwrite: Overwrite, *, same_stays: bool) -> Path | None:
        if overwrite == "replace":
            require_regular(target)
            self._part.replace(target)
            return target
        for path in _candidates(target) if overwrite == "rename" else (target,):
            if _rename_to_free(self._part, path):
                return path
            if same_stays and _is_same(self._part, path):
                self._part.unlink()
                return path
        if overwrite == "skip" and target.is_file():
            return None
        raise taken(target)

    def _remove(self) -> None:
        if _ON_WINDOWS:  # pragma: no cover - an open file cannot be removed there
            self._close_descriptor()
        try:
            if self._descriptor < 0 or is_at(self._part, self._descriptor):  # still locked, so it is nobody else's
                self._part.unlink(missing_ok=True)
                self._forget_record()
        finally:
            self._close_descriptor()

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    # ... and the record of what it is.

    def _read_record(self) -> KeptPart | None:
        """Read what the part is, as far as it can be believed."""
        length = os.fstat(self._descriptor).st_size
        try:
            said = json.loads(read_own(self._record))
        except (OSError, ValueError, RecursionError):
            return None
        version = recorded_version(said) if isinstance(said, dict) else None
        if version is None:
            return None
        if said.get("boot") != _boot():
            flushed = said.get("flushed")
            length = min(length, flushed) if isinstance(flushed, int) else 0
        return KeptPart(length, version) if length > 0 else None

    def _write_record(self, version: FileVersion | None, *, flushed: int) -> None:
        self._version = version
        self._is_recorded = version is not None and (version.total is None or version.total > _WORTH_A_RECORD)
        if not self._is_recorded:
            self._forget_record()
            return
        assert version is not None
        record = {**asdict(version), "flushed": flushed, "boot": _boot()}
        try:
            write_own(self._record, json.dumps(record).encode())
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise
            self._is_recorded = False  # a name that somebody else holds: then nobody goes on from this part

    def _forget_record(self) -> None:
        if self._is_own:
            return
        try:
            self._record.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise


def write_whole(path: Path, pieces: Iterable[str], overwrite: Overwrite) -> Path | None:
    """Write a text that stands under its name when all of it is on the disk. Blocking.

    Args:
        path: The name.
        pieces: The text; half a character, which no file holds, becomes a question mark.
        overwrite: What happens where something stands there.

    Returns:
        Where it is; None where something stands there that stays.

    Raises:
        ConfigurationError: What stands there may not be replaced.
        OSError: It cannot be written.
    """
    part = PartFile.beside(path)
    try:
        part.begin(0, None)
        for piece in pieces:
            part.write(piece.encode("utf-8", "replace"))
        return part.publish(path, overwrite)
    finally:
        part.close(keep=False)


def _candidates(target: Path) -> Iterator[Path]:
    yield target
    for number in range(2, 10_000):
        stem, rest = target.stem, f" ({number}){target.suffix}"
        room = MAX_NAME_BYTES - len(os.fsencode(rest))
        while stem and len(os.fsencode(stem)) > room:
            stem = stem[:-1]
        yield target.with_name(stem + rest)


def _rename_to_free(part: Path, target: Path) -> bool:
    """Rename; False if something stands there."""
    try:
        # Unlike a rename, a second name never takes the place of a file that came meanwhile.
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without second names (FAT, some network shares)
        if os.path.lexists(target):
            return False
        part.rename(target)
    else:
        part.unlink()
    return True


def _is_same(part: Path, path: Path) -> bool:
    """Whether a file of the same content stands there."""
    try:
        return path.is_file() and path.stat().st_size == part.stat().st_size and sha256_of(path) == sha256_of(part)
    except OSError:  # what cannot be read is somebody else's
        return False


# Opening a part so that it is this process's alone, with the care of `own_file`.

# What the system says where a name is a link, a directory, a socket, a device or somebody else's.
_NOT_OURS: Final = frozenset(
    {errno.ELOOP, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP, errno.EEXIST}
)


def _open_part(path: Path, *, create: bool) -> int:
    """Open and lock; -1 where it is not to be had."""
    while True:
        try:
            descriptor = os.open(path, FLAGS | os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
        except OSError as error:
            if create and error.errno not in _NOT_OURS:
                raise
            return -1
        try:
            lock(descriptor, wait=False)
            found, state = os.lstat(path), os.fstat(descriptor)
        except FileNotFoundError:
            os.close(descriptor)
            if create:
                continue  # whoever had it has finished with it meanwhile
            return -1
        except OSError:
            os.close(descriptor)
            return -1
        if os.path.samestat(found, state) and is_own(state):
            if state.st_nlink == 1:
                return descriptor
            # Killed between the two steps of `_rename_to_free`: under its other name it is a finished file.
            path.unlink(missing_ok=True)
        os.close(descriptor)
        if not is_own(state):
            return -1


def _flush_directory(directory: Path) -> None:
    if _ON_WINDOWS:  # pragma: no cover - a directory cannot be opened there
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _boot() -> str:
    """Tell one run of the machine from another: what was written but not flushed outlives a process, not a crash."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    # macOS and Windows: a clock that was set makes it another run, which only costs bytes.
    return f"{round((time.time() - time.monotonic()) / 10)}"
