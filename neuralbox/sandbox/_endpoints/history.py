"""Endpoints of the history: list it, mark, rate and delete its items."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from ..._api import vocabulary as words
from .._records import StoredGeneration
from .._replies import invalid, not_found
from .._server.endpoint import IncomingCall
from .answers import listed_in_page, listed_in_seed

_STATES: Final = (words.COMPLETED, words.PENDING, words.FAILED)


async def history(call: IncomingCall) -> Response:
    """Answer 2.5: a page of the history, newest first; both namings of the filters are understood."""
    page = _whole(call, "page", 1, low=1)
    limit = _whole(call, "limit", words.DEFAULT_PAGE_SIZE, low=1, high=words.MAX_PAGE_SIZE)
    wanted = _filter(call)
    found = [record for record in call.sandbox.ledger.of_account(call.account) if wanted(record)]
    shown = found[(page - 1) * limit : page * limit]
    if call.sandbox.settings.history == "page":
        items = [listed_in_page(record, call.base) for record in shown]
        return JSONResponse({"items": items, "total": len(found), "page": page, "limit": limit})
    items = [listed_in_seed(record, call.base) for record in shown]
    pages = ceil(len(found) / limit)
    return JSONResponse({"items": items, "total": len(found), "page": page, "limit": limit, "pages": pages})


async def favorite(call: IncomingCall) -> Response:
    """Answer 2.6: turn the favourite mark on or off."""
    record = _found(call)
    call.sandbox.ledger.change(record, is_favorited=not record.is_favorited)
    return JSONResponse({"id": record.id, "is_favorited": record.is_favorited})


async def rate(call: IncomingCall) -> Response:
    """Answer 2.7: rate from 1 to 5."""
    record = _found(call)
    rating = call.json().get("rating")
    if isinstance(rating, bool) or not isinstance(rating, int) or not 1 <= rating <= 5:
        raise invalid({"rating": "must be an integer between 1 and 5"})
    call.sandbox.ledger.change(record, rating=rating)
    return JSONResponse({"id": record.id, "user_rating": rating})


async def delete(call: IncomingCall) -> Response:
    """Answer 2.8: delete an item with its file; a pending one is charged all the same when it completes."""
    call.sandbox.ledger.change(_found(call), is_deleted=True)
    return Response(status_code=204)


def _found(call: IncomingCall) -> StoredGeneration:
    record = call.sandbox.ledger.find(call.path("id"), call.account)
    if record is None:
        raise not_found(f"The generation {call.path('id')}")
    return record


def _filter(call: IncomingCall) -> Callable[[StoredGeneration], bool]:
    query = call.request.query_params
    kind = _one_of(call, "type", words.KINDS) or _one_of(call, "category", words.KINDS)
    status = _one_of(call, "status", _STATES)
    model = query.get("model") or query.get("model_slug")
    favorites = _one_of(call, "favorites_only", ("true", "false", "1", "0")) in {"true", "1"}

    def wanted(record: StoredGeneration) -> bool:
        return (
            (kind is None or record.kind == kind)
            and (status is None or record.status == status)
            and (model is None or model in {record.model, record.answer_slug})
            and (not favorites or record.is_favorited)
        )

    return wanted


def _one_of(call: IncomingCall, name: str, allowed: tuple[str, ...]) -> str | None:
    value = call.request.query_params.get(name)
    if value is not None and value.lower() not in allowed:
        raise invalid({name: f"must be one of {', '.join(allowed)}"})
    return value.lower() if value is not None else None


def _whole(call: IncomingCall, name: str, default: int, *, low: int, high: int | None = None) -> int:
    text: Any = call.request.query_params.get(name, default)
    try:
        value = int(text)
    except ValueError:
        raise invalid({name: "must be an integer"}) from None
    if value < low or (high is not None and value > high):
        raise invalid({name: f"must be at least {low}" if high is None else f"must be between {low} and {high}"})
    return value
