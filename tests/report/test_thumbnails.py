"""Thumbnails: small whatever the picture, right side up, and none for what is no picture."""

from __future__ import annotations

import base64
import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from neuralbox import _thumbnails as thumbnails
from neuralbox._thumbnails import DecodeBudget, ThumbnailImage, are_possible
from neuralbox.sandbox._media.audio import encode_audio
from neuralbox.sandbox._media.videos import encode_video

from .journals import picture


def thumbnail_of(content: Path | bytes) -> ThumbnailImage | None:
    with DecodeBudget() as budget:
        return thumbnails.thumbnail_of(content, budget)


def still_of(film: Path) -> ThumbnailImage | None:
    with DecodeBudget() as budget:
        return thumbnails.still_of(film, budget)


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


@pytest.mark.parametrize(("longest", "size"), [(320, (160, 80)), (1_000, (500, 250))])
def test_the_smallest_attempt_is_taken_whatever_it_weighs(longest: int, size: tuple[int, int]) -> None:
    with DecodeBudget() as budget:
        small = thumbnails.thumbnail_of(picture(2_000, 1_000), budget, longest=longest, most_bytes=0)
    assert opened(small).size == size


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


@pytest.mark.parametrize("ending", ["bmp", "tiff", "ppm", "ico", "eps", "pdf", "tga", "icns", "jpeg2000"])
def test_other_formats_are_given_to_no_reader(ending: str, tmp_path: Path) -> None:
    content = encoded(Image.new("RGB", (64, 64)), ending)
    (tmp_path / "1.png").write_bytes(content)
    assert thumbnail_of(content) is thumbnail_of(tmp_path / "1.png") is None


@pytest.mark.parametrize("error", [RuntimeError("out of order"), MemoryError(), ZeroDivisionError(), AssertionError()])
def test_a_picture_that_breaks_its_reader_is_none(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(thumbnails, "_shrink", fail)
    assert thumbnail_of(picture()) is None


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "transparent P", "transparent RGB"]
)
def test_every_mode_is_shrunk_with_its_transparency(mode: str) -> None:
    options: dict[str, Any] = {}
    if mode.startswith("transparent"):
        options["transparency"] = 0 if mode.endswith("P") else (0, 0, 0)
        mode = mode.removeprefix("transparent ")
    image = Image.new(mode, (400, 200))
    small = opened(thumbnail_of(encoded(image, "jpeg" if mode == "CMYK" else "png", **options)))
    assert small.size == (320, 160)
    has_alpha = "A" in mode or bool(options)
    assert (small.mode == "RGBA") is has_alpha
    if has_alpha:
        assert small.getchannel("A").getextrema() == (0, 0)


def test_large_pictures_are_decoded_one_after_the_other_and_small_ones_beside_them() -> None:
    small, large = picture(64, 48), encoded(Image.new("RGB", (2_000, 2_000)), "png")
    threads: dict[int, set[str]] = {}
    decode = thumbnails._decode

    def watched(content: Path | bytes, *how: int) -> ThumbnailImage:
        threads.setdefault(len(content) if isinstance(content, bytes) else 0, set()).add(
            threading.current_thread().name
        )
        return decode(content, *how)

    with pytest.MonkeyPatch.context() as patch, DecodeBudget() as budget, ThreadPoolExecutor(4) as pool:
        patch.setattr(thumbnails, "_decode", watched)
        made = list(pool.map(lambda content: thumbnails.thumbnail_of(content, budget), [small, large] * 8))
    assert None not in made
    assert len(threads[len(large)]) == 1
    assert not threads[len(large)] & threads[len(small)]


def test_a_report_has_its_share_of_pixels_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "_MOST_PIXELS_IN_ALL", 2 * 64 * 48)
    with DecodeBudget() as budget:
        made = [thumbnails.thumbnail_of(picture(64, 48), budget) for _ in range(3)]
    assert [small is not None for small in made] == [True, True, False]
    assert thumbnail_of(picture(64, 48)) is not None


def test_a_progressive_jpeg_counts_as_what_it_is() -> None:
    image = Image.new("RGB", (5_500, 5_500))
    assert thumbnail_of(encoded(image, "jpeg")) is not None
    assert thumbnail_of(encoded(image, "jpeg", progressive=True)) is None


_CHILD = """
import re, sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from neuralbox._thumbnails import DecodeBudget, thumbnail_of
files = [Path(name) for name in sys.argv[1:]] * 2
with ThreadPoolExecutor(8) as pool, DecodeBudget() as budget:
    made = list(pool.map(partial(thumbnail_of, budget=budget), files))
# Not `ru_maxrss`, which begins with the peak of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(sum(small is not None for small in made), int(peak[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process knows its peak")
def test_large_pictures_together_leave_the_memory_alone(tmp_path: Path) -> None:
    kinds = [
        ("png", "RGBA", 4_200),
        ("png", "P", 4_200),
        ("png", "LA", 4_200),
        ("gif", "P", 4_200),
        ("webp", "RGBA", 2_800),
    ]
    for number, (ending, mode, size) in enumerate(kinds):
        (tmp_path / str(number)).write_bytes(encoded(Image.new(mode, (size, size)), ending, compress_level=1, method=0))
    names = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *names], capture_output=True, text=True, timeout=120, check=True
    )
    made, megabytes = map(int, done.stdout.split())
    assert made == 10
    assert megabytes < 400 - 120  # pictures that are being fetched take the rest


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
    [
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/1.ts\n",
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"<?xml version='1.0'?><MPD></MPD>",
        b"RIFF\x00\x00\x00\x00AVI LIST",
    ],
    ids=["playlist", "concat", "dash", "avi"],
)
def test_what_names_other_files_is_given_to_no_reader(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    import av

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was opened")

    (tmp_path / "other.mp4").write_bytes(encode_video(64, 64, 1, 0))
    path = tmp_path / "1.mp4"
    path.write_bytes(content)
    monkeypatch.setattr(av, "open", refuse)
    assert still_of(path) is None


def test_a_film_that_would_fill_the_memory_lends_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.mp4"
    path.write_bytes(encode_video(640, 360, 2, 3))
    monkeypatch.setattr(thumbnails, "_MOST_MEMORY", 13 * 640 * 360 - 1)
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
