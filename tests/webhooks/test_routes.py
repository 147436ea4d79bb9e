"""Webhooks in a web application: the starlette route, and the Flask recipe of the guide, over their own test clients."""

from __future__ import annotations

from email.message import Message
from pathlib import Path
from typing import Any

import httpx
import pytest
import werkzeug.datastructures
from starlette.applications import Starlette
from starlette.datastructures import Headers

from neuralbox import ConfigurationError, WebhookError
from neuralbox.webhooks import WebhookEvent, WebhookReceiver, starlette_route
from tests.geminigen.support import client as gemini_client

from .test_events import PUBLIC, signed, theirs

pytestmark = pytest.mark.anyio

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "webhooks.md").read_text(encoding="utf-8")


class Told:
    """A client that keeps what it is told."""

    service_name = "geminigen"

    def __init__(self) -> None:
        self.events: list[WebhookEvent] = []

    def notify(self, event: WebhookEvent) -> bool:
        self.events.append(event)
        return True


async def post(app: Any, body: bytes, signature: str | None) -> int:
    headers = {} if signature is None else {"X-Signature": signature}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hooks.test") as client:
        return (await client.post("/hooks/geminigen", content=body, headers=headers)).status_code


async def test_the_route_takes_what_is_signed_once_and_answers_as_the_service_expects() -> None:
    told, seen = Told(), list[str]()

    async def on_event(event: WebhookEvent) -> None:
        seen.append(str(event.generation_id))
        if event.generation_id == "broken" and len(seen) < 3:
            raise OSError("the database is away")

    receiver = WebhookReceiver(told, public_key=PUBLIC)  # type: ignore[arg-type]
    app = Starlette(routes=[starlette_route("/hooks/geminigen", receiver, on_event=on_event)])
    assert await post(app, theirs(), signed("e1")) == 200
    assert await post(app, theirs(), signed("e1")) == 200  # a replay
    assert (len(told.events), seen) == (1, ["g1"])
    assert await post(app, theirs("e2"), signed("e1")) == 401
    assert await post(app, theirs("e2"), None) == 401
    assert await post(app, b"no", signed("e1")) == 400
    assert (len(told.events), seen) == (1, ["g1"])
    assert await post(app, theirs("e3", "broken"), signed("e3")) == 500
    assert await post(app, theirs("e3", "broken"), signed("e3")) == 200  # sent again, and taken
    assert seen == ["g1", "broken", "broken"]


async def test_what_is_too_long_is_not_read_to_its_end() -> None:
    app = Starlette(routes=[starlette_route("/hooks", WebhookReceiver(Told()))])  # type: ignore[arg-type]
    asked, sent = list[int](), list[Any]()

    async def receive() -> dict[str, Any]:
        asked.append(1)
        return {"type": "http.request", "body": b" " * 100_000, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/hooks", "headers": [], "query_string": b""}, receive, send)
    assert (sent[0]["status"], len(asked)) == (413, 3)


async def test_a_route_without_a_key_or_a_function_only_notifies() -> None:
    async with gemini_client(lambda request: httpx.Response(500)) as gg:
        app = Starlette(routes=[starlette_route("/hooks/geminigen", WebhookReceiver(gg))])
        assert await post(app, theirs(), None) == 200


def test_the_flask_recipe_of_the_guide_works(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = GUIDE.partition("## Flask")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.setenv("GEMINIGEN_API_KEY", "k")
    monkeypatch.setenv("GEMINIGEN_PUBLIC_KEY", PUBLIC)
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(recipe, names)
    browser = names["app"].test_client()

    def answered(body: bytes, signature: str) -> int:
        status: int = browser.post("/hooks/geminigen", data=body, headers={"X-Signature": signature}).status_code
        return status

    assert answered(theirs(), signed("e1")) == 200
    assert answered(theirs(), signed("e1")) == 200
    assert answered(theirs("e2"), signed("e1")) == 401
    assert answered(b"no", "") == 400
    names["gg"].close()


def headers_of(signature: str) -> dict[str, Any]:
    kept = Message()
    kept["X-Signature"] = signature
    return {
        "a dictionary": {"X-Signature": signature},
        "starlette": Headers({"x-signature": signature}),
        "werkzeug": werkzeug.datastructures.Headers([("X-SIGNATURE", signature)]),
        "http.server": kept,
        "pairs": [("Content-Type", "application/json"), ("X-Signature", signature)],
        "the scope of ASGI": [(b"content-type", b"application/json"), (b"x-signature", signature.encode())],
        "bytes by name": {b"X-Signature": signature.encode()},
        "aiohttp's raw ones": ((b"X-Signature", signature.encode()),),
    }


@pytest.mark.parametrize("framework", headers_of(""))
def test_headers_may_have_the_shape_that_a_framework_gives_them(framework: str) -> None:
    receiver = WebhookReceiver("geminigen", public_key=PUBLIC)
    assert receiver.receive(theirs(), headers_of(signed("e1"))[framework]) is not None
    with pytest.raises(WebhookError, match="not one of this event"):
        receiver.receive(theirs("e2"), headers_of(signed("e1"))[framework])
    with pytest.raises(WebhookError, match="has no signature"):
        receiver.receive(theirs("e2"), [])


def test_a_key_that_is_none_is_refused_before_any_event_comes() -> None:
    with pytest.raises(ConfigurationError, match="must be a public key in PEM"):
        WebhookReceiver("geminigen", public_key="")
    with pytest.raises(ConfigurationError, match="`client` is a client, 'neuralbox' or 'geminigen'; it is None"):
        WebhookReceiver(None)  # type: ignore[arg-type]
