"""Names that come from a server: always one plain file name, whatever it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._files.names import MAX_NAME_BYTES, clean_name, ending_for, ending_of, name_for_id, name_for_url

CLEANED = {
    "a plain name stays": ("18500.mp4", "18500.mp4"),
    "a name of any script stays": ("Картина 1.webp", "Картина 1.webp"),
    "a way up": ("../../etc/passwd", "passwd"),
    "a way up with backslashes": ("..\\..\\windows\\system.ini", "system.ini"),
    "only a way up": ("..", "file"),
    "this directory": (".", "file"),
    "a root": ("/", "file"),
    "a slash at the end": ("out/", "file"),
    "a drive": ("C:\\evil.exe", "evil.exe"),
    "a drive without a slash": ("C:evil.exe", "C_evil.exe"),
    "a second stream of a file": ("a.txt:hidden", "a.txt_hidden"),
    "nothing": ("", "file"),
    "blanks": ("   ", "file"),
    "dots": ("....", "file"),
    "a hidden name": (".bashrc", "bashrc"),
    "dots and blanks at the end": ("name.txt. . ", "name.txt"),
    "NUL inside": ("a\0b.png", "a_b.png"),
    "control characters": ("a\r\nb\x7f\x85.png", "a__b__.png"),
    "characters some systems refuse": ('a<b>c:d"e|f?g*.png', "a_b_c_d_e_f_g_.png"),
    "text that runs backwards": ("a\u202egnp.exe", "a_gnp.exe"),
    "invisible characters": ("a\u200b\ufeff.png", "a__.png"),
    "half of a character": ("a\ud83d.png", "a_.png"),
    "a device": ("NUL", "_NUL"),
    "a device with an ending": ("nul.txt", "_nul.txt"),
    "a device with two endings": ("Con.tar.gz", "_Con.tar.gz"),
    "a device with a blank": ("aux .txt", "_aux .txt"),
    "a port": ("COM1", "_COM1"),
    "a port in superscript": ("lpt².png", "_lpt².png"),
    "the console": ("CONIN$", "_CONIN$"),
    "almost a device": ("console.txt", "console.txt"),
    "a composed character": ("cafe\u0301.png", "caf\u00e9.png"),
}


@pytest.mark.parametrize(("text", "expected"), CLEANED.values(), ids=CLEANED.keys())
def test_name_is_made_safe(text: str, expected: str) -> None:
    assert clean_name(text) == expected


def test_a_name_that_is_too_long_keeps_its_ending() -> None:
    assert clean_name("a" * 400 + ".png") == "a" * 251 + ".png"
    assert clean_name("й" * 300 + ".png") == "й" * 125 + ".png"
    assert clean_name("🌊" * 100) == "🌊" * 63
    # No ending: too long for one, or nothing before it.
    assert clean_name("a." + "b" * 300) == "a." + "b" * 253
    # The cut must not leave what Windows drops.
    assert clean_name("a" * 250 + ". " + "b" * 40 + ".png") == "a" * 250 + ".png"


@given(st.text() | st.lists(st.sampled_from(["..", "/", "\\", ".", " ", "\0", "nul", "a", "é" * 200])).map("".join))
def test_any_text_gives_one_plain_name(text: str) -> None:
    name = clean_name(text)
    assert name
    assert name not in {".", ".."}
    assert not set(name) & set('/\\\0<>:"|?*')
    assert name.isprintable() or not any(ord(one) < 32 for one in name)
    assert name == name.strip(" .")
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert clean_name(name) == name


def test_a_generation_is_named_after_its_id() -> None:
    storage = "https://storage.test/generations/18500.WEBP?signature=abc.png"
    assert name_for_id(18500, storage) == "18500.webp"
    assert name_for_id("gen_01", storage, "image/png") == "gen_01.webp"
    assert name_for_id("../../x", storage) == "x.webp"
    assert name_for_id("..", storage) == "generation.webp"


def test_a_generation_without_an_ending_waits_for_the_media_type() -> None:
    url = "https://storage.test/f/18500"
    assert name_for_id(18500, url) is None
    assert name_for_id(18500, url, "video/mp4; codecs=avc1") == "18500.mp4"
    assert name_for_id(18500, url, "") == "18500"


@pytest.mark.parametrize(
    ("url", "ending"),
    [
        ("https://storage.test/a/b.mp4", ".mp4"),
        ("https://storage.test/a/b.MP4#x", ".mp4"),
        ("https://storage.test/a.mp4/b", ""),
        ("https://storage.test/.png", ""),
        ("https://storage.test/a.", ""),
        ("https://storage.test/a.not-an-ending", ""),
        ("https://storage.test", ""),
        ("https://storage.test/a%2Epng", ".png"),
    ],
)
def test_the_ending_is_that_of_the_path(url: str, ending: str) -> None:
    assert ending_of(url) == ending


def test_the_usual_ending_of_a_media_type() -> None:
    assert ending_for("Image/JPEG ; q=1") == ".jpg"
    assert ending_for("audio/mpeg") == ".mp3"
    assert ending_for("application/x-unheard-of") == ending_for("") == ending_for(None) == ""


URLS = {
    "the path's last part": ("https://h.test/a/fox.png", None, None, "fox.png"),
    "percent signs are read": ("https://h.test/a%20fox.png", None, None, "a fox.png"),
    "a hidden way up": ("https://h.test/a/..%2F..%2Fetc%2Fpasswd", None, None, "passwd"),
    "no path": ("https://h.test", None, None, "download"),
    "no ending": ("https://h.test/a/fox", "image/png", None, "fox.png"),
    "no ending and no type": ("https://h.test/a/fox", None, None, "fox"),
    "a quoted name": ("https://h.test/x", None, 'attachment; filename="red fox.png"', "red fox.png"),
    "quotes in a name": ("https://h.test/x", None, r'attachment; filename="a\"b.png"', "a_b.png"),
    "a bare name": ("https://h.test/x", None, "attachment; filename=fox.png; size=3", "fox.png"),
    "a name with a way up": ("https://h.test/x", None, 'attachment; filename="../../fox.png"', "fox.png"),
    "a name with a charset": (
        "https://h.test/x",
        None,
        "attachment; filename=\"e.png\"; filename*=UTF-8''%D0%BB%D0%B8%D1%81%D0%B0.png",
        "лиса.png",
    ),
    "latin letters": ("https://h.test/x", None, "inline; filename*=ISO-8859-1'en'caf%E9.png", "café.png"),
    "a charset nobody has": ("https://h.test/x", None, "inline; filename*=klingon''fox.png", "fox.png"),
    "no name": ("https://h.test/fox.png", None, "attachment", "fox.png"),
    "an empty name": ("https://h.test/fox.png", None, 'attachment; filename=""', "fox.png"),
    "a name without an ending": ("https://h.test/x.webp", "image/png", "attachment; filename=fox", "fox.webp"),
    "something like a name": ("https://h.test/fox.png", None, "attachment; myfilename=evil.exe", "fox.png"),
}


@pytest.mark.parametrize(("url", "content_type", "disposition", "name"), URLS.values(), ids=URLS.keys())
def test_a_file_is_named_by_what_its_server_says(
    url: str, content_type: str | None, disposition: str | None, name: str
) -> None:
    assert name_for_url(url, content_type, disposition) == name
