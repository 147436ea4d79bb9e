"""Media types: of a file by its name, of a picture that is sent by how it begins. Fixed tables, since the
system's own differs from machine to machine.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

_BY_ENDING: Final = MappingProxyType(
    {
        "mp3": "audio/mpeg",
        "mp4": "audio/mp4",
        "m4a": "audio/mp4",
        "wav": "audio/wav",
        "ogg": "audio/ogg",
        "flac": "audio/flac",
        "webm": "audio/webm",
    }
)


# Of pictures and films the same ending may mean another type than of sounds.
_OF_REFERENCES: Final = MappingProxyType(
    {
        "png": "image/png",
        "jpg": "image/jpeg",
        "jpeg": "image/jpeg",
        "webp": "image/webp",
        "avif": "image/avif",
        "gif": "image/gif",
        "heic": "image/heic",
        "mp4": "video/mp4",
        "mov": "video/quicktime",
        "webm": "video/webm",
    }
)

_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_OPEN_DOCUMENT: Final = "application/vnd.oasis.opendocument"
_OF_DOCUMENTS: Final = MappingProxyType(
    {
        "pdf": "application/pdf",
        "txt": "text/plain",
        "html": "text/html",
        "epub": "application/epub+zip",
        "mobi": "application/x-mobipocket-ebook",
        "azw": "application/vnd.amazon.ebook",
        "azw3": "application/vnd.amazon.ebook",
        "docx": f"{_OFFICE}.wordprocessingml.document",
        "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
        "pptx": f"{_OFFICE}.presentationml.presentation",
        "odt": f"{_OPEN_DOCUMENT}.text",
        "ods": f"{_OPEN_DOCUMENT}.spreadsheet",
        "odp": f"{_OPEN_DOCUMENT}.presentation",
    }
)


def media_type(file_name: str) -> str:
    """Return the media type of a picture, film, sound or document; `application/octet-stream` for one we do not know."""
    ending = file_name.rpartition(".")[2].lower()
    return _OF_REFERENCES.get(ending) or _OF_DOCUMENTS.get(ending) or audio_type(file_name)


def audio_type(file_name: str) -> str:
    """Return the media type of an audio upload; `application/octet-stream` for an ending we do not know."""
    return _BY_ENDING.get(file_name.rpartition(".")[2].lower(), "application/octet-stream")


# How pictures begin [WHATWG, "MIME Sniffing", section 6.1]: at which byte, with what.
_PICTURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
)


def image_type(content: bytes) -> str | None:
    """Return the media type of a picture by its first bytes; None for what is none we know."""
    return next((name for at, mark, name in _PICTURES if content.startswith(mark, at)), None)
