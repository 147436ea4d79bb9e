"""The command `mcp`: what it hands to the server; the server itself is tested in `tests/mcp`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import neuralbox.mcp
from neuralbox import AsyncNeuralBox
from neuralbox._cli import exit_codes
from neuralbox.mcp import McpSettings

from .conftest import Box


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be served, and how."""
    seen: list[Any] = []

    def build(nb: AsyncNeuralBox, settings: McpSettings) -> str:
        seen.append((nb.budget and nb.budget.tokens, settings))
        return "server"

    async def stdio(server: str) -> None:
        seen.append(server)

    async def http(server: str, *, host: str, port: int, token: str | None, announce: Any) -> None:
        seen.append((server, host, port, token))
        announce("http://127.0.0.1:1/mcp")

    for name, fake in {"build_server": build, "serve_stdio": stdio, "serve_http": http}.items():
        monkeypatch.setattr(neuralbox.mcp, name, fake)
    return seen


def test_it_serves_standard_input_and_output_with_what_was_said(seen: list[Any], box: Box, tmp_path: Path) -> None:
    left = box(
        "mcp", "--to", "out", "--budget", "7", "--ask-above", "3", "--read-only", "--session", "x", "--wait", "9"
    )
    settings = McpSettings(directory=tmp_path / "out", ask_above=3, read_only=True, session="x", wait=9)
    assert (left.code, left.out, seen) == (0, "", [(7, settings), "server"])


def test_it_serves_http_with_the_token_of_the_environment(seen: list[Any], box: Box, tmp_path: Path) -> None:
    left = box("mcp", "--http", "--port", "1", "--journal", "j.sqlite", NEURALBOX_MCP_TOKEN="let-me-in")
    assert (left.code, left.lines) == (0, ["http://127.0.0.1:1/mcp"])
    settings = McpSettings(directory=tmp_path / "neuralbox-mcp", journal=Path("j.sqlite"))
    assert seen == [(None, settings), ("server", "127.0.0.1", 1, "let-me-in")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--to", "taken"), "File exists: "),
        (("--to", "taken/below"), "Not a directory: "),
        (("--journal", "taken"), "is no database"),
        (("--journal", "taken/mcp.sqlite"), "File exists: taken."),
    ],
)
def test_what_the_first_purchase_would_fail_on_is_said_at_once(
    options: tuple[str, ...], said: str, seen: list[Any], box: Box
) -> None:
    Path("taken").write_text("not a journal at all", encoding="utf-8")
    left = box("mcp", *options)
    assert (left.code, said in left.sentence, seen) == (exit_codes.UNUSABLE_DISK, True, [])


def test_one_that_sells_nothing_serves_where_nothing_can_be_written(seen: list[Any], box: Box) -> None:
    Path("taken").write_text("not a journal at all", encoding="utf-8")
    left = box("mcp", "--read-only", "--to", "taken/below", "--journal", "taken")
    assert (left.code, len(seen)) == (0, 2)


def test_a_journal_in_a_database_is_refused_and_its_password_goes_nowhere(seen: list[Any], box: Box) -> None:
    """As a path it would be a file in a directory called `postgresql:`."""
    left = box("mcp", "--journal", "postgresql://me:secret@box.test/db#tools")
    assert left.code == 2
    assert left.sentence.endswith("`journal` is the address of a database.")
    assert "secret" not in left.err
    assert (seen, [*Path().iterdir()]) == ([], [])


# `uvicorn` comes with the SDK, and is the first that is missed where nothing of the extra is there.
@pytest.mark.parametrize("missing", ["mcp", "mcp.server.lowlevel.server", "uvicorn"])
def test_without_the_extra_it_says_what_to_install(missing: str, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.partition(".")[0] == "mcp" or name.startswith("neuralbox.mcp"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    left = box("mcp")
    assert (left.code, left.sentence) == (
        2,
        f"This needs `{missing.partition('.')[0]}`, which is not installed: run  pip install 'neuralbox[mcp]'",
    )


def test_a_broken_part_of_the_sdk_shows_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "mcp":
                raise ModuleNotFoundError("No module named 'mcp_types'", name="mcp_types")

    for name in [*sys.modules]:
        if name.partition(".")[0] == "mcp" or name.startswith("neuralbox.mcp"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("neuralbox.mcp")
    assert caught.value.name == "mcp_types"
