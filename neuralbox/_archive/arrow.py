"""A history as columns: an Arrow table, and a Parquet file that grows by what is new.

pyarrow comes with the extra `arrow` and is imported at its first use. The columns are the fields of the records, of types
that follow from theirs: what the service changes from one page to the next is read by the model first, and what a column
cannot hold is null (the record itself is in JSON lines). Nested values are JSON.

A Parquet file cannot be appended to in place: its rows are copied, row group by row group, and what is new goes behind
them, under the file's name when it is whole. What had not ended when it was written comes again when it has. Which that
is stands in the file's metadata, with whose history it is, the filters it was asked by, whether the whole of it was read,
and what of the unended was looked for in vain: it is gone, and nothing more is asked for its sake.
"""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from .._api.seen_ids import SeenIds
from .._errors import ConfigurationError
from .._files.partial_file import PartFile
from .._models.generation import Model
from .manifest_entry import as_json, fields_of

T = TypeVar("T", bound=Model)

_KEY: Final = b"neuralbox.export"
_VERSION: Final = 1
_ROWS_A_GROUP: Final = 8_192
_ROWS_AT_ONCE: Final = 1_000
# Columns with few different values, which are written once for each row group.
_REPEATED: Final = ("service", "status", "kind", "type", "model", "model_name")
_LARGEST: Final = 2**63
MISSING: Final = "This needs `pyarrow`, which is not installed: run  pip install 'neuralbox[arrow]'"


def load_pyarrow() -> Any:
    """Return pyarrow, its Parquet part included.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise ConfigurationError(MISSING) from error


# Columns.


class Columns:
    """The columns of a model's records.

    Args:
        model: The records' class.

    Attributes:
        schema: Their `pyarrow.Schema`.
        repeated: Names of those with few different values.
    """

    def __init__(self, model: type[Model]) -> None:
        self._pa = pa = load_pyarrow()
        self._kinds = {name: _kind_of(info.annotation) for name, info in model.model_fields.items() if name != "raw"}
        types = {
            "id": pa.string(),
            "text": pa.string(),
            "json": pa.string(),
            "whole": pa.int64(),
            "number": pa.float64(),
            "flag": pa.bool_(),
            "time": pa.timestamp("us", "UTC"),
        }
        self.schema = pa.schema([(name, types[kind]) for name, kind in self._kinds.items()])
        self.repeated = [name for name in _REPEATED if name in self._kinds]

    def batch(self, items: Sequence[Model]) -> Any:
        """Return records as a `pyarrow.RecordBatch`."""
        rows = [vars(item) for item in items]
        arrays = []
        for column, (name, kind) in zip(self.schema, self._kinds.items(), strict=True):
            values: list[Any] = [*map(itemgetter(name), rows)]
            if kind == "id":
                values = [*map(str, values)]
            elif kind == "json":
                values = [_json_of(items[at], name) if value else None for at, value in enumerate(values)]
            arrays.append(self._array(values, kind, column.type))
        return self._pa.record_batch(arrays, schema=self.schema)

    def _array(self, values: Sequence[Any], kind: str, type_: Any) -> Any:
        if values.count(None) == len(values):  # most columns of most histories
            return self._pa.nulls(len(values), type_)
        try:
            return self._pa.array(values, type_)
        except (self._pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
            return self._pa.array([_fitting(value, kind) for value in values], type_)


def _kind_of(annotation: Any) -> str:
    parts = {part for part in get_args(annotation) or (annotation,) if part is not type(None)}
    known: Mapping[frozenset[Any], str] = {
        frozenset({str}): "text",
        frozenset({int, str}): "id",
        frozenset({int}): "whole",
        frozenset({float}): "number",
        frozenset({bool}): "flag",
        frozenset({datetime}): "time",
    }
    return known.get(frozenset(parts), "json")


def _fitting(value: Any, kind: str) -> Any:
    """Return a value that a column can hold; null where there is none."""
    if value is None:
        return None
    if kind in ("id", "text", "json"):
        return str(value).encode("utf-8", "backslashreplace").decode()
    if kind == "whole":
        return value if isinstance(value, int) and -_LARGEST <= value < _LARGEST else None
    if kind == "number":
        try:
            return float(value)
        except (OverflowError, TypeError, ValueError):
            return None
    return value if isinstance(value, bool if kind == "flag" else datetime) else None


def _json_of(item: Model, name: str) -> str:
    return as_json(fields_of(item)[name]).decode()


# Files.


@dataclass(frozen=True, slots=True)
class ExportSource:
    """Whose history is exported, as far as a file keeps it to be continued.

    Attributes:
        service: Its name.
        account: Whose it is, or None where the service does not tell.
        filters: What it is asked by, those left out not among them.
        id_column: The column of the ids.
        identity: Returns an item's id as text.
        is_final: Returns whether an item will not change any more.
    """

    service: str
    account: str | None
    filters: Mapping[str, str]
    id_column: str
    identity: Callable[[Any], str]
    is_final: Callable[[Any], bool]


@dataclass(slots=True)
class KnownRows:
    """What a Parquet file has already.

    Attributes:
        rows: How many rows.
        final: Ids that need not come again.
        open: Ids of what had not ended, with the Unix time of their creation where it is known.
        gone: Those of them that the history did not show any more.
        is_whole: Whether everything was read that is older.
    """

    rows: int = 0
    final: SeenIds = field(default_factory=SeenIds)
    open: dict[str, float | None] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    is_whole: bool = False


class _Sink(io.RawIOBase):
    """The part of a file, as pyarrow writes to it."""

    def __init__(self, part: PartFile) -> None:
        super().__init__()
        self._part = part
        self.length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._part.write(view)
        self.length += len(view)
        return len(view)


class ParquetExport:
    """One export into a Parquet file, from its first page to its footer; all but `take` and `needs_more` blocks.

    Args:
        path: The file.
        part: Where it is written until it is whole.
        model: The records' class.
        source: Whose history it is.
        most: Items that are asked for at most; None for all.
    """

    def __init__(
        self, path: Path, part: PartFile, model: type[Model], source: ExportSource, most: int | None = None
    ) -> None:
        self._pa = load_pyarrow()
        self._path = path
        self._part = part
        self._columns = Columns(model)
        self._source = source
        self._most = most
        self._known = KnownRows()
        self._unmet: dict[str, float | None] = {}  # of what was open: what has not come by again
        self._ended: set[str] = set()  # of what was open: what has a new row
        self._open: dict[str, float | None] = {}
        self._left_behind: list[Any] = []  # the rows of what was open
        self._taken: list[Any] = []  # items that are no rows yet
        self._waiting: list[Any] = []  # batches of rows for the next row group
        self._waiting_rows = 0
        self._sink: _Sink | None = None
        self._writer: Any = None
        self.rows = self.added = 0

    @property
    def length(self) -> int:
        """Bytes written."""
        return 0 if self._sink is None else self._sink.length

    def read_known(self) -> None:
        """Read what the file has, to append to it.

        Raises:
            ConfigurationError: It is no file of ours, of another version, of another history or of other filters.
        """
        try:
            with self._pa.parquet.ParquetFile(self._path) as file:
                told = json.loads((file.metadata.metadata or {}).get(_KEY, b"null"))
                self._check(told, file.schema_arrow)
                self._known.open = dict(told["open"])
                self._known.gone = frozenset(map(str, told.get("gone", ())))
                self._known.is_whole = told.get("whole") is True
                for batch in file.iter_batches(_ROWS_A_GROUP, columns=[self._source.id_column]):
                    for key in batch.column(0).to_pylist():
                        if key not in self._known.open:
                            self._known.final.add(str(key))
                self._known.rows = file.metadata.num_rows
        except (self._pa.ArrowException, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(f"{str(self._path)!r} is no Parquet file that can be appended to.") from error
        self.rows, self._unmet = self._known.rows, dict(self._known.open)

    def _check(self, told: Any, stored: Any) -> None:
        if not (
            isinstance(told, dict) and isinstance(told.get("open"), dict) and isinstance(told.get("gone", []), list)
        ):
            raise ConfigurationError(f"{str(self._path)!r} was not written by an export; write another file.")
        if told.get("version") != _VERSION or not stored.equals(self._columns.schema):
            raise ConfigurationError(
                f"{str(self._path)!r} was exported by another version of neuralbox; pass `overwrite=True` to write it anew."
            )
        source = self._source
        for name, there, now in (
            ("service", told.get("service"), source.service),
            ("account", told.get("account"), source.account),
            ("filters", told.get("filters"), dict(source.filters)),
        ):
            if there != now and not (name == "account" and None in (there, now)):
                raise ConfigurationError(f"{str(self._path)!r} holds a history of other {name}: {there}, not {now}.")

    def take(self, items: Sequence[Any]) -> None:
        """Take those of a page that are new; this alone does not block."""
        source = self._source
        for item in items:
            is_final = source.is_final(item)
            if self._known.rows or not is_final:
                key = source.identity(item)
                if not self._is_news(key, is_final=is_final):
                    continue
                if not is_final:
                    self._open[key] = None if item.created_at is None else item.created_at.timestamp()
            self._taken.append(item)
            self.added += 1

    def _is_news(self, key: str, *, is_final: bool) -> bool:
        """Return whether the file has it not, or has it as something that had not ended."""
        self._unmet.pop(key, None)
        if key not in self._known.open:
            return key == "" or key not in self._known.final
        if not is_final or key in self._ended:
            return False
        self._ended.add(key)
        return True

    @property
    def is_due(self) -> bool:
        """Whether there is enough to `flush`."""
        return len(self._taken) >= _ROWS_AT_ONCE

    def flush(self) -> None:
        """Make rows of what was taken."""
        self._begin()
        batch, self._taken = self._columns.batch(self._taken), []
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        if self._waiting_rows >= _ROWS_A_GROUP:
            self._write_waiting()

    def needs_more(self, items: Sequence[Any], added: int) -> bool:
        """Return whether pages behind this one may hold what the file does not have.

        Args:
            items: The page.
            added: How many of it were new.
        """
        if not self._known.is_whole or added or not items:
            return True
        sought = [when for key, when in self._unmet.items() if key not in self._known.gone]
        if not sought:
            return False
        # What was open stands no further back than where it was created.
        made = [when for when in sought if when is not None]
        times = [item.created_at.timestamp() for item in items if item.created_at is not None]
        return len(made) < len(sought) or not times or max(times) >= min(made)

    @property
    def is_current(self) -> bool:
        """Whether the file that was there has all of it already, after the last page that is needed."""
        return self._known.is_whole and not self.added and self._unmet.keys() == self._known.gone

    def _begin(self) -> None:
        if self._writer is not None:
            return
        self._sink = _Sink(self._part)
        self._writer = self._pa.parquet.ParquetWriter(
            self._sink, self._columns.schema, compression="zstd", use_dictionary=self._columns.repeated
        )
        if not self._known.rows:
            return
        with self._pa.parquet.ParquetFile(self._path) as file:
            for batch in file.iter_batches(_ROWS_A_GROUP):
                self._writer.write_batch(self._without_open(batch))

    def _without_open(self, batch: Any) -> Any:
        """Return rows of the file without those of what was open, which are held back."""
        if not self._known.open:
            return batch
        was_open = [key in self._known.open for key in batch.column(self._source.id_column).to_pylist()]
        self._left_behind += batch.filter(self._pa.array(was_open)).to_pylist()
        return batch.filter(self._pa.array([not one for one in was_open], self._pa.bool_()))

    def _write_waiting(self) -> None:
        table = self._pa.Table.from_batches(self._waiting, self._columns.schema)
        self._waiting, self._waiting_rows = [], 0
        self._writer.write_table(table, row_group_size=_ROWS_A_GROUP)

    def finish(self) -> None:
        """Write the rest and the footer."""
        self.flush()
        self._write_waiting()
        kept = [row for row in self._left_behind if row[self._source.id_column] not in self._ended]
        if kept:
            self._writer.write_batch(self._pa.RecordBatch.from_pylist(kept, self._columns.schema))
        self.rows = self._known.rows - len(self._left_behind) + len(kept) + self.added
        source = self._source
        told = {
            "version": _VERSION,
            "service": source.service,
            "account": source.account,
            "filters": dict(source.filters),
            "whole": self._most is None or self.added < self._most,
            "gone": [*self._unmet],
            "open": {key: when for key, when in self._known.open.items() if key not in self._ended} | self._open,
        }
        self._writer.add_key_value_metadata({_KEY.decode(): json.dumps(told)})
        self._writer.close()

    def close(self) -> None:
        """Let go of the writer, whatever became of it."""
        if self._writer is not None and self._writer.is_open:
            self._writer.close()


async def table_of(model: type[T], pages: AsyncIterator[Sequence[T]]) -> Any:
    """Return pages as one `pyarrow.Table`."""
    pa = load_pyarrow()
    columns = Columns(model)
    return pa.Table.from_batches([columns.batch(items) async for items in pages], columns.schema)
