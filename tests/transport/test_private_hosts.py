"""Downloads stay out of private networks while the service is public, however the host is written or resolved."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from neuralbox import AsyncNeuralBox
from neuralbox import _errors as errors
from neuralbox._transport import HttpxTransport
from neuralbox._transport.private_hosts import PeerGuard

from .servers import Server, answering, unused_port
from .support import every_engine, open_sockets, prepare, transport_for

pytestmark = pytest.mark.anyio
anyio_backend = every_engine


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve every name to this machine."""
    addresses = socket.getaddrinfo

    def here(host: object, *rest: Any, **options: Any) -> object:
        return addresses("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", here)


async def download(transport: HttpxTransport, url: str) -> bytes:
    async with transport.stream(prepare(transport, url), download=True) as reply:
        return await reply.read(max_bytes=100)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "files.internal", "[::1]"])
async def test_a_host_that_is_written_as_a_private_one_is_not_asked(host: str) -> None:
    with Server(answering()) as server:
        async with transport_for(only_public_files=True) as transport:
            with pytest.raises(errors.DownloadError, match=r"private network .*`private_files=True`"):
                await download(transport, f"http://{host}:{server.port}/")
            assert open_sockets(transport) == 0
    assert server.connections == 0


async def test_a_name_that_resolves_to_a_private_address_gets_no_byte() -> None:
    with Server(answering()) as server:
        async with transport_for(only_public_files=True) as transport:
            with pytest.raises(errors.DownloadError, match=r"private network \(files\.example:"):
                await download(transport, f"http://files.example:{server.port}/")
            assert open_sockets(transport) == 0
    assert server.requests == []


async def test_a_failure_while_one_is_handled_is_told_as_what_it_is() -> None:
    with Server(answering()) as server:
        async with transport_for(only_public_files=True) as transport:
            try:
                await download(transport, f"http://files.example:{server.port}/")
            except errors.DownloadError:
                with pytest.raises(errors.ConfigurationError, match="URL"):
                    await download(transport, "http://files.example:0/")
                with pytest.raises(errors.ConnectError):
                    await transport.send(prepare(transport, f"http://127.0.0.1:{unused_port()}/"), max_bytes=100)


async def test_without_the_limit_and_for_what_is_no_download_any_address_will_do() -> None:
    with Server(answering()) as server:
        url = f"http://files.example:{server.port}/"
        async with transport_for() as transport:
            assert await download(transport, url) == b'{"ok": true}'
        async with transport_for(only_public_files=True) as transport:
            assert (await transport.send(prepare(transport, server.url), max_bytes=100)).status_code == 200


async def test_a_service_that_has_a_private_address_itself_has_its_storage_there() -> None:
    """A company's own host behind a public name: both resolve to the inside."""
    with Server(answering()) as server, Server(answering()) as storage:
        async with transport_for(only_public_files=True) as transport:
            await transport.send(prepare(transport, f"http://service.example:{server.port}/"), max_bytes=100)
            assert await download(transport, f"http://files.example:{storage.port}/") == b'{"ok": true}'


async def test_the_address_of_a_proxy_is_not_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(answering()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with transport_for(only_public_files=True) as transport:
            assert await download(transport, "http://files.example/1.png") == b'{"ok": true}'


def test_public_addresses_pass() -> None:
    PeerGuard(sees_peers=True).check("1.1.1.1")
    PeerGuard(sees_peers=True).check("2606:4700::1111")


@pytest.mark.parametrize(
    ("base_url", "options", "refused"),
    [
        ("https://neuralbox.top", {}, True),
        ("https://neuralbox.top", {"private_files": True}, False),
        ("http://127.0.0.1:8000", {}, False),
        ("http://sandbox:8000", {}, False),
    ],
)
async def test_a_client_of_a_public_service_refuses_private_files_unless_it_is_told_to(
    base_url: str, options: dict[str, Any], refused: bool
) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "files.example":
            return httpx.Response(302, headers={"location": "http://169.254.169.254/latest/1.png"})
        return httpx.Response(200, content=png, headers={"content-type": "image/png"})

    mock = httpx.MockTransport(answer)
    async with AsyncNeuralBox(api_key="nb_test", base_url=base_url, transport=mock, max_retries=0, **options) as nb:
        if not refused:
            assert await nb.files.read("http://files.example/1.png") == png
            assert await nb.with_options(max_retries=1).files.read("http://10.0.0.1/1.png") == png
            return
        for url in ("http://files.example/1.png", "http://10.0.0.1/1.png"):
            with pytest.raises(errors.DownloadError, match="private network"):
                await nb.files.read(url)
