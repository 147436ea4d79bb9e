"""One line brings the fixtures; the other runs the async tests on both event loops."""

from __future__ import annotations

import pytest

pytest_plugins = ["neuralbox.testing"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops; a program of one needs only its own."""
    return str(request.param)
