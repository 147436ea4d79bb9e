"""The README keeps its word: its Python runs, and its commands are what the checks run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuralbox.sandbox import Sandbox, serve

from . import documents

README = documents.ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of one sandbox for all examples."""
    with serve(Sandbox(speed=1_000)) as server:
        yield server.url


@pytest.fixture
def reader(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader has: a key, an address, and an empty directory."""
    documents.equip(monkeypatch, service=service, directory=tmp_path)


@pytest.mark.uncovered
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("program", [*documents.examples(README)])
def test_every_python_example_is_a_program_that_runs_as_it_is_pasted(program: str, tmp_path: Path) -> None:
    documents.run_as_file(program, tmp_path)


@pytest.mark.parametrize(
    ("section", "ending"), [("Run it", "neuralbox demo"), ("Test it", ".venv/bin/python scripts/check.py")]
)
def test_the_section_has_exactly_one_fenced_line_that_does_all_the_set_up(section: str, ending: str) -> None:
    body = TEXT.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    [command] = re.findall(r"^```sh\n(.*?)\n```$", body, re.MULTILINE | re.DOTALL)
    assert body.count("```") == 2
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && ")
    assert command.endswith(ending)
