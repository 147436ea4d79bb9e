"""Callbacks of either colour: called once, with what they are given, and what they raise goes through."""

from __future__ import annotations

import anyio
import pytest

from neuralbox._concurrency.callbacks import call_either


@pytest.mark.anyio
async def test_a_plain_and_an_async_function_are_called_alike() -> None:
    calls: list[tuple[str, int]] = []

    def plain(word: str, number: int) -> int:
        calls.append((word, number))
        return number

    async def waiting(word: str, number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return plain(word, number)

    assert [await call_either(plain, "a", 1), await call_either(waiting, "b", 2)] == [1, 2]
    assert calls == [("a", 1), ("b", 2)]


@pytest.mark.anyio
async def test_what_it_raises_is_the_callers() -> None:
    async def failing() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await call_either(failing)
