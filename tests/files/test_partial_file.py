"""A file on its way to the disk: whole under its name, or not there; what was left of one is believed only where it can be."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from neuralbox import ConfigurationError
from neuralbox._files import own_file, partial_file
from neuralbox._files.names import MAX_NAME_BYTES
from neuralbox._files.partial_file import KeptPart, PartFile
from neuralbox._files.ranges import FileVersion

KEY = "0123456789abcdef"
LONG = FileVersion('"v1"', None, 5_000_000)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def killed(directory: Path, data: bytes = b"abc", version: FileVersion | None = LONG) -> Path:
    """Leave what a process that was killed leaves; the part."""
    part = PartFile(directory, KEY)
    part.begin(0, version)
    part.write(data)
    part._close_descriptor()  # as the end of a process does
    return directory / f".neuralbox-{KEY}.part"


def looked(directory: Path) -> KeptPart | None:
    part = PartFile(directory, KEY)
    try:
        return part.open_kept()
    finally:
        part._close_descriptor()


def finish(part: PartFile, target: Path, data: bytes = b"new", overwrite: Any = "error") -> Path | None:
    part.begin(0, LONG)
    part.write(data)
    return part.publish(target, overwrite)


# Whole, or not there.


def test_a_thread_that_comes_late_leaves_nothing(tmp_path: Path) -> None:
    part = PartFile(tmp_path, KEY)
    part.close(keep=True)
    assert part.open_kept() is None
    part.begin(0, None)
    part.write(b"x")
    part.publish(tmp_path / "a", "replace")
    part.close(keep=False)
    assert names(tmp_path) == []


def test_a_thread_that_comes_late_takes_nothing_that_an_earlier_call_left(tmp_path: Path) -> None:
    killed(tmp_path)
    part = PartFile(tmp_path, KEY)
    part.close(keep=True)
    assert part.open_kept() is None
    assert looked(tmp_path) == KeptPart(3, LONG)  # nobody holds its lock


def test_after_a_restart_no_more_counts_than_is_there(tmp_path: Path) -> None:
    killed(tmp_path)
    record = tmp_path / f".neuralbox-{KEY}.json"
    for flushed, length in ((2, 2), (3, 3), (99, 3)):
        record.write_text(json.dumps({**json.loads(record.read_bytes()), "boot": "another", "flushed": flushed}))
        assert looked(tmp_path) == KeptPart(length, LONG)


def test_a_part_whose_record_cannot_be_written_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / f".neuralbox-{KEY}.json").mkdir()
    part = PartFile(tmp_path, KEY)
    part.begin(0, LONG)
    part.write(b"abc")
    part.close(keep=True)
    assert names(tmp_path) == [f".neuralbox-{KEY}.json"]


def test_what_is_kept_is_on_the_disk_before_the_record_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or after a loss of power the record would vouch for bytes that were never written."""
    done: list[str] = []
    fsync, write_own = os.fsync, own_file.write_own

    def flush(descriptor: int) -> None:
        done.append("flushed")
        fsync(descriptor)

    def write(path: Path, content: bytes) -> None:
        done.append(f"says {json.loads(content)['flushed']}")
        write_own(path, content)

    part = PartFile(tmp_path, KEY)
    part.begin(0, LONG)
    part.write(b"abc")
    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(partial_file, "write_own", write)
    part.close(keep=True)
    assert done[0] == "flushed"
    assert "says 3" in done


@pytest.mark.parametrize("failing", [(os, "fsync"), (Path, "unlink"), (partial_file, "write_own")])
def test_a_disk_that_fails_while_clearing_up_does_not_hide_the_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: tuple[Any, str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for keep in (True, False):
        part = PartFile(tmp_path, KEY)
        part.begin(0, LONG)
        part.write(b"x")
        with monkeypatch.context() as patch:
            patch.setattr(*failing, refuse)
            part.close(keep=keep)
            part.close(keep=keep)
        assert part._descriptor < 0
    if failing[1] != "unlink":
        assert names(tmp_path) == []


def test_a_write_that_takes_less_than_it_was_given_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    path = finish(PartFile(tmp_path, KEY), tmp_path / "a", b"0123456789")
    assert path is not None
    assert path.read_bytes() == b"0123456789"


def test_content_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[list[str]] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        flushed.append(names(tmp_path))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    part = PartFile(tmp_path, KEY)
    part.begin(0, None)
    part.write(b"x")
    part.publish(tmp_path / "a", "error", durable=True)
    assert flushed == [[f".neuralbox-{KEY}.part"], ["a"]]


@pytest.mark.parametrize("links", [True, False], ids=["with hard links", "without"])
def test_what_stands_there_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "a.mp4"
    for overwrite in ("error", "rename", "skip", "replace"):
        assert finish(PartFile(tmp_path, KEY), target, overwrite=overwrite) == target
        target.unlink()
    target.write_bytes(b"old")
    part = PartFile(tmp_path, KEY)
    with pytest.raises(ConfigurationError, match="there already"):
        finish(part, target)
    part.close(keep=False)
    assert finish(PartFile(tmp_path, KEY), target, overwrite="skip") is None
    assert finish(PartFile(tmp_path, KEY), target, overwrite="rename") == tmp_path / "a (2).mp4"
    assert finish(PartFile(tmp_path, KEY), target, overwrite="rename") == tmp_path / "a (3).mp4"
    assert target.read_bytes() == b"old"
    assert finish(PartFile(tmp_path, KEY), target, overwrite="replace") == target
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a (2).mp4", "a (3).mp4", "a.mp4"]


def test_a_file_of_the_same_content_may_be_taken_for_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep() -> Path | None:
        part = PartFile(tmp_path, KEY)
        part.begin(0, LONG)
        part.write(b"new")
        return part.publish(tmp_path / "a", "rename", same_stays=True)

    (tmp_path / "a").mkdir()
    (tmp_path / "a (2)").write_bytes(b"longer")
    (tmp_path / "a (3)").write_bytes(b"old")
    assert keep() == keep() == tmp_path / "a (4)"
    assert names(tmp_path) == ["a", "a (2)", "a (3)", "a (4)"]
    assert [(tmp_path / f"a ({number})").read_bytes() for number in (2, 3, 4)] == [b"longer", b"old", b"new"]

    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(partial_file, "sha256_of", refuse)
    assert keep() == tmp_path / "a (5)"


def test_a_directory_of_that_name_is_no_file_that_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    part = PartFile(tmp_path, KEY)
    with pytest.raises(ConfigurationError, match="there already"):
        finish(part, tmp_path / "a", overwrite="skip")
    part.close(keep=False)
    assert names(tmp_path) == ["a"]


def test_names_for_a_second_file_end_and_keep_to_the_length(tmp_path: Path) -> None:
    long = tmp_path / ("é" * 125 + ".mp4")
    candidates = list(partial_file._candidates(long))
    assert candidates[1].name == "é" * 123 + " (2).mp4"
    assert max(len(os.fsencode(one.name)) for one in candidates) <= MAX_NAME_BYTES
    assert len(set(candidates)) == len(candidates) == 9_999


@pytest.mark.parametrize(
    ("name", "second"),
    [
        (b"caf\xe9.png", b"caf\xe9 (2).png"),
        (b"bild.\xff", b"bild (2).\xff"),
        (b"\xff" * 251 + b".png", b"\xff" * 247 + b" (2).png"),
        (b"a." + b"b" * 253, b" (2)." + b"b" * 253),  # for which there is no room
    ],
)
def test_a_second_name_keeps_the_bytes_that_are_no_text(tmp_path: Path, name: bytes, second: bytes) -> None:
    candidates = partial_file._candidates(tmp_path / os.fsdecode(name))
    assert [os.fsencode(next(candidates).name) for _ in range(2)] == [name, second]


# What was left.


def test_what_a_killed_process_left_is_found(tmp_path: Path) -> None:
    killed(tmp_path)
    assert looked(tmp_path) == KeptPart(3, LONG)
    part = PartFile(tmp_path, KEY, digest=True)
    part.open_kept()
    part.begin(2, LONG)
    part.write(b"xyz")
    part.publish(tmp_path / "a", "error")
    assert (tmp_path / "a").read_bytes() == b"abxyz"
    assert part.sha256 == hashlib.sha256(b"abxyz").hexdigest()
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "record",
    [None, b"", b"{", b"[]", b"7", b"[" * 100_000, b'{"etag": 7}', b'{"etag": "v", "total": 5}', b"\xff\xfe"],
    ids=["none", "empty", "cut", "a list", "a number", "deep", "a wrong tag", "no tag", "no text"],
)
def test_a_part_without_a_readable_record_is_cleared_away(tmp_path: Path, record: bytes | None) -> None:
    killed(tmp_path)
    path = tmp_path / f".neuralbox-{KEY}.json"
    path.unlink() if record is None else path.write_bytes(record)
    part = PartFile(tmp_path, KEY)
    assert part.open_kept() is None
    part.close(keep=True)
    assert names(tmp_path) == []


def test_what_was_not_flushed_counts_only_until_the_machine_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(tmp_path)
    boot = partial_file._boot
    monkeypatch.setattr(partial_file, "_boot", lambda: "another")
    assert looked(tmp_path) is None
    monkeypatch.setattr(partial_file, "_boot", boot)
    part = PartFile(tmp_path, KEY)
    part.open_kept()
    part.begin(3, LONG)
    part.write(b"def")
    part.close(keep=True)  # flushes
    with (tmp_path / f".neuralbox-{KEY}.part").open("ab") as file:
        file.write(b"ghi")
    assert looked(tmp_path) == KeptPart(9, LONG)
    monkeypatch.setattr(partial_file, "_boot", lambda: "another")
    assert looked(tmp_path) == KeptPart(6, LONG)
    record = json.loads((tmp_path / f".neuralbox-{KEY}.json").read_bytes())
    (tmp_path / f".neuralbox-{KEY}.json").write_text(json.dumps({**record, "flushed": "many"}))
    assert looked(tmp_path) is None


def test_one_run_of_the_machine_is_told_from_another_without_linux_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert partial_file._boot() == partial_file._boot()

    def refuse(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert partial_file._boot().lstrip("-").isdecimal()


def test_the_record_of_another_version_never_stands_beside_new_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = killed(tmp_path)
    record = tmp_path / f".neuralbox-{KEY}.json"
    lengths: list[int] = []
    write = own_file.write_own

    def watch(record: Path, data: bytes) -> None:
        lengths.append(path.stat().st_size)
        write(record, data)

    monkeypatch.setattr(partial_file, "write_own", watch)
    part = PartFile(tmp_path, KEY)
    part.open_kept()
    part.begin(0, FileVersion('"v2"', None, 5_000_000))
    assert lengths == [0]
    part.begin(0, FileVersion('"v3"', None, 5))  # too short to be worth a record
    assert not record.exists()
    part.close(keep=True)
    assert names(tmp_path) == []


def test_a_part_that_somebody_writes_is_left_to_them(tmp_path: Path) -> None:
    first, second = PartFile(tmp_path, KEY), PartFile(tmp_path, KEY)
    first.begin(0, LONG)
    first.write(b"first")
    assert second.open_kept() is None
    second.begin(0, LONG)
    second.write(b"second")
    assert second.publish(tmp_path / "b", "error") == tmp_path / "b"
    third = PartFile(tmp_path, KEY)
    third.begin(0, LONG)
    third.close(keep=True)  # nobody would find it again
    assert first.publish(tmp_path / "a", "error") == tmp_path / "a"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first", "b": b"second"}


def abandon(part: PartFile) -> None:
    """End as a killed process ends: its locks go, its files stay."""
    part._close_descriptor()


@pytest.mark.parametrize("killed_first", [True, False])
def test_of_two_downloads_of_one_file_the_one_that_is_finished_clears_up_after_the_one_that_was_killed(
    tmp_path: Path, killed_first: bool
) -> None:
    parts = [PartFile(tmp_path, KEY) for _ in range(2)]
    for part in parts:
        part.begin(0, LONG)
        part.write(b"half")
    gone, other = parts if killed_first else reversed(parts)
    abandon(gone)
    assert len(names(tmp_path)) == 3  # two parts, and the record of the first
    other.publish(tmp_path / "a", "error")
    assert names(tmp_path) == ["a"]


def test_downloads_that_are_under_way_are_left_alone_by_one_that_is_finished(tmp_path: Path) -> None:
    parts = [PartFile(tmp_path, KEY) for _ in range(6)]
    for number, part in enumerate(parts):
        part.begin(0, LONG)
        part.write(str(number).encode())
    for number in (3, 0, 5, 1, 4, 2):
        parts[number].publish(tmp_path / str(number), "error")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {str(n): str(n) for n in range(6)}


def test_a_name_that_cannot_be_cleared_is_no_error_of_the_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = PartFile(tmp_path, KEY), PartFile(tmp_path, KEY)
    for part in (first, second):
        part.begin(0, LONG)
    abandon(second)
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if ".2." in path.name:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    first.write(b"x")
    assert first.publish(tmp_path / "a", "error") == tmp_path / "a"


@pytest.mark.parametrize("failing", ["write_own", "unlink"])
def test_a_disk_that_fails_under_the_record_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    part = PartFile(tmp_path, KEY)
    owner: Any = partial_file if failing == "write_own" else Path
    monkeypatch.setattr(owner, failing, refuse)
    with pytest.raises(OSError, match="Input/output"):
        part.begin(0, LONG if failing == "write_own" else None)
    monkeypatch.undo()
    part.close(keep=False)


def test_a_part_that_is_finished_while_it_is_opened_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = PartFile(tmp_path, KEY)
    first.begin(0, LONG)
    first.write(b"first")
    lock = own_file.lock

    def finished_meanwhile(descriptor: int, *, wait: bool) -> None:
        monkeypatch.setattr(partial_file, "lock", lock)
        first.publish(tmp_path / "a", "error")
        lock(descriptor, wait=wait)

    monkeypatch.setattr(partial_file, "lock", finished_meanwhile)
    second = PartFile(tmp_path, KEY)
    second.begin(0, LONG)
    second.write(b"2")
    second.publish(tmp_path / "b", "error")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert (tmp_path / "b").read_bytes() == b"2"

    killed(tmp_path)

    def gone_meanwhile(descriptor: int, *, wait: bool) -> None:
        (tmp_path / f".neuralbox-{KEY}.part").unlink()
        lock(descriptor, wait=wait)

    monkeypatch.setattr(partial_file, "lock", gone_meanwhile)
    assert looked(tmp_path) is None


def test_a_process_killed_between_the_two_names_of_a_file_does_not_lose_it(tmp_path: Path) -> None:
    path = killed(tmp_path, b"whole")
    os.link(path, tmp_path / "a")
    part = PartFile(tmp_path, KEY)
    assert part.open_kept() is None
    finish(part, tmp_path / "a", b"new", overwrite="rename")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert (tmp_path / "a (2)").read_bytes() == b"new"
    path = killed(tmp_path, b"whole")
    os.link(path, tmp_path / "b")
    finish(PartFile(tmp_path, KEY), tmp_path / "c", b"new")
    assert (tmp_path / "b").read_bytes() == b"whole"


def test_a_trap_under_the_expected_name_is_not_stepped_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    part = tmp_path / f".neuralbox-{KEY}.part"
    part.symlink_to(tmp_path / "precious")
    for name in ("a", "b", "c", "d"):
        one = PartFile(tmp_path, KEY)
        assert one.open_kept() is None
        assert finish(one, tmp_path / name) == tmp_path / name
        if name == "a":  # a directory
            part.unlink()
            part.mkdir()
        elif name == "b":  # a file of somebody else
            part.rmdir()
            part.write_bytes(b"theirs")
            monkeypatch.setattr(os, "geteuid", lambda: 12_345)
        elif name == "c":  # a disk without locks
            monkeypatch.undo()
            monkeypatch.setattr(partial_file, "lock", _no_locks)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert part.read_bytes() == b"theirs"
    assert [(tmp_path / name).read_bytes() for name in "abcd"] == [b"new"] * 4


def _no_locks(_: int, *, wait: bool) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_disk_that_is_full_is_told_when_the_part_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="No space"):
        PartFile(tmp_path, KEY).begin(0, LONG)


def test_a_part_that_somebody_takes_away_is_never_mistaken_for_another(tmp_path: Path) -> None:
    ours = tmp_path / f".neuralbox-{KEY}.part"
    for theirs in (None, b"half of something else"):
        part = PartFile(tmp_path, KEY)
        part.begin(0, LONG)
        part.write(b"ours")
        ours.unlink()
        if theirs is not None:
            ours.write_bytes(theirs)
        with pytest.raises(OSError, match="taken away"):
            part.publish(tmp_path / "a", "replace")
        part.close(keep=False)
        assert not (tmp_path / "a").exists()
        assert ours.exists() == (theirs is not None)


def test_a_part_that_somebody_shortens_is_not_filled_up(tmp_path: Path) -> None:
    path = killed(tmp_path, b"abcdef")
    part = PartFile(tmp_path, KEY)
    assert part.open_kept() == KeptPart(6, LONG)
    os.truncate(path, 3)
    with pytest.raises(OSError, match="shortened"):
        part.begin(6, LONG)
    part.close(keep=False)
    assert ".neuralbox" not in "".join(names(tmp_path))
