"""The recipes for Airflow and Prefect, run by the schedulers themselves against a sandbox.

Each is skipped where its package is not installed: they are heavy, so `.ci/run` has an environment for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from neuralbox.sandbox import Sandbox, Server, serve

from .programs import run

PRICE = 26

AIRFLOW_DAG = """
import pendulum
from airflow.sdk import DAG
from airflow_video import VideoOperator

with DAG("videos", schedule=None, start_date=pendulum.datetime(2026, 1, 1)) as dag:
    VideoOperator(
        task_id="trailer", model="kling-v2.1", prompt="A paper boat", directory={directory!r}, journal={journal!r}
    )
"""
PREFECT_RUN = """
import asyncio, sys
from prefect.testing.utilities import prefect_test_harness
from prefect_videos import trailers

with prefect_test_harness():
    for path in asyncio.run(trailers(["A paper boat", "A kite"], sys.argv[1])):
        print(path)
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Sandbox(speed=2_000)) as served:
        yield served


@pytest.mark.skipif(find_spec("airflow") is None, reason="airflow has an environment of its own")
def test_airflow_defers_until_the_video_is_there_and_pays_once(server: Server, tmp_path: Path) -> None:
    dags, out = tmp_path / "dags", tmp_path / "out"
    dags.mkdir()
    (dags / "videos.py").write_text(AIRFLOW_DAG.format(directory=f"{out}/", journal=str(tmp_path / "jobs.sqlite")))
    airflow = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
    run(server, tmp_path, "-m", "airflow", "db", "migrate", more=airflow)
    run(server, tmp_path, "-m", "airflow", "dags", "test", "videos", more=airflow)
    assert server.sandbox.ledger.charged == PRICE
    assert [path.suffix for path in out.iterdir()] == [".mp4"]


@pytest.mark.skipif(find_spec("prefect") is None, reason="prefect has an environment of its own")
def test_prefect_waits_for_all_in_one_task_and_pays_once_over_a_lost_answer(server: Server, tmp_path: Path) -> None:
    server.sandbox.faults.set("error-500-after-accept", 1.0, times=1)
    out = tmp_path / "out"
    out.mkdir()
    printed = run(
        server,
        tmp_path,
        "-c",
        PREFECT_RUN,
        str(out),
        more={"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    )
    assert server.sandbox.ledger.charged == 2 * PRICE
    saved = sorted(str(path) for path in out.glob("*.mp4"))
    assert len(saved) == 2
    assert [line for line in printed.splitlines() if line in saved] != []
