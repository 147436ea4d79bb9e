"""Thumbnails: small whatever the picture, right side up, and none for what is no picture."""

from __future__ import annotations

import base64
import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from neuralbox._report import thumbnails
from neuralbox._report.thumbnails import ThumbnailImage, are_possible, still_of, thumbnail_of
from neuralbox.sandbox._media.audio import encode_audio
from neuralbox.sandbox._media.videos import encode_video

from .journals import picture


def opened(thumbnail: ThumbnailImage | None) -> Image.Image:
    assert thumbnail is not None
    head, _, data = thumbnail.uri.partition(",")
    assert head == "data:image/webp;base64"
    image = Image.open(BytesIO(base64.b64decode(data)))
    assert image.size == (thumbnail.width, thumbnail.height)
    return image


def encoded(image: Image.Image, ending: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, ending, **options)
    return file.getvalue()


@pytest.mark.parametrize("ending", ["png", "jpeg", "webp", "gif"])
def test_a_picture_becomes_a_small_one_of_the_same_shape(ending: str, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(picture(2_000, 1_000, ending=ending))
    small = opened(thumbnail_of(file))
    assert small.size == (320, 160)
    assert small.convert("RGB").getpixel((5, 5)) == pytest.approx((0, 128, 128), abs=6)


def test_a_small_picture_is_not_blown_up() -> None:
    assert opened(thumbnail_of(picture(64, 48))).size == (64, 48)


def test_transparency_stays() -> None:
    small = opened(thumbnail_of(picture(colour="#00000000", mode="RGBA")))
    assert small.getchannel("A").getextrema() == (0, 0)


def test_a_picture_taken_sideways_is_turned() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    sideways = encoded(Image.new("RGB", (400, 200)), "jpeg", exif=turned)
    assert opened(thumbnail_of(sideways)).size == (160, 320)


def test_a_picture_of_noise_stays_below_the_limit() -> None:
    noise = Image.merge("RGB", [Image.effect_noise((640, 640), 100)] * 3)
    thumbnail = thumbnail_of(encoded(noise, "png", compress_level=0))
    assert thumbnail is not None
    assert len(thumbnail.uri) < 12_000


def test_the_smallest_attempt_is_taken_whatever_it_weighs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "_MOST_BYTES", 0)
    assert opened(thumbnail_of(picture(2_000, 1_000))).size == (160, 80)


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", b"<svg/>", picture()[:60], picture(ending="jpeg")[:300], b"\x89PNG\r\n\x1a\n" + b"\0" * 40],
    ids=["empty", "text", "svg", "cut-png", "cut-jpeg", "broken-png"],
)
def test_what_is_no_picture_has_no_thumbnail(content: bytes) -> None:
    assert thumbnail_of(content) is None


@pytest.mark.parametrize("size", [(9_100, 9_100), (10_000, 10_000), (30_000, 30_000)])
def test_a_picture_that_would_fill_the_memory_is_not_opened(size: tuple[int, int]) -> None:
    # A tiny PNG that says it is large: pillow says nothing, warns, or refuses.
    header = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    tiny = picture()
    assert thumbnail_of(tiny[:12] + header + struct.pack(">I", zlib.crc32(header)) + tiny[33:]) is None


def test_without_pillow_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert are_possible()
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert not are_possible()


def test_a_film_lends_its_first_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.mp4"
    path.write_bytes(encode_video(640, 360, 2, 3))
    assert opened(still_of(path)).size == (320, 180)
    monkeypatch.setitem(sys.modules, "av", None)
    assert still_of(path) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"no film", encode_video(64, 64, 1, 0)[:200], encode_audio(1, "mp3", 0, is_music=True)],
    ids=["empty", "text", "cut", "sound"],
)
def test_what_is_no_film_has_no_still(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "1.mp4"
    path.write_bytes(content)
    assert still_of(path) is None
