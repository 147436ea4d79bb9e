"""The table of endpoints: which handler answers which method and path of the documented API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette

from .._wire import vocabulary as words
from . import _accounts, _files, _gemini, _generating, _history, _login
from ._door import door, refuse_unknown_path

if TYPE_CHECKING:
    from ._sandbox import Sandbox


def build_app(sandbox: Sandbox) -> Starlette:
    """Put the application of this sandbox together."""
    routes = [
        door(sandbox, "POST", words.GENERATE, _generating.generate),
        door(sandbox, "POST", words.GENERATE_STREAM, _generating.generate_stream),
        door(sandbox, "GET", words.GENERATION_BY_NUMBER, _generating.by_number),
        door(sandbox, "GET", words.GENERATION_BY_TEXT, _generating.by_text),
        door(sandbox, "POST", words.STT, _generating.transcribe),
        door(sandbox, "GET", words.HISTORY, _history.history),
        door(sandbox, "POST", words.HISTORY_FAVORITE, _history.favorite),
        door(sandbox, "POST", words.HISTORY_RATE, _history.rate),
        door(sandbox, "DELETE", words.HISTORY_ITEM, _history.delete),
        door(sandbox, "GET", words.BALANCE, _accounts.balance),
        door(sandbox, "GET", words.USER_BALANCE, _accounts.user_balance),
        door(sandbox, "GET", words.ME, _accounts.me),
        door(sandbox, "PATCH", words.ME, _accounts.update_me),
        door(sandbox, "GET", words.STATS, _accounts.stats),
        door(sandbox, "GET", words.MODELS, _accounts.models),
        door(sandbox, "GET", words.MODEL, _accounts.model),
        door(sandbox, "POST", words.MODEL_PRICE, _accounts.model_price),
        door(sandbox, "POST", words.KEYS, _accounts.create_key),
        door(sandbox, "PATCH", words.KEY, _accounts.rename_key),
        door(sandbox, "DELETE", words.KEY, _accounts.revoke_key),
        door(sandbox, "POST", words.ASSISTANTS, _accounts.create_assistant),
        door(sandbox, "GET", words.MARKETPLACE, _accounts.marketplace),
        door(sandbox, "POST", words.AUTH_TELEGRAM, _login.telegram, public=True),
        door(sandbox, "POST", words.AUTH_LOGIN, _login.login, public=True),
        door(sandbox, "POST", words.AUTH_PHONE, _login.phone, public=True),
        door(sandbox, "POST", words.AUTH_GOOGLE, _login.google, public=True),
        door(sandbox, "POST", words.AUTH_REFRESH, _login.refresh, public=True),
        door(sandbox, "GET", _gemini.HISTORIES, _gemini.histories, prefix=_gemini.PREFIX, public=True),
        door(sandbox, "GET", _gemini.HISTORY, _gemini.history, prefix=_gemini.PREFIX, public=True),
        door(sandbox, "GET", "/storage/generations/{name}", _files.result, prefix="", public=True),
        door(sandbox, "GET", "/storage/thumbnails/{name}", _files.thumbnail, prefix="", public=True),
    ]
    return Starlette(routes=routes, exception_handlers={404: refuse_unknown_path, 405: refuse_unknown_path})
