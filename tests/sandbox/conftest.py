"""A sandbox behind a real socket, a client that is not ours, and a clock that stands still until it is told."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from neuralbox.sandbox import Sandbox, serve

TLS = ssl.create_default_context()  # never used; making one for each client is what would take the time
NOON = 1_772_971_200.0  # 2026-03-08T12:00:00Z, the seeds' day


class Clock:
    """Unix seconds that only a test moves."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Api:
    """A running sandbox with a client of one account."""

    sandbox: Sandbox
    clock: Clock
    url: str
    http: httpx.Client

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> httpx.Response:
        return self.http.post(path, json=body, **options)

    def make(self, model: str, prompt: str = "A quiet harbour", **options: Any) -> dict[str, Any]:
        """Generate, and return the accepted record."""
        reply = self.post("/generate", {"model": model, "prompt": prompt, **options})
        assert reply.status_code == 200, reply.text
        record: dict[str, Any] = reply.json()
        return record

    def drain(self, into: bytearray, method: str, path: str, **options: Any) -> None:
        """Read an answer as far as it comes."""
        with self.http.stream(method, path, **options) as reply:
            for piece in reply.iter_raw():
                into += piece

    def as_key(self, key: str) -> httpx.Headers:
        return httpx.Headers({"Authorization": f"Bearer {key}"})


Start = Callable[..., Api]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start sandboxes with the given settings; all are stopped at the end of the test."""
    with ExitStack() as stack:

        def _start(**settings: Any) -> Api:
            clock = settings.setdefault("clock", Clock())
            server = stack.enter_context(serve(Sandbox(**settings)))
            client = httpx.Client(
                base_url=f"{server.url}/api/v2",
                headers={"Authorization": "Bearer nb_test"},
                trust_env=False,
                verify=TLS,
                timeout=5,
            )
            return Api(server.sandbox, clock, server.url, stack.enter_context(client))

        yield _start


@pytest.fixture
def api(start: Start) -> Api:
    """A sandbox with the settings nobody changed."""
    return start()
