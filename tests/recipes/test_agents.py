"""The server of the Model Context Protocol, called by a client that is not the SDK's own: fastmcp's."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from neuralbox.sandbox import Sandbox, serve


@pytest.mark.skipif(find_spec("fastmcp") is None, reason="fastmcp has an environment of its own")
def test_fastmcp_asks_buys_and_reads_over_standard_input(tmp_path: Path) -> None:
    from fastmcp import Client
    from fastmcp.client.elicitation import ElicitResult
    from fastmcp.client.transports import StdioTransport

    asked: list[str] = []
    seen: list[float] = []

    async def agree(message: str, *_: object) -> ElicitResult:
        asked.append(message)
        return ElicitResult(action="accept", content={"buy": True})

    async def told(progress: float, *_: object) -> None:
        seen.append(progress)

    async def buy(url: str) -> None:
        given = {"NEURALBOX_API_KEY": "nb_test_agents", "NEURALBOX_BASE_URL": url, "PATH": os.environ["PATH"]}
        started = StdioTransport(sys.executable, ["-m", "neuralbox", "mcp", "--to", str(tmp_path)], env=given)
        async with Client(started, elicitation_handler=agree, progress_handler=told) as client:
            given_to_it = {"model": "kling-v2.1", "prompt": "A paper boat"}
            bought = await client.call_tool("generate_video", given_to_it)
            again = await client.call_tool("generate_video", given_to_it)
            assert bought.structured_content["id"] == again.structured_content["id"]
            [read] = await client.read_resource(f"neuralbox://results/{bought.structured_content['id']}")
            assert read.mime_type == "video/mp4"

    with serve(Sandbox(speed=2_000)) as server:
        asyncio.run(buy(server.url))
        assert server.sandbox.ledger.charged == 26
    assert len(asked) == 1
    assert seen != []
