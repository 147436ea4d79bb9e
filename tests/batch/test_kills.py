"""A batch killed again and again (`SIGKILL`) and continued: every request charged once, every result delivered."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections import Counter
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest

from neuralbox._client import AsyncNeuralBox
from neuralbox.sandbox import Sandbox, serve

from ..forks import Forks
from .killed import requests, run, work

pytestmark = pytest.mark.uncovered

KILLS = int(os.environ.get("NEURALBOX_TEST_KILLS", "3"))
COUNT = max(120, 10 * KILLS)


async def charges(url: str, key: str) -> Counter[str | None]:
    """How often each prompt was charged."""
    async with AsyncNeuralBox(api_key=key, base_url=url) as nb:
        return Counter([item.prompt async for item in nb.history.list(page_size=100)])


def test_a_batch_that_is_killed_again_and_again_is_continued(tmp_path: Path, forks: Forks) -> None:
    dice, key, path = random.Random(7), f"nb_test_{uuid.uuid4().hex}", tmp_path / "run.sqlite"
    with serve(Sandbox(speed=2_000)) as server:
        seen: set[str] = set()
        for _ in range(KILLS):
            child = forks.start(work, server.url, key, str(path), COUNT, stdout=PIPE)
            assert child.stdout is not None
            with child.stdout:
                for line, _ in zip(child.stdout, range(len(seen) + dice.randrange(1, 20)), strict=False):
                    seen.add(line.strip())
                time.sleep(dice.uniform(0.0, 0.03))  # anywhere in its work, not only where it has just said something
                child.kill()
            child.wait()
        assert anyio.run(run, server.url, key, str(path), COUNT) == []
        assert anyio.run(charges, server.url, key) == Counter(one["prompt"] for one in requests(COUNT))
