"""What code, tests and pages cite is in the repository: a clone is all that a reader needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDERS = ("neuralbox", "tests", "benchmarks", "docs", "examples", "scripts")
SUFFIXES = {".py", ".md", ".toml"}

CONTRADICTION = re.compile(r"(?<![\w/#%\\-])C([1-9]\d?)(?![\w-])")
SEED_TAG = re.compile(r"\bSEED (\d{3}(?:(?:, | and |-)\d{3})*)")
PAGE = re.compile(r"\b((?:docs/)?(?:[a-z-]+/)*[a-z-]+\.md)(?: (\d+(?:\.\d+)*))?")
ENDPOINT = re.compile(r'"""Answer (\d+\.\d+):')
PLANNED = {"docs/architecture.md"}  # the map of modules, once their names have settled
# Written while the design lived beside the project.
GONE = re.compile(r"\b[Dd]esign,? sections?\b|api reference \d|\.\./style|\bapi/neuralbox\.md")


def texts() -> Iterator[tuple[str, str]]:
    """Every file of ours that a reader may open, with its text."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            # The samples are the services' words, and this file holds what it looks for.
            is_ours = path.suffix in SUFFIXES and not {"samples", "_build"} & {*path.parts}
            if is_ours and path != Path(__file__).resolve():
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml"):
        yield name, (ROOT / name).read_text(encoding="utf-8")


TEXTS = dict(texts())


def headings(page: Path) -> set[str]:
    """The numbers at the start of a page's headings; `2.9, 2.10` and `2.23 to 2.27` are several."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (\d.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        numbers = re.match(r"\d+(?:\.\d+)*(?:(?:, | to )\d+(?:\.\d+)*)*", heading)
        assert numbers is not None
        named = re.findall(r"\d+(?:\.\d+)*", numbers[0])
        if " to " in numbers[0]:
            head, _, first = named[0].rpartition(".")
            named = [f"{head}.{number}" for number in range(int(first), int(named[-1].rpartition(".")[2]) + 1)]
        found.update(named)
    return found


def page_of(cited: str) -> Path | None:
    """The page a citation means: a path from the root, or a name that stands in `docs` once."""
    if (ROOT / cited).is_file() or cited.startswith("docs/"):
        return ROOT / cited
    found = [path for path in DOCS.rglob(Path(cited).name) if path.as_posix().endswith(f"/{cited}")]
    return found[0] if len(found) == 1 else None


def test_the_numbers_of_contradictions_are_those_of_the_page() -> None:
    page = (DOCS / "service" / "contradictions.md").read_text("utf-8")
    known = {int(number) for number in re.findall(r"^## C(\d+) ", page, re.MULTILINE)}
    assert known == set(range(1, 35))
    unknown = [
        (name, f"C{number}")
        for name, text in TEXTS.items()
        for number in CONTRADICTION.findall(text)
        if int(number) not in known
    ]
    assert unknown == []


def test_the_seeds_that_are_cited_are_in_the_list_of_sources() -> None:
    known = set(re.findall(r"^\| `SEED (\d{3})`", (DOCS / "service" / "index.md").read_text("utf-8"), re.MULTILINE))
    assert len(known) == 5
    cited = {
        (name, number)
        for name, text in TEXTS.items()
        for numbers in SEED_TAG.findall(text)
        for number in re.findall(r"\d{3}", numbers)
    }
    assert len(cited) > 20
    assert [(name, number) for name, number in sorted(cited) if number not in known] == []


def test_the_pages_and_sections_that_are_cited_are_there() -> None:
    missing: list[tuple[str, str]] = []
    cited = 0
    for name, text in TEXTS.items():
        for written, section in PAGE.findall(text):
            if not written.startswith("docs/") and not section:
                continue  # Sphinx checks the links of pages
            page = page_of(written)
            cited += 1
            if written in PLANNED:
                continue
            if page is None or not page.is_file() or (section and section.rstrip(".") not in headings(page)):
                missing.append((name, f"{written} {section}".rstrip()))
    assert cited > 10
    assert missing == []


def test_the_sandbox_s_endpoints_are_sections_of_the_service_s_page() -> None:
    known = headings(DOCS / "service" / "neuralbox.md")
    cited = {
        number
        for name, text in TEXTS.items()
        if name.startswith("neuralbox/sandbox/_endpoints/")
        for number in ENDPOINT.findall(text)
    }
    assert len(cited) >= 25
    assert cited <= known


def test_nothing_points_to_a_document_that_a_clone_does_not_have() -> None:
    assert {name: found for name, text in TEXTS.items() if (found := GONE.findall(text))} == {}
