"""A signal wakes all who wait when it is rung, and nobody who comes later."""

from __future__ import annotations

import anyio
import pytest

from neuralbox._concurrency.broadcast import Broadcast

pytestmark = pytest.mark.anyio


async def test_all_who_wait_are_woken_and_a_ring_before_is_not_remembered() -> None:
    signal, woken = Broadcast(), 0
    signal.ring()

    async def wait() -> None:
        nonlocal woken
        await signal.wait()
        woken += 1

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert woken == 0
        assert signal.next is signal.next
        signal.ring()
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert woken == 2
        assert not signal.next.is_set()
