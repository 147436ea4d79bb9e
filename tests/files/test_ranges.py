"""Which bytes may be added to which: the rules of RFC 9110, read carefully."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._files.ranges import FileVersion, RangeBody, RangeRequest, ask_for_rest, read_body, recorded_version

TAGGED = FileVersion('"v1"', None, 100)
DATE = "Sun, 08 Mar 2026 12:00:00 GMT"
SECOND_BEFORE = "Sun, 08 Mar 2026 11:59:59 GMT"
PART = {"content-range": "bytes 40-99/100", "etag": '"v1"'}


def body(first: int, total: int | None, version: FileVersion | None, *, plain: bool = True) -> RangeBody:
    return RangeBody(first, total, plain, version)


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"etag": '"v1"'}, FileVersion('"v1"', None, 100)),
        ({"etag": ' "v1" ', "last-modified": DATE}, FileVersion('"v1"', None, 100)),
        ({"etag": '""'}, FileVersion('""', None, 100)),
        ({"etag": 'W/"v1"'}, None),
        ({"etag": '"v\xe9"'}, None),
        ({"etag": '"a b"'}, None),
        ({"etag": '"' + "x" * 300 + '"'}, None),
        ({"last-modified": SECOND_BEFORE, "date": DATE}, FileVersion(None, SECOND_BEFORE, 100)),
        ({"etag": 'W/"v1"', "last-modified": SECOND_BEFORE, "date": DATE}, FileVersion(None, SECOND_BEFORE, 100)),
        ({"last-modified": DATE, "date": DATE}, None),
        ({"last-modified": SECOND_BEFORE}, None),
        ({"last-modified": "", "date": DATE}, None),
        ({"last-modified": "Sun, 99 Mar 2026 11:59:59 GMT", "date": DATE}, None),
        ({"last-modified": "Sun, 08 Mar 2026 11:59:59 -0000", "date": DATE}, FileVersion(None, "Sun, 08 Mar 2026 11:59:59 -0000", 100)),
        ({"last-modified": "a\nb", "date": DATE}, None),
        ({"etag": '"v1"', "accept-ranges": "None"}, None),
        ({"etag": '"v1"', "accept-ranges": "bytes"}, FileVersion('"v1"', None, 100)),
    ],
)  # fmt: skip
def test_a_version_is_told_by_a_strong_tag_or_by_a_date_and_a_length(
    headers: Mapping[str, str], version: FileVersion | None
) -> None:
    assert read_body(200, {"content-length": "100", **headers}, None) == body(0, 100, version)


def test_a_date_without_a_length_tells_nothing() -> None:
    assert read_body(200, {"last-modified": SECOND_BEFORE, "date": DATE}, None) == body(0, None, None)


def test_of_a_compressed_body_neither_length_nor_version_is_the_files() -> None:
    headers = {"content-length": "100", "etag": '"v1"', "content-encoding": "gzip"}
    assert read_body(200, headers, None) == body(0, None, plain=False, version=None)


def test_the_rest_is_asked_for_only_as_that_version() -> None:
    assert ask_for_rest(0, TAGGED) is None
    assert ask_for_rest(40, None) is None
    asked = ask_for_rest(40, TAGGED)
    assert asked is not None
    assert asked.headers == {"range": "bytes=40-", "if-range": '"v1"'}
    dated = ask_for_rest(40, FileVersion(None, DATE, 100))
    assert dated is not None
    assert dated.headers["if-range"] == DATE


def test_of_a_whole_file_the_last_byte_is_asked_for_again() -> None:
    assert ask_for_rest(100, TAGGED) == ask_for_rest(101, TAGGED) == RangeRequest(99, TAGGED)
    assert ask_for_rest(1, FileVersion('"v1"', None, 1)) is None
    assert ask_for_rest(100, FileVersion('"v1"', None, None)) == RangeRequest(100, FileVersion('"v1"', None, None))


def test_the_rest_is_taken_and_tells_the_length() -> None:
    for total in (100, None):
        asked = RangeRequest(40, FileVersion('"v1"', None, total))
        for length in ({}, {"content-length": "60"}):
            assert read_body(206, {**PART, **length}, asked) == body(40, 100, TAGGED)
    dated = FileVersion(None, SECOND_BEFORE, 100)
    headers = {"content-range": "Bytes 40-99/100", "last-modified": SECOND_BEFORE}
    assert read_body(206, headers, RangeRequest(40, dated)) == body(40, 100, dated)
    assert read_body(206, {**headers, "last-modified": DATE}, RangeRequest(40, dated)) is None


def test_the_whole_file_may_come_instead() -> None:
    assert read_body(200, {"content-length": "7", "etag": '"v2"'}, RangeRequest(40, TAGGED)) == body(
        0, 7, FileVersion('"v2"', None, 7)
    )


@pytest.mark.parametrize("status", [201, 204, 304, 404, 416])
def test_no_other_status_is_a_file(status: int) -> None:
    assert read_body(status, PART, RangeRequest(40, TAGGED)) is None
    assert read_body(206, PART, None) is None


@given(st.text() | st.from_regex(r"bytes \d{1,3}-\d{1,3}/(\d{1,3}|\*)", fullmatch=True))
def test_any_content_range_is_the_rest_that_was_asked_for_or_nothing(said: str) -> None:
    body = read_body(206, {"content-range": said, "etag": '"v1"'}, RangeRequest(40, FileVersion('"v1"', None, None)))
    if body is not None:
        assert said.startswith("bytes 40-")
        assert body.total is not None
        assert body.total > 40


@pytest.mark.parametrize("version", [TAGGED, FileVersion('"v1"', None, None), FileVersion(None, DATE, 5)])
def test_a_version_is_read_back_from_a_record(version: FileVersion) -> None:
    record = {"etag": version.etag, "modified": version.modified, "total": version.total}
    assert recorded_version(record) == version


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"etag": "v1", "total": 5},
        {"etag": 'W/"v1"', "total": 5},
        {"etag": 7, "total": 5},
        {"etag": '"v1"', "modified": DATE, "total": 5},
        {"etag": '"v1"', "total": -5},
        {"etag": '"v1"', "total": True},
        {"etag": '"v1"', "total": "5"},
        {"modified": DATE},
        {"modified": "yesterday", "total": 5},
        {"modified": 7, "total": 5},
    ],
)
def test_a_record_that_says_something_else_is_no_version(record: Mapping[str, object]) -> None:
    assert recorded_version(record) is None
