"""The server on standard input and output: in this process on pipes, and as the program that clients start and kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from mcp import Client, StdioServerParameters

from neuralbox import AsyncNeuralBox, ConfigurationError
from neuralbox.mcp import McpSettings, _stdio, build_server, serve_stdio
from neuralbox.mcp._stdio import read_lines

from ..cli.conftest import run
from ..cli.processes import PATIENCE, environment
from .conftest import FILM, PICTURE, PRICE, McpBox, Person, until, values

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "by hand", "version": "1"},
}


def line(method: str, params: dict[str, Any], id: int | None = None) -> bytes:
    """Write a request, or a notification, as a client that has no library."""
    message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
    return json.dumps(message).encode() + b"\n"


def call(name: str, given: dict[str, Any], id: int, **meta: Any) -> bytes:
    return line("tools/call", {"name": name, "arguments": given} | ({"_meta": meta} if meta else {}), id)


# In this process.


class Pipes:
    """What a client holds of a server in this process."""

    def __init__(self) -> None:
        theirs, self.into = os.pipe()
        self.out, answers = os.pipe()
        self.ours = {self.into, self.out}
        self.theirs = (os.fdopen(theirs), os.fdopen(answers, "w"))
        self.rest = b""

    async def receive(self) -> dict[str, Any]:
        while b"\n" not in self.rest:
            self.rest += await to_thread.run_sync(os.read, self.out, 65_536)
        first, _, self.rest = self.rest.partition(b"\n")
        message: dict[str, Any] = json.loads(first)
        return message

    def hang_up(self, end: int) -> None:
        """Close an end once: its number is soon somebody else's."""
        self.ours.remove(end)
        os.close(end)

    def close(self) -> None:
        for end in [*self.ours]:
            self.hang_up(end)
        for stream in self.theirs:
            with suppress(OSError):  # nobody reads it
                stream.close()


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close()


async def serve_here(box: McpBox, over: anyio.Event) -> None:
    async with AsyncNeuralBox(api_key=box.key, base_url=box.server.url) as nb:
        await serve_stdio(build_server(nb, McpSettings(directory=box.directory, ask_above=100)))
    over.set()


@pytest.mark.anyio
@pytest.mark.parametrize("stream", ["stdin", "stdout"])
async def test_a_stream_that_is_closed_is_one_sentence(
    stream: str, slow_box: McpBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, stream, None)
    with pytest.raises(ConfigurationError, match="one of them is closed"):
        await serve_here(slow_box, anyio.Event())


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["input", "output", "SIGTERM", "SIGINT", "input on Windows"])
async def test_it_serves_until_the_client_leaves_or_it_is_told_to_stop(
    ending: str, pipes: Pipes, slow_box: McpBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", pipes.theirs[0])
    monkeypatch.setattr(sys, "stdout", pipes.theirs[1])
    monkeypatch.setattr(_stdio, "_ON_WINDOWS", ending.endswith("Windows"))
    over = anyio.Event()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(serve_here, slow_box, over)
            os.write(pipes.into, b"no JSON\n" + line("initialize", HELLO, 1))
            assert (await pipes.receive())["result"]["serverInfo"]["name"] == "neuralbox"
            os.write(
                pipes.into, line("notifications/initialized", {}) + call("generate_video", FILM, 2, progressToken="t")
            )
            await until(lambda: slow_box.accepted > 0)
            if ending.startswith("input"):
                pipes.hang_up(pipes.into)
            elif ending == "output":
                pipes.hang_up(pipes.out)
                os.write(pipes.into, line("ping", {}, 3))
            else:
                signal.raise_signal(signal.Signals[ending])
            await over.wait()


@pytest.mark.anyio
async def test_lines_are_read_whole_whatever_their_pieces_and_their_source() -> None:
    async def read(descriptor: int) -> list[str]:
        return [one async for one in read_lines(descriptor)]

    reading, writing = os.pipe()
    async with anyio.create_task_group() as group:

        async def write() -> None:
            for piece in (b"on", b"e\nt", b"wo\n\xff\nrest"):
                os.write(writing, piece)
                await anyio.lowlevel.checkpoint()
            os.close(writing)

        group.start_soon(write)
        assert await read(reading) == ["one", "two", "\ufffd"]
    os.close(reading)
    with Path(os.devnull).open() as nothing:  # noqa: ASYNC230 - the null device
        assert await read(nothing.fileno()) == []


# As a program.


def arguments(box: McpBox, *more: str) -> list[str]:
    return ["-m", "neuralbox", "mcp", "--to", str(box.directory), "--ask-above", "100", *more]


@contextmanager
def program(box: McpBox, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server as a client does, with a client that has no library at its pipes."""
    pipe = subprocess.PIPE
    command = [sys.executable, *arguments(box, *more)]
    given = environment(box.environment)
    with subprocess.Popen(command, env=given, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        try:
            send(process, line("initialize", HELLO, 1) + line("notifications/initialized", {}))
            assert answer(process)["id"] == 1
            yield process
        finally:
            process.kill()


def answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return the next message."""
    assert process.stdout is not None
    message: dict[str, Any] = json.loads(process.stdout.readline())
    return message


def send(process: subprocess.Popen[bytes], message: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(message)


def until_accepted(box: McpBox, count: int = 1) -> None:
    deadline = time.monotonic() + PATIENCE
    while box.accepted < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """Wait for its end; its code, and what it wrote for people."""
    code = process.wait(PATIENCE)
    assert process.stderr is not None
    return code, process.stderr.read()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"], scope="module")
async def test_the_official_client_buys_a_picture_over_standard_input(box: McpBox) -> None:
    """In the later era: the clients by hand below speak as in the one before."""
    person = Person()
    started = StdioServerParameters(
        command=sys.executable,
        args=arguments(box, "--ask-above", "0", "--budget", "5"),
        env=environment(box.environment),
    )
    async with Client(started, mode="2026-07-28", elicitation_callback=person.answers) as client:
        bought = values(await client.call_tool("generate_image", PICTURE))
        assert bought["budget"] == {"tokens": 5, "spent": PRICE, "left": 1}
    assert (box.spent, len(person.asked), len(box.files)) == (PRICE, 1, 1)


def test_a_server_that_is_ended_in_the_middle_of_a_purchase_has_paid_once_and_a_cancelled_call_ends_alone(
    slow_box: McpBox,
) -> None:
    first, second, film = {**PICTURE, "seed": 11}, {**PICTURE, "seed": 12}, {**FILM, "wait": 600}
    faults = slow_box.sandbox.faults

    faults.set("hang", 1.0)  # it is accepted, and no answer comes
    with program(slow_box) as process:
        send(process, call("generate_image", first, 2))
        until_accepted(slow_box)
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, b"")
    faults.clear()

    with program(slow_box) as process:
        send(process, call("generate_image", first, 2))
        assert answer(process)["result"]["structuredContent"]["status"] == "completed"
        assert (slow_box.spent, len(slow_box.files)) == (PRICE, 1)  # no part of a file
        faults.set("hang", 1.0)
        send(process, call("generate_image", second, 3))
        until_accepted(slow_box, 2)
        process.send_signal(signal.SIGKILL)
        assert ended(process) == (-signal.SIGKILL, b"")
    faults.clear()

    with program(slow_box) as process:
        send(process, call("generate_image", second, 2))
        assert answer(process)["result"]["structuredContent"]["status"] == "completed"
        assert (slow_box.spent, len(slow_box.files), slow_box.accepted) == (2 * PRICE, 2, 2)
        send(process, call("generate_video", film, 3))
        until_accepted(slow_box, 3)
        send(process, line("notifications/cancelled", {"requestId": 3, "reason": "changed my mind"}))
        send(process, call("generate_video", {**film, "wait": 0}, 4))
        told = answer(process)
        while told["id"] == 3:  # the SDK answers a cancelled request, with an error
            assert "error" in told
            told = answer(process)
        assert told["result"]["structuredContent"]["id"]  # bought before, if the program had heard of it by then
        assert process.stdin is not None
        process.stdin.close()
        assert ended(process) == (0, b"")
    assert slow_box.accepted == 3


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--session", "a/b"), 2, "`session` must be a name without a slash"),
        (("--http", "--host", "0.0.0.0"), 2, "set NEURALBOX_MCP_TOKEN"),
    ],
)
def test_what_cannot_be_is_one_line(more: tuple[str, ...], code: int, said: str, box: McpBox, tmp_path: Path) -> None:
    given = {**box.environment, "NEURALBOX_CONFIG": str(tmp_path / "config.toml")}
    left = run("mcp", "--to", box.directory, "--ask-above", "100", *more, **given)
    assert (left.code, left.out) == (code, "")
    assert said in left.sentence
