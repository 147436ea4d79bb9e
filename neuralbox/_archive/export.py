"""A history as one file: JSON lines with every field, or a table for pandas and spreadsheets.

Written as the pages come and under its name only when it is whole. Memory does not grow with the number of items, but
for what `Pager` keeps to tell them apart.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import anyio
from anyio import to_thread

from .._errors import ConfigurationError, DownloadError
from .._files.partial_file import PartFile
from .._files.target import locate_target, read_overwrite, require_free
from .._models.generation import Model
from .._paging import Pager
from .manifest_entry import as_json, fields_of
from .results import ExportResult

R = TypeVar("R")
T = TypeVar("T", bound=Model)

FORMATS: Final = (".jsonl", ".csv")
# Beginnings by which a spreadsheet takes a text for a formula, some of them in East Asian widths, and runs it.
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - they are meant


async def export(
    pager: Pager[T], model: type[T], target: str, *, overwrite: bool, escape_formulas: bool
) -> ExportResult:
    """Write every item of a listing into a file.

    Raises:
        ConfigurationError: The ending is unknown, or the file cannot be made or is there already.
        DownloadError: The disk fails.
        NeuralBoxError: The listing cannot be read.
    """
    path, policy = (await _on_disk(partial(locate_target, target))).path, read_overwrite(overwrite)
    if path is None or path.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"The file's name must end in {' or '.join(FORMATS)}; it is {target!r}.")
    await _on_disk(partial(require_free, path, policy))
    write: Callable[[Sequence[Model]], bytes] = _lines
    start = b""
    if path.suffix.lower() == ".csv":
        columns = [name for name in model.model_fields if name != "raw"]
        write, start = partial(_rows, columns, escape_formulas=escape_formulas), _table([columns], start="\ufeff")
    part = PartFile(path.parent, hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16])
    items = size = 0
    try:
        await _on_disk(partial(part.begin, 0, None))
        await _on_disk(partial(part.write, start))
        left, pages = pager.max_items, pager.pages()
        while left is None or left > 0:
            page = await anext(pages, None)
            if page is None:
                break
            taken = page.items[:left]
            left = None if left is None else left - len(taken)
            content = await _on_disk(partial(write, taken))
            await _on_disk(partial(part.write, content))
            items, size = items + len(taken), size + len(content)
        await _on_disk(partial(part.publish, path, policy))
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(partial(part.close, keep=False))
    return ExportResult(path, items, len(start) + size)


def _lines(items: Sequence[Model]) -> bytes:
    return b"".join(as_json(fields_of(item)) + b"\n" for item in items)


def _rows(columns: Sequence[str], items: Sequence[Model], *, escape_formulas: bool) -> bytes:
    rows = (fields_of(item) for item in items)
    return _table([[_cell(row[name], escape_formulas=escape_formulas) for name in columns] for row in rows])


def _table(rows: Sequence[Sequence[str]], *, start: str = "") -> bytes:
    """Write rows. A spreadsheet takes UTF-8 for what it is only where it begins with the mark, which pandas skips."""
    text = io.StringIO(newline="")
    text.write(start)
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any, *, escape_formulas: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if escape_formulas and value.startswith(_FORMULA) else value
    return as_json(value).decode()


async def _on_disk(act: Callable[[], R]) -> R:
    try:
        return await to_thread.run_sync(act)
    except OSError as error:
        raise DownloadError(f"The export cannot be written: {error.strerror or error}.") from error
