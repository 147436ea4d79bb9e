"""Whatever is sent to the sandbox is answered as documented: no 500, and nothing accepted that breaks what is asked later."""

from __future__ import annotations

import asyncio
import json
import random
import string
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from neuralbox.sandbox import Sandbox, serve

from .conftest import Api

PREFIX = "/api/v2"
HALF = b'"\\ud83d"'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/generate", b'{"model": "gpt-5", "prompt": %b}'),
        ("POST", "/generate", b'{"model": "dall-e-3", "prompt": %b}'),
        ("POST", "/generate", b'{"model": "dall-e-3", "prompt": "x", "unknown": [{"a": %b}]}'),
        ("POST", "/keys", b'{"name": %b}'),
        ("PATCH", "/user/me", b'{"name": %b}'),
        ("POST", "/assistants", b'{"name": %b, "model": "gpt-5"}'),
        ("POST", "/auth/login", b'{"email": %b, "password": "x"}'),
        ("POST", "/auth/google", b'{"code": %b, "redirect_uri": "x"}'),
        ("POST", "/auth/telegram", b'{"id": 1, "auth_date": 1, "hash": "x", "username": %b}'),
    ],
)
def test_half_a_character_is_a_bad_request_and_breaks_nothing(api: Api, method: str, path: str, body: bytes) -> None:
    for half in (HALF, b'"\xed\xa0\xbd"'):
        reply = api.http.request(method, path, content=body % half)
        assert (reply.status_code, reply.json()["error"]) == (400, "bad_request")
        assert "half a character" in reply.json()["message"]
    assert api.post("/generate", {"model": "dall-e-3", "prompt": "whole \U0001f600"}).status_code == 200
    assert api.get("/user/history").json()["items"][0]["prompt"] == "whole \U0001f600"
    assert api.get("/user/me").status_code == 200


def test_json_that_is_nested_without_end_is_a_bad_request(api: Api) -> None:
    for deep in (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"a":' * 50_000 + b"1" + b"}" * 50_000):
        reply = api.http.post("/generate", content=deep)
        assert (reply.status_code, reply.json()["error"]) == (400, "bad_request")
        assert "nested too deeply" in reply.json()["message"]


def test_numbers_of_any_length_are_read(api: Api) -> None:
    digits = "9" * 5_000
    for name in ("page", "items_per_page"):
        reply = api.http.get(f"{api.url}/uapi/v1/histories?{name}={digits}", headers={"x-api-key": "nb_digits"})
        assert reply.status_code == 422
    for name in ("page", "limit"):
        assert api.get(f"/user/history?{name}={digits}").status_code == 422
    url = api.make("dall-e-3")["result_url"]
    whole = api.http.get(url).content

    def part(wanted: str) -> httpx.Response:
        return api.http.get(url, headers={"Range": f"bytes={wanted}"})

    assert part(f"{digits}-").status_code == 416
    assert part(f"-{digits}").content == part(f"0-{digits}").content == part(f"{'0' * 5_000}-").content == whole
    assert part(f"-{'0' * 5_000}").status_code == 416
    assert part(f"-{'0' * 5_000}2").content == whole[-2:]
    assert (
        api.http.post("/generate", content=b'{"model": "dall-e-3", "seed": ' + digits.encode() + b"}").status_code
        == 400
    )


def test_a_role_that_is_no_text_is_refused(api: Api) -> None:
    reply = api.post("/generate", {"model": "gpt-5", "messages": [{"role": ["user"], "content": "x"}]})
    assert reply.status_code == 422
    assert "messages.0.role" in reply.json()["details"]["fields"]


# The host.


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.0.2.1", "[::ffff]", ""]
)
def test_a_host_that_is_not_this_machine_is_refused(api: Api, host: str) -> None:
    before = api.sandbox.ledger.requests
    reply = api.get("/balance", headers={"Host": host})
    assert (reply.status_code, reply.json()["error"]) == (400, "bad_request")
    assert "--allow-host" in reply.json()["message"]
    assert api.sandbox.ledger.requests == before


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.:1", "box.localhost:8765", "127.3.2.1", "[::1]:80", "127.0.0.1:9"]
)
def test_this_machine_has_many_names(api: Api, host: str) -> None:
    assert api.get("/balance", headers={"Host": host}).status_code == 200


def test_hosts_that_are_named_are_answered() -> None:
    with serve(Sandbox(), allowed_hosts=("Box.Test", "10.0.0.7")) as server:
        headers = {"Authorization": "Bearer nb_host"}
        for host, status in (("box.test:80", 200), ("10.0.0.7", 200), ("10.0.0.8", 400), ("other.test", 400)):
            reply = httpx.get(f"{server.url}/api/v2/balance", headers={**headers, "Host": host}, trust_env=False)
            assert reply.status_code == status


# A thousand requests at random.

FIELDS = [
    "model",
    "prompt",
    "text",
    "messages",
    "params",
    "seed",
    "size",
    "duration",
    "temperature",
    "max_tokens",
    "stream",
    "aspect_ratio",
    "voice_id",
    "format",
    "speed",
    "assistant_id",
    "count",
    "role",
    "content",
    "type",
    "image_url",
    "quality",
    "style",
    "name",
    "rating",
    "email",
    "password",
    "id",
    "hash",
    "auth_date",
    "phone",
]
WORDS = (
    "", " ", "x", "gpt-5", "dall-e-3", "kling-v2.1", "openai-tts", "musicgen", "midjourney-v6", "1024x1024", "16:9", "user",
    "alloy", "mp3", "\0", "\u202e", "9" * 50, "../x", "\U0001f600", "http://x", "whisper", "free",
)  # fmt: skip
NUMBERS = (None, True, False, 0, -1, 1, 2**200, -(2**63), 1e308, float("nan"), float("inf"), 5, 15, 10**18, 0.7)
PATHS = (
    "/generate", "/generate", "/generate/stream", "/keys", "/assistants", "/models/gpt-5/calculate-price", "/stt", "/user/me",
    "/auth/login", "/auth/telegram", "/auth/login-phone", "/auth/google", "/auth/refresh", "/user/history/18473/rate",
)  # fmt: skip
QUERIES = ("page", "limit", "type", "status", "model", "favorites_only", "items_per_page", "filter_by", "category")


class Fuzz:
    """Requests at random, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        kind = self.rng.randrange(9 if depth < 3 else 6)
        if kind < 2:
            return self.rng.choice(NUMBERS)
        if kind < 5:
            return self.rng.choice((*WORDS, "".join(self.rng.choices(string.printable, k=20))))
        if kind < 6:
            return self.rng.random() * 1_000 - 500
        if kind < 7:
            return [self.value(depth + 1) for _ in range(self.rng.randrange(4))]
        return {self.rng.choice(FIELDS): self.value(depth + 1) for _ in range(self.rng.randrange(5))}

    def with_a_body(self) -> dict[str, Any]:
        body = {name: self.value() for name in self.rng.sample(FIELDS, self.rng.randrange(1, 7))}
        if self.rng.random() < 0.8:
            models = ("gpt-5", "dall-e-3", "kling-v2.1", "openai-tts", "musicgen", "remove-bg", "midjourney-v6", "x")
            body |= {"model": self.rng.choice(models), "prompt": self.value()}
        content = json.dumps(body).encode()
        if self.rng.random() < 0.1:
            at = self.rng.randrange(len(content))
            content = content[:at] + self.rng.randbytes(3) + content[at + 3 :]
        kinds = ("application/json", "multipart/form-data", "multipart/form-data; boundary=x", "text/plain")
        path, method = PREFIX + self.rng.choice(PATHS), self.rng.choice(("POST", "POST", "POST", "PATCH", "DELETE"))
        return {"method": method, "url": path, "content": content, "headers": {"Content-Type": self.rng.choice(kinds)}}

    def with_a_form(self) -> dict[str, Any]:
        names = ("a.mp3", "a.exe", "", "\u202e.wav", "x" * 300 + ".mp3")
        files = {
            self.rng.choice(("audio", "file")): (self.rng.choice(names), self.rng.randbytes(self.rng.randrange(50)))
        }
        fields = {name: str(self.value()) for name in ("model", "language", "diarize") if self.rng.random() < 0.5}
        return {"method": "POST", "url": f"{PREFIX}/stt", "files": files, "data": fields}

    def with_a_query(self) -> dict[str, Any]:
        path = self.rng.choice(
            (f"{PREFIX}/user/history", "/uapi/v1/histories", f"{PREFIX}/models", f"{PREFIX}/assistants/marketplace")
        )
        texts = ("1", "0", "-1", "%EF%BC%91", "%C2%B2", "1e3", "9" * 5_000, "true", "video", "%00", "%ED%A0%80", "+7+")
        query = "&".join(f"{self.rng.choice(QUERIES)}={self.rng.choice(texts)}" for _ in range(self.rng.randrange(4)))
        return {"method": "GET", "url": f"{path}?{query}", "headers": {"x-api-key": "nb_fuzz"}}

    def for_a_path(self) -> dict[str, Any]:
        heads = (
            f"{PREFIX}/",
            f"{PREFIX}/generate/",
            "/uapi/v1/history/",
            "/storage/generations/",
            "/storage/thumbnails/",
            "/",
        )
        known = (
            "18473",
            "18473.webp",
            "18474.jpg",
            "gen_01",
            "".join(self.rng.choices("abz019.%/?&=#~:;@!$'()*+,_-", k=12)),
        )
        ranges = (
            "bytes=0-",
            "bytes=-5",
            "bytes=5-2",
            "bytes=" + "9" * 5_000 + "-",
            "bytes=-0",
            "items=1",
            "bytes=1-2,4-5",
        )
        headers = {"Range": self.rng.choice(ranges), "x-api-key": "nb_fuzz"}
        method = self.rng.choice(("GET", "GET", "HEAD", "DELETE", "PATCH", "PUT", "OPTIONS"))
        return {"method": method, "url": self.rng.choice(heads) + self.rng.choice(known), "headers": headers}


@pytest.mark.parametrize("dialect", ["A", "B"])
def test_no_request_makes_a_500(dialect: Any) -> None:
    sandbox, fuzz = Sandbox(speed=1_000, dialect=dialect, balance=10**9, enforce_limits=False), Fuzz(7)
    makers: list[Callable[[], dict[str, Any]]] = [
        fuzz.with_a_body, fuzz.with_a_body, fuzz.with_a_body, fuzz.with_a_form, fuzz.with_a_query, fuzz.for_a_path,
    ]  # fmt: skip

    async def run() -> set[int]:
        transport = httpx.ASGITransport(sandbox.app)  # what the application raises is raised here
        login = {"Authorization": "Bearer nb_fuzz"}
        seen: set[int] = set()
        async with httpx.AsyncClient(transport=transport, base_url="http://box.test") as client:
            for number in range(500):
                asked = fuzz.rng.choice(makers)()
                reply = await client.request(**{**asked, "headers": {**login, **asked.get("headers", {})}})
                seen.add(reply.status_code)
                assert reply.status_code < 500, asked
                if number % 50 == 49:
                    for path in (
                        f"{PREFIX}/user/history",
                        f"{PREFIX}/user/me",
                        f"{PREFIX}/user/stats",
                        "/uapi/v1/histories",
                    ):
                        assert (await client.get(path, headers={**login, "x-api-key": "nb_fuzz"})).status_code == 200
        return seen

    seen = asyncio.run(run())
    assert seen >= {200, 400, 404, 405, 422}
