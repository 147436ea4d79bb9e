"""The lean server's listings: histories of so many items, a page after the other.

A module of its own, which imports nothing that the other side does not need: so its process is there at once.

    python -m benchmarks.listings paging 10000     prints its port; ends with end of input
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from urllib.parse import parse_qs

from benchmarks.server import HOST, Behaviour, Site, Wire, answer, started

LATENCY = 0.02
PAGE = 100


def record(number: int) -> bytes:
    """Return one item of the history as the seed shows it."""
    name = f"gen_01j9x{number:07d}"
    item = {
        "id": name,
        "type": "image",
        "model": "flux-1.1-pro",
        "status": "completed",
        "prompt": "Portrait of a CEO in a modern office",
        "url": f"https://storage.neuralbox.top/generations/{name}.webp",
        "tokens_used": 8,
        "created_at": "2026-03-08T12:02:30Z",
    }
    return json.dumps(item, separators=(",", ":")).encode()


class Listing(Site):
    """A history of so many items; `arriving=3` in a query lets so many new ones come after it is answered."""

    def __init__(self, behaviour: Behaviour, count: int) -> None:
        super().__init__(behaviour)
        self._count = count
        self._head = answer({}).rpartition(b"\r\n\r\n")[0].replace(b"Content-Length: 2", b"Content-Length: %d")
        self._begin()

    def _begin(self) -> None:
        self._items = [record(number) for number in range(self._count, 0, -1)]

    def reply(self, method: str, target: str, body: bytes) -> bytes | list[bytes]:  # noqa: ARG002 - as `Site` is asked
        """Answer one page."""
        asked = {name: values[0] for name, values in parse_qs(target.partition("?")[2]).items()}
        if "page" not in asked:
            self._begin()
            return answer({})
        page, limit, arriving = int(asked["page"]), int(asked["limit"]), int(asked.get("arriving", "0"))
        total = len(self._items)
        shown = b",".join(self._items[(page - 1) * limit : page * limit])
        pages = -(-total // limit)
        content = b'{"items":[%b],"total":%d,"page":%d,"limit":%d,"pages":%d}' % (shown, total, page, limit, pages)
        if arriving:
            self._items[:0] = [record(total + more) for more in range(arriving, 0, -1)]
        return self._head % len(content) + b"\r\n\r\n" + content


_RECORD = record(0).replace(b"0000000", b"%07d")
_PAGE_OF = b",".join([_RECORD] * PAGE)


class GrowingHistory(Site):
    """A history of so many generations, none of which is kept; `GET /more` adds some and tells how often it was asked."""

    def __init__(self, behaviour: Behaviour, count: int) -> None:
        super().__init__(behaviour)
        self._count = count
        self._asked = 0
        self._head = answer({}).rpartition(b"\r\n\r\n")[0].replace(b"Content-Length: 2", b"Content-Length: %d")

    def reply(self, method: str, target: str, body: bytes) -> bytes | list[bytes]:  # noqa: ARG002 - as `Site` is asked
        """Answer one page, or what else is asked."""
        path, _, text = target.partition("?")
        if path.endswith("/user/me"):
            return answer({"id": 7, "plan": "elite"})
        if path == "/more":
            self._count += int(parse_qs(text)["count"][0])
            asked, self._asked = self._asked, 0
            return answer({"asked": asked})
        self._asked += 1
        page = int(parse_qs(text)["page"][0])
        newest = self._count - (page - 1) * PAGE
        shown = range(newest, max(0, newest - PAGE), -1)
        items = (_PAGE_OF if len(shown) == PAGE else b",".join([_RECORD] * len(shown))) % tuple(
            number for number in shown for _ in range(_RECORD.count(b"%07d"))
        )
        content = b'{"items":[%b],"total":%d,"page":%d,"limit":%d,"pages":%d}' % (
            items,
            self._count,
            page,
            PAGE,
            -(-self._count // PAGE),
        )
        return self._head % len(content) + b"\r\n\r\n" + content


SITES: Mapping[str, Callable[[int], Site]] = {
    "paging": lambda count: Listing(Behaviour(latency=LATENCY), count),
    "export": lambda count: GrowingHistory(Behaviour(), count),
}


async def serve(site: Site) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(site, loop), HOST, 0, backlog=128)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        over = asyncio.Event()
        loop.add_reader(sys.stdin.fileno(), lambda: over.set() if not os.read(sys.stdin.fileno(), 1024) else None)
        await over.wait()
        loop.remove_reader(sys.stdin.fileno())


def serving(site: str, count: int) -> AbstractContextManager[str]:
    """Run one of `SITES` in a process of its own, and hand out its address."""
    return started("benchmarks.listings", site, str(count))


if __name__ == "__main__":
    asyncio.run(serve(SITES[sys.argv[1]](int(sys.argv[2]))))
