"""How the benchmarks measure and print: interleaved rounds, the client's CPU, medians of paired ratios.

Rules. The figure is the CPU time of this process (`time.process_time`: user and system, all threads), because wall time on
loopback is mostly the server's. Candidates take turns inside one run, in an order that changes from round to round, so
that what disturbs the machine disturbs all of them; a ratio is taken inside a round and the median over the rounds is
shown with its range. Absolute figures are for the eye: compare them inside one table only.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

Work: TypeAlias = Callable[[], Awaitable[int]]
"""One measured round of a candidate: does its work and returns how many operations that was."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much to do.

    Attributes:
        full: The figures of the README; otherwise a small version, which shows that the benchmark works.
        seed: Of every order and duration that is drawn.
    """

    full: bool = False
    seed: int = 1

    def pick(self, small: int, full: int) -> int:
        """Return the count of the version that runs."""
        return full if self.full else small


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        what: What was measured.
        value: The figure: a median, or a count.
        unit: Of `value`.
        against: What `ratio` compares with; "" for nothing.
        ratio: Median of the paired ratios, `value` over the baseline's.
        lowest: Least of them.
        highest: Greatest of them.
        bound: Most that is wanted, of `ratio` where there is one, else of `value`; None for a figure that is only shown.
        note: What the reader has to know.
    """

    what: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    lowest: float | None = None
    highest: float | None = None
    bound: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        if self.bound is None:
            return None
        return (self.value if self.ratio is None else self.ratio) <= self.bound


# Measuring.


async def interleave(candidates: Mapping[str, Work], *, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure candidates in turns, after one round of each that does not count.

    Returns:
        CPU seconds per operation, one figure per round, by candidate.
    """
    order, rng = list(candidates), random.Random(seed)
    for name in order:
        await candidates[name]()
    found: dict[str, list[float]] = {name: [] for name in order}
    with out_of_sight():
        for _ in range(rounds):
            rng.shuffle(order)
            for name in order:
                gc.collect()  # what one candidate leaves behind is not billed to the next
                start = time.process_time()
                operations = await candidates[name]()
                found[name].append((time.process_time() - start) / operations)
    return found


@contextmanager
def out_of_sight() -> Iterator[None]:
    """Keep what the process holds by now out of the collector's sight: it is no candidate's doing.

    What is so already stays so: a test's process has a thousand modules, through which each collection would go.
    """
    has_frozen_before = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not has_frozen_before:
            gc.unfreeze()


def compare(
    what: str,
    samples: Mapping[str, Sequence[float]],
    name: str,
    baseline: str,
    *,
    unit: str = "us CPU",
    scale: float = 1e6,
    bound: float | None = None,
    note: str = "",
) -> Row:
    """Set one candidate against another of the same run, round by round."""
    ratios = [mine / theirs for mine, theirs in zip(samples[name], samples[baseline], strict=True)]
    return Row(
        what=what,
        value=statistics.median(samples[name]) * scale,
        unit=unit,
        against=baseline,
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        bound=bound,
        note=note,
    )


def show(what: str, samples: Sequence[float], *, unit: str = "us CPU", scale: float = 1e6, note: str = "") -> Row:
    """Show a candidate by itself: the baseline of others."""
    return Row(what=what, value=statistics.median(samples) * scale, unit=unit, note=note)


# Printing.


def cells(row: Row) -> list[str]:
    """Return a row as the words of a table."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x [{row.lowest:.2f}-{row.highest:.2f}]"
    bound = "" if row.bound is None else f"{row.bound:.3g}{'x' if row.ratio is not None else ' ' + row.unit}"
    verdict = {None: "", True: "yes", False: "NO"}[row.holds]
    return [row.what, f"{row.value:,.1f} {row.unit}", ratio, row.against, bound, verdict, row.note]


HEADINGS = ("what", "median", "ratio [range]", "against", "bound", "kept", "note")


def table(rows: Sequence[Row], *, markdown: bool = False) -> str:
    """Return the rows as a table."""
    body = [cells(row) for row in rows]
    used = [at for at in range(len(HEADINGS)) if any(line[at] for line in body)]
    lines = [[line[at] for at in used] for line in [list(HEADINGS), *body]]
    if markdown:
        lines.insert(1, ["---"] * len(used))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(len(line[at]) for line in lines) for at in range(len(used))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in lines)


def machine() -> str:
    """Return the interpreter, the system and how many cores there are, in a few words."""
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def versions(*names: str) -> str:
    """Return the versions of packages, those that are not installed left out."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


# The command line every benchmark has.


def without_proxies() -> None:
    """Forget this machine's proxies and keys: everything measured here is on loopback."""
    for name in [*os.environ]:
        if name.startswith("NEURALBOX_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}:
            del os.environ[name]


def main(run: Callable[[Settings], list[Row]], description: str | None) -> None:
    """Run one benchmark from the command line and print its rows."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the figures of the README; takes minutes")
    parser.add_argument("--seed", type=int, default=1, help="of orders and durations")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    asked = parser.parse_args()
    without_proxies()
    rows = run(Settings(full=asked.full, seed=asked.seed))
    if not asked.full:  # a few operations show that it works; what they took decides nothing
        rows = [row if row.ratio is None else replace(row, bound=None) for row in rows]
    if asked.json:
        json.dump([asdict(row) for row in rows], sys.stdout)
        print()
    else:
        print(table(rows))


def report(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print rows as JSON, which `benchmarks.run` reads, or as a table with what it was measured on."""
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print(table(rows), f"\n{machine()}; {versions('neuralbox', 'anyio', 'pydantic')}")


def rows_of(text: str) -> list[Row]:
    """Read what `--json` printed."""
    found: list[dict[str, Any]] = json.loads(text)
    return [Row(**record) for record in found]
