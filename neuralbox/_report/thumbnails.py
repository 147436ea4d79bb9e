"""Thumbnails: a picture shrunk to a few kilobytes, written into the page itself. Blocking; for worker threads.

A film on the disk lends its first picture where av is there to open it. Pictures and films come from outside and may be anything: what cannot be read has no thumbnail, and one that would fill the memory
is not opened.
"""

from __future__ import annotations

import base64
import struct
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

_LONGEST: Final = 320  # pixels
_MOST_BYTES: Final = 8_500  # so that a thousand of them, in base64, leave room below 15 MB
_MOST_PIXELS: Final = 80_000_000
# Size of the longer side and quality, until one is small enough; the last is taken in any case.
_ATTEMPTS: Final = ((_LONGEST, 62), (_LONGEST, 38), (240, 30), (160, 20))


class ThumbnailImage(NamedTuple):
    """A small picture.

    Attributes:
        uri: A `data:` address that holds all of it.
        width: Pixels.
        height: Pixels.
    """

    uri: str
    width: int
    height: int


def are_possible() -> bool:
    """Whether pillow is installed."""
    return find_spec("PIL") is not None


def thumbnail_of(picture: Path | bytes) -> ThumbnailImage | None:
    """Shrink a picture; None where it is none, is damaged, or is too large to be opened.

    Needs pillow (`are_possible`).
    """
    from PIL import Image

    # What pillow raises for a damaged file depends on its format. A picture beyond its own limit is an error there, or a
    # warning, which may be an error too.
    unreadable = (
        *(OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError, OverflowError, struct.error, EOFError),
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    )
    try:
        with Image.open(BytesIO(picture) if isinstance(picture, bytes) else picture) as image:
            image.draft("RGB", (2 * _LONGEST, 2 * _LONGEST))  # a JPEG is decoded at a fraction of its size
            if image.width * image.height > _MOST_PIXELS:
                return None
            return _shrink(image)
    except unreadable:
        return None


def still_of(film: Path) -> ThumbnailImage | None:
    """Shrink the first picture of a film; None where it has none that can be read, or av is not installed.

    Needs pillow (`are_possible`).
    """
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError:
        return None
    try:
        with av.open(film) as container:
            container.streams.video[0].thread_count = 1  # a page is made of many films side by side
            first = next(container.decode(video=0))
            return _shrink(first.to_image())  # type: ignore[no-untyped-call]  # av has no type for pillow's
    except (FFmpegError, OSError, ValueError, IndexError, StopIteration):
        return None


def _shrink(image: Image.Image) -> ThumbnailImage:
    from PIL import ImageOps

    small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    small.thumbnail((_LONGEST, _LONGEST), reducing_gap=2.0)
    small = ImageOps.exif_transpose(small)
    content = b""
    for longest, quality in _ATTEMPTS:
        small.thumbnail((longest, longest))
        file = BytesIO()
        small.save(file, "WEBP", quality=quality, method=2)
        content = file.getvalue()
        if len(content) <= _MOST_BYTES:
            break
    return ThumbnailImage(f"data:image/webp;base64,{base64.b64encode(content).decode()}", small.width, small.height)
