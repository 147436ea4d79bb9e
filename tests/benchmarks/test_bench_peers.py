"""The comparison with the peers counts right, on a clock that skips idle time, and reaches nothing but loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from math import ceil
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import pytest

from benchmarks import bench_peers, dialects, picture
from benchmarks.bench_peers import BASELINE, OURS, Taken
from benchmarks.dialects import Made
from benchmarks.server import ROOT, Behaviour, Site
from benchmarks.waiters import PEERS

pytestmark = pytest.mark.uncovered

JOBS = 3
SEED = 4


def durations(count: int) -> list[float]:
    """What the server of a run draws, after the job that warms up."""
    rng, plan = Random(SEED), Behaviour()
    return [rng.uniform(plan.shortest, plan.longest) for _ in range(count + 1)][1:]


def test_a_loop_by_hand_sends_and_waits_what_arithmetic_says() -> None:
    taken = bench_peers.measured(PEERS[BASELINE], JOBS, SEED)
    polls = [ceil(seconds / 5) for seconds in durations(JOBS)]
    assert round(taken.requests * JOBS) == sum(polls) + JOBS
    late = sorted(5 * number - seconds for number, seconds in zip(polls, durations(JOBS), strict=True))
    assert taken.median == pytest.approx(late[1], abs=0.5)
    assert (taken.lost, taken.duplicate) == (0, 0)
    assert taken.seconds == pytest.approx(5 * max(polls), abs=2)


def test_ours_loses_nothing_over_either_engine_and_the_rows_compare_it() -> None:
    found = {
        name: [bench_peers.measured(PEERS[name], JOBS, SEED)] for name in (OURS, bench_peers.SPEED)
    } | {BASELINE: [Taken(20.0, 2.5, 4.8, 3.0, 1.0, 0, 0, 180.0)]}  # fmt: skip
    for name in (OURS, bench_peers.SPEED):
        (taken,) = found[name]
        assert (taken.lost, taken.duplicate) == (0, 0)
        assert taken.requests < 20
        assert 0 < taken.p95 < 10
    rows = bench_peers.rows_of(found, JOBS, judged=True)
    assert [row.bound for row in rows if row.ratio is not None] == [0.65, 0.35]
    assert [row.holds for row in rows if row.unit == "jobs"] == [True, True, None]
    assert f"| {OURS} (generations.wait) |" in bench_peers.markdown(found)


@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if peer.package in {"runwayml", "replicate"}])
def test_a_peer_finds_its_jobs_in_the_words_of_its_own_service(name: str) -> None:
    if not PEERS[name].installed:
        pytest.skip(f"{PEERS[name].package} is not installed")
    taken = bench_peers.measured(PEERS[name], 2, SEED)
    assert (taken.lost, taken.duplicate) == (0, 0)
    assert taken.p95 < 10


def test_nothing_but_loopback_can_be_reached(tmp_path: Path) -> None:
    (tmp_path / "clock").write_bytes(bytes(8))
    program = f"""
import pathlib, socket
from benchmarks.clock import SharedClock
from benchmarks.lapse import Lapse
from benchmarks.server import running
with running() as server:
    Lapse(server.url, SharedClock(pathlib.Path({str(tmp_path / "clock")!r}))).start()
    socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))).close()
    for reach in (
        lambda: socket.socket().connect(("192.0.2.1", 80)),
        lambda: socket.getaddrinfo("example.com", 80),
    ):
        try:
            reach()
        except RuntimeError as error:
            print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "A benchmark may not connect to 192.0.2.1.\nA benchmark may not look up 'example.com'.\n"


def test_an_answer_is_held_until_its_job_ends_or_a_minute_is_over() -> None:
    sent: list[str] = []
    for seconds, after in ((20, 20.0), (100, 60.0)):
        clock = [1_000_000.0]
        site = Site(Behaviour(shortest=seconds, longest=seconds), lambda clock=clock: clock[0])  # type: ignore[misc]
        site.reply("POST", "/v1/predictions", b"{}")
        site.hold(60.0, 1, lambda: sent.append("x"))
        assert site.next_held() == after
        clock[0] += after - 1
        site.release()
        assert not sent
        clock[0] += 1.5
        site.release()
        assert sent.pop() == "x"
        assert site.next_held() is None


def test_each_dialect_says_that_a_job_runs_and_that_it_has_ended() -> None:
    job = Made(7, 1_000_000.0, 1_000_090.0, "wan-2.1")
    for say in (dialects.neuralbox, dialects.replicate, dialects.fal_status, dialects.runway):
        running, ended = (json.dumps(say(job, ended=over, base="http://x")) for over in (False, True))
        assert running != ended
        assert "7" in ended


def test_the_picture_is_an_svg_with_every_client_in_it() -> None:
    taken = Taken(20.0, 2.5, 4.8, 3.0, 1.0, 0, 0, 180.0)
    drawn = picture.draw({100: {name: [taken] for name in PEERS}, 1_000: {OURS: [taken]}})
    root = ET.fromstring(drawn)
    words = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert f"{OURS} (1,000)" in words
    assert all(any(word.startswith(name) for word in words) for name in PEERS)
