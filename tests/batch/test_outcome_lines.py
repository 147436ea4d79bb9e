"""Outcomes in a file: one line for each request, however often its batch is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._batch import outcome_lines
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.outcome_lines import write_outcomes
from neuralbox._errors import GenerationFailedError
from neuralbox._models.generation import Generation
from neuralbox._types import JobRef

from .support import a_service, batches, images, videos

DONE = Generation.read({"id": 7, "status": "completed", "result_url": "http://f.test/7.webp", "tokens_spent": 4})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outcomes.jsonl"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def done(key: str, id: int = 7, **said: Any) -> BatchOutcome:
    return BatchOutcome(key, generation=DONE, job=JobRef(id), **said)


def test_outcomes_are_appended_as_json_lines(path: Path) -> None:
    job = JobRef(7, "image", "flux-1.1-pro")
    assert write_outcomes(path, [BatchOutcome("a", generation=DONE, job=job, path=Path("out/7.webp"), price=4)]) == 1
    failed = GenerationFailedError("The job failed.", job=job)
    assert write_outcomes(path, [BatchOutcome("ü", error=failed), BatchOutcome("c", error=KeyError("x"))]) == 2
    first, second, third = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert first == {
        "key": "a",
        "ok": True,
        "id": 7,
        "kind": "image",
        "model": "flux-1.1-pro",
        "status": "completed",
        "text": None,
        "url": "http://f.test/7.webp",
        "path": "out/7.webp",
        "price": 4,
        "tokens": 4,
        "error": None,
        "resumed": False,
    }
    assert (second["key"], second["error"]) == ("ü", {"type": "GenerationFailedError", "message": "The job failed."})
    assert third["error"] == {"type": "KeyError", "message": "'x'"}


def test_half_a_character_of_a_key_or_a_path_is_read_as_it_was(path: Path) -> None:
    outcomes = [done("\ud800ü", path=Path("out/\udcff.webp"))]
    assert write_outcomes(path, outcomes) == 1
    assert write_outcomes(path, outcomes) == 0
    (line,) = read(path)
    assert (line["key"], line["path"]) == ("\ud800ü", "out/\udcff.webp")
    outcome_lines._files.clear()  # as another program finds the file
    assert write_outcomes(path, outcomes) == 0


@pytest.mark.parametrize("remembered", [True, False])
def test_what_stands_there_is_not_written_again_and_what_had_no_result_is_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch, remembered: bool
) -> None:
    failed = BatchOutcome("b", error=TimeoutError("late"), job=JobRef(8))
    write_outcomes(path, [done("a"), failed, BatchOutcome("c", error=ValueError("x"))])
    path.chmod(0o640)
    if not remembered:
        monkeypatch.setattr(outcome_lines, "_files", {})
    again = [done("a", resumed=True), done("b", 8), BatchOutcome("c", error=ValueError("x")), done("d", 9)]
    assert write_outcomes(path, again) == 2
    assert write_outcomes(path, again) == 0
    assert [(one["key"], one["ok"], one["id"]) for one in read(path)] == [
        ("a", True, 7),
        ("b", True, 8),
        ("c", False, None),
        ("d", True, 9),
    ]
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in path.parent.iterdir()] == ["outcomes.jsonl"]


def test_a_result_of_another_batch_with_the_same_key_has_a_line_of_its_own(path: Path) -> None:
    write_outcomes(path, [done("000001", 7)])
    assert write_outcomes(path, [done("000001", 8)]) == 1
    assert write_outcomes(path, [done("000001", 8), done("000001", 7)]) == 0
    assert [one["id"] for one in read(path)] == [7, 8]


def test_a_key_that_comes_twice_at_once_gets_better_at_once(path: Path) -> None:
    assert write_outcomes(path, [BatchOutcome("a", error=ValueError("x")), done("a")]) == 2
    assert [one["ok"] for one in read(path)] == [True]


def test_lines_of_others_and_a_line_that_was_cut_stay(path: Path) -> None:
    path.write_bytes(b'{"key": "a", "ok": false}\n[1]\nnotes \xff\n{"key": "b", "o')
    assert write_outcomes(path, [done("b"), done("a")]) == 2
    lines = path.read_bytes().splitlines()
    assert json.loads(lines[0])["id"] == 7
    assert lines[1:4] == [b"[1]", b"notes \xff", b'{"key": "b", "o']
    assert json.loads(lines[4])["key"] == "b"


def test_a_file_that_cannot_be_written_anew_stays_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_outcomes(path, [BatchOutcome("a", error=ValueError("x"))])

    def full(*_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copymode", full)
        with pytest.raises(OSError, match="full"):
            write_outcomes(path, [done("a")])
    assert [one["ok"] for one in read(path)] == [False]
    assert [one.name for one in path.parent.iterdir()] == ["outcomes.jsonl"]
    assert write_outcomes(path, [done("a")]) == 1


def test_only_so_many_files_are_remembered(tmp_path: Path) -> None:
    for number in range(20):
        write_outcomes(tmp_path / str(number), [done("a")])
    assert len(outcome_lines._files) <= 8


def test_what_is_no_file_just_gets_the_lines() -> None:
    write_outcomes("/dev/null", [done("a")])
    assert write_outcomes("/dev/null", [done("a")]) == 1


@pytest.mark.anyio
async def test_a_batch_that_is_continued_has_one_line_for_each_request(tmp_path: Path, path: Path) -> None:
    world = a_service(seconds=60)
    requests = [*images(5), *videos(5)]
    for timeout in (10, 600):
        async with batches(world)(requests, journal=tmp_path / "run.sqlite", wait_timeout=timeout) as run:
            async for outcome in run:
                await anyio.to_thread.run_sync(write_outcomes, path, [outcome])
    lines = read(path)
    assert len(lines) == 10
    assert sum(one["tokens"] for one in lines) == sum(made.tokens for made in world.ledger)
