"""`with_raw_response`: every call of every resource once more, which sends the same and shows the HTTP reply."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from neuralbox import _errors as errors
from neuralbox._client import AsyncNeuralBox
from neuralbox._codegen.raw_responses import WITHOUT
from neuralbox._core.credentials import Session
from neuralbox._models.generation import Generation
from neuralbox._models.page import Page
from neuralbox._raw import RawResources
from tests.helpers import KEY, make_client

LIMITS = {"X-RateLimit-Remaining-Hour": "99", "X-Request-Id": "r1"}


def resources(kind: type) -> dict[str, Any]:
    return {name: value for name, value in vars(kind).items() if isinstance(value, cached_property)}


def calls(resource: object) -> set[str]:
    """Names of what may be awaited: coroutine methods, and the listing."""
    return {
        name
        for name, value in inspect.getmembers(type(resource), callable)
        if not name.startswith("_") and (inspect.iscoroutinefunction(value) or name in ("list", "stream"))
    }


def test_every_call_of_every_resource_is_there_with_the_same_signature() -> None:
    client = make_client(lambda request: httpx.Response(200))
    missing = []
    for name in resources(AsyncNeuralBox):
        if name == "with_raw_response" or name in WITHOUT:
            continue
        resource, raw = getattr(client, name), getattr(client.with_raw_response, name, None)
        for call in calls(resource):
            place = f"{name}.{call}"
            if place in WITHOUT:
                assert not hasattr(raw, call)
            elif not hasattr(raw, call):
                missing.append(place)
            else:
                found, expected = inspect.signature(getattr(raw, call)), inspect.signature(getattr(resource, call))
                assert found.parameters == expected.parameters
                assert getattr(raw, call).__doc__ == getattr(resource, call).__doc__
    assert missing == []


def test_nothing_is_raw_that_is_not_a_resource() -> None:
    assert set(resources(RawResources)) <= set(resources(AsyncNeuralBox))


RECORD = {
    "id": 7,
    "status": "completed",
    "result_text": "t",
    "items": [],
    "slug": "gpt-5",
    "access_token": "t",
    "expires_in": 900,
}

CALLS: dict[str, Callable[[Any], Any]] = {
    "generate.create": lambda nb: nb.generate.create(model="m", prompt="x"),
    "generate.submit": lambda nb: nb.generate.submit(model="m", prompt="x"),
    "text.create": lambda nb: nb.text.create(model="m", prompt="x"),
    "text.submit": lambda nb: nb.text.submit(model="m", prompt="x"),
    "images.create": lambda nb: nb.images.create(model="m", prompt="x"),
    "images.submit": lambda nb: nb.images.submit(model="m", prompt="x"),
    "videos.create": lambda nb: nb.videos.create(model="m", prompt="x"),
    "videos.submit": lambda nb: nb.videos.submit(model="m", prompt="x"),
    "speech.create": lambda nb: nb.speech.create(model="m", text="x"),
    "speech.submit": lambda nb: nb.speech.submit(model="m", text="x"),
    "transcriptions.submit": lambda nb: nb.transcriptions.submit(audio=b"x", file_name="a.mp3"),
    "transcriptions.create": lambda nb: nb.transcriptions.create(audio=b"x", file_name="a.mp3"),
    "music.create": lambda nb: nb.music.create(model="m", prompt="x"),
    "music.submit": lambda nb: nb.music.submit(model="m", prompt="x"),
    "tools.create": lambda nb: nb.tools.create(model="m", prompt="x"),
    "tools.submit": lambda nb: nb.tools.submit(model="m", prompt="x"),
    "generations.get": lambda nb: nb.generations.get(7),
    "history.list": lambda nb: nb.history.list(),
    "history.favorite": lambda nb: nb.history.favorite(7),
    "history.rate": lambda nb: nb.history.rate(7, 5),
    "history.delete": lambda nb: nb.history.delete(7),
    "account.balance": lambda nb: nb.account.balance(),
    "account.me": lambda nb: nb.account.me(),
    "account.limits": lambda nb: nb.account.limits(),
    "account.update": lambda nb: nb.account.update(name="x"),
    "account.stats": lambda nb: nb.account.stats(),
    "models.list": lambda nb: nb.models.list(),
    "models.get": lambda nb: nb.models.get("x"),
    "models.price": lambda nb: nb.models.price("x", size="1024x1024"),
    "keys.create": lambda nb: nb.keys.create(name="x"),
    "keys.rename": lambda nb: nb.keys.rename(1, name="x"),
    "keys.revoke": lambda nb: nb.keys.revoke(1),
    "assistants.create": lambda nb: nb.assistants.create(name="x"),
    "assistants.marketplace": lambda nb: nb.assistants.marketplace(),
    "auth.login": lambda nb: nb.auth.login(email="a@b", password="x"),
    "auth.login_phone": lambda nb: nb.auth.login_phone(phone="+7", password="x"),
    "auth.telegram": lambda nb: nb.auth.telegram({"id": 1, "hash": "h"}),
    "auth.google": lambda nb: nb.auth.google(code="c", redirect_uri="https://a.test"),
    "auth.refresh": lambda nb: nb.auth.refresh(),
}


# Whose replies are not those of one call to the service; each has tests below.
SHOWN_APART = {"text.stream", "files.download", "files.read", "generations.wait"}


def test_every_raw_call_is_called_below() -> None:
    client = make_client(lambda request: httpx.Response(200))
    raws = {
        f"{name}.{call}"
        for name in resources(RawResources)
        for call in dir(getattr(client.with_raw_response, name))
        if not call.startswith("_")
    }
    assert raws == set(CALLS) | SHOWN_APART


@pytest.mark.anyio
@pytest.mark.parametrize("name", CALLS)
async def test_a_raw_call_sends_the_same_and_returns_reply_and_value(name: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        request.read()
        seen.append((request.method, str(request.url), request.headers.get("content-type", "").partition(";")[0]))
        return httpx.Response(200, json=RECORD, headers=LIMITS)

    seen: list[tuple[str, str, str]] = []
    options: dict[str, Any] = {"session": Session("token")} if name.startswith("auth.") else {}
    if name == "account.limits":
        options["pace"] = "off"  # else nothing is sent where they are known
    async with make_client(handler, **options) as client:
        plain = await CALLS[name](client)
        raw = await CALLS[name](client.with_raw_response)
    assert seen[0] == seen[1]
    assert len(seen) == 2
    assert (raw.status_code, raw.attempts, raw.json()) == (200, 1, RECORD)
    assert raw.headers["x-ratelimit-remaining-hour"] == raw.headers["X-RATELIMIT-Remaining-Hour"] == "99"
    assert type(raw.value) is type(plain)
    if isinstance(plain, Generation | Page):
        assert raw.value == plain
    assert KEY not in repr(raw)
    assert "result_text" not in repr(raw)


@pytest.mark.anyio
async def test_of_a_waited_for_generation_it_is_the_answer_to_the_submission() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and not tries:
            tries.append(1)
            return httpx.Response(503, json={"error": "model_unavailable"})
        status = "pending" if request.method == "POST" else "completed"
        return httpx.Response(202 if request.method == "POST" else 200, json={"id": 7, "status": status})

    tries: list[int] = []
    async with make_client(handler) as client:
        raw = await client.with_raw_response.videos.create(model="kling-v2.1", prompt="x")
    assert (raw.status_code, raw.attempts, raw.json()["status"], raw.value.status) == (202, 2, "pending", "completed")


@pytest.mark.anyio
async def test_of_a_balance_at_its_second_path_it_is_the_answer_there() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v2/balance":
            return httpx.Response(404, json={"error": "not_found"})
        return httpx.Response(200, json={"token_balance": 5})

    async with make_client(handler) as client:
        raw = await client.with_raw_response.account.balance()
    assert (raw.status_code, raw.value.token_balance) == (200, 5)


@pytest.mark.anyio
async def test_limits_that_are_known_come_without_a_reply() -> None:
    async with make_client(lambda _: httpx.Response(200, json=RECORD, headers=LIMITS)) as client:
        first = await client.with_raw_response.account.limits()
        second = await client.with_raw_response.account.limits()
    assert (first.status_code, second.status_code) == (200, 0)
    assert first.value == second.value


@pytest.mark.anyio
async def test_of_a_delete_that_was_lost_it_is_the_answer_that_came() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        tries.append(1)
        if len(tries) == 1:
            raise httpx.ReadError("cut", request=request)
        return httpx.Response(404, json={"error": "not_found"})

    tries: list[int] = []
    async with make_client(handler) as client:
        raw = await client.with_raw_response.history.delete(7)
    assert (raw.status_code, raw.attempts, raw.value) == (404, 2, None)


@pytest.mark.anyio
async def test_a_refusal_is_raised_as_by_the_plain_call() -> None:
    async with make_client(lambda request: httpx.Response(403, json={"error": "insufficient_plan"})) as client:
        with pytest.raises(errors.PermissionDeniedError):
            await client.with_raw_response.text.create(model="gpt-5", prompt="x")


@pytest.mark.anyio
async def test_a_body_that_is_not_json_can_be_had_as_bytes() -> None:
    async with make_client(lambda request: httpx.Response(204)) as client:
        raw = await client.with_raw_response.keys.revoke(41)
    assert (raw.status_code, raw.content) == (204, b"")
    with pytest.raises(errors.ProtocolError):
        raw.json()


# Files, waits and streams.


@pytest.mark.anyio
async def test_of_a_file_it_is_the_storages_answer(tmp_path: Path) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "storage.test":
            return httpx.Response(200, content=b"film", headers={"ETag": '"v1"', "Content-Type": "video/mp4"})
        record = {"id": 7, "status": "completed", "result_url": "https://storage.test/7.mp4"}
        return httpx.Response(200, json=record, headers=LIMITS)

    async with make_client(handler) as client:
        saved = await client.with_raw_response.files.download(client.job(7), tmp_path / "film.mp4")
        again = await client.with_raw_response.files.download(client.job(7), tmp_path / "film.mp4", overwrite="skip")
        read = await client.with_raw_response.files.read("https://storage.test/7.mp4")
    assert (saved.status_code, saved.headers["etag"], saved.content, saved.attempts) == (200, '"v1"', b"", 1)
    assert saved.value.read_bytes() == read.value == b"film"
    assert read.headers["content-type"] == "video/mp4"
    assert (again.status_code, dict(again.headers), again.attempts, again.value) == (0, {}, 0, saved.value)


@pytest.mark.anyio
async def test_of_a_wait_it_is_the_first_answer_it_asked_for() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": 7, "status": "completed", "result_text": "t"}, headers=LIMITS)

    async with make_client(handler) as client:
        raw = await client.with_raw_response.generations.wait([7])
        nothing = await client.with_raw_response.generations.wait([])
    assert (raw.status_code, raw.headers["x-request-id"], raw.json()["id"]) == (200, "r1", 7)
    assert [generation.id for generation in raw.value] == [7]
    assert (nothing.status_code, nothing.attempts, [*nothing.value]) == (0, 0, [])


@pytest.mark.anyio
async def test_of_a_stream_it_is_the_reply_it_opened_with() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        tries.append(1)
        if len(tries) == 1:
            return httpx.Response(503, json={"error": "model_unavailable"})
        return httpx.Response(200, content=body, headers={"Content-Type": "text/event-stream", **LIMITS})

    tries: list[int] = []
    body = 'data: {"type": "content_delta", "delta": "Hi"}\n\ndata: [DONE]\n\n'
    async with make_client(handler) as client:
        stream = client.with_raw_response.text.stream(model="gpt-5", prompt="x")
        assert tries == []
        async with stream as raw:
            assert (raw.status_code, raw.attempts, raw.content) == (200, 2, b"")
            assert raw.headers["x-request-id"] == "r1"
            assert [delta async for delta in raw.value] == ["Hi"]
        assert raw.value.result.text == "Hi"


def test_what_a_stream_refuses_is_refused_at_once() -> None:
    client = make_client(lambda request: httpx.Response(200))
    with pytest.raises(errors.ConfigurationError, match="Pass `prompt` or `messages`"):
        client.with_raw_response.text.stream(model="gpt-5")
