"""Outcomes as a file of JSON lines: one line for each request, however often its batch is run.

A batch that is continued delivers what had ended once more, and what had not ended in the earlier run ends in this one.
So what a file says of each key is remembered: the same outcome is not written again, and one without a result is
replaced by what came of it later. A result is never replaced by another generation's: that is another batch with the same
keys, and gets a line of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from .._concurrency.process_lock import ProcessLock
from .outcome import BatchOutcome

_FILES_KEPT: Final = 8
_OF_ONE_RUN: Final = frozenset({"price", "resumed"})
"""What is said of a run, and not of the request."""
_lock = ProcessLock()


class _Line(NamedTuple):
    """What a line of a file says."""

    ok: bool
    id: object
    digest: int


class _File(NamedTuple):
    """A file as it was left: its device, number and size, and its lines by key."""

    identity: tuple[int, int, int]
    lines: dict[str, list[_Line]]


_files: dict[str, _File] = {}


def write_outcomes(path: str | os.PathLike[str], outcomes: Iterable[BatchOutcome]) -> int:
    """Write outcomes to a file of JSON lines, one line for each request.

        async for outcome in run:
            write_outcomes("outcomes.jsonl", [outcome])

    A run that continues a batch may write to the same file: what stands there is not written again, and a request that had
    no result there gets its new outcome in the old one's place.

    Args:
        path: UTF-8; made where it is not there.
        outcomes: Written in order, each as `to_dict` says; what is written is on its line whole.

    Returns:
        How many were written.
    """
    file = os.path.realpath(path)
    with _lock:
        known = _lines_of(file)
        new: list[Mapping[str, Any]] = []
        better: dict[int, Mapping[str, Any]] = {}
        for outcome in outcomes:
            record = outcome.to_dict()
            lines, line = known.setdefault(outcome.key, []), _line(record)
            if any(before.digest == line.digest for before in lines):
                continue
            old = next((before for before in lines if not before.ok or before.id == line.id), None)
            if old is None:
                new.append(record)
            else:
                lines.remove(old)
                better[old.digest] = record
            lines.append(line)
        # What came new and got better within one call is written as it was, and then replaced.
        _append(file, new)
        if better:
            _replace(file, better)
        if Path(file).is_file():
            _files[file] = _File(_identity(file), known)
        for name in list(_files)[:-_FILES_KEPT]:
            del _files[name]
    return len(new) + len(better)


def _lines_of(file: str) -> dict[str, list[_Line]]:
    """Return the lines of a file by key; of one that was left as it is, without reading it."""
    if not Path(file).is_file():  # not there, or a terminal, say, which says nothing
        return {}
    kept = _files.pop(file, None)
    if kept is not None and kept.identity == _identity(file):
        return kept.lines
    found: dict[str, list[_Line]] = {}
    for _, record in _records(file):
        if record is not None:
            found.setdefault(record["key"], []).append(_line(record))
    return found


def _records(file: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Read a file line by line, with the outcome each is, if it is one."""
    with Path(file).open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for text in lines:
            try:
                record = json.loads(text)
            except (ValueError, RecursionError):
                record = None
            is_outcome = isinstance(record, dict) and isinstance(record.get("key"), str)
            yield text, record if is_outcome else None


def _line(record: Mapping[str, Any]) -> _Line:
    said = {name: value for name, value in record.items() if name not in _OF_ONE_RUN}
    return _Line(record.get("ok") is True, record.get("id"), hash(json.dumps(said, sort_keys=True)))


def _identity(file: str) -> tuple[int, int, int]:
    found = Path(file).stat()
    return found.st_dev, found.st_ino, found.st_size


def _append(file: str, records: Iterable[Mapping[str, Any]]) -> None:
    text = "".join(map(_text, records))
    if text and _ends_within_a_line(file):  # of a writer that was killed
        text = "\n" + text
    with Path(file).open("a", encoding="utf-8", newline="\n") as lines:
        lines.write(text)


def _ends_within_a_line(file: str) -> bool:
    if not Path(file).is_file() or not Path(file).stat().st_size:
        return False
    with Path(file).open("rb") as content:
        content.seek(-1, os.SEEK_END)
        return content.read() != b"\n"


def _replace(file: str, better: Mapping[int, Mapping[str, Any]]) -> None:
    """Write a file anew, with other lines in the places of some; it is the old one or the new one at any moment."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=Path(file).parent)
    try:
        with open(handle, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as lines:  # noqa: PTH123 - a handle
            for text, record in _records(file):
                replacement = None if record is None else better.get(_line(record).digest)
                lines.write(text if replacement is None else _text(replacement))
        shutil.copymode(file, name)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _text(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, of a key or a path, has no UTF-8; as an escape it is read as it was
        text = json.dumps(record)
    return text + "\n"
