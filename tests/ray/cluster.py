"""A Ray on this machine for a test: on the loopback address alone, without telemetry, with leases of seconds.

`python -m tests.ray.cluster REQUESTS KILLS` runs more requests and kills more actors than the test, and prints what came of it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from neuralbox import NeuralBox, Polling
from neuralbox.ray import _dataset, generate
from neuralbox.sandbox import Sandbox, serve

from ..postgres import PostgresServer
from .quick import QuickRows

KEY = "nb_test_in_ray"


@contextlib.contextmanager
def cluster(environment: Mapping[str, str]) -> Iterator[Any]:
    """Start Ray, whose workers inherit this process's environment; yields the module `ray`."""
    # As on a developer's Mac: no address but that of the loopback.
    ours = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # No more processes than have work: each imports Ray for seconds, and that is what a run takes.
        "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",  # of 32 that read the ends of the files
        "RAY_enable_worker_prestart": "0",
        **environment,
    }
    with mock.patch.dict(os.environ, ours), mock.patch.object(_dataset, "GenerateRows", QuickRows):
        yield from _started()


def _started() -> Iterator[Any]:
    ray = importlib.import_module("ray")
    importlib.import_module("ray.data")
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=2,
        object_store_memory=150_000_000,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level="error",
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield ray
    finally:
        ray.shutdown()


class Killer(threading.Thread):
    """Kills workers of a journal, as the kernel does that has no memory left."""

    def __init__(self, server: PostgresServer, kills: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._kills = kills
        self._dice = random.Random(5)
        self._over = threading.Event()
        self.killed: list[int] = []

    def run(self) -> None:
        while len(self.killed) < self._kills and not self._over.wait(0.1):
            with contextlib.suppress(Exception):  # there are no tables yet
                rows = self._server.execute(
                    "SELECT DISTINCT o.pid FROM neuralbox.owner o JOIN neuralbox.record r ON r.owner = o.number "
                    "WHERE r.state = 2 AND o.lease_until > clock_timestamp()"
                )
                alive = [pid for (pid,) in rows if pid not in self.killed and Path(f"/proc/{pid}").exists()]
                if alive:
                    pid = self._dice.choice(alive)
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)
                    self._over.wait(self._dice.uniform(0.5, 1.5))

    def stop(self) -> None:
        self._over.set()
        self.join()


@dataclass
class Result:
    """What came of a run."""

    requested: int
    charged: int
    delivered: int
    different: int
    rows: int
    killed: int
    seconds: float
    resumed_again: int
    errors: dict[str, int] = field(default_factory=dict)


def run(
    folder: Path, server: PostgresServer, requests: int, kills: int, *, speed: float = 100.0, in_flight: int = 40
) -> Result:
    """Read requests from Parquet, have them generated while actors are killed, write Parquet, and count."""
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    rows = [
        {
            "key": f"k{at:05d}",
            "kind": "video",
            "model": "kling-v2.1",
            "prompt": f"scene {at // 2}",
            "title": f"No. {at}",
        }
        for at in range(requests)
    ]
    (folder / "in").mkdir()
    piece = max(1, requests // 10)
    for first in range(0, requests, piece):
        table = pyarrow.Table.from_pylist(rows[first : first + piece])
        parquet.write_table(table, folder / "in" / f"{first:05d}.parquet")
    sandbox = Sandbox(speed=speed, faults={"drop-after-accept": 0.05}, seed=7)
    with serve(sandbox) as service:
        environment = {
            "NEURALBOX_API_KEY": KEY,
            "NEURALBOX_BASE_URL": service.url,
            "NEURALBOX_JOURNAL": server.url("unused"),
        }
        killer = Killer(server, kills)
        began = time.monotonic()
        with cluster(environment) as ray:
            killer.start()

            def generated(workers: int | tuple[int, int]) -> Any:
                return generate(
                    ray.data.read_parquet(str(folder / "in")),
                    journal="#in-ray",
                    workers=workers,
                    in_flight=in_flight,
                    keep=["title"],
                    wait_timeout=None,
                    client={"polling": Polling(min_interval=0.05, max_interval=0.5)},
                )

            generated((2, 3)).write_parquet(str(folder / "out"))
            seconds = time.monotonic() - began
            killer.stop()
            again = generated(1).take_all()  # the same requests once more
        with NeuralBox(api_key=KEY, base_url=service.url) as nb:
            charged = sum(1 for _ in nb.history.list(page_size=100))
    out = parquet.read_table(folder / "out").to_pylist()
    ids = {row["key"]: row["id"] for row in out if row["ok"]}
    assert all(row["title"] == f"No. {int(row['key'][1:])}" for row in out)
    return Result(
        requested=requests,
        charged=charged,
        delivered=len(ids),
        different=len(set(ids.values())),
        rows=len(out),
        killed=len(killer.killed),
        seconds=round(seconds, 1),
        resumed_again=sum(row["resumed"] for row in again),
        errors=dict(Counter(f"{row['error_type']}: {row['error_message']}" for row in out if not row["ok"])),
    )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name, PostgresServer() as postgres:
        result = run(Path(name), postgres, int(sys.argv[1]), int(sys.argv[2]), speed=20.0, in_flight=100)
        print(json.dumps(vars(result)))  # noqa: T201 - a person looks at it
