"""The server over streamable HTTP: with the official client, with a client that has no library, and one that leaves."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from sse_starlette.sse import AppStatus

from neuralbox import AsyncNeuralBox
from neuralbox.mcp import McpSettings, build_server, serve_http

from ..cli.processes import PATIENCE, environment
from .conftest import ERAS, FAST, FILM, PICTURE, PRICE, McpBox, Person, until, values

pytestmark = pytest.mark.anyio
TOKEN = "let-me-in"
MODERN = {
    "accept": "application/json, text/event-stream",
    "authorization": f"Bearer {TOKEN}",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Uvicorn runs on asyncio only."""
    return "asyncio"


@asynccontextmanager
async def serving(box: McpBox, *, ask_above: int = 1_000) -> AsyncIterator[str]:
    """Serve here, and stop as a signal does."""
    told, announced = [], anyio.Event()
    AppStatus.should_exit = False  # a signal to the process ends the streams of all servers in it, later ones too

    def announce(url: str) -> None:
        told.append(url)
        announced.set()

    async def serve() -> None:
        chosen = McpSettings(directory=box.directory, ask_above=ask_above)
        async with AsyncNeuralBox(api_key=box.key, base_url=box.server.url, polling=FAST) as nb:
            await serve_http(build_server(nb, chosen), port=0, token=TOKEN, announce=announce)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            await announced.wait()
            try:
                yield told[0]
            finally:
                signal.raise_signal(signal.SIGTERM)


def test_an_address_that_nobody_can_be_told_ends_the_server_without_another_word(
    box: McpBox, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: str) -> None:
        raise OSError(errno.ENOSPC, "The output cannot be written: No space left on device")

    async def serve() -> None:
        async with AsyncNeuralBox(api_key=box.key, base_url=box.server.url) as nb:
            await serve_http(build_server(nb, McpSettings(directory=box.directory)), port=0, announce=full)

    with pytest.raises(OSError, match="cannot be written"):
        anyio.run(serve)  # a loop of its own: at its end the server's tasks are cancelled, and one of them complained
    assert caplog.text == ""


def modern_call(name: str, given: dict[str, object], id: int) -> dict[str, object]:
    meta = {PROTOCOL_VERSION_META_KEY: "2026-07-28", CLIENT_CAPABILITIES_META_KEY: {}, "progressToken": "t"}
    params = {"name": name, "arguments": given, "_meta": meta}
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}


@pytest.mark.parametrize("era", ERAS)
async def test_the_official_client_buys_a_picture_after_asking(era: str, box: McpBox) -> None:
    person = Person()
    async with (
        serving(box, ask_above=0) as url,
        httpx2.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as http,
        Client(streamable_http_client(url, http_client=http), mode=era, elicitation_callback=person.answers) as client,
    ):
        values(await client.call_tool("generate_image", PICTURE))
    assert (box.spent, len(person.asked), len(box.files)) == (PRICE, 1, 1)


async def test_whoever_has_no_token_or_comes_by_another_name_is_refused(box: McpBox) -> None:
    async with serving(box) as url, httpx.AsyncClient() as http:
        plain = {name: value.encode() for name, value in MODERN.items()}
        for given in (b"", b"Bearer other", b"Bearer l\xe9t-me-in"):
            headers = [(name.encode(), value) for name, value in {**plain, "authorization": given}.items()]
            refused = await http.post(url, json=modern_call("balance", {}, 1), headers=headers)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        rebound = await http.post(url, json=modern_call("balance", {}, 1), headers={**MODERN, "host": "evil.example"})
        assert rebound.status_code == 421


async def test_a_client_without_a_library_that_leaves_in_the_middle_pays_once(box: McpBox) -> None:
    given = {**PICTURE, "seed": 9}
    box.sandbox.faults.set("hang", 1.0)  # it is accepted, and no answer comes
    headers = {**MODERN, "mcp-name": "generate_image"}
    async with serving(box) as url, httpx.AsyncClient() as http:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                await http.post(url, json=modern_call("generate_image", given, 1), headers=headers)

            group.start_soon(call)
            await until(lambda: box.accepted > 0)
            group.cancel_scope.cancel()
        box.sandbox.faults.clear()
        again = await http.post(url, json=modern_call("generate_image", given, 2), headers=headers, timeout=20)
        text = again.text
    told = json.loads(text[text.rindex("data: ") + 6 :] if "data: " in text else text)["result"]["structuredContent"]
    assert told["status"] == "completed"
    assert box.spent == PRICE


async def test_the_program_stops_with_calls_under_way(slow_box: McpBox) -> None:
    command = [sys.executable, "-m", "neuralbox", "mcp", "--http", "--port", "0", "--to", str(slow_box.directory)]
    command += ["--ask-above", "100"]
    given = environment(slow_box.environment)
    with subprocess.Popen(  # noqa: ASYNC220 - it is soon started
        command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            async with anyio.create_task_group() as group:

                async def call() -> None:
                    async with Client(url, mode="legacy") as client:
                        with pytest.raises(MCPError):  # the server is gone
                            await client.call_tool("generate_video", {**FILM, "wait": 600})

                group.start_soon(call)
                await until(lambda: slow_box.accepted > 0)
                process.send_signal(signal.SIGTERM)
                assert await anyio.to_thread.run_sync(process.wait, PATIENCE) == 0
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()  # uvicorn names the answers that were cut off
        finally:
            process.kill()
    assert slow_box.accepted == 1
