"""Idle time cut out: an event loop over real sockets whose clock jumps when nobody has anything to do.

A client that polls for minutes is idle for nearly all of them. Here its code, its intervals, its sockets and the CPU it
takes are the real ones. Time passes by that CPU, as if it had a core of its own whatever else the machine does (the
server's CPU takes none, and within one turn of the loop the clock stands); and when the process would sleep until its
next timer, and no answer is outstanding, the clock is put forward to that timer. That nothing is outstanding is not
guessed: the server is asked for some turns of its loop, after which all that was sent before is answered, and then the
sockets are looked at once more. The server's jobs go by the same clock (`clock`).

The clocks of the `time` module are replaced for the whole process, so this runs in one of its own (`start` before the
clients are imported). What asking the server costs is counted in `Lapse.cost`, to be taken off. The same process is
kept from reaching anything but loopback.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import sys
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from benchmarks.clock import SharedClock

T = TypeVar("T")


class Lapse:
    """The clock, and the line to the server.

    Args:
        url: The server's.
        clock: What its jobs go by.

    Attributes:
        passed: Seconds passed over.
        jumps: How often the server was asked whether they may be.
        cost: CPU seconds that took.
    """

    def __init__(self, url: str, clock: SharedClock) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.passed = 0.0
        self.jumps = 0
        self.cost = 0.0
        self._clock = clock
        self._begun, self._cpu = time.time(), time.process_time()
        self._elapsed = 0.0
        self._line = socket.create_connection((host, int(port)))
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        """Replace the clocks, and refuse every address that is not on this machine."""
        monotonic, unix, counter = time.monotonic(), self._begun, time.perf_counter()
        time.monotonic = lambda: monotonic + self._elapsed
        time.time = lambda: unix + self._elapsed
        time.perf_counter = lambda: counter + self._elapsed
        self.tick()
        sys.addaudithook(_only_loopback)

    def tick(self) -> None:
        """Let the clocks say what it is by now; called at each turn of the loop."""
        self._elapsed = time.process_time() - self._cpu - self.cost + self.passed
        self._clock.set(self._begun + self._elapsed)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a program on a loop of this kind."""
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector(self))) as runner:
            return runner.run(main)

    def settle(self) -> float | None:
        """Wait until all that was sent has its answer; return the seconds until the server sends by itself."""
        began = time.process_time()
        self.jumps += 1
        after: float | None = self.ask("/_turn")["next"]
        self.cost += time.process_time() - began
        return after

    def jump(self, seconds: float) -> None:
        """Put the clock forward."""
        self.passed += seconds
        self.tick()

    def ask(self, path: str) -> Any:
        self._line.sendall(f"GET {path} HTTP/1.1\r\nHost: loopback\r\n\r\n".encode())
        said = b""
        while not said.endswith(b"}"):  # small, and always an object
            said += self._line.recv(4096)
        return json.loads(said.partition(b"\r\n\r\n")[2])


class _Selector(selectors.DefaultSelector):
    """The system's selector, which does not sleep until a timer but jumps to it."""

    def __init__(self, lapse: Lapse) -> None:
        super().__init__()
        self._lapse = lapse

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._lapse.tick()
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        after = self._lapse.settle()
        ready = super().select(0)
        if ready:
            return ready
        times = [each for each in (timeout, after) if each is not None]
        if not times:  # only a thread can wake it now
            return super().select(None)
        self._lapse.jump(min(times) + 1e-6)
        if after is not None:
            self._lapse.settle()  # it sends what is due by now
        return super().select(0)


def _only_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1"}:
            raise RuntimeError(f"A benchmark may not connect to {address[0]}.")
    elif event == "socket.getaddrinfo" and arguments[0] not in {"127.0.0.1", "::1", b"127.0.0.1", None}:
        raise RuntimeError(f"A benchmark may not look up {arguments[0]!r}.")
