"""Batches whose journal is a run in PostgreSQL, from the command line."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from neuralbox._cli.journal_place import page_of, read_place, shown
from neuralbox._journal import read_summary
from neuralbox._journal.shared import shared_of

from ..journal.files import a_journal
from ..postgres import PostgresServer
from .conftest import Box, interrupted


@pytest.fixture
def place(postgres: PostgresServer) -> str:
    postgres.empty()
    return postgres.url("summer")


def write(name: str = "run.jsonl", *, count: int = 3) -> None:
    lines = ({"kind": "image", "model": "flux-1.1-pro", "prompt": f"Lighthouse {at}"} for at in range(count))
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_run_in_a_database_is_planned_worked_on_shown_and_continued(
    box: Box, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    left = box("batch", "plan", "run.jsonl", "--journal", place)
    assert (left.code, left.out) == (0, "3 planned, 0 known already.\n")
    assert place in left.err
    assert box("batch", "plan", "run.jsonl", "--journal", place, "--json").records == [{"planned": 0, "known": 3}]
    monkeypatch.setenv("NEURALBOX_JOURNAL", place)
    left = box("batch", "resume", "--to", "out")
    assert left.code == 0
    assert len(left.lines) == 3
    assert "neuralbox batch report '#summer'" in left.err
    [status] = box("batch", "status", "--json").records
    assert (status["saved"], status["running"]) == (3, None)
    again = box("batch", "run", "run.jsonl", "--journal", "#summer")
    assert (again.code, len(again.lines)) == (0, 3)
    report = box("batch", "report", "#summer")
    assert (report.code, report.out) == (0, "summer.html\n")
    assert box("batch", "accept-restored").code == 0
    assert box.spent == 12


def test_a_run_is_planned_for_the_service_of_the_profile(box: Box, place: str, config: Path) -> None:
    write()
    config.parent.mkdir()
    config.write_text(f'[profiles.work]\nbase-url = "{box.server.url}"\n')
    elsewhere = {"NEURALBOX_BASE_URL": "http://127.0.0.1:1"}
    left = box("batch", "plan", "run.jsonl", "--journal", place, "--profile", "work", **elsewhere)
    assert left.code == 0
    assert box("batch", "resume", place, "--profile", "work", **elsewhere).code == 0


def test_what_a_stopped_worker_had_not_read_yet_is_anybodys(box: Box, place: str) -> None:
    write(count=40)
    left = interrupted(box, "batch", "run", "run.jsonl", "--journal", place, "--max-in-flight", "2", after=3)
    assert left.code == 130
    Path("run.jsonl").unlink()
    left = box("batch", "resume", place)
    assert (left.code, box.spent) == (0, 160)
    assert "Not all requests" not in left.err


def test_nothing_is_written_down_of_a_file_of_which_one_request_is_refused(box: Box, place: str) -> None:
    write()
    box("batch", "run", "run.jsonl", "--journal", place)
    text = Path("run.jsonl").read_text()
    Path("run.jsonl").write_text(text.replace("Lighthouse 2", "Harbour") + text.replace("Lighthouse", "Boat"))
    left = box("batch", "run", "run.jsonl", "--journal", place)
    assert left.code == 2
    assert "knows the request '000003' as another one" in left.err
    assert read_summary(place).total == 3


def test_a_key_that_no_database_looks_up_is_a_problem_of_its_line(box: Box, place: str) -> None:
    request = {"kind": "image", "model": "flux-1.1-pro", "prompt": "A fox", "key": "k" * 2_001}
    Path("run.jsonl").write_text(json.dumps(request) + "\n")
    for command in ("run", "plan"):
        left = box("batch", command, "run.jsonl", "--journal", place)
        assert left.code == 2
        assert left.err.startswith("run.jsonl, line 1: In a journal that many share a `key` has at most 2,000 bytes")


def test_a_name_that_no_database_holds_is_refused_before_anything_is_sent(box: Box, place: str) -> None:
    write()
    left = box("batch", "run", "run.jsonl", "--journal", place, "--to", "out\udcff")
    assert left.code == 2
    assert "cannot keep the name" in left.err
    assert box.spent == 0


def test_an_account_is_kept_until_something_ends_that(box: Box, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuralbox import AuthenticationError
    from neuralbox._batch.keeper import Keeper

    async def refused(keeper: Keeper) -> None:
        keeper.unfit = AuthenticationError("The key is refused.", status_code=401)

    monkeypatch.setattr(Keeper, "run", refused)
    left = box("keep", place)
    assert left.code != 0
    assert "Keeping the account of" in left.err
    assert "The key is refused" in left.err
    left = box("keep", "run.sqlite")
    assert "A file has no keeper" in left.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("batch", "status", "#summer"), "NEURALBOX_JOURNAL"),
        (("batch", "status", "postgresql://me:secret@127.0.0.1:1/db"), "names no run"),
        (("batch", "status", "postgresql://me:secret@127.0.0.1:1/db#run"), "cannot be reached"),
        (("batch", "plan", "run.jsonl", "--journal", "run.sqlite"), "many can share"),
        (("batch", "accept-restored", "run.sqlite"), "Only a journal in a database"),
    ],
)
def test_a_place_that_is_none_is_one_clear_error(box: Box, arguments: tuple[str, ...], words: str) -> None:
    write()
    left = box(*arguments)
    assert left.code != 0
    assert words in " ".join(left.err.replace("│", " ").split())
    assert "secret" not in left.out + left.err


def test_a_command_names_a_journal_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "postgresql://me:secret@host/db#summer/1"
    assert (read_place(place), read_place("a.sqlite")) == (place, Path("a.sqlite"))
    assert shown(place) == "postgresql://me@host/db#summer/1"
    assert page_of(place) == Path("summer_1.html")
    monkeypatch.setenv("NEURALBOX_JOURNAL", place)
    assert shown(read_place("#winter")) == "#winter"


def test_what_runs_now_is_said_worker_by_worker(box: Box, place: str, tmp_path: Path) -> None:
    write()
    box("batch", "plan", "run.jsonl", "--journal", place)

    async def look() -> None:
        async with (
            await a_journal(place, service=box.server.url) as first,
            await a_journal(place, service=box.server.url) as second,
        ):
            shared = shared_of(second)
            assert shared is not None
            assert shared_of(first) is not shared
            await shared.tell((1_900_000_000.0, "day"))
            left = await to_thread.run_sync(partial(box, "batch", "status", place))
            assert "Running now: 2 workers" in left.out
            assert "daily limit used up until" in left.out
            [told] = (await to_thread.run_sync(partial(box, "batch", "status", place, "--json"))).records
            assert [worker["throttled_by"] for worker in told["workers"]] == ["", "day"]
            await to_thread.run_sync(partial(box, "batch", "report", place))
            page = (tmp_path / "summer.html").read_text()
            assert "2 workers were running the batch" in page
            assert re.search(r"daily limit used up until \d\d:\d\d:\d\d UTC, 0 in flight", page)
            left = await to_thread.run_sync(partial(box, "watch", place))
            assert (left.code, left.lines[0]) == (0, "running: 2 workers, 0 of 3, 0 %")

    anyio.run(look)
    left = box("watch", place)
    assert left.lines[-1] == f"To continue:  neuralbox batch resume '{place}'"


def test_one_worker_is_one(box: Box, place: str) -> None:
    write()
    box("batch", "plan", "run.jsonl", "--journal", place)

    async def look() -> None:
        async with await a_journal(place, service=box.server.url):
            left = await to_thread.run_sync(partial(box, "batch", "status", place))
            assert "Running now: 1 worker\n" in left.out
            await to_thread.run_sync(partial(box, "batch", "report", place))

    anyio.run(look)
    assert "One worker was running" in Path("summer.html").read_text()
