"""The examples run as they stand, as programs of their own, against a sandbox."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import nbformat
import pytest
from nbclient import NotebookClient

from neuralbox.sandbox import Sandbox, Server, serve

from .. import documents

pytestmark = pytest.mark.uncovered
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_PATIENCE = 60.0


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Sandbox(speed=1_000)) as served:
        yield served


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]


def surroundings(server: Server) -> dict[str, str]:
    return os.environ | {"NEURALBOX_API_KEY": "nb_example", "NEURALBOX_BASE_URL": server.url}


@contextmanager
def running(arguments: list[str], environment: dict[str, str]) -> Iterator[None]:
    program = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        program.terminate()
        program.wait(_PATIENCE)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def fetch(address: str) -> str:
    """Ask until somebody listens."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            with urlopen(address, timeout=_PATIENCE) as reply:
                return str(reply.read().decode())
        except URLError:
            if time.monotonic() > end:
                raise
            threading.Event().wait(0.05)  # another process is starting; there is nothing to await


def test_the_web_application_streams_an_answer_to_each_visitor(server: Server) -> None:
    port = free_port()
    with running(command("web_app.py", "--port", str(port)), surroundings(server)):
        root = f"http://127.0.0.1:{port}"
        assert "<form" in fetch(root)
        answer = fetch(f"{root}/ask?{urlencode({'prompt': 'Why is the sky blue?'})}")
    assert "Why is the sky blue?" in answer
    assert server.sandbox.ledger.requests_by_route["POST /generate"] == 1


def test_the_legacy_script_makes_a_picture_for_each_line(server: Server, tmp_path: Path) -> None:
    subjects = tmp_path / "subjects.txt"
    subjects.write_text("a heron\n\na lighthouse\na tram\n", encoding="utf-8")
    done = subprocess.run(
        command("legacy_threads.py", str(subjects), str(tmp_path / "pictures")),
        env=surroundings(server),
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[:3]] == ["a heron", "a lighthouse", "a tram"]
    assert len([*(tmp_path / "pictures").iterdir()]) == 3
    assert len(server.sandbox.ledger.charges) == 3
    assert done.stdout.splitlines()[-1] == f"{100_000 - server.sandbox.ledger.charged} tokens left"


def test_the_fan_out_buys_each_video_once_however_often_it_is_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documents.equip(monkeypatch, service=server.url, directory=tmp_path)
    # The whole five hundred take a minute; forty take the same paths.
    monkeypatch.setattr(sys, "argv", ["fan_out.py", "--count", "40", "--budget", "20000"])
    for _ in range(2):
        runpy.run_path(str(EXAMPLES / "fan_out.py"), run_name="__main__")
        assert "40 completed, 0 failed" in capsys.readouterr().out
    assert len(server.sandbox.ledger.charges) == 40
    assert len([*(tmp_path / "videos").iterdir()]) == 40


def test_the_notebook_runs_from_its_first_cell_to_its_last(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in surroundings(server).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the kernel machinery's own
        NotebookClient(notebook, timeout=_PATIENCE, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert "3 of 3" in "".join(str(output.get("data", {}).get("text/html")) for output in outputs)
    assert "heron" in "".join(output.text for output in outputs if output.output_type == "stream")
