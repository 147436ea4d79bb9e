"""Programs written for openai's API, run as they stand through `neuralbox gateway` against a sandbox.

Each is skipped where its package is not installed; `.ci/run` has an environment with all of them. None may reach anything
but loopback: some of these packages fetch lists of prices, or report home, unless they are told not to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from neuralbox.sandbox import Sandbox, Server, serve

from .programs import RECIPES

PATIENCE = 120.0
FORBIDDEN = 86
AT_HOME = f"""\
import os, sys


def hook(event, values):
    if event not in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        return
    address = values[1] if event == "socket.connect" else values[0]
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(address, str) and event == "socket.connect":
        return
    if host not in ("127.0.0.1", "::1", "localhost", None):
        os.write(2, f"reached for {{host}}\\n".encode())
        os._exit({FORBIDDEN})


sys.addaudithook(hook)
"""


@dataclass
class Serving:
    """A gateway that serves.

    Attributes:
        server: The service behind it.
        directory: Where programs may write.
        surroundings: What is given to a program.
    """

    server: Server
    directory: Path
    surroundings: dict[str, str]

    def run(self, *command: str, **given: str) -> str:
        """Run a program and return what it printed."""
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.surroundings | given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def paying(self, tokens: int) -> Iterator[None]:
        """Expect a charge of so many tokens."""
        ledger = self.server.sandbox.ledger
        before = ledger.charged
        yield
        assert ledger.charged - before == tokens


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("programs")
    (directory / "guard").mkdir()
    (directory / "guard" / "sitecustomize.py").write_text(AT_HOME)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"HOME": str(directory), "PATH": path, "PYTHONPATH": str(directory / "guard")}


@pytest.fixture(scope="module")
def serving(at_home: dict[str, str]) -> Iterator[Serving]:
    directory, own = Path(at_home["HOME"]), at_home
    with serve(Sandbox(speed=2_000)) as server:
        operator = own | {"NEURALBOX_API_KEY": "nb_test_gateway", "NEURALBOX_BASE_URL": server.url}
        command = [sys.executable, "-m", "neuralbox", "gateway"]
        made = subprocess.run([*command, "key", "me"], cwd=directory, env=operator, capture_output=True, check=True)
        with subprocess.Popen(
            [*command, "--port", "0", "--journal", "gateway.sqlite", "--json", "--quiet"],
            cwd=directory,
            env=operator,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as gateway:
            assert gateway.stdout is not None
            try:
                url = json.loads(gateway.stdout.readline())["url"]
                yield Serving(
                    server, directory, own | {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": made.stdout.decode().strip()}
                )
            finally:
                gateway.terminate()
        assert gateway.returncode == 0


def has(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} has an environment of its own")


TEXT, PICTURE, VIDEO = 2, 4, 42


@pytest.mark.parametrize(
    ("recipe", "answered", "tokens"),
    [
        pytest.param("openai_client", 2, 2 * TEXT + PICTURE + VIDEO, marks=has("openai")),
        pytest.param("langchain_chain", 4, 4 * TEXT, marks=has("langchain_openai")),
        pytest.param("pydantic_ai_agent", 2, 2 * TEXT, marks=has("pydantic_ai")),
        pytest.param("litellm_calls", 2, 2 * TEXT + PICTURE, marks=has("litellm")),
    ],
)
def test_a_program_runs_as_it_stands_and_pays_for_what_it_asks(
    serving: Serving, recipe: str, answered: int, tokens: int
) -> None:
    with serving.paying(tokens):
        printed = serving.run(sys.executable, str(RECIPES / f"{recipe}.py"), LITELLM_LOCAL_MODEL_COST_MAP="True")
    assert printed.count("A made-up answer to") == answered
    if recipe == "openai_client":
        assert f"{TEXT} tokens" in printed
        assert (serving.directory / "heron.mp4").read_bytes()[4:8] == b"ftyp"


@has("llm")
def test_llm_knows_the_model_by_its_file_and_goes_on_with_what_was_said(serving: Serving) -> None:
    with serving.paying(2 * TEXT):
        printed = serving.run("sh", str(RECIPES / "llm_models.sh"), LLM_USER_PATH=str(serving.directory / "llm"))
    assert printed.count("A made-up answer to") == 2
    asked = [each.prompt for each in serving.server.sandbox.ledger.generations.values()]
    assert "Another one" in str(asked[-1])


def test_a_program_that_reaches_for_the_net_is_noticed(at_home: dict[str, str]) -> None:
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    left = subprocess.run([sys.executable, "-c", reach], env=at_home, capture_output=True, check=False)
    assert (left.returncode, left.stderr) == (FORBIDDEN, b"reached for 192.0.2.1\n")
