"""Workers of one journal, its keeper among them, killed, suspended and cut off, the database killed: charged = requested = delivered = different.

Where a budget covers a part of them, no more than that is spent, and of an hour's requests no more are sent than are left.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

from benchmarks.stress_shared import SMALL, Counts, Scenario, run

from ..forks import Forks
from ..postgres import PostgresServer


def test_each_request_is_charged_once_and_delivered_as_its_own_result(forks: Forks, postgres: PostgresServer) -> None:
    def counts_of(scenario: Scenario) -> Counts:
        affords = None if scenario.affords is None else 25
        used = 0 if scenario.plan == "elite" else 20
        smaller = replace(scenario, requests=40, kills=2, lease=2.0, affords=affords, used=used, limit=100.0)
        with PostgresServer() if scenario.database_kills else nullcontext(postgres) as server:
            return run(smaller, forks, server)

    # Side by side: most of each is a wait for jobs, leases and listings.
    with ThreadPoolExecutor(len(SMALL)) as pool:
        found = [*pool.map(counts_of, SMALL)]
    for counts in found:
        assert counts.is_right, counts
        assert sum(counts.faults.values()) >= 2
