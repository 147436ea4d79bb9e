"""The benchmarks run, count right and leave nothing behind. What they time is nobody's business here."""

from __future__ import annotations

import asyncio
import json
import math
import runpy
import subprocess
import sys
from dataclasses import asdict

import httpx
import pytest

from benchmarks import bench_get, bench_import, bench_memory, bench_sse, measure, run, server
from benchmarks.measure import Row, Settings

pytestmark = pytest.mark.uncovered

SMALL = Settings(full=False, seed=1)


def in_order(rows: list[Row]) -> bool:
    """Whether the figures are figures, and every ratio lies within its range."""
    return all(
        math.isfinite(row.value) and (row.ratio is None or row.lowest <= row.ratio <= row.highest)  # type: ignore[operator]
        for row in rows
    )


@pytest.mark.parametrize("benchmark_module", [bench_get, bench_sse], ids=["get", "sse"])
def test_a_benchmark_on_a_socket_compares_with_its_baseline(benchmark_module: object) -> None:
    rows: list[Row] = benchmark_module.run(SMALL)  # type: ignore[attr-defined]
    assert in_order(rows)
    assert any(row.bound is not None and row.against.startswith("httpx") for row in rows)
    assert all(row.value > 0 for row in rows)


def test_many_waits_all_end_and_leave_no_task() -> None:
    held = bench_memory.measured(50, traced=True)
    assert (held.count, held.completed, held.tasks_left) == (50, 50, 0)
    assert held.polls >= 3 * 50, "each was polled twice, and once more to learn that it is done"
    assert held.waiting > 0
    assert held.left < held.polled


def test_a_long_walk_keeps_less_of_its_ids_than_a_set_does() -> None:
    kept, whole = bench_memory.rows_of_ids(60_000)
    assert in_order([kept, whole])
    assert kept.holds
    assert kept.value < whole.value < 200


def test_the_import_benchmark_finds_no_package_of_an_extra() -> None:
    rows = bench_import.run(SMALL)
    assert in_order(rows)
    (extras,) = [row for row in rows if row.unit == "packages"]
    assert extras.holds, f"`import neuralbox` loads {extras.note}"
    assert {"typer", "starlette", "respx"} <= bench_import.modules_of_extras()


# The server.


def test_the_server_counts_requests_and_connections_and_ends_with_its_block() -> None:
    async def ask(url: str) -> list[int]:
        async with httpx.AsyncClient() as client:
            replies = [await client.get(f"{url}/api/v2/generate/{number}") for number in (1, 2, 3)]
        return [reply.json()["id"] for reply in replies]

    with server.running() as running:
        assert asyncio.run(ask(running.url)) == [1, 2, 3]
        counts = running.counts()
        assert (counts["requests"], counts["connections"]) == (3, 2), "one of the client, one of the question"
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url)


@pytest.mark.parametrize(("lifetime", "lifeline_cut"), [(0.05, False), (600.0, True)])
def test_the_server_ends_when_its_time_is_over_or_its_starter_is_gone(lifetime: float, lifeline_cut: bool) -> None:
    command = [sys.executable, "-m", "benchmarks.server", f"--lifetime={lifetime}"]
    with subprocess.Popen(
        command, cwd=server.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdecimal()
        if lifeline_cut:
            process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_an_answer_has_the_size_and_the_headers_of_a_real_one() -> None:
    for record in (server.generation(18500), server.openai_video("video_abc")):
        head, _, body = server.answer(record).partition(b"\r\n\r\n")
        assert 250 <= len(body) <= 350
        assert head.count(b"\r\n") == 10


def test_a_submitted_job_is_pending_until_its_time_has_come() -> None:
    site = server.Site(server.Behaviour(shortest=0, longest=0))
    slow = server.Site(server.Behaviour(shortest=100, longest=100))
    for each, expected in ((site, b'"completed"'), (slow, b'"pending"')):
        reply = each.reply("POST", "/api/v2/generate", b'{"model": "kling-v2.1", "prompt": "x"}')
        assert isinstance(reply, bytes)
        assert b'"pending"' in reply
        for target in ("/api/v2/generate/1", "/api/v2/user/history?limit=100"):
            found = each.reply("GET", target, b"")
            assert isinstance(found, bytes)
            assert expected in found


@pytest.mark.parametrize(("events_per_chunk", "chunks_per_write", "writes"), [(1, 1, 13), (1, 64, 1), (5, 1, 3)])
def test_a_stream_is_framed_as_asked_and_loses_nothing(
    events_per_chunk: int, chunks_per_write: int, writes: int
) -> None:
    events = server.our_events(10)
    framed = server.frame(events, events_per_chunk, chunks_per_write)
    assert len(framed) == writes
    body, rest = b"", b"".join(framed)
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    assert body == b"".join(events)


# The measuring.


def test_candidates_take_turns_and_warm_up_once() -> None:
    turns: list[str] = []

    def candidate(name: str) -> measure.Work:
        async def work() -> int:
            turns.append(name)
            return 2

        return work

    samples = asyncio.run(measure.interleave({"a": candidate("a"), "b": candidate("b")}, rounds=3, seed=7))
    assert turns[:2] == ["a", "b"]
    assert all(sorted(turns[at : at + 2]) == ["a", "b"] for at in range(2, 8, 2))
    assert [len(found) for found in samples.values()] == [3, 3]


def test_ratios_are_paired_inside_a_round() -> None:
    row = measure.compare("x", {"ours": [1.0, 20.0, 3.0], "base": [2.0, 20.0, 4.0]}, "ours", "base", bound=0.75)
    assert (row.ratio, row.lowest, row.highest, row.holds) == (0.75, 0.5, 1.0, True)


def test_a_table_shows_a_broken_bound_and_leaves_empty_columns_out() -> None:
    rows = [Row("a wait", 9_000.0, "B/wait", bound=8192), Row("another", 10.0, "B/wait")]
    text = measure.table(rows, markdown=True)
    assert "| NO |" in text
    assert "against" not in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_rows_survive_the_way_between_two_processes() -> None:
    rows = [Row("a", 1.5, "us CPU", "b", 0.5, 0.25, 0.75, 1.0, "note"), Row("c", 2.0, "us CPU")]
    assert measure.rows_of(json.dumps([asdict(row) for row in rows])) == rows


@pytest.mark.parametrize("name", run.BENCHMARKS)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_each_benchmark_has_a_command_line_and_says_its_question(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert "?" in said
    assert "--full" in said
