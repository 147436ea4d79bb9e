"""The demo and the sandbox as commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import neuralbox._demo
import neuralbox.sandbox
from neuralbox import NeuralBoxError
from neuralbox._demo import DemoPlan, DemoReport, DemoTally, View

from .conftest import run


def report_of(plan: DemoPlan, **changes: Any) -> DemoReport:
    values: dict[str, Any] = {
        "plan": plan,
        "tally": DemoTally(plan.videos, plan.videos, plan.videos, 1_500_000, 40),
        "listed": plan.videos,
        "charged_by_history": 40,
        "charged_by_balance": 40,
        "charged_by_ledger": 40,
        "requests": 9,
        "seconds": 1.5,
    }
    return DemoReport(**values | changes)


def play(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[DemoPlan]:
    """Let the demo come to this without running it; what it is asked for is collected."""
    plans: list[DemoPlan] = []

    def fake(plan: DemoPlan, view: View) -> DemoReport:
        plans.append(plan)
        report = report_of(plan, **changes)
        view(report.tally)
        return report

    monkeypatch.setattr(neuralbox._demo, "run_demo", fake)
    return plans


def test_demo_hands_its_arguments_on_and_shows_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = play(monkeypatch)
    left = run("demo", "--videos", "3", "--speed", "50", "--directory", tmp_path, "--seed", "4")
    assert left.code == 0
    assert plans == [DemoPlan(videos=3, speed=50.0, directory=tmp_path, seed=4)]
    assert left.lines[0] == f"3 of 3 videos, 1.5 MB, in {tmp_path}"
    assert left.lines[1] == "1.5 s, 9 HTTP requests, 3 videos in the history"
    assert "every video was paid once." in left.out
    assert "3 submitted" in left.err


def test_demo_as_json_is_one_object_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch)
    left = run("demo", "--videos", "3", "--json")
    assert left.code == 0
    assert left.err == ""
    assert left.records == [
        {
            "videos": 3,
            "downloaded": 3,
            "bytes": 1_500_000,
            "directory": "neuralbox-demo",
            "seconds": 1.5,
            "requests": 9,
            "charged": 40,
            "paid_once": True,
            "problems": [],
        }
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"listed": 2},
        {"charged_by_balance": 41},
        {"tally": DemoTally(3, 3, 2, 1_000_000, 40, ["Video 2: lost"])},
    ],
)
def test_demo_fails_if_anything_is_missing(wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, **wrong)
    assert run("demo", "--videos", "3").code == 1


def test_demo_names_the_first_problems_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, tally=DemoTally(8, 8, 0, 0, 40, [f"Video {number}: [lost]" for number in range(1, 9)]))
    left = run("demo", "--videos", "8")
    assert "Video 5: [lost]" in left.out
    assert "Video 6" not in left.out
    assert "... and 3 more that failed." in left.out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Stopped."),
        (NeuralBoxError("The account is closed."), 1, "The account is closed."),
        (OSError(28, "No space left on device", "out/1.mp4"), 11, "No space left on device: out/1.mp4."),
        (OSError("No room."), 11, "No room."),
        (
            ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn"),
            2,
            "This needs `uvicorn`, which is not installed: run  pip install 'neuralbox[demo]'",
        ),
    ],
)
def test_demo_leaves_with_a_sentence(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(plan: DemoPlan, view: View) -> DemoReport:
        raise error

    monkeypatch.setattr(neuralbox._demo, "run_demo", fail)
    left = run("demo")
    assert (left.code, left.sentence) == (code, said)


def test_a_sandbox_for_others_names_the_option_that_opens_it() -> None:
    left = run("sandbox", "--host", "0.0.0.0", "--port", "0")
    assert left.code == 2
    assert "unless --allow-remote says otherwise." in " ".join(left.err.replace("│", "").split())


def test_a_demo_as_fast_as_nothing_can_be_is_wrong_usage() -> None:
    left = run("demo", "--speed", "inf")
    assert left.code == 2
    assert "'--speed'" in left.err


def test_demo_shows_a_bug_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(plan: DemoPlan, view: View) -> DemoReport:
        raise ModuleNotFoundError("No module named 'ours'", name="ours")

    monkeypatch.setattr(neuralbox._demo, "run_demo", fail)
    with pytest.raises(ModuleNotFoundError):
        run("demo")


# sandbox.


@pytest.mark.parametrize("as_json", [False, True])
def test_sandbox_hands_its_arguments_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    made: dict[str, Any] = {}
    served: dict[str, Any] = {}

    def run_sandbox(sandbox: object, **how: Any) -> None:
        served.update(how)
        how["announce"]("NeuralBox sandbox on http://127.0.0.2:1 (Ctrl-C stops)")

    monkeypatch.setattr(neuralbox.sandbox, "Sandbox", lambda **options: made.update(options))
    monkeypatch.setattr(neuralbox.sandbox, "run", run_sandbox)
    left = run(
        *("sandbox", "--port", "0", "--host", "127.0.0.2", "--speed", "20", "--plan", "vip", "--balance", "7"),
        *("--dialect", "B", "--fault", "html-502@GET /balance=1", "--fault", "latency=0.5"),
        *(
            "--database",
            str(tmp_path / "box.sqlite"),
            "--allow-remote",
            "--allow-host",
            "box.test",
            *(["--json"] if as_json else []),
        ),
    )
    assert left.code == 0
    if as_json:
        assert left.records == [{"url": "http://127.0.0.2:1"}]
    else:
        assert left.out == "NeuralBox sandbox on http://127.0.0.2:1 (Ctrl-C stops)\n"
    faults = made.pop("faults")
    assert made == {
        "database": tmp_path / "box.sqlite",
        "speed": 20.0,
        "plan": "vip",
        "balance": 7,
        "dialect": "B",
    }
    assert faults.seconds("latency", "GET /balance") == 0.5
    assert faults.strikes("html-502", "GET /balance")
    assert {name: served[name] for name in ("host", "port", "allow_remote", "allowed_hosts")} == {
        "host": "127.0.0.2",
        "port": 0,
        "allow_remote": True,
        "allowed_hosts": ["box.test"],
    }


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--fault", "html-502", "NAME=VALUE"),
        ("--fault", "no-such-fault=1", "There is no fault"),
        ("--plan", "gold", "plan must be one of"),
        ("--dialect", "C", "'C' is not one of 'A', 'B'"),
        ("--host", "192.0.2.1", "not a loopback address"),
    ],
)
def test_sandbox_refuses_what_makes_no_sense_with_a_sentence(option: str, value: str, said: str) -> None:
    left = run("sandbox", option, value)
    assert left.code == 2
    assert said in left.err
