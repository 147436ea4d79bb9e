"""The history as a list, a file, a page and a mirror."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from .conftest import Box


def fill(box: Box) -> None:
    assert box("generate", "gpt-5", "Good\n\tmorning " + "x" * 100).code == 0
    assert box("generate", "flux-1.1-pro", "A lighthouse").code == 0


@pytest.mark.parametrize("command", [("history",), ("history", "list")])
def test_history_lists_the_newest_first(command: tuple[str, ...], box: Box) -> None:
    fill(box)
    left = box(*command)
    assert left.code == 0
    image, text = (line.split("\t") for line in left.lines)
    assert image[1:5] == ["completed", "image", "flux-1.1-pro", "4"]
    assert image[6] == "A lighthouse"
    assert text[6].startswith("Good morning xxx")
    assert text[6].endswith("…")
    assert len(text[6]) == 60


def test_history_takes_its_options_without_the_word_list(box: Box) -> None:
    fill(box)
    assert len(box("history", "--limit", "1").lines) == 1
    assert len(box("history", "--type", "image", "--json").records) == 1
    assert len(box("history", "--model", "gpt-5").lines) == 1
    left = box("history", "--status", "failed", "--favorites")
    assert (left.code, left.out, left.sentence) == (0, "", "Nothing found.")


def test_export_writes_every_generation(box: Box, tmp_path: Path) -> None:
    fill(box)
    left = box("history", "export", "all.jsonl")
    assert left.code == 0
    assert left.lines == ["all.jsonl"]
    assert left.sentence.startswith("2 generations, ")
    assert len([json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]) == 2
    [record] = box("history", "export", "one.csv", "--limit", "1", "--json").records
    assert record["items"] == 1
    with (tmp_path / "one.csv").open(encoding="utf-8-sig", newline="") as file:
        assert len([*csv.DictReader(file)]) == 1


@pytest.mark.parametrize(("options", "prompt"), [([], "'=1+1"), (["--raw-text"], "=1+1")])
def test_export_writes_a_formula_as_text_unless_the_raw_text_is_wanted(
    box: Box, tmp_path: Path, options: list[str], prompt: str
) -> None:
    assert box("generate", "flux-1.1-pro", "=1+1").code == 0
    assert box("history", "export", "all.csv", *options).code == 0
    with (tmp_path / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["prompt"] for row in csv.DictReader(file)] == [prompt]


def test_export_replaces_no_file_by_itself(box: Box, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("mine")
    assert box("history", "export", "all.csv").code == 2
    assert (tmp_path / "all.csv").read_text() == "mine"
    assert box("history", "export", "all.csv", "--overwrite").code == 0
    left = box("history", "export", "all.txt")
    assert (left.code, left.sentence) == (
        2,
        "The file's name must end in .jsonl, .csv, .parquet; it is 'all.txt'.",
    )


def test_a_report_is_one_page(box: Box, tmp_path: Path) -> None:
    fill(box)
    left = box("history", "report", "-o", "page.html")
    assert left.code == 0
    assert "A lighthouse" in (tmp_path / "page.html").read_text(encoding="utf-8")
    [record] = box("history", "report", "--limit", "1", "--json").records
    assert record["bytes"] == (tmp_path / "history.html").stat().st_size


def test_a_report_without_its_extra_says_what_to_install(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("neuralbox._report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    left = box("history", "report")
    assert (left.code, left.sentence) == (
        2,
        "This needs `jinja2`, which is not installed: run  pip install 'neuralbox[report]'",
    )


def test_archive_mirrors_and_adds_what_is_new(box: Box, tmp_path: Path) -> None:
    fill(box)
    left = box("archive", "mirror")
    assert left.code == 0
    assert left.lines == ["mirror/manifest.jsonl"]
    assert left.sentence.startswith("2 listed, 2 saved, 0 kept, 0 expired, 0 skipped, 0 failed, ")
    assert len(list((tmp_path / "mirror").glob("[it]*/*"))) == 2
    [record] = box("archive", "mirror", "--verify", "--json").records
    assert (record["saved"], record["kept"], record["failures"]) == (0, 2, [])


def test_archive_fails_if_anything_is_missing_and_says_what(box: Box) -> None:
    fill(box)
    box.sandbox.faults.set("cut-file", 1.0)
    left = box("archive", "mirror", "--type", "image")
    assert left.code == 1
    counts, problem, advice = left.err.splitlines()
    assert "1 failed" in counts
    assert problem.startswith("job ")
    assert advice == "Run it again to try those that failed once more."
    box.sandbox.faults.clear()
    assert box("archive", "mirror").code == 0


def test_archive_into_a_file_is_wrong_usage(box: Box, tmp_path: Path) -> None:
    (tmp_path / "mirror").write_text("mine")
    left = box("archive", "mirror")
    assert left.code == 2
    assert "goes on" not in left.sentence
