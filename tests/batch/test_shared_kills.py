"""Workers of one journal, its keeper among them, killed, suspended and cut off, the database killed: charged = requested = delivered = different."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.stress_shared import SMALL, Scenario, run


@pytest.mark.usefixtures("postgres")  # skipped where there is none
@pytest.mark.parametrize("scenario", SMALL, ids=["all differ", "four times equal", "cut off"])
def test_each_request_is_charged_once_and_delivered_as_its_own_result(scenario: Scenario) -> None:
    counts = run(replace(scenario, requests=40, kills=2, lease=2.0))
    assert counts.is_right, counts
    assert sum(counts.faults.values()) >= 2
