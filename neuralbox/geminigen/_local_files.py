"""Local files on their way into a request: found, measured, told apart by what is in them, and read while they are sent.

A path is read twice, and never kept open: once for its size and digest, and again, piece by piece, for each sending. Whether
it is still the same file is asked before a sending begins, where the answer is a plain error and nothing was sent, and with each
piece, where what was begun is broken off: half a request is accepted by nobody.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, cast

from anyio import to_thread

from .._api.media_types import image_type, media_type
from .._api.request import FormFile, digest_of
from .._errors import ConfigurationError
from .._types import Omit

LocalSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | tuple[str, bytes] | Mapping[str, str]
"""A path, the bytes themselves (with a name before them, in a tuple), or an open binary file; `{"path": ...}` in JSON."""

_PIECE: Final = 1 << 20
_NEITHER: Final = "must be a path, bytes, (name, bytes), or a file opened in binary mode ('rb')."
_HEAD: Final = 16  # bytes that tell what a file is, where nobody named it


async def load_files(fields: Mapping[str, object]) -> tuple[FormFile, ...]:
    """Measure local files, and return the parts of a form.

    Args:
        fields: For each field its files; what is `OMIT` or None has none, and texts that stand for no file are left out.

    Raises:
        ConfigurationError: One of them is none, cannot be read, or is empty.
    """
    named = [(field, source) for field, sources in fields.items() for source in sources_of(field, sources)]
    if not named:
        return ()
    return await to_thread.run_sync(
        lambda: tuple(_load(field, source, n) for n, (field, source) in enumerate(named, 1))
    )


def sources_of(field: str, sources: object) -> Sequence[LocalSource]:
    """Read the files that a field was given: one or several.

    Raises:
        ConfigurationError: They are no list.
    """
    if sources is None or isinstance(sources, Omit):
        return ()
    if isinstance(sources, str | bytes | os.PathLike | Mapping) or hasattr(sources, "read") or _is_named(sources):
        return (cast("LocalSource", sources),)
    if not isinstance(sources, Sequence):
        raise ConfigurationError(f"`{field}` must be a list of files, not {type(sources).__name__}.")
    return sources


def path_of(source: object) -> str | os.PathLike[str] | None:
    """Return the path of a source, where it has one."""
    if isinstance(source, Mapping):
        source = source.get("path")
    return source if isinstance(source, str | os.PathLike) else None


def _is_named(source: object) -> bool:
    return (
        isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], str) and isinstance(source[1], bytes)
    )


def _load(field: str, source: LocalSource, number: int) -> FormFile:
    path = path_of(source)
    if path is not None:
        return _of_path(field, path)
    if isinstance(source, bytes | tuple):
        name, content = source if isinstance(source, tuple) and _is_named(source) else ("", source)
        if not isinstance(content, bytes):
            raise ConfigurationError(f"`{field}` {_NEITHER}")
        return _of_bytes(field, name or _name(field, number, content), content)
    if not hasattr(source, "read"):
        raise ConfigurationError(f"`{field}` {_NEITHER}")
    return _of_open_file(field, source, number)


def _of_path(field: str, path: str | os.PathLike[str]) -> FormFile:
    name = Path(path).name
    try:
        content = FileOnDisk(path)
        digest = _digest(content)
    except (OSError, ValueError) as error:  # ValueError: a path no system has, with a zero byte in it
        raise ConfigurationError(f"The file {os.fspath(path)!r} cannot be read: {_why(error)}.") from error
    _require_content(name, content.size)
    return FormFile(field, name, cast("BinaryIO", content), media_type(name), digest)


def _of_bytes(field: str, name: str, content: bytes) -> FormFile:
    _require_content(name, len(content))
    return FormFile(field, name, content, media_type(name), digest_of(content))


def _of_open_file(field: str, file: Any, number: int) -> FormFile:
    called = getattr(file, "name", None)  # of a temporary file None, of one made from a descriptor its number
    name = Path(called).name if isinstance(called, str) else f"{field}-{number}"
    try:
        content = OpenFile(file)
        if not isinstance(called, str):
            name = _name(field, number, content.read(_HEAD))
        digest = _digest(content)
    except ConfigurationError:
        raise
    except (OSError, ValueError, AttributeError) as error:  # ValueError: it is closed
        raise ConfigurationError(f"The file {name!r} cannot be read: {_why(error)}.") from error
    _require_content(name, content.size)
    return FormFile(field, name, cast("BinaryIO", content), media_type(name), digest)


def _digest(content: _Pieces) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for piece in content.pieces():
        digest.update(piece)
    return digest.hexdigest()


def _require_content(name: str, size: int) -> None:
    if not size:
        raise ConfigurationError(f"The file {name!r} is empty.")


def _name(field: str, number: int, content: bytes) -> str:
    """Name a file that has no name, by what it begins with."""
    kind = image_type(content)
    if kind is not None:
        ending = kind.removeprefix("image/").replace("jpeg", "jpg")
    else:
        ending = "wav" if content.startswith(b"RIFF") and content.startswith(b"WAVE", 8) else "bin"
    return f"{field}-{number}.{ending}"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


# What reads like a file, as far as HTTP libraries look at one.


class _Pieces(ABC):
    """A file of a known size that is read by position.

    Attributes:
        size: In bytes.
        closed: Never; it holds nothing.
    """

    closed = False
    size: int

    def __init__(self) -> None:
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self._at)
        piece = self._read(self._at, left if size < 0 else min(size, left)) if left and size else b""
        self._at += len(piece)
        return piece

    def pieces(self) -> Iterator[bytes]:
        self.seek(0)
        while piece := self.read(_PIECE):
            yield piece
        self.seek(0)

    @abstractmethod
    def _read(self, at: int, size: int) -> bytes:
        """Read some bytes of it."""


class FileOnDisk(_Pieces):
    """A file by its path; opened for each piece, and the same as at first each time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = Path(path)
        found = self._path.stat()
        if not stat.S_ISREG(found.st_mode):  # what is none may never answer
            raise OSError(errno.EINVAL, "it is no file")
        self.size, self._mark = found.st_size, _mark_of(found)

    def seekable(self) -> bool:
        """Whether it can be sent; asked before anything of it is.

        Raises:
            ConfigurationError: It has vanished or changed since it was measured.
        """
        try:
            self._require_same(self._path.stat())
        except OSError as error:
            raise ConfigurationError(
                f"The file {str(self._path)!r} is not what it was when the request was made ({_why(error)}); nothing was sent."
            ) from error
        return True

    def _read(self, at: int, size: int) -> bytes:
        with self._path.open("rb") as file:
            self._require_same(os.fstat(file.fileno()))
            file.seek(at)
            return file.read(size)

    def _require_same(self, found: os.stat_result) -> None:
        if _mark_of(found) != self._mark:
            raise OSError(errno.EBUSY, "it has changed")


def _mark_of(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class OpenFile(_Pieces):
    """An open binary file of the caller's, from its present position to its end; never closed here."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file
        if not file.seekable():
            raise ConfigurationError("A pipe or socket cannot be sent again: read it, and pass its bytes.")
        self._start = file.tell()
        self.size = file.seek(0, os.SEEK_END) - self._start
        file.seek(self._start)

    def seekable(self) -> bool:
        """Whether it can be sent.

        Raises:
            ConfigurationError: It was closed since.
        """
        if self._file.closed:
            raise ConfigurationError("An open file that was passed is closed by now; nothing was sent.")
        return True

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(self._start + at)
        piece = self._file.read(size)
        if not isinstance(piece, bytes):
            raise ConfigurationError(f"An open file {_NEITHER}")
        if not piece:
            raise OSError(errno.EIO, "it is shorter than it was")
        return piece
