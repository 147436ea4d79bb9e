"""A sandbox on a real socket for every command, and the command line in this process."""

from __future__ import annotations

import functools
import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import neuralbox._client
import neuralbox._merged_history  # pyright: ignore[reportUnusedImport] - it names the class that `box` replaces
from neuralbox import AsyncNeuralBox, Polling
from neuralbox._cli.app import app
from neuralbox._cli.invocation import current
from neuralbox.sandbox import Sandbox, Server, serve

from ..accounts import ServedAccount

FAST = Polling(timeout=30, min_interval=0.02, max_interval=0.1)


@dataclass(frozen=True)
class Left:
    """How a command left."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def sentence(self) -> str:
        """The one line it left with."""
        [line] = self.err.splitlines()
        return line


class Box(ServedAccount):
    """The command line with a key and a service."""

    def __call__(self, *arguments: str | Path, stdin: str | None = None, **environment: str) -> Left:
        left = run(*arguments, stdin=stdin, **{**self.environment, **environment})
        assert self.key not in left.out + left.err
        return left


def run(*arguments: str | Path, stdin: str | None = None, **environment: str) -> Left:
    """Run the command line in this process."""
    result = CliRunner().invoke(app, [*map(str, arguments)], input=stdin, env={"NO_COLOR": "1", **environment})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Left(result.exit_code, result.stdout, result.stderr)


def interrupted(box: Box, *arguments: str, after: int) -> Left:
    """Run a command, and press Ctrl-C once the sandbox has carried out so many of its requests."""
    begun, over = box.sandbox.ledger.generation_count, threading.Event()

    def watch() -> None:
        while box.sandbox.ledger.generation_count < begun + after:
            if over.wait(0.001):
                return
        os.kill(os.getpid(), signal.SIGINT)

    watching = threading.Thread(target=watch)
    watching.start()
    box.sandbox.faults.set("latency@POST /generate", 0.02)
    try:
        return box(*arguments)
    finally:
        over.set()
        watching.join()
        box.sandbox.faults.clear()


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the settings are, which nobody has written."""
    monkeypatch.setenv("NEURALBOX_CONFIG", str(tmp_path / ".settings" / "config.toml"))
    current.begin()
    return tmp_path / ".settings" / "config.toml"


@pytest.fixture(autouse=True)
def _in_haste(shortest_pauses: None) -> None:
    """Retry soon."""


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="package")
def served() -> Iterator[Server]:
    with serve(Sandbox(speed=2_000)) as server:
        yield server


@pytest.fixture(scope="package")
def slowly_served() -> Iterator[Server]:
    with serve(Sandbox(speed=0.01)) as server:
        yield server


@pytest.fixture
def box(served: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """A new account, and a client that polls as fast as the sandbox works."""
    served.sandbox.faults.clear()
    quick = functools.partial(AsyncNeuralBox, polling=FAST)
    monkeypatch.setattr(neuralbox._client, "AsyncNeuralBox", quick)
    yield Box(served, f"nb_test_{uuid.uuid4().hex}")
    served.sandbox.faults.clear()


@pytest.fixture
def slow_box(slowly_served: Server, box: Box) -> Iterator[Box]:
    """Likewise, at a service whose videos take hours."""
    yield Box(slowly_served, box.key)
    slowly_served.sandbox.faults.clear()
