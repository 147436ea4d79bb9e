"""Build what would be published, inspect it, and install it where nothing else is.

    python scripts/check_package.py            everything
    python scripts/check_package.py --offline  without the environments, which need a package index

The parts: sdist and wheel are built, the wheel from the sdist; the metadata is complete; the wheel holds the package, all
of it and nothing else; installed into an empty environment it imports, its types are complete for those who use it
(`pyright --verifytypes`), and each extra, alone beside it, brings what its modules need. The `dev` extra has the tools,
and all that the other extras bring: an extra's environment is made of links to what it requires of that.
"""

from __future__ import annotations

import argparse
import email
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import Message
from functools import cache, partial
from importlib.metadata import Distribution, PackagePath, distribution, distributions
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
# What a user's program imports after `pip install 'neuralbox[extra]'`.
IMPORTS: Final = {
    "all": "neuralbox._cli.app, neuralbox._demo, neuralbox.testing, neuralbox._transport.aiohttp.adapter",
    "cli": "neuralbox._cli.app",
    "demo": "neuralbox._cli.app, neuralbox._demo",
    "gateway": "neuralbox.gateway, neuralbox.gateway._serving",
    "keyring": "neuralbox._cli.key_store, keyring",
    "mcp": "neuralbox.mcp, neuralbox._cli.app, PIL",
    "arrow": "pyarrow.parquet, neuralbox._archive.arrow",
    "otel": "opentelemetry.trace",
    "postgres": "neuralbox._journal.postgres.store",
    "report": "neuralbox._report, PIL",
    "webhooks": "cryptography, neuralbox.webhooks",
    "sandbox": "neuralbox.sandbox, PIL, av",
    "speed": "neuralbox._transport.aiohttp.adapter",
    "testing": "neuralbox.testing, neuralbox.testing._fixtures",
    "watch": "neuralbox._cli.app, neuralbox._watch.screen",
}
# For ourselves: the environment that runs this script has them.
OURS: Final = {"bench", "dev", "docs", "recipes", "recipes-airflow", "recipes-engines", "test"}
# Too large to be installed once more; `.ci/run` has an environment of its own for each.
ELSEWHERE: Final = {"ray"}
METADATA: Final = (
    "Author",
    "Classifier",
    "Description-Content-Type",
    "Keywords",
    "License-Expression",
    "License-File",
    "Name",
    "Requires-Dist",
    "Requires-Python",
    "Summary",
    "Version",
)
MOST_BYTES: Final = 1_100_000
"""Of the wheel."""
MOST_INSTALLED_BYTES: Final = 4_000_000
"""Of its files, without bytecode."""


class BrokenError(Exception):
    """A check that failed; its text says what was found."""


def need(condition: object, said: str) -> None:
    """Raise `BrokenError` unless the condition holds."""
    if not condition:
        raise BrokenError(said)


def run(*command: str | Path, **environment: str) -> str:
    """Run a command away from the checkout and return what it printed; its failure is `BrokenError`."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [*map(str, command)],
        cwd=tempfile.gettempdir(),
        env=kept | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    need(done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


# What is built.


def built(into: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", into, ROOT)
    [sdist], [wheel] = into.glob("*.tar.gz"), into.glob("*.whl")
    return sdist, wheel


def sources() -> set[str]:
    """Return the files of the package as they stand in the checkout."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "neuralbox").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def inspect_wheel(wheel: Path) -> Message:
    """Check the wheel's files and size, and return its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        members = {one.filename: one for one in archive.infolist()}
        [metadata] = [name for name in members if name.endswith(".dist-info/METADATA")]
        read = email.message_from_bytes(archive.read(metadata))
    files = {name for name in members if ".dist-info/" not in name}
    need(files == sources(), f"differs from the checkout: {sorted(files ^ sources())}")
    need("neuralbox/py.typed" in files, "py.typed is missing")
    strange = [name for name in files if Path(name).suffix not in {".py", ".md", ".typed", ".html", ".css", ".js"}]
    need(not strange, f"files of a kind that the package does not have: {strange}")
    need(any(name.endswith(".dist-info/entry_points.txt") for name in members), "the command is missing")
    installed = sum(one.file_size for one in members.values())
    need(wheel.stat().st_size <= MOST_BYTES, f"the wheel has {wheel.stat().st_size:,} bytes")
    need(installed <= MOST_INSTALLED_BYTES, f"installed it has {installed:,} bytes")
    print(f"        {wheel.name}: {wheel.stat().st_size:,} bytes, {len(files)} files, {installed:,} bytes installed")
    return read


def inspect_sdist(sdist: Path) -> None:
    """Check that the sdist holds what one needs to build and to test."""
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tests/conftest.py", "scripts/check.py"}
    need(wanted <= files, f"missing: {sorted(wanted - files)}")
    built_files = [name for name in files if "__pycache__" in name or name.endswith((".pyc", ".sqlite"))]
    need(not built_files, f"not sources: {built_files}")


def inspect_metadata(metadata: Message) -> None:
    """Check that nothing a package index shows is missing, and that every extra is known here."""
    missing = [name for name in METADATA if not metadata[name] or metadata[name] == "UNKNOWN"]
    need(not missing, f"missing: {missing}")
    need(metadata["Description-Content-Type"].startswith("text/markdown"), "the description is not Markdown")
    need(len(str(metadata.get_payload())) > 1_000, "the description is not the README")
    extras = set(metadata.get_all("Provides-Extra", []))
    known = OURS | ELSEWHERE
    need(extras - known == set(IMPORTS), f"extras without a check: {sorted((extras - known) ^ set(IMPORTS))}")


# Where it is installed.


def environment(at: Path) -> Path:
    """Make an empty environment; return its interpreter."""
    venv.create(at, with_pip=False, symlinks=os.name != "nt")
    return at / ("Scripts" if os.name == "nt" else "bin") / "python"


def packages_of(at: Path) -> Path:
    """Return where an environment keeps its packages."""
    [found] = [at / "Lib" / "site-packages"] if os.name == "nt" else at.glob("lib/python*/site-packages")
    return found


def install(python: Path, *what: str | Path) -> None:
    """Install into an environment by the pip that runs this script."""
    pip = (sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "--no-compile", *what)
    run(*pip, "check")


def inspect_bare_install(python: Path, wheel: Path) -> None:
    """Install the wheel alone: it imports, and what needs an extra says which."""
    install(python, wheel)
    run(python, "-W", "error", "-c", "from neuralbox import *; from neuralbox.sync import NeuralBox")
    for extra in ("sandbox", "testing"):
        said = run(python, "-c", f"try: import neuralbox.{extra}\nexcept ModuleNotFoundError as error: print(error)")
        need(f"pip install 'neuralbox[{extra}]'" in said and said.count("\n") == 1, f"neuralbox.{extra} said: {said}")


def inspect_types(python: Path) -> None:
    """Check that all public types are known to those who use the package."""
    # It takes the first interpreter on PATH for the user's; `--pythonpath` does not count here.
    path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    said = run(sys.executable, "-m", "pyright", "--verifytypes", "neuralbox", "--ignoreexternal", PATH=path)
    need("Type completeness score: 100%" in said, said)


def required(extra: str, bare: Path) -> list[Distribution]:
    """Return the package with what one extra brings, and all that this requires in turn; each fits those that ask."""
    [ours] = distributions(name="neuralbox", path=[str(packages_of(bare))])
    found = {"neuralbox": ours}
    waiting, seen = [("neuralbox", extra)], set[tuple[str, str]]()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for one in map(Requirement, found[name].requires or ()):
            if one.marker is None or one.marker.evaluate({"extra": wanted}):
                inner = canonicalize_name(one.name)
                brought = found.get(inner) or distribution(inner)
                found[inner] = brought
                need(one.specifier.contains(brought.version, prereleases=True), f"{name} wants {one}")
                waiting += [(inner, ""), *((inner, option) for option in one.extras)]
    return [*found.values()]


@cache
def owners() -> Counter[str]:
    """Count the distributions of this environment that have files in each folder, or file, of its packages."""
    return Counter(top for each in distributions() for top in {file.parts[0] for file in each.files or ()})


def link(brought: Distribution, packages: Path) -> None:
    """Show a distribution of another environment in this one.

    Its folders as they are, with the bytecode that is there; file by file where it shares one with another distribution.
    """
    linked = set[PackagePath]()
    for file in brought.files or ():
        if ".." in file.parts:  # a command
            continue
        shown = file if owners()[file.parts[0]] > 1 else PackagePath(file.parts[0])
        if shown not in linked:
            linked.add(shown)
            (packages / shown).parent.mkdir(parents=True, exist_ok=True)
            (packages / shown).symlink_to(Path(str(brought.locate_file(shown))))


def inspect_extra(extra: str, folder: Path, bare: Path) -> None:
    """Show the package and what one extra brings, without the other extras, and import what it is for."""
    python = environment(folder / extra)
    for brought in required(extra, bare):
        link(brought, packages_of(folder / extra))
    run(python, "-W", "error", "-c", f"import {IMPORTS[extra]}")


# One after the other.

Check = tuple[str, Callable[[], object]]


@contextmanager
def folder() -> Iterator[Path]:
    """Make a temporary folder; the interpreters in it may be slow to go on Windows."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


def passed(check: Check) -> bool:
    """Carry out a check and print how it ended."""
    name, carry_out = check
    start, said = time.perf_counter(), ""
    try:
        carry_out()
    except BrokenError as broken:
        said = f"{broken}\n"
    print(f"{'FAILED' if said else 'passed'}  {time.perf_counter() - start:6.1f} s  {name}\n{said}", end="", flush=True)
    return not said


def main() -> int:
    """Run the checks and return the exit code."""
    parser = argparse.ArgumentParser(description="Check what would be published.")
    parser.add_argument("--offline", action="store_true", help="leave out what needs a package index")
    offline = parser.parse_args().offline
    with folder() as here:
        try:
            sdist, wheel = built(here / "dist")
            metadata = inspect_wheel(wheel)
        except BrokenError as broken:
            print(f"FAILED  {broken}")
            return 1
        good = passed(("sdist", lambda: inspect_sdist(sdist)))
        good &= passed(("metadata", lambda: inspect_metadata(metadata)))
        if offline:
            return not good
        bare = environment(here / "bare")
        if not passed(("bare install", lambda: inspect_bare_install(bare, wheel))):
            return 1
        checks: list[Check] = [("types", lambda: inspect_types(bare))]
        checks += [(f"extra {one}", partial(inspect_extra, one, here, here / "bare")) for one in IMPORTS]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            good &= all([*pool.map(passed, checks)])
    return not good


if __name__ == "__main__":
    sys.exit(main())
