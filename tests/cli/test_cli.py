"""The command line: what it takes, what it says, and how it leaves."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import neuralbox._cli
import neuralbox._demo
import neuralbox.sandbox
from neuralbox import NeuralBoxError, __version__
from neuralbox._cli._extras import missing_extra
from neuralbox._cli.app import app
from neuralbox._demo import Plan, Report, Tally, View


def run(*arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process: exit code, standard output, standard error."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120", "NO_COLOR": "1"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def report_of(plan: Plan, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "plan": plan,
        "tally": Tally(plan.videos, plan.videos, plan.videos, 1_500_000, 40),
        "listed": plan.videos,
        "charged_by_history": 40,
        "charged_by_balance": 40,
        "charged_by_ledger": 40,
        "requests": 9,
        "seconds": 1.5,
    }
    return Report(**values | changes)


# The program as a whole.


def test_version_is_the_packages() -> None:
    assert run("--version") == (0, f"neuralbox {__version__}\n", "")


def test_help_lists_the_commands() -> None:
    code, shown, _ = run("--help")
    assert code == 0
    assert "demo" in shown
    assert "sandbox" in shown


def test_python_dash_m_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["neuralbox", "--version"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("neuralbox", run_name="__main__")
    assert left.value.code == 0
    assert capsys.readouterr().out == f"neuralbox {__version__}\n"


def test_importing_dunder_main_runs_nothing() -> None:
    runpy.run_module("neuralbox.__main__", run_name="neuralbox.__main__")


def test_without_the_cli_extra_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "neuralbox._cli.app", raising=False)
    monkeypatch.delattr(neuralbox._cli, "app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as left:
        neuralbox._cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "This needs `typer`, which is not installed: run  pip install 'neuralbox[cli]'\n"
    )


def test_a_missing_module_of_no_extra_is_a_bug_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "neuralbox._cli.app", raising=False)
    monkeypatch.delattr(neuralbox._cli, "app", raising=False)
    monkeypatch.setitem(sys.modules, "pathlib", None)
    with pytest.raises(ModuleNotFoundError):
        neuralbox._cli.main()


def test_the_sentence_names_the_extra_that_brings_the_module() -> None:
    sentence = missing_extra(ModuleNotFoundError("No module named 'av.video'", name="av.video"), "sandbox")
    assert sentence == "This needs `av`, which is not installed: run  pip install 'neuralbox[sandbox]'"
    assert missing_extra(ModuleNotFoundError("unnamed"), "demo") is None


# demo.


def test_demo_hands_its_arguments_on_and_shows_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []

    def fake(plan: Plan, view: View) -> Report:
        plans.append(plan)
        return report_of(plan)

    monkeypatch.setattr(neuralbox._demo, "run_demo", fake)
    code, shown, _ = run("demo", "--videos", "3", "--speed", "50", "--directory", str(tmp_path), "--seed", "4")
    assert code == 0
    assert plans == [Plan(videos=3, speed=50.0, directory=tmp_path, seed=4)]
    assert f"3 of 3 videos, 1.5 MB, in {tmp_path}" in shown
    assert "1.5 s, 9 HTTP requests, 3 videos in the history" in shown
    assert "every video was paid once." in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"listed": 2},
        {"charged_by_balance": 41},
        {"tally": Tally(3, 3, 2, 1_000_000, 40, ["Video 2: lost"])},
    ],
)
def test_demo_fails_if_anything_is_missing(wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neuralbox._demo, "run_demo", lambda plan, view: report_of(plan, **wrong))
    assert run("demo", "--videos", "3")[0] == 1


def test_demo_names_the_first_problems_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally(8, 8, 0, 0, 40, [f"Video {number}: [lost]" for number in range(1, 9)])
    monkeypatch.setattr(neuralbox._demo, "run_demo", lambda plan, view: report_of(plan, tally=tally))
    _, shown, _ = run("demo", "--videos", "8")
    assert "Video 5: [lost]" in shown
    assert "Video 6" not in shown
    assert "... and 3 more that failed." in shown


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Stopped."),
        (NeuralBoxError("The account is closed."), 1, "The account is closed."),
        (OSError("No room."), 1, "No room."),
        (ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn"), 2, "pip install 'neuralbox[demo]'"),
    ],
)
def test_demo_leaves_with_a_sentence(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(plan: Plan, view: View) -> Report:
        raise error

    monkeypatch.setattr(neuralbox._demo, "run_demo", fail)
    left, _, shown = run("demo")
    assert left == code
    assert said in shown
    assert len(shown.splitlines()) == 1


def test_demo_shows_a_bug_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(plan: Plan, view: View) -> Report:
        raise ModuleNotFoundError("No module named 'ours'", name="ours")

    monkeypatch.setattr(neuralbox._demo, "run_demo", fail)
    with pytest.raises(ModuleNotFoundError):
        run("demo")


# sandbox.


def test_sandbox_hands_its_arguments_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    served: dict[str, Any] = {}

    def run_sandbox(sandbox: object, **how: object) -> None:
        served.update(how)

    monkeypatch.setattr(neuralbox.sandbox, "Sandbox", lambda **options: made.update(options))
    monkeypatch.setattr(neuralbox.sandbox, "run", run_sandbox)
    code, _, _ = run(
        *("sandbox", "--port", "0", "--host", "127.0.0.2", "--speed", "20", "--plan", "vip", "--balance", "7"),
        *("--dialect", "B", "--fault", "html-502@GET /balance=1", "--fault", "latency=0.5"),
        *("--database", str(tmp_path / "box.sqlite"), "--allow-remote"),
    )
    assert code == 0
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
    assert served == {"host": "127.0.0.2", "port": 0, "allow_remote": True}


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
    code, _, shown = run("sandbox", option, value)
    assert code == 2
    assert said in " ".join(shown.replace("│", " ").split())
