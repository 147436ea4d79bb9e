"""What an actor of Ray's pool does with a part of the dataset: one batch on the shared journal.

An actor is killed without a word, so it keeps nothing: a client and a journal are opened for each part and closed with it. A
part that another actor had, and lost, comes with the same keys; the journal tells what was paid for.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._batch.outcome import BatchOutcome
from .._client import AsyncNeuralBox
from .._config import journal_from_environment
from .._errors import ConfigurationError, JournalError
from .._journal import is_address
from ._rows import KEY, requests_of, require_columns, with_outcomes

logger = logging.getLogger("neuralbox")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What each actor is told. It travels with the work, so no key of the API is in it.

    Attributes:
        journal: The address of the run, or `#run` of the database that the actor's environment names.
        api_key_variable: Which variable of the actor's environment has the key of the API.
        keep: Columns that are no part of a request.
        batch: Arguments of `nb.batch`.
        client: Arguments of the client.
    """

    journal: str = field(repr=False)
    api_key_variable: str
    keep: Collection[str]
    batch: Mapping[str, Any]
    client: Mapping[str, Any] = field(repr=False)


class GenerateRows:
    """Have the rows of a table generated; an actor's callable.

    Args:
        settings: How.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings

    async def __call__(self, table: Any) -> Any:
        """Return a `pyarrow.Table` with the results beside its rows.

        Raises:
            ConfigurationError: The table cannot be one of requests, or this machine has no key of the API.
            JournalError: The journal cannot be used, or knows a key with another request.
        """
        keep = self._settings.keep
        require_columns(table.column_names, keep)
        requests = requests_of(table.to_pylist(), keep)
        outcomes: dict[str, BatchOutcome] = {}
        if requests:
            await self._run(requests, outcomes)
        return with_outcomes(table, [outcomes[request[KEY]] for request in requests])

    async def _run(self, requests: list[dict[str, Any]], outcomes: dict[str, BatchOutcome]) -> None:
        settings = self._settings
        key, journal = _key_from(settings.api_key_variable), address_of(settings.journal)
        async with AsyncNeuralBox(api_key=key, **settings.client) as nb:
            is_done = False
            while not is_done:
                batch = nb.batch(requests, journal=journal, **settings.batch)
                try:
                    async with batch as run:
                        async for outcome in run:
                            outcomes[outcome.key] = outcome
                    is_done = True
                except JournalError as error:
                    if error.reason != "lease":
                        raise
                    logger.warning("This actor was away for so long that others may have taken its part: once more.")


def _key_from(variable: str) -> str:
    key = os.environ.get(variable, "")
    if not key.strip():
        raise ConfigurationError(
            f"No API key on this machine: set {variable} in the environment that Ray's workers are started with. It is not sent "
            "with the work."
        )
    return key


def address_of(journal: str) -> str:
    """Return the address of a run; `#run` is one of the database that the environment names.

    Raises:
        ConfigurationError: It names none.
    """
    if journal.startswith("#"):
        database = journal_from_environment().partition("#")[0]
        journal = f"{database}{journal}"
    if not is_address(journal):
        raise ConfigurationError(
            "Ray's actors share a journal in PostgreSQL: pass journal='postgresql://host/db#run', or '#run' with "
            "NEURALBOX_JOURNAL in the environment of each of them."
        )
    return journal
