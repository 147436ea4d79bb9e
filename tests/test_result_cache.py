"""`cache=`: the same thing is bought once, a hit is free and marked, and what is wrong with the file is said before paying."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from neuralbox import (
    AsyncNeuralBox,
    BatchOutcome,
    ConfigurationError,
    ExpiredFileError,
    Generation,
    GenerationTimeoutError,
    NeuralBox,
    ResultCache,
    SchemaMismatchError,
    TranscriptionRequest,
    _result_cache,
)
from neuralbox._api.request import Form, FormFile, Request
from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._journal import read_records
from neuralbox._submissions.cached_call import CachedCall
from neuralbox.sandbox import Sandbox, serve
from tests.geminigen.support import client as gemini_client
from tests.helpers import KEY, make_client

pytestmark = pytest.mark.anyio

DAY = 86_400.0


class Shop:
    """A service that sells; what it sold, whether its files are gone, and which of them it goes on making."""

    def __init__(self, *, status: str = "completed") -> None:
        self.sold = 0
        self.are_gone = False
        self.runs_on: set[int] = set()
        self.status = status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "storage.test":
            return httpx.Response(410) if self.are_gone else httpx.Response(200, content=b"\x89PNG\r\n\x1a\n")
        if "/generate/" in request.url.path:
            return httpx.Response(200, json=self.record(int(request.url.path.rpartition("/")[2])))
        if request.method == "GET":
            return httpx.Response(200, json={"items": [], "total": 0})
        if request.url.path.endswith("calculate-price"):
            return httpx.Response(200, json={"token_cost": 8})
        self.sold += 1
        return httpx.Response(200, json=self.record(self.sold))

    def record(self, number: int) -> dict[str, Any]:
        """What it says of one that it sold."""
        url = f"https://storage.test/{number}.png"
        status = "pending" if number in self.runs_on else self.status
        body = {"id": number, "status": status, "result_url": url, "tokens_spent": 8, "balance": 90}
        return {**body, "result_text": "words"}


def client(shop: Shop, cache: Any, **options: Any) -> AsyncNeuralBox:
    return make_client(shop, cache=cache, warn_duplicates=False, **options)


async def test_the_same_thing_is_bought_once_and_a_hit_is_marked_and_free(tmp_path: Path) -> None:
    shop, path = Shop(), tmp_path / "cache.sqlite"
    async with client(shop, path, budget=100) as nb:
        first = await nb.images.create(model="flux-1.1-pro", prompt="A fox", size="1024x1024")
        again = await nb.images.create(model="flux-1.1-pro", prompt="A fox", size="1024x1024")
        assert (shop.sold, first.is_cached, again.is_cached) == (1, False, True)
        assert (again.id, again.url, again.kind, again.model) == (first.id, first.url, "image", "flux-1.1-pro")
        assert (first.tokens, again.tokens, again.balance) == (8, 0, None)
        assert nb.budget is not None
        assert nb.budget.spent == 8
        others: list[dict[str, Any]] = [
            {"size": "768x1344"},
            {"size": "1024x1024", "seed": 1},
            {"size": "1024x1024", "extra_body": {"x": 1}},
            {"size": "1024x1024", "extra_query": {"x": 1}},
            {"size": "1024x1024", "extra_query": {"x": 2}},
        ]
        for more in others:
            await nb.images.create(model="flux-1.1-pro", prompt="A fox", **more)
        await nb.images.create(model="dall-e-3", prompt="A fox", size="1024x1024")
        await nb.text.create(model="gpt-5", prompt="A fox")
        assert shop.sold == 8
    async with client(shop, path) as other, client(shop, None) as without:
        assert (await other.text.create(model="gpt-5", prompt="A fox")).is_cached
        assert not (await without.text.create(model="gpt-5", prompt="A fox")).is_cached
        elsewhere = other.with_options(base_url="http://other.test")
        assert not (await elsewhere.text.create(model="gpt-5", prompt="A fox")).is_cached
        assert (await without.with_options(cache=path).text.create(model="gpt-5", prompt="A fox")).is_cached
    assert shop.sold == 10
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116 - no event loop waits for it


async def test_what_is_cancelled_when_its_result_has_come_is_kept_all_the_same(tmp_path: Path) -> None:
    shop = Shop()
    async with client(shop, tmp_path / "c.sqlite") as nb:
        with anyio.CancelScope() as scope:
            await nb.text.create(model="gpt-5", prompt="A fox", on_accepted=lambda _: scope.cancel())
        assert (await nb.text.create(model="gpt-5", prompt="A fox")).is_cached
    assert shop.sold == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_so_is_what_a_cancelled_asyncio_task_has_bought(
    anyio_backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop()
    async with client(shop, tmp_path / "c.sqlite") as nb:

        async def buy() -> None:
            await nb.text.create(model="gpt-5", prompt="A fox", on_accepted=lambda _: task.cancel())

        task = asyncio.create_task(buy())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [record.message for record in caplog.records] == [
            "A call was cancelled when its result had come; the job 1 (text gpt-5) is in the cache."
        ]
        assert (await nb.text.create(model="gpt-5", prompt="A fox")).is_cached
    assert shop.sold == 1


async def test_what_failed_is_asked_for_again(tmp_path: Path) -> None:
    shop = Shop(status="failed")
    async with client(shop, tmp_path / "c.sqlite") as nb:
        for _ in range(2):
            with pytest.raises(Exception, match="failed"):
                await nb.images.create(model="flux-1.1-pro", prompt="A fox")
    assert shop.sold == 2


async def test_a_job_that_was_bought_before_is_finished(tmp_path: Path) -> None:
    shop, told = Shop(), list[Any]()
    async with client(shop, tmp_path / "c.sqlite") as nb:
        first = await nb.text.submit(model="gpt-5", prompt="A fox")  # finished at once
        again = await nb.text.submit(model="gpt-5", prompt="A fox", on_accepted=told.append)
        assert (await nb.text.create(model="gpt-5", prompt="A fox")).is_cached
    assert first.generation is not None
    assert again.generation is not None
    assert (first.generation.is_cached, again.generation.is_cached, again.id) == (False, True, first.id)
    async with client(shop, None) as other:  # it asks nobody
        assert (await again.wait()).text == "words"
        assert not (await other.text.submit(model="gpt-5", prompt="A fox")).generation.is_cached  # type: ignore[union-attr]
    assert told == []
    assert shop.sold == 2


async def test_of_many_jobs_that_are_waited_for_those_that_end_are_kept(tmp_path: Path) -> None:
    shop = Shop(status="pending")
    async with client(shop, tmp_path / "c.sqlite") as nb:
        jobs = [await nb.videos.submit(model="kling-v2.1", prompt=f"A fox {n}") for n in range(3)]
        shop.runs_on = {2}
        shop.status = "completed"
        with pytest.raises(GenerationTimeoutError):
            await nb.generations.wait([*jobs, jobs[0].id], timeout=60)
        again = [await nb.videos.submit(model="kling-v2.1", prompt=f"A fox {n}") for n in (0, 2)]
        assert [job.generation is not None and job.generation.is_cached for job in again] == [True, True]
    assert shop.sold == 3


@pytest.mark.parametrize("way", ["wait", "watch", "refresh"])
async def test_a_jobs_result_is_kept_when_its_end_is_seen(way: str, tmp_path: Path) -> None:
    shop = Shop(status="pending")
    async with client(shop, tmp_path / "c.sqlite") as nb:
        asked: dict[str, Any] = {"model": "kling-v2.1", "prompt": "A fox"}
        job = await nb.videos.submit(**asked)
        assert not (await job.refresh()).is_final
        shop.status = "completed"
        if way == "wait":
            await job.wait()
        elif way == "watch":
            assert [state.is_final async for state in job.watch()][-1]
        else:
            assert (await job.refresh()).is_final
        for _ in range(2):
            again = await nb.videos.submit(**asked)
            assert (again.id, (await again.wait()).is_cached) == (job.id, True)
    assert shop.sold == 1


class Fox(BaseModel):
    name: str


async def test_a_text_that_fits_its_schema_is_bought_once_and_one_that_does_not_is_asked_for_again(
    tmp_path: Path,
) -> None:
    texts, sent = ["no JSON", '{"name": "Reynard"}'], list[bytes]()

    def handler(request: httpx.Request) -> httpx.Response:
        text = texts[len(sent) % 2]
        sent.append(request.content)
        return httpx.Response(200, json={"id": len(sent), "status": "completed", "result_text": text})

    async with make_client(handler, cache=tmp_path / "c.sqlite", warn_duplicates=False) as nb:
        asked: dict[str, Any] = {"model": "gpt-5", "prompt": "A fox"}
        with pytest.raises(SchemaMismatchError):
            await nb.text.create(**asked, schema=Fox)
        sent.clear()
        repaired = await nb.text.create(**asked, schema=Fox, repair=1)
        assert len(sent) == 2
        assert await nb.text.create(**asked, schema=Fox) == repaired == Fox(name="Reynard")
        assert len(sent) == 2

        class Picky(BaseModel):
            model_config = ConfigDict(title="Fox")
            name: str

            @field_validator("name")
            @classmethod
            def check(cls, name: str) -> str:
                if refuses:
                    raise refuses[0]
                return name

        refuses: list[Exception] = [RuntimeError("broken"), ValueError("too short")]
        for error in refuses[:]:  # what validates it has changed since, so what was kept does not count
            sent.clear()
            with pytest.raises(SchemaMismatchError):
                await nb.text.create(**asked, schema=Picky)
            assert (len(sent), refuses.pop(0)) == (1, error)


async def test_a_text_that_was_bought_before_is_streamed_as_one_piece(tmp_path: Path) -> None:
    with serve(Sandbox(plan="vip", speed=1_000)) as server:
        async with AsyncNeuralBox(api_key=KEY, base_url=server.url, cache=tmp_path / "c.sqlite") as nb:
            told: list[Any] = []
            async with nb.text.stream(model="gpt-5", prompt="A fox") as stream:
                async for _ in stream:
                    break
            first = server.sandbox.ledger.generation_count  # left before its end: nothing to keep
            async with nb.text.stream(model="gpt-5", prompt="A fox", on_accepted=told.append) as stream:
                whole = await stream.collect()
            assert (server.sandbox.ledger.generation_count, len(told)) == (first + 1, 1)
            async with nb.text.stream(model="gpt-5", prompt="A fox", on_accepted=told.append) as stream:
                pieces = [piece async for piece in stream]
            again = stream.result
            assert pieces == [whole.text]
            assert (again.is_cached, again.id, again.text, again.tokens) == (True, whole.id, whole.text, 0)
            assert (stream.job, len(told)) == (whole.ref, 1)
            async with nb.text.stream(model="gpt-5", prompt="A fox") as stream:
                assert [type(event).__name__ async for event in stream.events()] == [
                    "GenerationStart",
                    "ContentDelta",
                    "GenerationEnd",
                ]
            found = await nb.text.create(model="gpt-5", prompt="A fox")
            assert (found.is_cached, found.text, found.is_completed) == (True, whole.text, True)
            assert server.sandbox.ledger.generation_count == first + 1


def test_a_result_that_may_lack_something_says_so_from_the_cache_too(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "c.sqlite")
    cache.put("k", made().model_copy(update={"is_partial": True}), 0.0)
    found = cache.get("k", 1.0)
    assert found is not None
    assert (found.is_partial, dict(found.raw)) == (True, dict(made().raw))
    cache.close()


async def test_a_file_is_known_by_its_content_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, talk = Shop(), tmp_path / "talk.mp3"
    talk.write_bytes(b"hello")
    async with client(shop, tmp_path / "c.sqlite") as nb:
        await nb.transcriptions.create(audio=talk)
        assert (await nb.transcriptions.create(audio=b"hello", file_name="talk.mp3")).is_cached
        talk.write_bytes(b"other")
        real = TranscriptionRequest.prepare

        async def vanishing(self: TranscriptionRequest, dialect: Any) -> Request:
            wire = await real(self, dialect)
            talk.unlink()  # after it was hashed, or rather read
            return wire

        monkeypatch.setattr(TranscriptionRequest, "prepare", vanishing)
        assert not (await nb.transcriptions.create(audio=talk)).is_cached
        with pytest.raises(ConfigurationError, match="cannot be read"):
            await nb.transcriptions.create(audio=talk)
    assert shop.sold == 2


async def test_a_file_that_is_read_while_it_is_sent_has_no_name_and_its_result_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    cache = ResultCache(tmp_path / "c.sqlite")
    async with client(Shop(), cache) as nb:
        with path.open("rb") as file:
            request = Request("POST", "/stt", form=Form(files=(FormFile("audio", "a.mp3", file, "audio/mpeg"),)))
            call = CachedCall(nb._core, cache, request, NO_CALL_OPTIONS, kind="stt")
            await call.keep(made())
            assert await call.find() is None
    assert not cache.path.exists()


async def test_a_result_whose_file_is_gone_is_made_again(tmp_path: Path) -> None:
    shop = Shop()
    async with client(shop, tmp_path / "c.sqlite") as nb:
        for fetch in (lambda found: nb.files.download(found, tmp_path / "x.png"), nb.files.read):
            await nb.images.create(model="flux-1.1-pro", prompt="A fox")
            found = await nb.images.create(model="flux-1.1-pro", prompt="A fox")
            assert found.is_cached
            shop.are_gone = True
            with pytest.raises(ExpiredFileError):
                await fetch(found)
            shop.are_gone = False
        shop.are_gone = True
        with pytest.raises(ExpiredFileError):
            await nb.files.read("https://storage.test/9.png")
    assert shop.sold == 2


@pytest.mark.parametrize("identity", [1, None])
async def test_a_file_that_is_gone_takes_no_result_of_another_address_with_its_id_along(
    identity: int | None, tmp_path: Path
) -> None:
    cache = ResultCache(tmp_path / "c.sqlite")
    cache.put("ours", made(id=identity), 0.0)
    cache.put("theirs", made(id=identity, result_url='https://other.test/é".png?signed=1'), 0.0)
    gone = made(id=identity, result_url='https://other.test/é".png?signed=2')
    async with client(Shop(), cache) as nb, make_client(lambda _: httpx.Response(410), cache=cache) as their:
        with pytest.raises(ExpiredFileError):
            await their.files.read(gone)
        assert cache.get("ours", 1.0) is not None
        assert cache.get("theirs", 1.0) is None
        assert await nb.files.read(made(id=identity))
    cache.forget("" if identity is None else identity)
    assert cache.get("ours", 1.0) is None
    cache.close()


def made(**more: Any) -> Generation:
    return Generation.read({"id": 1, "status": "completed", "result_url": "https://storage.test/1.png", **more})


@pytest.mark.parametrize(
    ("options", "more", "seconds"),
    [
        ({}, {}, 7 * DAY),
        ({"plan": "VIP"}, {}, 90 * DAY),
        ({"plan": "elite"}, {}, None),
        ({"plan": "elite", "max_age": 5}, {}, 5),
        ({"max_age": 99 * DAY}, {}, 7 * DAY),
        ({"plan": "elite"}, {"expired_at": "1970-01-02T00:00:00Z"}, DAY),
    ],
)
def test_results_are_kept_as_long_as_the_service_keeps_their_files(
    options: Any, more: Any, seconds: float | None, tmp_path: Path
) -> None:
    cache = ResultCache(tmp_path / "c.sqlite", **options)
    cache.put("k", made(**more), 0.0)
    assert cache.get("k", (seconds or 1e12) - 1) is not None
    assert (cache.get("k", (seconds or 0) + 1) is None) is (seconds is not None)
    cache.close()
    cache.close()


def test_a_file_of_another_version_or_of_something_else_is_said_before_anything_is_paid(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    ResultCache(path).put("k", made(), 0.0)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(ConfigurationError, match="is of version 9, and this is version 1; delete it"):
        ResultCache(path).get("k", 0.0)
    with sqlite3.connect(tmp_path / "mine.sqlite") as database:
        database.execute("CREATE TABLE mine (a)")
    database.close()
    with pytest.raises(ConfigurationError, match="is a database of something else"):
        ResultCache(tmp_path / "mine.sqlite").get("k", 0.0)
    (tmp_path / "broken.sqlite").write_bytes(b"no database at all" * 100)
    for name in ("broken.sqlite", "missing/c.sqlite"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            ResultCache(tmp_path / name).get("k", 0.0)
    refused: list[dict[str, Any]] = [{"plan": "gold"}, {"plan": 5}, {"max_age": 0}, {"path": 5}, {"path": b"c"}]
    for arguments in refused:
        with pytest.raises(ConfigurationError):
            ResultCache(**{"path": path, **arguments})
    assert "c.sqlite" in repr(ResultCache(path))


def test_a_program_that_closes_the_file_takes_no_results_from_one_that_opened_it_twice(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    first, second = ResultCache(path), ResultCache(path)
    first.put("k", made(), 0.0)
    assert second.get("k", 1.0) is not None
    read_and_close(path)
    assert open_files(tmp_path) == ["c.sqlite"]  # it was not the last to close it
    first.put("later", made(), 0.0)
    first.close()
    second.close()
    assert ResultCache(path).get("later", 1.0) is not None


def read_and_close(path: Path) -> None:
    """Open a database in a process of its own, read it, and close it."""
    program = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('PRAGMA user_version').fetchone(); d.close()"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)


def test_a_file_that_was_not_made_to_its_end_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(_result_cache, "_SCHEMA", (*_result_cache._SCHEMA[:1], "the process is killed here"))
        with pytest.raises(ConfigurationError, match="cannot be read"):
            ResultCache(tmp_path / "c.sqlite").get("k", 0.0)
    cache = ResultCache(tmp_path / "c.sqlite")
    cache.put("k", made(), 0.0)
    assert cache.get("k", 1.0) is not None
    cache.close()


def test_a_new_file_that_others_are_reading_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_result_cache, "_PATIENCE", 0.0)
    other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
    for statement in (*_result_cache._SCHEMA, "BEGIN", "SELECT * FROM results"):
        other.execute(statement).fetchall()
    cache = ResultCache(tmp_path / "c.sqlite")
    assert cache.get("k", 0.0) is None
    other.close()
    cache.put("k", made(), 0.0)
    assert cache.get("k", 1.0) is not None
    cache.close()


@pytest.mark.parametrize("record", ["[1]", 5])
def test_a_damaged_record_is_said_before_anything_is_paid(record: object, tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "c.sqlite")
    cache.put("k", made(), 0.0)
    cache.close()
    with sqlite3.connect(cache.path) as database:
        database.execute("UPDATE results SET record = ?", (record,))
    database.close()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        cache.get("k", 1.0)
    cache.close()


async def test_a_cache_that_cannot_be_read_costs_nothing_and_one_that_cannot_be_written_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, path = Shop(), tmp_path / "c.sqlite"
    path.write_bytes(b"no database at all" * 100)
    async with client(shop, path) as nb:
        with pytest.raises(ConfigurationError, match="cannot be read"):
            await nb.text.create(model="gpt-5", prompt="A fox")
        assert shop.sold == 0
        monkeypatch.setattr(ResultCache, "get", lambda *_: None)
        assert (await nb.text.create(model="gpt-5", prompt="A fox")).is_completed
    ResultCache(path).forget(1)
    assert [record.message.partition(" in the")[0].partition(" from the")[0] for record in caplog.records] == [
        "A result was not kept",
        "A result was not removed",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_can_use_a_cache_whose_lock_another_thread_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_result_cache, "_PATIENCE", 0.0)  # the thread that forks has the lock itself
    cache = ResultCache(tmp_path / "c.sqlite")
    cache.put("k", made(), 0.0)
    before = cache._database
    with cache._lock:
        child = os.fork()
        if child == 0:
            try:
                has_own = cache.get("k", 1.0) is not None and cache._database is not before
                cache.put("of the child", made(), 0.0)
                cache.close()
                os._exit(0 if has_own else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache.get("of the child", 1.0) is not None
    assert cache._database is before
    unused = ResultCache(tmp_path / "unused.sqlite")
    _result_cache._after_fork()  # what the child did
    assert _result_cache._inherited.pop() is before
    assert before is not None
    before.close()
    assert cache.get("k", 1.0) is not None
    cache.close()
    assert not unused.path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_what_a_forked_child_has_bought_is_kept_though_its_parent_closes_the_file(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "c.sqlite")
    cache.put("k", made(), 0.0)
    (is_open, tell_open), (is_closed, tell_closed) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            assert cache.get("k", 1.0) is not None
            os.close(tell_open)
            os.close(tell_closed)
            os.read(is_closed, 1)
            cache.put("of the child", made(), 0.0)
            cache.close()
            os._exit(0)
        finally:
            os._exit(2)
    os.close(tell_open)
    os.read(is_open, 1)
    assert cache.get("k", 1.0) is not None
    cache.close()
    os.close(tell_closed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(is_open)
    os.close(is_closed)
    assert cache.get("of the child", 1.0) is not None
    cache.close()


async def test_the_files_are_closed_with_the_client_and_its_copies(tmp_path: Path) -> None:
    shop, mine, yours = Shop(), tmp_path / "mine.sqlite", tmp_path / "yours.sqlite"
    async with client(shop, mine) as nb:
        copy = nb.with_options(cache=yours)
        for one in (nb, copy):
            await one.text.create(model="gpt-5", prompt="A fox")
        assert open_files(tmp_path) == ["mine.sqlite", "yours.sqlite"]
    assert open_files(tmp_path) == []
    async with nb:
        assert (await nb.text.create(model="gpt-5", prompt="A fox")).is_cached
        with anyio.CancelScope() as scope:
            scope.cancel()
            await nb.aclose()
        assert open_files(tmp_path) == []


def test_one_that_nobody_closed_is_closed_when_it_is_dropped(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "c.sqlite")
    cache.put("k", made(), 0.0)
    assert open_files(tmp_path) == ["c.sqlite"]
    del cache
    assert open_files(tmp_path) == []


async def test_a_batch_closes_the_file_it_was_given(tmp_path: Path) -> None:
    with serve(Sandbox(plan="vip", speed=1_000)) as server:
        async with AsyncNeuralBox(api_key=KEY, base_url=server.url) as nb:
            request = {"kind": "text", "model": "gpt-5", "prompt": "A fox"}
            for is_cached in (False, True):
                async with nb.batch([request], cache=tmp_path / "c.sqlite") as batch:
                    outcomes = [outcome async for outcome in batch]
                    assert open_files(tmp_path) == ["c.sqlite"]
                assert [one.generation and one.generation.is_cached for one in outcomes] == [is_cached]
                assert open_files(tmp_path) == []


def open_files(directory: Path) -> list[str]:
    """Return the names of the databases that somebody has open: the last to close one takes its log away."""
    return sorted(path.name.removesuffix("-wal") for path in directory.glob("*-wal"))


async def test_a_batch_delivers_what_was_bought_before(tmp_path: Path) -> None:
    with serve(Sandbox(plan="vip", speed=1_000)) as server:
        async with AsyncNeuralBox(api_key=KEY, base_url=server.url) as nb:
            requests = [
                {"kind": "image", "model": "flux-1.1-pro", "prompt": f"A fox {n}", "key": f"k{n}"} for n in range(4)
            ]

            async def run(count: int, **options: Any) -> dict[str, BatchOutcome]:
                cache = tmp_path / "c.sqlite"
                async with nb.batch(requests[:count], cache=cache, download_to=tmp_path / "out", **options) as batch:
                    return {outcome.key: outcome async for outcome in batch}

            await run(3)
            charged = server.sandbox.ledger.charged
            found = await run(4, journal=tmp_path / "j.sqlite", budget=50)
            cached = {key: outcome.generation.is_cached for key, outcome in found.items() if outcome.generation}
            assert cached == {"k0": True, "k1": True, "k2": True, "k3": False}
            assert all(outcome.path is not None and outcome.error is None for outcome in found.values())
            assert [found[key].generation.tokens for key in ("k0", "k1")] == [0, 0]  # type: ignore[union-attr]
            assert server.sandbox.ledger.charged == charged * 4 // 3
            again = await run(4, journal=tmp_path / "j.sqlite")
            assert all(outcome.resumed and outcome.job == found[key].job for key, outcome in again.items())
            assert [again[key].tokens for key in ("k0", "k1")] == [0, 0]


def test_the_blocking_client_has_it_too(tmp_path: Path) -> None:
    with serve(Sandbox(plan="vip")) as server:
        with NeuralBox(api_key=KEY, base_url=server.url, cache=ResultCache(tmp_path / "c.sqlite", plan="vip")) as nb:
            first = nb.text.create(model="gpt-5", prompt="Hello")
            again = nb.text.create(model="gpt-5", prompt="Hello")
        assert (first.is_cached, again.is_cached, again.text) == (False, True, first.text)
        assert server.sandbox.ledger.generation_count == 1
    assert open_files(tmp_path) == []


async def test_geminigens_results_are_read_in_its_own_words_and_cost_no_credits(tmp_path: Path) -> None:
    record = {
        "uuid": "u1",
        "status": 2,
        "used_credit": 10,
        "model_name": "imagen-4",
        "generate_result": "https://a.test/x",
    }
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return httpx.Response(200, json=record)

    async with gemini_client(handler, cache=tmp_path / "c.sqlite", budget=100) as gg:
        first = await gg.images.create(model="imagen-4", prompt="A fox")
        again = await gg.images.create(model="imagen-4", prompt="A fox")
        assert gg.with_options(cache=ResultCache(tmp_path / "d.sqlite")).budget is gg.budget
        assert gg.budget is not None
        assert gg.budget.spent == 10
        request = {"kind": "image", "model": "imagen-4", "prompt": "A fox", "key": "k"}
        for resumed in (False, True):
            async with gg.batch([request], journal=tmp_path / "j.sqlite", budget=5) as batch:
                (outcome,) = [outcome async for outcome in batch]
                assert batch.progress.tokens_spent == 0
            assert outcome.generation is not None
            assert (outcome.resumed, outcome.credits, outcome.generation.is_cached) == (resumed, 0, True)
            assert (outcome.generation.credits, outcome.generation.tokens) == (0, None)
        (kept,) = read_records(tmp_path / "j.sqlite")
        assert (kept.tokens, kept.accepted_at) == (0, None)  # one write, not two
    assert asked == ["POST"]
    assert (first.credits, again.credits, again.tokens, again.is_cached) == (10, 0, None, True)
    assert (again.id, again.url, again.service) == ("u1", "https://a.test/x", "geminigen")
