"""The guide keeps its word: every command it shows can be called so, and its table has every exit code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from neuralbox._cli import exit_codes
from neuralbox._cli.app import COMMANDS, app

from ..documents import ROOT

pytestmark = pytest.mark.uncovered

GUIDE = (ROOT / "docs" / "guides" / "command-line.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> Iterator[str]:
    """Each call of the command in a block of shell."""
    for document in (GUIDE, README):
        for block in re.findall(r"^```sh\n(.*?)^```$", document, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                yield from re.findall(r"(?:^|\| |\$\(|_any )neuralbox ((?:[^|>)#]|(?<=\S)#)+)", line)


@pytest.mark.parametrize("line", sorted({line.strip() for line in commands()}))
def test_every_command_of_the_documents_can_be_called_so(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command, arguments = get_command(app), shlex.split(line)
    context = command.make_context("neuralbox", arguments)
    while isinstance(command, TyperGroup) and (rest := [*context._protected_args, *context.args]):
        name, found, arguments = command.resolve_command(context, rest)
        assert found is not None
        if "requests.jsonl" in arguments:
            arguments[arguments.index("requests.jsonl")] = "README.md"  # there has to be a file
        command, context = found, found.make_context(str(name), arguments, parent=context)


def test_the_documents_show_every_command() -> None:
    assert {line.split()[0] for line in commands()} >= COMMANDS.keys()


def test_the_table_of_exit_codes_is_whole() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", GUIDE, re.MULTILINE)}
    assert table == {0} | {
        value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)
    }
