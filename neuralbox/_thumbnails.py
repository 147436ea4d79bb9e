"""Thumbnails: a picture shrunk to a few kilobytes, as a `data:` address. Blocking; for worker threads.

A film on the disk lends its first picture where av is there to open it. Pictures and films come from outside and may be
anything: only PNG, JPEG, WebP and GIF are opened, and films in the containers of MP4 and WebM, by their first bytes and
not by their names, since some readers of other formats start programs or follow addresses. What cannot be read has no
thumbnail. All thumbnails of a report share a `DecodeBudget`, so that they never fill the memory together either.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from PIL import Image

_LONGEST: Final = 320  # pixels
_MOST_BYTES: Final = 8_500  # so that a thousand of them, in base64, leave room below 15 MB
_MOST_PIXELS: Final = 80_000_000  # of one picture
_MOST_PIXELS_IN_ALL: Final = 20_000_000_000  # minutes of decoding
_MOST_MEMORY: Final = 176_000_000  # bytes for all that are decoded at once: a WebP of 3840 x 2160 with transparency
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
# How films begin, at which byte, and the only reader each is given to.
_FILMS: Final = ((4, b"ftyp", "mp4"), (0, b"\x1a\x45\xdf\xa3", "matroska"))
_SMALL: Final = 10_000_000  # bytes of one that may be decoded beside others
# Bytes that decoding and shrinking take for each pixel, measured with pillow 13 and rounded up.
_WEBP: Final = 21
_PLAIN: Final = 5
_TRANSPARENT: Final = 9
_PROGRESSIVE: Final = 6
_FILM: Final = 13
# Share of the longest side and quality, until one is small enough; the last is taken in any case.
_ATTEMPTS: Final = ((1.0, 62), (1.0, 38), (0.75, 30), (0.5, 20))


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


class DecodeBudget:
    """What the thumbnails of one report may take together, whichever threads make them.

    Large pictures are decoded one after the other by one thread: the C library keeps what a thread has freed for that
    thread, so that the same pictures in eight threads took four times the memory.
    """

    def __init__(self) -> None:
        self._pixels = _MOST_PIXELS_IN_ALL
        self._lock = threading.Lock()
        self._large = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._large.shutdown(wait=False)  # what is under way has nobody who waits for it

    def decode(self, pixels: int, memory: int, act: Callable[[], ThumbnailImage]) -> ThumbnailImage:
        """Decode a picture of so many pixels that takes so many bytes of memory.

        Raises:
            ValueError: It is too large, or the report has had its share.
        """
        with self._lock:
            if pixels > min(_MOST_PIXELS, self._pixels) or memory > _MOST_MEMORY:
                raise ValueError("this picture would take too much")
            self._pixels -= pixels
        return act() if memory <= _SMALL else self._large.submit(act).result()


def thumbnail_of(
    picture: Path | bytes, budget: DecodeBudget, *, longest: int = _LONGEST, most_bytes: int = _MOST_BYTES
) -> ThumbnailImage | None:
    """Shrink a picture; None where it is none, is damaged, or is too large to be opened.

    Needs pillow (`are_possible`).

    Args:
        picture: The file, or what is in it.
        budget: What decoding may take.
        longest: Pixels of the longer side at most.
        most_bytes: What it is made smaller for, in bytes before base64; one that cannot be is longer.
    """
    try:
        return budget.decode(*_measure(picture, longest), partial(_decode, picture, longest, most_bytes))
    except Exception:  # noqa: BLE001 - pillow raises anything for a damaged file, and one must not end the report
        return None


def _measure(picture: Path | bytes, longest: int) -> tuple[int, int]:
    """Return how many pixels a picture has, and the bytes of memory that it takes at most."""
    with _open(picture) as image:
        pixels = image.width * image.height
        # All of a progressive JPEG is held before its first line is.
        whole = _PROGRESSIVE * pixels if "progressive" in image.info else 0
        _draft(image, longest)
        is_plain = image.mode in {"L", "RGB"} and not image.has_transparency_data
        each = _WEBP if image.format == "WEBP" else _PLAIN if is_plain else _TRANSPARENT
        return pixels, whole + each * image.width * image.height


def _decode(picture: Path | bytes, longest: int, most_bytes: int) -> ThumbnailImage:
    with _open(picture) as image:
        _draft(image, longest)
        return _shrink(image, longest, most_bytes)


def _open(picture: Path | bytes) -> Image.Image:
    from PIL import Image

    return Image.open(BytesIO(picture) if isinstance(picture, bytes) else picture, formats=_FORMATS)


def _draft(image: Image.Image, longest: int) -> None:
    """Have a JPEG decoded at a fraction of its size."""
    image.draft("RGB", (2 * longest, 2 * longest))


def still_of(film: Path, budget: DecodeBudget) -> ThumbnailImage | None:
    """Shrink the first picture of a film; None where it has none that can be read, or av is not installed.

    Needs pillow (`are_possible`).
    """
    try:
        import av
    except ModuleNotFoundError:
        return None
    try:
        with film.open("rb") as file:
            head = file.read(12)
        reader = next(name for at, start, name in _FILMS if head.startswith(start, at))
        with av.open(str(film), format=reader, options={"protocol_whitelist": "file"}) as container:
            video = container.streams.video[0]
            video.thread_count = 1  # a page is made of many films side by side
            pixels = video.width * video.height

            def decode() -> ThumbnailImage:
                first = next(container.decode(video=0))
                return _shrink(first.to_image())  # type: ignore[no-untyped-call]  # av has no type for pillow's

            return budget.decode(pixels, _FILM * pixels, decode)
    except Exception:  # noqa: BLE001 - as above
        return None


def _shrink(image: Image.Image, longest: int = _LONGEST, most_bytes: int = _MOST_BYTES) -> ThumbnailImage:
    from PIL import ImageOps

    mode = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode not in {"L", "LA", "RGB", "RGBA"} or (mode == "RGBA") != image.mode.endswith("A"):
        image = image.convert(mode)  # a palette cannot be shrunk
    image.thumbnail((longest, longest), reducing_gap=2.0)
    small = ImageOps.exif_transpose(image.convert(mode))
    content = b""
    for share, quality in _ATTEMPTS:
        small.thumbnail((longest * share, longest * share))
        file = BytesIO()
        small.save(file, "WEBP", quality=quality, method=2)
        content = file.getvalue()
        if len(content) <= most_bytes:
            break
    return ThumbnailImage(f"data:image/webp;base64,{base64.b64encode(content).decode()}", small.width, small.height)
