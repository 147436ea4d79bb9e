"""Tolerant reading of JSON, of single values, and of one canonical attribute under its several names.

The service's words are data: a field that is missing, null, renamed or of another type never raises here, it is
`None`. `0`, `False` and `""` are values, so presence is tested, never truth.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic_core import from_json

# Unix times beyond this are milliseconds: in seconds it is the year 5138.
_MILLISECONDS_FROM = 1e11
# Bits of an id; Python refuses to write out much longer integers.
_LONGEST_ID = 256
# Up to here a float names one integer and no other.
_EXACT_BELOW = 2**53
# An escape of JSON; its group has a value where it is half of a character without the other half.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def parse_json(content: bytes | str) -> Any:
    """Parse JSON, also where the fast parser refuses what Python's `json` reads.

    That is half of a character as an escape, which becomes U+FFFD since no text that holds one can be written anywhere,
    and a byte-order mark or UTF-16. Bytes that are not of their encoding become U+FFFD as well.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        return from_json(content)
    except ValueError:
        text = content if isinstance(content, str) else content.decode(json.detect_encoding(content), "replace")
        return from_json(_ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text))


def pick(record: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the first value that is present and not null; a name with a dot reads a nested object."""
    for name in names:
        value = record.get(name) if "." not in name else _nested(record, name)
        if value is not None:
            return value
    return None


def _nested(record: Mapping[str, Any], name: str) -> Any:
    outer, _, inner = name.partition(".")
    value = record.get(outer)
    return value.get(inner) if isinstance(value, Mapping) else None


# Most fields of most records are absent, so that is asked first in what follows.


def as_text(value: object) -> str | None:
    """Read text; numbers are written out, anything else is absent."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:  # Python writes no integer of more than some thousand digits
            return None
    return None


def as_id(value: object) -> int | str | None:
    """Read an id as it was given: an integer stays one (`7.0` is 7), text stays text; what can name nothing is absence."""
    if isinstance(value, str):
        return value if value.strip(" .") else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value.bit_length() <= _LONGEST_ID else None
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_BELOW else None


def as_number(value: object) -> float | None:
    """Read a finite number, also from text such as `"45"` or `"45 %"`."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value.strip().rstrip("%").strip())
        except ValueError:
            return None
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:  # an integer of hundreds of digits
            return None
        return number if math.isfinite(number) else None
    return None


def as_int(value: object) -> int | None:
    """Read a whole number; fractions are rounded down."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = as_number(value)
    return None if number is None else math.floor(number)


def as_flag(value: object) -> bool | None:
    """Read a truth value: `true`, `false`, 0 or 1."""
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    return bool(value) if value in (0, 1) else None


def as_object(value: object) -> Mapping[str, Any] | None:
    """Read a JSON object."""
    return value if value is not None and isinstance(value, Mapping) else None


def as_time(value: object) -> datetime | None:
    """Read ISO 8601 text (without a zone it is UTC) or Unix seconds; the result always has a zone."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
            if moment.tzinfo is UTC:
                return moment
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (OverflowError, ValueError):  # not a time, or one that has no counterpart in UTC
            return None
    number = as_number(value)
    if number is None:
        return None
    try:
        return datetime.fromtimestamp(number / 1000 if number > _MILLISECONDS_FROM else number, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def as_http_date(value: str | None) -> float | None:
    """Read the date of a header, in Unix seconds."""
    try:
        moment = None if value is None else parsedate_to_datetime(value)
        if moment is None:
            return None
        # A date without a zone (asctime, `-0000`) is UTC by RFC 9110 5.6.7, not this machine's time.
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):  # whatever the standard library makes of garbage
        return None


def sent_at(headers: Mapping[str, str], now: float) -> float:
    """Return when an answer was sent, in Unix seconds: by its own `Date`, else `now`.

    The times it names are by the same clock, so what is left until then does not depend on ours.
    """
    said = as_http_date(headers.get("date"))
    return now if said is None else said
