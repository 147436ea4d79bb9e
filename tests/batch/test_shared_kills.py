"""Workers of one journal, its keeper among them, killed, suspended and cut off, the database killed: charged = requested = delivered = different.

Where a budget covers a part of them, no more than that is spent, and of an hour's requests no more are sent than are left.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.stress_shared import SMALL, Scenario, run


@pytest.mark.usefixtures("postgres")  # skipped where there is none
@pytest.mark.parametrize("scenario", SMALL, ids=["all differ", "four times equal", "cut off", "a budget", "an hour"])
def test_each_request_is_charged_once_and_delivered_as_its_own_result(scenario: Scenario) -> None:
    affords = None if scenario.affords is None else 25
    used = 0 if scenario.plan == "elite" else 20
    counts = run(replace(scenario, requests=40, kills=2, lease=2.0, affords=affords, used=used))
    assert counts.is_right, counts
    assert sum(counts.faults.values()) >= 2
