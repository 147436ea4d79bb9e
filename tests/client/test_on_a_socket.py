"""A service that answers nonsense, over a real socket: one clear error each, no hang, no second purchase, no secret."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from neuralbox import _errors as errors
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Timeout
from neuralbox._resources.generations import Generations
from tests.helpers import KEY

pytestmark = pytest.mark.anyio


class Peer:
    """A server of canned bytes: one connection for each request, closed after the answer.

    Attributes:
        heads: Request line and headers of every request, in order.
        written: Bytes of the last answer that were taken off its hands.
    """

    def __init__(self, answer: bytes | Callable[[SocketStream], Any]) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.written = 0
        self.url = ""

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            try:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += await stream.receive()
                head, _, body = data.partition(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                while len(body) < length:
                    body += await stream.receive()
                self.heads.append(head.decode())
                if callable(self.answer):
                    await self.answer(stream)
                else:
                    await stream.send(self.answer)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                pass  # the client had enough

    async def endless(self, stream: SocketStream) -> None:
        """Answer 200 with 200 MB."""
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"7" * 0x10000 + b"\r\n"
        for _ in range(200 * 16):
            await stream.send(chunk)
            self.written += 0x10000


@asynccontextmanager
async def peer(answer: bytes | Callable[[SocketStream], Any] = b"") -> AsyncIterator[Peer]:
    """Run a peer on a loopback port."""
    made = Peer(answer)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        made.url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, made.handle)
            with anyio.fail_after(10):
                yield made
            group.cancel_scope.cancel()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def client(made: Peer, **options: Any) -> AsyncNeuralBox:
    options.setdefault("max_retries", 0)
    options.setdefault("submission", "raise")  # what is looked for in the history stands in tests/jobs
    return AsyncNeuralBox(api_key=KEY, base_url=made.url, **options)


NONSENSE: dict[str, tuple[bytes, str]] = {
    "a web page": (http(b"<!doctype html><title>Hi</title>"), "a web page instead of JSON"),
    "truncated JSON": (http(b'{"id": 7, "status": "compl'), "broken or cut JSON instead of JSON"),
    "nothing": (http(b""), "an empty body instead of JSON"),
    "a list": (http(b"[1, 2]"), "a JSON list where an object was expected"),
    "bytes": (http(bytes(range(256))), "instead of JSON"),
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_is_one_clear_error_to_a_question(name: str) -> None:
    answer, said = NONSENSE[name]
    async with peer(answer) as made, client(made) as nb:
        with pytest.raises(errors.ProtocolError, match=said) as caught:
            await nb.account.balance()
    assert caught.value.status_code == 200
    assert len(made.heads) == 1


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_is_an_unknown_outcome_to_a_purchase_and_is_bought_once(name: str) -> None:
    answer, _ = NONSENSE[name]
    async with peer(answer) as made, client(made, max_retries=3) as nb:
        with pytest.raises(errors.SubmissionUnknownError) as caught:
            await nb.images.create(model="dall-e-3", prompt="the planted prompt")
    assert len(made.heads) == 1
    assert {**caught.value.request, "seed": 7} == {"model": "dall-e-3", "prompt": "the planted prompt", "seed": 7}
    assert "planted" not in f"{caught.value}{caught.value!r}"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        http(b"not gzip", "200 OK", "content-encoding: gzip"),
        http(b"<html>bad gateway</html>", "502 Bad Gateway"),
    ],
    ids=["closed", "cut", "another protocol", "broken compression", "a proxy's page"],
)
async def test_a_purchase_whose_answer_breaks_is_sent_once_and_unknown(answer: bytes) -> None:
    async with peer(answer) as made, client(made, max_retries=3) as nb:
        with pytest.raises(errors.SubmissionUnknownError) as caught:
            await nb.text.create(model="gpt-5", prompt="x")
    assert [head.split(" ")[0] for head in made.heads] == ["POST"]
    assert caught.value.sent_at is not None
    assert caught.value.lost_at is not None
    assert caught.value.lost_at >= caught.value.sent_at


async def test_200_megabytes_are_refused_long_before_their_end() -> None:
    async with peer() as made, client(made, max_reply_bytes=1_000_000) as nb:
        made.answer = made.endless
        with pytest.raises(errors.ProtocolError, match=r"longer|larger|more"):
            await nb.account.balance()
        with pytest.raises(errors.SubmissionUnknownError):
            await nb.text.create(model="gpt-5", prompt="x")
    assert made.written < 100_000_000
    assert len(made.heads) == 2


async def test_200_megabytes_in_a_small_parcel_are_refused_too() -> None:
    bomb = gzip.compress(bytes(200_000_000), 1)
    async with (
        peer(http(bomb, "200 OK", "content-encoding: gzip")) as made,
        client(made, max_reply_bytes=1_000_000) as nb,
    ):
        with pytest.raises(errors.ProtocolError):
            await nb.account.balance()


async def test_a_redirect_never_takes_the_key_elsewhere() -> None:
    async with peer() as elsewhere:
        answer = http(b"", "302 Found", f"location: {elsewhere.url}/api/v2/balance")
        async with peer(answer) as made, client(made) as nb:
            with pytest.raises(errors.APIStatusError, match="base_url"):
                await nb.account.balance()
        assert elsewhere.heads == []


async def test_nobody_listens() -> None:
    async with peer() as made:
        pass
    async with client(made, max_retries=1) as nb:
        nb._core.sleep = lambda seconds: anyio.sleep(0)  # noqa: ASYNC115 - the pause between the attempts
        for call in (nb.account.balance(), nb.text.create(model="gpt-5", prompt="x")):
            with pytest.raises(errors.ConnectError, match="Given up after 2 attempts"):
                await call


async def test_a_question_that_hangs_ends_at_the_deadline() -> None:
    async def hang(stream: SocketStream) -> None:
        await stream.receive()  # until the client closes

    async with peer(hang) as made, client(made, deadline=0.05) as nb:
        with pytest.raises(errors.APITimeoutError, match="deadline"):
            await Generations(nb._core).get(7)
        # Long enough for the request to leave, or it would not be unknown.
        with pytest.raises(errors.SubmissionUnknownError):
            await nb.with_options(deadline=0.3).text.create(model="gpt-5", prompt="x")
        with pytest.raises(errors.NeuralBoxError):
            async with nb.text.stream(model="gpt-5", prompt="x"):
                raise AssertionError("Nothing came.")


async def test_a_read_that_times_out_says_which_wait_it_was() -> None:
    async def hang(stream: SocketStream) -> None:
        await stream.receive()

    async with peer(hang) as made, client(made) as nb:
        with pytest.raises(errors.APITimeoutError) as caught:
            await nb.account.balance(timeout=Timeout(read=0.02))
    assert caught.value.phase == "read"


@pytest.mark.parametrize("transport", [None, "aiohttp"])
async def test_a_paid_request_answered_101_may_have_been_carried_out(transport: str | None, anyio_backend: str) -> None:
    """No refusal: nobody asked for another protocol, and what the service did is unknown."""
    if transport == "aiohttp" and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    async with peer(switch) as made, client(made, transport=transport, submission="raise") as nb:
        with pytest.raises(errors.SubmissionUnknownError, match="is not HTTP"):
            await nb.text.create(model="gpt-5", prompt="Hi")
    assert [head.split(" ")[0] for head in made.heads] == ["POST"]


async def test_no_logger_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = http(
        b'{"id": 7, "status": "completed", "result_text": "planted-answer"}', "200 OK", "set-cookie: r=planted-cookie"
    )
    async with peer(answer) as made, client(made, default_headers={"X-Own": "planted-header"}) as nb:
        await nb.text.create(model="gpt-5", prompt="planted-prompt", extra_query={"sig": "planted-query"})
        async with nb._core.fetch(f"{made.url}/files/7.webp?signature=planted-signature") as reply:
            await reply.read(max_bytes=1_000)
    assert len(made.heads) == 2
    assert {"neuralbox", "httpcore2.http11"} <= {record.name for record in caplog.records}
    shown = "".join(f"{record.name} {record.getMessage()}\n" for record in caplog.records)
    assert "receive_response_headers.complete 200" in shown
    assert KEY not in shown
    assert [line for line in shown.splitlines() if "planted" in line] == []


async def test_what_travels_is_what_the_documents_say() -> None:
    async with peer(http(b'{"token_balance": 283, "id": 7, "status": "completed"}')) as made, client(made) as nb:
        await nb.account.balance()
        await nb.transcriptions.create(audio=b"ID3", file_name="talk.mp3")
    first, second = made.heads
    assert first.startswith("GET /api/v2/balance HTTP/1.1")
    assert f"authorization: Bearer {KEY}" in first
    assert second.startswith("POST /api/v2/stt HTTP/1.1")
    assert "content-type: multipart/form-data; boundary=" in second.lower()
