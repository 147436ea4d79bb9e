"""The command line as a process of its own, on pipes or on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from fcntl import ioctl
from pathlib import Path
from typing import Any

from .conftest import Left

PATIENCE = 30.0
COMMAND = [sys.executable, "-m", "neuralbox"]


def python(code: str) -> Left:
    """Run a piece of Python."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    return Left(done.returncode, done.stdout, done.stderr)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, without what decides how output looks, and with what is given."""
    mine = {
        name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "COLUMNS", "LINES", "TERM"}
    }
    return {**mine, "TERM": "xterm-256color", **given}


def start(*arguments: str | Path, given: Mapping[str, str], **options: Any) -> subprocess.Popen[str]:
    """Start a command on pipes."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], env=environment(given), text=True, **{**pipes, **options})


def finish(process: subprocess.Popen[str]) -> Left:
    """Wait for its end."""
    out, err = process.communicate(timeout=PATIENCE)
    return Left(process.returncode, out or "", err or "")


def interrupt_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> Left:
    """Press Ctrl-C as soon as something is so."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    return finish(process)


def on_terminal(
    *arguments: str | Path, given: Mapping[str, str], columns: int = 80, typed: str = "", waits_for: str = ""
) -> tuple[int, str]:
    """Run a command with a terminal for all three streams: exit code, and what the screen was sent.

    Args:
        arguments: Of the command.
        given: For its environment.
        columns: Width of the terminal.
        typed: What is typed when `waits_for` has been shown.
        waits_for: What to wait for.
    """
    mine, its = pty.openpty()
    ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment(given),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: ioctl(its, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one system call; Ctrl-C needs it
    )
    os.close(its)
    shown = b""
    try:
        while select.select([mine], [], [], PATIENCE)[0]:
            try:
                piece = os.read(mine, 65_536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            shown += piece
            if typed and waits_for in shown.decode(errors="replace"):
                os.write(mine, typed.encode())
                typed = ""
        text = shown.decode(errors="replace").replace("\r\n", "\n")
        return process.wait(PATIENCE), re.sub(r"\x1b\[[0-9;?]*[A-HJKSThl]", "", text)  # what moves; colours stay
    finally:
        process.kill()
        os.close(mine)
