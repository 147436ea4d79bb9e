"""The README keeps its word: its Python runs, and its commands are what the checks run."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from neuralbox import Polling
from neuralbox.sandbox import Sandbox, serve

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")


def examples() -> Iterator[Any]:
    """Each fenced Python block, compiled so that tracebacks show the README's own lines."""
    for match in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        line = TEXT.count("\n", 0, match.start(1))
        code = compile("\n" * line + match[1], str(README), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        yield pytest.param(code, id=f"line-{line + 1}")


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of one sandbox for all examples."""
    with serve(Sandbox(speed=1_000)) as server:
        yield server.url


@pytest.fixture
def reader(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader has: a key, an address, and an empty directory."""
    monkeypatch.setenv("NEURALBOX_API_KEY", "nb_readme")
    monkeypatch.setenv("NEURALBOX_BASE_URL", service)
    monkeypatch.setenv("GEMINIGEN_API_KEY", "nb_readme")  # the sandbox shows one account's books to both
    monkeypatch.setenv("GEMINIGEN_BASE_URL", service)
    monkeypatch.chdir(tmp_path)
    # Looks are paced for the real service, minutes long; the sandbox is faster by its `speed`, so the looks are too.
    monkeypatch.setattr("neuralbox._client.Polling", partial(Polling, min_interval=0.05, max_interval=0.1))


@pytest.mark.anyio
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("code", [*examples()])
async def test_every_python_example_runs(code: CodeType, anyio_backend: str) -> None:
    run: Callable[[], Any] = FunctionType(code, {"__name__": "__main__"})
    result = run()
    if inspect.iscoroutine(result):
        await result


@pytest.mark.parametrize(
    ("section", "ending"), [("Run it", "neuralbox demo"), ("Test it", ".venv/bin/python scripts/check.py")]
)
def test_the_section_has_exactly_one_fenced_line_that_does_all_the_set_up(section: str, ending: str) -> None:
    body = TEXT.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    [command] = re.findall(r"^```sh\n(.*?)\n```$", body, re.MULTILINE | re.DOTALL)
    assert body.count("```") == 2
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && ")
    assert command.endswith(ending)
