"""What is in a file: media type, ending and first bytes, and when they contradict one another."""

from __future__ import annotations

import pytest

from neuralbox._api.content import PICTURE, SOUND_OR_FILM, TEXT, announced_content, expected_content, starts_like


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("18500.mp4", None, SOUND_OR_FILM),
        ("18500.WEBP", "video", PICTURE),
        ("18500", "video", SOUND_OR_FILM),
        ("18500.bin", "image", PICTURE),
        ("18500.bin", "tts", SOUND_OR_FILM),
        ("18500", "tool", None),
        ("18500", None, None),
        ("notes.md", None, TEXT),
    ],
)
def test_a_name_says_what_a_file_should_be_and_else_the_kind(name: str, kind: str | None, expected: str | None) -> None:
    assert expected_content(name, kind) == expected


@pytest.mark.parametrize(
    ("content_type", "announced"),
    [
        ("video/mp4", SOUND_OR_FILM),
        ("Audio/MPEG; rate=1", SOUND_OR_FILM),
        ("application/mp4", SOUND_OR_FILM),
        ("image/svg+xml", PICTURE),
        ("text/html; charset=utf-8", TEXT),
        ("application/json", TEXT),
        ("application/octet-stream", None),
        ("binary/octet-stream", None),
        ("application/pdf", None),
        ("", None),
        (None, None),
    ],
)
def test_a_media_type_says_what_a_file_is(content_type: str | None, announced: str | None) -> None:
    assert announced_content(content_type) == announced


@pytest.mark.parametrize(
    ("content", "head"),
    [
        (PICTURE, b"\x89PNG\r\n\x1a\n"),
        (PICTURE, b"RIFF\x10\0\0\0WEBPVP8 "),
        (PICTURE, b"\0\0\0\x1cftypavif"),
        (SOUND_OR_FILM, b"\0\0\0\x20ftypisom"),
        (SOUND_OR_FILM, b"ID3\x04"),
        (SOUND_OR_FILM, b"\xff\xfb\x90\x64"),
        (SOUND_OR_FILM, b"RIFF\x10\0\0\0WAVEfmt "),
        (TEXT, b"anything"),
    ],
)
def test_files_begin_as_they_are_known_to(content: str, head: bytes) -> None:
    assert starts_like(content, head)


@pytest.mark.parametrize("content", [PICTURE, SOUND_OR_FILM])
@pytest.mark.parametrize("head", [b"<!doctype html>", b'{"error": 1}', b"", b"Not found", b"RIFF"])
def test_a_page_does_not_begin_like_a_picture_or_a_film(content: str, head: bytes) -> None:
    assert not starts_like(content, head)
