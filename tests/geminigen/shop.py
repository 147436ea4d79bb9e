"""GeminiGen as a function in virtual time: it takes orders, charges for them, lists them, and loses answers as it is told.

It is not `tests.service`: forms, files, uuids and the states of the other service are what its tests are about, so it reads them itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from email.utils import formatdate
from typing import Any

import httpx

from tests.helpers import VirtualTime

RUNNING = 12.0


@dataclass
class Order:
    """What was ordered.

    Attributes:
        fields: The texts of a form, each in the order they came, or a JSON body.
        files: Field, name, media type and content of each file.
    """

    uuid: str
    path: str
    fields: Mapping[str, Any]
    files: list[tuple[str, str, str, bytes]]
    at: float

    @property
    def prompt(self) -> str:
        fields = self.fields
        if "blocks" in fields:
            return "\n".join(block["input"] for block in fields["blocks"])
        if "scenes" in fields:
            return "\n".join(scene["prompt"] for scene in json.loads(fields["scenes"][0]))
        if self.path.startswith("/document"):
            return self.files[0][1]
        return str(fields["input"]) if "input" in fields else str(fields["prompt"][0])

    @property
    def type(self) -> str:
        if self.path.startswith("/document"):
            return "tts-document"
        return (
            "tts-text" if "speech" in self.path or "tts" in self.path else "video" if "video" in self.path else "image"
        )


@dataclass
class GeminiShop:
    """A handler for `httpx.MockTransport`.

    Attributes:
        ends: How the POSTs end, in order: `answered` where it says no more; `lost` and `lost before`, `502`, a reply.
        item: Changes what the list shows of an order.
        estimates: Whether answers say what it will cost.
    """

    time: VirtualTime
    ends: list[Any] = field(default_factory=list)
    item: Callable[[dict[str, Any]], dict[str, Any]] = lambda item: item
    estimates: bool = False
    orders: list[Order] = field(default_factory=list)
    posts: int = 0
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        headers = {"date": formatdate(self.time.now(), usegmt=True)}
        path = request.url.path.removeprefix("/uapi/v1")
        self.asked.append(f"{request.method} {path}")
        if request.method == "POST":
            return self._order(path, request, headers)
        if path == "/histories":
            page, size = int(request.url.params["page"]), int(request.url.params["items_per_page"])
            items = [self.item(self.record(order)) for order in reversed(self.orders)]
            body = {"success": True, "total": len(items), "result": items[(page - 1) * size : page * size]}
            return httpx.Response(200, json=body, headers=headers)
        uuid = path.rpartition("/")[2]
        order = next(order for order in self.orders if order.uuid == uuid)
        return httpx.Response(200, json=self.record(order), headers=headers)

    def _order(self, path: str, request: httpx.Request, headers: dict[str, str]) -> httpx.Response:
        end = self.ends[self.posts] if self.posts < len(self.ends) else "answered"
        self.posts += 1
        request.read()
        if isinstance(end, httpx.Response):
            return end
        if end == "lost before":
            raise httpx.ReadError("broken")
        fields, files = read_form(request)
        order = Order(f"u-{len(self.orders) + 1}", path, fields, files, self.time.now())
        self.orders.append(order)
        if end == "lost":
            raise httpx.ReadError("broken")
        if end == "502":
            return httpx.Response(502, content=b"<html>bad gateway</html>", headers=headers)
        record = self.record(order)
        if "tts" in path:
            record = {"uuid": order.uuid, "status": 1, "used_credit": 0, "estimated_credit": 8}
        body = {"success": True, "result": record} if "tts" in path or "speech" in path else record
        return httpx.Response(200, json=body, headers=headers)

    def record(self, order: Order) -> dict[str, Any]:
        is_done = self.time.now() >= order.at + RUNNING
        url = f"https://cdn.test/{order.uuid}.bin" if is_done else ""
        more = {"estimated_credit": 4} if self.estimates else {}
        return {
            "id": int(order.uuid[2:]),
            "uuid": order.uuid,
            "model_name": str(order.fields.get("model", ["other"])[0]),
            "input_text": order.prompt,
            "generate_result": url,
            "type": order.type,
            "used_credit": 4 if is_done else 0,
            "status": 2 if is_done else 1,
            "created_at": datetime.fromtimestamp(order.at, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            **more,
        }


def read_form(request: httpx.Request) -> tuple[Mapping[str, Any], list[tuple[str, str, str, bytes]]]:
    """Read a body by another reader than the client's."""
    kind = request.headers["content-type"]
    if kind == "application/json":
        return json.loads(request.content), []
    assert kind.startswith("multipart/form-data")
    whole = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.content)
    fields: dict[str, list[str]] = {}
    files = []
    parts: Any = whole.get_payload()
    for part in parts:
        said = re.findall(r'(\w+)="([^"]*)"', part["content-disposition"])
        names, content = dict(said), part.get_payload(decode=True)
        if "filename" in names:
            files.append((names["name"], names["filename"], part.get_content_type(), content))
        else:
            assert part["content-type"] is None
            fields.setdefault(names["name"], []).append(content.decode())
    return fields, files
