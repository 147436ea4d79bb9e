"""Run every check there is: the tests on all cores, then the static ones and what was covered, side by side.

    python scripts/check.py            tests with coverage, format, lint, types, layers, dead code, generated files
    python scripts/check.py --fast     the same without the two type checkers

Each step prints its name and its whole output. All steps run even if one fails, so that one run shows everything; the
exit code is 1 if any failed. Steps run with the interpreter that runs this file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent  # not resolved: the tools are beside the environment's python, not the system's
# The suite starts some hundred interpreters and imports its own modules in each worker: without bytecode on disk, as
# some containers have it, that alone makes it half as long again.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Step:
    """One check: its name, the command line, and whether `--fast` leaves it out."""

    name: str
    command: tuple[str, ...]
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How a step ended; `output` is empty where it was shown as it came."""

    step: Step
    passed: bool
    seconds: float
    output: bytes


def tool(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a tool that is installed beside this interpreter."""
    return (str(BIN / name), *arguments)


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a module run by this interpreter."""
    return (sys.executable, "-m", name, *arguments)


# The longest first, so that no core waits for the last of them.
AFTERWARDS = (
    Step("types: mypy", module("mypy"), slow=True),
    Step("types: pyright", module("pyright", "--pythonpath", sys.executable), slow=True),
    Step("coverage", module("coverage", "report")),
    Step("layers", tool("lint-imports", "--no-cache")),
    Step("dead code", module("vulture")),
    Step("generated files", module("neuralbox._codegen", "--check")),
    Step("lint", module("ruff", "check", ".")),
    Step("format", module("ruff", "format", "--check", ".")),
)
# `logical`: what the system offers, also where two of them are one physical core. Alone, because some tests watch a
# clock. With many cores the start of a worker (it collects all tests) outweighs what it takes over. What they covered is a
# step of its own, for it takes one core alone, and as long again where the tests tell it.
PARALLEL = ("-n", "logical", "--maxprocesses", "8", "--dist", "worksteal")
TESTS = Step("tests", module("pytest", "-q", *PARALLEL, "--cov", "--cov-report=", "--cov-fail-under=0"))


def run(step: Step, *, captured: bool) -> Result:
    """Run a step; its output goes where ours goes, or into the result."""
    start = time.perf_counter()
    done = subprocess.run(
        step.command,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if captured else None,
        stderr=subprocess.STDOUT if captured else None,
        check=False,
    )
    return Result(step, done.returncode == 0, time.perf_counter() - start, done.stdout or b"")


def results(*, fast: bool) -> Iterator[Result]:
    """Run the steps, show what each says, and yield how each ended."""
    print(f"==> {TESTS.name}", flush=True)
    yield run(TESTS, captured=False)
    afterwards = [step for step in AFTERWARDS if not (fast and step.slow)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(lambda step: run(step, captured=True), afterwards):
            print(f"==> {result.step.name}", flush=True)
            sys.stdout.buffer.write(result.output)
            sys.stdout.buffer.flush()
            yield result


def main() -> int:
    """Run the steps and return the exit code."""
    parser = argparse.ArgumentParser(description="Run every check there is.")
    parser.add_argument("--fast", action="store_true", help="leave out the type checkers")
    ended = [*results(fast=parser.parse_args().fast)]
    print()
    for result in ended:
        print(f"{'passed' if result.passed else 'FAILED'}  {result.seconds:6.1f} s  {result.step.name}")
    return 0 if all(result.passed for result in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
