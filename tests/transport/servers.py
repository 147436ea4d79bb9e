"""Loopback servers that do exactly what a test says: one thread per connection, a plain function per conversation.

They run in threads of their own, so the same server serves a test on asyncio and on trio, and a function that stalls
stalls nobody else. They speak bytes, since what a transport does with wrong ones is no matter of a service. The server counts what it sees: connections made, connections still open, requests in order.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import httpx

TLS = Path(__file__).parent / "tls"
CERTIFICATE = str(TLS / "cert.pem")


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: httpx.Headers
    body: bytes


@dataclass
class Conversation:
    """One connection, seen from the server."""

    socket: socket.socket
    server: Server
    buffer: bytes = b""

    def read_request(self) -> Seen | None:
        """Read one request; None when the client has hung up."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = httpx.Headers([(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)])
        length = int(headers.get("content-length", "0"))
        while len(self.buffer) < length:
            if not self.more():
                return None
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        seen = Seen(method, target, headers, body)
        self.server.requests.append(seen)
        return seen

    def more(self) -> bool:
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, body: bytes = b"{}", *, status: int = 200, **headers: str) -> None:
        """Send a whole answer; `Content_Type="..."` becomes a header."""
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def wait_for_hang_up(self) -> None:
        while self.more():
            pass


Behaviour = Callable[[Conversation], None]


@dataclass
class Server:
    """Serves `behaviour` on a loopback port for the length of a `with` block.

    Attributes:
        connections: How many were accepted.
        open: How many the server still has.
        requests: What arrived, in order.
    """

    behaviour: Behaviour
    tls: bool = False
    connections: int = 0
    requests: list[Seen] = field(default_factory=list)
    _live: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._context = None
        if self.tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Shutting down wakes the threads that read; they close.
        for sock in [self._listener, *self._live]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)
            assert not thread.is_alive(), "a server thread hangs"
        self._listener.close()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        with self._lock:
            return len(self._live)

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._live.add(sock)
            self._start(self._converse, sock)

    def _converse(self, plain: socket.socket) -> None:
        sock = plain
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._live.discard(plain)
                    self._live.add(sock)
            self.behaviour(Conversation(sock, self))
        except OSError:  # the client hung up in the middle, which is what half of the tests are about
            pass
        finally:
            sock.close()
            plain.close()
            with self._lock:  # last: whoever sees that none is open may count on the client's having been told
                self._live.discard(plain)
                self._live.discard(sock)


# Behaviours that many tests need.


def answering(body: bytes = b'{"ok": true}', *, delay: float = 0.0, status: int = 200, **headers: str) -> Behaviour:
    """Answer every request alike."""

    def behave(conversation: Conversation) -> None:
        while conversation.read_request() is not None:
            if delay:
                time.sleep(delay)
            conversation.answer(body, status=status, **headers)

    return behave


def saying(data: bytes, *, then_hang: bool = False) -> Behaviour:
    """Read one request, say these bytes, and hang up or hang."""

    def behave(conversation: Conversation) -> None:
        if conversation.read_request() is not None:
            conversation.send(data)
            if then_hang:
                conversation.wait_for_hang_up()

    return behave


def silent(conversation: Conversation) -> None:
    """Read whatever comes and never answer."""
    conversation.wait_for_hang_up()


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """Give the URL of a port where connecting hangs: the listener accepts nobody and its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                sock.connect(listener.getsockname())
            waiting.append(sock)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for sock in waiting:
                sock.close()


def unused_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def eventually(condition: Callable[[], bool], *, within: float = 5.0) -> None:
    """Wait for what another thread brings about; fails when it does not."""
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    with anyio.fail_after(within):
        while not condition():
            await sleep(0.001)
