"""Files of ours in a directory that others can write to: no trap is stepped into, wherever it lies."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox import _errors as errors
from neuralbox._files import own_file
from neuralbox._files.download import save
from neuralbox._files.own_file import changing, create_own, open_own, read_own, write_own
from neuralbox._files.partial_file import PartFile
from neuralbox._files.ranges import FileVersion
from neuralbox._report import write_history_report
from tests.archive.support import Service, lines_of, mirror_of
from tests.helpers import make_client, make_core

from .locks import interrupt_by
from .storage import MIB, Storage, content, video

PRECIOUS = b"precious"
KEY = "0" * 16
LONG = FileVersion('"v1"', None, 5_000_000)


def symbolic(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def dangling(path: Path, precious: Path) -> None:
    path.symlink_to(precious.with_name("not-there"))


def hard(path: Path, precious: Path) -> None:
    os.link(precious, path)


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def plug(path: Path, _: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the whole path may be too long for one
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def folder(path: Path, _: Path) -> None:
    path.mkdir()


Trap = Callable[[Path, Path], None]
traps = pytest.mark.parametrize("trap", [symbolic, dangling, hard, pipe, plug, folder])


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious"
    path.write_bytes(PRECIOUS)
    return path


def assert_untouched(precious: Path) -> None:
    assert precious.read_bytes() == PRECIOUS
    assert not precious.with_name("not-there").exists()


@traps
def test_only_a_file_of_ours_is_opened_and_a_new_one_takes_no_content(
    tmp_path: Path, precious: Path, trap: Trap
) -> None:
    path = tmp_path / "ours"
    trap(path, precious)
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_APPEND | os.O_CREAT):
        with pytest.raises(OSError, match="is a link, no regular file, or somebody else's"):
            open_own(path, flags)
    if trap is folder:
        with pytest.raises(OSError, match="directory"):
            write_own(path, b"new")
    else:
        write_own(path, b"new")
        assert read_own(path) == b"new"
    assert_untouched(precious)


def test_a_trap_that_comes_between_two_steps_is_not_opened_either(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ours"
    path.write_bytes(b"ours")
    state = path.stat()
    path.unlink()
    hard(path, precious)
    monkeypatch.setattr(os, "lstat", lambda *_: state)
    with pytest.raises(OSError, match="somebody else's"):
        open_own(path, os.O_RDWR)
    assert_untouched(precious)


def test_a_file_of_somebody_else_is_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "theirs"
    path.write_bytes(b"theirs")
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(OSError, match="somebody else's"):
        read_own(path)
    monkeypatch.delattr(os, "geteuid")  # a system without users
    assert read_own(path) == b"theirs"


def test_of_a_new_file_that_cannot_be_written_nothing_is_left(tmp_path: Path) -> None:
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, most[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_own(tmp_path / "own", b"a secret")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert not [*tmp_path.iterdir()]


def test_a_new_file_has_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    os.close(create_own(tmp_path / "ours"))
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o600


# Every path that is written.


@traps
@pytest.mark.parametrize("name", [f".neuralbox-{KEY}{rest}" for rest in (".part", ".json", ".2.part")])
def test_a_download_writes_past_what_lies_under_its_names(
    tmp_path: Path, precious: Path, trap: Trap, name: str
) -> None:
    trap(tmp_path / name, precious)
    part, second = PartFile(tmp_path, KEY), PartFile(tmp_path, KEY)
    for number, file in enumerate((part, second)):
        assert file.open_kept() is None
        file.begin(0, LONG)
        file.write(b"new")
        assert file.publish(tmp_path / f"a{number}", "error") == tmp_path / f"a{number}"
        assert (tmp_path / f"a{number}").read_bytes() == b"new"
        file.close(keep=True)
    assert_untouched(precious)


@pytest.mark.uncovered
@pytest.mark.anyio
@traps
@pytest.mark.parametrize(
    "name",
    ["manifest.jsonl", ".manifest.jsonl.part", ".neuralbox/archive.lock", "staged", "text/1.txt", "image/2.webp"],
)
async def test_an_archive_writes_past_what_lies_under_its_names_or_refuses_it(
    tmp_path: Path, precious: Path, trap: Trap, name: str
) -> None:
    service, mirror = Service(), tmp_path / "mirror"
    service.text(1, "One")
    service.image(2)
    (mirror / ".neuralbox").mkdir(parents=True)
    path = mirror / name
    if name == "staged":
        staged = [mirror / ".neuralbox" / digest for digest in _staged_names()]
        for path in staged:
            trap(path, precious)
    else:
        if name == ".manifest.jsonl.part":
            (mirror / "manifest.jsonl").write_bytes(b'{"archive":1,')  # damaged, so it is written anew
        path.parent.mkdir(exist_ok=True)
        trap(path, precious)
    with anyio.fail_after(20):
        async with make_client(service, max_retries=0) as nb:
            try:
                done: Any = await nb.history.archive(mirror)
            except (errors.ConfigurationError, errors.DownloadError):
                done = None
    assert_untouched(precious)
    if done is not None and not done.failed:
        assert {line["state"] for line in lines_of(mirror)} == {"saved"}
        assert len(lines_of(mirror)) == 2
    if name.endswith((".txt", ".webp")):
        assert done is not None
        assert done.saved == 2
        assert await anyio.Path(path).is_symlink() or trap not in {
            symbolic,
            dangling,
        }  # it keeps its name, and ours got another


def _staged_names() -> list[str]:
    from neuralbox._archive.directory import _digest

    return [_digest("1", "text")[:40], _digest("2", "file")[:40]]


# Who may read it.


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    found = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.stat().st_mode & 0o777 for path in found}


@pytest.mark.usefixtures("usual_umask")
@pytest.mark.anyio
async def test_the_records_of_a_mirror_are_for_its_owner_alone_and_its_results_as_the_umask_says(
    tmp_path: Path,
) -> None:
    service = Service()
    service.image(1)
    service.text(2, "A poem")
    async with make_client(service, max_retries=0) as nb:
        await nb.history.archive(tmp_path)
    assert modes(tmp_path) == {
        "manifest.jsonl": 0o600,
        ".neuralbox/archive.lock": 0o600,
        "image/1.webp": 0o644,
        "text/2.txt": 0o644,
    }


@pytest.mark.usefixtures("usual_umask")
@pytest.mark.anyio
async def test_the_record_of_an_unfinished_download_is_for_its_owner_alone(tmp_path: Path) -> None:
    storage = Storage(content(3 * MIB), cuts=[2 * MIB])
    with pytest.raises(errors.DownloadError):
        await save(make_core(storage, max_retries=0).core, video(), tmp_path, keep_partial=True)
    assert {Path(name).suffix: mode for name, mode in modes(tmp_path).items()} == {".json": 0o600, ".part": 0o644}


@pytest.mark.anyio
async def test_a_copy_of_a_mirror_made_of_links_keeps_its_manifest(tmp_path: Path) -> None:
    service, mirror, copy = Service(), tmp_path / "mirror", tmp_path / "copy.jsonl"
    service.image(1)
    async with make_client(service, max_retries=0) as nb:
        await nb.history.archive(mirror)
        (mirror / "manifest.jsonl").chmod(0o640)
        os.link(mirror / "manifest.jsonl", copy)
        before = copy.read_bytes()
        service.image(2)
        await nb.history.archive(mirror)
    assert copy.read_bytes() == before
    assert (mirror / "manifest.jsonl").stat().st_mode & 0o777 == 0o640
    assert set(mirror_of(mirror)) == {"1/file", "2/file"}


# What is no regular file is replaced nowhere.


@pytest.mark.anyio
@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("special", [pipe, plug])
async def test_nothing_takes_the_place_of_what_is_no_file(tmp_path: Path, special: Trap, through_a_link: bool) -> None:
    service, names = Service(), ["1.webp", "out.jsonl", "out.csv", "out.html"]
    url = service.image(1)
    for name in names:
        special(tmp_path / f"special-{name}", tmp_path)
        if through_a_link:
            (tmp_path / name).symlink_to(f"special-{name}")
        else:
            (tmp_path / f"special-{name}").rename(tmp_path / name)
    with anyio.fail_after(20):
        async with make_client(service, max_retries=0) as nb:
            for overwrite in (True, False, "replace", "skip"):
                with pytest.raises(
                    errors.ConfigurationError, match="a pipe or a socket, so no file can take its place"
                ):
                    await nb.files.download(url, tmp_path / names[0], overwrite=overwrite)
            for name in names[1:3]:
                with pytest.raises(errors.ConfigurationError, match="so no file can take its place"):
                    await nb.history.export(tmp_path / name, overwrite=True)
            with pytest.raises(errors.ConfigurationError, match="so no file can take its place"):
                await write_history_report(nb, tmp_path / names[3])
            assert not service.fetched
            beside = await nb.files.download(url, tmp_path / names[0], overwrite="rename")
    assert beside == tmp_path / "1 (2).webp"
    assert not any((tmp_path / name).is_file() for name in names)


def test_what_comes_to_stand_there_while_a_file_is_fetched_is_not_replaced_either(tmp_path: Path) -> None:
    part = PartFile(tmp_path, KEY)
    part.begin(0, LONG)
    part.write(b"new")
    os.mkfifo(tmp_path / "a")
    with pytest.raises(errors.ConfigurationError, match="no file can take its place"):
        part.publish(tmp_path / "a", "replace")
    part.close(keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_who_changes_a_file_of_ours_waits_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"

    def add(word: str) -> None:
        with changing(path):
            known = path.read_bytes() if path.exists() else b""
            own_file.write_own(path, known + word.encode())

    other = interrupt_by(monkeypatch, own_file, lambda: add("b"))
    add("a")
    other.join()
    assert path.read_bytes() == b"ab"
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]


def test_on_a_disk_without_locks_a_file_of_ours_is_changed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_: int, *, wait: bool) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(own_file, "lock", no_locks)
    with pytest.raises(FileNotFoundError), changing(tmp_path / "keys"):  # what fails inside is told
        read_own(tmp_path / "keys")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.anyio
@pytest.mark.parametrize("special", [pipe, plug])
async def test_a_recording_that_is_no_file_is_refused_at_once(tmp_path: Path, special: Trap) -> None:
    special(tmp_path / "talk.mp3", tmp_path)
    service = Service()
    with anyio.fail_after(20):
        async with make_client(service) as nb:
            with pytest.raises(errors.ConfigurationError, match="a pipe or a socket"):
                await nb.transcriptions.create(model="stt", audio=tmp_path / "talk.mp3")
    assert not service.asked
