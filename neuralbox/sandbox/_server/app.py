"""The table of endpoints: which handler answers which method and path of the documented API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette

from ..._api import vocabulary as words
from .._endpoints import account, files, gemini, generate, history, login
from .endpoint import door, refuse_unknown_path

if TYPE_CHECKING:
    from .._sandbox import Sandbox


def build_app(sandbox: Sandbox) -> Starlette:
    """Put the application of this sandbox together."""
    routes = [
        door(sandbox, "POST", words.GENERATE, generate.generate),
        door(sandbox, "POST", words.GENERATE_STREAM, generate.generate_stream),
        door(sandbox, "GET", words.GENERATION_BY_NUMBER, generate.by_number),
        door(sandbox, "GET", words.GENERATION_BY_TEXT, generate.by_text),
        door(sandbox, "POST", words.STT, generate.transcribe),
        door(sandbox, "GET", words.HISTORY, history.history),
        door(sandbox, "POST", words.HISTORY_FAVORITE, history.favorite),
        door(sandbox, "POST", words.HISTORY_RATE, history.rate),
        door(sandbox, "DELETE", words.HISTORY_ITEM, history.delete),
        door(sandbox, "GET", words.BALANCE, account.balance),
        door(sandbox, "GET", words.USER_BALANCE, account.user_balance),
        door(sandbox, "GET", words.ME, account.me),
        door(sandbox, "PATCH", words.ME, account.update_me),
        door(sandbox, "GET", words.STATS, account.stats),
        door(sandbox, "GET", words.MODELS, account.models),
        door(sandbox, "GET", words.MODEL, account.model),
        door(sandbox, "POST", words.MODEL_PRICE, account.model_price),
        door(sandbox, "POST", words.KEYS, account.create_key),
        door(sandbox, "PATCH", words.KEY, account.rename_key),
        door(sandbox, "DELETE", words.KEY, account.revoke_key),
        door(sandbox, "POST", words.ASSISTANTS, account.create_assistant),
        door(sandbox, "GET", words.MARKETPLACE, account.marketplace),
        door(sandbox, "POST", words.AUTH_TELEGRAM, login.telegram, public=True),
        door(sandbox, "POST", words.AUTH_LOGIN, login.login, public=True),
        door(sandbox, "POST", words.AUTH_PHONE, login.phone, public=True),
        door(sandbox, "POST", words.AUTH_GOOGLE, login.google, public=True),
        door(sandbox, "POST", words.AUTH_REFRESH, login.refresh, public=True),
        door(sandbox, "GET", gemini.HISTORIES, gemini.histories, prefix=gemini.PREFIX, public=True),
        door(sandbox, "GET", gemini.HISTORY, gemini.history, prefix=gemini.PREFIX, public=True),
        door(sandbox, "GET", "/storage/generations/{name}", files.result, prefix="", public=True),
        door(sandbox, "GET", "/storage/thumbnails/{name}", files.thumbnail, prefix="", public=True),
    ]
    return Starlette(routes=routes, exception_handlers={404: refuse_unknown_path, 405: refuse_unknown_path})
