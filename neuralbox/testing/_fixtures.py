"""The pytest side of `neuralbox.testing`: the fixtures, and the mark that carries a sandbox's settings.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import respx

from .._api import vocabulary as words
from ._router import mock_router
from ._running import API_KEY, RunningSandbox, in_memory, served
from ._time import VirtualTime, using


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "neuralbox(**settings): settings of the test's neuralbox.sandbox.Sandbox")


@pytest.fixture
def neuralbox_in_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    """Run a sandbox in this process, in virtual time."""
    with in_memory(**_settings(request)) as running:
        _point_at(running.url, monkeypatch)
        yield running


@pytest.fixture
def neuralbox_sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    """Run a sandbox on a free port of this machine, in fast time."""
    with served(**_settings(request)) as running:
        _point_at(running.url, monkeypatch)
        yield running


@pytest.fixture
def neuralbox_mock(monkeypatch: pytest.MonkeyPatch) -> Iterator[respx.MockRouter]:
    """Give a respx router with a named route for each documented endpoint, in virtual time."""
    _point_at(words.BASE_URL, monkeypatch)
    with mock_router() as router, using(VirtualTime()):
        yield router


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments of the test's marks; the nearest to the test wins."""
    marks = [*request.node.iter_markers("neuralbox")]
    nameless = [value for mark in marks for value in mark.args]
    if nameless:
        raise ValueError(
            f"The mark `neuralbox` takes settings by name, as `neuralbox(plan='vip')`; not {nameless[0]!r}."
        )
    return {name: value for mark in reversed(marks) for name, value in mark.kwargs.items()}


def _point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients that are made without arguments find this address, past any proxy of this machine."""
    for service in ("NEURALBOX", "GEMINIGEN"):
        monkeypatch.setenv(f"{service}_API_KEY", API_KEY)
        monkeypatch.setenv(f"{service}_BASE_URL", url)
    past = ",".join(filter(None, [os.environ.get("NO_PROXY"), os.environ.get("no_proxy"), "127.0.0.1"]))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, past)
