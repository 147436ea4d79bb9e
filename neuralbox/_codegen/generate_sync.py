"""Write `neuralbox/sync/_generated.py`, the blocking client, from the text of the async one.

    python -m neuralbox._codegen.generate_sync            write the file
    python -m neuralbox._codegen.generate_sync --check    compare, and exit 1 when it differs

Every public class of `SOURCES` gets a twin of the same name (`AsyncX` becomes `X`) over `neuralbox.sync._facade`: the same
signatures, overloads and documentation, bodies of a line or two. A shape without a rule stops the generator with the
file, the class and the member named, and nothing is written. ruff formats the result, so that every Python writes the
same bytes.
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .async_source import UnsupportedError, read_module
from .type_mapping import Rules
from .writer import LINE, Writer

PACKAGE = Path(__file__).resolve().parent.parent
TARGET = PACKAGE / "sync" / "_generated.py"

# In the order in which their classes are written.
SOURCES = (
    "_paging.py",
    "_polling/job.py",
    "_text_stream/stream.py",
    "_resources/generate.py",
    "_resources/text.py",
    "_resources/images.py",
    "_resources/videos.py",
    "_resources/speech.py",
    "_resources/transcriptions.py",
    "_resources/music.py",
    "_resources/tools.py",
    "_resources/generations.py",
    "_resources/history.py",
    "_resources/account.py",
    "_resources/models.py",
    "_resources/keys.py",
    "_resources/assistants.py",
    "_resources/files.py",
    "_resources/auth.py",
    "_batch/batch.py",
    "_batch/resource.py",
    "_raw.py",
    "_client.py",
    "geminigen/_history.py",
    "geminigen/_raw.py",
    "geminigen/_client.py",
)
RULES = Rules(
    roots=frozenset({"AsyncNeuralBox", "AsyncGeminiGen"}),
    iterators=frozenset({"PageIterator", "ItemIterator", "Watch"}),
    pagers={"Pager": "Page"},
    provided=frozenset({"BaseClient"}),
    unread=frozenset({"Batch"}),
    aliases=("_submissions/submission.py", "_files/fetch.py"),
)


def generate(sources: Sequence[str] = SOURCES, package: Path = PACKAGE, rules: Rules = RULES) -> str:
    """Return the text of the generated module, formatted.

    Raises:
        UnsupportedError: A shape the rules do not cover.
    """
    modules = [read_module(path, (package / path).read_text(encoding="utf-8")) for path in (*sources, *rules.aliases)]
    for module in modules[len(sources) :]:
        module.classes.clear()
    return formatted(Writer(modules, rules).write())


def formatted(text: str) -> str:
    """Sort the imports, drop those that are not needed, and format, with the ruff beside this interpreter."""
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--isolated", "--config", f"line-length = {LINE}", "--target-version", "py311"]
    for command in (["check", "--select", "I,F401", "--fix", "--quiet", "--exit-zero"], ["format", "--quiet"]):
        step = [*ruff, *command, *settings, "--stdin-filename", "_generated.py", "-"]
        text = subprocess.run(  # noqa: S603 - a fixed list of arguments; the text goes in by standard input
            step, input=text, capture_output=True, text=True, check=True, encoding="utf-8"
        ).stdout
    return text


def main(given: Sequence[str] | None = None) -> int:
    """Write the file, or compare it; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the blocking client from the async source.")
    parser.add_argument(
        "--check", action="store_true", help="compare only; exit 1 if the file is not what it should be"
    )
    check = parser.parse_args(given).check
    try:
        text = generate()
    except UnsupportedError as error:
        print(error, file=sys.stderr)
        return 2
    present = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if not check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if present == text:
        return 0
    sys.stderr.writelines(
        difflib.unified_diff(
            present.splitlines(keepends=True), text.splitlines(keepends=True), "checked in", "generated"
        )
    )
    print("\nRun `python -m neuralbox._codegen.generate_sync`.", file=sys.stderr)
    return 1


if __name__ == "__main__":  # pragma: no cover - scripts/check.py runs it
    sys.exit(main())
