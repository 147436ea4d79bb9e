"""The program as a whole: its help, its first steps, its completion, and what it costs to start."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.core import TyperGroup

import neuralbox._cli
from neuralbox import __version__
from neuralbox._cli import exit_codes
from neuralbox._cli._extras import missing_extra
from neuralbox._cli.app import COMMANDS, _built, app
from neuralbox._cli.errors import CODES, REASONS

from .. import documents
from .conftest import run
from .processes import finish, python


def test_version_is_the_packages() -> None:
    left = run("--version")
    assert (left.code, left.out, left.err) == (0, f"neuralbox {__version__}\n", "")


def test_alone_it_tells_what_to_do_first() -> None:
    left = run()
    assert left.code == 0
    assert left.lines[0].startswith("neuralbox demo ")
    assert "NEURALBOX_API_KEY" in left.out


def test_help_lists_every_command_and_every_exit_code() -> None:
    left = run("--help")
    assert left.code == 0
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in left.out
        assert summary in left.out
    shown = " ".join(left.out.split())
    for code in {code for _, code in CODES} | {*REASONS.values()} | {exit_codes.INTERRUPTED, exit_codes.CLOSED_PIPE}:
        assert f" {code} " in shown, code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str) -> None:
    left = run(name, "--help")
    assert left.code == 0
    assert left.out.startswith(f"Usage: neuralbox {name} ")
    assert "Arguments" in left.out or "Options" in left.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_guide_shows_every_command_and_subcommand(name: str) -> None:
    command = _built(name)
    below = [f"{name} {each}" for each in command.commands] if isinstance(command, TyperGroup) else []
    guide = (documents.ROOT / "docs" / "guides" / "command-line.md").read_text(encoding="utf-8")
    assert [each for each in (name, *below) if not re.search(rf"(neuralbox |`){each}\b", guide)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_takes_a_key(name: str) -> None:
    assert "--api-key" not in run(name, "--help").out
    assert run(name, "--api-key", "nb_secret").code == exit_codes.USAGE


def test_a_slip_in_a_name_is_answered_with_the_right_one() -> None:
    left = run("histry")
    assert left.code == exit_codes.USAGE
    assert "Did you mean 'history'?" in left.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("archive", ""),
        ("generate", "flux-1.1-pro", "A fox", "--to", ""),
        ("generate", "flux-1.1-pro", "A fox", "-o", ""),
        ("generate", "gpt-5", "A fox", "--context", ""),
        ("transcribe", ""),
        ("batch", "run", ""),
        ("batch", "report", ""),
        ("batch", "run", "run.jsonl", "--journal", ""),
        ("history", "export", ""),
        ("history", "report", "-o", ""),
        ("geminigen", "archive", ""),
        ("gateway", "key", "app", "--keys", ""),
        ("mcp", "--to", ""),
        ("demo", "--directory", ""),
        ("sandbox", "--database", ""),
    ],
)
def test_an_empty_path_is_wrong_usage_and_not_the_current_directory(arguments: tuple[str, ...]) -> None:
    """As of a variable that is not set: `--to "$OUT"`."""
    left = run(*arguments)
    assert (left.code, left.out) == (exit_codes.USAGE, "")
    assert "It is empty, where a path belongs." in " ".join(left.err.split())
    assert [*Path().iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--json", "balance"), "No such option: --json (Possible options: --version)"),
        (("histry", "--json"), "No such command 'histry'. Did you mean 'history'?"),
        (("wait", "--json"), "Missing argument 'ID...'."),
        (
            ("history", "--limit", "0", "--json"),
            "Invalid value for '--limit': Input should be greater than or equal to 1",
        ),
        (("sandbox", "--fault", "none=1", "--json"), "Invalid value: "),
    ],
)
def test_wrong_usage_is_an_object_where_json_is_wanted(arguments: tuple[str, ...], said: str) -> None:
    left = run(*arguments)
    assert (left.code, left.out) == (exit_codes.USAGE, "")
    told = json.loads(left.sentence)
    assert told.pop("message").startswith(said)
    assert told == {"error": "UsageError", "exit_code": exit_codes.USAGE}


def test_help_loads_no_http_library_and_draws_nothing() -> None:
    found = python(
        "import sys\n"
        "from neuralbox._cli import main\n"
        "sys.argv = ['neuralbox', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as left:\n"
        "    heavy = 'httpx httpcore httpcore2 aiohttp anyio pydantic sqlite3 rich.console uvicorn'.split()\n"
        "    print(left.code, [name for name in heavy if name in sys.modules])\n"
    )
    assert found.out.splitlines()[-1] == "0 []"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("neuralbox ba", {"batch", "balance"}),
        ("neuralbox batch re", {"resume", "report"}),
        ("neuralbox history ", {"list", "export", "report"}),
        ("neuralbox generate flux-k", {"flux-kontext-pro"}),
        ("neuralbox archive out --type v", {"video"}),
        ("neuralbox batch run --max-s", {"--max-sending"}),
        ("neuralbox history --li", {"--limit"}),
        ("neuralbox history --json --li", {"--limit"}),
        ("neuralbox history --pro", {"--profile"}),
        ("neuralbox history --type i", {"image"}),
        ("neuralbox history -q ", {"list", "export", "report"}),
    ],
)
def test_a_shell_completes_commands_models_kinds_and_options(words: str, expected: set[str]) -> None:
    left = run(_NEURALBOX_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1))
    assert sorted(left.lines) == sorted(expected)


def test_the_completion_of_a_shell_is_a_script() -> None:
    left = run(_NEURALBOX_COMPLETE="source_bash")
    assert left.code == 0
    assert "_NEURALBOX_COMPLETE=complete_bash" in left.out


def test_python_dash_m_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["neuralbox", "--version"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("neuralbox", run_name="__main__")
    assert left.value.code == 0
    assert capsys.readouterr().out == f"neuralbox {__version__}\n"


def test_importing_dunder_main_runs_nothing() -> None:
    runpy.run_module("neuralbox.__main__", run_name="neuralbox.__main__")


# Without an extra.


def forget_app(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delitem(sys.modules, "neuralbox._cli.app", raising=False)
    monkeypatch.delattr(neuralbox._cli, "app", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)


def test_without_the_cli_extra_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_app(monkeypatch, "typer")
    with pytest.raises(SystemExit) as left:
        neuralbox._cli.main()
    assert left.value.code == exit_codes.USAGE
    assert capsys.readouterr().err == (
        "This needs `typer`, which is not installed: run  pip install 'neuralbox[cli]'\n"
    )


def test_a_missing_module_of_no_extra_is_a_bug_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_app(monkeypatch, "importlib")
    with pytest.raises(ModuleNotFoundError):
        neuralbox._cli.main()


def test_the_sentence_names_the_extra_that_brings_the_module() -> None:
    sentence = missing_extra(ModuleNotFoundError("No module named 'av.video'", name="av.video"), "sandbox")
    assert sentence == "This needs `av`, which is not installed: run  pip install 'neuralbox[sandbox]'"
    assert missing_extra(ModuleNotFoundError("unnamed"), "demo") is None


def test_ctrl_c_before_a_command_has_begun_leaves_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("neuralbox._cli.app"), "app", stopped)
    with pytest.raises(SystemExit) as left:
        neuralbox._cli.main()
    assert left.value.code == exit_codes.INTERRUPTED


def test_ctrl_c_while_an_import_executes_a_text_leaves_with_the_code_too() -> None:
    """As in the middle of a `dataclass`: `python -m` remembers it, and ended by the signal."""
    Path("stopped.py").write_text(
        "from neuralbox import _cli\n"
        "from neuralbox._cli import app\n"
        "def stopped():\n    exec('raise KeyboardInterrupt')\n"
        "app.app = stopped\n"
        "_cli.main()\n",
        encoding="utf-8",
    )
    left = finish(subprocess.Popen([sys.executable, "-m", "stopped"], stderr=subprocess.PIPE, text=True))
    assert (left.code, left.err) == (exit_codes.INTERRUPTED, "")


def test_help_that_cannot_be_written_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_module("neuralbox._cli.app"), "app", full)
    with pytest.raises(SystemExit) as left:
        neuralbox._cli.main()
    assert left.value.code == exit_codes.UNUSABLE_DISK
    assert capsys.readouterr().err == "The output cannot be written: No space left on device.\n"


def test_nothing_of_the_package_is_named_as_if_it_were_a_command() -> None:
    for name, (module, _) in COMMANDS.items():
        assert hasattr(import_module(f"neuralbox._cli.{module}"), name)
    assert app.info.name == "neuralbox"
    assert Path(neuralbox._cli.__file__).name == "__init__.py"
