"""What the tests of the blocking client talk to: lean servers on loopback, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.server import Behaviour, Running, running
from neuralbox.sync import NeuralBox
from neuralbox.sync._loop import thread


@pytest.fixture(scope="package")
def server() -> Iterator[Running]:
    """A server that answers at once."""
    with running(Behaviour(lifetime=300)) as started:
        yield started


@pytest.fixture(scope="package")
def silent() -> Iterator[Running]:
    """A server that takes a minute for every answer."""
    with running(Behaviour(latency=60, lifetime=300)) as started:
        yield started


@pytest.fixture(scope="package")
def dripping() -> Iterator[Running]:
    """A server whose streams never seem to end: an event every two milliseconds."""
    with running(Behaviour(pause=0.002, deltas=100_000, chunks_per_write=1, lifetime=300)) as started:
        yield started


@pytest.fixture
def nb(server: Running) -> Iterator[NeuralBox]:
    with NeuralBox(api_key="nb_x", base_url=server.url, trust_env=False) as client:
        yield client


def eventually(condition: Callable[[], bool], seconds: float = 2.0) -> bool:
    """Wait until something that another thread or process does has come about."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def nothing_runs() -> bool:
    """Whether no task of a call, an iterator or a context manager is left."""
    return not thread.running


@pytest.fixture(autouse=True)
def _leaves_no_task() -> Iterator[None]:
    yield
    assert eventually(nothing_runs), f"left behind: {thread.running}"
