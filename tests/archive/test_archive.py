"""`history.archive`: one right mirror, whatever the history holds and whenever a run ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from neuralbox import _errors as errors
from neuralbox._archive import archive
from neuralbox._archive import directory as archive_directory
from neuralbox._archive.manifest import append as append_lines
from neuralbox._archive.results import ArchiveProgress
from neuralbox._client import AsyncNeuralBox
from neuralbox._files.download import save as downloads_save
from tests.archive.support import ACCOUNT, STORAGE, Service, lines_of, mirror_of, names_in, webp
from tests.helpers import START, make_client

pytestmark = pytest.mark.anyio


@pytest.fixture
def service() -> Service:
    return Service()


def client(service: Callable[[httpx.Request], httpx.Response], **options: Any) -> AsyncNeuralBox:
    return make_client(service, max_retries=0, **options)


def ago(**how_long: float) -> str:
    return (datetime.fromtimestamp(START, UTC) - timedelta(**how_long)).isoformat()


# What a mirror holds.


async def test_several_kinds_stand_side_by_side_with_a_line_for_each_file(service: Service, tmp_path: Path) -> None:
    service.image("gen_1", prompt="Город", tokens_used=8, created_at=ago(days=1))
    service.text(20500, "Crumb, Rye, Dawn")
    service.items.insert(0, {"id": 7, "type": "video", "status": "pending"})
    async with client(service) as nb:
        done = await nb.history.archive(tmp_path / "a" / "mirror")
    assert mirror_of(done.directory) == {"gen_1/file": webp("gen_1"), "20500/text": b"Crumb, Rye, Dawn"}
    assert names_in(done.directory) == {"image/gen_1.webp", "text/20500.txt"}
    assert (done.listed, done.saved, done.kept, done.skipped, done.failed) == (3, 2, 0, 1, 0)
    assert done.bytes == len(webp("gen_1")) + 16
    assert done.manifest == tmp_path / "a" / "mirror" / "manifest.jsonl"
    lines = {line["key"]: line for line in lines_of(done.directory)}
    image = lines["gen_1"]
    assert (image["service"], image["account"], image["prompt"], image["tokens"]) == ("neuralbox", "1001", "Город", 8)
    assert image["expires_at"] == (datetime.fromtimestamp(START, UTC) + timedelta(days=89)).isoformat()
    assert (image["kind"], image["raw"]["tokens_used"], lines["20500"]["id"]) == ("image", 8, 20500)
    assert "Город" in done.manifest.read_text(encoding="utf-8")


async def test_a_second_run_fetches_only_what_is_new(service: Service, tmp_path: Path) -> None:
    service.image(1)
    service.text(2, "Two")
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
        before = (tmp_path / "manifest.jsonl").read_bytes()
        again = await nb.history.archive(tmp_path, verify=True)
        assert (again.saved, again.kept, again.bytes) == (0, 2, 0)
        assert (tmp_path / "manifest.jsonl").read_bytes() == before
        service.image(3)
        del service.items[-1]  # deleted from the history, but not from the mirror
        third = await nb.history.archive(tmp_path)
    assert (third.saved, third.kept) == (1, 1)
    assert set(mirror_of(tmp_path)) == {"1/file", "2/text", "3/file"}
    assert service.fetched == [f"{STORAGE}/1.webp", f"{STORAGE}/3.webp"]


@pytest.mark.parametrize(("plan", "order"), [("vip", [2, 3, 1, 4]), ("elite", [4, 2, 3, 1])])
async def test_what_expires_first_is_saved_first_and_what_should_be_gone_last(
    service: Service, tmp_path: Path, plan: str, order: list[int]
) -> None:
    ages = {1: None, 2: ago(days=89), 3: ago(days=30), 4: ago(days=91)}
    for identity, age in ages.items():
        service.image(identity, created_at=age or ago(seconds=1) if plan == "elite" else age or "")
    service.me = {"id": ACCOUNT, "plan": plan}
    async with client(service) as nb:
        await nb.history.archive(tmp_path / "asked", concurrency=1)
        assert [int(url.rpartition("/")[2][0]) for url in service.fetched] == order
        service.fetched.clear()
        service.me = 404
        await nb.history.archive(tmp_path / "told", concurrency=1, plan=plan)
        assert [int(url.rpartition("/")[2][0]) for url in service.fetched] == order


async def test_only_what_was_asked_for_is_mirrored(service: Service, tmp_path: Path) -> None:
    service.image(1)
    service.text(2, "Two")
    async with client(service) as nb:
        done = await nb.history.archive(tmp_path, type="text", concurrency=1, max_bytes=None)
    assert (done.listed, names_in(tmp_path)) == (1, {"text/2.txt"})


async def test_a_text_that_the_list_does_not_have_is_asked_for_once(service: Service, tmp_path: Path) -> None:
    service.text("gen_t", None)
    service.details["gen_t"] = {"id": "gen_t", "status": "completed", "content": "Told", "prompt": None}
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
        again = await nb.history.archive(tmp_path)
        assert (again.kept, again.saved) == (1, 0)
        (tmp_path / "text" / "gen_t.txt").unlink()
        third = await nb.history.archive(tmp_path)
    assert (third.kept, third.saved) == (0, 1)
    assert mirror_of(tmp_path) == {"gen_t/text": b"Told"}
    assert service.asked["/generate/status/gen_t"] == 2
    line = lines_of(tmp_path)[0]
    assert (line["prompt"], line["text"]) == ("Say", "Told")


async def test_an_asked_for_generation_may_turn_out_to_have_a_file(service: Service, tmp_path: Path) -> None:
    url = service.image(5)
    del service.items[0]["url"]
    service.details["5"] = {"id": 5, "status": "completed", "result_url": url, "result_text": "And words"}
    progress: list[ArchiveProgress] = []
    async with client(service) as nb:
        await nb.history.archive(tmp_path, on_progress=progress.append)
    assert mirror_of(tmp_path) == {"5/file": webp("5"), "5/text": b"And words"}
    assert (progress[-1].done, progress[-1].total, progress[-1].saved) == (1, 1, 2)


async def test_progress_counts_up_and_is_told_one_call_at_a_time(service: Service, tmp_path: Path) -> None:
    for number in range(5):
        service.image(number)
    told: list[ArchiveProgress] = []
    inside = 0

    async def tell(progress: ArchiveProgress) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        await checkpoint()
        told.append(progress)
        inside -= 1

    async with client(service) as nb:
        done = await nb.history.archive(tmp_path, on_progress=tell)
    assert told[-1] == ArchiveProgress(listed=5, total=5, done=5, saved=5, bytes=done.bytes)
    assert [one.done for one in told] == sorted(one.done for one in told)


async def test_an_error_of_the_callback_is_the_callers_own(service: Service, tmp_path: Path) -> None:
    service.image(1)

    def tell(progress: ArchiveProgress) -> None:
        if progress.saved:
            raise KeyError("mine")

    async with client(service) as nb:
        with pytest.raises(KeyError, match="mine"):
            await nb.history.archive(tmp_path, on_progress=tell)
        assert (await nb.history.archive(tmp_path)).kept == 1


async def test_a_run_that_an_error_stopped_amid_its_plan_can_run_again(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_BATCH", 1)
    for number in range(4):
        service.image(number)

    def tell(progress: ArchiveProgress) -> None:
        if progress.saved:
            raise KeyError("mine")

    async with client(service) as nb:
        with pytest.raises(KeyError, match="mine") as caught:  # holds the stopped run, as a traceback does
            await nb.history.archive(tmp_path, concurrency=1, on_progress=tell)
        assert (await nb.history.archive(tmp_path)).failed == 0
    assert caught.value.__traceback__ is not None
    assert len(mirror_of(tmp_path)) == 4


# What cannot be had.


async def test_failures_are_collected_and_tried_again_by_the_next_run(service: Service, tmp_path: Path) -> None:
    url = service.image(1)
    content = service.files.pop(url)
    service.image(2)
    service.text(3, None)
    service.items.insert(0, {"id": 4, "type": "image", "status": "completed", "url": "ftp://no/4.png"})
    service.text(5, None)
    service.details["5"] = {"id": 5, "status": "completed"}
    async with client(service) as nb:
        done = await nb.history.archive(tmp_path)
        assert (done.saved, done.failed) == (1, 4)
        failures = {int(one.job.id): one for one in done.failures}
        assert {number: one.error for number, one in failures.items()} == {
            1: "DownloadError",
            3: "NotFoundError",
            4: "ConfigurationError",
            5: "DownloadError",
        }
        assert str(failures[5]) == "job 5 (text): The service tells neither its text nor the address of a file."
        service.files[url] = content
        again = await nb.history.archive(tmp_path)
    assert (again.saved, again.kept, again.failed) == (1, 1, 3)


async def test_an_address_that_cannot_be_asked_is_a_failure_of_its_own(service: Service, tmp_path: Path) -> None:
    for host in ("xn--i-7iq.test", "xn--.test"):  # idna refuses them
        service.image(host, url=f"https://{host}/1.webp")
        service.files[f"https://{host}/1.webp"] = webp(host), "image/webp"
    service.image("dot", url="https://.storage.test/1.webp")
    async with client(service) as nb:
        done = await nb.history.archive(tmp_path)
    assert (done.saved, [failure.error for failure in done.failures]) == (2, ["ConfigurationError"])


async def test_an_empty_file_is_a_failure_and_tried_again_by_the_next_run(service: Service, tmp_path: Path) -> None:
    url = service.image(1)
    content = service.files[url]
    service.files[url] = b"", "image/webp"
    async with client(service) as nb:
        done = await nb.history.archive(tmp_path)
        assert (done.saved, done.failed) == (0, 1)
        assert "It came empty." in done.failures[0].message
        assert not (tmp_path / "image" / "1.webp").exists()
        service.files[url] = content
        again = await nb.history.archive(tmp_path)
    assert (again.saved, again.failed) == (1, 0)
    assert (tmp_path / "image" / "1.webp").read_bytes() == content[0]


async def test_expired_files_are_noted_and_not_asked_for_again(service: Service, tmp_path: Path) -> None:
    service.gone.add(service.image(1))
    service.image(2)
    async with client(service) as nb:
        for _ in range(2):
            done = await nb.history.archive(tmp_path)
            assert (done.expired, done.failed) == (1, 0)
    assert service.asked[f"{STORAGE}/1.webp"] == 1
    gone = next(line for line in lines_of(tmp_path) if line["key"] == "1")
    assert (gone["state"], gone["path"], gone["bytes"], gone["sha256"]) == ("expired", None, None, None)
    assert set(mirror_of(tmp_path)) == {"2/file"}


@pytest.mark.parametrize(
    ("plan", "days", "is_failure"),
    [
        ("vip", 89, True),
        ("vip", 91, False),
        ("elite", 999, True),
        (None, 6, True),
        (None, 8, False),
        ("elite", None, True),
        (None, None, False),
    ],
)
async def test_a_file_that_is_not_found_is_expired_when_its_time_is_over_and_a_failure_before(
    service: Service, tmp_path: Path, plan: str | None, days: int | None, is_failure: bool
) -> None:
    service.me = 404 if plan is None else {"id": ACCOUNT, "plan": plan}
    service.lost.add(service.image(1, created_at="" if days is None else ago(days=days)))
    async with client(service) as nb:
        first = await nb.history.archive(tmp_path)
        assert (first.failed, first.expired) == (is_failure, not is_failure)
        service.lost.clear()
        second = await nb.history.archive(tmp_path)
        assert (second.saved, second.expired) == (is_failure, not is_failure)


async def test_what_is_noted_as_gone_before_its_time_is_asked_for_again_where_files_are_verified(
    service: Service, tmp_path: Path
) -> None:
    service.gone |= {service.image(1, created_at=ago(days=1)), service.image(2, created_at=ago(days=91))}
    async with client(service) as nb:
        for verify in (False, False, True):
            done = await nb.history.archive(tmp_path, verify=verify)
            assert (done.expired, done.failed) == (2, 0)
        assert (service.asked[f"{STORAGE}/1.webp"], service.asked[f"{STORAGE}/2.webp"]) == (2, 1)
        service.gone.clear()
        done = await nb.history.archive(tmp_path, verify=True)
    assert (done.saved, done.expired) == (1, 1)
    assert set(mirror_of(tmp_path)) == {"1/file"}


async def test_only_so_many_failures_are_kept_but_all_are_counted(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_FAILURES_KEPT", 2)
    for number in range(5):
        del service.files[service.image(number)]
    async with client(service) as nb:
        done = await nb.history.archive(tmp_path)
    assert (done.failed, len(done.failures)) == (5, 2)


async def test_a_key_that_is_refused_in_the_middle_ends_the_run(service: Service, tmp_path: Path) -> None:
    service.text(1, None)

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401) if "/generate/" in request.url.path else service(request)

    async with client(handler) as nb:
        with pytest.raises(errors.AuthenticationError):
            await nb.history.archive(tmp_path)


async def test_a_longer_file_than_allowed_is_a_failure(service: Service, tmp_path: Path) -> None:
    service.image(1)
    async with client(service) as nb:
        done = await nb.history.archive(tmp_path, max_bytes=5)
    assert (done.failed, names_in(tmp_path)) == (1, set())


# Names.


async def test_files_that_are_not_ours_keep_their_names_and_the_same_content_is_adopted(
    service: Service, tmp_path: Path
) -> None:
    service.image(1)
    service.image(2)
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "1.webp").write_bytes(b"holiday")
    (tmp_path / "image" / "2.webp").write_bytes(webp("2"))
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
        assert (await nb.history.archive(tmp_path)).kept == 2
    assert (tmp_path / "image" / "1.webp").read_bytes() == b"holiday"
    paths = {line["key"]: line["path"] for line in lines_of(tmp_path)}
    assert paths["2"] == "image/2.webp"
    assert paths["1"].startswith("image/1-")
    assert (tmp_path / paths["1"]).read_bytes() == webp("1")


async def test_ids_that_differ_only_in_what_names_cannot_say_have_files_of_their_own(
    service: Service, tmp_path: Path
) -> None:
    identities = ["Ab", "aB", "x:y", "x?y", "../../up", "n" * 300 + "1", "n" * 300 + "2", "con"]
    for identity in identities:
        service.image(identity, created_at=ago(days=1))
        service.items[0]["url"] = f"{STORAGE}/{identities.index(identity)}.webp"
        service.files[f"{STORAGE}/{identities.index(identity)}.webp"] = (webp(identity), "image/webp")
    async with client(service) as nb:
        done = await nb.history.archive(tmp_path)
        assert (await nb.history.archive(tmp_path)).kept == len(identities)
    assert done.failures == ()
    assert mirror_of(tmp_path) == {f"{identity}/file": webp(identity) for identity in identities}
    assert len({name.casefold() for name in names_in(tmp_path)}) == len(identities)
    assert all(name.startswith("image/") for name in names_in(tmp_path))


async def test_generations_without_an_id_have_files_of_their_own(service: Service, tmp_path: Path) -> None:
    for number in range(6):
        service.image(number, prompt=f"City {number}", created_at=ago(days=number))
    service.text(7, "Same")
    service.text(8, "Same")
    for one in service.items:
        del one["id"]
    service.items.insert(0, service.items[2])  # as a page that moved shows it again, which no id tells
    async with client(service) as nb:
        first = await nb.history.archive(tmp_path, concurrency=8)
        for one in service.items[3:]:
            one |= {"is_favorited": True, "url": f"{one['url']}?signed=1"}
        again = await nb.history.archive(tmp_path, concurrency=8)
    assert (first.listed, first.saved, first.skipped, first.failed) == (9, 7, 2, 0)
    assert (again.saved, again.kept, again.failed) == (0, 7, 0)
    assert sorted(mirror_of(tmp_path).values()) == sorted([*(webp(str(number)) for number in range(6)), b"Same"])


@pytest.mark.parametrize("kind", ["manifest.jsonl", "Manifest.JSONL"])
async def test_a_kind_that_is_called_like_the_manifest_has_a_folder_all_the_same(
    service: Service, tmp_path: Path, kind: str
) -> None:
    service.image(1, type=kind)
    async with client(service) as nb:
        for _ in range(2):
            done = await nb.history.archive(tmp_path)
            assert (done.saved + done.kept, done.failed) == (1, 0)
    assert names_in(tmp_path) == {"other/1.webp"}


async def test_an_address_without_an_ending_gets_that_of_its_media_type(service: Service, tmp_path: Path) -> None:
    service.image(1, ending="")
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
    assert names_in(tmp_path) == {"image/1.webp"}


async def test_a_name_that_is_taken_a_hundred_times_is_an_error(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_directory, "_MOST_NAMES", 1)
    service.image(1)
    (tmp_path / "image" / "1.webp").mkdir(parents=True)
    async with client(service) as nb:
        with pytest.raises(errors.ConfigurationError, match="files named after 1"):
            await nb.history.archive(tmp_path)


async def test_half_characters_and_numbers_that_are_none_survive_in_the_manifest(
    service: Service, tmp_path: Path
) -> None:
    service.text(1, "cut \ud83d")
    body = b'{"items": [{"id": 1, "status": "completed", "result_text": "x", "progress": NaN}], "total": 1}'

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/user/history"):
            return httpx.Response(200, content=body)
        return service(request)

    async with client(handler) as nb:
        await nb.history.archive(tmp_path)
    assert b"NaN" not in (tmp_path / "manifest.jsonl").read_bytes()
    assert lines_of(tmp_path)[0]["raw"]["progress"] is None


# Runs that end early.


class Killed(BaseException):
    """The process ends here."""


def end_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """End the process at a step of the work on the disk, and let nothing happen after it."""
    steps: list[str] = []

    def guarded(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def do(*given: Any, **options: Any) -> Any:
            steps.append(name)
            if len(steps) > step:
                raise Killed
            return act(*given, **options)

        return do

    monkeypatch.setattr(archive_directory, "append", guarded("append", append_lines))
    monkeypatch.setattr(
        archive_directory, "_rename_into_place", guarded("settle", archive_directory._rename_into_place)
    )
    monkeypatch.setattr(archive_directory, "_write_text", guarded("text", archive_directory._write_text))
    monkeypatch.setattr(archive, "save", guarded("save", downloads_save))
    return steps


async def test_a_run_that_is_killed_anywhere_is_completed_by_the_next(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        service.image(number)
    service.text(10, "Text")
    expected = {f"{number}/file": webp(str(number)) for number in range(3)} | {"10/text": b"Text"}
    steps: list[str] = []
    for step in count():
        directory = tmp_path / str(step)
        async with client(service) as nb:
            with monkeypatch.context() as patch:
                steps = end_at(patch, step)
                try:
                    await nb.history.archive(directory, concurrency=2)
                except* Killed:
                    pass
            if len(steps) <= step:
                break
            again = await nb.history.archive(directory)
        assert again.saved + again.kept == 4
        assert mirror_of(directory) == expected
        assert sorted(path.name for path in (directory / ".neuralbox").iterdir()) == ["archive.lock"]
    assert len(steps) > 6
    assert {"append", "settle", "text", "save"} <= set(steps)


async def test_what_was_entered_but_not_named_is_not_fetched_again(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.image(1)

    def fail(*_: object) -> None:
        raise Killed

    async with client(service) as nb:
        with monkeypatch.context() as patch:
            patch.setattr(archive_directory, "_rename_into_place", fail)
            with pytest.raises(BaseExceptionGroup):
                await nb.history.archive(tmp_path)
        assert names_in(tmp_path) == set()
        again = await nb.history.archive(tmp_path)
    assert (again.kept, again.saved, len(service.fetched)) == (1, 0, 1)
    assert mirror_of(tmp_path) == {"1/file": webp("1")}


async def test_a_cancelled_run_enters_what_it_has_and_lets_go_of_the_directory(
    service: Service, tmp_path: Path
) -> None:
    for number in range(3):
        service.image(number)
    async with client(service) as nb:
        with anyio.CancelScope() as scope:
            await nb.history.archive(
                tmp_path, concurrency=1, on_progress=lambda one: scope.cancel() if one.saved else None
            )
        assert scope.cancelled_caught
        assert len(mirror_of(tmp_path)) >= 1
        again = await nb.history.archive(tmp_path)
    assert again.kept >= 1
    assert len(mirror_of(tmp_path)) == 3


async def test_what_was_fetched_and_not_entered_is_entered_at_the_end(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.image(1)
    entering = archive_directory.ArchiveDirectory.enter
    calls: list[int] = []
    with anyio.CancelScope() as scope:

        async def save(*given: Any, **options: Any) -> Any:
            saved = await real(*given, **options)
            scope.cancel()
            return saved

        def enter(self: Any, done: Any, now: float) -> Any:
            calls.append(len(done))
            return entering(self, done, now)

        real = downloads_save
        monkeypatch.setattr(archive, "save", save)
        monkeypatch.setattr(archive_directory.ArchiveDirectory, "enter", enter)
        async with client(service) as nb:
            await nb.history.archive(tmp_path)
    assert calls == [1]
    assert set(mirror_of(tmp_path)) == {"1/file"}


@pytest.mark.parametrize("cut", [1, 5, 40, -1, -2, -40])
async def test_a_manifest_that_was_cut_is_repaired_and_its_files_adopted(
    service: Service, tmp_path: Path, cut: int
) -> None:
    service.image(1)
    service.image(2)
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
        manifest = tmp_path / "manifest.jsonl"
        manifest.write_bytes(manifest.read_bytes()[:cut])
        again = await nb.history.archive(tmp_path)
    assert again.saved + again.kept == 2
    assert names_in(tmp_path) == {"image/1.webp", "image/2.webp"}
    assert set(mirror_of(tmp_path)) == {"1/file", "2/file"}


@pytest.mark.parametrize("content", [b"", b"shorter", webp("X")])
async def test_a_file_that_is_damaged_is_fetched_again(service: Service, tmp_path: Path, content: bytes) -> None:
    service.image(1)
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
        (tmp_path / "image" / "1.webp").write_bytes(content)
        again = await nb.history.archive(tmp_path, verify=True)
    assert again.saved == 1
    assert mirror_of(tmp_path) == {"1/file": webp("1")}


async def test_what_a_failed_run_left_in_the_staging_is_cleared_by_one_that_has_everything(
    service: Service, tmp_path: Path
) -> None:
    service.image(1)
    staging = tmp_path / ".neuralbox"
    staging.mkdir()
    left = {"0f" * 20, f".neuralbox-{'0f' * 8}.part", f".neuralbox-{'0f' * 8}.json"}
    for name in left:
        (staging / name).write_bytes(b"part")
    (staging / ("1e" * 20)).mkdir()
    service.image(2)
    content = service.files.pop(f"{STORAGE}/2.webp")
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
        assert left < {path.name for path in staging.iterdir()}
        service.files[f"{STORAGE}/2.webp"] = content
        await nb.history.archive(tmp_path)
    assert {path.name for path in staging.iterdir()} == {"archive.lock", "1e" * 20}


async def test_what_others_keep_in_the_staging_stays(service: Service, tmp_path: Path) -> None:
    service.image(1)
    staging = tmp_path / ".neuralbox"
    staging.mkdir()
    digits, half = "0f" * 20, "0f" * 8
    others = {"run.sqlite", "run.sqlite-wal", "notes.txt", digits + ".txt", digits[1:], digits.upper()}
    others |= {f"{half}.part", f".neuralbox-{half}", f".neuralbox-{half}.part.txt", f".neuralbox-{half}0.json"}
    for name in others:
        (staging / name).write_bytes(b"not the archive's")
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
    assert {path.name for path in staging.iterdir()} == others | {"archive.lock"}


# Directories that cannot be.


async def test_a_directory_that_is_a_file_is_refused_before_a_file_is_fetched(service: Service, tmp_path: Path) -> None:
    service.image(1)
    (tmp_path / "file").write_bytes(b"x")
    async with client(service) as nb:
        for directory in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(errors.ConfigurationError, match="not a directory"):
                await nb.history.archive(directory)
    assert service.fetched == []


@pytest.mark.parametrize("what", ["link", "dangling link", "file"])
async def test_a_staging_that_is_no_directory_of_the_archives_own_is_refused(
    service: Service, tmp_path: Path, what: str
) -> None:
    service.image(1)
    mirror, elsewhere = tmp_path / "mirror", tmp_path / "elsewhere"
    mirror.mkdir()
    if what == "file":
        (mirror / ".neuralbox").write_bytes(b"mine")
    else:
        (mirror / ".neuralbox").symlink_to(elsewhere, target_is_directory=True)
    if what == "link":
        elsewhere.mkdir()
        (elsewhere / ("0f" * 20)).write_bytes(b"another archive's")
    async with client(service) as nb:
        with pytest.raises(errors.ConfigurationError, match="is a link or a file"):
            await nb.history.archive(mirror)
    assert service.fetched == []
    if what == "link":
        assert [path.name for path in elsewhere.iterdir()] == ["0f" * 20]
    else:
        assert not elsewhere.exists()


async def test_a_staging_folder_of_somebody_else_is_refused(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".neuralbox").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    async with client(service) as nb:
        with pytest.raises(errors.ConfigurationError, match="or somebody else's"):
            await nb.history.archive(tmp_path)
    assert [path.name async for path in anyio.Path(tmp_path).rglob("*")] == [".neuralbox"]


async def test_the_mirror_of_another_account_or_service_is_refused(service: Service, tmp_path: Path) -> None:
    service.text(1, "One")
    async with client(service) as nb:
        await nb.history.archive(tmp_path)
        service.me = {"id": 7}
        with pytest.raises(errors.ConfigurationError, match="account 1001, and this is account 7"):
            await nb.history.archive(tmp_path)
        service.me = 404  # whose it is cannot be known
        assert (await nb.history.archive(tmp_path)).kept == 1
        manifest = tmp_path / "manifest.jsonl"
        manifest.write_bytes(manifest.read_bytes().replace(b'"neuralbox"', b'"geminigen"'))
        with pytest.raises(errors.ConfigurationError, match="mirrors a history of geminigen, not of neuralbox"):
            await nb.history.archive(tmp_path)


async def test_a_manifest_that_is_none_of_ours_is_left_alone(service: Service, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(b'{"of": "another program"}\n')
    async with client(service) as nb:
        with pytest.raises(errors.ConfigurationError, match="not the manifest of an archive"):
            await nb.history.archive(tmp_path)
        assert manifest.read_bytes() == b'{"of": "another program"}\n'
        manifest.unlink()
        manifest.mkdir()
        with pytest.raises(errors.ConfigurationError, match="is not a file"):
            await nb.history.archive(tmp_path)


async def test_two_runs_in_one_directory_at_once_are_refused(service: Service, tmp_path: Path) -> None:
    service.image(1)
    async with client(service) as nb:

        async def second(progress: ArchiveProgress) -> None:
            if progress.done == 0:
                with pytest.raises(errors.ConfigurationError, match="Another archive is at work"):
                    await nb.history.archive(tmp_path)

        await nb.history.archive(tmp_path, on_progress=second)
        assert (await nb.history.archive(tmp_path)).kept == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": 65},
        {"max_bytes": 0},
        {"plan": "gold"},
        {"directory": ""},
        {"verify": "no"},
        {"on_progress": 5},
    ],
)
async def test_arguments_that_cannot_be_right_are_refused_before_anything_is_sent(
    service: Service, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    async with client(service) as nb:
        with pytest.raises(errors.ConfigurationError, match=f"`{next(iter(wrong))}`"):
            await nb.history.archive(**cast("Any", {"directory": tmp_path, **wrong}))
    assert not service.asked


async def test_a_disk_that_is_full_ends_the_run_and_keeps_what_is_whole(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        service.image(number)
    appended = 0

    def append(path: Path, lines: list[bytes]) -> None:
        nonlocal appended
        appended += 1
        if appended > 1:
            raise OSError(28, "No space left on device")
        real(path, lines)

    real = append_lines
    async with client(service) as nb:
        with monkeypatch.context() as patch:
            patch.setattr(archive_directory, "append", append)
            with pytest.raises(errors.DownloadError, match="The archive cannot be written: No space left on device"):
                await nb.history.archive(tmp_path, concurrency=1)
        assert len(mirror_of(tmp_path)) == 1
        await nb.history.archive(tmp_path)
    assert len(mirror_of(tmp_path)) == 3


async def test_a_disk_that_fails_under_a_download_ends_the_run(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def save(*_: object, **__: object) -> None:
        raise errors.DownloadError("could not be written") from OSError(5, "Input/output error")

    for number in range(3):
        service.image(number)
    monkeypatch.setattr(archive, "save", save)
    async with client(service) as nb:
        with pytest.raises(errors.DownloadError, match="could not be written"):
            await nb.history.archive(tmp_path)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EIO])
async def test_a_kind_may_be_kept_on_another_disk(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    rename = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if path.parent != target.parent and target.parent.name == "image":
            raise OSError(code, os.strerror(code))
        return rename(path, target)

    service.image(1)
    service.text(2, "Two")
    monkeypatch.setattr(Path, "replace", replace)
    async with client(service) as nb:
        if code == errno.EXDEV:
            await nb.history.archive(tmp_path)
            assert mirror_of(tmp_path) == {"1/file": webp("1"), "2/text": b"Two"}
            assert [path.name for path in (tmp_path / ".neuralbox").iterdir()] == ["archive.lock"]
        else:
            with pytest.raises(errors.DownloadError, match="The archive cannot be written: Input/output error"):
                await nb.history.archive(tmp_path)


@pytest.mark.parametrize("told", ["One", None])
async def test_a_disk_that_fails_under_a_text_ends_the_run(service: Service, tmp_path: Path, told: str | None) -> None:
    service.text(1, told)
    service.details["1"] = {"id": 1, "status": "completed", "result_text": "One"}

    def block(progress: ArchiveProgress) -> None:
        if progress.listed == 1 and not (tmp_path / "elsewhere").exists():
            (tmp_path / ".neuralbox").rename(tmp_path / "elsewhere")
            (tmp_path / ".neuralbox").write_bytes(b"")

    async with client(service) as nb:
        with pytest.raises(errors.DownloadError, match="The archive cannot be written: Not a directory"):
            await nb.history.archive(tmp_path, on_progress=block)


async def test_a_directory_that_cannot_be_made_says_so(service: Service, tmp_path: Path) -> None:
    async with client(service) as nb:
        with pytest.raises(errors.DownloadError, match="cannot be used"):
            await nb.history.archive(tmp_path / ("n" * 300))
        (tmp_path / ".neuralbox" / "archive.lock").mkdir(parents=True)
        with pytest.raises(errors.DownloadError, match="cannot be used"):
            await nb.history.archive(tmp_path)
        (tmp_path / ".neuralbox" / "archive.lock").rmdir()
        (tmp_path / ".neuralbox" / "archive.lock").write_bytes(b"of another program, and longer than a page" * 99)
        with pytest.raises(errors.DownloadError, match="cannot be locked"):
            await nb.history.archive(tmp_path)


async def test_a_thread_that_outlives_the_run_touches_nothing_any_more(tmp_path: Path, service: Service) -> None:
    """Asyncio's own cancellation does not wait for threads."""
    from neuralbox._archive.source import ArchiveSource
    from neuralbox._models.generation import Generation

    async def ask(item: Generation) -> Generation:
        return item

    source = ArchiveSource("neuralbox", None, Generation, Generation.read, lambda item: item, lambda _: (), ask)
    opened = await to_thread.run_sync(
        lambda: archive_directory.ArchiveDirectory(tmp_path, source, plan=None, verify=False)
    )
    item = Generation.read({"id": 1, "status": "completed", "result_text": "x"})
    opened.close()
    opened.plan([item], 0.0)
    assert opened.order() == 0
    assert opened.sort_out(9, 0.0).examined == 0
    assert opened.sort_out_asked(item, item, 0.0).is_empty
    assert opened.enter([], 0.0).saved == 0
    opened.tidy()
    assert names_in(tmp_path) == set()
