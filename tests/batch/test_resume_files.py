"""The files of a run that is continued: what was not saved is saved, what was is recognised, and none is outside."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from neuralbox._batch.collector import is_saved
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._requests.requests import ImageRequest

from .support import a_service, batches, images, outcomes_of

pytestmark = pytest.mark.anyio


async def test_what_was_not_saved_is_saved_by_the_next_run(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def put_something_in_the_way(number: int, body: Any) -> str:
        out.write_text("a file")
        return "answered"

    world = a_service(ends=put_something_in_the_way)
    first = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
    assert not any(outcome.ok for outcome in first.values())
    out.unlink()
    second = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
    assert all(outcome.ok and outcome.resumed for outcome in second.values())
    first_path = second["000001"].path
    assert first_path is not None
    first_path.unlink()
    third = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
    assert third["000001"].path == first_path
    assert first_path.exists()
    without = await outcomes_of(batches(world)(images(2), journal=path))
    assert without["000001"].path == first_path
    assert len(world.posts) == 2


async def test_what_a_killed_run_saved_and_did_not_write_down_is_recognised(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = a_service()
    out = tmp_path / "out"
    out.mkdir()
    (out / "18000.webp").write_bytes(b"mine")

    async def killed(*_: object) -> None:
        """Do nothing, as a process that ended before the mark."""

    with monkeypatch.context() as patch:
        patch.setattr(GroupedJournal, "saved", killed)
        first = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
    for _ in range(2):
        again = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
        assert {key: one.path for key, one in again.items()} == {key: one.path for key, one in first.items()}
    assert sorted(one.name for one in out.iterdir()) == ["18000 (2).webp", "18000.webp", "18001.webp"]
    assert (out / "18000.webp").read_bytes() == b"mine"


async def test_files_keep_their_keys_names_where_only_the_journal_knows_them(path: Path, tmp_path: Path) -> None:
    requests = [ImageRequest(model="flux-1.1-pro", prompt="a", key="heron"), *images(1)]
    world = a_service()
    await outcomes_of(batches(world)(requests, journal=path))
    found = await outcomes_of(batches(world)(None, journal=path, download_to=tmp_path / "out"))
    assert {outcome.path.name for outcome in found.values() if outcome.path is not None} == {"heron.webp", "18001.webp"}


@pytest.mark.parametrize("where", ["outside", "through a link", "no path"])
async def test_a_journal_decides_no_path_outside_the_directory_that_is_named(
    path: Path, tmp_path: Path, where: str
) -> None:
    world, out, secret = a_service(), tmp_path / "out", tmp_path / "id_rsa"
    secret.write_bytes(b"mine")
    await outcomes_of(batches(world)(images(1), journal=path, download_to=out))
    (out / "18000.webp").unlink()
    planted = str(secret)
    if where == "through a link":
        (out / "link").symlink_to(secret)
        planted = str(out / "link")
    elif where == "no path":
        planted = "nul" + chr(0)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE records SET path = ?", (planted,))
        connection.commit()
    found = await outcomes_of(batches(world)(images(1), journal=path, download_to=out))
    assert found["000001"].path == out / "18000.webp"
    assert secret.read_bytes() == b"mine"


def test_only_a_file_inside_the_directory_counts_as_saved(tmp_path: Path) -> None:
    inside, outside = tmp_path / "out" / "a.png", tmp_path / "b.png"
    inside.parent.mkdir()
    inside.write_bytes(b"a")
    outside.write_bytes(b"b")
    (inside.parent / "link.png").symlink_to(outside)
    assert is_saved(inside, inside.parent)
    for path in (outside, inside.parent / "link.png", inside.parent / "none.png", Path("x" * 5_000)):
        assert not is_saved(path, inside.parent)
