"""What httpcore2 logs names steps, and nothing that travelled."""

from __future__ import annotations

import logging

import pytest

from neuralbox import _errors as errors
from neuralbox._transport.httpcore2.logs import keep_secrets_out_of_logs

from .servers import Server, answering, saying
from .support import every_engine, prepare, transport_for

anyio_backend = every_engine


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("connect_tcp.started host='x' port=80 timeout=5", "connect_tcp.started"),
        ("setup_socks5_connection.started auth=(b'ada', b'secret')", "setup_socks5_connection.started"),
        ("receive_response_headers.complete return_value=(b'HTTP/1.1', 302, b'', [(b'location', b'secret')])", None),
        ("receive_response_headers.failed exception=RemoteProtocolError('secret')", None),
        ("response_closed.complete", "response_closed.complete"),
    ],
)
def test_a_record_keeps_its_step_the_status_and_the_kind_of_error(
    written: str, shown: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    keep_secrets_out_of_logs()
    keep_secrets_out_of_logs()
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpcore2.socks").debug(written)
    (record,) = caplog.records
    said = record.getMessage()
    assert "secret" not in said
    if shown is not None:
        assert said == shown
    elif "302" in written:
        assert said == "receive_response_headers.complete 302"
    else:
        assert said == "receive_response_headers.failed RemoteProtocolError"


@pytest.mark.anyio
async def test_the_root_logger_at_debug_shows_no_key_cookie_or_signed_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    signed = "/second.png?X-Amz-Signature=planted-signature"
    with Server(answering(status=302, Location=signed, Set_Cookie="refresh=planted-cookie; HttpOnly")) as server:
        async with transport_for() as transport:
            await transport.send(prepare(transport, f"{server.url}/?sig=planted-query"), max_bytes=100)
    with Server(saying(b"HTTP/1.1 200 OK\r\nset-cookie : planted\r\n\r\n")) as server:
        async with transport_for() as transport:
            with pytest.raises(errors.ProtocolError):
                await transport.send(prepare(transport, server.url), max_bytes=100)
    shown = [f"{record.name} {record.getMessage()}" for record in caplog.records]
    assert [line for line in shown if "planted" in line or "nb_secret" in line] == []
