"""The documentation keeps its word: every Python example of every page runs, and the site is built without a warning."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neuralbox import NeuralBox
from neuralbox.sandbox import Sandbox, serve

from .. import documents

DOCS = documents.ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))
site_tabs: Any = importlib.import_module("site_tabs")
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
PUBLIC_MODULES = (
    "neuralbox",
    "neuralbox.gateway",
    "neuralbox.geminigen",
    "neuralbox.otel",
    "neuralbox.ray",
    "neuralbox.sandbox",
    "neuralbox.sync",
    "neuralbox.testing",
    "neuralbox.webhooks",
)
NO_BLOCKING_FORM = [
    "guides/gateway.md",  # a server of an event loop
    "guides/mcp.md",
    "promises/nothing-left-behind.md",  # what is proven is about cancelled tasks
    "promises/paid-once.md",
]


# The examples.


@pytest.fixture
def service() -> Iterator[str]:
    """The address of a sandbox for the example alone, on an account that was used before, as a reader's is."""
    with serve(Sandbox(speed=1_000)) as server:
        with NeuralBox(api_key="nb_before", base_url=server.url) as nb:
            nb.images.create(model="flux-1.1-pro", prompt="What was made before")
        yield server.url


@pytest.fixture
def reader(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader has: a key, an address, and an empty directory."""
    documents.equip(monkeypatch, service=service, directory=tmp_path)


def program(example: str) -> str:
    """Return what a reader pastes: the whole program that the site shows, or the example where it is one."""
    return site_tabs.whole_form(example) or example


@pytest.mark.uncovered
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    "text", [one for page in PAGES for one in documents.examples(page, program, site_tabs.blocking_form)]
)
def test_every_example_is_a_program_that_runs_as_it_is_pasted(text: str, tmp_path: Path) -> None:
    documents.run_as_file(text, tmp_path)


@pytest.mark.uncovered
@pytest.mark.anyio
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("text", [one for page in PAGES for one in documents.examples(page, site_tabs.inside_form)])
@pytest.mark.parametrize("anyio_backend", ["trio"])  # on asyncio it has run as a program
async def test_every_inside_of_a_program_runs_where_it_is_put(text: str) -> None:
    if "asyncio." in text:
        pytest.skip("It is for asyncio alone.")
    await documents.run_inside(text)


def test_every_guide_with_an_async_program_has_a_blocking_one() -> None:
    lacking = []
    for page in PAGES:
        found = [one.values[0] for one in documents.examples(page)]
        if any(map(site_tabs.inside_form, found)) and all(
            site_tabs.inside_form(one) is not None and site_tabs.blocking_form(one) is None for one in found
        ):
            lacking.append(page.relative_to(DOCS).as_posix())
    assert lacking == NO_BLOCKING_FORM


def test_no_example_is_cut_short_when_it_is_typed_into_an_interpreter() -> None:
    """`python -m asyncio` ends a block at an empty line."""
    cut = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for example in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            lines = example[1].splitlines()
            parsed = compile(example[1], str(page), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            inside = [at for one in parsed.body for at in range(one.lineno, one.end_lineno or 0)]
            cut += [f"{page.name}: {lines[at - 2]}" for at in inside if not lines[at - 1].strip()]
    assert cut == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_fragment_that_is_not_run_shows_somebody_elses_program(page: Path) -> None:
    fragments = re.findall(r"^```py\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    assert [fragment for fragment in fragments if not fragment.startswith(("# openai\n", "# replicate\n"))] == []


# The site.


def test_the_site_is_built_without_a_warning_and_has_every_page_and_every_public_name(tmp_path: Path) -> None:
    """One test, since a build takes seconds and each worker would make its own."""
    pytest.importorskip("sphinx")
    site = tmp_path / "site"
    # Every warning counts, and every name in a signature must lead somewhere (-n). What nothing here looks at is dear: round
    # quotation marks, and each page's contents with every name of the reference.
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    build += ["-D", "smartquotes=0", "-D", "toc_object_entries=0"]
    done = subprocess.run(
        [*build, "-d", str(tmp_path / "trees"), str(DOCS), str(site)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [page for page in PAGES if not (site / page.relative_to(DOCS).with_suffix(".html")).is_file()] == []
    assert missing_names((site / "objects.inv").read_bytes()) == []
    assert figures_of_waits() <= set(re.findall(r"<p>(.*?)</p>", read(site / "promises" / "cheap-waiting.html")))
    assert len(re.findall(r"<svg [^>]*role=\"img\"", read(site / "inside.html"))) == 6  # drawn: no script runs
    names = found_by_name(read(site / "searchindex.js"))
    assert {f"nb.{name}" for name in ("text.create", "images.submit", "history.list", "files.download")} <= names
    assert [name for name in names if re.search(r"(^|\.)_[a-z]", name)] == []  # nothing private is a hit of the search
    assert [word for word in SEARCHED if not pages_that_say(word, read(site / "searchindex.js"))] == []
    landing = read(site / "index.html")
    assert "copybutton.js" in landing
    assert 'icon" href="_static/favicon.svg"' in landing
    for page in site.rglob("*.html"):
        assert re.findall(r"""<(?:script|img|link)[^>]* (?:src|href)=["']https?://[^"']+""", read(page)) == []


SEARCHED = ("parallel", "rate limit", "synchronous", "webhook", "retry", "backoff", "Django")
"""What people look for, in the words they have."""


def pages_that_say(words: str, index: str) -> set[int]:
    """The pages that the site's own search finds: those that have each of the words, by its stem."""
    from sphinx.search.en import SearchEnglish

    terms = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))["terms"]
    stem = SearchEnglish({}).stem
    found = [terms.get(stem(word.lower()), []) for word in words.split()]
    return set.intersection(*({pages} if isinstance(pages, int) else set(pages) for pages in found))


def found_by_name(index: str) -> set[str]:
    """Every name of the reference that the site's search knows."""
    objects = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))["objects"]
    return {f"{prefix}.{entry[-1]}".removeprefix(".") for prefix, entries in objects.items() for entry in entries}


def missing_names(inventory: bytes) -> list[str]:
    """Public names that the reference does not describe."""
    from sphinx.util.inventory import InventoryFile

    described = {name for kind in InventoryFile.loads(inventory, uri="").data.values() for name in kind}
    return [
        f"{module}.{name}"
        for module in PUBLIC_MODULES
        for name in importlib.import_module(module).__all__
        # What two modules export is described once.
        if f"{module}.{name}" not in described and f"neuralbox.{name}" not in described
    ]


def figures_of_waits() -> set[str]:
    """The figures of the table of waits; no page but `figures` has a copy of its own."""
    table = read(DOCS / "promises" / "figures.md").partition("| jobs waited for together |")[2].partition("\n\n")[0]
    return set(re.findall(r"(?<=\| )\d+\.\d(?= \|)", table))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")
