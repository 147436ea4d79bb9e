"""Answers broken at random: each call ends with a value or an error of ours, and the next one gets its own answer."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import partial
from typing import Any, Final

import anyio
import pytest

from neuralbox import _errors as errors
from neuralbox._transport import Timeouts

from .servers import Conversation, Server, eventually
from .support import all_free, every_engine, open_sockets, prepare, transport_for

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]
anyio_backend = every_engine

ANSWERS: Final = 250
BRIEF: Final = Timeouts(5.0, 0.02, 5.0, 1.0)
BODY: Final = b'{"id": 7, "status": "completed", "result_text": "yes"}'
HEADERS: Final = (
    b"Content-Type: application/json",
    b"Transfer-Encoding: chunked",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br",
    b"Content-Length: 0",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: h2c",
    b"Set-Cookie: a=b\x00c",
    b"Location: http://[broken",
    b"X-Long: " + b"x" * 70_000,
    b": no name",
    b" folded",
)
STATUSES: Final = (100, 101, 102, 103, 200, 201, 204, 205, 206, 301, 304, 401, 404, 429, 500, 503, 999)


def hostile(dice: random.Random) -> bytes:
    """Make an answer, then damage it."""
    body = dice.choice((BODY, b"", b"<html>", b"\xff" * 50, BODY * 200))
    lines = [b"HTTP/1.%d %d Said" % (dice.randint(0, 1), dice.choice(STATUSES))]
    lines += dice.sample(HEADERS, dice.randint(0, 3))
    if dice.random() < 0.7:
        lines.append(b"Content-Length: %d" % max(0, len(body) + dice.choice((0, 0, 0, 1, -1, 20))))
    answer = b"\r\n".join([*lines, b"", b""]) + body
    damage = dice.random()
    if damage < 0.2:
        return answer[: dice.randint(0, len(answer))]
    if damage < 0.4:
        place = dice.randint(0, min(len(answer), 200))
        return answer[:place] + dice.randbytes(dice.randint(1, 9)) + answer[place:]
    if damage < 0.5:
        return answer + dice.choice((b"\r\n", b"x", answer, answer[:20]))
    return answer


def answer(conversation: Conversation, dice: random.Random) -> None:
    while (seen := conversation.read_request()) is not None:
        if seen.target != "/hostile":
            conversation.answer(BODY, X_Own=seen.target)
            continue
        conversation.send(hostile(dice))
        if dice.random() < 0.5:
            return


async def test_whatever_is_answered_ends_the_call_and_touches_no_other() -> None:
    with Server(partial(answer, dice=random.Random(15))) as server:
        async with transport_for() as transport:
            for number in range(ANSWERS):
                request: Any = prepare(transport, f"{server.url}/hostile", "POST", content=b"{}", timeouts=BRIEF)
                with anyio.fail_after(5):
                    with suppress(errors.NeuralBoxError):
                        await transport.send(request, max_bytes=100_000)
                    control = prepare(transport, f"{server.url}/{number}", "POST", content=b"{}")
                    try:
                        reply = await transport.send(control, max_bytes=1_000)
                    except errors.ConnectionLostError:  # the server hung up just then, which is an honest answer
                        reply = await transport.send(control, max_bytes=1_000)
                assert (reply.content, reply.headers["x-own"]) == (BODY, f"/{number}")
            assert all_free(transport)
            assert open_sockets(transport) <= 1
        await eventually(lambda: server.open == 0)
    assert len([seen for seen in server.requests if seen.target == "/hostile"]) == ANSWERS
