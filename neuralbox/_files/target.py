"""Where a file goes: what a caller may name as a target, and what happens where something stands already.

What cannot be is refused here, before anything is fetched.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from .._api.checks import require_path
from .._errors import ConfigurationError, DownloadError
from .names import MAX_NAME_BYTES, clean_name

Overwrite: TypeAlias = Literal["error", "replace", "rename", "skip"]
"""What happens where something stands under the name: an error, it is replaced, the new file becomes `name (2).ext`, or
what stands there stays."""

_OVERWRITE: Final[tuple[Overwrite, ...]] = ("error", "replace", "rename", "skip")
_ON_WINDOWS: Final = os.name == "nt"


@dataclass(frozen=True, slots=True)
class FileTarget:
    """Where a file goes.

    Attributes:
        directory: Where it stands; it may not exist yet.
        path: The file itself, or None where its name in `directory` is yet to be found.
    """

    directory: Path
    path: Path | None


def read_overwrite(value: object) -> Overwrite:
    """Read what a caller passed as `overwrite`: one of the words, True for `replace`, False for `error`.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(value, bool):
        return "replace" if value else "error"
    for word in _OVERWRITE:
        if value == word:
            return word
    raise ConfigurationError(f"overwrite must be True, False or one of {', '.join(_OVERWRITE)}; it is {value!r}.")


def name_of(argument: str, target: str | os.PathLike[str]) -> str:
    """Return what a caller named as a file or directory, as text; no file system is asked.

    Args:
        argument: What the message calls it.
        target: The name.

    Raises:
        ConfigurationError: It is no path, empty, or holds what no system writes.
    """
    require_path(argument, target)
    name = os.fspath(target)
    if not name or "\0" in name or not _has_bytes(name):
        raise ConfigurationError(f"{argument} is {name!r}, which cannot be the name of a file or directory.")
    return name


def locate_directory(argument: str, target: str | os.PathLike[str]) -> str:
    """Read what a caller named as a directory, which may not exist yet; return it with a separator at its end.

    Raises:
        ConfigurationError: It names nothing that could be made, or a file.
        DownloadError: It may not be looked at.
    """
    directory = name_of(argument, target) + os.sep
    try:
        locate_target(directory)
    except OSError as error:
        raise DownloadError(f"{argument} cannot be used: {error.strerror or error}.") from error
    return directory


def locate_target(target: str | os.PathLike[str], *, windows: bool = _ON_WINDOWS) -> FileTarget:
    """Read what a caller named as the target: a directory, or the file itself.

    Raises:
        ConfigurationError: It names nothing that could be made.
        OSError: It may not be looked at, or is too long.
    """
    name = name_of("The target", target)
    path = Path(name)
    for part in path.parts[1:] if path.anchor else path.parts:
        if _length(part, windows=windows) > MAX_NAME_BYTES:
            raise ConfigurationError(f"`{part[:40]}…` is longer than the {MAX_NAME_BYTES} bytes that a name may have.")
    is_directory = path.is_dir()
    slashed = name.endswith(tuple(filter(None, (os.sep, os.altsep, "/"))))
    directory = path if is_directory or slashed else path.parent
    nearest = next(
        above for above in (directory, *directory.parents) if os.path.lexists(above) or above == above.parent
    )
    if os.path.lexists(nearest) and not nearest.is_dir():
        raise ConfigurationError(f"`{nearest}` is not a directory, so nothing can be put into it.")
    if directory is path:
        return FileTarget(directory, None)
    if windows and clean_name(path.name) != path.name:  # a device, a second stream, a dot or blank that is dropped
        raise ConfigurationError(
            f"`{path.name}` cannot be the name of a file on Windows; `{clean_name(path.name)}` can."
        )
    return FileTarget(directory, path)


def _has_bytes(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half a character, which no system writes
        return False
    return True


def _length(name: str, *, windows: bool) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2 if windows else len(os.fsencode(name))


def require_free(path: Path, overwrite: Overwrite) -> bool:
    """Tell whether the file is to be fetched: not if one stands at `path` that is to stay.

    Raises:
        ConfigurationError: What stands there may not be replaced, or cannot be.
    """
    if overwrite != "rename":
        require_regular(path)
    if overwrite == "skip":
        return not path.is_file()
    if overwrite == "error" and os.path.lexists(path):
        raise taken(path)
    return True


def require_regular(path: Path) -> None:
    """Refuse a path at which something stands that is no file, or that leads to such a thing: nothing replaces it.

    Raises:
        ConfigurationError: A directory, a pipe, a socket or a device stands there.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # nothing stands there, or a link that leads nowhere
        return
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise ConfigurationError(f"`{path}` is {what}, so no file can take its place.")


def taken(path: Path) -> ConfigurationError:
    """Build the error of a name under which something stands already."""
    return ConfigurationError(f"`{path}` is there already; pass `overwrite=True` to replace it.")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
