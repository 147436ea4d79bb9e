"""The manifest on disk: JSON lines, appended to and read again.

A process that is killed while it writes leaves half a line at the end, and a broken disk may leave one anywhere. Such
lines are dropped, the others stay as they are; what they told of is then saved again, or adopted by its content. A file
that is no manifest is refused and left alone. All of it runs in worker threads.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .._errors import ConfigurationError
from .._files.own_file import create_own, is_own, open_own
from .manifest_entry import ManifestEntry, is_ours, read_line


def read_manifest(path: Path) -> Iterator[ManifestEntry]:
    """Read the entries in the order in which they were written; of two for one file the later one counts.

    When all of them have been taken, damaged lines are gone from the file.

    Raises:
        ConfigurationError: It is no manifest of an archive.
        OSError: It cannot be read or repaired.
    """
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file():
        raise ConfigurationError(f"`{path}` is not a file, so it cannot be an archive's manifest.")
    damaged: set[int] = set()
    state = path.stat()
    if state.st_nlink > 1 and is_own(
        state
    ):  # a copy made of links, as some backups are: what is written here is not for that
        _rewrite(path, damaged)
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        for number, line in enumerate(file):
            entry = read_line(line)
            if entry is not None:
                yield entry
            elif number == 0 and not is_ours(line.strip(b"\0")):
                raise ConfigurationError(f"`{path}` is not the manifest of an archive; choose another directory.")
            else:
                damaged.add(number)
    if damaged:
        _rewrite(path, damaged)


def _rewrite(path: Path, damaged: set[int]) -> None:
    """Write the file anew without some of its lines, in one step."""
    part = path.with_name(f".{path.name}.part")
    mode = stat.S_IMODE(path.stat().st_mode)  # who may read it stays as it was
    try:
        with path.open("rb") as file, os.fdopen(create_own(part, mode), "wb") as whole:
            whole.writelines(line for number, line in enumerate(file) if number not in damaged)
            whole.flush()
            os.fsync(whole.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def append(path: Path, lines: list[bytes]) -> None:
    """Add lines, on the disk before this returns.

    Raises:
        OSError: They could not be written whole; what was written of them is dropped by the next reading.
    """
    descriptor = open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    before = os.fstat(descriptor).st_size
    try:
        rest = memoryview(b"".join(lines))
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, before)  # half a line in front of the next one would damage that as well
        raise
    finally:
        os.close(descriptor)
