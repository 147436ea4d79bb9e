"""`history.export`: one file, whole or not there, which other programs read as it was meant."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from neuralbox import _errors as errors
from neuralbox._archive import export
from neuralbox._files.partial_file import PartFile
from neuralbox._models.generation import Generation
from neuralbox.geminigen import HistoryItem
from tests import samples
from tests.archive.support import Service
from tests.geminigen.support import client as gemini_client
from tests.helpers import make_client

pytestmark = pytest.mark.anyio


@pytest.fixture
def service() -> Service:
    made = Service()
    for number in range(250):
        made.image(number, prompt=f'Город "{number}",\nline', result_metadata={"width": number})
    made.text(1000, "=1+1")
    return made


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def found(directory: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in directory.iterdir()}


async def test_lines_have_every_field_and_record(service: Service, tmp_path: Path) -> None:
    service.items.pop(0)
    async with make_client(service) as nb:
        done = await nb.history.export(tmp_path / "history.jsonl")
        listed = [item async for item in nb.history.list(page_size=100)]
    lines = done.path.read_bytes().splitlines(keepends=True)
    assert (done.items, done.bytes, len(lines)) == (250, done.path.stat().st_size, 250)
    assert [Generation.read(json.loads(line)["raw"]) for line in lines] == listed
    first = json.loads(lines[0])
    assert set(first) == set(Generation.model_fields)
    assert (first["id"], first["prompt"], first["width"]) == (249, 'Город "249",\nline', 249)


async def test_a_table_has_a_column_for_each_field_but_the_record(service: Service, tmp_path: Path) -> None:
    async with make_client(service) as nb:
        done = await nb.history.export(str(tmp_path / "History.CSV"))
    rows = table(done.path)
    assert (done.items, done.bytes, len(rows)) == (251, done.path.stat().st_size, 251)
    assert set(rows[0]) == set(Generation.model_fields) - {"raw"}
    assert (rows[0]["id"], rows[0]["text"], rows[0]["prompt"]) == ("1000", "'=1+1", "Say")
    assert rows[1]["prompt"] == 'Город "249",\nline'
    assert (json.loads(rows[1]["metadata"]), rows[1]["is_favorited"]) == ({"width": 249}, "")


@pytest.mark.parametrize(("most", "pages"), [(0, 0), (1, 1), (100, 1), (150, 2)])
async def test_no_more_than_asked_for_is_fetched_or_written(
    service: Service, tmp_path: Path, most: int, pages: int
) -> None:
    async with make_client(service) as nb:
        done = await nb.history.export(tmp_path / "h.csv", max_items=most, type="image", status="completed")
    assert (done.items, len(table(done.path)), service.asked["/user/history"]) == (most, most, pages)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])  # noqa: RUF001 - they are meant
async def test_what_a_spreadsheet_would_run_is_a_text_in_a_table_unless_asked_for(tmp_path: Path, start: str) -> None:
    text = f'{start}HYPERLINK("http://127.0.0.1/?x="&A1)'
    service = Service()
    service.text(1, text)
    service.items[0] |= {"progress": -5, "model_slug": f"{start}1", "prompt": f"a {text}"}
    async with make_client(service) as nb:
        await nb.history.export(tmp_path / "safe.csv")
        await nb.history.export(tmp_path / "as-it-came.csv", escape_formulas=False)
        await nb.history.export(tmp_path / "lines.jsonl")
    [safe], [raw] = table(tmp_path / "safe.csv"), table(tmp_path / "as-it-came.csv")
    assert (safe["text"], safe["model"], safe["prompt"], safe["progress"]) == (
        f"'{text}",
        f"'{start}1",
        f"a {text}",
        "-5.0",
    )
    assert (raw["text"], raw["model"]) == (text, f"{start}1")
    assert json.loads((tmp_path / "lines.jsonl").read_bytes())["text"] == text


async def test_a_half_character_is_written_so_that_it_can_be_read(service: Service, tmp_path: Path) -> None:
    items = [Generation.read({"id": 1, "result_text": "cut \ud83d"})]
    assert b"cut \\ud83d" in export._rows(["text"], items, escape_formulas=True)


@pytest.mark.parametrize("name", ["history", "history.txt", "history.xlsx", "", "directory/"])
async def test_another_ending_is_refused_before_anything_is_asked(service: Service, tmp_path: Path, name: str) -> None:
    async with make_client(service) as nb:
        with pytest.raises(errors.ConfigurationError):
            await nb.history.export(f"{tmp_path}/{name}" if name else "")
    assert not service.asked
    assert found(tmp_path) == {}


async def test_a_path_with_an_unknown_ending_is_named_as_it_is_written(service: Service) -> None:
    async with make_client(service) as nb:
        with pytest.raises(errors.ConfigurationError, match=r"must end in .*; it is 'out/history\.txt'"):
            await nb.history.export(Path("out", "history.txt"))


async def test_a_file_that_stands_there_is_replaced_only_when_asked(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_bytes(b"mine")
    async with make_client(service) as nb:
        with pytest.raises(errors.ConfigurationError, match="there already"):
            await nb.history.export(path)
        assert not service.asked
        await nb.history.export(path, overwrite=True, max_items=3)
    assert len(path.read_bytes().splitlines()) == 3


async def test_an_export_that_fails_leaves_nothing(tmp_path: Path, service: Service) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if request.url.params.get("page") == "2" else service(request)

    path = tmp_path / "h.csv"
    path.write_bytes(b"mine")
    async with make_client(handler, max_retries=0) as nb:
        with pytest.raises(errors.InternalServerError):
            await nb.history.export(path, overwrite=True)
    assert found(tmp_path) == {"h.csv": b"mine"}


async def test_an_export_that_is_cancelled_leaves_nothing(tmp_path: Path, service: Service) -> None:
    with anyio.CancelScope() as scope:

        def handler(request: httpx.Request) -> httpx.Response:
            if request.url.params.get("page") == "2":
                scope.cancel()
            return service(request)

        async with make_client(handler) as nb:
            await nb.history.export(tmp_path / "h.csv")
    assert scope.cancelled_caught
    assert found(tmp_path) == {}


async def test_a_disk_that_fails_is_a_download_error(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartFile, "write", fail)
    async with make_client(service) as nb:
        with pytest.raises(errors.DownloadError, match="The export cannot be written: No space left on device"):
            await nb.history.export(tmp_path / "h.csv")
    assert found(tmp_path) == {}


async def test_geminigens_records_keep_their_own_fields(tmp_path: Path) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        listed: Any = samples.record("geminigen/list")
        return httpx.Response(200, json={**listed, "total": len(listed["result"])})

    async with gemini_client(handler) as gg:
        done = await gg.history.export(tmp_path / "g.csv", filter_by="image", max_items=1)
        lines = await gg.history.export(tmp_path / "g.jsonl")
    (row,) = table(done.path)
    assert set(row) == set(HistoryItem.model_fields) - {"raw"}
    assert (row["uuid"], row["used_credit"]) == ("hist_abc123def456", "10")
    assert json.loads(row["media_files"])[0]["size"] == 2048576
    assert lines.items >= 1
