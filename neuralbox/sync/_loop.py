"""The one background thread in which all blocking clients of a process run their coroutines.

Started by the first blocking call, stopped at exit, made anew in a forked child. It is an `anyio.run`; work comes in
through `post`, which is safe from any thread and copies the caller's context variables along.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

import anyio

from .._errors import ConfigurationError

GRACE = 5.0
"""Seconds a coroutine gets to clean up after it was cancelled, before its caller goes on without it."""
_GOODBYE = 1.0


class Cancellable(Protocol):
    """A coroutine on its way; `cancel` is called in the loop's thread."""

    def cancel(self) -> None: ...


class Closable(Protocol):
    """What holds connections until it is closed."""

    async def aclose(self) -> None: ...


class LoopThread:
    """The loop, its thread, and what runs in it.

    Attributes:
        loop: None before the first use, after a shutdown and in a forked child.
        exiting: The interpreter is on its way out; whoever still waits (only daemon threads can) is left asleep.
        running: Coroutines on their way.
        open: What is closed at exit if nobody did.
    """

    def __init__(self) -> None:
        self.exiting = False
        self.open: WeakSet[Closable] = WeakSet()
        self._graveyard: list[object] = []
        self._begin_anew()
        # Registered when the package is imported, so that it runs after the exit hooks of the user's program.
        atexit.register(self._at_exit)
        if hasattr(os, "register_at_fork"):  # pragma: no branch - everywhere but on Windows
            os.register_at_fork(
                before=lambda: self._starting.acquire(),  # noqa: PLW0108 - the lock is another one in a child
                after_in_parent=lambda: self._starting.release(),  # noqa: PLW0108
                after_in_child=self._after_fork,
            )

    def _begin_anew(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.running: set[Cancellable] = set()
        self._thread: threading.Thread | None = None
        self._ident = -1
        self._ready = threading.Event()
        self._starting = threading.RLock()  # reentrant, for a signal handler that makes a call or forks
        self._stop: asyncio.Event | None = None

    def _after_fork(self) -> None:
        # The parent's selector and sockets are shared with us: closing the loop, or letting the collector do it,
        # would unregister them in the parent too. So the old world is kept for ever and never touched.
        self._graveyard.append((self.loop, self._thread, self.running, self.open))
        # The clients go on: what they open here is in a loop of ours, and closed at our exit. A new set, since the
        # loop's thread may have been in the middle of the old one.
        self.open = WeakSet(list(self.open))
        self._begin_anew()

    # Starting and stopping.

    def ensure_running(self) -> None:
        """Start the thread unless it runs.

        Raises:
            ConfigurationError: It cannot work here: its own thread is calling, or the interpreter is shutting down.
        """
        self.require_other_thread()
        if self.loop is None:
            self._start()

    @property
    def is_current(self) -> bool:
        """Whether this is its thread: nothing may be waited for here that the loop has to do.

        The collector comes here too: of a generator in a reference cycle it leaves the blocks, whoever entered them.
        """
        # By the thread's number and not by the running loop: gevent gives greenlets of one thread different loops.
        return threading.get_ident() == self._ident

    def require_other_thread(self) -> None:
        """Refuse to wait in the thread of the loop; `ConfigurationError`."""
        if self.is_current:
            raise ConfigurationError(
                "A blocking neuralbox call was made in the thread that would have to carry it out, and would wait for "
                "ever. Use AsyncNeuralBox there, or call from another thread."
            )

    def _start(self) -> None:
        with self._starting:
            if self.exiting:
                raise self.gone()
            if self._thread is not None and self._ready.is_set() and self.loop is None:
                self._thread.join()  # a shutdown is under way
                self._thread = None
            if self._thread is None:
                _refuse_uwsgi_without_threads()
                self._ready = threading.Event()
                thread = threading.Thread(target=self._run, name="neuralbox-sync", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # from 3.12 on, exit hooks cannot start threads
                    raise ConfigurationError(f"neuralbox cannot start its background thread: {error}.") from error
                self._thread = thread
            self._ready.wait()

    def gone(self) -> ConfigurationError:
        """Return what to raise where the loop is not there any more.

        At exit it does not return to daemon threads: like all that wait, they are left asleep, and the exit is quiet.
        """
        if not self.exiting:
            return ConfigurationError(
                "neuralbox's background thread, in which this began, is not there any more: it was shut down, or this "
                "is a forked child. Begin anew."
            )
        if threading.current_thread().daemon:  # pragma: no cover - never returns; the tests see it in a subprocess
            threading.Event().wait()
        return ConfigurationError(
            "The interpreter is shutting down, and neuralbox's background thread has ended; call earlier."
        )

    def _run(self) -> None:
        try:
            anyio.run(self._serve, backend="asyncio")
        finally:
            self.loop, self._ident = None, -1
            self._ready.set()

    async def _serve(self) -> None:
        # The context of a call that comes from inside a trio program says "trio", and anyio would believe it here. What
        # the thread says counts before what the context says.
        sniffio = sys.modules.get("sniffio")
        if sniffio is not None:  # pragma: no branch - installed with trio, and otherwise nobody can say "trio"
            sniffio.thread_local.name = "asyncio"
        self._stop = asyncio.Event()
        self._ident = threading.get_ident()
        self.loop = asyncio.get_running_loop()
        self._ready.set()
        await self._stop.wait()
        self.loop = None
        for coroutine in list(self.running):
            coroutine.cancel()
        with anyio.move_on_after(GRACE):
            # Nothing but this waits for all of them, once in a process.
            while self.running:  # noqa: ASYNC110
                await anyio.sleep(0.005)
        with anyio.move_on_after(_GOODBYE):
            for client in list(self.open):
                await client.aclose()

    def post(self, function: Callable[[], object]) -> bool:
        """Run a function in the loop soon, with a copy of this thread's context; False if there is no loop."""
        loop = self.loop
        if loop is None:
            return False
        try:
            loop.call_soon_threadsafe(function)
        except RuntimeError:  # closed since
            return False
        return True

    def shutdown(self) -> None:
        """Cancel what runs, close what is open, end the thread. The next call starts another."""
        thread, stop = self._thread, self._stop
        if thread is not None and stop is not None and self.post(stop.set):
            thread.join(GRACE + 2 * _GOODBYE)

    def _at_exit(self) -> None:
        self.exiting = True
        self.shutdown()


def _refuse_uwsgi_without_threads() -> None:
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    switches = ("enable-threads", b"enable-threads", "threads", b"threads")
    if options is not None and not any(options.get(name) for name in switches):
        raise ConfigurationError(
            "uWSGI runs without --enable-threads, so neuralbox's background thread would never run; switch it on."
        )


thread = LoopThread()
