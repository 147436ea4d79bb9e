"""A sandbox that runs: how a program reaches it, what goes wrong in it, and assertions on its ledger.

Two ways to run one: `in_memory`, in virtual time, and `served` on a socket, in fast time. Both give a
`RunningSandbox`. An assertion that fails says what the ledger shows instead.
"""

from __future__ import annotations

import sys
import time as real_time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import httpx

import neuralbox

from .._api import vocabulary as words
from .._client import AsyncNeuralBox
from ..sandbox import Faults, Sandbox, serve
from ..sandbox._faults import NAMES, SECONDS
from ..sandbox._ledger import Ledger
from ..sandbox._records import Charge, StoredGeneration
from ._memory import MemoryTransport
from ._time import FastTime, VirtualTime, using

FAULTS: Final[Mapping[str, str]] = {name: does for name, (_, does) in NAMES.items()}
"""The faults by name, and what each does."""
API_KEY: Final = "nb_test_key"
_hosts: Final[set[str]] = set()
"""Of the sandboxes that run in this process's memory; one inside another's block has a name of its own."""
# A server notices the end of a connection a moment after the client; so does the loop of a blocking client.
_MOMENT: Final = 2.0


class RunningSandbox:
    """A sandbox that a program under test talks to; made by `in_memory`, `served` and the fixtures.

    Attributes:
        url: Its base URL.
        api_key: A key it accepts; any other that starts with `nb_` has an account of its own.
        sandbox: The sandbox.
        time: The time it and the clients made meanwhile live in.
    """

    def __init__(
        self, url: str, sandbox: Sandbox, time: VirtualTime | FastTime, connections: Callable[[], int]
    ) -> None:
        self.url: str = url
        self.api_key: str = API_KEY
        self.sandbox: Sandbox = sandbox
        self.time: VirtualTime | FastTime = time
        self._connections = connections
        self._stack = ExitStack()

    @property
    def ledger(self) -> Ledger:
        """Return its ledger: generations, charges, requests by route, what was received."""
        return self.sandbox.ledger

    @property
    def faults(self) -> Faults:
        """Return what goes wrong; `fault` is the short way."""
        return self.sandbox.faults

    # Clients, for those who pass one to their program.

    def client(self, **options: Any) -> AsyncNeuralBox:
        """Make a client of this sandbox, in its time; `options` are those of `AsyncNeuralBox`."""
        with using(self.time):  # another sandbox may run inside this one's block
            return AsyncNeuralBox(**{"api_key": self.api_key, "base_url": self.url, **options})

    def sync_client(self, **options: Any) -> neuralbox.NeuralBox:
        """Make a blocking client of this sandbox, in its time and closed with it; `options` are those of `NeuralBox`."""
        with using(self.time):
            made = neuralbox.NeuralBox(**{"api_key": self.api_key, "base_url": self.url, **options})
        self._stack.callback(made.close)
        return made

    def close(self) -> None:
        """Close the blocking clients that were made here."""
        self._stack.close()

    # What goes wrong.

    def fault(self, name: str, value: float = 1.0, *, times: int | None = None, on: str | None = None) -> None:
        """Turn a fault on; it takes effect with the next request.

        Args:
            name: One of `FAULTS`.
            value: Probability, or seconds for a fault that is a time; 0 turns it off.
            times: Strike at most so often; None has no bound.
            on: Where it strikes, as `POST /generate` or `/user/*` below `/api/v2`, or `POST /video-gen/*` below GeminiGen's
                `/uapi/v1`; None is where it usually does.

        Raises:
            ValueError: There is no such fault, the sandbox has no endpoint there, the value is out of range, or it is a
                time that passes for real, which virtual time cannot wait for.
        """
        if name in SECONDS - {"listing-lag"} and isinstance(self.time, VirtualTime):
            raise ValueError(f"{name} takes real time, and here time is virtual: use `neuralbox_sandbox` for it.")
        self.faults.set(name if on is None else f"{name}@{on}", value, times=times)

    # What the ledger must show.

    def generations(self, *, prompt: str | None = None, model: str | None = None) -> list[StoredGeneration]:
        """Return what was accepted, oldest first: all, or those with this prompt and this model."""
        return [
            record
            for record in self.ledger.generations.values()
            if prompt in (None, record.prompt) and model in (None, record.model)
        ]

    def charged_once(self, *, prompt: str | None = None, model: str | None = None) -> Charge:
        """Assert that exactly one such generation was accepted, and charged exactly once.

        Returns:
            The charge.

        Raises:
            AssertionError: It was never accepted, accepted more than once, is not charged (yet), or charged twice.
        """
        found = self.generations(prompt=prompt, model=model)
        charges = [charge for charge in self.ledger.charges if charge.generation in {record.id for record in found}]
        if len(found) != 1 or len(charges) != 1:
            wanted = ", ".join(f"{name}={value!r}" for name, value in (("prompt", prompt), ("model", model)) if value)
            raise AssertionError(
                f"Expected one generation ({wanted or 'any'}), charged once; accepted {len(found)}, charged "
                f"{len(charges)} times. {self._describe_ledger()}"
            )
        return charges[0]

    def assert_charged(self, tokens: int) -> None:
        """Assert how many tokens were withdrawn so far, all accounts together.

        Raises:
            AssertionError: It was another number.
        """
        if self.ledger.charged != tokens:
            raise AssertionError(
                f"Expected {tokens} tokens charged, not {self.ledger.charged}. {self._describe_ledger()}"
            )

    def assert_nothing_left_open(self) -> None:
        """Assert that the program finished what it began, once it has closed its clients.

        No generation is pending, no connection to the sandbox is open, and no blocking call runs on. What ends a
        moment later, as connections do, gets that moment.

        Raises:
            AssertionError: Something is open.
        """
        pending = [record.id for record in self.ledger.generations.values() if record.status == words.PENDING]
        if pending:
            raise AssertionError(f"{len(pending)} generations are pending: {pending}. {self._describe_ledger()}")
        end = real_time.monotonic() + _MOMENT
        while (left := self._left_open()) and real_time.monotonic() < end:
            real_time.sleep(0.002)
        if left:
            raise AssertionError(f"Left open: {left}. Is every client closed?")

    def _left_open(self) -> str:
        found = {"connections": self._connections(), "blocking calls": _blocking_calls()}
        return ", ".join(f"{count} {what}" for what, count in found.items() if count)

    def _describe_ledger(self) -> str:
        """Return what the ledger shows, for a failed assertion."""
        charged = {charge.generation: 0 for charge in self.ledger.charges}
        for charge in self.ledger.charges:
            charged[charge.generation] += charge.tokens
        lines = [
            f"  {record.id} {record.model} {record.prompt!r}: {record.status}, {charged.get(record.id, 0)} tokens"
            for record in self.generations()
        ]
        return "\n".join(["The ledger:", *(lines or ["  nothing was accepted"])])


def _blocking_calls() -> int:
    """Return how many calls of blocking clients are under way; 0 where nobody made one."""
    loop = sys.modules.get("neuralbox.sync._loop")
    return 0 if loop is None else len(loop.thread.running)


@contextmanager
def in_memory(**settings: Any) -> Iterator[RunningSandbox]:
    """Run a sandbox in this process while the block runs, in virtual time.

    Clients made inside the block, with its URL, reach it through httpx's stock transport, which is replaced as mocks
    do it; requests to other hosts go their way. In a process one runs at a time, or one inside another: not several in
    threads beside each other.

    Args:
        settings: Those of `Sandbox`.

    Raises:
        ValueError: A setting that makes no sense, or that takes real time.
    """
    for name in ("service_seconds", "stream_delay"):
        if settings.get(name):
            raise ValueError(f"{name} takes real time, and here time is virtual: use `served` for it.")
    time = VirtualTime()
    sandbox = Sandbox(**{"clock": time.now, **settings})
    transport, stock = MemoryTransport(sandbox, time), httpx.AsyncHTTPTransport.handle_async_request
    names = ("neuralbox.test", *(f"neuralbox-{number}.test" for number in range(2, len(_hosts) + 2)))
    host = next(name for name in names if name not in _hosts)

    async def handle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.host == host:
            return await transport.handle_async_request(request)
        return await stock(self, request)

    running = RunningSandbox(f"http://{host}", sandbox, time, lambda: transport.open)
    _hosts.add(host)
    httpx.AsyncHTTPTransport.handle_async_request = handle  # type: ignore[method-assign]  # what respx does too
    try:
        with using(time):
            yield running
    finally:
        httpx.AsyncHTTPTransport.handle_async_request = stock  # type: ignore[method-assign]
        _hosts.remove(host)
        running.close()
        sandbox.close()


@contextmanager
def served(*, pace: float = 200.0, **settings: Any) -> Iterator[RunningSandbox]:
    """Serve a sandbox on a free port of this machine while the block runs, in fast time.

    Args:
        pace: How many seconds pass in one, for the sandbox and for the clients made inside the block. A wait's
            `timeout=600` is 3 real seconds at 200. Limits of HTTP exchanges stay real.
        settings: Those of `Sandbox`.

    Raises:
        ValueError: A setting that makes no sense.
    """
    time = FastTime(pace)
    with serve(Sandbox(**{"clock": time.now, **settings})) as server, using(time):
        running = RunningSandbox(server.url, server.sandbox, time, lambda: server.connections)
        try:
            yield running
        finally:
            running.close()
