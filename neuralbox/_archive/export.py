"""A history as one file: JSON lines with every field, a table for spreadsheets, or columns (`arrow`).

Written as the pages come and under its name only when it is whole. Memory does not grow with the number of items, but
for what `Pager` keeps to tell them apart.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from anyio import to_thread

from .._api.checks import require_flag
from .._concurrency.worker_thread import run_to_end
from .._errors import ConfigurationError, DownloadError
from .._files.partial_file import PartFile
from .._files.target import locate_target, read_overwrite, require_free
from .._models.generation import Model
from .._paging import Pager, PagesOfItems
from .._plain_text import without_formula
from .arrow import ExportSource, ParquetExport, load_pyarrow
from .manifest_entry import as_json, fields_of
from .results import ExportResult

R = TypeVar("R")
T = TypeVar("T", bound=Model)

FORMATS: Final = (".jsonl", ".csv", ".parquet")


async def export(
    pager: Pager[T],
    model: type[T],
    target: str | os.PathLike[str],
    source: Callable[[], Awaitable[ExportSource]],
    *,
    overwrite: bool,
    append: bool,
    escape_formulas: bool,
) -> ExportResult:
    """Write every item of a listing into a file.

    Args:
        pager: The listing.
        model: Of its items.
        target: The file.
        source: Asks whose history it is, for a file that may be continued.
        overwrite: Replace a file that stands there.
        append: Add what is new to a file that stands there.
        escape_formulas: Whether a table's texts are kept from being run.

    Raises:
        ConfigurationError: The ending is unknown, or the file cannot be made, is there already, or cannot be added to.
        DownloadError: The disk fails.
        NeuralBoxError: The listing cannot be read.
    """
    require_flag("`overwrite`", overwrite)
    require_flag("`append`", append)
    require_flag("`escape_formulas`", escape_formulas)
    path = (await _on_disk(partial(locate_target, target))).path
    if path is None or path.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"The file's name must end in {', '.join(FORMATS)}; it is {os.fspath(target)!r}.")
    is_parquet = path.suffix.lower() == ".parquet"
    if append and (not is_parquet or overwrite or pager.max_items is not None):
        raise ConfigurationError(
            "`append` adds what is new to a Parquet file (a name that ends in .parquet), without `overwrite` and `max_items`."
        )
    policy = read_overwrite(overwrite or append)
    await _on_disk(partial(require_free, path, policy))
    part = PartFile.beside(path)
    writer: _TextExport | ParquetExport
    if is_parquet:
        load_pyarrow()  # before anything is asked
        writer = ParquetExport(path, part, model, await source(), pager.max_items)
    else:
        writer = _TextExport(part, model, is_table=path.suffix.lower() == ".csv", escape_formulas=escape_formulas)
    try:
        if append and isinstance(writer, ParquetExport) and await _on_disk(path.exists):
            await _on_disk(writer.read_known)
        await _on_disk(partial(part.begin, 0, None))
        async for items in PagesOfItems(pager):
            before = writer.added
            writer.take(items)
            if writer.is_due:
                await _on_disk(writer.flush)
            if not writer.needs_more(items, writer.added - before):
                break
        if writer.is_current:
            return ExportResult(path, writer.rows, await _on_disk(lambda: path.stat().st_size))
        await _on_disk(writer.finish)
        await _on_disk(partial(part.publish, path, policy))
    finally:

        def close() -> None:
            part.close(keep=False)
            writer.close()

        await run_to_end(close)
    return ExportResult(path, writer.rows, writer.length, writer.added)


class _TextExport:
    """JSON lines or a table, written as the pages come."""

    def __init__(self, part: PartFile, model: type[Model], *, is_table: bool, escape_formulas: bool) -> None:
        self._part = part
        self._columns = [name for name in model.model_fields if name != "raw"] if is_table else []
        self._escape_formulas = escape_formulas
        self._taken: Sequence[Model] = ()
        self.rows = self.added = self.length = 0

    is_current = False  # what is there is replaced

    @property
    def is_due(self) -> bool:
        """Whether there is anything to `flush`."""
        return bool(self._taken)

    def take(self, items: Sequence[Model]) -> None:
        """Take a page."""
        self._taken = items
        self.added += len(items)

    def flush(self) -> None:
        """Write what was taken."""
        if self._columns:
            self._begin()
            self._write(_rows(self._columns, self._taken, escape_formulas=self._escape_formulas))
        else:
            self._write(_lines(self._taken))
        self._taken, self.rows = (), self.added

    def needs_more(self, _items: Sequence[Model], _added: int) -> bool:
        """Return that every page is written."""
        return True

    def finish(self) -> None:
        """Write what stands even above nothing."""
        self._begin()

    def close(self) -> None:
        """Hold nothing."""

    def _begin(self) -> None:
        if self._columns and not self.length:
            self._write(_table([self._columns], start="\ufeff"))

    def _write(self, content: bytes) -> None:
        self._part.write(content)
        self.length += len(content)


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
        return without_formula(value) if escape_formulas else value
    return as_json(value).decode()


async def _on_disk(act: Callable[[], R]) -> R:
    try:
        return await to_thread.run_sync(act)
    except OSError as error:
        raise DownloadError(f"The export cannot be written: {error.strerror or error}.") from error
