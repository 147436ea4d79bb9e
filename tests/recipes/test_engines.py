"""The recipes for engines that give work to many processes: each is killed in the middle, and pays once.

They are skipped where Dask and Temporal are not installed: `.ci/run` has an environment for them. Temporal's server is a
program of its own, so its activity is run by what Temporal has for tests of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from neuralbox import Polling
from neuralbox.sandbox import Sandbox, Server, serve

from .programs import KEY, RECIPES, run

if TYPE_CHECKING:  # its driver is in the environment of the engines only, and the others collect this file too
    from ..postgres import PostgresServer

pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="the engines have an environment of their own")

COUNT, PATIENCE = 12, 110.0

POLLING = (600.0, 0.1, 0.5, "auto")
"""Defaults of `neuralbox.Polling` for jobs that take a second."""
# What the recipes leave to their defaults takes a minute for leases, and ten seconds and more to look for lost answers.
QUICK = f"""
from neuralbox import Polling
from neuralbox._journal.postgres import membership
from neuralbox._submissions import matching, registry
membership.LEASE = 2.0
matching.SETTLE = 1.0
registry.SettlePolicy.__new__.__defaults__ = (1.0, 1.0, 3.0)
Polling.__init__.__defaults__ = {POLLING!r}
"""
POOL = """
import quick, sys
from process_pool import run
if __name__ == "__main__":
    print(run(sys.argv[1], 2))
"""
DASK = """
import json, sys
import dask_videos
from distributed import Client, LocalCluster

plain = dask_videos.generate

def generate(share, journal):
    import quick
    return plain(share, journal)

if __name__ == "__main__":
    dask_videos.generate = generate
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        with Client(cluster) as client:
            for found in dask_videos.run(client, json.load(sys.stdin), sys.argv[1], size=3):
                print(json.dumps(found))
"""


@pytest.fixture
def server(postgres: PostgresServer) -> Iterator[Server]:
    postgres.empty()
    with serve(Sandbox(speed=60)) as served:
        yield served


def requests() -> list[dict[str, Any]]:
    return [
        {"kind": "video", "model": "kling-v2.1", "prompt": f"scene {at}", "key": f"k{at:03d}"} for at in range(COUNT)
    ]


class Killer(threading.Thread):
    """Kills one process that waits for jobs of a journal, once."""

    def __init__(self, postgres: PostgresServer) -> None:
        super().__init__(daemon=True)
        self._postgres = postgres
        self._over = threading.Event()
        self.killed: list[int] = []

    def run(self) -> None:
        while not self.killed and not self._over.wait(0.05):
            with contextlib.suppress(Exception):  # there are no tables yet
                rows = self._postgres.execute(
                    "SELECT o.pid FROM neuralbox.owner o JOIN neuralbox.record r ON r.owner = o.number WHERE r.state = 2"
                )
                for (pid,) in rows[:1]:
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def test_a_pool_of_processes_pays_once_although_one_is_killed(
    server: Server, postgres: PostgresServer, tmp_path: Path
) -> None:
    journal = postgres.url("pool")
    (tmp_path / "requests.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in requests()))
    (tmp_path / "quick.py").write_text(QUICK)
    (tmp_path / "program.py").write_text(POOL)  # each process of the pool reads it
    run(server, tmp_path, "-m", "neuralbox", "batch", "plan", "requests.jsonl", "--journal", journal, patience=PATIENCE)
    with Killer(postgres) as killer:
        run(server, tmp_path, "program.py", journal, patience=PATIENCE)
    assert len(killer.killed) == 1
    assert len(server.sandbox.ledger.charges) == COUNT
    assert len([*(tmp_path / "out").glob("*.mp4")]) == COUNT
    assert postgres.execute("SELECT count(*), count(DISTINCT gen_id) FROM neuralbox.record WHERE state = 4") == [
        (COUNT, COUNT)
    ]


def test_dask_pays_once_although_a_worker_is_killed(server: Server, postgres: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(QUICK)
    (tmp_path / "program.py").write_text(DASK)
    with Killer(postgres) as killer:
        told = run(
            server, tmp_path, "program.py", postgres.url("dask"), patience=PATIENCE, stdin=json.dumps(requests())
        )
    found = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert len(killer.killed) == 1
    assert sorted(one["key"] for one in found) == [one["key"] for one in requests()]
    assert [one["error"] for one in found if not one["ok"]] == []
    assert len({one["id"] for one in found}) == len(server.sandbox.ledger.charges) == COUNT


def test_a_temporal_activity_that_is_tried_again_buys_nothing_again(
    server: Server, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    monkeypatch.setenv("NEURALBOX_API_KEY", KEY)
    monkeypatch.setenv("NEURALBOX_BASE_URL", server.url)
    monkeypatch.setenv("NEURALBOX_JOURNAL", postgres.url("temporal"))
    monkeypatch.setattr(Polling.__init__, "__defaults__", POLLING)
    testing: Any = importlib.import_module("temporalio.testing")
    video: Any = importlib.import_module("temporal_video")

    async def tries() -> list[str]:
        first = testing.ActivityEnvironment()
        bought = asyncio.Event()
        first.on_heartbeat = lambda *_: bought.set()
        trying = asyncio.ensure_future(first.run(video.buy_video, "A paper boat"))
        await bought.wait()  # and then its worker goes away
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
        return [await testing.ActivityEnvironment().run(video.buy_video, "A paper boat") for _ in range(2)]

    assert len(set(asyncio.run(tries()))) == 1
    assert len(server.sandbox.ledger.charges) == 1
