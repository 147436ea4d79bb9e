"""Endpoints about the account and what it may use: balance, profile, statistics, models, keys, assistants."""

from __future__ import annotations

import hashlib
from math import ceil
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from ..._api import vocabulary as words
from .._catalogue import MODELS, PLAN_TOKENS, CatalogueModel
from .._generation_request import price_options
from .._ledger import digest
from .._records import SandboxAccount
from .._replies import bad_request, invalid, iso, not_found
from .._server.endpoint import IncomingCall

_DAY: Final = 86_400
_PERIOD_DAYS: Final = 30


# Balance.


async def balance(call: IncomingCall) -> Response:
    """Answer 2.9: the short form."""
    _must_answer(call, words.BALANCE)
    return JSONResponse(_short(call))


async def user_balance(call: IncomingCall) -> Response:
    """Answer 2.10: the long form."""
    _must_answer(call, words.USER_BALANCE)
    account = call.sandbox.ledger.up_to_date(call.account)
    spent = call.sandbox.ledger.spent(account)
    of_plan = max(0, min(account.granted, PLAN_TOKENS[account.plan]) - spent)
    bonus = account.balance - of_plan
    refill = {"next_refill_at": _expiry(account)}
    return JSONResponse({**_short(call), "plan_tokens_remaining": of_plan, "bonus_tokens": bonus, **refill})


def _must_answer(call: IncomingCall, path: str) -> None:
    if call.sandbox.settings.balance_path not in {None, path}:
        raise not_found(path)


def _short(call: IncomingCall) -> dict[str, Any]:
    account = call.sandbox.ledger.up_to_date(call.account)
    return {
        "token_balance": account.balance,
        "plan": _plan(account),
        "plan_expires_at": _expiry(account),
    }


def _plan(account: SandboxAccount) -> str:
    """Return the plan as JSON says it: Starter is `free` there."""
    return "free" if account.plan == "starter" else account.plan


def _expiry(account: SandboxAccount) -> str | None:
    """Return the end of the paid period, a midnight; None on the plan without one."""
    if _plan(account) == "free":
        return None
    return iso(ceil((account.opened_at + _PERIOD_DAYS * _DAY) / _DAY) * _DAY)


# Profile.


async def me(call: IncomingCall) -> Response:
    """Answer 2.11: the user."""
    return JSONResponse(_user(call))


async def update_me(call: IncomingCall) -> Response:
    """Answer 2.12: change the name or the picture; answers the user."""
    body = call.json()
    texts = {name: call.text_of(body, name) for name in ("name", "username", "avatar_url")}
    changes = {name: text for name, text in texts.items() if text is not None}
    if not changes:
        raise bad_request("One of `name`, `username` and `avatar_url` is needed.")
    if "username" in changes:
        changes.setdefault("name", changes.pop("username"))
    call.sandbox.ledger.update_profile(call.account, changes)
    return JSONResponse(_user(call))


def _user(call: IncomingCall) -> dict[str, Any]:
    account = call.account
    per_hour, per_day = words.PLAN_LIMITS[account.plan]
    profile = account.profile
    methods = {name: profile.get("method") == name for name in ("telegram", "google", "email")}
    return {
        "id": account.number,
        "name": profile.get("name", f"Sandbox user {account.number}"),
        "email": profile.get("email"),
        "telegram_username": profile.get("telegram_username"),
        "avatar_url": profile.get("avatar_url"),
        **_short(call),
        "token_limit": PLAN_TOKENS[account.plan],
        "tokens_used_this_period": call.sandbox.ledger.spent(account),
        "rate_limit_hourly": per_hour,
        "rate_limit_daily": per_day,
        "auth_methods": methods,
    }


_GROUPS: Final = {"tts": "audio", "stt": "audio", "tool": "tools"}


async def stats(call: IncomingCall) -> Response:
    """Answer 2.13: what was made and spent; speech and transcripts count as audio."""
    records = call.sandbox.ledger.of_account(call.account, listed=False)
    done = [record for record in records if record.status == words.COMPLETED]
    breakdown = {name: {"count": 0, "tokens": 0} for name in ("text", "image", "video", "audio", "tools")}
    for record in done:
        group = breakdown[_GROUPS.get(record.kind, record.kind)]
        group["count"] += 1
        group["tokens"] += record.tokens
    recent = [record for record in done if record.ready_at > call.now - _PERIOD_DAYS * _DAY]
    return JSONResponse(
        {
            "total_generations": len(done),
            "tokens_spent_total": sum(record.tokens for record in done),
            "breakdown": breakdown,
            "recent_30d": {"generations": len(recent), "tokens_spent": sum(record.tokens for record in recent)},
        }
    )


# Models.


async def models(call: IncomingCall) -> Response:
    """Answer 2.16: the catalogue; `category` filters it."""
    kind = call.request.query_params.get("category")
    return JSONResponse({"items": [model.describe() for model in MODELS.values() if kind in {None, model.kind}]})


async def model(call: IncomingCall) -> Response:
    """Answer 2.14: one model."""
    return JSONResponse(_model(call).describe())


async def model_price(call: IncomingCall) -> Response:
    """Answer 2.15: what options cost; `count` multiplies."""
    model = _model(call)
    body = call.json(optional=True)
    params, count = body.get("params"), body.get("count")
    if params is not None and not isinstance(params, dict):
        raise invalid({"params": "must be an object"})
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise invalid({"count": "must be an integer of at least 1"})
    cost = model.price(price_options(model, params or {})) * (count or 1)
    prices = {"token_cost": cost, "min_token_cost": model.low, "max_token_cost": model.high}
    return JSONResponse({**prices, "pricing_type": model.pricing})


def _model(call: IncomingCall) -> CatalogueModel:
    found = MODELS.get(call.path("slug"))
    if found is None:
        raise not_found(f"The model {call.path('slug')!r}")
    return found


# Keys.


async def create_key(call: IncomingCall) -> Response:
    """Answer 2.17: a key to the creator's account; the whole of it is shown here only."""
    name = call.text_of(call.json(), "name", required=True)
    ledger = call.sandbox.ledger
    number = ledger.count_entries("keys") + 41
    key = f"nb_live_{ledger.rng(f'key/{number}').getrandbits(160):040x}"
    entry = {"id": number, "account": call.account.name, "name": name, "created_at": iso(call.now), "revoked": False}
    ledger.put_entry("keys", digest(key), entry)
    return JSONResponse({"id": number, "name": name, "key": key, "created_at": entry["created_at"]})


async def rename_key(call: IncomingCall) -> Response:
    """Answer 2.18: another label."""
    credential, entry = _key(call)
    entry = {**entry, "name": call.text_of(call.json(), "name", required=True)}
    call.sandbox.ledger.put_entry("keys", credential, entry)
    return JSONResponse({name: entry[name] for name in ("id", "name", "created_at")})


async def revoke_key(call: IncomingCall) -> Response:
    """Answer 2.19: the key stops working at once."""
    credential, entry = _key(call)
    call.sandbox.ledger.put_entry("keys", credential, {**entry, "revoked": True})
    return Response(status_code=204)


def _key(call: IncomingCall) -> tuple[str, dict[str, Any]]:
    for credential, entry in call.sandbox.ledger.entries_of("keys").items():
        if str(entry["id"]) == call.path("id") and entry["account"] == call.account.name and not entry["revoked"]:
            return credential, entry
    raise not_found(f"The key {call.path('id')}")


# Assistants.


async def create_assistant(call: IncomingCall) -> Response:
    """Answer 2.21: a named model with instructions."""
    body = call.json()
    name = call.text_of(body, "name", required=True)
    slug = call.text_of(body, "model", required=True) or ""
    if slug not in MODELS:
        raise not_found(f"The model {slug!r}")
    if MODELS[slug].kind != "text":
        raise invalid({"model": "must be a text model"})
    instructions, description = call.text_of(body, "instructions"), call.text_of(body, "description")
    ledger = call.sandbox.ledger
    mark = hashlib.sha256(f"{call.sandbox.seed}/{ledger.count_entries('assistants')}".encode()).hexdigest()[:12]
    entry = {"name": name, "model": slug, "instructions": instructions, "description": description}
    made = {"created_at": iso(call.now)}
    ledger.put_entry("assistants", f"asst_{mark}", {"account": call.account.name, **entry, **made})
    return JSONResponse({"id": f"asst_{mark}", **entry, **made})


_MARKET: Final = (
    ("Minute taker", "Turns notes of a meeting into minutes and tasks.", "productivity"),
    ("Inbox editor", "Shortens mails without losing their point.", "productivity"),
    ("Code reviewer", "Reads a change and asks about what is not obvious.", "development"),
    ("Test writer", "Suggests cases that a function should survive.", "development"),
    ("Headline desk", "Offers ten titles for a text and says which is best.", "writing"),
    ("Patient teacher", "Explains one thing in three ways.", "education"),
)


async def marketplace(call: IncomingCall) -> Response:
    """Answer 2.22: assistants of others."""
    category = call.request.query_params.get("category")
    try:
        limit = int(call.request.query_params.get("limit", "20"))
    except ValueError:
        limit = 0
    if not 1 <= limit <= words.MAX_PAGE_SIZE:
        raise invalid({"limit": f"must be an integer between 1 and {words.MAX_PAGE_SIZE}"})
    items = [
        {"id": f"asst_market_{index}", "name": name, "description": description, "category": group}
        for index, (name, description, group) in enumerate(_MARKET, start=1)
        if category in {None, group}
    ]
    return JSONResponse({"items": items[:limit]})
