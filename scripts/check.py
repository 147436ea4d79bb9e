"""Run every check there is, in the order in which they fail fastest.

    python scripts/check.py            format, lint, types, layers, generated files, tests with the coverage gate
    python scripts/check.py --fast     the same without the two type checkers

Each step prints its own output, then its name, result and time. All steps run even if one fails, so that one run
shows everything; the exit code is 1 if any failed. Steps run with the interpreter that runs this file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent  # not resolved: the tools are beside the environment's python, not the system's


@dataclass(frozen=True, slots=True)
class Step:
    """One check: its name, the command line, and whether `--fast` leaves it out."""

    name: str
    command: tuple[str, ...]
    slow: bool = False


def tool(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a tool that is installed beside this interpreter."""
    return (str(BIN / name), *arguments)


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a module run by this interpreter."""
    return (sys.executable, "-m", name, *arguments)


def steps() -> list[Step]:
    """Return the checks in order."""
    found = [
        Step("format", module("ruff", "format", "--check", ".")),
        Step("lint", module("ruff", "check", ".")),
        Step("types: mypy", module("mypy"), slow=True),
        Step("types: pyright", module("pyright", "--pythonpath", sys.executable), slow=True),
        Step("layers", tool("lint-imports", "--no-cache")),
    ]
    if (ROOT / "neuralbox" / "_tools" / "generate_sync.py").exists():
        found.append(Step("generated files", module("neuralbox._tools.generate_sync", "--check")))
    found.append(Step("tests", module("pytest", "-q", "--cov", "--cov-report=term-missing:skip-covered")))
    return found


def main() -> int:
    """Run the steps and return the exit code."""
    parser = argparse.ArgumentParser(description="Run every check there is.")
    parser.add_argument("--fast", action="store_true", help="leave out the type checkers")
    fast = parser.parse_args().fast
    results: list[tuple[str, bool, float]] = []
    for step in steps():
        if fast and step.slow:
            continue
        print(f"==> {step.name}", flush=True)
        start = time.perf_counter()
        passed = subprocess.run(step.command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode == 0
        results.append((step.name, passed, time.perf_counter() - start))
    print()
    for name, passed, seconds in results:
        print(f"{'passed' if passed else 'FAILED'}  {seconds:6.1f} s  {name}")
    return 0 if all(passed for _, passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
