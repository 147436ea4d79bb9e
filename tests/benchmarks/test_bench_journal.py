"""The journal's figures can be measured, and are not far from what the guide says."""

from __future__ import annotations

import pytest

from benchmarks.bench_journal import measure

from ..postgres import PostgresServer

pytestmark = pytest.mark.uncovered


def test_a_journal_in_a_database_costs_what_the_guide_says(postgres: PostgresServer) -> None:
    found = measure(postgres, 600, 1)
    assert found["postgres, log bytes/request"] < 9_000  # a young database logs whole pages
    assert found["postgres, disk bytes/request"] < 3_000
    assert found["plan, rows/minute"] > 60_000
