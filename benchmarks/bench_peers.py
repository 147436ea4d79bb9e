"""What does waiting for videos cost with each client's own helper, and how soon does it find out?

Workload: so many videos submitted together, taking 20 to 180 s (uniform, the same for all; no hints from the service),
waited for by each client as its README shows (`waiters`), over the lean server on loopback. Nothing is scaled: the
intervals are each client's own, and the time in which nobody does anything is cut out (`lapse`). Baseline: aiohttp
and a loop, one poll of each job every 5 s, in the same run; the clients take turns, each in a process of its own.

Units: requests per job as the server counts them, the submission included; seconds from the end of a job at the server
to its result in the caller's hand (median and 95th percentile over the jobs); client CPU per job in milliseconds
(median over the rounds; after one job that does not count, so that no import does); megabytes by which the process grew at
most; jobs lost (the helper raised, or never returned it) and duplicate (submitted more often than asked for).

    python -m benchmarks.bench_peers [--full] [--jobs 1000] [--rounds 5] [--only neuralbox,openai] [--picture peers.svg]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.clock import SharedClock
from benchmarks.lapse import Lapse
from benchmarks.measure import Row, Settings, machine, table, without_proxies
from benchmarks.picture import draw
from benchmarks.server import ROOT, Behaviour, running
from benchmarks.waiters import PEERS, Peer

BASELINE = "aiohttp by hand"
OURS = "neuralbox"
SPEED = 'neuralbox, transport="aiohttp"'
LISTING = 'neuralbox, detail="listing"'
BOUNDS = {(OURS, BASELINE): 0.65, (SPEED, BASELINE): 0.35, (OURS, "openai"): 1 / 15}
MOST = {OURS: (2.4, 2.5, 5.0), SPEED: (2.4, 2.5, 5.0), LISTING: (1.4, 2.5, 5.0)}  # requests, median, 95th percentile
JUDGED = 1_000  # jobs at which the bounds count
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run of one client came to. Per job, but for the counts.

    Attributes:
        requests: As the server counts them.
        median: Seconds until it was found out.
        p95: The same, 95th percentile.
        cpu_ms: Client CPU.
        peak_mb: Megabytes the process grew, in all.
        lost: Jobs without a result.
        duplicate: Submissions too many.
        seconds: Of the whole, idle time included.
    """

    requests: float
    median: float
    p95: float
    cpu_ms: float
    peak_mb: float
    lost: int
    duplicate: int
    seconds: float


# One client, in a process of its own.


def measured(peer: Peer, jobs: int, seed: int) -> Taken:
    """Run one client against a server of its own."""
    with TemporaryDirectory() as folder:
        clock = Path(folder, "clock")
        clock.write_bytes(bytes(8))
        return _measured(peer, jobs, seed, str(clock))


def _measured(peer: Peer, jobs: int, seed: int, clock: str) -> Taken:
    with running(Behaviour(seed=seed, lifetime=3_600.0, clock=clock)) as server:
        command = [sys.executable, "-m", "benchmarks.bench_peers", f"--child={peer.name}", f"--url={server.url}"]
        command.append(f"--clock={clock}")
        done = subprocess.run([*command, f"--jobs={jobs}"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout)
        ends = server.ends()
    first = found["warm"]  # numbers up to here are of the warm-up
    said = {number: at for number, at in found["found"].items() if int(number) > first}
    late = sorted(at - ends[int(number)] for number, at in said.items()) or [0.0]
    return Taken(
        requests=found["requests"] / jobs,
        median=median(late),
        p95=late[min(len(late) - 1, int(0.95 * len(late)))],
        cpu_ms=1_000 * found["cpu"] / jobs,
        peak_mb=found["peak"] / 2**20,
        lost=jobs - len(said),
        duplicate=len(ends) - first - jobs,
        seconds=found["seconds"],
    )


def child(peer: Peer, url: str, clock: str, jobs: int) -> None:
    """Be that process: run the client, print what it took."""
    without_proxies()
    lapse = Lapse(url, SharedClock(Path(clock)))
    lapse.start()
    found: dict[str, float] = {}

    def hear(identity: object) -> None:
        number = str(identity).removeprefix("video_")
        if number.isdecimal():
            found.setdefault(number, time.time())

    async def main() -> dict[str, object]:
        async with AsyncExitStack() as stack:
            wait = await peer.opened(url, stack)
            await wait(1, hear)
            warm = len(found)
            gc.collect()
            gc.freeze()  # imports, of which some bring more than others, are no part of what waiting costs
            before, held = lapse.ask("/_counts")["requests"], _memory("VmRSS")
            began, passed_by, cost = time.process_time(), time.monotonic(), lapse.cost
            await wait(jobs, hear)
            cpu = time.process_time() - began - (lapse.cost - cost)
            return {
                "cpu": cpu,
                "seconds": time.monotonic() - passed_by,
                "peak": max(0, _memory("VmHWM") - held),
                "requests": lapse.ask("/_counts")["requests"] - before,
                "warm": warm,
                "found": found,
                "jumps": lapse.jumps,
            }

    print(json.dumps(lapse.run(main())))


def _memory(name: str) -> int:
    """Return a figure of this process's memory in bytes (Linux; elsewhere the highest so far stands for both)."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
    line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1_024


# All of them.


def side_by_side(peers: list[Peer], jobs: int, rounds: int, seed: int) -> dict[str, list[Taken]]:
    """Let them take turns, in an order that changes from round to round."""
    found: dict[str, list[Taken]] = {peer.name: [] for peer in peers}
    rng = random.Random(seed)
    for number in range(rounds):
        turn = [peer for peer in peers if number < peer.rounds and jobs <= peer.most]
        rng.shuffle(turn)
        for peer in turn:
            found[peer.name].append(measured(peer, jobs, seed))
            taken = found[peer.name][-1]
            print(f"{jobs:,} jobs, round {number + 1}: {peer.name}: {taken}", file=sys.stderr)
    return {name: runs for name, runs in found.items() if runs}


def rows_of(found: dict[str, list[Taken]], jobs: int, *, judged: bool) -> list[Row]:
    """Say what they came to; CPU against the loop by hand, and ours against openai's, round by round."""
    rows = []
    for name, runs in found.items():
        what = f"{jobs:,} jobs, {name}"
        last = runs[-1]
        most = MOST.get(name, (None, None, None)) if judged else (None, None, None)
        rows.append(Row(f"{what}: requests", median(run.requests for run in runs), "per job", bound=most[0]))
        rows.append(Row(f"{what}: found after", median(run.median for run in runs), "s (median)", bound=most[1]))
        rows.append(Row(f"{what}: found after", median(run.p95 for run in runs), "s (95 %)", bound=most[2]))
        note = f"grew by {last.peak_mb:.1f} MB"
        cpu = [run.cpu_ms for run in runs]
        for (mine, theirs), bound in {**BOUNDS, (name, BASELINE): BOUNDS.get((name, BASELINE))}.items():
            if mine != name or theirs not in found or theirs == name:
                continue
            ratios = [a / b.cpu_ms for a, b in zip(cpu, found[theirs], strict=False)]
            rows.append(
                Row(
                    f"{what}: client",
                    median(cpu),
                    "ms CPU per job",
                    theirs,
                    median(ratios),
                    min(ratios),
                    max(ratios),
                    bound if judged else None,
                    note,
                )
            )
        if name == BASELINE:
            rows.append(Row(f"{what}: client", median(cpu), "ms CPU per job", note=note))
        astray = sum(run.lost + run.duplicate for run in runs)
        rows.append(Row(f"{what}: lost or duplicate", astray, "jobs", bound=0 if name in MOST else None))
    return rows


def markdown(found: dict[str, list[Taken]]) -> str:
    """Return the table of the README."""
    lines = [
        "| client | requests a job | found after, median and p95 | client CPU a job | memory | lost, duplicate |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        peer = PEERS[name]
        label = name if peer.package == OURS else f"{name} {peer.version}"
        requests, middle = median(run.requests for run in runs), median(run.median for run in runs)
        late, cpu = median(run.p95 for run in runs), median(run.cpu_ms for run in runs)
        peak = max(run.peak_mb for run in runs)
        lost, twice = max(run.lost for run in runs), max(run.duplicate for run in runs)
        lines.append(
            f"| {label} ({peer.how}) | {requests:,.1f} | {middle:.2f} s, {late:.2f} s | {cpu:.2f} ms | {peak:.1f} MB"
            f" | {lost}, {twice} |"
        )
    return "\n".join(lines)


def run(settings: Settings, names: Sequence[str] = tuple(PEERS)) -> list[Row]:
    """Measure the clients that are installed."""
    counts, rounds = amounts(settings)
    found = measured_all(names, counts, rounds, settings.seed)
    return [row for jobs, each in found.items() for row in rows_of(each, jobs, judged=jobs == JUDGED)]


def amounts(settings: Settings) -> tuple[list[int], int]:
    """How many jobs, and how many rounds."""
    return ([100, JUDGED], 5) if settings.full else ([5], 1)


def measured_all(names: Sequence[str], counts: list[int], rounds: int, seed: int) -> dict[int, dict[str, list[Taken]]]:
    """Measure with each number of jobs."""
    peers = [PEERS[name] for name in names if PEERS[name].installed]
    return {jobs: side_by_side(peers, jobs, rounds, seed) for jobs in counts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--full", action="store_true", help="100 and 1,000 jobs, five rounds; takes ten minutes or more"
    )
    parser.add_argument("--seed", type=int, default=1, help="of durations and orders")
    parser.add_argument("--jobs", type=int, help="only so many")
    parser.add_argument("--rounds", type=int, help="of each client, at most")
    parser.add_argument("--only", default=",".join(PEERS), help="names, or parts of them, with commas between")
    parser.add_argument("--picture", help="also draw requests against latency into this SVG")
    parser.add_argument("--json", action="store_true", help="rows as JSON, for benchmarks.run")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--clock", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(PEERS[asked.child], asked.url, asked.clock, asked.jobs)
        return
    names = [name for name in PEERS if any(part.strip() in name for part in asked.only.split(","))]
    counts, rounds = amounts(Settings(asked.full, asked.seed))
    counts = [asked.jobs] if asked.jobs else counts
    found = measured_all(names, counts, asked.rounds or rounds, asked.seed)
    if asked.picture:
        Path(asked.picture).write_text(draw(found), encoding="utf-8")
    rows = [row for jobs, each in found.items() for row in rows_of(each, jobs, judged=jobs == JUDGED)]
    if asked.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    for jobs, each in found.items():
        print(f"{jobs:,} jobs together:\n\n{markdown(each)}\n")
    print(table(rows))
    print(f"\n{datetime.now(UTC):%Y-%m-%d}, {machine()}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
