"""Balance, user, statistics, login and keys in every documented shape, and in none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from neuralbox._models.account import ApiKeyInfo, Balance, KindStats, Login, Stats, User
from neuralbox._models.generation import Model
from tests import samples
from tests.api import json_values


def said(model: Model) -> dict[str, Any]:
    """Every field that a reading found, but for `raw`."""
    fields = {name: getattr(model, name) for name in type(model).model_fields if name != "raw"}
    return {name: value for name, value in fields.items() if value is not None and value != {}}


def test_the_balance_of_the_seed() -> None:
    balance = Balance.read(samples.record("seed001_balance"))
    expires = datetime(2026, 4, 8, tzinfo=UTC)
    assert said(balance) == {"token_balance": 283, "plan": "vip", "plan_expires_at": expires}


def test_the_balance_of_the_user_path_has_more_and_a_zero_stays_one() -> None:
    may = datetime(2026, 5, 1, tzinfo=UTC)
    assert said(Balance.read(samples.record("user_balance"))) == {
        "token_balance": 900,
        "plan": "vip",
        "plan_expires_at": may,
        "plan_tokens_remaining": 900,
        "bonus_tokens": 0,
        "next_refill_at": may,
    }


def test_a_user_in_the_long_shape() -> None:
    assert said(User.read(samples.record("user_me"))) == {
        "id": 77,
        "name": "Ada",
        "telegram_username": "ada",
        "plan": "elite",
        "plan_expires_at": datetime(2026, 5, 1, tzinfo=UTC),
        "token_balance": 2950,
        "token_limit": 3000,
        "tokens_used_this_period": 50,
        "rate_limit_hourly": 0,
        "rate_limit_daily": 0,
        "auth_methods": {"telegram": True, "google": False, "email": False},
    }


def test_a_user_in_the_short_shape() -> None:
    assert said(User.read(samples.record("user_me_short"))) == {
        "id": 78,
        "name": "ada",
        "email": "ada@example.com",
        "plan": "free",
        "token_balance": 50,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }


def test_a_login_method_that_is_neither_true_nor_false_is_left_out() -> None:
    user = User.read({"auth_methods": {"telegram": 1, "google": "maybe", "email": None}})
    assert user.auth_methods == {"telegram": True}


def test_the_statistics() -> None:
    stats = Stats.read(samples.record("user_stats"))
    assert (stats.total_generations, stats.tokens_spent_total) == (12, 58)
    assert (stats.recent_generations, stats.recent_tokens) == (5, 21)
    shares = {kind: (share.count, share.tokens) for kind, share in stats.breakdown.items()}
    assert shares == {"text": (8, 16), "image": (4, 42), "video": (0, 0), "audio": (0, 0), "tools": (0, 0)}


def test_statistics_with_strange_parts_keep_the_rest() -> None:
    stats = Stats.read({"total_generations": 3, "breakdown": {"hologram": {"count": "2"}, "text": 5}, "recent_30d": []})
    assert stats.breakdown == {"hologram": KindStats(count=2, tokens=0, raw={"count": "2"})}
    assert (stats.total_generations, stats.recent_generations) == (3, None)
    assert Stats.read({}).breakdown == {}


def test_a_login_shows_who_came_and_never_the_token() -> None:
    login = Login.read(samples.record("login") | {"refresh_token": "opaque-refresh"})
    assert login.expires_in == 900
    assert login.user is not None
    assert (login.user.id, login.user.plan) == (78, "vip")
    everything = repr(login) + repr(login.raw) + login.model_dump_json()
    assert "eyJ" not in everything
    assert "opaque-refresh" not in everything
    assert Login.read({"expires_in": 900}).user is None


def test_a_new_key_is_readable_once_and_never_shown() -> None:
    key = ApiKeyInfo.read(samples.record("key_created"))
    assert key.key == "nb_live_0f1e2d3c4b5a"
    assert (key.id, key.name, key.created_at) == (41, "build-server", datetime(2026, 4, 2, 8, tzinfo=UTC))
    assert "nb_live" not in repr(key) + str(key) + repr(key.raw)


def test_a_listed_key_has_no_key() -> None:
    assert ApiKeyInfo.read({"id": 41, "name": "build-server"}).key is None


READERS: list[Callable[[dict[str, Any]], Model]] = [Balance.read, User.read, Stats.read, Login.read, ApiKeyInfo.read]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("wrong", [None, [], {}, True, "", "soon", float("nan"), "\ud800", 10**4200])
def test_wrong_types_are_absences(read: Callable[[dict[str, Any]], Model], wrong: object) -> None:
    fields = (name for model in (Balance, User, Stats, Login, ApiKeyInfo) for name in model.model_fields)
    model = read(dict.fromkeys([*fields, "recent_30d", "username"], wrong) | {"lane": 3})
    assert model.raw["lane"] == 3


@pytest.mark.uncovered
@given(json_values.objects)
def test_any_json_object_is_read(record: dict[str, Any]) -> None:
    for read in READERS:
        assert repr(read(record))
