"""`SeenIds` says of each id whether it was met, few or many of them."""

from __future__ import annotations

import pytest

from neuralbox._api import seen_ids
from neuralbox._api.seen_ids import SeenIds


@pytest.mark.parametrize("exact", [0, 10, 10_000])
def test_each_id_is_new_once(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_ids, "EXACT", exact)
    seen = SeenIds()
    for _ in range(2):
        for number in range(3_000):
            assert (f"id{number}" in seen) is not seen.add(f"id{number}")
    assert len(seen) == 3_000
    assert "id3000" not in seen
    assert "id2999" in seen


@pytest.mark.uncovered
def test_many_ids_take_few_bytes_each() -> None:
    seen = SeenIds()
    for number in range(60_000):
        assert seen.add(f"id{number}")
    assert not any(seen.add(f"id{number}") for number in range(0, 60_000, 7))
    assert 8 * len(seen._table) <= 4 * 8 * 60_000 + 64
