"""Images drawn by pillow: soft gradients with the first words of the prompt on them.

The same prompt and seed give the same bytes; another seed gives other colours of the same family.
"""

from __future__ import annotations

import colorsys
import hashlib
import random
from functools import cache
from io import BytesIO
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "webp": {"quality": 80, "method": 0},
    "png": {"compress_level": 1},
    "jpeg": {"quality": 85},
}
_MARGIN: Final = 24  # one part of so many of the shorter side


def draw_image(prompt: str, seed: int, width: int, height: int, ending: str) -> bytes:
    """Draw an image and encode it.

    Args:
        prompt: Decides the colours; its first words are written on it.
        seed: Varies them.
        width: Pixels.
        height: Pixels.
        ending: `webp`, `png` or `jpeg`.
    """
    hue = hashlib.sha256(prompt.encode()).digest()[0] / 255
    image = _gradient(hue, random.Random(f"{prompt}/{seed}"), width, height)
    _caption(image, prompt)
    return _encode(image, ending)


def draw_still(width: int, height: int, palette: int) -> bytes:
    """Draw the first frame of a video of this palette, as JPEG."""
    return _encode(draw_frame(width, height, palette, 0.0), "jpeg")


def draw_frame(width: int, height: int, palette: int, moment: float) -> Image.Image:
    """Draw a video's frame at a moment between 0 and 1: a light wanders over a gradient."""
    image = _background(width, height, palette).copy()
    radius = min(width, height) // 8
    x = round(radius + moment * (width - 2 * radius))
    y = round(height * (0.35 + 0.3 * abs(2 * moment - 1)))
    glow = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(palette / 6 + 0.5, 0.25, 1.0))
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=glow)
    return image


@cache
def _background(width: int, height: int, palette: int) -> Image.Image:
    return _gradient(palette / 6, random.Random(palette), width, height)


def _gradient(hue: float, rng: random.Random, width: int, height: int) -> Image.Image:
    """Blend nine colours of one family, blown up smoothly."""
    small = Image.new("RGB", (3, 3))
    for place in range(9):
        shade = (hue + rng.uniform(-0.08, 0.08)) % 1.0, rng.uniform(0.35, 0.75), rng.uniform(0.45, 0.95)
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(*shade))
        small.putpixel((place % 3, place // 3), (red, green, blue))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _caption(image: Image.Image, prompt: str) -> None:
    size = max(12, min(image.size) // 18)
    font = ImageFont.load_default(size)
    margin = min(image.size) // _MARGIN
    words = prompt.split()[:8]
    text = " ".join(words)
    draw = ImageDraw.Draw(image)
    while len(words) > 1 and draw.textlength(text, font) > image.width - 2 * margin:
        words = words[:-1]
        text = " ".join(words) + " …"
    place = (margin, image.height - margin - size)
    draw.text((place[0] + 2, place[1] + 2), text, fill=(0, 0, 0), font=font)
    draw.text(place, text, fill=(255, 255, 255), font=font)


def _encode(image: Image.Image, ending: str) -> bytes:
    file = BytesIO()
    image.save(file, ending, **_OPTIONS[ending])
    return file.getvalue()
