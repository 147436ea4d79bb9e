"""Fragments for notebooks: what is shown of each kind, and that nothing of it can be more than text and links."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from neuralbox import Generation
from neuralbox._html import look_of, progress_html, result_html, web_address


class Elements(HTMLParser):
    """The elements of a fragment, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def shown(**record: Any) -> Elements:
    return Elements(Generation.read({"id": 7, "status": "completed", **record})._repr_html_())


def test_an_image_shows_its_picture() -> None:
    found = shown(type="image", model_slug="flux", result_url="https://s.test/7.webp", tokens_spent=4)
    [picture] = found.of("img")
    assert (picture["src"], picture["alt"]) == ("https://s.test/7.webp", "image 7")
    assert found.text == "image · 7 · flux · completed · 4 tokens"


def test_a_video_shows_a_player_with_its_still_that_loads_nothing() -> None:
    found = shown(type="video", result_url="https://s.test/7.mp4", thumbnail_url="https://s.test/7.jpg")
    [player] = found.of("video")
    assert player["src"] == "https://s.test/7.mp4"
    assert (player["poster"], player["preload"]) == ("https://s.test/7.jpg", "none")
    assert "controls" in player
    assert "poster" not in shown(type="video", result_url="https://s.test/7.mp4").of("video")[0]


def test_a_sound_shows_a_player() -> None:
    assert shown(type="tts", result_url="https://s.test/7.mp3").of("audio")[0]["src"] == "https://s.test/7.mp3"


def test_another_file_is_a_link() -> None:
    assert [one["href"] for one in shown(type="tool", result_url="https://s.test/7.zip").of("a")] == [
        "https://s.test/7.zip"
    ]


def test_a_text_is_shown_as_text() -> None:
    found = shown(type="text", result_text="2 < 3 & <script>alert(1)</script>\nnext")
    assert "2 < 3 & <script>alert(1)</script>\nnext" in found.text
    assert found.of("script") == []


@pytest.mark.parametrize("said", ["content <b>policy</b>", None])
def test_a_failure_says_why(said: str | None) -> None:
    found = Elements(Generation.read({"id": 7, "status": "failed", "error": said})._repr_html_())
    assert (said or "the service did not say why") in found.text
    assert found.of("b") == []


def test_a_prompt_is_left_out() -> None:
    assert "secret lake" not in shown(type="image", prompt="secret lake", result_url="https://s.test/7.webp").text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//s.test/7.webp",
        "https://s.test/a b",
        'https://s.test/"onload="x',
        "https://[",
        "https://",
        "https:///x",
        "",
        None,
        "file:///etc/passwd",
        " https://s.test",
    ],
)
def test_an_address_that_is_not_plainly_of_the_web_is_not_named(url: str | None) -> None:
    assert web_address(url) is None
    assert shown(type="image", result_url=url).found[0][0] == "figure"
    assert {name for name, _ in shown(type="image", result_url=url).found} == {"figure", "figcaption"}


@pytest.mark.parametrize("url", ["https://s.test/7.webp", "HTTP://s.test:8080/7?x=1&y='2'", "http://[::1]/7"])
def test_an_address_of_the_web_is_named(url: str) -> None:
    assert web_address(url) == url
    assert shown(type="image", result_url=url).of("a")[0]["href"] == url


@pytest.mark.parametrize(
    ("kind", "name", "look"),
    [
        ("image", "7", "picture"),
        ("image", "7.mp4", "film"),
        ("tool", "7.png", "picture"),
        ("tool", "7.ogg", "sound"),
        ("video", "7", "film"),
        ("audio", "7.webm", "sound"),
        ("music", "7", "sound"),
        ("speech", "7", "sound"),
        (None, "7", None),
        ("image", "7.html", None),
        ("text", "7", None),
    ],
)
def test_the_ending_says_how_a_file_is_shown_and_else_the_kind(kind: str | None, name: str, look: str | None) -> None:
    assert look_of(kind, name) == look


def test_a_result_without_anything_is_an_empty_figure() -> None:
    assert Elements(result_html(kind=None, url=None)).text == ""


def test_progress_shows_a_bar_where_the_end_is_known() -> None:
    found = Elements(progress_html(title="Batch", done=3, total=4, facts=[("failed", 1_234), ("left", "<1"), ("x", 0)]))
    assert (found.of("progress")[0]["value"], found.of("progress")[0]["max"]) == ("3", "4")
    assert found.text == "Batch 3 of 43 of 4failed1,234left<1"
    assert Elements(progress_html(title="Batch", done=0, total=0, facts=[])).of("progress")[0]["max"] == "1"
    assert Elements(progress_html(title="Batch", done=3, total=None, facts=[])).of("progress") == []
