"""A caller of a gateway in this process: one ASGI request at a time, which may leave in the middle."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from neuralbox import AsyncNeuralBox
from neuralbox.gateway import Gateway, KeyFile, app
from neuralbox.testing import RunningSandbox, in_memory


@dataclass
class Answered:
    """What came back.

    Attributes:
        status: 0 while nothing has come.
        is_whole: Whether its end came.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    is_whole: bool = False

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> Mapping[str, Any]:
        said: Mapping[str, Any] = self.body["error"]
        return said

    @property
    def events(self) -> list[Any]:
        """The data of the events of a stream."""
        lines = [line.removeprefix(b"data: ") for line in self.content.split(b"\n") if line.startswith(b"data: ")]
        return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]

    @property
    def streamed(self) -> str:
        """The text of a chat's stream."""
        chunks = [each for each in self.events if isinstance(each, dict) and each.get("choices")]
        return "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks)


@dataclass
class Calls:
    """A gateway, and one of its keys.

    Attributes:
        gateway: The application.
        key: What is sent as the bearer.
        running: The service.
    """

    gateway: Gateway
    key: str
    running: RunningSandbox

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        answer: Answered | None = None,
        leaves: Callable[[Answered], bool] = lambda _: False,
        pieces: list[bytes] | None = None,
        is_cut: bool = False,
        **headers: str,
    ) -> Answered:
        """Send one request; its caller is gone as soon as `leaves` says so; of one that `is_cut` the end never comes."""
        came = answer or Answered()
        gone = anyio.Event()
        content = pieces if pieces is not None else [b"" if body is None else json.dumps(body).encode()]
        sent = {"authorization": f"Bearer {self.key if key is None else key}", "content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if leaves(came):
            gone.set()

        async def receive() -> Mapping[str, Any]:
            if content:
                piece = content.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(content) or is_cut}
            if not gone.is_set():
                await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            if gone.is_set():
                return
            if message["type"] == "http.response.start":
                came.status = message["status"]
                came.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                came.content += message.get("body", b"")
                came.is_whole = not message.get("more_body", False)
            if leaves(came):
                gone.set()
            await anyio.lowlevel.checkpoint()

        path, _, query = path.partition("?")
        await self.gateway(
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": "1.1",
                "method": method,
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": query.encode(),
                "root_path": "",
                "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 80),
            },
            receive,  # type: ignore[arg-type]  # a mapping is all that is read
            send,
        )
        return came

    async def post(self, path: str, body: object, **options: Any) -> Answered:
        return await self("POST", f"/v1/{path}", body, **options)

    async def get(self, path: str, **options: Any) -> Answered:
        return await self("GET", f"/v1/{path}", **options)

    async def chat(self, text: str = "Good morning", **options: Any) -> Answered:
        """Ask for a text."""
        headers = {name: options.pop(name) for name in ("answer", "leaves", "key") if name in options}
        marks = {name: options.pop(name) for name in list(options) if name.startswith(("x_", "idempotency"))}
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": text}], **options}
        return await self.post("chat/completions", body, **headers, **marks)

    @property
    def posts(self) -> int:
        """How many paid requests reached the service."""
        routes = self.running.ledger.requests_by_route
        return routes.get("POST /generate", 0) + routes.get("POST /stt", 0)

    @property
    def charges(self) -> int:
        return len(self.running.ledger.charges)


@asynccontextmanager
async def calling(
    directory: Path, running: RunningSandbox, *, client: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[Calls]:
    """Run a gateway of the operator's account in this process."""
    keys = KeyFile(directory / "keys.json")
    limits = {name: options.pop(name) for name in ("budget", "models", "per_minute") if name in options}
    made, _ = keys.make(f"caller {len(keys.all())}", **limits)
    async with AsyncNeuralBox(api_key="nb_operator", base_url=running.url, **(client or {})) as nb:
        gateway = app(nb, keys=keys, **options)
        try:
            yield Calls(gateway, made, running)
        finally:
            with anyio.CancelScope(shield=True):
                await gateway.aclose()


@asynccontextmanager
async def in_process(directory: Path, **options: Any) -> AsyncIterator[Calls]:
    """Run a gateway and a service in this process, in virtual time."""
    settings = options.pop("sandbox", {})
    with in_memory(balance=10_000_000, **settings) as running:
        async with calling(directory, running, **options) as calls:
            yield calls
