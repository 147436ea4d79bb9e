"""What is written by `python -m neuralbox._codegen`: which files, from which, in which order.

First the resources whose calls cost tokens, then `with_raw_response` of both clients, then the blocking client of all of
them. Each step reads what the one before it has written, and nothing is put into the package before all of it is there.
ruff formats the results, so that every Python writes the same bytes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from .async_source import read_module
from .paid_resources import PAID_RESOURCES, write_resource
from .raw_responses import RAW_CLIENTS, write_raw
from .sync_writer import LINE, SyncWriter
from .type_mapping import Rules

PACKAGE = Path(__file__).resolve().parent.parent
SYNC_TARGET = "sync/_generated.py"

# Of the blocking client, in the order in which their classes are written.
SYNC_SOURCES = (
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
    "geminigen/_images.py",
    "geminigen/_videos.py",
    "geminigen/_speech.py",
    "geminigen/_account.py",
    "geminigen/_models.py",
    "geminigen/_raw.py",
    "geminigen/_client.py",
    "_merged_history.py",
)
SYNC_RULES = Rules(
    roots=frozenset({"AsyncNeuralBox", "AsyncGeminiGen"}),
    iterators=frozenset({"PageIterator", "ItemIterator", "MergedWalk", "PagesOfItems", "Watch"}),
    pagers={"Pager": "Page"},
    provided=frozenset({"BaseClient", "BoundToProcess", "Guided"}),
    unread=frozenset({"Batch"}),
    aliases=(
        "_submissions/submission.py",
        "_files/fetch.py",
        "_requests/transcription.py",
        "geminigen/_local_files.py",
    ),
)


def generate_all(package: Path = PACKAGE) -> dict[str, str]:
    """Return the text of every generated file, by its path below the package.

    Raises:
        UnsupportedError: A shape the rules do not cover; file, class and member are named.
    """
    written: dict[str, str] = {}

    def read(path: str) -> str:
        return written[path] if path in written else (package / path).read_text(encoding="utf-8")

    for resource in PAID_RESOURCES:
        written[resource.target] = write_resource(resource, read)
    for client in RAW_CLIENTS:
        written[client.target] = write_raw(client, read)
    written[SYNC_TARGET] = write_sync(read)
    return formatted(written)


def write_sync(read: Callable[[str], str], sources: tuple[str, ...] = SYNC_SOURCES, rules: Rules = SYNC_RULES) -> str:
    """Return the text of the blocking client, not yet formatted.

    Args:
        read: Reads a file below the package.
        sources: The async files.
        rules: What their text does not say.

    Raises:
        UnsupportedError: A shape the rules do not cover.
    """
    modules = [read_module(path, read(path)) for path in (*sources, *rules.aliases)]
    for module in modules[len(sources) :]:
        module.classes.clear()
    return SyncWriter(modules, rules).write()


def formatted(texts: Mapping[str, str]) -> dict[str, str]:
    """Sort the imports, drop those that are not needed, and format, with the ruff beside this interpreter.

    All files at once: starting it costs more than formatting one.
    """
    settings = ["--isolated", "--no-cache", "--quiet", "--config", f"line-length = {LINE}", "--target-version", "py311"]
    with TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        for command in (["check", "--select", "I,F401", "--fix", "--exit-zero"], ["format"]):
            subprocess.run(  # noqa: S603 - a fixed list of arguments
                [sys.executable, "-m", "ruff", *command, *settings, "."], cwd=folder, check=True, capture_output=True
            )
        return {path: (folder / path).read_text(encoding="utf-8") for path in texts}
