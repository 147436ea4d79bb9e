"""Which engine a test of the transport runs on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .support import chosen


@pytest.fixture(autouse=True)
def _engine(request: pytest.FixtureRequest) -> Iterator[None]:
    callspec = getattr(request.node, "callspec", None)
    backend = "" if callspec is None else str(callspec.params.get("anyio_backend", ""))
    chosen[:] = filter(None, [backend.partition("-")[2]])
    yield
    chosen.clear()
