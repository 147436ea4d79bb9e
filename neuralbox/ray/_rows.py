"""Rows of a dataset as requests, and outcomes as columns beside them. Pure, but for pyarrow, which Ray Data has anyway.

A null is a field that is not given, since one table may hold requests of many kinds; so is NaN, which pandas writes for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from .._batch.outcome import BatchOutcome
from .._errors import ConfigurationError

KEY: Final = "key"
RESULTS: Final[Mapping[str, str]] = {
    "ok": "bool",
    "id": "string",
    "status": "string",
    "content": "string",
    "url": "string",
    "path": "string",
    "tokens": "int64",
    "error_type": "string",
    "error_message": "string",
    "resumed": "bool",
}
"""The columns that are added, with Arrow's names of their types: the same in each block, whatever is in it."""
_LARGEST: Final = 2**63


def require_columns(names: Collection[str], keep: Collection[str]) -> None:
    """Require that a table can hold requests and take the results.

    Raises:
        ConfigurationError: It has no column of keys, lacks one that is to be kept, or has one that a result would replace.
    """
    if KEY not in names:
        raise ConfigurationError(
            f"The dataset has no column `{KEY}`: each row needs a key of its own, by which it is found again when Ray runs it a "
            f"second time. A column of another name does with ds.rename_columns({{...: {KEY!r}}})."
        )
    missing = [name for name in keep if name not in names]
    if missing:
        raise ConfigurationError(f"The dataset has no column `{missing[0]}` to keep; it has {', '.join(names)}.")
    taken = [name for name in names if name in RESULTS]
    if taken:
        raise ConfigurationError(
            f"The result's column `{taken[0]}` would replace one of the dataset: rename that before, with "
            f"ds.rename_columns({{{taken[0]!r}: ...}})."
        )


def requests_of(rows: Sequence[Mapping[str, Any]], keep: Collection[str]) -> list[dict[str, Any]]:
    """Return the request of each row.

    Raises:
        ConfigurationError: A row has no key, or that of another row.
    """
    requests, keys = list[dict[str, Any]](), set[str]()
    for row in rows:
        request = {name: value for name, value in row.items() if name not in keep and not _is_null(value)}
        request[KEY] = key = _key_of(request.get(KEY))
        if key in keys:
            raise ConfigurationError(
                f"Two rows have the key {key!r}; each needs one of its own. Nothing was sent of them."
            )
        keys.add(key)
        requests.append(request)
    return requests


def _is_null(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN alone is not itself


def _key_of(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(
            f"A row has no key: `{KEY}` is a text or a whole number, and here it is {value!r}. Nothing was sent of its block."
        )
    return value


def with_outcomes(table: Any, outcomes: Sequence[BatchOutcome]) -> Any:
    """Return a `pyarrow.Table` with the columns of results added; one outcome for each row, in their order."""
    pyarrow = importlib.import_module("pyarrow")
    values = [_values_of(outcome) for outcome in outcomes]
    for at, (name, kind) in enumerate(RESULTS.items()):
        column = pyarrow.array([each[at] for each in values], pyarrow.type_for_alias(kind))
        table = table.append_column(name, column)
    return table


def _values_of(outcome: BatchOutcome) -> list[Any]:
    """Return what stands in the columns of `RESULTS`."""
    said = outcome.to_dict()
    error = said["error"] or {"type": None, "message": None}
    values = [
        said["ok"],
        None if said["id"] is None else str(said["id"]),
        said["status"],
        said["text"],
        said["url"],
        said["path"],
        said["tokens"],
        error["type"],
        error["message"],
        said["resumed"],
    ]
    return [_fitting(value) for value in values]


def _fitting(value: Any) -> Any:
    """Return a value as Arrow can hold it: the service may write half a character, or a number of any size."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None if isinstance(value, int) and abs(value) >= _LARGEST else value
