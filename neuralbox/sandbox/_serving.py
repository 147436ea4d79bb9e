"""Serving a sandbox: in a thread of its own for tests and demos, or blocking for the command line.

uvicorn does the HTTP. Three things are ours: the protocol hands the transport to the application, so that faults can
close or reset a connection; stopping is an event instead of a check ten times a second; and a stop is bounded: idle
connections close at once, answers under way get a moment, then they are cut. uvicorn's loggers are left as they are.

A request whose `Host` is not this machine is refused: a page in a browser can let its own name resolve to 127.0.0.1 and
would reach the sandbox as its own origin (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .._types import ListenError
from ._replies import bad_request
from ._sandbox import Sandbox
from ._server.connection import TRANSPORT

GRACE_SECONDS: Final = 0.5
"""How long answers under way may take when the server stops."""
_START_SECONDS: Final = 10.0
_BACKLOG: Final = 2_048


@dataclass(frozen=True, slots=True)
class Server:
    """A sandbox that is being served.

    Attributes:
        url: Its base URL, such as `http://127.0.0.1:41234`.
    """

    url: str
    sandbox: Sandbox
    _serving: _Uvicorn = field(repr=False)

    @property
    def connections(self) -> int:
        """Return how many connections are open now, idle ones included; safe from any thread."""
        return len(self._serving.server_state.connections)


@contextlib.contextmanager
def serve(
    sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0, allowed_hosts: Collection[str] = ()
) -> Iterator[Server]:
    """Serve a sandbox from a thread of its own while the block runs.

    Args:
        sandbox: What to serve; it stays usable afterwards, and can be served again.
        host: A loopback address.
        port: 0 takes a free one.
        allowed_hosts: Names that a request's `Host` may have beside loopback ones, without a port.

    Raises:
        ValueError: The address is not a loopback address.
        OSError: It cannot listen there.
        ModuleNotFoundError: The extra is not installed; the message says how to install it.
    """
    _need_extra()
    listener = _listen(host, port, allow_remote=False)
    server = _Uvicorn(_HostCheck(sandbox.app, allowed_hosts))
    thread = threading.Thread(target=server.run_apart, args=(listener,), name="neuralbox-sandbox", daemon=True)
    thread.start()
    try:
        server.wait_until_up()
        yield Server(_url(host, server.port), sandbox, server)
    finally:
        server.stop()
        thread.join(_START_SECONDS)
        sandbox.close()


def run(
    sandbox: Sandbox,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    allow_remote: bool = False,
    allowed_hosts: Collection[str] = (),
    announce: Callable[[str], object] | None = None,
) -> None:
    """Serve a sandbox until Ctrl-C or SIGTERM, then return.

    Args:
        sandbox: What to serve.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        allow_remote: Listen on an address that is not loopback; anybody who reaches it can use the sandbox, by any
            IP address.
        allowed_hosts: Names that a request's `Host` may have beside loopback ones, without a port.
        announce: Called with one line when it listens; None prints it.

    Raises:
        ValueError: The address is not a loopback address.
        OSError: It cannot listen there.
        ModuleNotFoundError: The extra is not installed; the message says how to install it.
    """
    _need_extra()
    listener = _listen(host, port, allow_remote=allow_remote)
    tell = announce or _print_at_once
    app = _HostCheck(sandbox.app, allowed_hosts, any_address=allow_remote)
    server = _Uvicorn(app, on_up=lambda: tell(f"NeuralBox sandbox on {_url(host, server.port)} (Ctrl-C stops)"))
    try:
        server.run_here(listener)
    finally:
        sandbox.close()


def _print_at_once(line: str) -> None:
    """Print, past the buffer of a pipe: whoever started the sandbox waits for this line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _url(host: str, port: int) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}"


def _need_extra() -> None:
    """Raise at the start, not at the first file, if a part of the extra is missing; import nothing."""
    for name in ("PIL", "av", "python_multipart"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"The sandbox needs {name}: pip install 'neuralbox[sandbox]'", name=name)


def _listen(host: str, port: int, *, allow_remote: bool) -> socket.socket:
    if not allow_remote and not _is_loopback(host):
        raise ValueError(
            f"{host} is not a loopback address: the sandbox accepts any key, so it listens on 127.0.0.1 unless "
            "allow_remote=True says otherwise."
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ListenError(error.errno, f"The sandbox cannot listen on {host} port {port}: {error.strerror}") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761: resolves to loopback addresses only
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _HostCheck:
    """The application for requests to this machine, and a refusal for those to any other name.

    Args:
        app: The application.
        names: Names that are good beside loopback ones.
        any_address: Whether IP addresses are good: a page cannot let an address resolve to another.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], *, any_address: bool = False) -> None:
        self._app, self._any_address = app, any_address
        self._names = frozenset(name.lower().rstrip(".") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = _host_in(scope["headers"])
        if not (host in self._names or _is_loopback(host) or (self._any_address and _is_address(host))):
            message = (
                f"The host {host[:100]!r} is not this machine. Name it with `allowed_hosts=`, or `--allow-host` on the "
                "command line, if the sandbox is to answer for it."
            )
            await bad_request(message).response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _host_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the name or address that a request was sent to, without its port; a loopback one where it has none."""
    host = next((value for name, value in headers if name == b"host"), b"localhost").decode("latin-1").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


class _Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, with the transport within the application's reach."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # asyncio sets it only on sockets that name their protocol, which accepted ones of `create_server` do not.
        # Without it an answer, written as head and body, waits 40 ms for the client's delayed acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.access_log = False
        self.app_state = {**self.app_state, TRANSPORT: transport}


class _Uvicorn(uvicorn.Server):
    """A uvicorn that starts on a given socket and stops at once when told to."""

    def __init__(self, app: ASGIApp, *, on_up: Callable[[], object] | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                proxy_headers=False,
                log_config=None,
                server_header=False,
                date_header=False,  # the sandbox's clock sets it
                timeout_keep_alive=75,
                backlog=_BACKLOG,
            )
        )
        self.port = 0
        self._on_up = on_up
        self._up = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    # From other threads.

    def wait_until_up(self) -> None:
        if not self._up.wait(_START_SECONDS) or self._failure is not None:
            raise RuntimeError("The sandbox's server did not start.") from self._failure

    def stop(self) -> None:
        """Ask it to stop; safe from any thread and from signal handlers, and when it has stopped."""
        self.should_exit = True
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._stopping.set)

    # In its own thread.

    def run_apart(self, listener: socket.socket) -> None:
        """Serve on this socket until `stop`; what goes wrong is raised by `wait_until_up` in the other thread."""
        try:
            self.run_here(listener)
        except BaseException as error:  # noqa: BLE001 - handed over, whatever it is
            self._failure = error
        finally:
            self._up.set()

    def run_here(self, listener: socket.socket) -> None:
        """Serve on this socket until `stop`."""
        with listener:
            self.port = listener.getsockname()[1]
            asyncio.run(self.serve(sockets=[listener]))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self._up.set()
        if self._on_up is not None:
            self._on_up()

    async def main_loop(self) -> None:
        await self.on_tick(0)  # sets the default headers
        assert self._stopping is not None
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._settle()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._settle()

    async def _settle(self) -> None:
        """Wait a bounded time for connections to close and their tasks to end."""
        state, loop = self.server_state, asyncio.get_running_loop()
        deadline = loop.time() + GRACE_SECONDS
        await asyncio.sleep(0)
        # uvicorn keeps plain sets: there is no event to wait for.
        while (state.connections or state.tasks) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.002)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on Ctrl-C and SIGTERM and go on with the program; uvicorn would raise them again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(_signal: int, _frame: FrameType | None) -> None:
            self.stop()

        former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
