"""`generate`: a dataset of requests becomes one of results, by a pool of Ray's actors."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

from .._budget import Budget
from .._errors import ConfigurationError
from .._files.target import name_of
from .._journal.postgres.address import read_address
from .._types import OMIT, Omit
from ._rows import require_columns
from ._worker import GenerateRows, WorkerSettings, address_of

Dataset = TypeVar("Dataset")
"""A `ray.data.Dataset`."""

_PARTS: Final = 4
"""Parts of its requests that an actor has at once: while the last of one ends, the others go on."""
_LARGEST_PART: Final = 1_024
_SENDING: Final = 64
_CPUS: Final = 0.25  # an actor waits most of the time
_NOT_GIVEN: Final = ("api_key", "session", "default_headers", "budget")


def generate(
    ds: Dataset,
    *,
    journal: str,
    workers: int | tuple[int, int] = (1, 4),
    in_flight: int = 500,
    budget: int | None = None,
    download_to: str | os.PathLike[str] | None = None,
    keep: Collection[str] = (),
    wait_timeout: float | Omit | None = OMIT,
    retry_failed: bool = False,
    api_key_variable: str = "NEURALBOX_API_KEY",
    client: Mapping[str, Any] | None = None,
    **ray_options: Any,
) -> Dataset:
    """Have each row of a dataset generated, by a pool of actors that share a journal.

        ds = neuralbox.ray.generate(ds, journal="postgresql://db.example/neuralbox#summer", workers=(2, 16))

    The dataset stays lazy. However often it is run, and whatever of the cluster is lost meanwhile, each row is bought once.

    Args:
        ds: A `ray.data.Dataset`. Each row is a request as `request_from_dict` reads it (`kind`, `model`, `prompt`, ...), with a
            `key` of its own, a text or a whole number; a null is a field that is not given.
        journal: The address of the run in PostgreSQL, `postgresql://host/db#run`. `#run` takes the database from
            `NEURALBOX_JOURNAL` in each actor's environment, so that a password need not travel with the work.
        workers: How many actors; two numbers let Ray start as many as it has work for.
        in_flight: Requests that each actor has sent and waits for, at most.
        budget: Most tokens to spend, by all actors together and those of the journal's earlier runs included.
        download_to: A directory for the files, as each actor sees it: one that all share, or each machine's own.
        keep: Columns that are no part of a request and come out as they are.
        wait_timeout: Limit of the wait for each job in seconds; see `nb.batch`.
        retry_failed: Send again what failed in an earlier run of the journal.
        api_key_variable: The environment variable with the key of the API, on each machine. The key itself is never passed
            on: Ray would write it down where anybody reads it who sees the cluster.
        client: Arguments for each actor's `AsyncNeuralBox`, such as `base_url`, `polling` or `limits`.
        ray_options: More arguments for `Dataset.map_batches`, such as `num_cpus` (0.25 of each actor unless it is given),
            `resources` or `runtime_env`.

    Returns:
        The dataset with these columns added, of the same types in each block: `ok`, `id`, `status`, `content` (of a text), `url`,
        `path`, `tokens`, `error_type`, `error_message`, `resumed` (it had ended before, and cost nothing now). What failed is a
        row as well: `ok` is false.

    Raises:
        ConfigurationError: Ray is not installed, an argument cannot be right, or the dataset is known to lack a column. By the
            run of the dataset: a row has no key, or that of another row in its part, or a machine has no key of the API.
        JournalError: By the run of the dataset: the journal cannot be used, or knows a key with another request.
    """
    data = _load_ray_data()
    read_address(_checked_address(journal))
    if budget is not None:
        Budget(budget)  # checked before anything is started
    refused = [name for name in client or {} if name in _NOT_GIVEN]
    if refused:
        raise ConfigurationError(
            f"`{refused[0]}` cannot be in `client`: it would be written down with the work. The API key is read from "
            f"{api_key_variable} on each machine, and the budget is an argument of its own."
        )
    fewest, most = workers if isinstance(workers, tuple) else (workers, workers)
    for name, value in (("workers", fewest), ("workers", most), ("in_flight", in_flight)):
        _require_whole(name, value)
    if fewest > most:
        raise ConfigurationError(f"workers must be (fewest, most); it is {workers!r}.")
    dataset: Any = ds
    schema = dataset.schema(fetch_if_missing=False)
    if schema is not None:
        require_columns(schema.names, keep)
    rows = min(_LARGEST_PART, -(-in_flight // _PARTS))
    parts = -(-in_flight // rows)
    settings = WorkerSettings(
        journal=journal,
        api_key_variable=api_key_variable,
        keep=tuple(keep),
        batch={
            "budget": budget,
            "download_to": None if download_to is None else name_of("`download_to`", download_to),
            "max_in_flight": rows,
            "max_sending": max(1, _SENDING // parts),
            "wait_timeout": wait_timeout,
            "retry_failed": retry_failed,
        },
        client=dict(client or {}),
    )
    # Prompts are small, so a block of Ray's has thousands of rows: one actor would have them all, the others none.
    parts_of_it = dataset.repartition(target_num_rows_per_block=rows)
    made: Dataset = parts_of_it.map_batches(
        GenerateRows,
        fn_constructor_args=[settings],
        batch_size=None,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(min_size=fewest, max_size=most, max_concurrent_calls_per_actor=parts),
        udf_modifying_row_count=False,
        **{"num_cpus": _CPUS, **ray_options},
    )
    return made


def _load_ray_data() -> Any:
    try:
        return importlib.import_module("ray.data")
    except ImportError as error:
        raise ConfigurationError(f"neuralbox.ray needs Ray Data ({error}): pip install 'neuralbox[ray]'") from error


def _checked_address(journal: object) -> str:
    """Return an address of the same run, whatever the database of the actors is."""
    if not isinstance(journal, str):
        raise ConfigurationError(f"journal must be the address of a run, not {type(journal).__name__}.")
    return f"postgresql://{journal}" if journal.startswith("#") else address_of(journal)


def _require_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be whole numbers from 1; it is {value!r}.")
