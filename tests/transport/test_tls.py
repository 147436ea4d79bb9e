from __future__ import annotations

import socket
import sys

import pytest

from neuralbox import _errors as errors
from neuralbox._transport import Limits, Timeouts, build_transport

from .servers import CERTIFICATE, Conversation, Server, answering, eventually, silent
from .support import all_free, every_engine, open_sockets, prepare, transport_for

pytestmark = pytest.mark.anyio
anyio_backend = every_engine


@pytest.fixture
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)


@pytest.mark.usefixtures("_trusted")
async def test_https_works_with_the_certificates_the_environment_names() -> None:
    with Server(answering(), tls=True) as server:
        async with transport_for() as transport:
            for host in ("127.0.0.1", "localhost"):
                url = server.url.replace("127.0.0.1", host)
                for _ in range(2):
                    assert (await transport.send(prepare(transport, url), max_bytes=100)).content == b'{"ok": true}'
            assert open_sockets(transport) == 2
        await eventually(lambda: server.open == 0)
    assert server.connections == 2


@pytest.mark.usefixtures("_trusted")
async def test_trust_env_false_ignores_the_environments_certificates() -> None:
    with Server(answering(), tls=True) as server:
        async with transport_for(trust_env=False) as transport:
            with pytest.raises(errors.ConnectError, match="certificate not accepted"):
                await transport.send(prepare(transport, server.url), max_bytes=100)


async def test_a_certificate_nobody_vouches_for_is_not_accepted() -> None:
    with Server(answering(), tls=True) as server:
        async with transport_for() as transport:
            with pytest.raises(errors.ConnectError, match="certificate not accepted") as caught:
                await transport.send(prepare(transport, server.url), max_bytes=100)
            assert "nothing was sent" in str(caught.value)
            assert open_sockets(transport) == 0
            assert all_free(transport)
    assert server.requests == []


@pytest.mark.usefixtures("_trusted")
async def test_a_certificate_for_another_host_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = socket.getaddrinfo

    def elsewhere(host: object, *rest: object, **options: object) -> object:
        return addresses("127.0.0.1", *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    with Server(answering(), tls=True) as server:
        async with transport_for() as transport:
            url = server.url.replace("127.0.0.1", "other.localhost")
            with pytest.raises(errors.ConnectError, match=r"other\.localhost"):
                await transport.send(prepare(transport, url), max_bytes=100)


@pytest.mark.usefixtures("_trusted")
async def test_a_server_that_does_not_speak_tls_is_a_failed_connection() -> None:
    def plain(conversation: Conversation) -> None:
        conversation.more()
        conversation.answer(status=400)
        conversation.wait_for_hang_up()

    with Server(plain) as server:
        async with transport_for() as transport:
            url = server.url.replace("http:", "https:")
            with pytest.raises(errors.ConnectError, match="nothing was sent"):
                await transport.send(prepare(transport, url), max_bytes=100)
            assert open_sockets(transport) == 0


@pytest.mark.usefixtures("_trusted")
async def test_a_handshake_that_takes_too_long_is_a_connect_time_out() -> None:
    with Server(silent) as server:
        async with transport_for() as transport:
            url = server.url.replace("http:", "https:")
            with pytest.raises(errors.APITimeoutError) as caught:
                await transport.send(prepare(transport, url, timeouts=Timeouts(0.03, 5.0, 5.0)), max_bytes=100)
            assert caught.value.phase == "connect"
            assert open_sockets(transport) == 0
            await eventually(lambda: server.open == 0)


async def test_certificates_that_cannot_be_read_are_named_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    async with transport_for() as transport:
        with pytest.raises(errors.ConfigurationError, match="SSL_CERT_FILE"):
            await transport.send(prepare(transport, "https://127.0.0.1:9/"), max_bytes=100)
        assert all_free(transport)


async def test_a_file_for_session_keys_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/proc/none/keys.log")
    async with transport_for() as transport:
        with pytest.raises(errors.ConfigurationError, match="SSLKEYLOGFILE"):
            await transport.send(prepare(transport, "https://127.0.0.1:9/"), max_bytes=100)
        assert all_free(transport)


def test_the_aiohttp_engine_needs_that_file_already_when_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unimportable:
        def __getattr__(self, name: str) -> object:
            raise FileNotFoundError(2, "No such file or directory", "/proc/none/keys.log")

    monkeypatch.setitem(sys.modules, "neuralbox._transport.aiohttp.adapter", Unimportable())
    with pytest.raises(errors.ConfigurationError, match="SSLKEYLOGFILE"):
        build_transport(limits=Limits(), transport="aiohttp")


async def test_plain_http_does_not_load_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with Server(answering()) as server:
        async with transport_for() as transport:
            assert (await transport.send(prepare(transport, server.url), max_bytes=100)).status_code == 200
            assert open_sockets(transport) == 1
