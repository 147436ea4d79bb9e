"""Two that change one file of ours at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from neuralbox._files import own_file

PATIENCE = 30.0


def interrupt_by(
    monkeypatch: pytest.MonkeyPatch, owner: Any, act: Callable[[], object], name: str = "write_own"
) -> threading.Thread:
    """Let another thread act when `owner` first calls the function of this name, until it is through or waits for a lock.

    Returns:
        The thread, to be joined.
    """
    stands = threading.Event()
    lock, plain = own_file.lock, getattr(owner, name)

    def run() -> None:
        try:
            act()
        finally:
            stands.set()

    other = threading.Thread(target=run)

    def seen(descriptor: int, *, wait: bool) -> None:
        if threading.current_thread() is other:
            stands.set()
        lock(descriptor, wait=wait)

    def interrupted(*arguments: Any) -> Any:
        monkeypatch.setattr(owner, name, plain)
        other.start()
        assert stands.wait(PATIENCE)
        return plain(*arguments)

    monkeypatch.setattr(own_file, "lock", seen)
    monkeypatch.setattr(owner, name, interrupted)
    return other
