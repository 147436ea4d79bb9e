"""A storage for tests: one file that it serves whole or from a byte on, and what it may do wrong.

It is a script for `Scripted`, not a service: `tests.service` and the sandbox serve files too, but none that is cut off at a
given byte, changes between two requests, or knows no ranges.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuralbox import ConnectionLostError, Generation
from tests.helpers import Play, Sent, Streamed

URL = "http://storage.test/generations/18500.mp4"
MIB = 1024 * 1024
LOST = ConnectionLostError("The connection was lost.")
DATE = "Sun, 08 Mar 2026 12:00:00 GMT"
BEFORE = "Sun, 08 Mar 2026 11:00:00 GMT"


def content(size: int, seed: int = 1) -> bytes:
    """Bytes of which no stretch repeats soon, so that a file put together wrongly shows."""
    return random.Random(seed).randbytes(size)


def video(**fields: Any) -> Generation:
    record = {"id": 18500, "type": "video", "status": "completed", "result_url": URL, **fields}
    return Generation.read(record)


@dataclass
class Storage:
    """Answers requests for one file; `Scripted` takes it as its script.

    Attributes:
        content: The file.
        headers: What it says of it in every answer.
        cuts: At which bytes of the file to break off, one after the other.
        piece: Bytes of a piece of a body.
        changes: Changes made before each request, by its number from 0.
        asked: The first byte of each request, None for the whole file.
        sent: How many bytes of bodies were sent.
    """

    content: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"etag": '"v1"'})
    cuts: list[int] = field(default_factory=list)
    piece: int = 64 * 1024
    changes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    ranges: bool = True
    lengths: bool = True
    asked: list[int | None] = field(default_factory=list)
    conditions: list[str | None] = field(default_factory=list)
    sent: int = 0

    def __call__(self, sent: Sent) -> Play:
        for name, value in self.changes.get(len(self.asked), {}).items():
            setattr(self, name, value)
        asked = sent.headers.get("range")
        first = None if asked is None else int(asked.removeprefix("bytes=").removesuffix("-"))
        self.asked.append(first)
        condition = sent.headers.get("if-range")
        self.conditions.append(condition)
        validators = {self.headers.get("etag"), self.headers.get("last-modified")} - {None}
        if first is None or not self.ranges or condition not in validators:
            return self._answer(0, 200, {})
        if first >= len(self.content):
            return Streamed([], 416, {**self.headers, "content-range": f"bytes */{len(self.content)}"})
        last = len(self.content) - 1
        return self._answer(first, 206, {"content-range": f"bytes {first}-{last}/{last + 1}"})

    def _answer(self, first: int, status: int, more: Mapping[str, str]) -> Streamed:
        cut = self.cuts.pop(0) if self.cuts else None
        body = self.content[first:cut]
        pieces: list[Any] = [body[at : at + self.piece] for at in range(0, len(body), self.piece)]
        self.sent += len(body)
        if cut is not None:
            pieces.append(LOST)
        length = {"content-length": str(len(self.content) - first)} if self.lengths else {}
        return Streamed(pieces, status, {**length, **self.headers, **more})


def files_in(directory: Path) -> dict[str, bytes]:
    """Every file of a directory, hidden ones included."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}


def leftovers(directory: Path) -> list[str]:
    """What is there of an interrupted download."""
    return sorted(path.suffix for path in directory.iterdir() if path.name.startswith(".neuralbox-"))
