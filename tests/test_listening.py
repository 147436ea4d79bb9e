"""What the servers of this package share: where they may listen, and how they end."""

from __future__ import annotations

import signal
import threading

import pytest
import uvicorn

from neuralbox._listening import StoppableServer, is_loopback


async def nothing(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.0.2.1", False),
        ("::", False),
        ("box.test", False),
        ("", False),
    ],
)
def test_only_this_machine_reaches_a_loopback_address(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_it_stops_on_a_signal_and_gives_the_handlers_back() -> None:
    server = StoppableServer(uvicorn.Config(nothing))
    before = signal.getsignal(signal.SIGTERM)
    with server.capture_signals():
        signal.raise_signal(signal.SIGTERM)
        assert server.should_exit
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_it_leaves_the_signals_alone() -> None:
    """Only the main thread may set a handler; any other got `ValueError`."""
    server = StoppableServer(uvicorn.Config(nothing))
    before, seen = signal.getsignal(signal.SIGTERM), list[object]()

    def serve() -> None:
        with server.capture_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert seen == [before]
