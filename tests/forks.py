"""Processes of their own that cost milliseconds: forks of one that has imported what they run, and has no threads.

An interpreter that imports the package takes fifty times what most such processes do. Each fork is a process like any other, to be
stopped and killed. What it runs to its end, ends as `multiprocessing` has it: with its threads and exit functions.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

ROOT = Path(__file__).parents[1]
_LATER = (
    "anyio._backends._asyncio",
    "neuralbox._batch.resource",
    "neuralbox._batch.keeper",
    "neuralbox._batch.kept",
    "neuralbox._journal.postgres.store",
    "neuralbox._transport.httpcore2.pool",
)
"""What clients and batches import at their first use only, with all that these import."""
_LONGEST = 65_536


class Fork:
    """One process; to whoever started it what a `subprocess.Popen` is.

    Args:
        forks: What it is a fork of.
        pid: Its number.
        end: A pipe of which it has the other end, so that its end is seen.
        stdout: What it prints, where that goes to a pipe.
    """

    def __init__(self, forks: Forks, pid: int, end: int, stdout: IO[str] | None) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = stdout
        self._forks = forks
        self._end = end

    def poll(self) -> int | None:
        """Return what it ended with, below zero the signal, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return what it ended with."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
            self.returncode = self._forks._ended(self.pid)
            os.close(self._end)
        return self.returncode

    def printed(self, timeout: float) -> str:
        """Wait for its end and return the little that it printed to the pipe."""
        self.wait(timeout)
        assert self.stdout is not None
        with self.stdout:
            return self.stdout.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # its number is nobody else's before it has been waited for
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """One process that imports what is asked for and runs it in forks; a context manager, which leaves none running."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control = ours
        self._lock = threading.Lock()
        self._running: dict[int, Fork] = {}

    def start(
        self,
        function: Callable[..., object],
        *arguments: Any,
        stdout: IO[Any] | int | None = None,
        stderr: IO[Any] | None = None,
    ) -> Fork:
        """Run a function of a module in a fork, which ends with what it returns.

        Args:
            function: What is run.
            arguments: What it is called with, as JSON has it.
            stdout: Where it prints; with `subprocess.PIPE` its `stdout` is what it prints, else that is where this process does.
            stderr: Where it says what went wrong; else that is where this process does.
        """
        told = [f"{function.__module__}:{function.__name__}", *arguments]
        (end, its_end), printed = os.pipe(), None
        with contextlib.ExitStack() as theirs:
            theirs.callback(os.close, its_end)
            output = 1 if stdout is None else stdout if isinstance(stdout, int) else stdout.fileno()
            if output == subprocess.PIPE:
                read, output = os.pipe()
                theirs.callback(os.close, output)
                printed = os.fdopen(read, encoding="utf-8")
            pid = self._ask(told, [its_end, output, 2 if stderr is None else stderr.fileno()])
        fork = self._running[pid] = Fork(self, pid, end, printed)
        return fork

    def _ended(self, pid: int) -> int:
        code = self._ask(pid)
        del self._running[pid]
        return code

    def _ask(self, told: object, descriptors: Sequence[int] = ()) -> int:
        message = json.dumps(told).encode()
        assert len(message) < _LONGEST
        with self._lock:
            socket.send_fds(self._control, [message], descriptors)
            answer = self._control.recv(_LONGEST)
        assert answer, "the process that forks is gone: see standard error"
        return int(answer)

    def close(self) -> None:
        for fork in [*self._running.values()]:
            fork.kill()
            fork.wait()
            if fork.stdout is not None:
                fork.stdout.close()
        self._control.close()
        self._process.wait(60)
        assert self._process.returncode == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _serve(control: socket.socket) -> Callable[[], object] | None:
    """Fork for each function asked for, and tell how each ended; in a fork it returns what that is to run."""
    while True:
        message, descriptors, *_ = socket.recv_fds(control, _LONGEST, 3)
        if not message:
            return None
        told = json.loads(message)
        if isinstance(told, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(told, 0)[1])
        else:
            module, _, name = told[0].partition(":")
            if module not in sys.modules:
                for each in (module, *_LATER):
                    importlib.import_module(each)
                gc.collect()
                gc.freeze()  # else the first collection of each fork copies all of it
            assert threading.active_count() == 1, threading.enumerate()
            answer = os.fork()
            if not answer:
                control.close()
                for number, descriptor in enumerate(descriptors[1:], start=1):
                    os.dup2(descriptor, number)
                    os.close(descriptor)
                return lambda: getattr(sys.modules[module], name)(*told[1:])
            for descriptor in descriptors:
                os.close(descriptor)
        control.sendall(str(answer).encode())


def _run(work: Callable[[], object]) -> NoReturn:
    """Run it to its end and end with it; its modules are left as they are, for else all the memory they share would be copied."""
    code: object = 1
    try:
        code = work() or 0
    except Exception:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # type: ignore[arg-type]  # the function says what it ends with


if __name__ == "__main__":
    work = _serve(socket.socket(fileno=int(sys.argv[1])))
    if work is not None:
        _run(work)
