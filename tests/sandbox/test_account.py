"""Keys, plans, limits, balance, profile, statistics, models, assistants."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._api import vocabulary as words

from .conftest import NOON, Api, Start


def error_of(reply: Any) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]


@pytest.mark.parametrize(
    "header", [None, "nb_test", "Basic nb_test", "Bearer", "Bearer sk-123", "Bearer nb_", "Bearer eyJ.eyJ.x"]
)
def test_anything_but_a_key_or_a_token_is_not_authenticated(api: Api, header: str | None) -> None:
    del api.http.headers["Authorization"]
    reply = api.get("/balance", headers={"Authorization": header} if header else {})
    assert error_of(reply) == (401, "not_authenticated")
    assert "x-ratelimit-limit-hour" not in reply.headers


def test_every_key_is_an_account_of_its_own(api: Api) -> None:
    text = api.make("gpt-5")
    other = api.as_key("nb_other")
    assert api.get("/balance").json()["token_balance"] == 99_998
    assert api.get("/balance", headers=other).json()["token_balance"] == 100_000
    assert api.get("/user/history", headers=other).json()["total"] == 0
    assert error_of(api.get(f"/generate/{text['id']}", headers=other)) == (404, "not_found")
    assert api.sandbox.ledger.balance("nb_test") == 99_998


@pytest.mark.parametrize("plan", ["free", "starter", "basic", "pro"])
def test_a_key_below_vip_is_refused_everywhere(api: Api, plan: str) -> None:
    reply = api.get("/balance", headers=api.as_key(f"nb_plan_{plan}_1"))
    assert error_of(reply) == (403, "insufficient_plan")
    assert reply.json()["details"] == {"plan": plan, "required": ["vip", "elite"]}


@pytest.mark.parametrize("plan", ["vip", "elite"])
def test_a_key_may_choose_its_plan(api: Api, plan: str) -> None:
    assert api.get("/balance", headers=api.as_key(f"nb_plan_{plan}_1")).json()["plan"] == plan


def test_a_price_above_the_balance_is_refused_and_costs_nothing(start: Start) -> None:
    api = start(balance=30)
    reply = api.post("/generate", {"model": "luma-ray2", "prompt": "A fox"})
    assert error_of(reply) == (402, "insufficient_tokens")
    assert reply.json()["details"] == {"required": 42, "available": 30}
    assert api.make("kling-v2.1")["status"] == "pending"


def test_a_pending_job_reserves_its_price_and_a_failed_one_gives_it_back(start: Start) -> None:
    api = start(balance=30)
    api.sandbox.faults.set("fail-generation", 1, times=1)
    api.make("kling-v2.1")
    assert api.get("/balance").json()["token_balance"] == 30
    assert error_of(api.post("/generate", {"model": "gpt-5.2-pro", "prompt": "x"})) == (402, "insufficient_tokens")
    assert error_of(api.post("/generate", {"model": "claude-opus-4.5", "prompt": "x"})) == (402, "insufficient_tokens")
    api.clock.advance(100)
    api.make("claude-opus-4.5")
    assert api.get("/balance").json()["token_balance"] == 24


# Limits.


def test_every_answer_to_an_account_says_what_is_left(start: Start) -> None:
    api = start(plan="vip")
    api.make("gpt-5")
    headers = api.get("/nothing-to-count", headers={}).headers
    assert "x-ratelimit-limit-hour" not in headers
    headers = api.get("/balance").headers
    assert [
        headers[f"x-ratelimit-{name}"] for name in ("limit-hour", "remaining-hour", "limit-day", "remaining-day")
    ] == [
        "100",
        "99",
        "1000",
        "999",
    ]
    assert int(headers["x-ratelimit-reset-hour"]) == NOON + 3600
    assert headers["date"] == "Sun, 08 Mar 2026 12:00:00 GMT"


def test_the_hourly_limit_refuses_as_documented_until_the_hour_is_over(start: Start) -> None:
    api = start(plan="vip")
    for _ in range(100):
        api.make("gpt-5-nano")
    api.clock.advance(60)
    reply = api.post("/generate", {"model": "gpt-5-nano", "prompt": "x"})
    assert reply.status_code == 429
    assert reply.json() == {
        "error": "rate_limit_exceeded",
        "message": "Hourly limit reached. Try again in 3540 s.",
        "retry_after": 3540,
        "plan": "vip",
        "limit_hour": 100,
        "limit_day": 1000,
    }
    assert reply.headers["retry-after"] == "3540"
    assert reply.headers["x-ratelimit-remaining-hour"] == "0"
    assert error_of(api.http.post("/stt", files={"audio": ("a.mp3", b"x")}))[0] == 429
    assert api.get("/balance").status_code == 200
    api.clock.advance(3540)
    api.make("gpt-5-nano")


def test_the_daily_limit_outlasts_the_hours(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "PLAN_LIMITS", {**words.PLAN_LIMITS, "vip": (3, 4)})
    api = start(plan="vip")
    for _ in range(3):
        api.make("gpt-5-nano")
    api.clock.advance(3600)
    api.make("gpt-5-nano")
    reply = api.post("/generate", {"model": "gpt-5-nano", "prompt": "x"})
    assert (reply.status_code, reply.json()["retry_after"]) == (429, 11 * 3600)
    assert reply.json()["message"].startswith("Daily")


def test_limits_can_be_switched_off(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "PLAN_LIMITS", {**words.PLAN_LIMITS, "vip": (1, 1)})
    api = start(plan="vip", enforce_limits=False)
    for _ in range(3):
        api.make("gpt-5-nano")


def test_elite_has_no_limits(api: Api) -> None:
    assert api.get("/balance").headers["x-ratelimit-limit-hour"] == "0"
    me = api.get("/user/me").json()
    assert (me["rate_limit_hourly"], me["rate_limit_daily"]) == (0, 0)


# Balance and profile.


@pytest.mark.parametrize(("path", "other"), [("/balance", "/user/balance"), ("/user/balance", "/balance")])
def test_one_of_the_balance_paths_can_be_switched_off(start: Start, path: str, other: str) -> None:
    api = start(balance_path=path)
    assert api.get(path).status_code == 200
    assert error_of(api.get(other)) == (404, "not_found")


def test_plan_tokens_are_used_before_bonus_tokens(start: Start) -> None:
    api = start(plan="vip", balance=1_504)
    api.make("claude-opus-4.5")
    assert api.get("/user/balance").json() == {
        "token_balance": 1_498,
        "plan": "vip",
        "plan_expires_at": "2026-04-08T00:00:00Z",
        "plan_tokens_remaining": 1_494,
        "bonus_tokens": 4,
        "next_refill_at": "2026-04-08T00:00:00Z",
    }


def test_the_user_can_be_read_and_changed(api: Api) -> None:
    me = api.get("/user/me").json()
    assert set(me) == {
        "id", "name", "email", "telegram_username", "avatar_url", "plan", "plan_expires_at", "token_balance",
        "token_limit", "tokens_used_this_period", "rate_limit_hourly", "rate_limit_daily", "auth_methods",
    }  # fmt: skip
    assert me["auth_methods"] == {"telegram": False, "google": False, "email": False}
    changed = api.http.patch("/user/me", json={"name": "Ada", "avatar_url": "https://example.com/a.png"}).json()
    assert changed == {**me, "name": "Ada", "avatar_url": "https://example.com/a.png"}
    assert api.http.patch("/user/me", json={"username": "Grace"}).json()["name"] == "Grace"
    assert error_of(api.http.patch("/user/me", json={"plan": "elite"})) == (400, "bad_request")
    assert error_of(api.http.patch("/user/me", json={"name": 7})) == (422, "validation_error")


def test_statistics_count_what_was_completed(api: Api) -> None:
    api.make("gpt-5")
    api.make("upscale")
    api.clock.advance(40 * 86_400)
    api.make("dall-e-3")
    api.make("openai-tts")
    api.make("kling-v2.1")  # still pending
    assert api.get("/user/stats").json() == {
        "total_generations": 4,
        "tokens_spent_total": 11,
        "breakdown": {
            "text": {"count": 1, "tokens": 2},
            "image": {"count": 1, "tokens": 5},
            "video": {"count": 0, "tokens": 0},
            "audio": {"count": 1, "tokens": 3},
            "tools": {"count": 1, "tokens": 1},
        },
        "recent_30d": {"generations": 2, "tokens_spent": 8},
    }


# Models.


def test_a_model_is_shown_as_documented(api: Api) -> None:
    model = api.get("/models/dall-e-3").json()
    assert model == {
        "slug": "dall-e-3",
        "name": "DALL-E 3",
        "category": "image",
        "provider": "OpenAI",
        "min_plan": "free",
        "token_cost": 5,
        "min_token_cost": 5,
        "max_token_cost": 13,
        "description_en": model["description_en"],
        "supports_streaming": False,
        "config": {
            "sizes": ["1024x1024", "1024x1792", "1792x1024"],
            "formats": ["webp", "png", "jpeg"],
            "quality_options": ["standard", "hd"],
        },
    }


def test_every_model_of_the_vocabulary_is_in_the_catalogue(api: Api) -> None:
    from typing import get_args

    listed = {item["slug"]: item for item in api.get("/models").json()["items"]}
    groups = (
        words.TextModel, words.ImageModel, words.VideoModel, words.MusicModel, words.SpeechModel,
        words.TranscriptionModel, words.ToolModel,
    )  # fmt: skip
    assert {slug for group in groups for slug in get_args(group)} == set(listed)
    assert listed["gpt-5"]["supports_streaming"] is True
    texts = api.get("/models", params={"category": "text"}).json()["items"]
    assert {item["category"] for item in texts} == {"text"}


def test_a_price_can_be_asked_for_with_a_count(api: Api) -> None:
    body = {"params": {"size": "1024x1792", "quality": "hd"}, "count": 3}
    assert api.post("/models/dall-e-3/calculate-price", body).json() == {
        "token_cost": 39,
        "min_token_cost": 5,
        "max_token_cost": 13,
        "pricing_type": "matrix",
    }
    assert api.http.post("/models/kling-v2.1/calculate-price").json()["pricing_type"] == "per_second"
    assert api.post("/models/midjourney/calculate-price", {}).json()["pricing_type"] == "per_point"


@pytest.mark.parametrize(
    ("slug", "body", "status"),
    [
        ("nothing", {}, 404),
        ("dall-e-3", {"params": {"size": "1x1"}}, 422),
        ("kling-v2.1", {"params": {"duration": 6}}, 422),
        ("dall-e-3", {"params": "hd"}, 422),
        ("dall-e-3", {"count": 0}, 422),
        ("dall-e-3", {"count": True}, 422),
    ],
)
def test_a_price_that_cannot_be_told_is_refused(api: Api, slug: str, body: object, status: int) -> None:
    assert api.post(f"/models/{slug}/calculate-price", body).status_code == status


def test_an_unknown_model_is_not_found(api: Api) -> None:
    assert error_of(api.get("/models/nothing")) == (404, "not_found")


# Keys.


def test_a_created_key_opens_its_creators_account_until_it_is_revoked(api: Api) -> None:
    made = api.post("/keys", {"name": "build-server"}).json()
    assert (made["name"], made["created_at"]) == ("build-server", "2026-03-08T12:00:00Z")
    assert len(made["key"]) == 48
    headers = api.as_key(made["key"])
    api.make("gpt-5")
    assert api.get("/balance", headers=headers).json()["token_balance"] == 99_998

    renamed = api.http.patch(f"/keys/{made['id']}", json={"name": "runner"})
    assert renamed.json() == {"id": made["id"], "name": "runner", "created_at": made["created_at"]}

    gone = api.http.delete(f"/keys/{made['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert error_of(api.get("/balance", headers=headers)) == (401, "not_authenticated")
    assert error_of(api.http.delete(f"/keys/{made['id']}")) == (404, "not_found")


def test_a_key_of_somebody_else_is_not_found(api: Api) -> None:
    made = api.post("/keys", {"name": "mine"}).json()
    assert api.http.delete(f"/keys/{made['id']}", headers=api.as_key("nb_other")).status_code == 404
    assert error_of(api.post("/keys", {})) == (400, "bad_request")


# Assistants.


@pytest.mark.parametrize(("dialect", "model", "text"), [("A", "model_slug", "result_text"), ("B", "model", "content")])
def test_an_assistant_brings_its_model(start: Start, dialect: str, model: str, text: str) -> None:
    api = start(dialect=dialect)
    body = {"name": "Editor", "model": "claude-haiku-4.5", "instructions": "Shorten.", "description": "Edits."}
    assistant = api.post("/assistants", body).json()
    assert assistant["id"].startswith("asst_")
    assert {name: assistant[name] for name in body} == body
    request = {"assistant_id": assistant["id"], "messages": [{"role": "user", "content": "Hello"}]}
    answer = api.post("/generate", request).json()
    assert answer[model] == "claude-haiku-4.5"
    assert answer[text]
    assert error_of(api.http.post("/generate", json=request, headers=api.as_key("nb_other")))[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [({"name": "x"}, 400), ({"name": "x", "model": "nothing"}, 404), ({"name": "x", "model": "dall-e-3"}, 422)],
)
def test_an_assistant_needs_a_text_model(api: Api, body: object, status: int) -> None:
    assert api.post("/assistants", body).status_code == status


def test_the_marketplace_is_filtered_and_bounded(api: Api) -> None:
    found = api.get("/assistants/marketplace", params={"category": "productivity", "limit": 1}).json()["items"]
    assert [item["category"] for item in found] == ["productivity"]
    assert len(api.get("/assistants/marketplace").json()["items"]) > 3
    for limit in ("0", "101", "many"):
        assert api.get("/assistants/marketplace", params={"limit": limit}).status_code == 422
