"""Batches from a file: run, stopped, resumed, inspected."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

from neuralbox import AsyncNeuralBox, JobRef, JournalError
from neuralbox._batch.progress import BatchProgress
from neuralbox._batch.progress_words import phrases
from neuralbox._batch.reader import PAGE
from neuralbox._cli import batch, output
from neuralbox._cli.batch import _show_progress
from neuralbox._cli.batch_settings import BatchSettings, recall, remember
from neuralbox._cli.views import open_meter
from neuralbox._journal import read_summary
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._rate_limit.windows import Why

from .conftest import Box, Left, interrupted, run
from .processes import finish, start

IMAGE = {"kind": "image", "model": "flux-1.1-pro"}
TEXT = {"kind": "text", "model": "gpt-5"}
PRICE = 4


def write(count: int = 3, name: str = "run.jsonl", **fields: Any) -> Path:
    path = Path(name)
    lines = [json.dumps({**IMAGE, "prompt": f"Lighthouse {at}", **fields}) for at in range(1, count + 1)]
    path.write_text("\n".join(lines) + "\n")
    return path


# run.


def test_run_sends_all_downloads_them_and_keeps_a_journal(box: Box, tmp_path: Path) -> None:
    write(3)
    left = box("batch", "run", "run.jsonl", "--to", "out", "--budget", "100")
    assert left.code == 0
    rows = sorted(line.split("\t") for line in left.lines)
    assert [row[:2] for row in rows] == [["000001", "ok"], ["000002", "ok"], ["000003", "ok"]]
    assert all(Path(row[2]).parent == tmp_path / "out" for row in rows)
    assert all(Path(row[2]).stat().st_size for row in rows)
    assert left.err.splitlines() == [
        "3 done, 0 failed, 12 tokens spent by this run.",
        "For a page with all results:  neuralbox batch report run.sqlite",
    ]
    assert box.spent == 3 * PRICE


def test_the_same_command_again_pays_nothing_again(box: Box) -> None:
    write(3)
    first = box("batch", "run", "run.jsonl", "--json")
    again = box("batch", "run", "run.jsonl", "--json")
    assert first.err == again.err == ""
    assert all(record["resumed"] for record in again.records)
    assert {record["id"] for record in again.records} == {record["id"] for record in first.records}
    assert box.spent == 3 * PRICE


def test_texts_and_addresses_are_results_too(box: Box) -> None:
    Path("mixed.jsonl").write_text(
        "".join(json.dumps({**kind, "prompt": "Hi", "key": kind["kind"]}) + "\n" for kind in (IMAGE, TEXT))
    )
    rows = dict(line.split("\t", 1) for line in box("batch", "run", "mixed.jsonl").lines)
    assert rows["image"].startswith(f"ok\t{box.server.url}")
    assert rows["text"].startswith("ok\tA made-up answer")


def test_failures_are_lines_and_their_shared_code(box: Box) -> None:
    write(2)
    box.sandbox.faults.set("fail-generation", 1.0)
    left = box("batch", "run", "run.jsonl")
    assert left.code == 7
    assert [line.split("\t")[1] for line in left.lines] == ["failed", "failed"]
    assert left.err.startswith("0 done, 2 failed, 0 tokens")
    box.sandbox.faults.clear()
    assert box("batch", "run", "run.jsonl").code == 7  # as the journal knows it
    assert box("batch", "run", "run.jsonl", "--retry-failed").code == 0


def test_what_exceeds_the_budget_is_not_sent(box: Box) -> None:
    write(3)
    left = box("batch", "run", "run.jsonl", "--budget", str(2 * PRICE))
    assert left.code == 4
    assert sum("\tfailed\t" in line for line in left.lines) == 1
    assert box.spent == 2 * PRICE


def test_an_estimate_sends_nothing(box: Box) -> None:
    write(3)
    left = box("batch", "run", "run.jsonl", "--estimate")
    assert left.lines == ["3 requests, 12 tokens; 100000 are left", "flux-1.1-pro: 12 tokens"]
    write(1, "unknown.jsonl", model="flux-9")
    assert box("batch", "run", "unknown.jsonl", "--estimate").lines[-1] == "1 requests have no known price."
    [record] = box("batch", "run", "run.jsonl", "--estimate", "--json").records
    assert record == {"requests": 3, "tokens": 12, "unknown": 0, "balance": 100_000, "by_model": {"flux-1.1-pro": 12}}
    assert not Path("run.sqlite").exists()
    assert box.spent == 0


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("{", "run.jsonl, line 3: this is no JSON object"),
        ('{"kind": "image", "model": "flux-1.1-pro"}', "run.jsonl, line 3: `prompt` is missing"),
        ('{"kind": "image", "model": "flux-1.1-pro", "prompt": " "}', "run.jsonl, line 3: "),
        (
            '{"model": "flux-1.1-pro", "prompt": "A fox", "params": {"seed": NaN}}',
            "run.jsonl, line 3: this cannot be sent",
        ),
        ('{"model": "flux-1.1-pro", "prompt": "\\ud800"}', "run.jsonl, line 3: this cannot be sent as JSON"),
        (
            '{"model": "flux-1.1-pro", "prompt": "A fox", "extra_body": {"mood": NaN}}',
            "run.jsonl, line 3: this cannot be sent as JSON",
        ),
        (
            '{"kind": "music", "model": "musicgen", "prompt": "A waltz", "duration": 5, "key": "waltz"}',
            "run.jsonl, line 3: ",
        ),
    ],
)
def test_a_slip_in_the_last_line_costs_nothing(last: str, said: str, box: Box) -> None:
    path = write(2)
    path.write_text(path.read_text() + last + "\n")
    left = box("batch", "run", "run.jsonl")
    assert left.code == 2
    assert said in left.sentence
    assert box.spent == 0
    assert not Path("run.sqlite").exists()


SLIPS = [
    {**IMAGE, "prompt": "A lighthouse", "key": "000002"},
    {**IMAGE, "prompt": "its key is the other's"},
    {**IMAGE, "prompt": "A boat", "sise": "1:1"},
    {"kind": "transcription", "audio": "nowhere.mp3"},
    {"kind": "transcription", "audio": "."},
    {**IMAGE, "prompt": "A boat", "key": "boat"},
    {**IMAGE, "prompt": "Another boat", "key": "boat"},
]
FOUND = {
    2: "The key '000002' is that of line 1. Give each request its own key.",
    3: "`sise` is not a field of an image request; an option this version does not know goes through `extra_body`. "
    "Its fields: key, model, ",
    4: "`audio`: there is no file nowhere.mp3.",
    5: "`audio`: . is no regular file.",
    7: "The key 'boat' is that of line 6. Give each request its own key.",
    8: "this is no JSON object at character 1.",
}


def write_slips() -> None:
    Path("run.jsonl").write_text("\n".join([*map(json.dumps, SLIPS), "x"]))


def test_every_slip_is_reported_with_its_line_before_anything_is_bought(box: Box) -> None:
    write_slips()
    left = box("batch", "run", "run.jsonl")
    assert (left.code, left.lines, box.spent) == (2, [], 0)
    *lines, summary = left.err.splitlines()
    assert len(lines) == len(FOUND)
    for line, (number, said) in zip(lines, FOUND.items(), strict=True):
        assert line.startswith(f"run.jsonl, line {number}: {said}")
    assert summary == "6 of 8 requests in run.jsonl cannot be sent. Nothing was sent."
    assert not Path("run.sqlite").exists()
    left = box("batch", "run", "run.jsonl", "--json")
    assert [(record["line"], record["message"].startswith(FOUND[record["line"]])) for record in left.records] == [
        (number, True) for number in FOUND
    ]
    assert json.loads(left.sentence)["exit_code"] == 2


def test_an_estimate_warns_of_what_could_not_be_sent(box: Box) -> None:
    write_slips()
    left = box("batch", "run", "run.jsonl", "--estimate")
    assert left.code == 2
    assert len(left.err.splitlines()) == len(FOUND)
    assert left.lines[0] == f"2 requests, {2 * PRICE} tokens; 100000 are left"
    assert box.spent == 0


def test_a_batch_is_continued_where_a_recording_is_gone_since(box: Box) -> None:
    lines = [{"kind": "transcription", "audio": "talk.mp3"}, {**IMAGE, "prompt": "A lighthouse"}]
    Path("run.jsonl").write_text("\n".join(map(json.dumps, lines)))
    Path("talk.mp3").write_bytes(b"sound")
    assert box("batch", "run", "run.jsonl").code == 0
    Path("talk.mp3").unlink()
    again = box("batch", "run", "run.jsonl", "--json")
    assert (again.code, [record["resumed"] for record in again.records]) == (0, [True, True])
    assert box("batch", "run", "run.jsonl", "--journal", "new.sqlite").sentence == (
        "run.jsonl, line 1: `audio`: there is no file talk.mp3. Nothing was sent."
    )


def test_a_file_without_requests_or_none_at_all_is_refused(box: Box) -> None:
    Path("empty.jsonl").write_text("\n\n")
    assert box("batch", "run", "empty.jsonl").sentence == "There is no request in empty.jsonl."
    assert box("batch", "run", "nowhere.jsonl").code == 2
    assert box("batch", "run", ".").code == 2


def test_a_pipe_is_read_as_it_comes_and_needs_the_name_of_a_journal(box: Box) -> None:
    os.mkfifo("pipe")
    assert box("batch", "run", "pipe").sentence == "pipe is no regular file: name the journal with --journal."
    writing = threading.Thread(
        target=Path("pipe").write_text, args=(json.dumps({**IMAGE, "prompt": "A lighthouse"}) + "\n",), daemon=True
    )
    writing.start()
    left = box("batch", "run", "pipe", "--journal", "new.sqlite")
    writing.join()
    assert (left.code, len(left.lines)) == (0, 1)
    assert "Not all requests" not in left.err + box("batch", "status", "new.sqlite").out


def test_an_estimate_of_a_pipe_warns_too(box: Box) -> None:
    os.mkfifo("pipe")
    lines = [{**IMAGE, "prompt": "A lighthouse"}, {**IMAGE, "prompt": " ", "key": "blank"}]
    writing = threading.Thread(target=Path("pipe").write_text, args=("\n".join(map(json.dumps, lines)),), daemon=True)
    writing.start()
    left = box("batch", "run", "pipe", "--journal", "new.sqlite", "--estimate")
    writing.join()
    assert left.code == 2
    assert left.sentence.startswith("blank: ")
    assert left.lines[0].startswith("1 requests, ")


def test_other_requests_in_the_same_journal_are_wrong_usage(box: Box) -> None:
    write(2)
    box("batch", "run", "run.jsonl")
    write(2, seed=7)
    left = box("batch", "run", "run.jsonl")
    assert left.code == 2
    assert "seed" in left.err
    assert box.spent == 2 * PRICE


def test_nothing_is_written_down_of_a_file_of_which_one_request_is_refused(box: Box) -> None:
    Path("run.jsonl").write_text(json.dumps({**IMAGE, "key": "a", "prompt": "A fox"}) + "\n")
    box("batch", "run", "run.jsonl")
    more = [{**IMAGE, "key": f"n{at}", "prompt": f"Lighthouse {at}"} for at in range(PAGE + 1)]
    Path("more.jsonl").write_text("\n".join(map(json.dumps, [*more, {**IMAGE, "key": "a", "prompt": "A hen"}])))
    left = box("batch", "run", "more.jsonl", "--journal", "run.sqlite")
    assert left.code == 2
    assert "knows the request 'a' as another one" in left.err
    assert read_summary("run.sqlite").total == 1
    assert "Not all requests" not in box("batch", "status", "run.sqlite").out


def test_what_a_run_refuses_leaves_no_journal_and_is_not_remembered(box: Box) -> None:
    write()
    assert box("batch", "run", "run.jsonl", "--budget", "0").code == 2
    assert not Path("run.sqlite").exists()


def test_a_key_that_cannot_be_kept_is_a_problem_of_its_line(box: Box) -> None:
    Path("run.jsonl").write_text(json.dumps({**IMAGE, "prompt": "A fox", "key": "\ud800"}) + "\n")
    left = box("batch", "run", "run.jsonl")
    assert left.code == 2
    assert left.sentence.startswith("run.jsonl, line 1: ")
    assert not Path("run.sqlite").exists()


def test_a_full_disk_stops_before_anything_is_paid(box: Box) -> None:
    write(2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        left = box("batch", "run", "run.jsonl", "--journal", "new.sqlite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left.code == 11
    assert "new.sqlite" in left.sentence
    assert box.spent == 0


# resume.


def test_resume_needs_nothing_but_the_journal(box: Box, tmp_path: Path) -> None:
    write(3)
    box("batch", "run", "run.jsonl", "--to", "out", "--budget", str(2 * PRICE))
    os.remove(next((tmp_path / "out").iterdir()))  # noqa: PTH107
    (tmp_path / "elsewhere").mkdir()
    os.chdir("elsewhere")
    left = box("batch", "resume", "../run.sqlite")
    assert left.code == 4  # the budget is remembered...
    left = box("batch", "resume", "../run.sqlite", "--budget", str(3 * PRICE), "--timeout", "20")
    assert left.code == 0
    assert left.lines[0].split("\t")[2].startswith(str(tmp_path / "out"))  # ... and so is the place
    assert box.spent == 3 * PRICE
    left = box("batch", "resume", "../run.sqlite")
    assert (left.code, left.out) == (0, "")
    assert left.err.startswith("Nothing was left to do: ")


@pytest.mark.parametrize("planted", ["/somewhere/else", "nul\0"])
def test_a_journal_does_not_decide_where_files_go(box: Box, planted: str) -> None:
    write(1)
    box("batch", "run", "run.jsonl", "--to", "out")
    journal = Path("run.sqlite")
    remember(journal, BatchSettings(planted, None))
    left = box("batch", "resume", "run.sqlite")
    assert left.code == 2
    assert "name the directory with --to" in left.sentence
    assert box("batch", "resume", "run.sqlite", "--to", "out").code == 0
    assert recall(journal) == BatchSettings(os.path.abspath("out"))  # noqa: PTH100


@pytest.mark.parametrize("command", [("batch", "resume"), ("reconcile",), ("batch", "settle")])
def test_a_journal_of_an_older_version_is_gone_on_with(box: Box, command: tuple[str, ...]) -> None:
    write(2)
    box("batch", "run", "run.jsonl", "--budget", str(PRICE))
    with contextlib.closing(sqlite3.connect("run.sqlite")) as file:
        file.execute("ALTER TABLE records DROP COLUMN charged_before")
        file.execute("ALTER TABLE records DROP COLUMN price")
        file.execute("PRAGMA user_version = 2")
        file.commit()
    assert "Continuing its batch brings it up to date" in box("batch", "status", "run.sqlite").err
    more = {"settle": ["000002", "--give-up"], "resume": ["--budget", str(2 * PRICE)]}.get(command[-1], [])
    left = box(*command, "run.sqlite", *more)
    assert "older neuralbox" not in left.err
    assert box("batch", "status", "run.sqlite").code == 0
    assert box.spent == (2 * PRICE if command[-1] == "resume" else PRICE)


def test_what_is_no_journal_is_not_touched(box: Box) -> None:
    left = box("batch", "resume", "nowhere.sqlite")
    assert left.code == 2
    assert "There is no journal" in left.sentence
    assert not Path("nowhere.sqlite").exists()
    Path("text.sqlite").write_text("no database at all, but long enough to be read as if it were one" * 20)
    assert box("batch", "resume", "text.sqlite").code == 11


def test_a_journal_of_another_account_is_wrong_usage(box: Box) -> None:
    write(1)
    box("batch", "run", "run.jsonl")
    left = box("batch", "resume", "run.sqlite", NEURALBOX_API_KEY="nb_somebody_else")
    assert left.code == 2
    assert "another account" in left.sentence


def test_what_is_remembered_is_believed_as_far_as_it_makes_sense(box: Box) -> None:
    write(1)
    box("batch", "run", "run.jsonl", "--to", "out", "--budget", "50")
    journal = Path("run.sqlite")
    assert recall(journal) == BatchSettings(os.path.abspath("out"), 50)  # noqa: PTH100
    for text in ("{", "[]", '{"to": 5, "budget": "many"}', None):
        with sqlite3.connect(journal) as connection:
            connection.execute("UPDATE journal SET value = ? WHERE name = 'command_line'", (text,))
        connection.close()
        assert recall(journal) == BatchSettings()
    assert recall(Path("nowhere.sqlite")) == BatchSettings()
    assert not Path("nowhere.sqlite").exists()
    with pytest.raises(JournalError):
        remember(Path("nowhere.sqlite"), BatchSettings())


# Ctrl-C.


def test_ctrl_c_ends_in_good_order_and_says_how_to_continue(box: Box) -> None:
    write(40)
    left = interrupted(box, "batch", "run", "run.jsonl", after=5)
    assert left.code == 130
    first, counts, advice = left.err.splitlines()
    assert first == "Stopping; what is on its way is being written down. Ctrl-C again stops at once."
    assert counts.endswith(" left.")
    assert advice == "Nothing that was paid for is lost; to continue:  neuralbox batch resume run.sqlite"
    assert box("batch", "resume", "run.sqlite").code == 0
    assert box.spent == 40 * PRICE
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_a_stopped_run_had_not_read_yet_is_continued_too(box: Box) -> None:
    write(40)
    left = interrupted(box, "batch", "run", "run.jsonl", "--max-in-flight", "2", after=3)
    assert left.code == 130
    counts = [int(part.split()[0]) for part in left.err.splitlines()[1].split(", ")]
    assert sum(counts) == read_summary("run.sqlite").total == 40
    Path("run.jsonl").unlink()
    assert box("batch", "resume", "run.sqlite").code == 0
    assert box.spent == 40 * PRICE


def test_what_a_stopped_run_had_not_read_of_a_pipe_is_said_until_it_is_given_again(box: Box) -> None:
    os.mkfifo("pipe")
    lines = "".join(
        json.dumps({**IMAGE, "prompt": f"picture {number}", "key": f"{number}"}) + "\n" for number in range(40)
    )
    said = (
        "Not all requests of its file are in this journal; to send the rest, give the file again:  "
        "neuralbox batch run FILE --journal run.sqlite"
    )

    def serve_the_pipe() -> None:
        with contextlib.suppress(BrokenPipeError):
            Path("pipe").write_text(lines)

    writing = threading.Thread(target=serve_the_pipe)
    writing.start()
    left = interrupted(box, "batch", "run", "pipe", "--journal", "run.sqlite", "--max-in-flight", "2", after=3)
    writing.join()
    assert left.code == 130
    assert f"{said} --max-in-flight 2" in left.err
    assert said in box("batch", "status", "run.sqlite").out
    resumed = box("batch", "resume", "run.sqlite")
    assert resumed.code == 0
    assert said in resumed.err
    assert box.spent < 40 * PRICE
    Path("run.jsonl").write_text(lines)
    again = box("batch", "run", "run.jsonl", "--journal", "run.sqlite")
    assert (again.code, box.spent) == (0, 40 * PRICE)
    assert said not in again.err + box("batch", "status", "run.sqlite").out


def test_a_run_that_ended_before_all_was_written_down_says_so(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    write(300)
    plan = GroupedJournal.plan

    async def interrupted(journal: GroupedJournal, entries: Any) -> Any:
        if len(entries) < PAGE:  # the second page
            raise KeyboardInterrupt
        return await plan(journal, entries)

    with monkeypatch.context() as patched:
        patched.setattr(GroupedJournal, "plan", interrupted)
        assert box("batch", "run", "run.jsonl").code == 130
    assert read_summary("run.sqlite").planned == PAGE
    assert "neuralbox batch run FILE --journal run.sqlite" in box("batch", "status", "run.sqlite").out
    assert box.spent == 0


def test_many_requests_are_written_down_with_a_word_and_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_LONG", 5)
    write(5)
    assert "Writing 5 requests into the journal." in box("batch", "run", "run.jsonl").err.splitlines()
    assert "Writing" not in box("batch", "run", "run.jsonl").err
    write(6)
    assert "Writing 6 requests into the journal." in box("batch", "run", "run.jsonl").err.splitlines()
    assert box.spent == 6 * PRICE


def test_what_had_ended_when_ctrl_c_came_is_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    write(30)
    box("batch", "run", "run.jsonl")
    rows: list[str] = []

    def write_result(text: str, end: str = "\n") -> None:
        rows.append(text)
        if len(rows) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(output, "write_result", write_result)
    assert box("batch", "run", "run.jsonl").code == 130
    assert len({row.split("\t")[0] for row in rows}) == len(rows) > 1


# status and report.


def test_status_needs_no_key(box: Box) -> None:
    write(3)
    box("batch", "run", "run.jsonl", "--budget", str(2 * PRICE))
    left = run("batch", "status", "run.sqlite")
    assert left.code == 0
    facts = {line.rsplit(None, 1)[0]: line.split()[-1] for line in left.lines[:-1]}
    assert facts["total"] == "3"
    assert facts["planned"] == "1"
    assert facts["completed"] == "2"
    assert facts["tokens"] == "8"
    assert left.lines[-1] == "Stopped; to continue:  neuralbox batch resume run.sqlite"
    [record] = run("batch", "status", "run.sqlite", "--json").records
    assert record["running"] is None
    assert record["planned"] == 1
    box("batch", "resume", "run.sqlite", "--budget", "100")
    assert "continue" not in run("batch", "status", "run.sqlite").out


def start_and_finish(box: Box) -> Left:
    return finish(start("batch", "resume", "run.sqlite", given=box.environment))


def test_status_of_a_running_batch_names_its_process_and_a_second_run_is_kept_out(box: Box) -> None:
    write(1)
    box("batch", "run", "run.jsonl")

    async def read_status() -> None:
        nb = AsyncNeuralBox(api_key=box.key, base_url=box.server.url)
        async with nb, nb.batch(None, journal="run.sqlite"):
            found = await anyio.to_thread.run_sync(run, "batch", "status", "run.sqlite")
            assert found.lines[-1].startswith(f"Running now: process {os.getpid()} on ")
            found = await anyio.to_thread.run_sync(run, "batch", "status", "run.sqlite", "--json")
            assert found.records[0]["running"]["pid"] == os.getpid()
            found = await anyio.to_thread.run_sync(start_and_finish, box)
            assert found.code == 12
            assert "continue" not in found.sentence

    anyio.run(read_status)


def test_a_report_is_one_page(box: Box) -> None:
    write(2)
    box("batch", "run", "run.jsonl", "--to", "out")
    left = run("batch", "report", "run.sqlite")
    assert (left.code, left.lines) == (0, [str(Path("run.html"))])
    assert "Lighthouse 2" in Path("run.html").read_text(encoding="utf-8")
    [record] = run("batch", "report", "run.sqlite", "-o", "page.html", "--json").records
    assert record["bytes"] == Path("page.html").stat().st_size
    assert run("batch", "report", "nowhere.sqlite").code == 2


def test_a_report_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("neuralbox._report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "pip install 'neuralbox[report]'" in run("batch", "report", "run.sqlite").sentence


def progress(**changes: Any) -> BatchProgress:
    values: dict[str, Any] = dict.fromkeys(BatchProgress.__dataclass_fields__, 0)
    unknown: dict[str, Any] = dict.fromkeys(("total", "rate_per_minute", "throttled_until", "budget_tokens"))
    return BatchProgress(**{**values, **unknown, **changes})


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (progress(), "0 done, 0 tokens"),
        (
            progress(
                total=1_203,
                completed=203,
                failed=9,
                resumed=200,
                resumed_failed=3,
                not_sent_budget=5,
                waiting=2,
                saving=1,
                queued=9,
                rate_per_minute=4.4,
                eta_seconds=3_725.0,
                budget_tokens=5_000,
                budget_spent=340,
            ),
            (
                "12 of 1,003, 1:02:05 left, 4 jobs/min, 340 of 5,000 tokens, 1 failed, 5 not sent (budget), 2 waiting, "
                "1 saving, 9 queued, 200 from before"
            ),
        ),
        (progress(rate_per_minute=0.25, tokens_spent=12), "0 done, 15 jobs/h, 12 tokens"),
    ],
)
def test_progress_in_words(seen: BatchProgress, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 10.0])
    with open_meter("batch", lambda: next(times)) as meter:
        _show_progress(meter, seen)
    assert capsys.readouterr().err.partition(": ")[2].removeprefix("1%, ") == f"{line} (10 s)\n"


@pytest.mark.parametrize("why", get_args(Why))
def test_a_reached_limit_says_which_and_when_it_goes_on_within_40_columns(why: Why) -> None:
    [words, *_] = phrases(progress(completed=3, throttled_until=1_800_000_000.0, throttled_by=why))
    assert re.fullmatch(r"[a-z, ]+ \d\d:\d\d:\d\d", words)
    assert len(words) <= 40


def test_jobs_that_no_disk_knows_are_named() -> None:
    from neuralbox._cli.errors import sentence_of

    error = JournalError("The disk is full.", reason="full", unwritten={"a": JobRef(18_500)})
    assert sentence_of(error).endswith("neuralbox wait 18500")


# Tables, standard input, bounds, and the run that sends nothing.


def test_a_table_is_a_batch_too(box: Box) -> None:
    Path("run.csv").write_text(
        "key;kind;model;prompt\nheron;image;flux-1.1-pro;A heron\nboat;image;flux-1.1-pro;A boat\n"
    )
    left = box("batch", "run", "run.csv", "--to", "out", "--max-sending", "1", "--max-downloads", "1")
    assert left.code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["boat.webp", "heron.webp"]
    Path("bad.csv").write_text("key,prompt\nheron,A heron\n")
    left = box("batch", "run", "bad.csv")
    assert (left.code, left.sentence) == (2, "bad.csv: it has no column `model`; its columns: key, prompt.")
    assert not Path("bad.sqlite").exists()
    assert box("batch", "run", "nowhere.csv").sentence == "There is no file nowhere.csv."
    assert box("batch", "run", "out").sentence == "out is a directory."


def test_requests_come_from_standard_input_and_are_checked_to_the_end_first(box: Box) -> None:
    good = json.dumps({**IMAGE, "prompt": "A heron", "key": "heron"})
    left = box("batch", "run", "-", stdin=good)
    assert (left.code, left.sentence) == (2, "standard input is no regular file: name the journal with --journal.")
    left = box("batch", "run", "-", "--journal", "in.sqlite", stdin=f"{good}\n{good}\nnonsense\n")
    assert left.code == 2
    assert left.err.splitlines() == [
        "standard input, line 2: The key 'heron' is that of line 1. Give each request its own key.",
        "standard input, line 3: this is no JSON object at character 1.",
        "2 of 3 requests in standard input cannot be sent. Nothing was sent.",
    ]
    assert box.spent == 0
    left = box("batch", "run", "-", "--journal", "in.sqlite", "--to", "out", stdin=good)
    assert (left.code, left.lines[0].split("\t")[:2]) == (0, ["heron", "ok"])
    table = "key,kind,model,prompt\nboat,image,flux-1.1-pro,A boat\n"
    assert (
        box("batch", "run", "-", "--format", "csv", "--dry-run", stdin=table)
        .lines[0]
        .startswith("1 requests, 4 tokens")
    )
    left = box("batch", "run", "-", "--format", "csv", "--dry-run", stdin="key,prompt\nboat,A boat\n")
    assert left.sentence == "standard input: it has no column `model`; its columns: key, prompt."


def test_on_a_terminal_nobody_types_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    from neuralbox import ConfigurationError
    from neuralbox._cli.request_file import RequestFile, copied_input

    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="nothing is piped there"), copied_input():
        pass
    Path("late").write_text("nonsense\n")  # as of a pipe, which nobody checked
    with pytest.raises(ConfigurationError, match="pipe, line 1: this is no JSON"):
        list(RequestFile(Path("pipe"), Path("late"), is_table=False, count=None))


def test_a_dry_run_says_whether_the_budget_covers_all(box: Box) -> None:
    write(3)
    left = box("batch", "run", "run.jsonl", "--dry-run", "--budget", "10")
    assert left.code == 0
    assert "The budget of 10 does not cover them: 2 tokens are missing." in left.lines
    assert box.spent == 0
    assert not Path("run.sqlite").exists()
    assert "budget" not in box("batch", "run", "run.jsonl", "--dry-run", "--budget", "12").out


def test_what_goes_on_repeats_the_callers_own_options(box: Box) -> None:
    from neuralbox._cli.batch import _RunOptions
    from neuralbox._cli.session import CommandSession

    told = _RunOptions(Path("my out"), "id", 7, 30.0, retry_failed=True, bounds=(1, None, 5))
    session = CommandSession(base_url="http://127.0.0.1:1", poll_interval=2.0)
    assert told.arguments(session, None, Path("run.sqlite")).resume == (
        "neuralbox batch resume run.sqlite --to 'my out' --name-by id --budget 7 --max-sending 1 --max-in-flight 5 "
        "--retry-failed --poll-interval 2 --timeout 30 --base-url http://127.0.0.1:1"
    )


def test_a_local_file_where_an_address_belongs_is_a_problem_of_its_line(box: Box) -> None:
    write(2, image_url="fox.png")
    left = box("batch", "run", "run.jsonl")
    assert left.code == 2
    assert [line.partition(":")[0] for line in left.err.splitlines()[:2]] == ["run.jsonl, line 1", "run.jsonl, line 2"]
    assert "put the file on the web" in left.err
    assert box.spent == 0
