"""Files that the library keeps for itself: records, locks, manifests, unfinished files.

In a directory that others can write to, what lies under the expected name may be a trap: a link to a file that must not
change, a pipe that never answers, a device. So no link is followed, nothing is waited for, and only a regular file of
this user with no second name is opened; a new one never takes an old one's content. Records hold prompts and signed
addresses, so a new one is for its owner alone, whatever the umask; one that is there keeps its mode.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FLAGS: Final = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe is opened without waiting for its other end, and then refused
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)

_ON_WINDOWS: Final = os.name == "nt"
PRIVATE: Final = 0o600
SHARED: Final = 0o666
"""The mode of a result, less the umask."""


def is_own(state: os.stat_result) -> bool:
    """Whether it is a regular file of this user."""
    return stat.S_ISREG(state.st_mode) and _is_of_user(state)


def is_own_directory(path: Path) -> bool:
    """Whether a directory of this user is there, and no link to one."""
    state = os.lstat(path)
    return stat.S_ISDIR(state.st_mode) and _is_of_user(state)


def _is_of_user(state: os.stat_result) -> bool:
    owner: Callable[[], int] | None = getattr(os, "geteuid", None)
    return owner is None or state.st_uid == owner()


def open_own(path: Path, flags: int, mode: int = PRIVATE) -> int:
    """Open a file of ours; return its descriptor.

    Raises:
        OSError: It cannot be opened, or is a link, no regular file, somebody else's, or known under a second name.
    """
    with suppress(FileNotFoundError):
        _require_own(os.lstat(path), path)  # some devices do something by being opened
    descriptor = os.open(path, FLAGS | flags, mode)
    try:
        _require_own(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def make_own(path: Path) -> None:
    """Make an empty file of ours unless it is there, for a library that opens it by its name.

    One that is there is only looked at: opened here and closed again, it would lose every lock this process has on it.

    Raises:
        OSError: It cannot be made, or is a link, no regular file, somebody else's, or known under a second name.
    """
    try:
        os.close(os.open(path, FLAGS | os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError:
        _require_own(os.lstat(path), path)


def create_own(path: Path, mode: int = PRIVATE) -> int:
    """Make a new file in place of whatever has this name; return its descriptor."""
    with suppress(FileNotFoundError):
        path.unlink()
    return os.open(path, FLAGS | os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)


def write_own(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a new file in place of whatever has this name; where that fails, none is left."""
    descriptor = create_own(path, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except BaseException:  # half of a key, or of what says where one is, is of no use to anybody honest
        with suppress(OSError):
            path.unlink()
        raise


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep others from changing a file of ours between what the block reads of it and what it writes. Blocking.

    The lock is on a file beside it, which is gone when nobody has it: the file itself is replaced.

    Raises:
        OSError: The file of the lock cannot be opened.
    """
    beside = path.with_name(f".{path.name}.lock")
    while True:
        descriptor = open_own(beside, os.O_RDWR | os.O_CREAT)
        with suppress(OSError):  # a disk without locks
            lock(descriptor, wait=True)
        if is_at(beside, descriptor):
            break
        os.close(descriptor)  # who had it before has removed it
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            beside.unlink()
        os.close(descriptor)


def is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is the one that has this name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if _ON_WINDOWS:  # pragma: no cover - Windows
    import msvcrt

    def lock(descriptor: int, *, wait: bool) -> None:
        """Lock a byte far behind the end, since nobody can read or write a locked one; `OSError` if another has it."""
        os.lseek(descriptor, 2**40, os.SEEK_SET)
        mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined,unused-ignore]
        msvcrt.locking(descriptor, mode, 1)  # type: ignore[attr-defined,unused-ignore]

else:
    import fcntl

    def lock(descriptor: int, *, wait: bool) -> None:
        """Lock; the lock ends with the descriptor, and so with the process. `OSError` if another has it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def read_own(path: Path) -> bytes:
    """Read a file of ours."""
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read()


def _require_own(state: os.stat_result, path: Path) -> None:
    if not is_own(state) or state.st_nlink > 1:
        raise OSError(errno.EPERM, f"`{path}` is a link, no regular file, or somebody else's")
