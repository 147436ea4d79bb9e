"""What a download makes of names, contents and dates."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox import ConfigurationError, DownloadError, ExpiredFileError, Generation
from neuralbox._files.download import MAX_FILE_BYTES, MemorySink, SavedFile, save
from neuralbox._files.fetch import FetchOptions
from neuralbox._transport.closing import announce_closed
from tests.helpers import START, Bench, Streamed, make_core

from .storage import URL, Storage, content, files_in, leftovers, video

pytestmark = pytest.mark.anyio

FILE = content(10_000)
DAY = 86_400.0


def answering(body: bytes = FILE, status: int = 200, **headers: str) -> Bench:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_core([Streamed([body] if body else [], status, lines)])


# In a generator, which may be left between two files.


async def saved_one_by_one(directory: Path, told: list[int]) -> AsyncGenerator[SavedFile, None]:
    for number in range(3):
        core = make_core(Storage(FILE, piece=1_000), deadline=60.0).core
        to = directory / f"{number}.mp4"
        yield await save(core, video(), to, on_progress=lambda received, _: told.append(received))


async def test_leaving_a_generator_that_wraps_downloads_does_not_cancel_its_caller(tmp_path: Path) -> None:
    told: list[int] = []
    files = saved_one_by_one(tmp_path, told)
    async for file in files:
        assert file.bytes == told[-1] == len(FILE)
        break
    await checkpoint()
    await files.aclose()
    await checkpoint()
    assert files_in(tmp_path) == {"0.mp4": FILE}


async def test_a_generator_that_wraps_downloads_is_entered_and_left_by_different_tasks(tmp_path: Path) -> None:
    files = saved_one_by_one(tmp_path, [])
    for act in (files.__anext__, files.__anext__, files.aclose):
        async with anyio.create_task_group() as group:
            group.start_soon(act)
        await checkpoint()
    assert files_in(tmp_path) == {"0.mp4": FILE, "1.mp4": FILE}


# A client that is closed meanwhile.


async def test_a_pause_before_another_attempt_ends_when_the_client_is_closed(tmp_path: Path) -> None:
    bench = answering(status=503, retry_after="50")

    async def fetch() -> None:
        with pytest.raises(ConfigurationError, match="closed while this was waiting"):
            await save(bench.core, video(), tmp_path)

    async with anyio.create_task_group() as group:
        group.start_soon(fetch)
        await bench.time.sleep(10.0)
        announce_closed(bench.transport)
    assert bench.time.elapsed < 11.0
    assert leftovers(tmp_path) == []


# What stands there.


async def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    core = answering(content_type="video/mp4", content_length=str(len(FILE))).core
    result = await save(core, video(), tmp_path, digest=True, durable=True)
    expected = hashlib.sha256(FILE).hexdigest()
    assert result == SavedFile(tmp_path / "18500.mp4", len(FILE), expected, "video/mp4")


async def test_a_file_that_may_stay_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "18500.mp4").write_bytes(b"old")
    bench = make_core([])
    for digest in (False, True):
        result = await save(bench.core, video(), tmp_path, overwrite="skip", digest=digest)
        sha256 = hashlib.sha256(b"old").hexdigest() if digest else None
        assert result == SavedFile(tmp_path / "18500.mp4", 3, sha256, skipped=True)
    assert bench.sent == []


async def test_a_file_that_may_stay_is_not_read_where_its_name_comes_late(tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_bytes(b"old")
    bench = answering(content_disposition='attachment; filename="fox.png"')
    result = await save(bench.core, URL, tmp_path, overwrite="skip")
    assert result == SavedFile(tmp_path / "fox.png", 3, skipped=True)
    assert bench.transport.open_streams == 0
    assert leftovers(tmp_path) == []


async def test_a_file_that_came_meanwhile_stays_or_gets_company(tmp_path: Path) -> None:
    def other_comes(*_: object) -> None:
        (tmp_path / "18500.mp4").write_bytes(b"theirs")

    result = await save(answering().core, video(), tmp_path, overwrite="skip", on_progress=other_comes)
    assert result == SavedFile(tmp_path / "18500.mp4", 6, skipped=True)
    result = await save(answering().core, video(), tmp_path, overwrite="rename", on_progress=other_comes)
    assert result.path == tmp_path / "18500 (2).mp4"
    assert files_in(tmp_path) == {"18500.mp4": b"theirs", "18500 (2).mp4": FILE}


@pytest.mark.parametrize("options", [{"overwrite": "maybe"}, {"max_bytes": 0}, {"max_bytes": True}, {"max_bytes": 1.5}])
async def test_options_that_cannot_be_right_are_refused_before_anything_is_sent(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    bench = make_core([])
    with pytest.raises(ConfigurationError):
        await save(bench.core, video(), tmp_path, **options)
    assert bench.sent == []
    assert FetchOptions(MAX_FILE_BYTES).max_bytes == MAX_FILE_BYTES


# What is in it.

PAGE = b"<!doctype html><title>Not found</title>"
MP4 = b"\0\0\0\x20ftypisom" + FILE


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json", "image/png"])
@pytest.mark.parametrize("page", [PAGE, b'{"error": 404}'])
async def test_a_page_never_stands_under_the_name_of_a_film(tmp_path: Path, content_type: str, page: bytes) -> None:
    bench = answering(page, content_type=content_type, etag='"v1"')
    with pytest.raises(DownloadError, match="does not begin like sound or film") as caught:
        await save(bench.core, video(), tmp_path, keep_partial=True)
    assert caught.value.job is not None
    assert files_in(tmp_path) == {}
    assert len(bench.sent) == 1


@pytest.mark.parametrize("content_type", ["text/plain", "image/webp", "video/mp4", "application/octet-stream", ""])
async def test_a_film_is_a_film_whatever_its_server_calls_it(tmp_path: Path, content_type: str) -> None:
    await save(answering(MP4, content_type=content_type).core, video(), tmp_path)
    assert files_in(tmp_path) == {"18500.mp4": MP4}


async def test_a_name_without_an_ending_is_judged_by_the_kind(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="text/html"):
        await save(answering(PAGE, content_type="text/html").core, video(), tmp_path / "boat")
    result = await save(answering(PAGE, content_type="text/html").core, URL, tmp_path / "page")
    assert result.content_type == "text/html"


async def test_what_is_doubted_is_fetched_from_its_start_again(tmp_path: Path) -> None:
    storage = Storage(MP4, {"etag": '"v1"', "content-type": "text/plain"}, cuts=[9_000])
    await save(make_core(storage, max_retries=1).core, video(), tmp_path)
    assert storage.asked == [None, None]
    assert files_in(tmp_path) == {"18500.mp4": MP4}


# When it goes.


def made(days_ago: float) -> Generation:
    moment = START - days_ago * DAY
    return video(completed_at=moment)


async def test_a_file_that_is_gone_says_when_it_went(tmp_path: Path) -> None:
    with pytest.raises(ExpiredFileError, match=r"was kept until 2026-03-07 12:00 UTC \(plan VIP\)") as caught:
        await save(answering(b"", 410).core, made(91), tmp_path, plan="VIP")
    error = caught.value
    assert (error.status_code, error.plan) == (410, "VIP")
    assert error.expired_at == made(91).expires_at("vip")
    assert "basic" not in error.message


async def test_a_file_that_went_too_early_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExpiredFileError, match="should have been kept until"):
        await save(answering(b"", 404).core, made(1), tmp_path, plan="vip")


async def test_a_record_that_says_when_its_file_goes_is_believed(tmp_path: Path) -> None:
    record = video(expired_at="2026-03-01T00:00:00Z")
    with pytest.raises(ExpiredFileError, match=r"was kept until 2026-03-01 00:00 UTC\.") as caught:
        await save(answering(b"", 404).core, record, tmp_path)
    assert caught.value.plan is None
    assert caught.value.expired_at is not None


async def test_another_service_does_not_tell_of_these_plans(tmp_path: Path) -> None:
    from neuralbox.geminigen._service import GEMINIGEN

    bench = make_core([Streamed([], 404)], base_url=GEMINIGEN.base_url, service=GEMINIGEN)
    with pytest.raises(ExpiredFileError) as caught:
        await save(bench.core, video(), tmp_path)
    assert "plan" not in caught.value.message
    assert "vip" not in caught.value.message


async def test_a_download_that_fails_says_how_long_there_is(tmp_path: Path) -> None:
    for answer in (Streamed([], 403), Streamed([b"x"], 200, {"content-length": "2"})):
        bench = make_core([answer], max_retries=0)
        with pytest.raises(DownloadError, match="It is kept until 2026-03-10 12:00 UTC"):
            await save(bench.core, made(88), tmp_path, plan="vip")


@pytest.mark.parametrize(("days_ago", "warned"), [(85, False), (87.5, True), (89.9, True), (90.5, False)])
async def test_a_file_that_is_about_to_go_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days_ago: float, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING, "neuralbox"):
        await save(answering().core, made(days_ago), tmp_path, plan="vip")
        await save(answering().core, made(days_ago), tmp_path, overwrite="replace", plan="elite")
        await save(answering().core, made(days_ago), tmp_path, overwrite="replace")
        await save(answering().core, URL, tmp_path / "a", plan="vip")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    assert "storage" not in caplog.text


# Nothing of it waits for the disk.


async def test_a_small_file_visits_the_disk_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visits: list[object] = []
    run_sync = anyio.to_thread.run_sync

    async def count(act: Any) -> Any:
        visits.append(act)
        return await run_sync(act)

    monkeypatch.setattr(anyio.to_thread, "run_sync", count)
    await save(answering(content_length=str(len(FILE))).core, video(), tmp_path)
    assert len(visits) == 2


async def test_a_place_that_cannot_be_looked_at_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError("Permission denied")

    monkeypatch.setattr(os.path, "lexists", refuse)
    bench = make_core([])
    with pytest.raises(DownloadError, match="Permission denied"):
        await save(bench.core, video(), tmp_path / "new" / "a.mp4")
    assert bench.sent == []


async def test_what_comes_once_more_takes_the_place_of_what_was_there_of_a_file_in_memory() -> None:
    sink = MemorySink()
    await sink.write(b"abcd")
    found: Any = SimpleNamespace(body=SimpleNamespace(first=2, version=None))
    await sink.begin(found)
    assert sink.length == 2
    await sink.finish(b"cde")
    assert (b"".join(sink.pieces), sink.length) == (b"abcde", 5)
