"""Journals as batches leave them, made without a service: what each record says is said by the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
from PIL import Image

from neuralbox._journal import PlannedRequest, open_journal

START = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC


@dataclass
class Kept:
    """One record of a journal.

    Attributes:
        key: Its key.
        request: Its request.
        reaches: The last mark it gets: `planned`, `sending`, `accepted`, `final` or `saved`.
        said: What the service said at the end.
        tokens: What it charged.
        path: Where its file stands.
        seconds: From its submission to its end.
    """

    key: str
    request: Mapping[str, Any] = field(default_factory=lambda: {"kind": "image", "model": "flux", "prompt": "A lake"})
    reaches: str = "saved"
    said: Mapping[str, Any] = field(default_factory=lambda: {"status": "completed"})
    tokens: int | None = 4
    path: Path | str | None = None
    seconds: float = 3.0


def journal(path: Path, records: Sequence[Kept], *, service: str = "https://box.test") -> Path:
    """Write a journal; submissions are ten seconds apart."""
    anyio.run(partial(_write, path, records, service))
    return path


async def _write(path: Path, records: Sequence[Kept], service: str) -> None:
    now = [START]
    async with await open_journal(path, account="a", service=service, now=lambda: now[0]) as kept:
        await kept.plan([PlannedRequest(one.key, one.request) for one in records])
        for number, one in enumerate(records):
            steps = ("planned", "sending", "accepted", "final", "saved").index(one.reaches)
            kind, model = one.request.get("kind"), one.request.get("model")
            marks: list[Callable[[], Any]] = [
                partial(kept.sending, one.key, {"prompt": "x"}),
                partial(kept.accepted, one.key, id=18_000 + number, kind=kind, model=model),
                partial(kept.final, one.key, {"status": one.said["status"], "tokens": one.tokens, "said": one.said}),
                partial(kept.saved, one.key, str(one.path), 1_234),
            ]
            now[0] = START + 10 * number
            for step, mark in enumerate(marks[:steps]):
                now[0] += one.seconds * (step == 2)
                await mark()


def picture(width: int = 64, height: int = 48, colour: str = "teal", ending: str = "png", mode: str = "RGB") -> bytes:
    """A picture of one colour."""
    file = BytesIO()
    Image.new(mode, (width, height), colour).save(file, ending)
    return file.getvalue()
