"""A file on disk, whole under its name or not there at all.

It is written under a name of its own beside its target and takes the target's name in one step when it is whole; what
is discarded before that is gone. Everything here touches the disk and so runs in worker threads; where the bytes come
from, and what to call the file, is others' business.
"""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ._errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file goes.

    Attributes:
        directory: Where it stands; it may not exist yet.
        path: The file itself, or None where its name in `directory` is yet to be found.
    """

    directory: Path
    path: Path | None


def find_place(target: str) -> Place:
    """Read what a caller named as the target: a directory, or the file itself.

    Raises:
        ConfigurationError: It names nothing that could be made.
    """
    if not target or "\0" in target or not _has_bytes(target):
        raise ConfigurationError(f"{target!r} cannot be the name of a file or directory.")
    path = Path(target)
    is_directory = path.is_dir()
    slashed = target.endswith(tuple(filter(None, (os.sep, os.altsep, "/"))))
    directory = path if is_directory or slashed else path.parent
    nearest = next(one for one in (directory, *directory.parents) if os.path.lexists(one) or one == one.parent)
    if os.path.lexists(nearest) and not nearest.is_dir():
        raise ConfigurationError(f"`{nearest}` is not a directory, so nothing can be put into it.")
    return Place(directory, None if directory is path else path)


def _has_bytes(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half a character, which no system writes
        return False
    return True


def require_free(path: Path, overwrite: bool) -> None:
    """Refuse a path at which something stands that may not be replaced; `ConfigurationError`."""
    if path.is_dir():
        raise ConfigurationError(f"`{path}` is a directory, so no file can take its place.")
    if not overwrite and os.path.lexists(path):
        raise _taken(path)


def _taken(path: Path) -> ConfigurationError:
    return ConfigurationError(f"`{path}` is there already; pass `overwrite=True` to replace it.")


class PartFile:
    """A file on its way: written beside its target, kept under the target's name or discarded.

    `discard` must follow on every path; after `keep` it does nothing. The lock is for a thread that outlives the wait for it (asyncio's own cancellation does that): whatever it still
    does comes before or after `discard`, never in the middle, and nothing is opened or kept after it.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        # A name of its own: the target's may leave no room for more, and two downloads may have the same target.
        self._path = target.parent / f".neuralbox-{secrets.token_hex(8)}.part"
        self._file: BinaryIO | None = None
        self._closed = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Make the file, and the directories above it."""
        with self._lock:
            if not self._closed:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("xb")

    def write(self, pieces: list[bytes]) -> None:
        """Append."""
        with self._lock:
            if self._file is not None:
                self._file.write(b"".join(pieces))

    def keep(self, overwrite: bool) -> None:
        """Give the file its name, in one step; `ConfigurationError` if something has come to stand there."""
        with self._lock:
            if self._file is None:
                return
            self._file.close()
            if overwrite:
                self._path.replace(self._target)
            else:
                self._keep_beside_others()
            self._file = None

    def _keep_beside_others(self) -> None:
        try:
            # Unlike a rename, a second name never takes the place of a file that came meanwhile.
            os.link(self._path, self._target)
        except FileExistsError:
            raise _taken(self._target) from None
        except OSError:  # a file system without second names (FAT, some network shares)
            if os.path.lexists(self._target):
                raise _taken(self._target) from None
            self._path.rename(self._target)
        else:
            self._path.unlink()

    def discard(self) -> None:
        """Remove the file, unless it was kept; nothing happens to it afterwards."""
        with self._lock:
            self._closed = True
            file, self._file = self._file, None
            if file is not None:
                with suppress(OSError):  # a full disk may refuse what was still buffered
                    file.close()
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
