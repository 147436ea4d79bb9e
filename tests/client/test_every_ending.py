"""Every way a connection can end, at every position that matters: what the money is thought to have done, and one POST.

A raw server reads so many bytes of the request, writes so many of the answer, and then closes (FIN), resets (RST) or
falls silent. Nothing is looked for in the history here (`submission="raise"`): what an ending *means* is the subject.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from neuralbox import AsyncNeuralBox, Timeout
from neuralbox import _errors as errors
from tests.helpers import KEY

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]

BODY = b'{"id": 18491, "status": "completed", "result_url": "http://box.test/18491.webp", "tokens_spent": 7}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
ANSWER = HEAD + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"%x\r\n" % len(BODY)
    + BODY
    + b"\r\n0\r\n\r\n"
)
REFUSED = b'{"error": "insufficient_tokens", "message": "No.", "details": {}}'
REFUSAL = b"HTTP/1.1 402 Payment Required\r\ncontent-length: %d\r\n\r\n" % len(REFUSED) + REFUSED
PROMPT = "A fox " * 20_000  # more than the buffers of a loopback connection take at once would need

READ = {
    "nothing of the request": 0,
    "half of the request line": 9,
    "the request line": len("POST /api/v2/generate HTTP/1.1\r\n"),
    "half of the headers": 60,
    "the headers": -2,
    "half of the body": -1,
}
WRITTEN = {
    "nothing of the answer": 0,
    "half of the protocol": 4,
    "half of the status": 10,
    "the status line": HEAD.index(b"\r\n") + 2,
    "half of a header": HEAD.index(b"\r\n") + 9,
    "all headers but the empty line": len(HEAD) - 2,
    "the headers": len(HEAD),
    "the first byte of the body": len(HEAD) + 1,
    "half of the body": len(HEAD) + len(BODY) // 2,
    "all but the last byte": len(ANSWER) - 1,
}


@dataclass
class Cutter:
    """A server that ends each connection as it is told.

    Attributes:
        read: Bytes of the request that are read; -1 is half the body, -2 the headers, None all of it.
        answer: What is written then.
        how: `FIN`, `RST`, or `silence`.
        posts: Connections, each of which carries one request here.
    """

    read: int | None
    answer: bytes
    how: str
    url: str = ""
    posts: int = 0

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            try:
                await self._read(stream)
                if self.answer:
                    await stream.send(self.answer)
                while self.how == "silence":
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return
            finally:
                if self.how == "RST":
                    raw = stream.extra(SocketAttribute.raw_socket)
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _read(self, stream: SocketStream) -> None:
        self.posts += 1
        data = b""
        wanted = self.read
        while wanted is None or wanted < 0 or len(data) < wanted:
            head, found, _ = data.partition(b"\r\n\r\n")
            if found:
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                whole = len(head) + 4 + {None: length, -1: length // 2, -2: 0}.get(wanted, 0)
                if wanted is None or wanted < 0:
                    wanted = whole
                    continue
            data += await stream.receive(4 if wanted is not None and 0 <= wanted < 100 else 65_536)


@asynccontextmanager
async def cutter(read: int | None, answer: bytes, how: str) -> AsyncIterator[Cutter]:
    made = Cutter(read, answer, how)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        made.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        group.start_soon(listener.serve, made.handle)
        with anyio.fail_after(20):
            yield made
        group.cancel_scope.cancel()


async def buy(made: Cutter, *, prompt: str = "A fox") -> BaseException | None:
    """Buy an image; None where that succeeded, else the error."""
    timeout = Timeout(generation=0.05) if made.how == "silence" else Timeout()
    async with AsyncNeuralBox(
        api_key=KEY, base_url=made.url, submission="raise", timeout=timeout, max_retries=3, trust_env=False
    ) as nb:
        nb._core.sleep = lambda seconds: anyio.sleep(0)  # noqa: ASYNC115 - the pause between the attempts
        try:
            image = await nb.images.create(model="dall-e-3", prompt=prompt)
        except errors.NeuralBoxError as error:
            return error
        assert image.id == 18_491
        return None


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("position", READ)
async def test_a_request_that_is_cut_may_have_been_accepted(position: str, how: str) -> None:
    async with cutter(READ[position], b"", how) as made:
        error = await buy(made, prompt=PROMPT if READ[position] == -1 else "A fox")
    if position == "nothing of the request" and isinstance(error, errors.ConnectError):
        assert "nothing was sent" in str(error)  # the reset was there before the first byte could leave
        return
    assert isinstance(error, errors.SubmissionUnknownError), error
    assert error.sent_at is not None
    assert made.posts == 1


@pytest.mark.parametrize("how", ["FIN", "RST", "silence"])
@pytest.mark.parametrize("position", WRITTEN)
async def test_an_answer_that_is_cut_leaves_the_outcome_unknown(position: str, how: str) -> None:
    async with cutter(None, ANSWER[: WRITTEN[position]], how) as made:
        error = await buy(made)
    assert isinstance(error, errors.SubmissionUnknownError), error
    assert made.posts == 1


@pytest.mark.parametrize("cut", [len(CHUNKED) - 1, len(CHUNKED) - 5, len(CHUNKED) - 8, len(CHUNKED) - 40])
@pytest.mark.parametrize("how", ["FIN", "silence"])
async def test_a_chunked_answer_without_its_end_leaves_the_outcome_unknown(cut: int, how: str) -> None:
    async with cutter(None, CHUNKED[:cut], how) as made:
        error = await buy(made)
    assert isinstance(error, errors.SubmissionUnknownError), error
    assert made.posts == 1


@pytest.mark.parametrize("how", ["FIN", "silence"])
@pytest.mark.parametrize("answer", [ANSWER, CHUNKED], ids=["counted", "chunked"])
async def test_a_whole_answer_counts_whatever_the_connection_does_afterwards(answer: bytes, how: str) -> None:
    async with cutter(None, answer, how) as made:
        assert await buy(made) is None
    assert made.posts == 1


@pytest.mark.parametrize("cut", [0, 1, 30, len(REFUSED)])
@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_refusal_is_a_refusal_as_soon_as_it_has_said_so(cut: int, how: str) -> None:
    """Cut before its body is whole it is not known to be one: then it is unknown, and nothing is sent again."""
    answer = REFUSAL[: len(REFUSAL) - len(REFUSED) + cut]
    async with cutter(None, answer, how) as made:
        error = await buy(made)
    if cut < len(REFUSED):
        assert isinstance(error, errors.SubmissionUnknownError)
    elif how == "FIN":
        assert isinstance(error, errors.InsufficientTokensError)
    else:  # what a reset takes with it is the kernel's choice
        assert isinstance(error, errors.SubmissionUnknownError | errors.InsufficientTokensError)
    assert made.posts == 1


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_kept_connection_that_the_server_closes_is_not_bought_on_twice(how: str) -> None:
    """The second POST goes out on a connection that is being closed: whether it was read is not known."""
    async with cutter(None, ANSWER, how) as made:
        async with AsyncNeuralBox(api_key=KEY, base_url=made.url, submission="raise", trust_env=False) as nb:
            for _ in range(2):
                try:
                    await nb.images.create(model="dall-e-3", prompt="A fox")
                except errors.SubmissionUnknownError:
                    assert how == "RST"
        assert made.posts == 2


async def test_a_server_nobody_answers_for_was_sent_nothing() -> None:
    async with cutter(None, ANSWER, "FIN") as made:
        pass
    error = await buy(made)
    assert isinstance(error, errors.ConnectError)
    assert made.posts == 0
