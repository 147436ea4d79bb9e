"""Videos encoded by av: h264 in mp4, few frames a second, the right length and size."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from io import BytesIO
from typing import Final

import av

from .images import draw_frame

_RATE: Final = 2
"""Frames a second: a video is a result to be handled, not to be admired."""


@lru_cache(maxsize=32)  # for all sandboxes of a process: each of hundreds of tests has one of its own
def encode_video(width: int, height: int, duration: int, palette: int) -> bytes:
    """Encode a video.

    Args:
        width: Pixels, an even number.
        height: Pixels, an even number.
        duration: Seconds.
        palette: Which colours, from 0.
    """
    file = BytesIO()
    frames = duration * _RATE
    with av.open(file, "w", format="mp4") as container:
        options = {"preset": "ultrafast", "crf": "34", "tune": "stillimage"}
        stream = container.add_stream("libx264", rate=_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1
        stream.time_base = Fraction(1, _RATE)
        for index in range(frames):
            drawn = draw_frame(width, height, palette, index / (frames - 1))
            encoded = av.VideoFrame.from_image(drawn)  # type: ignore[no-untyped-call]  # av has no type for pillow's
            encoded.pts = index
            container.mux(stream.encode(encoded))
        container.mux(stream.encode(None))
    return file.getvalue()
