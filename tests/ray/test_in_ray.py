"""A pipeline of Ray Data from Parquet to Parquet whose actors are killed, in an environment that has Ray (`.ci/run`)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from ..postgres import PostgresServer
from .cluster import run


@pytest.mark.skipif(find_spec("ray") is None, reason="ray has an environment of its own")
@pytest.mark.filterwarnings("default")  # Ray's own
def test_each_row_is_charged_once_and_has_a_result_of_its_own_whoever_is_killed(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    postgres.empty()
    result = run(tmp_path, postgres, 24, 2)
    assert result.killed  # the second may come after the last row
    assert result.errors == {}
    assert result.requested == result.charged == result.delivered == result.different == result.rows, result
    assert result.resumed_again == result.requested
