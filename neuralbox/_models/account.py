"""What the service says of an account: balance, user, limits, statistics, a login, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from .._api.fields import as_flag, as_id, as_int, as_object, as_text, as_time, pick
from .._types import GenerationId, PlainValues
from .generation import Model


class Balance(Model):
    """The token balance and the plan.

    Attributes:
        token_balance: Tokens left, as received; whether it holds the bonus tokens is contradictory (C27).
        plan: `free`, `basic`, `pro`, `vip`, `elite`, or another word.
        plan_expires_at: UTC, or None for Starter.
        plan_tokens_remaining: Tokens of the subscription, where the service says them.
        bonus_tokens: Bought tokens, where the service says them.
        next_refill_at: UTC, where the service says it.
    """

    token_balance: int | None = None
    plan: str | None = None
    plan_expires_at: datetime | None = None
    plan_tokens_remaining: int | None = None
    bonus_tokens: int | None = None
    next_refill_at: datetime | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read either shape of the balance; never raises."""
        return cls(
            token_balance=as_int(record.get("token_balance")),
            plan=as_text(record.get("plan")),
            plan_expires_at=as_time(record.get("plan_expires_at")),
            plan_tokens_remaining=as_int(record.get("plan_tokens_remaining")),
            bonus_tokens=as_int(record.get("bonus_tokens")),
            next_refill_at=as_time(record.get("next_refill_at")),
            raw=record,
        )


class User(Model):
    """A user; the documents show two shapes (C28), so every field may be None.

    Attributes:
        id: User id.
        name: Display name; the other shape's `username` is read too.
        email: None for accounts made with Telegram.
        telegram_username: None for accounts made with email or Google.
        avatar_url: Address of the picture.
        plan: As in `Balance`.
        plan_expires_at: UTC, None on Starter.
        token_balance: Tokens left.
        token_limit: Tokens a month of the plan.
        tokens_used_this_period: Tokens used.
        rate_limit_hourly: Requests an hour; 0 is unlimited.
        rate_limit_daily: Requests a day; 0 is unlimited.
        auth_methods: Login method to whether it is set up.
        created_at: UTC.
    """

    id: GenerationId | None = None
    name: str | None = None
    email: str | None = None
    telegram_username: str | None = None
    avatar_url: str | None = None
    plan: str | None = None
    plan_expires_at: datetime | None = None
    token_balance: int | None = None
    token_limit: int | None = None
    tokens_used_this_period: int | None = None
    rate_limit_hourly: int | None = None
    rate_limit_daily: int | None = None
    auth_methods: Mapping[str, bool] = Field(default_factory=dict)
    created_at: datetime | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read either shape of a user; never raises."""
        methods = {name: as_flag(value) for name, value in (as_object(record.get("auth_methods")) or {}).items()}
        return cls(
            id=as_id(record.get("id")),
            name=as_text(pick(record, ("name", "username"))),
            email=as_text(record.get("email")),
            telegram_username=as_text(record.get("telegram_username")),
            avatar_url=as_text(record.get("avatar_url")),
            plan=as_text(record.get("plan")),
            plan_expires_at=as_time(record.get("plan_expires_at")),
            token_balance=as_int(record.get("token_balance")),
            token_limit=as_int(record.get("token_limit")),
            tokens_used_this_period=as_int(record.get("tokens_used_this_period")),
            rate_limit_hourly=as_int(record.get("rate_limit_hourly")),
            rate_limit_daily=as_int(record.get("rate_limit_daily")),
            auth_methods={name: value for name, value in methods.items() if value is not None},
            created_at=as_time(record.get("created_at")),
            raw=record,
        )


@dataclass(frozen=True, slots=True)
class LimitWindow(PlainValues):
    """What is known of the plan's hour, or of its day.

    Attributes:
        limit: Requests it has; None where it has no limit, or nobody has said one.
        remaining: How many of them are left, less those sent since the last answer that told; None where nobody told.
        resets_at: When it ends, UTC; None where nobody has said it, as mostly of the day.
    """

    limit: int | None = None
    remaining: int | None = None
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountLimits(PlainValues):
    """How many requests the plan still allows, as the last answers said.

    Attributes:
        hour: This hour.
        day: This day.
    """

    hour: LimitWindow = LimitWindow()
    day: LimitWindow = LimitWindow()


class KindStats(Model):
    """Generations of one kind and what they cost.

    Attributes:
        count: Generations.
        tokens: Tokens spent on them.
    """

    count: int = 0
    tokens: int = 0


class Stats(Model):
    """Statistics of an account.

    Attributes:
        total_generations: Completed generations since registration.
        tokens_spent_total: Tokens of all time.
        breakdown: Kind (`text`, `image`, `video`, `audio`, `tools`, or another word) to its share.
        recent_generations: Generations of the last 30 days.
        recent_tokens: Tokens of the last 30 days.
    """

    total_generations: int | None = None
    tokens_spent_total: int | None = None
    breakdown: Mapping[str, KindStats] = Field(default_factory=dict)
    recent_generations: int | None = None
    recent_tokens: int | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read the statistics; never raises."""
        shares = {}
        for kind, value in (as_object(record.get("breakdown")) or {}).items():
            share = as_object(value)
            if share is not None:
                shares[kind] = KindStats(
                    count=as_int(share.get("count")) or 0, tokens=as_int(share.get("tokens")) or 0, raw=share
                )
        recent = as_object(record.get("recent_30d")) or {}
        return cls(
            total_generations=as_int(record.get("total_generations")),
            tokens_spent_total=as_int(record.get("tokens_spent_total")),
            breakdown=shares,
            recent_generations=as_int(recent.get("generations")),
            recent_tokens=as_int(recent.get("tokens_spent")),
            raw=record,
        )


class Login(Model):
    """An end user's login, as answered. The token itself is kept by the client's `Session`, not shown here.

    Attributes:
        expires_in: Seconds the access token lives (documented: 900).
        user: Who logged in, where the answer says it (a refresh does not).
    """

    expires_in: int | None = None
    user: User | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read a login; never raises. Tokens are left out of `raw`."""
        user = as_object(record.get("user"))
        return cls(
            expires_in=as_int(record.get("expires_in")),
            user=None if user is None else User.read(user),
            raw={name: value for name, value in record.items() if name not in ("access_token", "refresh_token")},
        )


class ApiKeyInfo(Model):
    """An API key of the account.

    Attributes:
        id: Key id, for renaming and revoking.
        name: Its label.
        key: The key itself, only in the answer that made it; kept out of `repr` and `raw`.
        created_at: UTC.
    """

    id: GenerationId | None = None
    name: str | None = None
    key: str | None = Field(default=None, repr=False)
    created_at: datetime | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read a key; never raises."""
        return cls(
            id=as_id(record.get("id")),
            name=as_text(record.get("name")),
            key=as_text(record.get("key")),
            created_at=as_time(record.get("created_at")),
            raw={name: value for name, value in record.items() if name != "key"},
        )
