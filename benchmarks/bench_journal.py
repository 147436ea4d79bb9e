"""What does a journal cost, in a file and in PostgreSQL?

Workload: requests planned, marked `sending`, `accepted` and `final`, 64 at a time as a batch sends them, on a file and on a
database of its own on this machine, in turns; both wait for the disk as they are told to. Requests a second of wall time, CPU of
this process in microseconds a request (all threads), and for PostgreSQL bytes of write-ahead log and on the disk. The server
shares the machine, so its rate is a lower bound. Then `batch plan`: rows a minute.

    python -m benchmarks.bench_journal [--full]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import anyio

from neuralbox._journal import PlannedRequest, open_journal
from neuralbox._journal.reading import plan_requests
from neuralbox._journal.shared import shared_of
from tests.postgres import PostgresServer

PROMPT = "A heron takes off from a quiet harbour at dawn, in the manner of an old woodcut, number {}"
AT_ONCE = 64
SERVICE = "http://127.0.0.1"
LOGGED = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
OCCUPIED = (
    "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
    "WHERE nspname = 'neuralbox' AND relkind = 'r'"
)


def entries(count: int) -> list[PlannedRequest]:
    return [
        PlannedRequest(
            f"k{at:08d}", {"kind": "video", "model": "kling-v2.1", "prompt": PROMPT.format(at), "duration": 5}
        )
        for at in range(count)
    ]


async def go_through(place: str, count: int, offset: int) -> tuple[float, float]:
    """Lead requests from planned to final; returns wall and CPU seconds."""
    planned = entries(count)
    began, cpu = time.perf_counter(), time.process_time()
    async with await open_journal(place, account="account", service=SERVICE) as journal:
        for at in range(0, count, 256):
            await journal.plan(planned[at : at + 256])
        left = iter(range(count))

        async def send() -> None:
            for at in left:
                key = planned[at].key
                claim = {
                    "key": f"{offset}-{at}",
                    "kind": "video",
                    "model": "kling-v2.1",
                    "sent_at": 1.0,
                    "server_offset": 0.5,
                }
                if shared_of(journal) is not None:
                    claim |= {"prompt": PROMPT.format(at), "twin": "0" * 32, "options": {"duration": 5}}
                await journal.sending(key, claim, mark=b"0" * 12)
                await journal.accepted(key, id=offset + at, kind="video", model="kling-v2.1")
                said = {
                    "id": offset + at,
                    "status": "completed",
                    "result_url": f"https://cdn.example/{at}.mp4?signature={'s' * 80}",
                }
                await journal.final(
                    key, {"status": "completed", "tokens": 26, "kind": "video", "model": "kling-v2.1", "said": said}
                )

        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(send)
    return time.perf_counter() - began, time.process_time() - cpu


def measure(server: PostgresServer, count: int, rounds: int) -> dict[str, float]:
    """Measure both in turns, in a database of its own of this server."""
    found: dict[str, list[float]] = {}
    database = server.new_database()

    def said(query: str) -> float:
        ((value,),) = server.execute(query, database=database)
        return float(value)

    with tempfile.TemporaryDirectory(dir=".") as folder:
        plan_requests(server.url("warm", database=database), [], service=SERVICE, now=0.0)
        for number in range(rounds):
            for name, place in (
                ("file", str(Path(folder) / f"{number}.sqlite")),
                ("postgres", server.url(f"run-{number}", database=database)),
            ):
                log = said(LOGGED)
                wall, cpu = anyio.run(go_through, place, count, number * 10 * count)
                found.setdefault(f"{name}, requests/s", []).append(count / wall)
                found.setdefault(f"{name}, CPU us/request", []).append(cpu / count * 1e6)
                if name == "postgres":
                    found.setdefault("postgres, log bytes/request", []).append((said(LOGGED) - log) / count)
        found["postgres, disk bytes/request"] = [said(OCCUPIED) / (count * rounds)]
        began = time.perf_counter()
        plan_requests(server.url("planned", database=database), entries(count), service=SERVICE, now=0.0)
        found["plan, rows/minute"] = [count / (time.perf_counter() - began) * 60]
    return {name: round(median(values), 1) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    full = parser.parse_args().full
    with PostgresServer(fsync=True) as server:
        print(json.dumps(measure(server, 50_000 if full else 2_000, 3 if full else 1), indent=2))


if __name__ == "__main__":
    main()
