"""The pages in a real browser: a batch against the sandbox, its journal, its report, and what Chromium makes of it.

One Chromium serves all of them. What pages may not do is proven by what it did not do: no request but for the page
itself, nothing for its log.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image

from neuralbox import AsyncNeuralBox, Polling
from neuralbox._batch.resource import Batches
from neuralbox._report import write_batch_report, write_history_report
from neuralbox._report.card import PROMPT_CHARACTERS, Card, Clipped
from neuralbox._report.page import ReportPage, write_page
from neuralbox._report.totals import Totals
from neuralbox._thumbnails import DecodeBudget, thumbnail_of
from neuralbox.sandbox import Faults, Sandbox, serve

from .browser import Browser, browser
from .journals import START, Kept, journal

COUNT = 18


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A batch of every kind, with failures: the page of its journal, and that of the account's history."""
    folder = tmp_path_factory.mktemp("run")
    with serve(Sandbox(speed=4_000, faults=Faults({"fail-generation": 0.2}))) as server:
        return anyio.run(partial(_run, server.url, folder))


async def _run(url: str, folder: Path) -> dict[str, Path]:
    kinds: list[dict[str, Any]] = [
        {"kind": "image", "model": "flux-1.1-pro"},
        {"kind": "video", "model": "luma-flash2"},
        {"kind": "text", "model": "gpt-5"},
        {"kind": "speech", "model": "openai-tts"},
    ]
    requests = [
        {**kinds[at % 4], "key": f"k{at}", "text" if at % 4 == 3 else "prompt": f"number {at}: a lighthouse"}
        for at in range(COUNT)
    ]
    fast = Polling(timeout=30, min_interval=0.02, max_interval=0.1)
    async with AsyncNeuralBox(api_key=f"nb_test_{uuid.uuid4().hex}", base_url=url, polling=fast) as nb:
        home = Batches(nb._core)
        async with home(requests, journal=folder / "run.sqlite", download_to=folder / "out") as run:
            found = [outcome async for outcome in run]
        assert len(found) == COUNT
        return {
            "batch": write_batch_report(folder / "run.sqlite", folder / "report.html"),
            "history": await write_history_report(nb, folder),
        }


DECODED = """Promise.all([...document.images].map(image => image.decode()))
    .then(() => [...document.images].filter(image => image.naturalWidth > 0).length)"""
SEEN = "[...document.querySelectorAll('article')].filter(one => one.getClientRects().length).length"
LINES_OF_LABELS = """[...document.querySelectorAll('.choices label')].map(one => {
    const words = document.createRange();
    words.selectNodeContents(one.firstChild);
    return words.getClientRects().length;
})"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
PLAYABLE = """Promise.all([...document.querySelectorAll('video, audio')].map(player => new Promise(done => {
    player.onloadedmetadata = () => done(player.duration > 0);
    player.onerror = () => done(false);
    player.load(); player.preload = 'metadata';
})))"""


@pytest.mark.uncovered
def test_a_batch_from_the_sandbox_to_the_screen(chromium: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    page = pages["batch"]
    chromium.open(page)
    assert chromium.ask("document.querySelectorAll('article').length") == COUNT
    pictures = chromium.ask("document.images.length")
    assert pictures == len([*(page.parent / "out").glob("*.webp")]) > 0
    assert chromium.ask(DECODED) == pictures
    assert chromium.requests() == [page.as_uri()]
    assert chromium.complaints() == []
    assert chromium.ask("document.scripts.length") == 0
    films = chromium.ask("document.querySelectorAll('video').length")
    assert chromium.ask("document.querySelectorAll('video[poster^=\"data:image/webp\"]').length") == films > 0
    chromium.screenshot(tmp_path / "light.png")
    seen = Image.open(tmp_path / "light.png")
    assert len(seen.convert("RGB").getcolors(1 << 24) or []) > 500  # gradients of pictures, not a blank page


def test_films_and_sounds_play_from_where_they_are(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["batch"])
    players = chromium.ask(PLAYABLE)
    assert players
    assert players == [True] * len(players)
    assert all(url.startswith(pages["batch"].parent.as_uri()) for url in chromium.requests())
    assert chromium.complaints() == []


def test_a_history_shows_pictures_without_asking_for_them(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["history"])
    assert chromium.ask("document.querySelectorAll('article').length") >= COUNT - 1
    assert chromium.ask(DECODED) > 0
    assert chromium.requests() == [pages["history"].as_uri()]
    assert chromium.complaints() == []


def test_one_can_look_at_one_sort_without_a_script(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["batch"])
    everything, failed = COUNT, chromium.ask("document.querySelectorAll('article.failed').length")
    assert chromium.ask(SEEN) == everything
    assert 0 < failed < everything
    chromium.ask("document.querySelector('#only-failed').click()")
    assert chromium.ask(SEEN) == failed
    chromium.ask("document.querySelector('#only-all').click()")
    assert chromium.ask(SEEN) == everything


ON_SCREEN = """[...document.querySelectorAll('article')].filter(one => one.getClientRects().length).map(one => [one, one.getBoundingClientRect()])
    .sort(([, a], [, b]) => a.top - b.top || a.left - b.left).map(([one]) => one.querySelector('bdi').textContent)"""


def test_cards_are_ordered_and_chosen_by_model_without_a_script(chromium: Browser, tmp_path: Path) -> None:
    def asked(model: str) -> dict[str, str]:
        return {"kind": "image", "model": model, "prompt": "A lake"}

    records = [
        Kept("a", asked("flux"), "final", tokens=4, seconds=9),
        Kept("b", asked("dall-e"), "final", tokens=9, seconds=2),
        Kept("c", asked("flux"), "final", tokens=9, seconds=5),
        Kept("d", asked("flux"), "planned"),
    ]
    page = write_batch_report(journal(tmp_path / "run.sqlite", records), tmp_path / "r.html")
    chromium.open(page, width=1280, height=800)
    orders = chromium.ask("[...document.querySelector('#in-order').options].map(one => one.text)")
    seen = {}
    for number, name in enumerate(orders):
        chromium.ask(f"document.querySelector('#in-order').selectedIndex = {number}")
        seen[name] = "".join(chromium.ask(ON_SCREEN))
    assert seen == {"as planned": "abcd", "latest first": "cbad", "dearest first": "bcad", "slowest first": "acbd"}
    chromium.ask("document.querySelector('#of-model').selectedIndex = 2")
    assert chromium.ask(ON_SCREEN) == ["a", "c", "d"]
    assert chromium.ask("document.scripts.length") == 0
    assert chromium.complaints() == []


LABELS = """(() => {
    const card = document.querySelector('.plot').getBoundingClientRect();
    return [...document.querySelectorAll('.moments span, .heights span')].flatMap(label => {
        const words = document.createRange();
        words.selectNodeContents(label);
        const place = words.getBoundingClientRect();
        return [place.left - card.left, card.right - place.right, card.bottom - place.bottom];
    });
})()"""


@pytest.mark.parametrize("width", [320, 375, 1000, 1280])
def test_labels_of_the_axes_are_inside_their_card(chromium: Browser, tmp_path: Path, width: int) -> None:
    slow = [Kept(str(at), reaches="final", seconds=170_000.0) for at in range(3)]
    page = write_batch_report(journal(tmp_path / "run.sqlite", slow), tmp_path / "r.html")
    chromium.open(page, width=width, height=800)
    assert min(chromium.ask(LABELS)) > 4
    assert chromium.ask(OVERFLOW) <= 0


def test_a_failure_leads_to_its_card(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["batch"])
    chromium.ask("document.querySelector('.failures a').click()")
    assert chromium.ask("document.querySelector('article:target').classList.contains('failed')")


CONTRAST = """(() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const light = colour => {
        canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
            .map(part => part / 255).map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const ground = one => {
        for (; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if (colour !== 'rgba(0, 0, 0, 0)') return colour;
        }
    };
    const low = [];
    for (const one of document.querySelectorAll('body *')) {
        if (![...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()) || one.closest('svg')) continue;
        const two = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => b - a);
        const ratio = (two[0] + .05) / (two[1] + .05);
        if (ratio < 4.5) low.push([one.tagName, one.className, ratio]);
    }
    return low;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_from_its_ground(chromium: Browser, pages: dict[str, Path], dark: bool) -> None:
    chromium.open(pages["batch"], dark=dark)
    ground = chromium.ask("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 21, 27)" if dark else "rgb(246, 247, 249)")
    assert chromium.ask(CONTRAST) == []  # WCAG 2.2, 1.4.3: 4.5 to 1


def test_a_phone_shows_all_of_it_without_scrolling_sideways(chromium: Browser, tmp_path: Path) -> None:
    long = "Donaudampfschifffahrtsgesellschaft" * 12
    failed = {"status": "failed", "error": long}
    records = [
        Kept("x" * 300, {"kind": "image", "model": long, "prompt": long}, "final", failed),
        Kept(
            "text",
            {"kind": "text", "model": long, "prompt": long},
            "final",
            {"status": "completed", "result_text": long},
        ),
        Kept(
            "film",
            {"kind": "video", "model": "x"},
            "final",
            {"status": "completed", "result_url": "https://s.test/1.mp4"},
        ),
        Kept("sound", {"kind": "audio"}, "final", {"status": "completed", "result_url": "https://s.test/1.mp3"}),
    ]
    page = write_batch_report(journal(tmp_path / f"{long[:100]}.sqlite", records), tmp_path / "r.html")
    for width in (320, 375, 768, 1000, 1280):
        chromium.open(page, width=width, height=800)
        chromium.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert chromium.ask(OVERFLOW) <= 0
        assert chromium.ask(LINES_OF_LABELS) == [1, 1]
    assert chromium.requests() == [page.as_uri()]


NAMELESS = """[...document.querySelectorAll('img, video, audio, svg, input, a, section')].filter(one =>
    !(one.getAttribute('alt') || one.getAttribute('aria-label') || one.getAttribute('aria-hidden')
      || one.getAttribute('aria-labelledby') || one.labels?.length || one.querySelector('img[alt]') || one.textContent.trim())).length"""


def test_everything_has_a_name_for_those_who_do_not_see_it(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["batch"])
    assert chromium.ask(NAMELESS) == 0
    headings = chromium.ask("[...document.querySelectorAll('h1, h2, h3')].map(one => +one.tagName[1])")
    assert headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert chromium.ask("document.documentElement.lang") == "en"


def test_what_comes_from_outside_runs_nothing(chromium: Browser, tmp_path: Path) -> None:
    evil = "</style></title><script>document.title='run'</script><svg onload=\"document.title='run'\">"
    records = [
        Kept(evil, {"kind": "image", "model": evil, "prompt": evil}, "final", {"status": "failed", "error": evil}),
        Kept("url", {"prompt": evil}, "final", {"status": evil, "result_url": "javascript:document.title='run'"}),
    ]
    page = write_batch_report(journal(tmp_path / "run.sqlite", records), tmp_path / "r.html")
    chromium.open(page)
    assert chromium.ask("document.title") == "Batch run"
    assert chromium.ask("document.scripts.length + document.querySelectorAll('[onload], [onerror]').length") == 0
    hrefs = chromium.ask("[...document.links].map(link => link.getAttribute('href'))")
    assert all(href.startswith("#") for href in hrefs)
    # What would be put into the page by a mistake of ours, the page's own rules stop.
    html = page.read_text(encoding="utf-8")
    page.write_text(html.replace("<main>", "<main><script>document.title='run'</script><img src='https://s.test/x'>"))
    chromium.open(page)
    assert chromium.ask("document.title") == "Batch run"
    assert chromium.requests() == [page.as_uri()]


# Numbers.


def test_a_thousand_results_weigh_and_take_little(chromium: Browser, tmp_path: Path) -> None:
    """Below 15 MB and 2 s, with the heaviest pictures and long prompts; the time is that of Chromium's own thread."""
    noise = BytesIO()
    Image.merge("RGB", [Image.effect_noise((640, 640), 100) for _ in "rgb"]).save(noise, "png")
    with DecodeBudget() as budget:
        heavy = thumbnail_of(noise.getvalue(), budget)
    assert heavy is not None
    totals, cards = Totals(), []
    for number in range(1_000):
        prompt = Clipped(f"{number} " + "p" * (PROMPT_CHARACTERS - 6), 0)
        card = Card(
            f"k{number}",
            "completed",
            "completed",
            "image",
            "flux",
            prompt,
            tokens=4,
            at=START + number,
            look="picture",
            address="https://s.test/1.webp",
        )
        totals.add(card, ended_at=START + number + 5)
        cards.append(card)
    page = write_page(ReportPage("A thousand", "", totals, cards), [heavy] * 1_000, tmp_path / "r.html")
    assert page.stat().st_size + 1_000 * (11_400 - len(heavy.uri)) < 15_000_000  # as if each had the most it may have
    chromium.call("Performance.enable", timeDomain="threadTicks")
    chromium.open(page)
    metrics = {one["name"]: one["value"] for one in chromium.call("Performance.getMetrics")["metrics"]}
    assert chromium.ask("document.querySelectorAll('article').length") == 1_000
    assert chromium.ask(DECODED) == 1_000
    assert metrics["TaskDuration"] < 2.0
