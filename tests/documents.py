"""The Python examples of a document, and what a reader who runs them has around."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from neuralbox import Polling
from neuralbox._base_client import BaseClient

ROOT = Path(__file__).resolve().parent.parent


def examples(document: Path, *forms: Callable[[str], str | None]) -> Iterator[Any]:
    """Find each fenced Python block of a document.

    Args:
        document: The page.
        forms: Each turns an example into a form that is wanted, None where it has none; without any it is taken as it is.
    """
    text = document.read_text(encoding="utf-8")
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        place = f"{document.relative_to(ROOT)}:{text.count(chr(10), 0, match.start(1)) + 1}"
        for form in forms or (str,):
            example = form(match[1])
            if example is not None:
                yield pytest.param(example, id=place if form is str else f"{place}, {form.__name__}")


def run_as_file(program: str, directory: Path) -> None:
    """Run a program as its reader does who pastes it into a file."""
    path = directory / "program.py"
    path.write_text(program, encoding="utf-8")
    runpy.run_path(str(path), run_name="__main__")


async def run_inside(example: str) -> None:
    """Run the inside of a program in this loop."""
    code = compile(example, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    function: Callable[[], Any] = FunctionType(code, {"__name__": "__main__"})
    await function()


def equip(monkeypatch: pytest.MonkeyPatch, *, service: str, directory: Path) -> None:
    """Give the reader a key, an address, and an empty directory to be in."""
    monkeypatch.setenv("NEURALBOX_API_KEY", "nb_reader")
    monkeypatch.setenv("NEURALBOX_BASE_URL", service)
    monkeypatch.setenv("GEMINIGEN_API_KEY", "nb_reader")  # the sandbox shows one account's generations to both
    monkeypatch.setenv("GEMINIGEN_BASE_URL", service)
    monkeypatch.chdir(directory)
    clockwork = BaseClient._clockwork

    def polling(**own: Any) -> Polling:
        """Poll as much faster as the sandbox is by its `speed`; in virtual time, which has no hurry, as for the service."""
        quick = {"min_interval": 0.02, "max_interval": 0.05} if BaseClient._clockwork is clockwork else {}
        return Polling(**quick | own)

    for name in ("neuralbox.Polling", "neuralbox._base_client.Polling"):
        monkeypatch.setattr(name, polling)
