"""A process that takes webhooks and waits for nothing tells another, which waits, through the journal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from neuralbox import ConfigurationError, JournalError, Polling
from neuralbox._batch.resource import Batches
from neuralbox._journal import HintReader, PlannedRequest, open_journal
from neuralbox._journal.group_commit import CommitItem, GroupCommit
from neuralbox._requests.requests import VideoRequest
from neuralbox.webhooks import WebhookReceiver, notify, read_event, starlette_route
from tests.batch.support import USUAL, core_of
from tests.forks import Forks
from tests.postgres import PostgresServer
from tests.service import Made, Service

from .taker import take

pytestmark = pytest.mark.anyio


class SlowService(Service):
    """A service that expects its jobs to take for ever, so that nobody asks by himself."""

    def record(self, made: Made) -> dict[str, Any]:
        record = super().record(made)
        return record if record["status"] != "pending" else {**record, "eta_seconds": 2_500}


def event(identity: object, number: int = 0) -> bytes:
    return json.dumps({"event": "generation.completed", "generation_id": identity, "n": number}).encode()


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield str(tmp_path / "run.sqlite")
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    postgres.empty()
    yield postgres.url()


async def test_a_batch_hears_of_what_another_process_was_told(
    place: str, forks: Forks, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, commit = SlowService(**{**USUAL, "seconds": 200}), GroupCommit.commit

    async def held(commits: GroupCommit, item: CommitItem) -> None:
        with world.time.busy():
            await commit(commits, item)

    monkeypatch.setattr(GroupCommit, "commit", held)
    core = core_of(world, polling=Polling(min_interval=2.0, max_interval=3_000.0))
    asked, failed = list[int](), list[Exception | None]()

    def take_elsewhere(*events: bytes) -> None:
        assert forks.start(take, place, *(each.decode() for each in events)).wait(60) == 0

    async def tell() -> None:
        while not world.ledger:
            await world.time.sleep(1)
        await world.time.sleep(60)
        (made,) = world.ledger
        for events in ((event(made.id, 1),), (event(made.id, 1), event(77)), (event(made.id, 2),)):
            before = len(world.asked)
            take_elsewhere(*events)
            await world.time.sleep(10)
            asked.append(len(world.asked) - before)
        await world.time.sleep(150)
        take_elsewhere(event(made.id, 3))

    request = VideoRequest(model="kling-v2.1", prompt="A boat", key="boat", duration=5)
    async with anyio.create_task_group() as group, Batches(core)([request], journal=place) as run:
        group.start_soon(tell)
        failed += [outcome.error async for outcome in run]
    assert failed == [None]
    assert asked == [1, 0, 1]  # a made-up one costs a request, a repeated one and one about nobody nothing
    assert world.time.now() - world.ledger[0].at < 60 + 3 * 10 + 150 + 5


async def test_the_route_leaves_a_hint_and_a_journal_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    place, other = tmp_path / "jobs.sqlite", tmp_path / "other.sqlite"
    async with await open_journal(place, account="a", service="s") as journal:
        await journal.plan([PlannedRequest("one", {})])
        await journal.accepted("one", id=5)
    receiver = WebhookReceiver("neuralbox", journal=[place, other])
    app = Starlette(routes=[starlette_route("/hooks", receiver)])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hooks.test") as client:
        assert (await client.post("/hooks", content=event(5))).status_code == 200
        assert [hint.id for hint in HintReader(place).read()] == ["5"]
        await anyio.Path(other).write_bytes(b"no database" * 1_000)
        assert (await client.post("/hooks", content=event(5, 1))).status_code == 500
        await anyio.Path(other).unlink()
        assert (await client.post("/hooks", content=event(5, 1))).status_code == 200  # sent again, and taken
    assert len(HintReader(place).read()) == 2


async def test_a_hint_is_left_where_somebody_waits_by_that_journal(tmp_path: Path) -> None:
    place = tmp_path / "jobs.sqlite"
    said = read_event(event(5), "neuralbox")
    assert not notify(said, journal=place)
    assert not place.exists()
    async with await open_journal(place, account="a", service="s") as journal:
        await journal.plan([PlannedRequest("one", {})])
        assert not notify(said, journal=place)
        await journal.accepted("one", id=5)
        assert notify(said, journal=place)
        assert not notify(said, journal=str(place))
    place.write_bytes(b"no database" * 1_000)
    with pytest.raises(JournalError):
        notify(said, journal=place)
    with pytest.raises(JournalError, match="is no regular file"):
        notify(said, journal=tmp_path)


def test_an_event_that_no_journal_could_take_is_new_when_it_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    receiver = WebhookReceiver("neuralbox", journal="postgresql://127.0.0.1:1/jobs#run")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"neuralbox\[postgres\]"):
            receiver.receive(event(5), {})


def test_a_receiver_without_a_client_reads_and_tells_nobody() -> None:
    receiver: Any = WebhookReceiver("neuralbox")
    assert not receiver.blocks
    assert not WebhookReceiver("neuralbox", journal=None).blocks
    assert receiver.receive(event(5), {}).generation_id == 5
    assert receiver.receive(event(5), {}) is None
    with pytest.raises(ConfigurationError, match="it is 'openai'"):
        WebhookReceiver("openai")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="NeuralBox signs no events"):
        WebhookReceiver("neuralbox", public_key="x")
