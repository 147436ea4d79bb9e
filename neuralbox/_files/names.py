"""Names of files, made from what a server says and safe on every system.

Whatever the server says - an address, a `Content-Disposition`, an id - the result is one plain name: no path, no way
up, nothing hidden, no character or word that some system refuses or treats as a device, at most 255 bytes of UTF-8.
Pure text: no file system is asked, and the table of endings is fixed, since the system's own differs from machine to
machine. Where a file goes, and what stands there already, is `target`'s business.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final
from unicodedata import category, normalize
from urllib.parse import unquote, urlsplit

MAX_NAME_BYTES: Final = 255
"""Longest name that Linux and macOS take, in bytes of UTF-8; Windows counts 255 UTF-16 units, which is never less."""

_MAX_ENDING: Final = 16
# Refused by Windows; the two separators are dealt with before.
_REFUSED: Final = frozenset('<>:"|?*')
# Control, format (text that runs backwards, invisible marks), halves of characters, line and paragraph separators.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Devices of Windows, with whatever ending [Microsoft, "Naming Files, Paths, and Namespaces"].
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}
)
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")
# RFC 6266, section 4.1: `filename=` with a token or a quoted string, `filename*=` with a charset.
_PLAIN: Final = re.compile(r"(?:^|;)\s*filename\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\s]+))", re.IGNORECASE)
_EXTENDED: Final = re.compile(r"(?:^|;)\s*filename\*\s*=\s*([\w\-]+)'[^']*'([^;\s]+)", re.IGNORECASE)

_ENDINGS: Final = MappingProxyType(
    {
        "application/json": ".json",
        "application/pdf": ".pdf",
        "application/zip": ".zip",
        "audio/aac": ".aac",
        "audio/flac": ".flac",
        "audio/mp4": ".m4a",
        "audio/mpeg": ".mp3",
        "audio/ogg": ".ogg",
        "audio/wav": ".wav",
        "audio/wave": ".wav",
        "audio/webm": ".webm",
        "audio/x-flac": ".flac",
        "audio/x-m4a": ".m4a",
        "audio/x-wav": ".wav",
        "image/avif": ".avif",
        "image/gif": ".gif",
        "image/jpeg": ".jpg",
        "image/png": ".png",
        "image/svg+xml": ".svg",
        "image/webp": ".webp",
        "text/plain": ".txt",
        "video/mp4": ".mp4",
        "video/quicktime": ".mov",
        "video/webm": ".webm",
    }
)


def name_for_id(identity: int | str, url: str, content_type: str | None = None) -> str | None:
    """Name the file of a generation: its id, with the ending of its address or else of its media type.

    Args:
        identity: The generation's id, or what else names it; `a/1` and `b/1` are two.
        url: Where the file is.
        content_type: The answer's `Content-Type`; None where it is not known yet.

    Returns:
        The name; None where the address has no ending and the media type is not known yet.
    """
    ending = ending_of(url) or ending_for(content_type)
    if not ending and content_type is None:
        return None
    parts = [part for part in re.split(r"[/\\]", str(identity)) if part.strip(". ")]
    return clean_name(clean_name("_".join(parts), fallback="generation") + ending)


def name_for_url(url: str, content_type: str | None = None, disposition: str | None = None) -> str:
    """Name a file by what its server says: `Content-Disposition`, else the address, with an ending where one is known."""
    name = clean_name(_name_in(disposition) or _last_segment(url), fallback="download")
    if _ENDING.search(name):
        return name
    return clean_name(name + (ending_of(url) or ending_for(content_type)))


def ending_of(url: str) -> str:
    """Return the ending of an address's path, in lower case and with its dot; "" where it has none."""
    found = _ENDING.search(_last_segment(url))
    return found[0].lower() if found and found.start() else ""


def ending_for(content_type: str | None) -> str:
    """Return the usual ending for a media type, with its dot; "" for one we do not know."""
    return _ENDINGS.get((content_type or "").partition(";")[0].strip().lower(), "")


def clean_name(text: str, *, fallback: str = "file") -> str:
    r"""Make one safe file name of any text.

    >>> clean_name("../../etc/passwd"), clean_name("C:\\evil\\NUL.txt"), clean_name("..")
    ('passwd', '_NUL.txt', 'file')
    """
    name = re.split(r"[/\\]", text)[-1]
    name = "".join("_" if char in _REFUSED or category(char) in _UNSEEN else char for char in normalize("NFC", name))
    # Dots and blanks at the start hide a file, at the end Windows drops them. Both also covers `.` and `..`.
    name = name.strip(". ") or fallback
    # Windows also drops blanks before the ending when it checks for a device.
    if name.partition(".")[0].rstrip().lower() in _DEVICES:
        name = "_" + name
    return _shortened(name)


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > _MAX_ENDING:
        stem, dot, ending = name, "", ""
    room = MAX_NAME_BYTES - len((dot + ending).encode())
    # Cut between characters, and not so that a dot or a blank ends the name.
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + dot + ending


def _last_segment(url: str) -> str:
    return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]


def _name_in(disposition: str | None) -> str:
    """Read the file name of a `Content-Disposition`; the form with a charset counts before the plain one."""
    if not disposition:
        return ""
    extended = _EXTENDED.search(disposition)
    if extended:
        charset = extended[1].lower()
        return unquote(extended[2], encoding=charset if charset in {"utf-8", "iso-8859-1"} else "utf-8")
    plain = _PLAIN.search(disposition)
    if not plain:
        return ""
    return re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]
