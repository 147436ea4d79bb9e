"""A process that marks as fast as it can and is killed in the middle of it, again and again.

Run as a program, with the path of a journal. For each line it reads it forks (so that Python starts only once), lets
the child mark with sixteen writers, kills it with SIGKILL at a random moment, and prints what the child was promised
until then, as one line of JSON: [[key, state, id], ...].
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import anyio

from neuralbox._journal import PlannedRequest, open_journal

WRITERS = 16


async def mark(path: str, told: int, life: str) -> None:
    """Mark until the end; every promise is told with one write, as soon as it is given."""
    journal = await open_journal(path, account="account", service="service", lock_timeout=10)
    left = {record.key: record async for record in journal.unfinished()}
    os.write(told, f"{json.dumps(['', 'opened', len(left)])}\n".encode())

    def tell(key: str, state: str, number: int | None) -> None:
        os.write(told, f"{json.dumps([key, state, number])}\n".encode())

    async def write(writer: int) -> None:
        for turn in range(1_000_000):
            key = f"{life}-{writer}-{turn}"
            await journal.plan([PlannedRequest(key, {"prompt": key * 20})])
            tell(key, "planned", None)
            await journal.sending(key, {"prompt": key * 20, "sent_at": 1.0})
            tell(key, "sending", None)
            if turn % 5 == 4:
                await journal.planned_again(key)
                continue
            number = writer * 1_000_000 + turn
            await journal.accepted(key, id=number)
            tell(key, "accepted", number)
            if turn % 2:
                await journal.final(key, {"status": "completed", "tokens": 1, "text": key * 50})

    async with anyio.create_task_group() as tasks:
        for writer in range(WRITERS):
            tasks.start_soon(write, writer)


def one_life(path: str, life: str, dice: random.Random) -> list[Any]:
    """Fork, let live for up to a tenth of a second of marking, kill, and return the promises."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ear)
        try:
            anyio.run(mark, path, mouth, life)
        finally:
            os._exit(1)
    os.close(mouth)
    heard = bytearray()
    while b"\n" not in heard:  # it has opened the journal; before that there is nothing to lose
        piece = os.read(ear, 65_536)
        assert piece, "the child failed"
        heard += piece
    end = time.monotonic() + dice.uniform(0, 0.1)
    os.set_blocking(ear, False)
    while time.monotonic() < end:
        try:
            heard += os.read(ear, 65_536)
        except BlockingIOError:
            time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.set_blocking(ear, True)
    while piece := os.read(ear, 65_536):
        heard += piece
    os.close(ear)
    return [json.loads(line) for line in heard.decode().split("\n")[:-1]][1:]


def main() -> None:
    path = sys.argv[1]
    dice = random.Random(int(sys.argv[2]))
    for number, _ in enumerate(sys.stdin):
        Path(f"{path}.promises").write_text(json.dumps(one_life(path, str(number), dice)))
        print(number, flush=True)  # noqa: T201 - this is how it answers


if __name__ == "__main__":
    main()
