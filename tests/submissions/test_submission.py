"""Submitting: what becomes of a paid job when the caller is cancelled, and of an option that was misspelt."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from neuralbox._resources.videos import Videos
from tests.helpers import STALL, make_core, reply

pytestmark = pytest.mark.anyio


async def test_a_cancelled_create_leaves_the_job_it_paid_for_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bench = make_core([reply(200, b'{"id": 18495, "status": "pending"}'), STALL])
    with caplog.at_level(logging.WARNING, logger="neuralbox"), anyio.move_on_after(0.05) as scope:
        await Videos(bench.core).create(model="kling-v2.1", prompt="planted prompt")
    assert scope.cancelled_caught
    (record,) = caplog.records
    assert "job 18495 (video kling-v2.1)" in record.getMessage()
    assert "planted" not in caplog.text


async def test_a_misspelt_option_is_named_before_anything_is_sent() -> None:
    bench = make_core([])
    misspelt: dict[str, Any] = {"tempersture": 1}
    with pytest.raises(TypeError, match=r"'tempersture'; an option .* goes through `extra_body`"):
        await Videos(bench.core).create(model="kling-v2.1", prompt="x", **misspelt)
    assert bench.sent == []
