"""Histories as columns: what a Parquet file and a table hold, and that a second export asks for what is new and no more."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from neuralbox import ConfigurationError, DownloadError, Generation
from neuralbox._archive import arrow
from neuralbox.geminigen import HistoryItem
from tests.archive.support import Service
from tests.geminigen.support import client as gemini_client
from tests.helpers import make_client

pytestmark = pytest.mark.anyio


def names(directory: Path) -> list[str]:
    return [one.name for one in directory.iterdir()]


def service_of(count: int) -> Service:
    made = Service()
    for number in range(count):
        made.image(number, created_at=f"2026-03-0{1 + number // 100}T00:00:{number % 60:02d}Z", tokens_used=8)
    return made


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


async def test_a_file_has_a_column_for_each_field_with_its_type(tmp_path: Path) -> None:
    service = service_of(250)
    service.items[0] |= {"result_metadata": {"width": 7}, "usage": {"total_tokens": 3}, "progress": 5}
    async with make_client(service) as nb:
        done = await nb.history.export(tmp_path / "h.parquet")
        table = await nb.history.to_arrow(max_items=3, type="image")
    assert (done.items, done.added, done.bytes) == (250, 250, done.path.stat().st_size)
    found = rows(done.path)
    assert set(found[0]) == set(Generation.model_fields) - {"raw"}
    assert [row["id"] for row in found] == [str(item["id"]) for item in service.items]
    first = found[0]
    assert (first["tokens"], first["service"], first["created_at"].tzinfo) == (
        8,
        "neuralbox",
        first["created_at"].tzinfo,
    )
    assert (json.loads(first["metadata"]), json.loads(first["usage"])["total_tokens"]) == ({"width": 7}, 3)
    assert table.num_rows == 3
    assert table.schema.equals(pq.read_schema(done.path))


async def test_values_that_change_their_type_between_pages_are_read_or_null(tmp_path: Path) -> None:
    service = service_of(101)
    odd: dict[str, Any] = {"tokens_used": "9", "seed": 2**70, "prompt": "cut", "duration": [1], "progress": "x"}
    service.items[0] |= odd
    service.items[100] |= {
        "id": "gen_1",
        "tokens_used": None,
        "created_at": 5,
        "status": {"a": 1},
        "is_favorited": "no",
    }
    async with make_client(service) as nb:
        done = await nb.history.export(tmp_path / "h.parquet")
    first, last = rows(done.path)[0], rows(done.path)[-1]
    assert (first["tokens"], first["seed"], first["duration"], first["progress"]) == (9, None, None, None)
    assert (last["id"], last["tokens"]) == ("gen_1", None)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "text", None),
        ("\ud800", "text", "\\ud800"),
        (2**64, "whole", None),
        (7, "whole", 7),
        (10**400, "number", None),
        (2, "number", 2.0),
        ("yes", "flag", None),
        (True, "flag", True),
        ("now", "time", None),
    ],
)
def test_what_a_column_cannot_hold_is_null(value: Any, kind: str, expected: Any) -> None:
    assert arrow._fitting(value, kind) == expected


async def test_a_second_export_asks_for_what_is_new_and_appends_it(tmp_path: Path) -> None:
    service, path = service_of(450), tmp_path / "h.parquet"
    async with make_client(service) as nb:
        first = await nb.history.export(path, append=True)
        before = path.read_bytes()
        service.asked.clear()
        nothing = await nb.history.export(path, append=True)
        assert path.read_bytes() == before
        assert (nothing.items, nothing.added, nothing.bytes) == (450, 0, first.bytes)
        for number in range(450, 460):
            service.image(number, created_at="2026-03-09T00:00:00Z")
        grown = await nb.history.export(path, append=True)
    assert (grown.items, grown.added) == (460, 10)
    assert service.asked["/user/history"] <= 2 * 5  # the page with nothing new, and those asked for together with it
    assert [row["id"] for row in rows(path)] == [*map(str, range(449, -1, -1)), *map(str, range(459, 449, -1))]


async def test_what_had_not_ended_is_looked_for_until_it_has(tmp_path: Path) -> None:
    service, path = service_of(350), tmp_path / "h.parquet"
    late, gone = service.items[320], service.items[330]
    for item in (late, gone, service.items[5]):
        item["status"] = "pending"
    async with make_client(service) as nb:
        await nb.history.export(path, append=True)
        again = await nb.history.export(path, append=True)
        assert again.added == 0
        late |= {"status": "completed", "tokens_used": 60}
        service.items.remove(gone)
        service.image(900, created_at="2026-03-09T00:00:00Z", status="pending")
        done = await nb.history.export(path, append=True)
        assert (done.items, done.added) == (351, 2)
    found = {row["id"]: row for row in rows(path)}
    assert len(found) == 351
    assert (found[str(late["id"])]["status"], found[str(late["id"])]["tokens"]) == ("completed", 60)
    assert found[str(gone["id"])]["status"] == found["900"]["status"] == "pending"
    told = json.loads(pq.read_metadata(path).metadata[b"neuralbox.export"])
    assert set(told["open"]) == {str(gone["id"]), str(service.items[6]["id"]), "900"}


async def test_a_walk_for_what_had_not_ended_ends_where_it_was_created(tmp_path: Path) -> None:
    service, path = service_of(900), tmp_path / "h.parquet"
    service.items[150]["status"] = "pending"
    async with make_client(service) as nb:
        await nb.history.export(path, append=True)
        service.items.pop(150)
        service.asked.clear()
        await nb.history.export(path, append=True)
        assert service.asked["/user/history"] <= 6
        service.items[150]["status"] = "pending"  # known as ended: nothing to look for
        service.items[0] = {**service.items[0], "id": "new", "created_at": None, "status": "pending"}
        await nb.history.export(path, append=True)
        service.items.pop(0)
        service.asked.clear()
        await nb.history.export(path, append=True)  # one whose time nobody knows may be anywhere
    assert service.asked["/user/history"] == 9


async def test_one_that_is_gone_is_looked_for_once_and_taken_where_it_comes_again(tmp_path: Path) -> None:
    service, path = service_of(900), tmp_path / "h.parquet"
    service.items[150] |= {"status": "pending", "created_at": None}
    async with make_client(service) as nb:
        await nb.history.export(path, append=True)
        gone = service.items.pop(150)
        asked = []
        for _ in range(3):
            service.asked.clear()
            done = await nb.history.export(path, append=True)
            asked.append(service.asked["/user/history"])
            assert (done.items, done.added, done.bytes) == (900, 0, path.stat().st_size)
        assert asked[0] == 9
        assert max(asked[1:]) <= 5  # the page with nothing new, and those asked for together with it
        service.items.insert(0, gone | {"status": "completed", "tokens_used": 60})
        done = await nb.history.export(path, append=True)
        assert (done.items, done.added) == (900, 1)
        assert (await nb.history.export(path, append=True)).added == 0
    found = {row["id"]: row for row in rows(path)}
    assert (len(found), found[str(gone["id"])]["status"], found[str(gone["id"])]["tokens"]) == (900, "completed", 60)


@pytest.mark.parametrize(("most", "is_whole"), [(250, False), (900, False), (901, True)])
async def test_what_a_limited_export_left_out_comes_with_the_next(tmp_path: Path, most: int, is_whole: bool) -> None:
    service, path = service_of(900), tmp_path / "h.parquet"
    async with make_client(service) as nb:
        assert (await nb.history.export(path, max_items=most)).items == min(most, 900)
        asked = []
        for _ in range(2):
            service.asked.clear()
            assert (await nb.history.export(path, append=True)).items == 900
            asked.append(service.asked["/user/history"])
    assert (asked[0] == 9, asked[1] == 9) == (not is_whole, False)
    assert sorted(int(row["id"]) for row in rows(path)) == [*range(900)]


async def test_geminigens_records_have_their_own_columns(tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {
            "uuid": f"u{number}",
            "status": 1 if number == 1 else 2,
            "user_id": 5,
            "used_credit": "1.5",
            "media_files": [{}],
        }
        for number in range(3)
    ]
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url.params))
        size, page = int(request.url.params["items_per_page"]), int(request.url.params["page"])
        return httpx.Response(200, json={"total": len(items), "result": items[(page - 1) * size : page * size]})

    async with gemini_client(handler) as gg:
        done = await gg.history.export(tmp_path / "g.parquet", append=True)
        items[1]["status"] = 2
        again = await gg.history.export(tmp_path / "g.parquet", append=True)
        table = await gg.history.to_arrow(max_items=1)
        with pytest.raises(ConfigurationError, match="other filters"):
            await gg.history.export(tmp_path / "g.parquet", append=True, filter_by="image")
    assert (done.added, again.items, again.added, table.num_rows) == (3, 3, 1, 1)
    found = rows(tmp_path / "g.parquet")
    assert set(found[0]) == set(HistoryItem.model_fields) - {"raw"}
    assert [(row["uuid"], row["status"], row["used_credit"]) for row in found] == [
        ("u0", 2, 1.5),
        ("u2", 2, 1.5),
        ("u1", 2, 1.5),
    ]


async def test_what_cannot_be_appended_to_is_refused_and_left_alone(tmp_path: Path) -> None:
    service, path = service_of(3), tmp_path / "h.parquet"
    async with make_client(service) as nb:
        refused: list[dict[str, Any]] = [{"overwrite": True}, {"max_items": 5}]
        for arguments in refused:
            with pytest.raises(ConfigurationError, match="`append` adds"):
                await nb.history.export(path, append=True, **arguments)
        with pytest.raises(ConfigurationError, match="`append` adds"):
            await nb.history.export(tmp_path / "h.csv", append=True)
        path.write_bytes(b"mine")
        with pytest.raises(ConfigurationError, match="is no Parquet file"):
            await nb.history.export(path, append=True)
        assert path.read_bytes() == b"mine"
        pq.write_table(pa.table({"a": [1]}), path)
        with pytest.raises(ConfigurationError, match="was not written by an export"):
            await nb.history.export(path, append=True)
        pq.write_table(
            pa.table({"a": [1]}).replace_schema_metadata({"neuralbox.export": '{"version": 0, "open": {}}'}), path
        )
        with pytest.raises(ConfigurationError, match="another version of neuralbox"):
            await nb.history.export(path, append=True)
        await nb.history.export(path, overwrite=True)
        service.me = {"id": 2}
        with pytest.raises(ConfigurationError, match="other account: 1001, not 2"):
            await nb.history.export(path, append=True)
        service.me = 404
        assert (await nb.history.export(path, append=True)).added == 0
    assert names(tmp_path) == ["h.parquet"]


async def test_an_export_that_breaks_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service, path = service_of(5), tmp_path / "h.parquet"
    async with make_client(service) as nb:
        await nb.history.export(path, append=True)
        before = path.read_bytes()
        service.image(99)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(arrow.ParquetExport, "_write_waiting", full)
        with pytest.raises(DownloadError, match="No space left"):
            await nb.history.export(path, append=True)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["h.parquet"]


async def test_without_pyarrow_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    service = service_of(1)
    async with make_client(service) as nb:
        for call in (nb.history.export(tmp_path / "h.parquet"), nb.history.to_arrow()):
            with pytest.raises(ConfigurationError, match=r"pip install 'neuralbox\[arrow\]'"):
                await call
    assert not service.asked


async def test_many_rows_are_written_group_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "_ROWS_AT_ONCE", 100)
    monkeypatch.setattr(arrow, "_ROWS_A_GROUP", 200)
    async with make_client(service_of(450)) as nb:
        done = await nb.history.export(tmp_path / "h.parquet")
    assert pq.read_metadata(done.path).num_row_groups == 3
    assert len({row["id"] for row in rows(done.path)}) == 450
