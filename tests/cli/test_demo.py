"""The demo, small, on a real sandbox."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from neuralbox._demo import MODELS, DemoPlan, prompt_for, run_demo, show_demo
from neuralbox.sandbox import Sandbox, serve


def test_every_video_becomes_a_file_and_is_paid_once(tmp_path: Path) -> None:
    plan = DemoPlan(videos=len(MODELS), speed=1_000.0, directory=tmp_path / "new" / "folder")
    seen: list[tuple[int, int, int]] = []
    report = run_demo(plan, lambda tally: seen.append((tally.accepted, tally.completed, tally.downloaded)))
    assert report.is_whole
    assert report.tally.problems == []
    assert report.charged_by_ledger > 0
    files = list(plan.directory.iterdir())
    assert len(files) == plan.videos
    assert sum(file.stat().st_size for file in files) == report.tally.size_bytes > 0
    assert report.requests >= 3 * plan.videos + 3  # submit, poll, fetch; the balance twice, the history
    assert seen[-1] == (plan.videos, plan.videos, plan.videos)


def test_another_run_replaces_the_files_of_the_last(tmp_path: Path) -> None:
    plan = DemoPlan(videos=1, speed=1_000.0, directory=tmp_path)
    assert run_demo(plan, lambda tally: None).is_whole
    assert run_demo(plan, lambda tally: None).is_whole
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.anyio
async def test_a_video_that_fails_is_reported_and_ends_nothing_else(tmp_path: Path, anyio_backend: str) -> None:
    sandbox = Sandbox(speed=1_000.0)
    sandbox.faults.set("fail-generation", 1.0, times=1)
    with serve(sandbox) as server:
        report = await show_demo(DemoPlan(videos=4, speed=1_000.0, directory=tmp_path), server, lambda seen: None)
    tally = report.tally
    assert (tally.accepted, tally.completed, tally.downloaded) == (4, 3, 3)
    assert len(tally.problems) == 1
    assert tally.problems[0].startswith("Video ")
    assert report.is_paid_once
    assert not report.is_whole


def test_prompts_repeat_with_the_seed_and_differ_by_number() -> None:
    prompts = [prompt_for(random.Random(7), number) for number in range(50)]
    assert len(set(prompts)) == 50
    assert prompts[3] == prompt_for(random.Random(7), 3)
