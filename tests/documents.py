"""The Python examples of a document, and what a reader who runs them has around."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import anyio.to_thread
import pytest

from neuralbox import Polling

ROOT = Path(__file__).resolve().parent.parent


def examples(document: Path, form: Callable[[str], str | None] = str) -> Iterator[Any]:
    """Compile each fenced Python block so that tracebacks show the document's own lines.

    Args:
        document: The page.
        form: Turns an example into the form that is wanted; None leaves it out.
    """
    text = document.read_text(encoding="utf-8")
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start(1))
        example = form(match[1])
        if example is not None:
            code = compile("\n" * line + example, str(document), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            yield pytest.param(code, id=f"{document.relative_to(ROOT)}:{line + 1}")


async def run(code: CodeType) -> None:
    """Run an example: one that awaits in this loop, a whole program in a thread, where it may start a loop of its own."""
    function: Callable[[], Any] = FunctionType(code, {"__name__": "__main__"})
    if code.co_flags & inspect.CO_COROUTINE:
        await function()
    else:
        await anyio.to_thread.run_sync(function)


def equip(monkeypatch: pytest.MonkeyPatch, *, service: str, directory: Path) -> None:
    """Give the reader a key, an address, and an empty directory to be in."""
    monkeypatch.setenv("NEURALBOX_API_KEY", "nb_reader")
    monkeypatch.setenv("NEURALBOX_BASE_URL", service)
    monkeypatch.setenv("GEMINIGEN_API_KEY", "nb_reader")  # the sandbox shows one account's generations to both
    monkeypatch.setenv("GEMINIGEN_BASE_URL", service)
    monkeypatch.chdir(directory)
    # Polls are minutes apart for the real service; the sandbox is faster by its `speed`, so the polls are too.
    monkeypatch.setattr("neuralbox._base_client.Polling", partial(Polling, min_interval=0.05, max_interval=0.1))
