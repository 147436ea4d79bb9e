"""The archive of the other service: its own records, several files of one, its own dates, its own account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from neuralbox import _errors as errors
from tests.archive.support import lines_of, mirror_of, names_in, webp
from tests.geminigen.support import client
from tests.helpers import make_client

pytestmark = pytest.mark.anyio

CDN = "https://cdn.test"


def item(uuid: str, *urls: str, **more: Any) -> dict[str, Any]:
    files = [{"type": "image", "url": url} for url in urls]
    first = urls[0] if urls else ""
    made = {"id": 1, "uuid": uuid, "user_id": 789, "type": "image_generation", "status": 2, "generate_result": first}
    return {**made, "media_files": files, **more}


class Service:
    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = list(items)
        self.details: dict[str, dict[str, Any]] = {}
        self.fetched: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "cdn.test":
            self.fetched.append(str(request.url))
            return httpx.Response(200, content=webp(request.url.path), headers={"content-type": "image/webp"})
        if request.url.path.endswith("/histories"):
            size = int(request.url.params["items_per_page"])
            return httpx.Response(200, json={"success": True, "total": len(self.items), "result": self.items[:size]})
        return httpx.Response(200, json=self.details[request.url.path.rpartition("/")[2]])


async def test_every_file_of_a_record_is_mirrored(tmp_path: Path) -> None:
    several = item("several", f"{CDN}/a.webp", f"{CDN}/b.webp", f"{CDN}/a.webp")
    single = item("single", f"{CDN}/c.webp", generate_result=f"{CDN}/c.webp?signed=1")
    service = Service(several, single, item("pending", status=1))
    progress: list[tuple[int, int]] = []
    async with client(service) as gg:
        done = await gg.history.archive(
            tmp_path, filter_by="image", on_progress=lambda one: progress.append((one.done, one.saved))
        )
        assert (done.listed, done.saved, done.skipped) == (3, 3, 1)
        assert (await gg.history.archive(tmp_path)).kept == 3
    assert progress[-1] == (3, 3)
    assert mirror_of(tmp_path) == {
        "several/file": webp("/a.webp"),
        "several/file-2": webp("/b.webp"),
        "single/file": webp("/c.webp"),
    }
    assert names_in(tmp_path) == {"image/several.webp", "image/several-2.webp", "image/single.webp"}
    assert f"{CDN}/c.webp?signed=1" in service.fetched
    line = next(one for one in lines_of(tmp_path) if one["part"] == "file-2")
    assert (line["service"], line["account"], line["key"], line["uuid"]) == ("geminigen", "789", "several", "several")
    assert line["raw"]["media_files"] == several["media_files"]


async def test_a_record_whose_list_has_no_file_is_asked_for(tmp_path: Path) -> None:
    service = Service(item("u", media_files=None))
    service.details["u"] = {**item("u"), "generated_image": [{"image_url": f"{CDN}/late.webp"}]}
    async with client(service) as gg:
        await gg.history.archive(tmp_path)
    assert mirror_of(tmp_path) == {"u/file": webp("/late.webp")}
    assert lines_of(tmp_path)[0]["generated_image"][0]["image_url"] == f"{CDN}/late.webp"


async def test_the_records_say_when_they_expire_and_the_nearest_is_saved_first(tmp_path: Path) -> None:
    days = {"a": "2026-03-20", "b": "2026-03-09", "c": "2026-03-01", "d": "2026-04-01"}
    service = Service(*(item(name, f"{CDN}/{name}.webp", expired_at=f"{day}T00:00:00") for name, day in days.items()))
    async with client(service) as gg:
        await gg.history.archive(tmp_path, concurrency=1)
    assert [url[-6] for url in service.fetched] == ["b", "a", "d", "c"]
    assert lines_of(tmp_path)[0]["expires_at"] == "2026-03-09T00:00:00+00:00"


async def test_accounts_and_services_are_not_mixed(tmp_path: Path) -> None:
    service = Service(item("u", f"{CDN}/u.webp"))
    async with client(service) as gg, make_client(service) as nb:
        await gg.history.archive(tmp_path)
        service.items[0]["user_id"] = 790
        with pytest.raises(errors.ConfigurationError, match="account 789, and this is account 790"):
            await gg.history.archive(tmp_path)
        service.items = []  # nobody knows whose an empty history is
        assert (await gg.history.archive(tmp_path)).listed == 0
        with pytest.raises(errors.ConfigurationError, match="concurrency"):
            await gg.history.archive(tmp_path, concurrency=0)
        del nb


async def test_a_password_of_a_file_is_written_nowhere(tmp_path: Path) -> None:
    secret = "correct horse"
    nested = {"file_password": secret, "voices": [{"file_password": secret, "name": "Ash"}]}
    service = Service(
        item("listed", f"{CDN}/a.webp", file_password=secret, more=nested), item("asked", media_files=None)
    )
    service.details["asked"] = {**item("asked", f"{CDN}/b.webp"), "file_password": secret}
    async with client(service) as gg:
        await gg.history.archive(tmp_path / "mirror")
        for name in ("history.jsonl", "history.csv"):
            await gg.history.export(tmp_path / name)
    lines = {line["key"]: line["raw"] for line in lines_of(tmp_path / "mirror")}
    assert set(lines) == {"listed", "asked"}
    assert lines["listed"]["more"] == {"voices": [{"name": "Ash"}]}
    written = contents(tmp_path)
    assert len(written) == 6  # two files, the manifest, the lock and two exports
    assert not [content for content in written if secret.encode() in content or b"file_password" in content]


def contents(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
