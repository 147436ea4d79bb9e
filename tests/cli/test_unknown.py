"""Requests of which nobody knows whether they were accepted: named by every message, and settled by two commands."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

import neuralbox._batch.unknown
from neuralbox import AsyncNeuralBox, SubmissionUnknownError
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.progress_words import settle_command
from neuralbox._batch.unknown import UnknownRequest
from neuralbox._cli.batch import _show_outcome
from neuralbox._cli.errors import Failures
from neuralbox._cli.session import CommandSession
from neuralbox._journal import PlannedRequest, open_account_journal, read_records
from neuralbox._models.generation import Generation
from neuralbox._submissions.claim import Claim

from .conftest import Box, run
from .test_batch import IMAGE, PRICE, write

JOURNAL = Path("run.sqlite")
MADE = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def leave(box: Box, *keys: str) -> None:
    """Leave a journal as a run does that was killed while it sent these."""

    async def sending() -> None:
        nb, now = AsyncNeuralBox(api_key=box.key, base_url=box.server.url), time.time()
        async with nb, await open_account_journal(nb._core, JOURNAL) as opened:
            await opened.plan([PlannedRequest(key, {**IMAGE, "prompt": f"A {key}"}) for key in keys])
            for key in keys:
                claim = Claim(key, "image", IMAGE["model"], sent_at=now, server_offset=0.0, lost_at=now)
                await opened.sending(key, claim.to_dict())

    anyio.run(sending)


def buy(box: Box, prompt: str) -> str:
    """Buy a picture in another program; returns its id."""
    [record] = box("generate", IMAGE["model"], prompt, "--json").records
    return str(record["id"])


def states() -> dict[str, str]:
    return {record.key: record.state for record in read_records(JOURNAL)}


def candidate(number: int, **facts: Any) -> Generation:
    return Generation(id=number, status="completed", **facts)


# settle.


def test_an_adopted_generation_is_delivered_by_the_next_run(box: Box) -> None:
    leave(box, "boat")
    number = buy(box, "A boat")
    left = box("batch", "settle", JOURNAL, "boat", "--adopt", number)
    assert (left.code, left.lines) == (0, [f"boat is {number} from now on."])
    assert left.sentence == "To continue:  neuralbox batch resume run.sqlite"
    [record] = box("batch", "resume", JOURNAL, "--json").records
    assert (record["key"], record["ok"], str(record["id"])) == ("boat", True, number)
    assert box.spent == PRICE


def test_what_is_sent_again_is_said_to_be_paid_twice_perhaps(box: Box) -> None:
    leave(box, "boat")
    left = box("batch", "settle", JOURNAL, "boat", "--resend")
    assert (left.code, left.lines) == (0, ["boat is sent again by the next run."])
    assert left.err.splitlines()[0] == "If it was accepted after all, it is paid twice."
    assert states() == {"boat": "planned"}
    assert box("batch", "resume", JOURNAL).code == 0
    assert box.spent == PRICE


def test_what_is_given_up_keeps_no_later_run_busy(box: Box) -> None:
    leave(box, "boat")
    left = box("batch", "settle", JOURNAL, "boat", "--give-up", "--json")
    assert (left.code, left.err) == (0, "")
    assert left.records == [{"key": "boat", "decision": "give up", "id": None}]
    assert box("batch", "resume", JOURNAL).code == 0
    leave(box, "tree")
    left = box("batch", "settle", JOURNAL, "tree", "--give-up")
    assert left.lines == ["tree is given up, and ends as failed; it may have been charged."]
    assert left.err == ""
    assert box.spent == 0


def test_the_journal_may_be_the_one_of_the_environment(box: Box) -> None:
    leave(box, "boat")
    left = box("batch", "settle", "boat", "--give-up", NEURALBOX_JOURNAL=str(JOURNAL))
    assert left.lines == ["boat is given up, and ends as failed; it may have been charged."]


@pytest.mark.parametrize("named", [("boat",), ("one.sqlite", "two.sqlite", "boat")])
def test_one_journal_is_wanted(box: Box, named: Sequence[str]) -> None:
    left = box("batch", "settle", *named, "--give-up")
    said = "Name the journal, or set NEURALBOX_JOURNAL, and one request of it by its key."
    assert (left.code, left.sentence) == (2, said)


def test_one_decision_is_wanted(box: Box) -> None:
    for choice in ((), ("--resend", "--give-up"), ("--adopt", "7", "--resend")):
        left = box("batch", "settle", JOURNAL, "boat", *choice)
        assert (left.code, left.sentence) == (2, "Decide on one of --adopt ID, --resend and --give-up.")


def test_what_cannot_be_settled_so_is_refused_with_a_sentence(box: Box) -> None:
    assert box("batch", "settle", JOURNAL, "boat", "--resend").code == 2
    assert not JOURNAL.exists()
    leave(box, "boat", "tree")
    left = box("batch", "settle", JOURNAL, "bird", "--resend")
    assert (left.code, left.sentence) == (2, "The journal knows no request 'bird'.")
    assert box("batch", "settle", JOURNAL, "boat", "--adopt", "999999999").code == 6
    number = buy(box, "A boat")
    box("batch", "settle", JOURNAL, "boat", "--adopt", number)
    left = box("batch", "settle", JOURNAL, "tree", "--adopt", number)
    assert (left.code, left.sentence) == (2, f"The generation {number} belongs to the request 'boat'.")
    left = box("batch", "settle", JOURNAL, "boat", "--give-up")
    assert left.sentence == f"Nothing is unknown of the request 'boat': it is 'accepted' as {number}."
    assert states() == {"boat": "accepted", "tree": "sending"}


def test_a_journal_that_another_process_has_is_left_alone(box: Box) -> None:
    leave(box, "boat")

    async def keep() -> None:
        nb = AsyncNeuralBox(api_key=box.key, base_url=box.server.url)
        async with nb, await open_account_journal(nb._core, JOURNAL):
            left = await anyio.to_thread.run_sync(box, "batch", "settle", JOURNAL, "boat", "--resend")
            assert left.code == 12
            left = await anyio.to_thread.run_sync(box, "reconcile", JOURNAL)
            assert left.code == 12
            left = await anyio.to_thread.run_sync(run, "batch", "status", JOURNAL)
            assert "settle" not in left.out  # it may just be on its way
            assert left.lines[-1].startswith(f"Running now: process {os.getpid()}")

    anyio.run(keep)
    assert states() == {"boat": "sending"}


# reconcile.


def test_what_the_history_shows_is_found_without_sending_anything(box: Box) -> None:
    leave(box, "boat")
    number = buy(box, "A boat")
    left = box("reconcile", JOURNAL)
    assert (left.code, left.lines) == (0, [f"boat\tadopted\t{number}"])
    assert left.err.splitlines() == [
        "1 found, 0 never accepted, 0 open.",
        "To continue:  neuralbox batch resume run.sqlite",
    ]
    assert states() == {"boat": "accepted"}
    assert box.spent == PRICE
    left = box("reconcile", JOURNAL)
    assert (left.code, left.out, left.sentence) == (0, "", "0 found, 0 never accepted, 0 open.")


def test_what_stays_open_is_named_with_its_candidates_and_the_next_command(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = [candidate(7, created_at=MADE, model="flux-1.1-pro"), candidate(8)]

    async def found(*_: object) -> Sequence[UnknownRequest]:
        absent = UnknownRequest("tree", is_absent=True)
        return [absent, UnknownRequest("boat", "image", "flux", 5.0, why="two may be it", candidates=candidates)]

    monkeypatch.setattr(neuralbox._batch.unknown, "reconcile_journal", found)
    left = box("reconcile", JOURNAL)
    assert left.code == 9
    assert left.lines == ["tree\tabsent\tnever accepted; the next run sends it", "boat\topen\ttwo may be it"]
    assert left.err.splitlines() == [
        "boat may be 7, 2026-05-04 03:02:01 UTC, flux-1.1-pro.",
        "boat may be 8, of an unknown model.",
        "To decide:  neuralbox batch settle run.sqlite boat --adopt ID  (or --resend, or --give-up)",
        "0 found, 1 never accepted, 1 open.",
        "To continue:  neuralbox batch resume run.sqlite",
    ]
    left = box("reconcile", JOURNAL, "--json")
    assert (left.code, left.err) == (9, "")
    assert left.records == [
        {"key": "tree", "state": "absent", "id": None},
        {
            "key": "boat",
            "state": "open",
            "id": None,
            "kind": "image",
            "model": "flux",
            "sent_at": 5.0,
            "why": "two may be it",
            "candidates": [
                {"id": 7, "created_at": MADE.isoformat(), "model": "flux-1.1-pro"},
                {"id": 8, "created_at": None, "model": None},
            ],
            "next": "neuralbox batch settle run.sqlite boat --adopt ID",
        },
    ]


# What a run and `status` say.


@pytest.mark.parametrize("count", [1, 10])
def test_an_outcome_that_is_unknown_names_its_candidates(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    error = SubmissionUnknownError("Its outcome is unknown.", candidates=[candidate(number) for number in range(count)])
    _show_outcome(BatchOutcome("a boat", error=error), Failures(), CommandSession(), JOURNAL)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a boat may be 0, of an unknown model."
    assert lines[-1].startswith(
        f"To decide:  neuralbox batch settle run.sqlite 'a boat' --adopt {'0' if count == 1 else 'ID'}  (or"
    )
    assert ("a boat may be one of 2 more; --json names all." in lines) == (count == 10)
    _show_outcome(BatchOutcome("a boat", error=error), Failures(), CommandSession(as_json=True), JOURNAL)
    assert '"next": "neuralbox batch settle' in capsys.readouterr().out


def test_each_command_that_comes_next_names_the_profile(config: Path, box: Box) -> None:
    config.parent.mkdir()
    config.write_text(f'[profiles.work]\nbase-url = "{box.server.url}"\n', encoding="utf-8")
    assert box("login", "--file", "--no-check", "--profile", "work", stdin=box.key).code == 0
    write(3)
    left = box("batch", "run", "run.jsonl", "--budget", str(PRICE), "--profile", "work")
    raising = "2 not sent (budget); to raise it:  neuralbox batch resume run.sqlite --profile work --budget TOKENS"
    assert raising in left.err.splitlines()
    shown = box("--profile", "work", "batch", "status", JOURNAL).lines
    assert raising in shown
    assert "Stopped; to continue:  neuralbox batch resume run.sqlite --profile work" in shown
    JOURNAL.unlink()
    leave(box, "boat")
    unknown, found, last = box("batch", "status", JOURNAL, "--profile", "work").lines[-3:]
    assert unknown.endswith("neuralbox batch settle run.sqlite --profile work boat --adopt ID")
    assert found == "To look for them in the history:  neuralbox reconcile run.sqlite --profile work"
    assert last == "Stopped; to continue:  neuralbox batch resume run.sqlite --profile work"
    looking, going_on = box("watch", JOURNAL, "--profile", "work").lines[-2:]
    assert looking.endswith("To look for them:  neuralbox reconcile run.sqlite --profile work")
    assert going_on == "To continue:  neuralbox batch resume run.sqlite --profile work"


def test_a_key_that_looks_like_an_option_can_be_settled(box: Box) -> None:
    leave(box, "-boat")
    assert settle_command(str(JOURNAL), "-boat") == "neuralbox batch settle run.sqlite --adopt ID -- -boat"
    assert box("batch", "settle", JOURNAL, "--resend", "--", "-boat").code == 0


def test_status_names_what_is_open_and_the_commands_that_settle_it(box: Box) -> None:
    leave(box, "boat")
    left = run("batch", "status", JOURNAL)
    [line] = [line for line in left.lines if line.startswith("boat: ")]
    assert line.startswith("boat: unknown whether it was accepted (flux-1.1-pro, sent 20")
    assert line.endswith(":  neuralbox batch settle run.sqlite boat --adopt ID")
    assert "To look for them in the history:  neuralbox reconcile run.sqlite" in left.lines
    [record] = run("batch", "status", JOURNAL, "--json").records
    [unknown] = record["unknown"]
    assert (unknown["key"], unknown["model"]) == ("boat", "flux-1.1-pro")
    assert unknown["next"] == "neuralbox batch settle run.sqlite boat --adopt ID"


def test_what_the_budget_kept_from_being_sent_is_counted_with_the_option_that_raises_it(box: Box) -> None:
    write(3)
    said = "1 not sent (budget); to raise it:  neuralbox batch resume run.sqlite --budget TOKENS"
    assert said in box("batch", "run", "run.jsonl", "--budget", str(2 * PRICE)).err.splitlines()
    assert said in run("batch", "status", JOURNAL).lines
    assert run("batch", "status", JOURNAL, "--json").records[0]["not_sent_budget"] == 1
    assert said in box("batch", "resume", JOURNAL).err.splitlines()
    assert "not sent" not in box("batch", "resume", JOURNAL, "--budget", "100").err
    assert "not sent" not in run("batch", "status", JOURNAL).out
    assert run("batch", "status", JOURNAL, "--json").records[0]["not_sent_budget"] == 0
