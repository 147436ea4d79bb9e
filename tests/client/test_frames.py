"""Error reporters write down the variables of every frame an error came through: none of them holds the key."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from neuralbox import AsyncNeuralBox, ConfigurationError, NeuralBoxError, Timeout
from neuralbox.geminigen import AsyncGeminiGen
from tests.transport.servers import Conversation, Server, saying, silent, unused_port

pytestmark = pytest.mark.anyio
KEY = "nb_planted_key"


@pytest.fixture(params=["default", "aiohttp"])
def engine(request: pytest.FixtureRequest, anyio_backend: str) -> dict[str, Any]:
    if request.param == "default":
        return {}
    if anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    return {"transport": "aiohttp"}


def linked(error: BaseException | None) -> Iterator[BaseException]:
    """Walk an error and everything that led to it."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += [found.__cause__, found.__context__]
            waiting += found.exceptions if isinstance(found, BaseExceptionGroup) else ()


def holding_the_key(error: BaseException) -> list[str]:
    """Name the variables of all frames but this file's own that show the key."""
    return [
        f"{frame.f_code.co_filename}:{line} {name}"
        for found in linked(error)
        for frame, line in traceback.walk_tb(found.__traceback__)
        if frame.f_code.co_filename != __file__
        for name, value in frame.f_locals.items()
        if "planted" in repr(value)
    ]


def hang_up(conversation: Conversation) -> None:
    conversation.read_request()


BEHAVIOURS: dict[str, Callable[[Conversation], None]] = {
    "hangs up": hang_up,
    "speaks no HTTP": saying(b"hello\r\n\r\n"),
    "breaks off": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"),
    "says nothing": silent,
}


@pytest.mark.parametrize("client", [AsyncNeuralBox, AsyncGeminiGen])
@pytest.mark.parametrize("name", BEHAVIOURS)
async def test_a_server_that_fails_leaves_no_key_in_a_frame(
    name: str, client: Callable[..., Any], engine: dict[str, Any]
) -> None:
    with Server(BEHAVIOURS[name]) as server:
        async with client(api_key=KEY, base_url=server.url, max_retries=0, timeout=Timeout(read=0.05), **engine) as api:
            with pytest.raises(NeuralBoxError) as caught:
                await api.history.list()
    assert server.requests or name == "says nothing"
    assert holding_the_key(caught.value) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_connection_that_fails_leaves_no_key_in_a_frame(scheme: str, engine: dict[str, Any]) -> None:
    url = f"{scheme}://127.0.0.1:{unused_port()}"
    async with AsyncNeuralBox(api_key=KEY, base_url=url, max_retries=1, max_retry_wait=0.001, **engine) as nb:
        with pytest.raises(NeuralBoxError) as caught:
            await nb.account.balance()
    assert holding_the_key(caught.value) == []


async def test_an_upload_that_stalls_leaves_no_key_in_a_frame(engine: dict[str, Any]) -> None:
    def stalled(conversation: Conversation) -> None:
        conversation.socket.recv(1)
        stop.wait(10)

    stop = threading.Event()
    with Server(stalled) as server:
        async with AsyncNeuralBox(api_key=KEY, base_url=server.url, max_retries=0, submission="raise", **engine) as nb:
            with pytest.raises(NeuralBoxError) as caught:
                await nb.images.create(model="x", prompt="y" * 30_000_000, timeout=Timeout(write=0.05))
        stop.set()
    assert holding_the_key(caught.value) == []


@pytest.mark.parametrize("client", [AsyncNeuralBox, AsyncGeminiGen])
async def test_a_header_that_is_refused_leaves_no_key_in_a_frame(client: Callable[..., Any]) -> None:
    async with client(api_key=KEY, default_headers={"X-Own": "two\nlines"}) as api:
        with pytest.raises(ConfigurationError, match="x-own") as caught:
            await api.history.list()
    assert holding_the_key(caught.value) == []


async def test_a_key_of_the_environment_that_is_none_is_in_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALBOX_API_KEY", "nb_planted key")
    with pytest.raises(ConfigurationError, match="characters that no key has") as caught:
        AsyncNeuralBox()
    assert "<AsyncNeuralBox unfinished>" in repr(
        [frame.f_locals for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    )
    assert holding_the_key(caught.value) == []


async def test_what_the_caller_was_handling_keeps_its_frames(engine: dict[str, Any]) -> None:
    async with AsyncNeuralBox(api_key=KEY, base_url=f"http://127.0.0.1:{unused_port()}", max_retries=0, **engine) as nb:

        async def ask_while_handling() -> None:
            try:
                dict[str, str]()["the caller's own"]
            except KeyError:
                await nb.account.balance()

        with pytest.raises(NeuralBoxError) as caught:
            await ask_while_handling()
    (own,) = [error for error in linked(caught.value) if isinstance(error, KeyError)]
    assert own.__traceback__ is not None
    assert holding_the_key(caught.value) == []
