"""The other side for the archive's tests: a history and its storage in one function, and what a mirror must be.

It is not `tests.service`, because what is archived are items as services have written them, odd ones among them, which nobody sold;
it answers a client's own HTTP, so that the files are fetched as they are from a storage.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

STORAGE = "https://storage.test"
ACCOUNT = 1001


class Service:
    """A NeuralBox with a history of made-up items.

    Attributes:
        items: Newest first, as the page dialect or the seed writes them.
        details: What asking for one adds.
        files: Content and media type by address.
        gone: Addresses that answer 410.
        lost: Addresses that answer 404.
        asked: How often each path was asked for.
        pages: What was asked for of each page of the history.
        me: The answer of `user/me`, or a status.
    """

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.details: dict[str, dict[str, Any]] = {}
        self.files: dict[str, tuple[bytes, str]] = {}
        self.gone: set[str] = set()
        self.lost: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.pages: list[dict[str, str]] = []
        self.fetched: list[str] = []
        self.me: dict[str, Any] | int = {"id": ACCOUNT, "plan": "vip"}

    def image(self, identity: int | str, *, ending: str = ".webp", created_at: str = "", **more: Any) -> str:
        """Add an image with its file."""
        url = f"{STORAGE}/{identity}{ending}"
        self.files[url] = (webp(str(identity)), "image/webp")
        when = {"created_at": created_at} if created_at else {}
        self.items.insert(0, {"id": identity, "type": "image", "status": "completed", "url": url, **when, **more})
        return url

    def text(self, identity: int | str, text: str | None) -> None:
        """Add a text; None where the list does not have it, as in the seed."""
        told = {} if text is None else {"result_text": text}
        self.items.insert(0, {"id": identity, "type": "text", "status": "completed", "prompt": "Say", **told})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        url, path = str(request.url.copy_with(query=None)), request.url.path.removeprefix("/api/v2")
        self.asked[path if request.url.host == "box.test" else url] += 1
        if request.url.host != "box.test":
            self.fetched.append(url)
            return self._file(url)
        if path == "/user/me":
            return httpx.Response(self.me) if isinstance(self.me, int) else httpx.Response(200, json=self.me)
        if path == "/user/history":
            return self._page(request.url.params)
        found = self.details.get(path.rpartition("/")[2])
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    def _page(self, asked: Mapping[str, str]) -> httpx.Response:
        self.pages.append(dict(asked))
        page, limit = int(asked["page"]), int(asked["limit"])
        found = [one for one in self.items if asked.get("type") in {None, one["type"]}]
        shown = found[(page - 1) * limit : page * limit]
        return httpx.Response(200, json={"items": shown, "total": len(found), "page": page, "limit": limit})

    def _file(self, url: str) -> httpx.Response:
        if url in self.gone:
            return httpx.Response(410)
        if url in self.lost:
            return httpx.Response(404)
        if url not in self.files:
            return httpx.Response(503)
        content, media_type = self.files[url]
        return httpx.Response(200, content=content, headers={"content-type": media_type})


def webp(text: str) -> bytes:
    """Something that begins like a picture."""
    return b"RIFF\x00\x00\x00\x00WEBP" + text.encode()


def lines_of(directory: Path) -> list[dict[str, Any]]:
    """The manifest's lines."""
    return [json.loads(line) for line in (directory / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def mirror_of(directory: Path) -> dict[str, bytes]:
    """The files of a mirror by id and part, after making sure that the manifest says of each what is true."""
    latest = {(line["key"], line["part"]): line for line in lines_of(directory)}
    found = {}
    for (key, part), line in latest.items():
        if line["state"] == "saved":
            content = (directory / line["path"]).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (line["bytes"], line["sha256"])
            found[f"{key}/{part}"] = content
    names = {line["path"] for line in latest.values() if line["path"]}
    assert names_in(directory) == names
    return found


def names_in(directory: Path) -> set[str]:
    """The results that are there, by path."""
    every = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    return {path.as_posix() for path in every if path.parts[0] not in {".neuralbox", "manifest.jsonl"}}
