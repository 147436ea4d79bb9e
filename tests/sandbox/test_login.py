"""People: four ways in, tokens that expire, a cookie that works once."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api, Start

WIDGET = {"id": 77, "first_name": "Ada", "username": "ada", "auth_date": 1_772_971_000, "hash": "abc"}
WAYS: dict[str, dict[str, Any]] = {
    "telegram": WIDGET,
    "login": {"email": "ada@example.com", "password": "secret"},
    "login-phone": {"phone": "+79001234567", "password": "secret"},
    "google": {"code": "4/abc", "redirect_uri": "https://example.com/back"},
}


def bearer(reply: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {reply.json()['access_token']}"}


@pytest.mark.parametrize("way", WAYS)
def test_a_login_answers_a_token_the_user_and_a_cookie(api: Api, way: str) -> None:
    reply = api.post(f"/auth/{way}", WAYS[way], headers={"Authorization": ""})
    body = reply.json()
    assert reply.status_code == 200, reply.text
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    assert body["access_token"].startswith("eyJ")
    assert set(body["user"]) == {"id", "name", "plan", "token_balance"}
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith("refresh_token=")
    assert "HttpOnly" in cookie
    assert api.get("/user/me", headers=bearer(reply)).json()["id"] == body["user"]["id"]


def test_the_same_person_has_the_same_account(api: Api) -> None:
    first = api.post("/auth/login", WAYS["login"]).json()["user"]
    again = api.post("/auth/login", {**WAYS["login"], "password": "other"}).json()["user"]
    assert first == again


def test_a_token_expires_and_the_cookie_brings_a_new_one_once(api: Api) -> None:
    reply = api.post("/auth/login", WAYS["login"])
    old_cookie = dict(api.http.cookies)
    api.clock.advance(899)
    assert api.get("/user/me", headers=bearer(reply)).status_code == 200
    api.clock.advance(1)
    expired = api.get("/user/me", headers=bearer(reply))
    assert (expired.status_code, expired.json()["error"]) == (401, "token_expired")

    fresh = api.http.post("/auth/refresh")
    assert set(fresh.json()) == {"access_token", "expires_in"}
    assert api.get("/user/me", headers=bearer(fresh)).json()["email"] == "ada@example.com"

    api.http.cookies.clear()
    reused = api.http.post("/auth/refresh", headers={"Cookie": f"refresh_token={old_cookie['refresh_token']}"})
    assert (reused.status_code, reused.json()["error"]) == (401, "not_authenticated")


def test_a_cookie_expires(api: Api) -> None:
    api.post("/auth/login", WAYS["login"])
    cookie = api.http.cookies["refresh_token"]
    api.http.cookies.clear()
    api.clock.advance(30 * 86_400)
    reply = api.http.post("/auth/refresh", headers={"Cookie": f"refresh_token={cookie}"})
    assert reply.status_code == 401


def test_a_token_of_another_sandbox_is_refused(api: Api, start: Start) -> None:
    reply = start(seed=1).post("/auth/login", WAYS["login"])
    assert api.get("/user/me", headers=bearer(reply)).json()["error"] == "not_authenticated"


def test_a_person_on_a_low_plan_may_use_the_models_of_that_plan(api: Api) -> None:
    reply = api.post("/auth/login", {"email": "plan_starter_1@example.com", "password": "x"})
    assert reply.json()["user"]["plan"] == "free"
    headers = bearer(reply)
    balance = api.get("/user/balance", headers=headers).json()
    assert (balance["plan"], balance["plan_expires_at"]) == ("free", None)
    assert api.post("/generate", {"model": "gpt-5-nano", "prompt": "x"}, headers=headers).status_code == 200
    refused = api.post("/generate", {"model": "gpt-5", "prompt": "x"}, headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_plan")


@pytest.mark.parametrize(
    ("way", "change", "status"),
    [
        ("telegram", {"id": None}, 400),
        ("telegram", {"id": "77"}, 422),
        ("telegram", {"hash": None}, 400),
        ("login", {"email": "ada"}, 422),
        ("login", {"password": None}, 400),
        ("login", {"password": "wrong"}, 401),
        ("login-phone", {"phone": "8 900"}, 422),
        ("login-phone", {"password": "wrong"}, 401),
        ("google", {"redirect_uri": None}, 400),
        ("google", {"code": ""}, 422),
    ],
)
def test_a_login_that_lacks_something_is_refused(api: Api, way: str, change: dict[str, Any], status: int) -> None:
    assert api.post(f"/auth/{way}", {**WAYS[way], **change}).status_code == status


def test_a_telegram_user_may_have_no_name(api: Api) -> None:
    user = api.post("/auth/telegram", {"id": 78, "auth_date": 1, "hash": "x"}).json()["user"]
    assert user["name"] == "Telegram 78"
