"""The command line as a user meets it: a process on a pipe or a terminal, with Ctrl-C, a full disk and a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import Box
from .processes import COMMAND, PATIENCE, environment, finish, interrupt_when, on_terminal, start

pytestmark = pytest.mark.uncovered

IMAGE = {"kind": "image", "model": "flux-1.1-pro"}


def write_requests(count: int) -> None:
    lines = [json.dumps({**IMAGE, "prompt": f"Lighthouse {at}"}) for at in range(count)]
    Path("run.jsonl").write_text("\n".join(lines))


# Outputs that cannot be written.


@pytest.mark.parametrize("arguments", [("--help",), ("models",), ("batch", "run", "run.jsonl")])
def test_a_reader_who_leaves_is_worth_no_word(arguments: tuple[str, ...], box: Box) -> None:
    write_requests(2)
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*arguments, given=box.environment, stdout=writing)
    os.close(writing)
    left = finish(process)
    assert (left.code, left.err) == (141, "")


def test_an_output_on_a_full_disk_is_said_in_one_line(box: Box) -> None:
    with Path("/dev/full").open("w") as full:
        left = finish(start("models", given=box.environment, stdout=full))
    assert (left.code, left.sentence) == (11, "The output cannot be written: No space left on device.")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_json_on_a_pipe_that_is_not_utf_8_is_json(encoding: str, box: Box) -> None:
    prompt = "café \U0001f600 — привет"
    given = {**box.environment, "PYTHONIOENCODING": encoding}
    left = finish(start("generate", "gpt-5", prompt, "--json", given=given))
    assert left.code == 0
    [record] = finish(start("history", "--json", given=given)).records
    assert record["prompt"] == prompt


# Ctrl-C.


def test_ctrl_c_while_waiting_names_the_job(slow_box: Box) -> None:
    before = slow_box.sandbox.ledger.generation_count
    process = start("generate", "kling-v2.1", "A paper boat", given=slow_box.environment, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    number = re.findall(r"Job (\S+) \(video kling-v2.1\) accepted; waiting.", process.stdout.readline())[0]
    left = interrupt_when(process, lambda: slow_box.sandbox.ledger.generation_count > before)
    assert (left.code, left.out) == (130, f"Stopped. The job goes on; to continue:  neuralbox wait {number}\n")


def test_ctrl_c_while_a_paid_request_is_on_its_way_says_that_it_may_be_paid(slow_box: Box) -> None:
    slow_box.sandbox.faults.set("hang", 1.0)
    before = slow_box.sandbox.ledger.generation_count
    process = start("generate", "flux-1.1-pro", "A lighthouse", given=slow_box.environment)
    left = interrupt_when(process, lambda: slow_box.sandbox.ledger.generation_count > before)
    assert left.code == 130
    assert left.sentence == "Stopped. A paid request may have left; whether it was accepted shows:  neuralbox history"


def test_a_batch_that_is_stopped_is_continued_and_paid_once(box: Box) -> None:
    write_requests(200)
    box.sandbox.faults.set("latency@POST /generate", 0.05)
    before = box.sandbox.ledger.generation_count
    process = start("batch", "run", "run.jsonl", given=box.environment)
    left = interrupt_when(process, lambda: box.sandbox.ledger.generation_count > before + 3)
    assert left.code == 130
    assert left.err.splitlines()[0] == "Stopping; what is on its way is being written down. Ctrl-C again stops at once."
    assert left.err.splitlines()[-1].endswith("to continue:  neuralbox batch resume run.sqlite")
    [stopped] = box("batch", "status", "run.sqlite", "--json").records
    assert (stopped["sending"], stopped["accepted"]) == (0, 0)  # their ids were waited for
    assert f"{stopped['completed']} completed, 0 failed, {stopped['planned']} left." in left.err
    assert box.spent == stopped["tokens"] == stopped["completed"] * 4 < 200 * 4
    box.sandbox.faults.clear()
    again = box("batch", "resume", "run.sqlite", "--json")
    assert again.code == 0
    assert len(again.records) == stopped["planned"]
    assert box.spent == 200 * 4


# A terminal.


def test_forty_columns_are_enough(box: Box) -> None:
    assert box("generate", "kling-v2.1", "A paper boat on a river that is longer than the line", "--no-wait").code == 0
    code, shown = on_terminal("history", given={**box.environment, "NO_COLOR": "1"}, columns=40)
    lines = shown.splitlines()
    assert code == 0
    assert re.match(r"(\x1b\[1m)?id +status +", lines[0])
    assert "kling-v2.1" in lines[1] or "completed" in lines[1] or "pending" in lines[1]
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 40 for line in lines)
    assert "\x1b[3" not in shown


def test_forty_columns_show_what_things_cost(box: Box) -> None:
    assert box("generate", "flux-1.1-pro", "A lighthouse").code == 0
    code, shown = on_terminal("costs", given={**box.environment, "NO_COLOR": "1"}, columns=40)
    names, row, _ = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert (code, names.split()[0], names.split()[-2:]) == (0, "model", ["count", "tokens"])
    assert row.split()[-2:] == ["1", "4"]


def test_costs_by_day_keep_the_day_on_any_terminal(box: Box) -> None:
    assert box("generate", "flux-1.1-pro", "A lighthouse").code == 0
    code, shown = on_terminal("costs", "--by", "day,kind", given={**box.environment, "NO_COLOR": "1"}, columns=24)
    names = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()[0]
    assert (code, names.split()[:2]) == (0, ["day", "count"])


def test_the_key_is_asked_for_and_not_shown(box: Box) -> None:
    given = {"NEURALBOX_BASE_URL": box.server.url}
    code, shown = on_terminal("balance", given=given, typed=f"{box.key}\n", waits_for="not shown): ")
    assert code == 0
    assert "100000" in shown
    assert box.key not in shown


def test_ctrl_c_at_the_prompt_for_the_key_is_a_stop(box: Box) -> None:
    given = {"NEURALBOX_BASE_URL": box.server.url}
    code, shown = on_terminal("balance", given=given, typed="\x03", waits_for="not shown): ")
    assert code == 130
    assert shown.splitlines()[-1] == "Stopped."


def test_a_batch_draws_a_bar_and_prints_its_results_above_it(box: Box) -> None:
    write_requests(6)
    box.sandbox.faults.set("latency@POST /generate", 0.3)
    code, shown = on_terminal("batch", "run", "run.jsonl", given=box.environment, columns=100)
    assert code == 0
    assert "━" in shown
    rows = re.findall(r"(00000\d) +ok +http\S+$", shown, re.MULTILINE)
    assert sorted(rows) == [f"{at:06d}" for at in range(1, 7)], shown
    assert "6 done, 0 failed, 24 tokens spent by this run." in shown


# The sandbox.


def test_the_sandbox_serves_until_ctrl_c(box: Box) -> None:
    process = start("sandbox", "--port", "0", "--json", given={})
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    assert box("balance", NEURALBOX_BASE_URL=url).code == 0
    process.send_signal(signal.SIGINT)
    left = finish(process)
    assert (left.code, left.err) == (0, "")


# What it costs to start.


def test_help_costs_little_more_than_what_it_is_made_of() -> None:
    resource = pytest.importorskip("resource")  # `os.times` has steps of 10 ms

    def cpu_seconds(command: list[str]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment({}), timeout=PATIENCE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return float(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    base = [COMMAND[0], "-c", "import typer, rich"]
    rounds = [(cpu_seconds([*COMMAND, "--help"]), cpu_seconds(base)) for _ in range(4)]
    ours, theirs = (min(times) for times in zip(*rounds, strict=True))
    assert ours <= 1.5 * theirs, rounds
