"""SIGKILL at random moments: whatever a mark promised is there afterwards, and the journal opens at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuralbox._journal import read_records, read_summary

ORDER = {"planned": 0, "sending": 1, "accepted": 2, "final": 3}
KILLS = int(os.environ.get("NEURALBOX_TEST_KILLS", "10"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks")
def test_every_promise_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    promised = seen = 0
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.journal.killed", str(path), "7"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None
        for number in range(KILLS):
            killer.stdin.write("\n")
            killer.stdin.flush()
            assert killer.stdout.readline().strip() == str(number)
            found = {record.key: record for record in read_records(path, after=seen)}
            seen = max([seen, *(record.position for record in found.values())])
            promises = json.loads(Path(f"{path}.promises").read_text())
            for key, state, generation in promises:
                record = found[key]
                assert record.request == {"prompt": key * 20}
                if int(key.rpartition("-")[2]) % 5 != 4:  # these are taken back, which is no promise
                    assert ORDER[record.state] >= ORDER[state], key
                if state == "accepted":
                    assert record.id == generation
                if record.state == "sending":
                    assert record.claim == {"prompt": key * 20, "sent_at": 1.0}
            promised += len(promises)
        killer.stdin.close()
    assert promised > KILLS
    summary = read_summary(path)
    assert (summary.total, summary.owner) == (seen, None)
