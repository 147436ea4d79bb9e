"""A lean server on loopback for the benchmarks to measure clients against.

It owns raw answers to the few requests the clients send: one `asyncio.Protocol`, a hand-written HTTP/1.1 reader, bytes
prepared once. It does not play the service (that is `neuralbox.sandbox`): it checks nothing and stores next to
nothing, so that on a machine of two cores it takes as little as possible from the client. It speaks the paths of the
SDK and, beside them, those of the peers' clients (`dialects`). It runs in a process of its own, started by `running`,
and ends by itself: when the process that started it is gone, or when its lifetime is over.

Its jobs may go by a clock that the client keeps (`clock`), so that idle time need not be waited for; `lapse` is that
client and says how.

    python -m benchmarks.server --latency 0.05     prints its port; ends with end of input
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from benchmarks import dialects
from benchmarks.clock import SharedClock
from benchmarks.dialects import Made

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the server answers.

    Attributes:
        latency: Seconds each answer is held back.
        deltas: Pieces of a streamed text, unless the request's `max_tokens` says otherwise.
        events_per_chunk: Events that share one HTTP chunk.
        chunks_per_write: Chunks handed to the socket at once.
        pause: Seconds between two writes of a stream; 0 writes as fast as the client reads.
        shortest: Least seconds a submitted job takes, before `speed`.
        longest: Most seconds a submitted job takes, before `speed`.
        speed: How much faster than that jobs finish.
        seed: Of the durations.
        lifetime: Seconds after which the server ends whatever happens.
        clock: Path of a `SharedClock` that its jobs go by; "" for the real one.
    """

    latency: float = 0.0
    deltas: int = 100
    events_per_chunk: int = 1
    chunks_per_write: int = 64
    pause: float = 0.0
    shortest: float = 20.0
    longest: float = 180.0
    speed: float = 1.0
    seed: int = 1
    lifetime: float = 900.0
    clock: str = ""


# What it answers.

# The headers a service behind a proxy sends, the documented limits among them.
_HEAD = (
    "HTTP/1.1 {status}\r\n"
    "Server: nginx/1.27.2\r\n"
    "Date: Sat, 21 Nov 2026 06:00:00 GMT\r\n"
    "Content-Type: {content_type}\r\n"
    "{framing}\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: no-store\r\n"
    "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
    "Vary: Accept-Encoding\r\n"
    "X-RateLimit-Limit-Hour: 100000\r\n"
    "X-RateLimit-Remaining-Hour: 99998\r\n"
    "\r\n"
)


def answer(record: object, status: str = "200 OK") -> bytes:
    """Return a whole JSON answer."""
    body = json.dumps(record, separators=(",", ":")).encode()
    head = _HEAD.format(status=status, content_type="application/json", framing=f"Content-Length: {len(body)}")
    return head.encode() + body


_STREAM_HEAD = _HEAD.format(
    status="200 OK", content_type="text/event-stream", framing="Transfer-Encoding: chunked"
).encode()


def generation(number: object, status: str = "completed") -> dict[str, Any]:
    """Return a generation in the seed's words; a completed one has about 300 bytes."""
    record: dict[str, Any] = {"id": number, "type": "video", "model": "kling-v2.1", "status": status}
    if status == "completed":
        record |= {
            "prompt": "A paper boat on a river, early morning fog, slow camera",
            "url": f"https://storage.neuralbox.top/generations/{number}.mp4",
            "tokens_used": 45,
            "created_at": "2026-03-08T12:02:30Z",
            "completed_at": "2026-03-08T12:03:41Z",
        }
    return record


def openai_video(name: object, status: str = "completed") -> dict[str, Any]:
    """Return a video job in openai's words, of about the same length."""
    return {
        "id": name,
        "object": "video",
        "created_at": 1772971350,
        "completed_at": 1772971421 if status == "completed" else None,
        "status": status,
        "model": "sora-2",
        "progress": 100 if status == "completed" else 40,
        "prompt": "A paper boat on a river, early morning fog, slow camera",
        "seconds": "8",
        "size": "1280x720",
        "error": None,
        "expires_at": None,
        "remixed_from_video_id": None,
    }


def _event(record: object) -> bytes:
    return b"data: " + json.dumps(record, separators=(",", ":")).encode() + b"\n\n"


_DONE = b"data: [DONE]\n\n"
_DELTA = " boats"


def our_events(deltas: int) -> list[bytes]:
    """Return the events of a streamed text in the documented dialect."""
    start = {"type": "generation_start", "id": "gen_01k2q7txt900", "model": "gpt-5"}
    end = {"type": "generation_end", "id": "gen_01k2q7txt900", "tokens_used": 2, "balance_remaining": 118}
    delta = _event({"type": "content_delta", "delta": _DELTA})
    return [_event(start), *[delta] * deltas, _event(end), _DONE]


def openai_events(deltas: int) -> list[bytes]:
    """Return the events of a streamed chat completion."""

    def piece(delta: dict[str, str], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        record = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1772971350, "model": "gpt-5"}
        return _event({**record, "choices": [choice]})

    delta = piece({"content": _DELTA}, None)
    return [piece({"role": "assistant", "content": ""}, None), *[delta] * deltas, piece({}, "stop"), _DONE]


def frame(events: list[bytes], events_per_chunk: int, chunks_per_write: int) -> list[bytes]:
    """Return the writes of a chunked body."""
    chunks = []
    for first in range(0, len(events), events_per_chunk):
        data = b"".join(events[first : first + events_per_chunk])
        chunks.append(b"%x\r\n%b\r\n" % (len(data), data))
    writes = [b"".join(chunks[first : first + chunks_per_write]) for first in range(0, len(chunks), chunks_per_write)]
    writes[-1] += b"0\r\n\r\n"  # the end travels with the last events: a write of its own would be a wake-up of its own
    return writes


# Which request gets which answer.


class Site:
    """The answers, the jobs that were submitted, and what was counted."""

    def __init__(self, behaviour: Behaviour, now: Callable[[], float] = time.time) -> None:
        self.behaviour = behaviour
        self.now = now  # Unix seconds
        self.requests = 0
        self.connections = 0
        self.open_now = 0
        self._ready: dict[str, bytes] = {}  # answers that never change, by path
        self.base = ""  # its own address, for answers that hold addresses
        self._streams: dict[tuple[bool, int], list[bytes]] = {}
        self._jobs: dict[int, Made] = {}
        self._random = random.Random(behaviour.seed)
        self._held: list[tuple[float, int, Callable[[], None]]] = []

    def release(self) -> None:
        """Send what was held until now."""
        while self._held and self._held[0][0] <= self.now():
            heappop(self._held)[2]()

    def hold(self, seconds: float, job: int, send: Callable[[], None]) -> None:
        """Send an answer when a job has ended, but after so many seconds at the latest."""
        until = min(self.now() + seconds, self._jobs[job].done)
        heappush(self._held, (until, job, send))

    def next_held(self) -> float | None:
        """Seconds until something held is due, or None."""
        return max(0.0, self._held[0][0] - self.now()) if self._held else None

    def counts(self) -> dict[str, int]:
        """Return what was counted so far."""
        return {"requests": self.requests, "connections": self.connections, "open_now": self.open_now}

    def ends(self) -> dict[int, float]:
        """Return when each submitted job ends, in Unix seconds."""
        return {job.number: job.done for job in self._jobs.values()}

    def reply(self, method: str, target: str, body: bytes) -> bytes | list[bytes]:
        """Return the answer: bytes, or the writes of a stream."""
        ready = self._ready.get(target) if method == "GET" else None
        if ready is not None:
            return ready
        path, _, query = target.partition("?")
        if method == "POST":
            return self._post(path, body)
        if path.endswith("/user/history"):
            return answer(self._history(query))
        for start, dialect in dialects.LOOKS.items():
            if path.startswith(start):
                number, _, rest = path.removeprefix(start).partition("/")
                made = self._jobs[int(number)]
                say = dialects.fal_status if rest == "status" else dialect
                return answer(say(made, ended=self._ended(made), base=self.base))
        name = path.rpartition("/")[2]
        job = int(name.removeprefix("video_")) if name.removeprefix("video_").isdecimal() else -1
        openai = "/videos/" in path
        if job in self._jobs:
            ended = self._ended(self._jobs[job])
            if openai:
                return answer(openai_video(name, "completed" if ended else "in_progress"))
            return answer(dialects.neuralbox(self._jobs[job], ended=ended, base=self.base))
        # Nobody submitted it here: it is complete, and its answer is made once.
        identity: object = int(name) if name.isdecimal() else name
        self._ready[target] = answer(openai_video(name) if openai else generation(identity))
        return self._ready[target]

    def _post(self, path: str, body: bytes) -> bytes | list[bytes]:
        request = json.loads(body) if body[:1] == b"{" else {}
        openai = path.endswith("/chat/completions")
        if openai or request.get("stream") or path.endswith("/stream"):
            return self._stream(openai, int(request.get("max_tokens") or self.behaviour.deltas))
        plan, now, number = self.behaviour, self.now(), len(self._jobs) + 1
        seconds = self._random.uniform(plan.shortest, plan.longest) / plan.speed
        model = request.get("model") or "kling-v2.1"  # openai's videos come as a form, which nobody reads here
        job = self._jobs[number] = Made(number, now, now + seconds, model)
        if path.endswith("/videos"):
            return answer(openai_video(f"video_{number}", "queued"))
        say = dialects.SUBMISSIONS.get(path) or dialects.neuralbox
        return answer(say(job, ended=False, base=self.base))

    def _stream(self, openai: bool, deltas: int) -> list[bytes]:
        key = (openai, deltas)
        if key not in self._streams:
            events = openai_events(deltas) if openai else our_events(deltas)
            plan = self.behaviour
            self._streams[key] = frame(events, plan.events_per_chunk, plan.chunks_per_write)
        return self._streams[key]

    def _history(self, query: str) -> dict[str, Any]:
        """List the submitted jobs, newest first, as the seed's page does."""
        asked = parse_qs(query)
        page, limit = int(asked.get("page", ["1"])[0]), int(asked.get("limit", ["20"])[0])
        wanted = asked.get("status", [""])[0]
        now = self.now()
        found = [
            job
            for job in reversed(self._jobs.values())
            if not wanted or wanted == ("completed" if job.done <= now else "pending")
        ]
        shown = found[(page - 1) * limit : page * limit]
        items = [dialects.neuralbox(job, ended=job.done <= now, base=self.base) for job in shown]
        return {
            "items": items,
            "total": len(found),
            "page": page,
            "limit": limit,
            "pages": max(1, -(-len(found) // limit)),
        }

    def _ended(self, job: Made) -> bool:
        return self.now() >= job.done


# replicate's `Prefer: wait`: the answer to a submission may take so long, or until the job has ended.
_PREFER = "prefer: wait"
_HOLDS = 60.0
# Turns of the loop after which what had arrived is answered: a new connection is accepted in one, set up in the next,
# and read in a later one.
_TURNS = 10


class Wire(asyncio.Protocol):
    """One connection: requests in, answers out, in order."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self._site = site
        self._loop = loop
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._writer: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._site.connections += 1
        self._site.open_now += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol passes it
        self._site.open_now -= 1
        self._transport = None
        if self._writer is not None:
            self._writer.cancel()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head_ends = self._buffer.find(b"\r\n\r\n")
            if head_ends < 0:
                return
            head = self._buffer[:head_ends].decode("latin-1")
            body_starts, length = head_ends + 4, 0
            if not head.startswith("GET "):
                for line in head.split("\r\n")[1:]:
                    name, _, value = line.partition(":")
                    if name.lower() == "content-length":
                        length = int(value)
            if len(self._buffer) < body_starts + length:
                return
            body = self._buffer[body_starts : body_starts + length]
            self._buffer = self._buffer[body_starts + length :]
            method, target, _ = head.split(" ", 2)
            if target.startswith("/_"):  # asked by the benchmark, so neither counted nor held back
                self._control(target)
            else:
                self._answer(method, target, body, hold=_HOLDS if _PREFER in head.lower() else 0.0)

    def _control(self, target: str) -> None:
        site = self._site
        if target == "/_turn":
            site.release()
            self._after_turns(_TURNS)
        else:
            self._send(answer(site.ends() if target == "/_ends" else site.counts()))

    def _after_turns(self, turns: int) -> None:
        # Not before all requests that are here already have their answers.
        if turns:
            self._loop.call_soon(self._after_turns, turns - 1)
        else:
            self._send(answer({"next": self._site.next_held()}))

    def _answer(self, method: str, target: str, body: bytes, *, hold: float) -> None:
        self._site.requests += 1
        reply = self._site.reply(method, target, body)
        latency = self._site.behaviour.latency
        send: Callable[[], None]
        if isinstance(reply, bytes):
            whole = reply

            def send() -> None:
                self._send(whole)
        else:
            writes = reply

            def send() -> None:
                self._writer = self._loop.create_task(self._send_stream(writes))

        if hold and isinstance(reply, bytes):
            job = int(json.loads(reply.partition(b"\r\n\r\n")[2])["id"])
            self._site.hold(hold, job, lambda: self._answer("GET", f"/v1/predictions/{job}", b"", hold=0.0))
            self._site.requests -= 1  # it is one request, answered later
        elif latency:
            self._loop.call_later(latency, send)
        else:
            send()

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def _send_stream(self, writes: list[bytes]) -> None:
        self._send(_STREAM_HEAD)
        for data in writes:
            # Also with no pause the loop turns between two writes, so that other connections are served.
            await asyncio.sleep(self._site.behaviour.pause)
            await self._room.wait()
            self._send(data)


async def serve(behaviour: Behaviour, announce: Callable[[int], None]) -> None:
    """Serve until standard input ends or the lifetime is over; tell the port as soon as it is known."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    site = Site(behaviour, SharedClock(Path(behaviour.clock)).now if behaviour.clock else time.time)
    server = await loop.create_server(lambda: Wire(site, loop), HOST, 0, backlog=1024)
    async with server:
        port = server.sockets[0].getsockname()[1]
        site.base = f"http://{HOST}:{port}"
        announce(port)
        # Nobody writes to it: it only ends, when the process that holds the other end does.
        loop.add_reader(sys.stdin.fileno(), lambda: over.set() if not os.read(sys.stdin.fileno(), 1024) else None)
        try:
            async with asyncio.timeout(behaviour.lifetime):
                await over.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(sys.stdin.fileno())


# Starting one.


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs.

    Attributes:
        url: Scheme, host and port, without a slash at the end.
        pid: Of its process.
    """

    url: str
    pid: int

    def counts(self) -> dict[str, int]:
        """Ask what it counted: `requests`, `connections`, and `open_now` (the asking connection included)."""
        found: dict[str, int] = self._ask("/_counts")
        return found

    def ends(self) -> dict[int, float]:
        """Ask when each submitted job ends, in Unix seconds of its clock."""
        return {int(number): end for number, end in self._ask("/_ends").items()}

    def _ask(self, path: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}{path}", timeout=10) as reply:
            return json.load(reply)


@contextmanager
def started(module: str, *arguments: str) -> Iterator[str]:
    """Run a module that serves in a process of its own, and hand out its address.

    It prints its port, and ends when its standard input does: that is its lifeline, which closes with this process, too.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://{HOST}:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


@contextmanager
def running(behaviour: Behaviour | None = None) -> Iterator[Running]:
    """Run a server in a process of its own on a free port, and end it with the block."""
    options = asdict(behaviour or Behaviour())
    command = [sys.executable, "-m", "benchmarks.server"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    # The pipe's other end is the server's lifeline: it closes with this process, however that ends.
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.strip().isdecimal():
            raise RuntimeError(f"The benchmark server did not start; it said {line!r}.")
        yield Running(f"http://{HOST}:{int(line)}", process.pid)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Behaviour()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    behaviour = Behaviour(**vars(parser.parse_args()))
    asyncio.run(serve(behaviour, lambda port: print(port, flush=True)))


if __name__ == "__main__":
    main()
