"""A line of the manifest: whole it says everything, damaged it says nothing, and none leads out of the directory."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from neuralbox._archive.manifest_entry import ManifestEntry, as_json, fields_of, is_ours, read_line, write_line
from neuralbox._models.generation import Generation
from neuralbox.geminigen import HistoryItem
from tests import samples

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
SAVED = ManifestEntry("neuralbox", "7", "gen_1", "file", "saved", "image/gen_1.webp", 3, "ab" * 32)
GONE = ManifestEntry("geminigen", None, "u", "file-2", "expired")


def line_of(entry: ManifestEntry, **fields: Any) -> bytes:
    return write_line(entry, fields, archived_at=NOW, expires_at=None)


@pytest.mark.parametrize("entry", [SAVED, GONE])
def test_what_is_written_is_read_again(entry: ManifestEntry) -> None:
    line = line_of(entry, id=1, text="a\nb\u2028c")
    assert line.count(b"\n") == 1
    assert read_line(line) == entry
    assert is_ours(line)


def test_half_a_character_in_a_line_is_read_and_bytes_that_are_none_are_damage() -> None:
    line = line_of(SAVED, id=1)
    assert read_line(line.replace(b'"key":"gen_1"', rb'"key":"gen_\ud83d"')) == replace(SAVED, key="gen_\ufffd")
    assert read_line(line.replace(b'"key":"gen_1"', b'"key":"gen_\xe9"')) is None


def test_no_part_of_a_line_is_taken_for_a_whole_one() -> None:
    line = line_of(SAVED, id=1)
    assert all(read_line(line[:cut]) is None for cut in range(len(line)))
    assert all(is_ours(line[:cut]) for cut in range(len(line)))
    assert not is_ours(b'{"other": 1}')


@pytest.mark.parametrize(
    "changes",
    [
        {"service": None},
        {"key": 1},
        {"part": []},
        {"state": "unheard-of"},
        {"account": 7},
        {"path": None},
        {"path": ""},
        {"path": "/etc/passwd"},
        {"path": "../up.webp"},
        {"path": "image/../../up.webp"},
        {"path": "C:\\evil.webp"},
        {"path": "a\0b"},
        {"path": "manifest.jsonl"},
        {"path": "./MANIFEST.jsonl/1.webp"},
        {"path": ".neuralbox/archive.lock"},
        {"bytes": "3"},
        {"bytes": 10**30},
        {"bytes": -1},
        {"sha256": None},
    ],
)
def test_a_line_that_says_what_cannot_be_is_damaged(changes: dict[str, Any]) -> None:
    record = {**json.loads(line_of(SAVED)), **changes}
    assert read_line(json.dumps(record).encode() + b"\n") is None


@pytest.mark.parametrize("line", [b"[]\n", b"1\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_what_is_no_record_is_damaged(line: bytes) -> None:
    assert read_line(line) is None


def test_every_field_is_there_and_nested_records_are_not_repeated() -> None:
    generation = Generation.read(samples.record("seed003_text"))
    fields = fields_of(generation)
    assert set(fields) == set(Generation.model_fields)
    assert "raw" not in fields["usage"]
    assert fields["raw"] == samples.record("seed003_text")
    assert [*fields][-1] == "raw"
    item = HistoryItem.read(samples.record("geminigen/detail"))
    fields = fields_of(item)
    assert set(fields) == set(HistoryItem.model_fields)
    for name in ("generated_video", "generated_image", "reference_item"):
        assert all("raw" not in one for one in fields[name])
    assert json.loads(as_json(fields)) == fields


def test_json_is_such_that_every_reader_takes_it() -> None:
    assert as_json({"a": float("nan"), "b": "Город", "c": 10**30}) == '{"a":null,"b":"Город","c":%d}'.encode() % 10**30
    assert json.loads(as_json({"half": "\ud83d"})) == {"half": "\ud83d"}
