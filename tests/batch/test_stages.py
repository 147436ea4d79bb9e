"""The table of a request's stages: every row of it is reached, and `conftest` sees that no other move is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._errors import JournalError

from ..helpers import refusal
from .conftest import documented
from .support import a_service, batches, images, outcomes_of, videos

pytestmark = pytest.mark.anyio


async def test_every_move_of_the_table_is_made(tmp_path: Path, moves: set[tuple[str, str]]) -> None:
    journal, out = tmp_path / "run.sqlite", tmp_path / "out"
    fates: dict[int, Any] = {2: refusal(400, "bad_request")}
    world = a_service(ends=lambda number, body: fates.get(number, "answered"))
    home = batches(world)
    requests = [*videos(3), *images(3)]

    accepted = anyio.Event()
    async with home(requests, journal=journal, max_sending=1, on_accepted=lambda *_: accepted.set()):
        await accepted.wait()  # leaves one accepted
    found = await outcomes_of(home(requests, journal=journal, download_to=out, retry_failed=True))
    assert sum(outcome.path is not None for outcome in found.values()) >= 5
    await outcomes_of(home(requests, journal=journal))
    for file in out.iterdir():
        file.unlink()
    await outcomes_of(home(requests, journal=journal, download_to=out))
    await outcomes_of(home(images(2), download_to=out))
    await outcomes_of(home(videos(1)))
    changed = [*images(1), *videos(2)]
    with pytest.raises(JournalError):  # the reader stops, what was planned is dropped
        await outcomes_of(home(changed, journal=journal))

    def on_accepted(*_: object) -> None:
        raise LookupError

    with pytest.raises(LookupError):  # what waits for its turn is dropped
        await outcomes_of(home(images(5), max_sending=1, on_accepted=on_accepted))
    # Only with other workers; `test_shared_others` and `test_shared_leases` make those.
    assert moves == documented() - {("waiting", "sending"), ("waiting", "waiting"), ("waiting", "-")}
