"""Where result files are made: which file a record has, in a worker thread, kept for the next download.

Images are drawn for their prompt and seed. Videos and audio are encoded once for each length, shape and colour, so
that hundreds of results cost a few encodings, and the sandboxes of a process share the latest. `images`, `videos` and `audio` import pillow and av; they
are imported at the first file.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

import anyio.to_thread

from .._records import StoredGeneration

_KEPT_BYTES: Final = 64 * 1024 * 1024
PALETTES: Final = 6


class MediaLibrary:
    """Makes files and keeps the latest ones, up to a bound in bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()  # one encoding at a time: a test double leaves the other cores alone

    async def result(self, record: StoredGeneration) -> bytes:
        """Return the result file of this record."""
        return await self._made(*_result(record))

    async def thumbnail(self, record: StoredGeneration) -> bytes:
        """Return a JPEG of 480 pixels on its longer side."""
        return await self._made(*_thumbnail(record))

    async def _made(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        found = self._kept.get(key)
        return found if found is not None else await _in_thread(lambda: self._make(key, make))

    def _make(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = file = make()
                self._size += len(file)
                while self._size > _KEPT_BYTES and len(self._kept) > 1:
                    self._size -= len(self._kept.popitem(last=False)[1])
            return self._kept[key]


async def _in_thread(make: Callable[[], bytes]) -> bytes:
    """Run it in a thread that is gone when the loop is (asyncio.run joins its executor's threads; anyio's it does not)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another event loop, when the application is driven in memory
        return await anyio.to_thread.run_sync(make)
    return await asyncio.to_thread(make)


def _palette(record: StoredGeneration) -> int:
    return hashlib.sha256(f"{record.prompt}/{record.seed}".encode()).digest()[0] % PALETTES


def _result(record: StoredGeneration) -> tuple[Hashable, Callable[[], bytes]]:
    """Return the key under which a file is kept, and what makes it."""
    width, height, duration, ending = record.width or 0, record.height or 0, record.duration or 0, record.format or ""
    if record.kind == "video":
        from .videos import encode_video

        palette = _palette(record)
        return ("video", width, height, duration, palette), lambda: encode_video(width, height, duration, palette)
    if width:
        from .images import draw_image

        key = ("image", record.prompt, record.seed, width, height, ending)
        return key, lambda: draw_image(record.prompt or record.model, record.seed or 0, width, height, ending)
    from .audio import encode_audio

    palette, is_music = _palette(record), record.kind == "audio"
    return ("audio", duration, ending, palette, is_music), lambda: encode_audio(
        duration, ending, palette, is_music=is_music
    )


def _thumbnail(record: StoredGeneration) -> tuple[Hashable, Callable[[], bytes]]:
    from .images import draw_still

    palette, width, height = _palette(record), record.width or 1, record.height or 1
    longer = max(width, height)
    size = (width * 480 // longer, height * 480 // longer)
    return ("still", size, palette), lambda: draw_still(*size, palette)
