"""Each fault of the sandbox strikes one call of each kind, single and in a batch, over a real socket.

Two calls are made at once, and the fault strikes the first of their requests to the route in question. The other must
come out as if nothing had been, so what is left of the sums is the struck one's. What is expected is in `fault_matrix`.
Time runs 200 times as fast for both sides; the faults take turns on asyncio and trio.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest

from neuralbox import AsyncNeuralBox, Generation, Timeout
from neuralbox.sandbox import Sandbox, Server, serve
from neuralbox.testing import FastTime, using

from . import fault_matrix as matrix
from .fault_matrix import ALONE, Cell, Column

pytestmark = pytest.mark.uncovered

Call: TypeAlias = Callable[[AsyncNeuralBox, int, Path], Awaitable[Generation]]


async def streamed(nb: AsyncNeuralBox, number: int, _: Path) -> Generation:
    async with nb.text.stream(model="gpt-5", prompt=f"Greet {number}") as stream:
        pieces = [piece async for piece in stream]
    assert "".join(pieces) == stream.result.text
    return stream.result


async def filmed(nb: AsyncNeuralBox, number: int, _: Path) -> Generation:
    job = await nb.videos.submit(model="kling-v2.1", prompt=f"Film {number}")
    return await job.wait()


async def listed(nb: AsyncNeuralBox, number: int, _: Path) -> Generation:
    image = await nb.images.create(model="dall-e-3", prompt=f"Fox {number}")
    return next(item for item in await nb.history.list() if item.id == image.id)


async def fetched(nb: AsyncNeuralBox, number: int, folder: Path) -> Generation:
    image = await nb.images.create(model="dall-e-3", prompt=f"Fox {number}")
    path, again = [await nb.files.download(image, folder / f"{number}-{turn}.png") for turn in range(2)]
    assert path.read_bytes() == again.read_bytes() != b""
    return image


SINGLE: dict[str, Call] = {
    "text.create": lambda nb, number, _: nb.text.create(model="gpt-5", prompt=f"Greet {number}"),
    "text.stream": streamed,
    "images.create": lambda nb, number, _: nb.images.create(model="dall-e-3", prompt=f"Fox {number}"),
    "videos.submit, wait": filmed,
    "transcriptions.create": lambda nb, number, _: nb.transcriptions.create(
        audio=b"ID3%d" % number, file_name=f"{number}.mp3"
    ),
    "speech.create": lambda nb, number, _: nb.speech.create(model="openai-tts", text=f"Hello {number}"),
    "music.create": lambda nb, number, _: nb.music.create(model="musicgen", prompt=f"Song {number}"),
    "tools.create": lambda nb, number, _: nb.tools.create(
        model="text-ocr", prompt=f"Read {number}", image_url="https://example.com/1.png"
    ),
    "job.wait": filmed,
    "history.list": listed,
    "files.download": fetched,
}
ITEMS: dict[str, dict[str, Any]] = {
    "text": {"kind": "text", "model": "gpt-5", "prompt": "Greet {}"},
    "image": {"kind": "image", "model": "dall-e-3", "prompt": "Fox {}"},
    "video": {"kind": "video", "model": "kling-v2.1", "prompt": "Film {}"},
    "transcription": {"kind": "stt", "audio": "{}"},
    "speech": {"kind": "tts", "model": "openai-tts", "text": "Hello {}"},
    "music": {"kind": "audio", "model": "musicgen", "prompt": "Song {}"},
    "tool": {"kind": "tool", "model": "text-ocr", "prompt": "Read {}", "image_url": "https://example.com/1.png"},
    "its waiting": {"kind": "video", "model": "kling-v2.1", "prompt": "Film {}"},
    "its files": {"kind": "image", "model": "dall-e-3", "prompt": "Fox {}"},
}


@pytest.fixture(scope="module")
def boxes() -> Iterator[dict[Column, Server]]:
    """A sandbox for each kind of call, so that all of them can meet their fault at once."""
    fast = FastTime(200.0)
    with ExitStack() as stack:
        stack.enter_context(using(fast))
        yield {
            column: stack.enter_context(serve(Sandbox(clock=fast.now, balance=1_000_000, seed=7)))
            for column in matrix.COLUMNS
        }


async def called(nb: AsyncNeuralBox, column: Column, number: int, folder: Path) -> list[Generation | Exception]:
    """Make so many calls at once; what each returned or raised."""
    found: list[Generation | Exception] = []

    async def one(index: int) -> None:
        try:
            found.append(await SINGLE[column.name](nb, index, folder))
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            found.append(error)

    async with anyio.create_task_group() as group:
        for index in range(number):
            group.start_soon(one, index)
    return found


async def batched(nb: AsyncNeuralBox, column: Column, number: int, folder: Path) -> list[Generation | Exception]:
    """The same as a batch."""
    requests = [{name: text.format(index) for name, text in ITEMS[column.name].items()} for index in range(number)]
    for index, request in enumerate(requests):
        if "audio" in request:
            request["audio"] = str(folder / f"{index}.mp3")
            await anyio.Path(request["audio"]).write_bytes(b"ID3%d" % index)
    wanted = folder / "out" if column.name == "its files" else None
    found: list[Generation | Exception] = []
    async with nb.batch(requests, download_to=wanted, journal=folder / "run.sqlite") as run:
        async for outcome in run:
            if outcome.error is not None:
                found.append(outcome.error)
                continue
            assert outcome.generation is not None
            assert wanted is None or (outcome.path is not None and outcome.path.stat().st_size > 0)
            found.append(outcome.generation)
    return found


async def cell(server: Server, fault: str, column: Column, folder: Path) -> Cell:
    """Let a fault strike a call, and say what became of it."""
    key, number = f"nb_{uuid.uuid4().hex}", 1 if fault == ALONE else 2
    timeout = Timeout(generation=0.4) if fault == "hang" else Timeout()
    faults, ledger = server.sandbox.faults, server.sandbox.ledger
    faults.clear()
    for name, value in matrix.settings_of(fault).items():
        faults.set(f"{name}@{column.route}", value, times=None if name == "listing-lag" else 1)
    async with AsyncNeuralBox(api_key=key, base_url=server.url, timeout=timeout) as nb:
        found = await (batched if column.batch else called)(nb, column, number, folder)
        unresolved = nb.unresolved
    assert {rule.times for rules in faults._rules.values() for rule in rules} <= {0, None}, "it did not strike"
    account = ledger.account_of_key(key).name
    made = {str(one.id): one for one in ledger.generations.values() if one.account == account}
    results = {str(one.id): one for one in found if isinstance(one, Generation)}
    errors = [one for one in found if isinstance(one, Exception)]
    for name, result in results.items():
        assert result.is_completed
        assert result.text == made[name].text if made[name].text is not None else name in str(result.url)
    assert len(results) + len(errors) == number
    seen = Cell(
        charged=sum(charge.account == account for charge in ledger.charges) - (number - 1),
        delivered=len(results) - (number - 1),
        raised=" ".join(type(error).__name__ for error in errors),
    )
    assert len(unresolved) == (seen.raised == "SubmissionUnknownError")
    return seen


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("anyio_backend", "fault"),
    [pytest.param(("asyncio", "trio")[at % 2], fault, id=fault) for at, fault in enumerate(matrix.FAULTS)],
)
async def test_what_a_fault_does_to_each_kind_of_call(boxes: dict[Column, Server], tmp_path: Path, fault: str) -> None:
    seen: dict[str, Cell] = {}

    async def see(column: Column) -> None:
        folder = tmp_path / str(matrix.COLUMNS.index(column))
        folder.mkdir()
        seen[str(column)] = await cell(boxes[column], fault, column, folder)

    columns = [column for column in matrix.COLUMNS if matrix.meets(fault, column)]
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for column in columns:
                group.start_soon(see, column)
    assert seen == {str(column): matrix.expected(fault, column) for column in columns}


def test_the_page_is_made_of_this_table() -> None:
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.page(), "Run `python -m tests.client.fault_matrix`."
