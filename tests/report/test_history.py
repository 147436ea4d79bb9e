"""The report of the history: asked for by pages, pictures fetched and shrunk, and nothing lost by those that are gone."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from neuralbox import Generation
from neuralbox._errors import AuthenticationError, ConfigurationError, DownloadError
from neuralbox._files.partial_file import PartFile
from neuralbox._report import history as history_module
from neuralbox._report import write_history_report
from neuralbox._report.history import card_of

from ..archive.support import Service
from ..helpers import KEY, make_client
from .journals import picture

pytestmark = pytest.mark.anyio

PICTURE = picture(64, 48)


def item(number: int, **record: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": "image",
        "status": "completed",
        "model_slug": "flux",
        "prompt": f"number {number}",
        "result_url": f"https://files.test/{number}.png",
        "tokens_spent": 4,
        "created_at": f"2026-11-21T09:{number % 60:02d}:00Z",
        "completed_at": f"2026-11-21T09:{number % 60:02d}:07Z",
        **record,
    }


def files_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


class Pictures(Service):
    """A history of so many items, and their files."""

    def __init__(self, *items: dict[str, Any], file: Callable[[str], httpx.Response] | None = None) -> None:
        super().__init__()
        self.items += items
        self.answer = file or (lambda _: httpx.Response(200, content=PICTURE))

    def _file(self, url: str) -> httpx.Response:
        return self.answer(url)

    @property
    def names(self) -> list[str]:
        return sorted(url.rpartition("/")[2] for url in self.fetched)


async def test_pictures_are_fetched_and_shrunk_and_linked_where_they_are(tmp_path: Path) -> None:
    service = Pictures(*(item(number) for number in range(32)))
    async with make_client(service) as nb:
        page = await write_history_report(nb, f"{tmp_path}{os.sep}", limit=30)
    html = page.read_text(encoding="utf-8")
    assert page == tmp_path / "history.html"
    assert html.count('<img src="data:image/webp') == html.count("<article") == 30
    assert 'href="https://files.test/7.png"' in html
    assert "These are the newest 30; there may be more." in html
    assert len(service.names) == 30
    assert KEY not in html


async def test_films_have_the_still_that_the_service_gives(tmp_path: Path) -> None:
    film = item(1, type="video", result_url="https://files.test/1.mp4", thumbnail_url="https://files.test/1.jpg")
    bare = item(2, type="video", result_url="https://files.test/2.mp4")
    text = item(3, type="text", result_url=None, result_text="Ho")
    service = Pictures(film, bare, text)
    async with make_client(service) as nb:
        html = (await write_history_report(nb, tmp_path / "h.html")).read_text(encoding="utf-8")
    assert service.names == ["1.jpg"]
    assert html.count("<video") == 2
    assert html.count('poster="data:image/webp') == 1


async def test_pictures_that_are_gone_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    def file(url: str) -> httpx.Response:
        if url.endswith("/1.png"):
            return httpx.Response(404)
        return httpx.Response(200, content=PICTURE[:90] if url.endswith("/2.png") else PICTURE)

    odd = [item(number, result_url=f"https://{host}/1.png") for number, host in [(4, "xn--"), (5, ".files.test")]]
    service = Pictures(item(1), item(2), item(3), *odd, file=file)
    async with make_client(service, max_retries=0) as nb:
        html = (await write_history_report(nb, tmp_path / "h.html")).read_text(encoding="utf-8")
    assert "4 pictures could not be fetched" in html
    assert html.count("<img") == 1
    assert html.count("Open the picture") == 4


async def test_a_bug_of_a_users_transport_comes_out_as_it_is(tmp_path: Path) -> None:
    def file(_: str) -> httpx.Response:
        raise RuntimeError("A bug")

    async with make_client(Pictures(item(1), item(2), file=file)) as nb:
        with pytest.raises(RuntimeError, match="A bug"):
            await write_history_report(nb, tmp_path / "h.html")
    assert files_in(tmp_path) == []


async def test_without_thumbnails_no_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Pictures(item(1))
    async with make_client(service) as nb:
        page = await write_history_report(nb, tmp_path / "h.html", thumbnails=False)
        assert "Thumbnails were not asked for." in page.read_text(encoding="utf-8")
        monkeypatch.setattr(history_module, "are_possible", lambda: False)
        page = await write_history_report(nb, tmp_path / "h.html")
        assert "neuralbox[report]" in page.read_text(encoding="utf-8")
    assert service.names == []


async def test_a_number_of_tokens_that_no_float_holds_is_shown_as_it_is(tmp_path: Path) -> None:
    service = Pictures(item(1, tokens_spent=10**400), item(2, tokens_spent=0))
    async with make_client(service) as nb:
        page = await write_history_report(nb, tmp_path / "h.html", thumbnails=False)
    assert f"{10**400 // 2:,}.0" in page.read_text(encoding="utf-8")


async def test_filters_are_sent_and_said(tmp_path: Path) -> None:
    service = Pictures()
    async with make_client(service) as nb:
        page = await write_history_report(
            nb, tmp_path / "h.html", type="image", status="failed", favorites_only=True, limit=5
        )
    assert service.pages[0] == {
        "page": "1",
        "limit": "5",
        "type": "image",
        "status": "failed",
        "favorites_only": "true",
    }
    assert "box.test · type: image · status: failed · favourites" in page.read_text(encoding="utf-8")


async def test_a_limit_of_nothing_asks_for_nothing(tmp_path: Path) -> None:
    service = Pictures(item(1))
    async with make_client(service) as nb:
        page = await write_history_report(nb, tmp_path / "h.html", limit=0)
    assert "There is nothing in it yet." in page.read_text(encoding="utf-8")
    assert service.names == []


@pytest.mark.parametrize(
    ("record", "state", "word", "seconds"),
    [
        ({}, "completed", "completed", 7.0),
        ({"completed_at": None, "processing_ms": 1_500}, "completed", "completed", 1.5),
        ({"completed_at": None}, "completed", "completed", None),
        ({"status": "failed", "error": "policy", "result_url": None}, "failed", "failed", 7.0),
        ({"status": "pending", "result_url": None, "created_at": None}, "open", "pending", None),
        ({"status": None, "result_url": "javascript:x", "result_text": None}, "completed", "completed", 7.0),
        ({"status": None, "result_url": None}, "open", "state unknown", 7.0),
    ],
)
async def test_each_state_of_an_item_is_said(
    record: dict[str, Any], state: str, word: str, seconds: float | None
) -> None:
    card = card_of(Generation.read(item(1, **record)))
    assert (card.state, card.word, card.seconds) == (state, word, seconds)
    assert (card.reason == "policy") == (state == "failed")
    assert card.address in {None, "https://files.test/1.png"}


# What goes wrong.


async def test_nothing_is_asked_for_a_page_that_cannot_be(tmp_path: Path) -> None:
    service = Pictures()
    async with make_client(service) as nb:
        with pytest.raises(ConfigurationError, match=r"\.html"):
            await write_history_report(nb, tmp_path / "h.txt")
        with pytest.raises(ConfigurationError, match="`limit`"):
            await write_history_report(nb, tmp_path / "h.html", limit=-1)
    assert not service.asked


async def test_a_place_that_may_not_be_looked_at_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    service = Pictures()
    async with make_client(service) as nb:
        monkeypatch.setattr(Path, "is_dir", refuse)
        with pytest.raises(DownloadError, match=r"The report cannot be written: Permission denied\."):
            await write_history_report(nb, tmp_path / "h.html")
    assert not service.asked


async def test_a_history_that_cannot_be_read_leaves_the_old_page(tmp_path: Path) -> None:
    page = tmp_path / "h.html"
    page.write_text("old")
    refusal = {"error": "not_authenticated", "message": "no"}
    async with make_client(lambda _: httpx.Response(401, json=refusal)) as nb:
        with pytest.raises(AuthenticationError):
            await write_history_report(nb, page)
    assert files_in(tmp_path) == ["h.html"]
    assert page.read_text() == "old"


async def test_a_cancelled_report_leaves_nothing(tmp_path: Path) -> None:
    scope = anyio.CancelScope()

    def file(url: str) -> httpx.Response:
        scope.cancel()
        return httpx.Response(200, content=PICTURE)

    async with make_client(Pictures(*(item(number) for number in range(20)), file=file)) as nb:
        with scope:
            await write_history_report(nb, tmp_path / "h.html")
    assert scope.cancelled_caught
    assert files_in(tmp_path) == []


async def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartFile, "write", full)
    async with make_client(Pictures(item(1))) as nb:
        with pytest.raises(DownloadError, match="No space left"):
            await write_history_report(nb, tmp_path / "h.html")
    assert files_in(tmp_path) == []


def test_words_of_the_service_are_short_and_on_one_line() -> None:
    hostile = "\x1b[31mred\r\nforged\u202egnirts\ud800" + "x" * 10_000_000
    card = card_of(Generation.read(item(1, id=hostile, type=hostile, status=hostile, model_slug=hostile)))
    for shown in (card.name, card.kind, card.word, card.model):
        assert shown is not None
        assert shown.startswith("[31mred forgedgnirts\ufffdx")
        assert len(shown) == 120
    failed = card_of(Generation.read(item(2, status="failed", error=hostile + "nb_abc")))
    assert failed.reason is not None
    assert failed.reason.startswith("[31mred forged")
    assert len(failed.reason) == 500
    assert card_of(Generation.read({"status": "failed"})).reason == "The service did not say why."
