"""Downloads: a whole file under its name or none, from hosts that get no key and are believed nothing."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from neuralbox import (
    AsyncNeuralBox,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DownloadError,
    ExpiredFileError,
    Generation,
    JobRef,
    ProtocolError,
)
from neuralbox._core.exchange import TimeSource
from neuralbox._files.partial_file import PartFile
from neuralbox._polling.job import Job
from neuralbox._resources.files import Files
from neuralbox.sandbox import Sandbox, serve
from tests.helpers import KEY, STALL, Bench, Streamed, make_core, refusal, reply

pytestmark = pytest.mark.anyio

STORAGE = "http://storage.test/generations"
FILE = bytes(range(256)) * 40
LOST = ConnectionLostError("The connection was lost.")


def made(**fields: Any) -> Generation:
    record = {"id": 18500, "type": "video", "status": "completed", "result_url": f"{STORAGE}/18500.mp4", **fields}
    return Generation.read(record)


VIDEO = made()


def body(*pieces: Any, status: int = 200, **headers: Any) -> Streamed:
    return Streamed(pieces, status, {name.replace("_", "-"): value for name, value in headers.items()})


def whole(content: bytes = FILE, **headers: Any) -> Streamed:
    half = len(content) // 2
    return body(*filter(None, (content[:half], content[half:])), content_length=str(len(content)), **headers)


def files(*script: Any, **options: Any) -> tuple[Files, Bench]:
    core = make_core(script, **options)
    return Files(core.core), core


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, hidden ones included."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


# Where it goes.


async def test_a_file_goes_into_a_directory_under_the_id_of_its_generation(tmp_path: Path) -> None:
    downloads, core = files(whole())
    path = await downloads.download(VIDEO, f"{tmp_path}/out/new/")
    assert path == tmp_path / "out/new/18500.mp4"
    assert contents(tmp_path) == {"out/new/18500.mp4": FILE}
    assert core.transport.open_streams == 0
    (sent,) = core.sent
    assert (sent.method, sent.url) == ("GET", VIDEO.url)
    assert sent.headers["accept-encoding"] == "identity"


async def test_a_directory_that_exists_needs_no_slash(tmp_path: Path) -> None:
    downloads, _ = files(whole())
    assert await downloads.download(VIDEO, tmp_path) == tmp_path / "18500.mp4"


async def test_a_path_is_the_name_of_the_file(tmp_path: Path) -> None:
    downloads, _ = files(whole())
    assert await downloads.download(VIDEO, tmp_path / "new" / "boat.film") == tmp_path / "new/boat.film"
    assert contents(tmp_path) == {"new/boat.film": FILE}


async def test_an_address_without_an_ending_gets_that_of_the_media_type(tmp_path: Path) -> None:
    downloads, _ = files(whole(content_type="image/webp"))
    picture = made(id="gen_7", result_url=f"{STORAGE}/gen_7?signature=abc")
    assert await downloads.download(picture, tmp_path) == tmp_path / "gen_7.webp"


@pytest.mark.parametrize(
    ("url", "headers", "name"),
    [
        (f"{STORAGE}/fox.png?x=1", {}, "fox.png"),
        (f"{STORAGE}/fox", {"content_type": "image/png"}, "fox.png"),
        (f"{STORAGE}/fox", {"content_disposition": 'attachment; filename="red.png"'}, "red.png"),
        (f"{STORAGE}/fox", {"content_disposition": 'attachment; filename="../../../red.png"'}, "red.png"),
        (f"{STORAGE}/..%2F..%2F..%2Fetc%2Fpasswd", {}, "passwd"),
        (f"{STORAGE}/..%5C..%5Cnul.txt", {}, "_nul.txt"),
        (f"{STORAGE}/%2E%2E", {}, "download"),
        (f"{STORAGE}/{'y' * 900}.png", {}, "y" * 251 + ".png"),
    ],
)
async def test_names_of_the_server_never_leave_the_directory(
    tmp_path: Path, url: str, headers: Mapping[str, Any], name: str
) -> None:
    downloads, _ = files(whole(**headers))
    path = await downloads.download(url, f"{tmp_path}/out/")
    assert path.parent == tmp_path / "out"
    assert contents(tmp_path) == {f"out/{name}": FILE}


async def test_an_id_that_is_a_path_stays_in_the_directory(tmp_path: Path) -> None:
    downloads, _ = files(whole())
    assert await downloads.download(made(id="../../evil"), tmp_path) == tmp_path / "evil.mp4"


async def test_a_generation_without_an_id_is_named_by_its_address(tmp_path: Path) -> None:
    downloads, _ = files(whole())
    assert await downloads.download(made(id=None), tmp_path) == tmp_path / "18500.mp4"


@pytest.mark.parametrize("overwrite", [False, True])
async def test_what_stands_there_is_replaced_only_on_request(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "18500.mp4").write_bytes(b"old")
    for target in (tmp_path, tmp_path / "18500.mp4"):
        downloads, core = files(whole())
        if overwrite:
            await downloads.download(VIDEO, target, overwrite=True)
        else:
            with pytest.raises(ConfigurationError, match="overwrite=True"):
                await downloads.download(VIDEO, target)
            assert core.sent == []
    assert contents(tmp_path) == {"18500.mp4": FILE if overwrite else b"old"}


async def test_a_name_known_late_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_bytes(b"old")
    downloads, core = files(whole())
    with pytest.raises(ConfigurationError, match="overwrite=True"):
        await downloads.download(f"{STORAGE}/fox.png", tmp_path)
    assert contents(tmp_path) == {"fox.png": b"old"}
    assert core.transport.open_streams == 0


async def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "18500.mp4").symlink_to(tmp_path / "elsewhere")
    downloads, _ = files(whole())
    with pytest.raises(ConfigurationError, match="there already"):
        await downloads.download(VIDEO, tmp_path)
    downloads, _ = files(whole())
    await downloads.download(VIDEO, tmp_path, overwrite=True)
    assert contents(tmp_path) == {"18500.mp4": FILE}


@pytest.mark.parametrize("links", [True, False], ids=["with hard links", "without"])
@pytest.mark.parametrize("meanwhile", [True, False], ids=["another came", "alone"])
async def test_a_file_that_came_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, meanwhile: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    def on_progress(received: int, total: int | None) -> None:
        if meanwhile:
            (tmp_path / "18500.mp4").write_bytes(b"mine")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    downloads, _ = files(whole())
    if meanwhile:
        with pytest.raises(ConfigurationError, match="there already"):
            await downloads.download(VIDEO, tmp_path, on_progress=on_progress)
    else:
        await downloads.download(VIDEO, tmp_path, on_progress=on_progress)
    assert contents(tmp_path) == {"18500.mp4": b"mine" if meanwhile else FILE}


async def test_targets_that_cannot_be_are_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "taken" / "18500.mp4").mkdir(parents=True)
    bad = {
        "": "cannot be the name",
        "a\0b": "cannot be the name",
        "a/\ud800": "cannot be the name",
        f"{tmp_path}/{'x' * 300}/": "longer than the 255 bytes",
        f"{tmp_path}/{'x' * 300}.mp4": "longer than the 255 bytes",
        f"{tmp_path}/file/": "not a directory",
        f"{tmp_path}/file/deeper/18500.mp4": "not a directory",
        f"{tmp_path}/taken": "is a directory",
    }
    for target, why in bad.items():
        downloads, core = files()
        with pytest.raises(ConfigurationError, match=why):
            await downloads.download(VIDEO, target, overwrite=True)
        assert core.sent == []
    assert contents(tmp_path) == {"file": b"x"}


# What can be fetched.


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": "pending"}, "is pending: wait for it first"),
        ({"status": "hatching"}, "is hatching: wait"),
        ({"status": "failed", "error": "Content policy"}, r"failed, so there is no file \(Content policy\)"),
        ({"status": "failed", "error": "No\n\x1b[2J: nb_secret123"}, r"there is no file \(No \[2J: \[hidden\]\)"),
        ({"status": "failed"}, "no reason was given"),
        ({"type": "text", "result_text": "Good morning"}, "is a text"),
        ({}, "no address"),
    ],
)
async def test_a_generation_without_a_file_is_one_clear_error(
    tmp_path: Path, fields: Mapping[str, Any], why: str
) -> None:
    downloads, core = files()
    with pytest.raises(ConfigurationError, match=why) as caught:
        await downloads.download(made(result_url=None, **fields), tmp_path)
    assert caught.value.job is not None
    assert caught.value.job.id == 18500
    assert core.sent == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "18500",
        "/generations/18500.mp4",
        "storage.test/18500.mp4",
        "//storage.test/18500.mp4",
        "file:///etc/passwd",
        "ftp://storage.test/18500.mp4",
        "data:text/plain,hi",
        "http://",
        "http:///18500.mp4",
        "http://storage.test:port/18500.mp4",
        "http://[storage/18500.mp4",
        "http://storage.test/\n18500.mp4",
        "http://storage.test/\ud800.mp4",
        "http://user:secret@storage.test/18500.mp4",
        "javascript:" + "x" * 400,
    ],
)
async def test_an_address_that_is_not_absolute_http_is_one_clear_error(tmp_path: Path, url: str) -> None:
    downloads, core = files()
    sources: list[Generation | str] = [url, made(result_url=url or "/")]
    for source in sources:
        with pytest.raises(ConfigurationError) as caught:
            await downloads.download(source, tmp_path)
        assert "secret" not in caught.value.message
        assert len(caught.value.message) < 400
    assert core.sent == []


async def test_a_job_is_asked_for_unless_it_is_known_to_be_finished(tmp_path: Path) -> None:
    record = {"id": 18500, "status": "completed", "result_url": VIDEO.url}
    downloads, core = files(*[reply(200, record), whole()] * 3, whole())
    sources: list[Job | JobRef] = [
        JobRef(18500, "video"),
        Job(core.core, 18500),
        Job(core.core, generation=made(status="pending", result_url=None)),
        Job(core.core, generation=VIDEO),
    ]
    for number, source in enumerate(sources):
        await downloads.download(source, tmp_path / f"{number}.mp4")
    assert [one.url.rpartition("/")[2] for one in core.sent] == ["18500", "18500.mp4"] * 3 + ["18500.mp4"]


async def test_anything_else_is_one_clear_error(tmp_path: Path) -> None:
    downloads, core = files()
    with pytest.raises(ConfigurationError, match=r"client\.job\(id\)"):
        await downloads.download(18500, tmp_path)  # type: ignore[arg-type]
    for limit in (0, -1):
        with pytest.raises(ConfigurationError, match="max_bytes"):
            await downloads.download(VIDEO, tmp_path, max_bytes=limit)
    assert core.sent == []


# Whole, or not at all.


async def test_a_cut_file_is_fetched_again(tmp_path: Path) -> None:
    short = body(FILE[:100], content_length=str(len(FILE)))
    downloads, core = files(ConnectError("No route."), body(FILE[:100], LOST), short, whole(), max_retries=3)
    path = await downloads.download(VIDEO, tmp_path)
    assert path.read_bytes() == FILE
    assert contents(tmp_path) == {"18500.mp4": FILE}
    assert len(core.time.pauses) == 3


@pytest.mark.parametrize(
    "cut",
    [body(FILE[:100], LOST), body(FILE[:100], content_length="10240"), body(FILE, content_length="100"), LOST],
    ids=["lost", "too short", "too long", "nothing came"],
)
async def test_a_file_that_never_comes_whole_is_an_error_and_leaves_nothing(tmp_path: Path, cut: Any) -> None:
    downloads, core = files(cut, cut, cut)
    with pytest.raises(DownloadError, match="after 3 attempts") as caught:
        await downloads.download(VIDEO, tmp_path)
    assert caught.value.job == JobRef(18500, "video")
    assert isinstance(caught.value.__cause__, ConnectionLostError)
    assert contents(tmp_path) == {}
    assert core.transport.open_streams == 0


async def test_the_old_file_stays_when_the_new_one_does_not_come_whole(tmp_path: Path) -> None:
    (tmp_path / "18500.mp4").write_bytes(b"old")
    downloads, _ = files(body(FILE[:100], LOST), max_retries=0)
    with pytest.raises(DownloadError):
        await downloads.download(VIDEO, tmp_path, overwrite=True)
    assert contents(tmp_path) == {"18500.mp4": b"old"}


@pytest.mark.parametrize("length", ["", "many", "-1", "9" * 30, "10240, 10240"])
async def test_a_length_that_is_none_is_not_believed(tmp_path: Path, length: str) -> None:
    seen: list[tuple[int, int | None]] = []
    downloads, _ = files(body(FILE, content_length=length))
    await downloads.download(VIDEO, tmp_path, on_progress=lambda *args: seen.append(args))
    assert seen == [(len(FILE), None)]


async def test_a_file_that_announces_too_much_is_not_read(tmp_path: Path) -> None:
    downloads, core = files(body(STALL, content_length="1001"))
    with pytest.raises(DownloadError, match=r"1001 bytes, more than `max_bytes`=1000"):
        await downloads.download(VIDEO, tmp_path, max_bytes=1_000)
    assert contents(tmp_path) == {}
    assert len(core.sent) == 1


async def test_a_file_that_never_ends_is_stopped(tmp_path: Path) -> None:
    downloads, core = files(body(*[b"x" * 400] * 3, STALL))
    with pytest.raises(DownloadError, match="longer than `max_bytes`=1000"):
        await downloads.download(VIDEO, tmp_path, max_bytes=1_000)
    assert contents(tmp_path) == {}
    assert len(core.sent) == 1


async def test_a_file_of_just_the_limit_and_one_without_a_limit_are_taken(tmp_path: Path) -> None:
    downloads, _ = files(whole(), whole())
    await downloads.download(VIDEO, tmp_path / "a", max_bytes=len(FILE))
    await downloads.download(VIDEO, tmp_path / "b", max_bytes=None)
    assert contents(tmp_path) == {"a": FILE, "b": FILE}


async def test_an_empty_answer_is_no_file_and_asked_for_again(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    downloads, _ = files(whole(b""), whole())
    await downloads.download(VIDEO, tmp_path, on_progress=lambda *args: seen.append(args))
    assert contents(tmp_path) == {"18500.mp4": FILE}
    assert seen == [(len(FILE), len(FILE))]


@pytest.mark.parametrize("length", [True, False])
async def test_a_file_that_stays_empty_is_an_error_and_leaves_nothing(tmp_path: Path, length: bool) -> None:
    answer = whole(b"") if length else body(b"")
    downloads, _ = files(*[answer] * 6)
    with pytest.raises(DownloadError, match=r"could not be fetched after 3 attempts: It came empty\."):
        await downloads.download(VIDEO, tmp_path)
    with pytest.raises(DownloadError, match=r"It came empty\."):
        await downloads.read(f"{STORAGE}/18500.mp4")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("plain", [True, False], ids=["a function", "a coroutine function"])
async def test_progress_is_told_in_bytes(tmp_path: Path, plain: bool) -> None:
    seen: list[tuple[int, int | None]] = []

    async def tell(received: int, total: int | None) -> None:
        seen.append((received, total))

    half = 512 * 1024
    downloads, _ = files(body(*[b"x" * half] * 5, content_length=str(5 * half)))
    await downloads.download(VIDEO, tmp_path, on_progress=(lambda *args: seen.append(args)) if plain else tell)
    assert seen == [(2 * half, 5 * half), (4 * half, 5 * half), (5 * half, 5 * half)]


async def test_the_end_is_told_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    downloads, _ = files(body(b"x" * 2**20))
    await downloads.download(VIDEO, tmp_path, on_progress=lambda *args: seen.append(args))
    assert seen == [(2**20, None)]


async def test_an_error_of_the_progress_callback_ends_the_download(tmp_path: Path) -> None:
    def on_progress(received: int, total: int | None) -> None:
        raise OSError(errno.EPIPE, "no more of this")

    downloads, core = files(whole())
    with pytest.raises(OSError, match="no more of this"):
        await downloads.download(VIDEO, tmp_path, on_progress=on_progress)
    assert contents(tmp_path) == {}
    assert core.transport.open_streams == 0


async def test_cancelling_removes_what_was_written(tmp_path: Path) -> None:
    big = b"x" * (4 * 1024 * 1024)
    downloads, core = files(body(big, big, STALL))
    scope = anyio.CancelScope()

    def on_progress(received: int, total: int | None) -> None:
        if received > len(big):
            scope.cancel()

    with scope:
        await downloads.download(VIDEO, tmp_path, on_progress=on_progress)
    assert scope.cancelled_caught
    assert contents(tmp_path) == {}
    assert core.transport.open_streams == 0


async def test_cancelling_the_asyncio_way_removes_what_was_written(tmp_path: Path, anyio_backend_name: str) -> None:
    if anyio_backend_name != "asyncio":
        return
    reached = asyncio.Event()
    big = b"x" * (4 * 1024 * 1024)
    downloads, _ = files(body(big, STALL))
    task = asyncio.ensure_future(downloads.download(VIDEO, tmp_path, on_progress=lambda *_: reached.set()))
    await reached.wait()
    assert len(contents(tmp_path)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("step", ["begin", "write", "publish"])
async def test_a_disk_that_is_full_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PartFile, step, refuse)
    downloads, core = files(whole())
    with pytest.raises(DownloadError, match="written to disk: No space left") as caught:
        await downloads.download(VIDEO, tmp_path)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.job == JobRef(18500, "video")
    assert contents(tmp_path) == {}
    assert len(core.sent) == 1


async def test_a_directory_that_cannot_be_made_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    downloads, _ = files(whole())
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DownloadError, match="written to disk"):
        await downloads.download(VIDEO, f"{tmp_path}/new/")


# What the storage answers.


@pytest.mark.parametrize("status", [404, 410])
async def test_a_file_that_is_gone_says_so_with_what_is_known(tmp_path: Path, status: int) -> None:
    old = made(completed_at="2026-03-08T12:02:30Z", result_url=f"{STORAGE}/18500.mp4?signature=secret#part")
    downloads, core = files(body(b"gone", status=status))
    with pytest.raises(
        ExpiredFileError, match=rf"HTTP {status}.*basic 30 days.*elite without limit.*2026-03-08"
    ) as caught:
        await downloads.download(old, f"{tmp_path}/out/")
    assert "secret" not in str(caught.value)
    assert caught.value.job == JobRef(18500, "video")
    assert not (tmp_path / "out").exists()  # no directory for a file that never came
    assert len(core.sent) == 1


async def test_a_url_that_is_gone_says_so_too(tmp_path: Path) -> None:
    downloads, _ = files(refusal(404, "not_found"))
    with pytest.raises(ExpiredFileError) as caught:
        await downloads.download(f"{STORAGE}/1.png", tmp_path)
    assert caught.value.job is None


@pytest.mark.parametrize(
    ("status", "hint"), [(403, "run out"), (401, "run out"), (400, ""), (204, ""), (206, ""), (304, "")]
)
async def test_other_refusals_are_errors_with_their_status(tmp_path: Path, status: int, hint: str) -> None:
    downloads, core = files(body(b"x", status=status))
    with pytest.raises(DownloadError, match=rf"HTTP {status}\..*{hint}") as caught:
        await downloads.download(VIDEO, tmp_path)
    assert not isinstance(caught.value, ExpiredFileError)
    assert getattr(caught.value.__cause__, "status_code", None) == status
    assert contents(tmp_path) == {}
    assert len(core.sent) == 1


async def test_a_busy_storage_is_asked_again_when_it_says(tmp_path: Path) -> None:
    downloads, core = files(
        body(status=503), body(status=429, retry_after="7"), body(status=502), whole(), max_retries=3
    )
    await downloads.download(VIDEO, tmp_path)
    assert core.time.pauses[1] == 8
    assert contents(tmp_path) == {"18500.mp4": FILE}


async def test_a_storage_that_stays_busy_is_an_error(tmp_path: Path) -> None:
    downloads, _ = files(*[body(status=500)] * 3)
    with pytest.raises(DownloadError, match="after 3 attempts: its server answered HTTP 500"):
        await downloads.download(VIDEO, tmp_path)


# Redirects.


def to(location: str, status: int = 302) -> Streamed:
    return body(b"moved", status=status, location=location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_and_absolute_or_not(tmp_path: Path, status: int) -> None:
    downloads, core = files(to("/b/c", status), to("//cdn.test/d?x=1", status), to("e%20f.png", status), whole())
    path = await downloads.download(f"{STORAGE}/a", tmp_path)
    assert [one.url for one in core.sent[1:]] == [
        "http://storage.test/b/c",
        "http://cdn.test/d?x=1",
        "http://cdn.test/e%20f.png",
    ]
    assert path == tmp_path / "e f.png"


async def test_http_may_become_https_and_not_the_other_way(tmp_path: Path) -> None:
    downloads, _ = files(to("https://cdn.test/a.png"), whole())
    await downloads.download(f"{STORAGE}/a.png", tmp_path)
    downloads, core = files(to("http://cdn.test/a.png"))
    with pytest.raises(DownloadError, match="from https to http"):
        await downloads.download("https://storage.test/b.png", tmp_path)
    assert len(core.sent) == 1


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://[x/", "http://user:secret@cdn.test/", "ftp://cdn.test/a"]
)
async def test_redirects_to_what_is_no_address_are_refused(tmp_path: Path, location: str) -> None:
    downloads, core = files(to(location))
    with pytest.raises(DownloadError, match="redirects to what is not") as caught:
        await downloads.download(VIDEO, tmp_path)
    assert "secret" not in caught.value.message
    assert len(core.sent) == 1


async def test_redirects_have_an_end(tmp_path: Path) -> None:
    downloads, core = files(*[to("/again")] * 6)
    with pytest.raises(DownloadError, match="more than 5 times"):
        await downloads.download(VIDEO, tmp_path)
    assert len(core.sent) == 6


async def test_a_redirect_to_nowhere_is_a_status(tmp_path: Path) -> None:
    downloads, _ = files(body(status=302))
    with pytest.raises(DownloadError, match="HTTP 302"):
        await downloads.download(VIDEO, tmp_path)


# Into memory.


async def test_a_small_file_is_read_into_memory() -> None:
    downloads, core = files(body(FILE[:5], LOST), whole(), whole())
    assert await downloads.read(VIDEO) == FILE
    assert await downloads.read(f"{STORAGE}/1.png", timeout=3) == FILE
    assert core.sent[-1].timeouts.read == 3


async def test_a_large_file_is_not_read_into_memory() -> None:
    downloads, _ = files(whole())
    with pytest.raises(DownloadError, match="max_bytes"):
        await downloads.read(VIDEO, max_bytes=100)
    with pytest.raises(ConfigurationError):
        await downloads.read(VIDEO, max_bytes=0)


# What the other side sees, on real sockets.


class Host:
    """A server of canned answers by path; keeps the head of every request."""

    def __init__(self) -> None:
        self.url = ""
        self.heads: list[str] = []
        self.answers: dict[str, bytes | Callable[[], bytes]] = {}

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            try:
                while True:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += await stream.receive()
                    self.heads.append(data.decode().lower())
                    answer = self.answers[data.split()[1].decode().partition("?")[0]]
                    await stream.send(answer() if callable(answer) else answer)
                    if b"connection: close" in (answer if isinstance(answer, bytes) else b""):
                        return
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass


@asynccontextmanager
async def hosts(count: int = 1) -> AsyncIterator[list[Host]]:
    """Run hosts on loopback ports of their own."""
    async with anyio.create_task_group() as group:
        running = []
        for _ in range(count):
            host = Host()
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            host.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"

            async def run(listener: Any, host: Host) -> None:
                async with listener:
                    await listener.serve(host.handle)

            group.start_soon(run, listener, host)
            running.append(host)
        with anyio.fail_after(10):
            yield running
        group.cancel_scope.cancel()


def http(content: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(content) if length is None else length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Box(AsyncNeuralBox):
    """A client that does not pause between attempts."""

    _clockwork = TimeSource(random=lambda: 0.0)


async def test_no_host_but_the_service_ever_sees_the_key(tmp_path: Path) -> None:
    async with hosts(3) as (api, storage, other):
        record = f'{{"id": 18500, "status": "completed", "result_url": "{storage.url}/a.png?signature=x"}}'
        api.answers["/api/v2/generate/18500"] = http(record.encode())
        storage.answers["/a.png"] = http(b"", f"location: {other.url}/b.png", status="302 Found")
        other.answers["/b.png"] = http(b"", f"location: {api.url}/c.png", status="307 Temporary Redirect")
        api.answers["/c.png"] = http(FILE)
        headers = {"x-mine": "private", "cookie": "session=1"}
        async with Box(api_key=KEY, base_url=api.url, default_headers=headers) as nb:
            path = await nb.files.download(nb.job(18500), tmp_path)
    assert path.read_bytes() == FILE
    poll, last = api.heads
    assert KEY in poll
    for head in (storage.heads[0], other.heads[0], last):
        assert KEY not in head
        for word in ("authorization", "nb_live", "x-mine", "private", "cookie", "referer"):
            assert word not in head
        assert "accept-encoding: identity" in head


async def test_a_compressed_file_is_stored_as_it_was_meant(tmp_path: Path) -> None:
    async with hosts() as (storage,):
        storage.answers["/a.txt"] = http(gzip.compress(FILE), "content-encoding: gzip")
        async with Box(api_key=KEY, base_url=storage.url) as nb:
            seen: list[tuple[int, int | None]] = []
            await nb.files.download(f"{storage.url}/a.txt", tmp_path, on_progress=lambda *args: seen.append(args))
            with pytest.raises(DownloadError, match="max_bytes"):
                await nb.files.read(f"{storage.url}/a.txt", max_bytes=len(FILE) - 1)
    assert contents(tmp_path) == {"a.txt": FILE}
    assert seen == [(len(FILE), None)]


async def test_a_compression_that_is_none_is_an_error(tmp_path: Path) -> None:
    async with hosts() as (storage,):
        storage.answers["/a.txt"] = http(FILE, "content-encoding: gzip")
        async with Box(api_key=KEY, base_url=storage.url) as nb:
            with pytest.raises(DownloadError) as caught:
                await nb.files.download(f"{storage.url}/a.txt", tmp_path)
    assert isinstance(caught.value.__cause__, ProtocolError)
    assert contents(tmp_path) == {}


async def test_a_file_cut_on_the_wire_is_fetched_again(tmp_path: Path) -> None:
    async with hosts() as (storage,):
        answers = [http(FILE[:700], "connection: close", length=len(FILE)), http(FILE)]
        storage.answers["/a.png"] = http(FILE[:700], "connection: close", length=len(FILE))

        async with Box(api_key=KEY, base_url=storage.url) as nb:

            def on_progress(received: int, total: int | None) -> None:
                raise AssertionError("a cut file got to its end")

            with pytest.raises(DownloadError, match="after 3 attempts"):
                await nb.files.download(f"{storage.url}/a.png", tmp_path, on_progress=on_progress)
            assert len(storage.heads) == 3
            storage.answers["/a.png"] = answers[1]
            await nb.files.download(f"{storage.url}/a.png", tmp_path)
    assert contents(tmp_path) == {"a.png": FILE}


async def test_real_files_of_the_sandbox_come_whole_in_spite_of_cuts(tmp_path: Path) -> None:
    with serve(Sandbox(speed=500)) as server:
        server.sandbox.faults.set("cut-file", 1.0, times=2)
        async with Box(api_key=KEY, base_url=server.url) as nb:
            image = await nb.images.create(model="flux-1.1-pro", prompt="A fox in the rain", size="768x1344")
            path = await nb.files.download(image, f"{tmp_path}/out/")
            assert path.name == f"{image.id}.webp"
            assert path.read_bytes() == await nb.files.read(image)
    assert path.read_bytes()[:4] == b"RIFF"
    assert list(contents(tmp_path)) == [f"out/{path.name}"]


async def test_a_file_past_its_retention_has_expired(tmp_path: Path) -> None:
    now = [1_772_971_200.0]
    with serve(Sandbox(speed=500, plan="vip", clock=lambda: now[0])) as server:
        async with Box(api_key=KEY, base_url=server.url) as nb:
            image = await nb.images.create(model="dall-e-3", prompt="A tea house")
            now[0] += 91 * 86_400
            with pytest.raises(ExpiredFileError, match=r"vip 90 days.*2026-03-08"):
                await nb.files.download(image, tmp_path)
    assert contents(tmp_path) == {}
