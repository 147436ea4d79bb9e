"""The address of a journal in PostgreSQL, for all who test one."""

from __future__ import annotations

import pytest

from neuralbox._journal.postgres import connection as connections

from ..postgres import PostgresServer


@pytest.fixture
def place(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new run, in a database that knows of no other, which is asked again at once where that is needed."""
    monkeypatch.setattr(connections, "_AGAIN", 0.005)
    postgres.empty()
    return postgres.url()
