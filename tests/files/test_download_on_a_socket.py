"""Downloads over real connections: who sees what, what a killed process leaves, and who waits for whom."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx
import pytest

from neuralbox import AsyncNeuralBox, DownloadError, Limits
from neuralbox._core.exchange import TimeSource
from neuralbox._files.download import save
from neuralbox.sandbox import Sandbox, serve
from tests.helpers import KEY
from tests.transport.servers import CERTIFICATE, Conversation, Server
from tests.transport.test_proxies import relay

from .storage import MIB, content, files_in, leftovers

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]

FILE = content(3 * MIB)


class Box(AsyncNeuralBox):
    """A client that does not pause between attempts."""

    _clockwork = TimeSource(random=lambda: 0.0)


def serving(file: bytes = FILE, cuts: list[int] | None = None) -> Callable[[Conversation], None]:
    """Serve a file from any byte on; break off at each of `cuts`, once."""
    left = sorted(cuts or [])

    def behave(conversation: Conversation) -> None:
        while (seen := conversation.read_request()) is not None:
            asked = seen.headers.get("range")
            first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            status = "206 Partial Content" if asked else "200 OK"
            lines = [f"HTTP/1.1 {status}", 'ETag: "v1"', f"Content-Length: {len(file) - first}"]
            if asked:
                lines.append(f"Content-Range: bytes {first}-{len(file) - 1}/{len(file)}")
            conversation.send("\r\n".join([*lines, "", ""]).encode())
            end = next((cut for cut in left if cut > first), None)
            conversation.send(file[first:end])
            if end is not None:
                left.remove(end)
                return

    return behave


async def test_cuts_on_the_wire_cost_no_byte_twice(tmp_path: Path) -> None:
    cuts = sorted(random.Random(3).sample(range(MIB // 8, len(FILE), MIB // 8), 20))
    with Server(serving(cuts=cuts)) as server:
        async with Box(api_key=KEY, base_url=server.url, max_retries=1) as nb:
            await nb.files.download(f"{server.url}/a.bin", tmp_path)
    asked = [seen.headers.get("range") for seen in server.requests]
    assert asked == [None, *(f"bytes={cut}-" for cut in cuts)]
    assert files_in(tmp_path) == {"a.bin": FILE}


async def test_the_storage_of_the_sandbox_is_gone_on_from(tmp_path: Path) -> None:
    with serve(Sandbox(speed=500)) as server:
        server.sandbox.faults.set("cut-file", 1.0, times=1)
        async with Box(api_key=KEY, base_url=server.url) as nb:
            image = await nb.images.create(model="flux-1.1-pro", prompt="Waves")
            told: list[int] = []
            path = await nb.files.download(
                image, f"{tmp_path}/out/", on_progress=lambda received, _: told.append(received)
            )
            assert path.read_bytes() == await nb.files.read(image)
            assert told == [path.stat().st_size]


async def test_a_proxy_never_sees_the_key_of_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with Server(serving(cuts=[MIB]), tls=True) as storage, Server(relay) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        headers = {"x-mine": "private", "cookie": "session=1"}
        async with Box(api_key=KEY, base_url="https://box.invalid", default_headers=headers, private_files=True) as nb:
            await nb.files.download(f"{storage.url}/a.bin", tmp_path)  # by CONNECT
            await nb.files.download("http://storage.invalid/b.bin", tmp_path)  # by the proxy itself
    assert [seen.method for seen in proxy.requests] == ["CONNECT", "CONNECT", "GET"]
    assert len(storage.requests) == 2
    for seen in (*proxy.requests, *storage.requests):
        told = f"{seen.target} {seen.headers.raw!r} {seen.body!r}".lower()
        for word in (KEY, "nb_live", "authorization", "x-mine", "private", "cookie", "session"):
            assert word not in told
    assert files_in(tmp_path) == {"a.bin": FILE, "b.bin": b"by proxy"}


async def test_a_proxy_that_refuses_learns_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.answer(status=403)

    with Server(refuse) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with Box(api_key=KEY, base_url="https://box.invalid", max_retries=0) as nb:
            with pytest.raises(DownloadError, match="proxy"):
                await nb.files.download("https://storage.invalid/a.bin", tmp_path)
    assert [KEY in repr(seen) for seen in proxy.requests] == [False]


async def test_what_a_users_own_client_adds_for_the_service_never_reaches_the_storage(tmp_path: Path) -> None:
    with Server(serving(cuts=[MIB])) as storage:
        own = httpx.AsyncClient(
            headers={"x-mine": "private", "authorization": f"Bearer {KEY}"},
            cookies={"session": "1"},
            params={"tenant": "7"},
            auth=("user", "secret"),
            trust_env=False,
        )
        async with own, Box(api_key=KEY, base_url="http://box.invalid", http_client=own, private_files=True) as nb:
            await nb.files.download(f"{storage.url}/a.bin?signature=x", tmp_path)
    assert [seen.target for seen in storage.requests] == ["/a.bin?signature=x"] * 2
    for seen in storage.requests:
        assert not {"authorization", "cookie", "x-mine"} & set(seen.headers)
        assert KEY not in repr(seen)
    assert files_in(tmp_path) == {"a.bin": FILE}


async def test_the_next_process_goes_on_where_a_killed_one_was(tmp_path: Path, anyio_backend_name: str) -> None:
    if anyio_backend_name != "asyncio":
        return

    def hold_back(conversation: Conversation) -> None:
        conversation.read_request()
        head = f'HTTP/1.1 200 OK\r\netag: "v1"\r\ncontent-length: {len(FILE)}\r\n\r\n'
        conversation.send(head.encode() + FILE[: 2 * MIB + MIB // 2])
        conversation.wait_for_hang_up()

    program = (
        "import sys; from neuralbox import NeuralBox\n"
        "with NeuralBox(api_key='nb_x', base_url=sys.argv[1]) as nb:\n"
        "    nb.files.download(sys.argv[1] + '/a.bin', sys.argv[2], on_progress=lambda *told: print(*told, flush=True))"
    )
    with Server(hold_back) as server:
        arguments = [sys.executable, "-c", program, server.url, str(tmp_path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 - a second's wait
            assert process.stdout is not None
            for _ in range(2):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        port = server.port
    assert leftovers(tmp_path) == [".json", ".part"]
    second = Server(serving())
    with second:
        url = f"http://127.0.0.1:{port}/a.bin"
        async with Box(api_key=KEY, base_url=second.url) as nb:
            # The address is the same; the server that answers is another process of the storage.
            core = nb._core
            fetch = core.fetch
            core.fetch = lambda _url, **options: fetch(f"{second.url}/a.bin", **options)  # type: ignore[method-assign]
            result = await save(core, url, tmp_path)
    assert result.resumed == 2 * MIB
    assert [seen.headers.get("range") for seen in second.requests] == [f"bytes={2 * MIB}-"]
    assert files_in(tmp_path) == {"a.bin": FILE}


async def test_neither_polls_nor_streams_wait_for_downloads(tmp_path: Path) -> None:
    record = b'{"id": 1, "status": "pending"}'
    events = b'data: {"type": "generation_end", "id": 1, "status": "completed"}\n\n'

    def behave(conversation: Conversation) -> None:
        while (seen := conversation.read_request()) is not None:
            if seen.target.startswith("/f/"):
                conversation.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf ")
                conversation.wait_for_hang_up()
            elif seen.method == "POST":
                conversation.answer(events, Content_Type="text/event-stream")
            else:
                conversation.answer(record)

    limits = Limits(max_connections=1, max_streams=1, max_downloads=2)
    with Server(behave) as server:
        async with Box(api_key=KEY, base_url=server.url, limits=limits) as nb, anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(nb.files.download, f"{server.url}/f/{number}.bin", tmp_path)
            with anyio.fail_after(5):
                while sum(seen.target.startswith("/f/") for seen in server.requests) < 2:  # noqa: ASYNC110 - a thread's
                    await anyio.sleep(0.001)
                await nb.generations.get(1)
                async with nb.text.stream(model="gpt-5", prompt="x") as stream:
                    async for _ in stream:
                        pass
                await anyio.sleep(0.01)
            assert sum(seen.target.startswith("/f/") for seen in server.requests) == 2
            group.cancel_scope.cancel()
    assert leftovers(tmp_path) == []


async def test_memory_stays_flat(tmp_path: Path) -> None:
    size = 24 * MIB
    piece = content(MIB)

    def behave(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(f'HTTP/1.1 200 OK\r\netag: "v1"\r\ncontent-length: {size}\r\n\r\n'.encode())
        for _ in range(size // MIB):
            conversation.send(piece)

    with Server(behave) as server:
        async with Box(api_key=KEY, base_url=server.url) as nb:
            tracemalloc.start()
            try:
                path = await nb.files.download(f"{server.url}/a.bin", tmp_path)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert path.stat().st_size == size
    assert peak < 6 * MIB
