"""Downloads that go on where they broke off, and never join the halves of two files."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox import ConnectError, ConnectionLostError, DownloadError
from neuralbox._files import download
from neuralbox._files.download import SavedFile, read, save
from neuralbox._files.partial_file import PartFile
from tests.helpers import STALL, Bench, Streamed, make_core

from .storage import BEFORE, DATE, LOST, MIB, URL, Storage, content, files_in, leftovers, video

pytestmark = pytest.mark.anyio

FILE = content(3 * MIB + 77)
DATED = {"last-modified": BEFORE, "date": DATE}


async def saved(storage: Storage, directory: Path, **options: Any) -> SavedFile:
    """Save the storage's file with a client that makes a single attempt unless told otherwise."""
    core = make_core(storage, max_retries=options.pop("max_retries", 0))
    return await save(core.core, video(), directory, **options)


def left_behind(directory: Path, length: int, headers: Mapping[str, str] = {"etag": '"v1"'}) -> None:
    """Leave what a killed process leaves."""
    part = PartFile(directory, key_of_file())
    part.open_kept()
    version = storage_version(headers)
    part.begin(0, version)
    part.write(FILE[:length])
    part._close_descriptor()


def key_of_file() -> str:
    from neuralbox._files.source import FileSource

    return FileSource.of(video()).key


def storage_version(headers: Mapping[str, str]) -> Any:
    from neuralbox._files.ranges import read_body

    body = read_body(200, {"content-length": str(len(FILE)), **headers}, None)
    assert body is not None
    return body.version


# Within a call.


@pytest.mark.parametrize("headers", [{"etag": '"v1"'}, DATED], ids=["by its tag", "by its date"])
@pytest.mark.parametrize("lengths", [True, False], ids=["length", "no length"])
async def test_the_rest_is_asked_for_after_a_cut(tmp_path: Path, headers: Mapping[str, str], lengths: bool) -> None:
    storage = Storage(FILE, headers, cuts=[100_000, MIB, 2 * MIB + 5], lengths=lengths)
    if not lengths and "etag" not in headers:
        return  # a date without a length is no version
    result = await saved(storage, tmp_path, max_retries=1, digest=True)
    assert storage.asked == [None, 100_000, MIB, 2 * MIB + 5]
    assert storage.sent == len(FILE)
    assert set(storage.conditions[1:]) == {headers.get("etag", BEFORE)}
    assert files_in(tmp_path) == {"18500.mp4": FILE}
    assert result == SavedFile(tmp_path / "18500.mp4", len(FILE), hashlib.sha256(FILE).hexdigest())


async def test_twenty_cuts_at_random_bytes_give_one_right_file_and_nothing_twice(tmp_path: Path) -> None:
    cuts = sorted(random.Random(5).sample(range(70_000, len(FILE), 70_000), 20))
    storage = Storage(FILE, cuts=cuts, piece=10_007)
    await saved(storage, tmp_path, max_retries=1)
    assert files_in(tmp_path) == {"18500.mp4": FILE}
    assert storage.sent == len(FILE)


async def test_attempts_that_bring_the_file_on_are_not_counted(tmp_path: Path) -> None:
    core = make_core(Storage(FILE, cuts=[70_000 * number for number in range(1, 40)]), max_retries=1)
    await save(core.core, video(), tmp_path)
    assert len(core.sent) == 40
    assert max(core.time.pauses) <= 0.5


async def test_a_server_that_sends_next_to_nothing_is_given_up(tmp_path: Path) -> None:
    storage = Storage(FILE, cuts=[1_000 * number for number in range(1, 40)])
    with pytest.raises(DownloadError, match="after 4 attempts"):
        await saved(storage, tmp_path, max_retries=3)
    assert files_in(tmp_path) == {}


async def test_without_retries_there_is_none(tmp_path: Path) -> None:
    storage = Storage(FILE, cuts=[2 * MIB])
    with pytest.raises(DownloadError):
        await saved(storage, tmp_path)
    assert storage.asked == [None]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"etag": 'W/"v1"'},
        {"etag": "v1"},
        {"last-modified": BEFORE},
        {"last-modified": DATE, "date": DATE},
        {"last-modified": "yesterday", "date": DATE},
        {"etag": '"v1"', "accept-ranges": "none"},
    ],
    ids=["nothing", "a weak tag", "no tag", "no date", "changed just now", "nonsense", "no ranges"],
)
async def test_where_nothing_tells_the_version_the_file_is_fetched_again(
    tmp_path: Path, headers: Mapping[str, str]
) -> None:
    storage = Storage(FILE, headers, cuts=[2 * MIB])
    await saved(storage, tmp_path, max_retries=1)
    assert storage.asked == [None, None]
    assert files_in(tmp_path) == {"18500.mp4": FILE}


async def test_a_server_without_ranges_sends_the_file_again(tmp_path: Path) -> None:
    told: list[int] = []
    storage = Storage(FILE, cuts=[2 * MIB], ranges=False)
    await saved(storage, tmp_path, max_retries=1, on_progress=lambda received, _: told.append(received))
    assert storage.asked == [None, 2 * MIB]
    assert files_in(tmp_path) == {"18500.mp4": FILE}
    assert told == [MIB, 2 * MIB, MIB, 2 * MIB, 3 * MIB, len(FILE)]


@pytest.mark.parametrize("size", [len(FILE), MIB, 5 * MIB])
async def test_a_file_that_changes_between_ranges_is_the_new_one(tmp_path: Path, size: int) -> None:
    new = content(size, seed=9)
    changes = {1: {"content": new, "headers": {"etag": '"v2"'}}}
    storage = Storage(FILE, cuts=[2 * MIB], changes=changes)
    result = await saved(storage, tmp_path, max_retries=1, digest=True)
    assert files_in(tmp_path) == {"18500.mp4": new}
    assert (result.bytes, result.sha256) == (size, hashlib.sha256(new).hexdigest())


@pytest.mark.parametrize(
    "changes",
    [
        {"content-range": f"bytes {2 * MIB + 1}-{len(FILE) - 1}/{len(FILE)}"},
        {"content-range": f"bytes 0-{len(FILE) - 1}/{len(FILE)}"},
        {"content-range": f"bytes {2 * MIB}-{len(FILE) - 1}/*"},
        {"content-range": f"bytes {2 * MIB}-{len(FILE) - 1}/{len(FILE) + 1}"},
        {"content-range": f"bytes {2 * MIB}-{len(FILE)}/{len(FILE)}"},
        {"content-range": "bytes */9"},
        {"content-range": ""},
        {"content-length": "17"},
        {"content-encoding": "gzip"},
        {"etag": '"v2"'},
        {"etag": ""},
    ],
    ids=lambda changes: "{}: {}".format(*next(iter(changes.items()))),
)
async def test_a_part_that_is_not_what_was_asked_for_is_not_added(tmp_path: Path, changes: Mapping[str, str]) -> None:
    storage = Storage(FILE, cuts=[2 * MIB])

    def answer(sent: Any) -> Any:
        played = storage(sent)
        if isinstance(played, Streamed) and played.status_code == 206:
            return Streamed(played.pieces, 206, {**played.headers, **changes})
        return played

    core = make_core(answer, max_retries=1)
    await save(core.core, video(), tmp_path)
    assert storage.asked == [None, 2 * MIB, None]
    assert len(core.time.pauses) == 1, "the second answer was no failure"
    assert files_in(tmp_path) == {"18500.mp4": FILE}


async def test_a_part_that_ends_early_is_followed_by_the_next(tmp_path: Path) -> None:
    storage = Storage(FILE, cuts=[MIB])

    def answer(sent: Any) -> Any:
        played = storage(sent)
        if isinstance(played, Streamed) and played.status_code == 206:
            first = storage.asked[-1] or 0
            last = min(first + MIB, len(FILE)) - 1
            headers = {"etag": '"v1"', "content-range": f"bytes {first}-{last}/{len(FILE)}"}
            return Streamed([FILE[first : last + 1]], 206, headers)
        return played

    core = make_core(answer, max_retries=1)
    await save(core.core, video(), tmp_path)
    assert storage.asked == [None, MIB, 2 * MIB, 3 * MIB]
    assert files_in(tmp_path) == {"18500.mp4": FILE}


async def test_a_file_that_shrank_is_the_new_one(tmp_path: Path) -> None:
    new = content(MIB, seed=3)
    storage = Storage(FILE, cuts=[2 * MIB], changes={1: {"content": new}})  # under the same tag, which is a lie
    await saved(storage, tmp_path, max_retries=1)
    assert storage.asked == [None, 2 * MIB, None]
    assert files_in(tmp_path) == {"18500.mp4": new}


async def test_a_body_longer_than_its_length_is_not_believed(tmp_path: Path) -> None:
    storage = Storage(FILE, {"etag": '"v1"', "content-length": str(2 * MIB)})
    with pytest.raises(DownloadError, match="announced") as caught:
        await saved(storage, tmp_path, max_retries=1, keep_partial=True)
    assert isinstance(caught.value.__cause__, ConnectionLostError)
    assert storage.asked == [None, None]
    assert files_in(tmp_path) == {}


async def test_a_part_longer_than_its_range_is_not_believed(tmp_path: Path) -> None:
    def answer(sent: Any) -> Any:
        if "range" not in sent.headers:
            return Streamed([FILE[:MIB], LOST], 200, {"etag": '"v1"', "content-length": str(len(FILE))})
        headers = {"etag": '"v1"', "content-range": f"bytes {MIB}-{len(FILE) - 1}/{len(FILE)}"}
        return Streamed([FILE[MIB:], b"and more"], 206, headers)

    core = make_core(answer, max_retries=1)
    with pytest.raises(DownloadError):
        await save(core.core, video(), tmp_path, keep_partial=True)
    assert files_in(tmp_path) == {}


async def test_a_compressed_file_starts_over(tmp_path: Path) -> None:
    storage = Storage(FILE, {"etag": '"v1"', "content-encoding": "gzip"}, cuts=[2 * MIB], lengths=False)
    await saved(storage, tmp_path, max_retries=1)  # the double does not decompress
    assert storage.asked == [None, None]


async def test_a_file_read_into_memory_goes_on_too() -> None:
    storage = Storage(FILE, cuts=[100_000, 2 * MIB])
    core = make_core(storage, max_retries=1)
    assert await read(core.core, URL) == FILE
    assert storage.asked == [None, 100_000, 2 * MIB]
    storage = Storage(FILE, {}, cuts=[100_000])
    assert await read(make_core(storage, max_retries=1).core, URL) == FILE
    assert storage.asked == [None, None]


# From one call to the next.


async def test_a_call_that_ends_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        await saved(Storage(FILE, cuts=[2 * MIB]), tmp_path)
    assert files_in(tmp_path) == {}


async def test_what_is_kept_on_request_is_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        await saved(Storage(FILE, cuts=[2 * MIB + 3]), tmp_path, keep_partial=True)
    assert leftovers(tmp_path) == [".json", ".part"]
    storage = Storage(FILE)
    result = await saved(storage, tmp_path, digest=True)
    assert storage.asked == [2 * MIB + 3]
    assert result.resumed == 2 * MIB + 3
    assert result.sha256 == hashlib.sha256(FILE).hexdigest()
    assert files_in(tmp_path) == {"18500.mp4": FILE}


async def test_what_was_left_is_let_go_of_where_a_file_stands_that_stays(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        await save(make_core(Storage(FILE, cuts=[2 * MIB]), max_retries=0).core, URL, tmp_path, keep_partial=True)
    (tmp_path / "18500.mp4").write_bytes(b"theirs")
    storage = Storage(FILE)
    core = make_core(storage).core
    assert (await save(core, URL, tmp_path, overwrite="skip")).skipped
    assert (await save(core, URL, tmp_path, overwrite="replace")).resumed == 2 * MIB
    assert storage.asked == [2 * MIB, 2 * MIB]
    assert files_in(tmp_path) == {"18500.mp4": FILE}


async def test_a_cancelled_call_keeps_on_request_what_had_arrived(tmp_path: Path) -> None:
    core: Bench = make_core([Streamed([FILE[:MIB], FILE[MIB : MIB + 9], STALL], 200, {"etag": '"v1"'})])
    with anyio.CancelScope() as scope:
        await save(core.core, video(), tmp_path, keep_partial=True, on_progress=lambda *_: scope.cancel())
    assert scope.cancelled_caught
    storage = Storage(FILE)
    await saved(storage, tmp_path)
    assert storage.asked in ([MIB], [MIB + 9])
    assert files_in(tmp_path) == {"18500.mp4": FILE}


async def test_what_a_killed_process_left_is_gone_on_from(tmp_path: Path) -> None:
    left_behind(tmp_path, 2 * MIB)
    storage = Storage(FILE)
    result = await saved(storage, tmp_path)
    assert (storage.asked, result.resumed) == ([2 * MIB], 2 * MIB)
    assert files_in(tmp_path) == {"18500.mp4": FILE}


@pytest.mark.parametrize("cut", [None, 2 * MIB + MIB // 2])
async def test_what_was_left_of_another_version_goes(tmp_path: Path, cut: int | None) -> None:
    left_behind(tmp_path, 2 * MIB)
    new = content(len(FILE), seed=4)
    storage = Storage(new, {"etag": '"v2"'}, cuts=[] if cut is None else [cut])
    result = await saved(storage, tmp_path, max_retries=1)
    assert (storage.asked[0], storage.sent, result.resumed) == (2 * MIB, len(new), 0)
    assert files_in(tmp_path) == {"18500.mp4": new}


async def test_attempts_that_bring_a_newer_version_on_are_not_counted_by_what_was_left(tmp_path: Path) -> None:
    left_behind(tmp_path, 3 * MIB)
    new = content(len(FILE), seed=4)
    storage = Storage(new, {"etag": '"v2"'}, cuts=[70_000 * number for number in range(1, 40)])
    await saved(storage, tmp_path, max_retries=1)
    assert storage.sent == len(new)
    assert files_in(tmp_path) == {"18500.mp4": new}


async def test_a_server_that_calls_each_answer_another_version_is_given_up(tmp_path: Path) -> None:
    changes = {number: {"headers": {"etag": f'"v{number}"'}} for number in range(40)}
    storage = Storage(FILE, cuts=[MIB] * 40, changes=changes)
    with pytest.raises(DownloadError, match="after 4 attempts"):
        await saved(storage, tmp_path, max_retries=2)


async def test_what_was_left_whole_is_confirmed_by_its_last_byte(tmp_path: Path) -> None:
    left_behind(tmp_path, len(FILE))
    storage = Storage(FILE)
    await saved(storage, tmp_path)
    assert storage.asked == [len(FILE) - 1]
    assert files_in(tmp_path) == {"18500.mp4": FILE}


async def test_what_was_left_is_not_touched_by_a_call_that_got_nothing(tmp_path: Path) -> None:
    left_behind(tmp_path, 2 * MIB)
    core = make_core([ConnectError("No route.")], max_retries=0)
    with pytest.raises(DownloadError):
        await save(core.core, video(), tmp_path)
    storage = Storage(FILE)
    await saved(storage, tmp_path)
    assert storage.asked == [2 * MIB]


@pytest.mark.parametrize("status", [404, 410])
async def test_what_was_left_of_a_file_that_is_gone_goes(tmp_path: Path, status: int) -> None:
    left_behind(tmp_path, 2 * MIB)
    core = make_core([Streamed([], status)])
    with pytest.raises(DownloadError):
        await save(core.core, video(), tmp_path, keep_partial=True)
    assert files_in(tmp_path) == {}


async def test_a_refused_signature_keeps_what_had_arrived(tmp_path: Path) -> None:
    left_behind(tmp_path, 2 * MIB)
    signed = video(result_url=f"{URL}?signature=old")
    with pytest.raises(DownloadError, match="signed address") as caught:
        await save(make_core([Streamed([], 403)]).core, signed, tmp_path)
    assert caught.value.status_code == 403
    storage = Storage(FILE)
    await save(make_core(storage).core, video(result_url=f"{URL}?signature=new"), tmp_path)
    assert storage.asked == [2 * MIB]


async def test_too_long_a_file_leaves_nothing(tmp_path: Path) -> None:
    left_behind(tmp_path, 2 * MIB)
    with pytest.raises(DownloadError, match="max_bytes"):
        await saved(Storage(FILE), tmp_path, max_bytes=MIB, keep_partial=True)
    assert files_in(tmp_path) == {}
    with pytest.raises(DownloadError, match="max_bytes"):
        await saved(Storage(FILE, lengths=False), tmp_path, max_bytes=2 * MIB, keep_partial=True)
    assert files_in(tmp_path) == {}


async def test_a_short_file_is_not_worth_keeping(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        await saved(Storage(FILE[:MIB], cuts=[MIB // 2]), tmp_path, keep_partial=True)
    assert files_in(tmp_path) == {}


async def test_an_address_with_another_query_is_another_file(tmp_path: Path) -> None:
    first, second = Storage(FILE, cuts=[2 * MIB]), Storage(FILE)
    with pytest.raises(DownloadError):
        await save(make_core(first, max_retries=0).core, f"{URL}?id=1", tmp_path, keep_partial=True)
    await save(make_core(second).core, f"{URL}?id=2", tmp_path)
    assert second.asked == [None]


# Several at once.


async def test_two_downloads_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    left_behind(tmp_path, 2 * MIB)
    storage = Storage(FILE, piece=10_000)
    core = make_core(storage)
    async with anyio.create_task_group() as group:
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            group.start_soon(save, core.core, video(), tmp_path / name)
    assert sorted(storage.asked, key=str) == [2 * MIB, None, None]
    assert files_in(tmp_path) == dict.fromkeys(("a.mp4", "b.mp4", "c.mp4"), FILE)


async def test_of_two_downloads_with_one_name_one_wins(tmp_path: Path) -> None:
    core = make_core(Storage(FILE, piece=10_000))
    results: list[SavedFile | Exception] = []

    async def run(**options: Any) -> None:
        try:
            results.append(await save(core.core, video(), tmp_path, **options))
        except Exception as error:  # noqa: BLE001 - looked at below
            results.append(error)

    async with anyio.create_task_group() as group:
        for overwrite in ("error", "skip", "rename"):
            group.start_soon(lambda word: run(overwrite=word), overwrite)
    assert set(files_in(tmp_path).values()) == {FILE}
    assert leftovers(tmp_path) == []
    assert 2 <= sum(isinstance(one, SavedFile) for one in results) <= 3


async def test_cancelling_the_asyncio_way_leaves_nothing_at_any_moment(tmp_path: Path, anyio_backend_name: str) -> None:
    if anyio_backend_name != "asyncio":
        return
    for turns in range(0, 120, 3):
        left_behind(tmp_path, MIB)
        task = asyncio.ensure_future(saved(Storage(FILE), tmp_path))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        left = leftovers(tmp_path)
        assert left in ([], [".json", ".part"])  # as it was found, or nothing
        part = PartFile(tmp_path, key_of_file())
        part.open_kept()
        part.discard_kept()
        part.close(keep=False)
        assert set(files_in(tmp_path)) <= {"18500.mp4"}
        (tmp_path / "18500.mp4").unlink(missing_ok=True)


async def test_a_thread_that_outlives_the_wait_for_it_takes_nothing(
    tmp_path: Path, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if anyio_backend_name != "asyncio":
        return
    entered, go, done = threading.Event(), threading.Event(), threading.Event()
    locate, find = download.DiskSink._locate, vars(download)["locate_target"]

    def slow_locate(sink: Any) -> bool:
        try:
            return locate(sink)
        finally:
            done.set()

    def slow_find(target: str) -> Any:
        entered.set()
        go.wait(10)
        return find(target)

    monkeypatch.setattr(download.DiskSink, "_locate", slow_locate)
    monkeypatch.setattr(download, "locate_target", slow_find)
    left_behind(tmp_path, 2 * MIB)
    task = asyncio.ensure_future(saved(Storage(FILE), tmp_path))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await asyncio.to_thread(done.wait, 10)
    part = PartFile(tmp_path, key_of_file())
    assert part.open_kept() is not None, "nobody holds it"
    part.close(keep=True)
