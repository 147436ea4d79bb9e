"""Requests from a table: a header of field names, and one request a row, as spreadsheets write it.

Commas, semicolons or tabs part the cells, whichever the header has most of. An empty cell is a field that is not given.
What a row says goes through `request_from_dict` like a JSON line; `params.size` is the field `size` of `params`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from .._concurrency.process_lock import ProcessLock
from .._errors import ConfigurationError

# Fields that are no texts: a cell of theirs is read as JSON. Everything else stays as it is, `007` too.
_VALUES: Final = frozenset(
    {"seed", "duration", "temperature", "max_tokens", "speed", "diarize", "messages", "params", "extra_body"}
)
_NESTED: Final = frozenset({"params", "extra_body"})
_MOST_CHARACTERS: Final = 16 * 1024 * 1024
_lock = ProcessLock()


def read_rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, dict[str, Any] | ConfigurationError]]:
    """Read the rows of a table: the line where each begins, and its fields or what is wrong with it.

    Raises:
        ConfigurationError: It has no header that could be one.
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        yield from _rows(file)


def _rows(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | ConfigurationError]]:
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        try:
            first = text.readline()
            text.seek(0)
            reader = csv.reader(text, delimiter=max(",;\t", key=first.count), strict=True)
            header = [name.strip() for name in _next(reader) or []]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ConfigurationError(f"it is no table of UTF-8 text ({_why(error)}).") from None
        _require_header(header)
        while True:
            line = reader.line_num + 1
            try:
                cells = _next(reader)
            except (UnicodeDecodeError, csv.Error) as error:  # what follows cannot be told apart
                yield line, ConfigurationError(f"this is no row of a table ({_why(error)}).")
                return
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield line, _fields(header, cells)


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the next row, or None. The longest cell is a setting of the whole process, so it is ours for a row at a time."""
    with _lock:
        before = csv.field_size_limit(_MOST_CHARACTERS)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(before)


def _why(error: UnicodeDecodeError | csv.Error) -> str:
    return "bytes that are no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _require_header(header: Sequence[str]) -> None:
    if not any(header):
        raise ConfigurationError("it has no header: its first line names the fields, such as `key,kind,model,prompt`.")
    for at, name in enumerate(header):
        if not name:
            raise ConfigurationError(f"column {at + 1} has no name in the header.")
        if name in header[:at]:
            raise ConfigurationError(f"two columns are called `{name}`.")
    named = {name.partition(".")[0] for name in header}
    if not named & {"model", "assistant_id", "audio"}:  # which no request can do without
        raise ConfigurationError(f"it has no column `model`; its columns: {', '.join(header)}.")


def _fields(header: Sequence[str], cells: Sequence[str]) -> dict[str, Any] | ConfigurationError:
    if len(cells) > len(header):
        return ConfigurationError(
            f"the row has {len(cells)} cells and the header {len(header)}: a text with a comma stands in quotation marks."
        )
    fields: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=False):
        if not cell.strip():
            continue
        outer, dot, inner = name.partition(".")
        if dot and outer in _NESTED:
            nested = fields.setdefault(outer, {})
            if not isinstance(nested, dict):
                return ConfigurationError(f"`{name}` and `{outer}` are both given.")
            nested[inner] = _value(cell)
        elif outer in _NESTED and outer in fields:
            return ConfigurationError(f"`{outer}` and a field of it are both given.")
        else:
            fields[name] = _value(cell) if name in _VALUES else cell
    return fields


def _value(cell: str) -> Any:
    try:
        return json.loads(cell.lower() if cell.strip().lower() in {"true", "false"} else cell)
    except (ValueError, RecursionError):
        return cell
