"""A respx router that knows the documented endpoints: each has a route with a name and an answer a test may replace."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import respx

from .._api import vocabulary as words
from ._replies import generation, history, streamed

_PENDING: Final = {"status": words.PENDING, "result_text": None, "tokens_spent": 0}
_LOGIN: Final = {
    "access_token": "made-up",
    "token_type": "bearer",
    "expires_in": 900,
    "user": {"id": 77, "plan": "vip"},
}
_USER: Final = {"id": 77, "name": "Ada", "email": None, "plan": "vip", "token_balance": 283, "token_limit": 3_000}
_KEY: Final = {"id": 41, "name": "tests", "key": "nb_made_up", "created_at": "2026-03-08T12:00:00Z"}
_MODEL: Final = {
    "slug": "dall-e-3",
    "name": "DALL-E 3",
    "category": "image",
    "min_plan": "free",
    "token_cost": 5,
    "min_token_cost": 5,
    "max_token_cost": 13,
}
_SPENT: Final = {"count": 1, "tokens": 3}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: how it is asked and what it answers unless a test says otherwise."""

    method: str
    template: str
    body: Any


ROUTES: Final[Mapping[str, Endpoint]] = {
    "generate": Endpoint("POST", words.GENERATE, generation()),
    "stream": Endpoint("POST", words.GENERATE_STREAM, None),
    "status_by_text_id": Endpoint("GET", words.GENERATION_BY_TEXT, generation(id="gen_01j9x2txt001")),
    "status": Endpoint("GET", words.GENERATION_BY_NUMBER, generation()),
    "transcribe": Endpoint("POST", words.STT, generation(model_slug="whisper", tokens_spent=2)),
    "history": Endpoint("GET", words.HISTORY, history()),
    "favorite": Endpoint("POST", words.HISTORY_FAVORITE, {"is_favorited": True}),
    "rate": Endpoint("POST", words.HISTORY_RATE, {"user_rating": 5}),
    "delete": Endpoint("DELETE", words.HISTORY_ITEM, {"success": True}),
    "balance": Endpoint("GET", words.BALANCE, {"token_balance": 283, "plan": "vip"}),
    "user_balance": Endpoint("GET", words.USER_BALANCE, {"token_balance": 283, "plan": "vip", "bonus_tokens": 0}),
    "me": Endpoint("GET", words.ME, _USER),
    "update_me": Endpoint("PATCH", words.ME, _USER),
    "stats": Endpoint(
        "GET", words.STATS, {"total_generations": 1, "tokens_spent_total": 3, "breakdown": {"text": _SPENT}}
    ),
    "models": Endpoint("GET", words.MODELS, {"items": [_MODEL], "total": 1}),
    "model": Endpoint("GET", words.MODEL, _MODEL),
    "price": Endpoint("POST", words.MODEL_PRICE, {"token_cost": 5, "min_token_cost": 5, "max_token_cost": 13}),
    "create_key": Endpoint("POST", words.KEYS, _KEY),
    "rename_key": Endpoint("PATCH", words.KEY, {"id": 41, "name": "tests"}),
    "revoke_key": Endpoint("DELETE", words.KEY, {"success": True}),
    "create_assistant": Endpoint("POST", words.ASSISTANTS, {"id": "asst_01k2"}),
    "marketplace": Endpoint("GET", words.MARKETPLACE, {"items": [{"name": "Editor", "description": "Cuts words"}]}),
    "login_telegram": Endpoint("POST", words.AUTH_TELEGRAM, _LOGIN),
    "login": Endpoint("POST", words.AUTH_LOGIN, _LOGIN),
    "login_phone": Endpoint("POST", words.AUTH_PHONE, _LOGIN),
    "login_google": Endpoint("POST", words.AUTH_GOOGLE, _LOGIN),
    "refresh": Endpoint("POST", words.AUTH_REFRESH, _LOGIN),
}
"""The documented endpoints by the name of their route."""


def mock_router(base_url: str = words.BASE_URL) -> respx.MockRouter:
    """Make a router with a route for each of `ROUTES`, to be entered as a context manager.

        with mock_router() as router:
            router["generate"].respond(**refused("insufficient_tokens"))

    A request that no route knows is an error of respx; a route that is not called is none.

    Args:
        base_url: Scheme and host that the program asks.
    """
    host = httpx.URL(base_url).host
    router = respx.MockRouter(assert_all_called=False)
    for name, endpoint in ROUTES.items():
        path = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(words.PREFIX + endpoint.template))
        route = router.route(method=endpoint.method, host=host, path__regex=f"^{path}$", name=name)
        if name in ("generate", "stream"):
            route.mock(side_effect=_generate)
        else:
            route.respond(json=endpoint.body)
    return router


def _generate(request: httpx.Request) -> httpx.Response:
    """Answer whole or as a stream, as the request says."""
    if request.url.path.endswith(words.GENERATE_STREAM) or json.loads(request.content).get("stream"):
        return httpx.Response(200, **streamed("Good ", "morning"))
    return httpx.Response(200, json=ROUTES["generate"].body)
