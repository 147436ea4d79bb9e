"""A sandbox on a socket, an account of its own for each test, and the official client beside the server, in either era."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from neuralbox import AsyncNeuralBox, Polling
from neuralbox.mcp import McpSettings, build_server
from neuralbox.sandbox import Sandbox, Server, serve
from neuralbox.sandbox._media import images

from ..accounts import ServedAccount
from ..cli.processes import PATIENCE

ERAS = ("legacy", "2026-07-28")
FAST = Polling(timeout=30, min_interval=0.02, max_interval=0.1)
PICTURE = {"model": "flux-1.1-pro", "prompt": "A lighthouse"}
PRICE = 4
FILM = {"model": "kling-v2.1", "prompt": "A paper boat"}


@dataclass(frozen=True)
class McpBox(ServedAccount):
    """An account at a service, and a directory.

    Attributes:
        directory: Where results go.
    """

    directory: Path

    @property
    def accepted(self) -> int:
        """Generations of the account, finished or not."""
        ledger = self.sandbox.ledger
        return len(ledger.of_account(ledger.account_of_key(self.key), listed=False))

    @property
    def files(self) -> list[str]:
        """What is in the directory, without the journal."""
        return sorted(path.name for path in self.directory.iterdir() if not path.name.startswith("mcp.sqlite"))

    @asynccontextmanager
    async def client(
        self, era: str = "legacy", *, person: Person | None = None, budget: int | None = None, **settings: Any
    ) -> AsyncIterator[Client]:
        """Connect the official client to a server in this process; nobody is asked unless the settings say so."""
        usual = {"directory": self.directory, "ask_above": 1_000_000, "wait": 20.0, "picture_pixels": 64}
        chosen = McpSettings(**{**usual, **settings})
        async with (
            AsyncNeuralBox(api_key=self.key, base_url=self.server.url, polling=FAST, budget=budget) as nb,
            Client(
                build_server(nb, chosen), mode=era, elicitation_callback=None if person is None else person.answers
            ) as client,
        ):
            yield client


async def until(so: Callable[[], bool]) -> None:
    """Wait until something is so on the other side."""
    with anyio.fail_after(PATIENCE):
        while not so():  # noqa: ASYNC110 - it happens in another thread or program
            await anyio.sleep(0.005)


class Person:
    """Who answers the questions of a client.

    Args:
        action: What they do.
        buy: Whether they tick the box.
    """

    def __init__(self, action: str = "accept", *, buy: bool = True) -> None:
        self.action = action
        self.buy = buy
        self.asked: list[str] = []

    async def answers(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        content = {"buy": self.buy} if self.action == "accept" else None
        return ElicitResult.model_validate({"action": self.action, "content": content})


def values(result: CallToolResult) -> dict[str, Any]:
    """Return the values of an answer that is no error."""
    assert not result.is_error, words(result)
    told: dict[str, Any] = result.structured_content
    return told


def words(result: CallToolResult) -> str:
    """Return the first text of an answer."""
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


@pytest.fixture(autouse=True)
def _in_haste(shortest_pauses: None) -> None:
    """Retry soon."""


@pytest.fixture(scope="package", autouse=True)
def _one_picture_for_all_of_a_size() -> Iterator[None]:
    """Draw no picture twice: none of these tests looks at one, and that was half of what they took."""
    drawn: dict[tuple[int, int, str], bytes] = {}
    real = images.draw_image

    def draw(prompt: str, seed: int, width: int, height: int, ending: str) -> bytes:
        if (width, height, ending) not in drawn:
            drawn[width, height, ending] = real(prompt, seed, width, height, ending)
        return drawn[width, height, ending]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(images, "draw_image", draw)
        yield


@pytest.fixture(scope="package")
def served_to_agents() -> Iterator[Server]:
    with serve(Sandbox(speed=2_000)) as server:
        yield server


@pytest.fixture(scope="package")
def slowly_served_to_agents() -> Iterator[Server]:
    with serve(Sandbox(speed=0.01)) as server:
        yield server


@pytest.fixture
def box(served_to_agents: Server, tmp_path: Path) -> Iterator[McpBox]:
    """A new account at a service whose videos take a moment."""
    served_to_agents.sandbox.faults.clear()
    yield McpBox(served_to_agents, f"nb_test_{uuid.uuid4().hex}", tmp_path / "results")
    served_to_agents.sandbox.faults.clear()


@pytest.fixture
def slow_box(slowly_served_to_agents: Server, tmp_path: Path) -> Iterator[McpBox]:
    """A new account at a service whose videos take hours."""
    slowly_served_to_agents.sandbox.faults.clear()
    yield McpBox(slowly_served_to_agents, f"nb_test_{uuid.uuid4().hex}", tmp_path / "results")
    slowly_served_to_agents.sandbox.faults.clear()
