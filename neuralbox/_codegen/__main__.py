"""Write the generated files of the package, or compare them.

python -m neuralbox._codegen            write them
python -m neuralbox._codegen --check    compare, and exit 1 when one differs
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from .async_source import UnsupportedError
from .generate import PACKAGE, generate_all


def main(given: Sequence[str] | None = None, package: Path = PACKAGE) -> int:
    """Write the files, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m neuralbox._codegen", description="Write the generated files.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if a file is not what it should be")
    check = parser.parse_args(given).check
    try:
        texts = generate_all(package)
    except UnsupportedError as error:
        print(error, file=sys.stderr)
        return 2
    differs = False
    for path, text in texts.items():
        target = package / path
        present = target.read_text(encoding="utf-8") if target.exists() else ""
        if present == text:
            continue
        if check:
            differs = True
            before, after = present.splitlines(keepends=True), text.splitlines(keepends=True)
            sys.stderr.writelines(difflib.unified_diff(before, after, f"{path}, checked in", f"{path}, generated"))
        else:
            target.write_text(text, encoding="utf-8")
    if differs:
        print("\nRun `python -m neuralbox._codegen`.", file=sys.stderr)
    return int(differs)


if __name__ == "__main__":  # pragma: no cover - scripts/check.py runs it
    sys.exit(main())
