"""How long does `import neuralbox` take, and does it load anything it need not?

Unit: milliseconds of CPU in a fresh interpreter, its own start not counted, byte code already compiled. Baseline: importing
httpx, anyio and pydantic's `BaseModel`, which the SDK stands on. Interpreters of both kinds take turns; the first of each
only compiles, into a cache of the benchmark's own: installed packages have their byte code, a source tree in an
environment that says PYTHONDONTWRITEBYTECODE has none and would be compiled again each time. `import neuralbox` alone loads the errors and little else, so
the client is measured too: what `from neuralbox import AsyncNeuralBox` takes. The last figure counts the packages of the
extras that this loads beyond what the baseline loads (httpx itself loads rich and click where they are installed): 0.

    python -m benchmarks.bench_import [--full]
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import packages_distributions, requires

from benchmarks.measure import Row, Settings, compare, main, show
from benchmarks.server import ROOT

BOUND = 1.3
OURS = "import neuralbox"
USED = "from neuralbox import AsyncNeuralBox"
BASE = "import httpx, anyio, pydantic.BaseModel"
_STATEMENTS = {OURS: OURS, USED: USED, BASE: "import httpx, anyio\nfrom pydantic import BaseModel"}
_CHILD = """
import time
start = time.process_time()
{statement}
spent = time.process_time() - start
import json, sys
print(json.dumps([spent, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def fresh(statement: str, cache: str | None) -> tuple[float, set[str]]:
    """Run a statement in a fresh interpreter; return its CPU seconds and the packages that are loaded afterwards.

    Args:
        statement: What is measured.
        cache: Where its byte code is; None for where Python keeps it.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if cache is not None:
        environment["PYTHONPYCACHEPREFIX"] = cache
    done = subprocess.run(
        [sys.executable, "-c", _CHILD.format(statement=statement)],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
    )
    spent, loaded = json.loads(done.stdout)
    return spent, set(loaded)


def modules_of_extras() -> set[str]:
    """Return the import names of what the package's extras ask for, as far as it is installed."""
    wanted = set()
    for line in requires("neuralbox") or []:
        name = re.split(r"[\s\[;<>=!~(]", line, maxsplit=1)[0].lower()
        if "extra ==" in line and name != "neuralbox":
            wanted.add(name)
    return {
        module
        for module, distributions in packages_distributions().items()
        if any(distribution.lower() in wanted for distribution in distributions)
    }


def run(settings: Settings) -> list[Row]:
    """Measure both imports in turns."""
    found: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    loaded: dict[str, set[str]] = {}
    warm_up = settings.pick(
        0, 1
    )  # the small version shows no figures, and compiling everything anew is most of the time
    with tempfile.TemporaryDirectory() as cache:
        for round_number in range(settings.pick(1, 16)):
            for name, statement in _STATEMENTS.items():
                spent, loaded[name] = fresh(statement, cache if warm_up else None)
                if round_number >= warm_up:
                    found[name].append(spent)
    extras = sorted((loaded[USED] - loaded[BASE]) & modules_of_extras())
    least = {name: [min(samples)] for name, samples in found.items()}
    return [
        compare(f"{OURS}, median", found, OURS, BASE, unit="ms CPU", scale=1e3, bound=BOUND),
        compare(f"{USED}, median", found, USED, BASE, unit="ms CPU", scale=1e3, bound=BOUND),
        compare(f"{USED}, least", least, USED, BASE, unit="ms CPU", scale=1e3, bound=BOUND),
        show(f"{BASE}, median", found[BASE], unit="ms CPU", scale=1e3),
        Row("packages of extras loaded by it", len(extras), "packages", bound=0, note=", ".join(extras)),
    ]


if __name__ == "__main__":
    main(run, __doc__)
