"""Single values: what can be read is read, what cannot is absent, and nothing raises."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._api import fields
from tests.api import json_values

HALVES: list[tuple[bytes, object]] = [
    (rb'"Party \ud83d"', "Party \ufffd"),
    (rb'"\uDF0A!"', "\ufffd!"),
    (rb'["\ud83d", {"\ud83d": ["a", "\ud83d"]}]', ["\ufffd", {"\ufffd": ["a", "\ufffd"]}]),
    (rb'"\ud83d\ud83c\udf0a\udf0a"', "\ufffd🌊\ufffd"),
    (rb'"\ud83d\n\\ud83d\"\u00e9"', '\ufffd\n\\ud83d"é'),
    (b'"caf\xe9"', "caf\ufffd"),
    (b'\xef\xbb\xbf{"id": 7}', {"id": 7}),
    ('{"id": "Ж"}'.encode("utf-16"), {"id": "Ж"}),
    (b"[NaN, 7.5]", json.loads("[NaN, 7.5]")),
]


@pytest.mark.parametrize(("content", "expected"), HALVES, ids=[str(index) for index in range(len(HALVES))])
def test_json_is_read_also_where_its_text_is_damaged(content: bytes, expected: object) -> None:
    assert repr(fields.parse_json(content)) == repr(expected)


@pytest.mark.parametrize("content", [b"", b"{", rb'"\ud8"', rb'"\ud83d', rb"\ud83d", b"[" * 10_000, b"\xff\xfe\x00"])
def test_what_is_no_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"line 1 column"):
        fields.parse_json(content)


@pytest.mark.uncovered
@given(st.text(st.characters() | st.characters(categories=["Cs"])))
def test_any_text_is_read_as_pythons_json_reads_it_but_for_halves(text: str) -> None:
    content = json.dumps({text: [text]})
    whole = json.loads(content.encode())
    (read,) = whole
    read = read.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert fields.parse_json(content) == fields.parse_json(content.encode()) == {read: [read]}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"a": 1, "b": 2}, 1),
        ({"a": None, "b": 2}, 2),
        ({"b": 2}, 2),
        ({"a": 0, "b": 2}, 0),
        ({"a": "", "b": 2}, ""),
        ({"a": False, "b": 2}, False),
        ({"c": {"d": 3}}, 3),
        ({"c": {"d": None}, "e": 5}, 5),
        ({"c": None, "e": 5}, 5),
        ({"c": [1], "e": 5}, 5),
        ({"c.d": 9}, None),
        ({}, None),
    ],
)
def test_the_first_name_that_is_present_and_not_null_counts(record: dict[str, Any], expected: object) -> None:
    assert fields.pick(record, ("a", "b", "c.d", "e")) == expected


TEXT: list[tuple[object, str | None]] = [("x", "x"), ("", ""), (0, "0"), (-7, "-7"), (2.5, "2.5")]
TEXT += [(True, None), (None, None), ([], None), ({}, None)]


@pytest.mark.parametrize(("value", "expected"), TEXT)
def test_text_is_text_or_a_number_written_out(value: object, expected: str | None) -> None:
    assert fields.as_text(value) == expected


def test_an_integer_too_long_to_write_is_no_text() -> None:
    assert fields.as_text(10**5000) is None


IDS: list[tuple[object, object]] = [
    (18473, 18473),
    (0, 0),
    ("gen_01j9", "gen_01j9"),
    ("18473", "18473"),
    (7.0, 7),
    (float(2**53), None),
    (math.inf, None),
    (math.nan, None),
    ("", None),
    (" ..", None),
    (True, None),
]
IDS += [(None, None), (1.5, None), ([1], None)]


@pytest.mark.parametrize(("value", "expected"), IDS)
def test_an_id_stays_what_it_was(value: object, expected: object) -> None:
    assert fields.as_id(value) == expected
    assert type(fields.as_id(value)) is type(expected)


NUMBERS: list[tuple[object, float | None]] = [
    (5, 5.0),
    (0, 0.0),
    ("45", 45.0),
    ("45 %", 45.0),
    (" 4.5 ", 4.5),
    ("-3", -3.0),
    ("", None),
    ("soon", None),
]
NUMBERS += [(True, None), (None, None), ([], None), (math.nan, None), (math.inf, None), ("inf", None), (10**400, None)]


@pytest.mark.parametrize(("value", "expected"), NUMBERS)
def test_a_number_is_finite_and_may_be_text(value: object, expected: float | None) -> None:
    assert fields.as_number(value) == expected


WHOLE: list[tuple[object, int | None]] = [
    (3, 3),
    (0, 0),
    (10**400, 10**400),
    (2.9, 2),
    (-0.5, -1),
    ("7", 7),
    ("7.9", 7),
    (True, None),
    (None, None),
]
WHOLE += [(math.nan, None), ("x", None), ({}, None)]


@pytest.mark.parametrize(("value", "expected"), WHOLE)
def test_a_whole_number_is_rounded_down(value: object, expected: int | None) -> None:
    assert fields.as_int(value) == expected


FLAGS: list[tuple[object, object]] = [
    (True, True),
    (False, False),
    (1, True),
    (0, False),
    (1.0, True),
    (2, None),
    ("true", None),
    (None, None),
]
FLAGS += [([], None), ({}, None)]


@pytest.mark.parametrize(("value", "expected"), FLAGS)
def test_a_flag_is_true_false_one_or_zero(value: object, expected: object) -> None:
    assert fields.as_flag(value) is expected


def test_an_object_is_a_mapping_and_nothing_else() -> None:
    assert fields.as_object({"a": 1}) == {"a": 1}
    others: list[object] = [None, [], "", 0]
    assert [fields.as_object(value) for value in others] == [None] * 4


NOON = datetime(2026, 3, 8, 12, 2, 30, tzinfo=UTC)
TIMES: list[tuple[object, datetime | None]] = [
    ("2026-03-08T12:02:30Z", NOON),
    (" 2026-03-08T12:02:30Z ", NOON),
    ("2026-03-08T12:02:30", NOON),
    ("2026-03-08T15:02:30+03:00", NOON),
    ("2026-03-08T12:02:30.250Z", NOON + timedelta(milliseconds=250)),
    (1_772_971_350, NOON),
    (1_772_971_350_000, NOON),
    (0, datetime(1970, 1, 1, tzinfo=UTC)),
    ("yesterday", None),
    ("", None),
    (None, None),
    (True, None),
    ([], None),
    (math.nan, None),
    (1e300, None),
    (-1e300, None),
    ("0001-01-01T00:00:00+23:59", None),
    ("9999-12-31T23:59:59-23:59", None),
]


@pytest.mark.parametrize(("value", "expected"), TIMES)
def test_a_time_is_iso_text_or_unix_seconds_and_always_utc(value: object, expected: datetime | None) -> None:
    moment = fields.as_time(value)
    assert moment == expected
    assert moment is None or moment.tzinfo is UTC


def test_a_time_keeps_its_moment_when_its_zone_changes() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    assert fields.as_time(there.isoformat()) == NOON


@pytest.mark.uncovered
@given(json_values.values)
def test_no_value_makes_a_reader_raise(value: object) -> None:
    for read in (fields.as_text, fields.as_id, fields.as_number, fields.as_int, fields.as_flag, fields.as_time):
        read(value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Sun, 08 Mar 2026 12:00:00 GMT", 1_772_971_200.0),
        ("Sun, 08 Mar 2026 12:00:00 -0000", 1_772_971_200.0),
        ("Sun, 08 Mar 2026 13:00:00 +0100", 1_772_971_200.0),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_of_a_header_is_read_and_one_without_a_zone_is_utc(header: str | None, expected: float | None) -> None:
    assert fields.as_http_date(header) == expected
