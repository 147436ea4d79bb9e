"""What is in a file, by its media type, the ending of its name and its first bytes; and whether these agree.

It is there for the page that says "not found" with status 200, which must not lie on a disk as `18500.mp4`. Only
three families are told apart - pictures, sound and film, text - and only a clear contradiction counts: a server that
calls everything `text/plain`, which is what some are set to, is believed less than the first bytes.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

HEAD_BYTES: Final = 16
"""How much of a file's start `starts_like` wants to see."""

PICTURE: Final = "a picture"
SOUND_OR_FILM: Final = "sound or film"
TEXT: Final = "a text"

_ENDINGS: Final = {
    PICTURE: ("avif", "bmp", "gif", "heic", "jpeg", "jpg", "png", "svg", "tif", "tiff", "webp"),
    SOUND_OR_FILM: (
        *("aac", "avi", "flac", "m4a", "m4v", "mkv", "mov", "mp3", "mp4"),
        *("oga", "ogg", "opus", "wav", "weba", "webm"),
    ),
    TEXT: ("csv", "htm", "html", "json", "md", "srt", "txt", "vtt", "xml"),
}
_OF_ENDING: Final = MappingProxyType({ending: content for content, endings in _ENDINGS.items() for ending in endings})
_OF_KIND: Final = MappingProxyType(
    {"image": PICTURE, "video": SOUND_OR_FILM, "tts": SOUND_OR_FILM, "audio": SOUND_OR_FILM}
)
_OF_TYPE: Final = MappingProxyType(
    {
        "application/json": TEXT,
        "application/xhtml+xml": TEXT,
        "application/xml": TEXT,
        "application/mp4": SOUND_OR_FILM,
        "application/ogg": SOUND_OR_FILM,
    }
)
_OF_MAIN_TYPE: Final = MappingProxyType(
    {"audio": SOUND_OR_FILM, "image": PICTURE, "text": TEXT, "video": SOUND_OR_FILM}
)

# How files begin [WHATWG, "MIME Sniffing", section 6]: at which byte, with what.
_STARTS: Final = MappingProxyType(
    {
        PICTURE: (
            (0, b"\x89PNG"),
            (0, b"\xff\xd8\xff"),
            (0, b"GIF8"),
            (8, b"WEBP"),
            (0, b"BM"),
            (0, b"II*\0"),
            (0, b"MM\0*"),
            (8, b"avif"),
            (8, b"heic"),
            (8, b"mif1"),
            (0, b"<svg"),
            (0, b"<?xml"),
        ),
        SOUND_OR_FILM: (
            (4, b"ftyp"),
            (0, b"ID3"),
            (0, b"OggS"),
            (0, b"fLaC"),
            (8, b"WAVE"),
            (8, b"AVI "),
            (0, b"\x1a\x45\xdf\xa3"),
            *((0, bytes((0xFF, second))) for second in (0xF1, 0xF2, 0xF3, 0xF9, 0xFA, 0xFB)),
        ),
    }
)


def expected_content(name: str, kind: str | None) -> str | None:
    """Say what a file should be, by the ending of its name, else by the generation's kind; None if nothing tells."""
    return _OF_ENDING.get(name.rpartition(".")[2].lower()) or _OF_KIND.get(kind or "")


def announced_content(content_type: str | None) -> str | None:
    """Say what a file is by its media type; None for one that says nothing, such as `application/octet-stream`."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return _OF_TYPE.get(media_type) or _OF_MAIN_TYPE.get(media_type.partition("/")[0])


def starts_like(content: str, head: bytes) -> bool:
    """Tell whether a file begins as such content does; text, which may begin in any way, is believed."""
    starts = _STARTS.get(content)
    return starts is None or any(head.startswith(mark, at) for at, mark in starts)
