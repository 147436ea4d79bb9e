"""The table of endpoints: which handler answers which method and path of the documented API."""

from __future__ import annotations

from starlette.applications import Starlette

from .._api import vocabulary as words
from . import _gemini_paths as gemini_paths
from ._endpoints import account, files, gemini, gemini_make, generate, history, login
from ._server.endpoint import endpoint, refuse_unknown_path
from ._state import SandboxState


def build_app(sandbox: SandboxState) -> Starlette:
    """Put the application of this sandbox together."""
    routes = [
        endpoint(sandbox, "POST", words.GENERATE, generate.generate),
        endpoint(sandbox, "POST", words.GENERATE_STREAM, generate.generate_stream),
        endpoint(sandbox, "GET", words.GENERATION_BY_NUMBER, generate.by_number),
        endpoint(sandbox, "GET", words.GENERATION_BY_TEXT, generate.by_text),
        endpoint(sandbox, "POST", words.STT, generate.transcribe),
        endpoint(sandbox, "GET", words.HISTORY, history.history),
        endpoint(sandbox, "POST", words.HISTORY_FAVORITE, history.favorite),
        endpoint(sandbox, "POST", words.HISTORY_RATE, history.rate),
        endpoint(sandbox, "DELETE", words.HISTORY_ITEM, history.delete),
        endpoint(sandbox, "GET", words.BALANCE, account.balance),
        endpoint(sandbox, "GET", words.USER_BALANCE, account.user_balance),
        endpoint(sandbox, "GET", words.ME, account.me),
        endpoint(sandbox, "PATCH", words.ME, account.update_me),
        endpoint(sandbox, "GET", words.STATS, account.stats),
        endpoint(sandbox, "GET", words.MODELS, account.models),
        endpoint(sandbox, "GET", words.MODEL, account.model),
        endpoint(sandbox, "POST", words.MODEL_PRICE, account.model_price),
        endpoint(sandbox, "POST", words.KEYS, account.create_key),
        endpoint(sandbox, "PATCH", words.KEY, account.rename_key),
        endpoint(sandbox, "DELETE", words.KEY, account.revoke_key),
        endpoint(sandbox, "POST", words.ASSISTANTS, account.create_assistant),
        endpoint(sandbox, "GET", words.MARKETPLACE, account.marketplace),
        endpoint(sandbox, "POST", words.AUTH_TELEGRAM, login.telegram, public=True),
        endpoint(sandbox, "POST", words.AUTH_LOGIN, login.login, public=True),
        endpoint(sandbox, "POST", words.AUTH_PHONE, login.phone, public=True),
        endpoint(sandbox, "POST", words.AUTH_GOOGLE, login.google, public=True),
        endpoint(sandbox, "POST", words.AUTH_REFRESH, login.refresh, public=True),
        endpoint(sandbox, "GET", gemini.HISTORIES, gemini.histories, prefix=gemini.PREFIX, public=True),
        endpoint(sandbox, "GET", gemini.HISTORY, gemini.history, prefix=gemini.PREFIX, public=True),
        *(
            endpoint(sandbox, "POST", path, handler, prefix=gemini.PREFIX, public=True)
            for path, handler in (
                (gemini_paths.IMAGE, gemini_make.image),
                (gemini_paths.IMAGEN, gemini_make.imagen),
                (gemini_paths.META_IMAGE, gemini_make.meta_image),
                (gemini_paths.VIDEO, gemini_make.video),
                (gemini_paths.EXTEND, gemini_make.extend),
                (gemini_paths.STORYBOARD, gemini_make.storyboard),
                (gemini_paths.SPEECH, gemini_make.speech),
                (gemini_paths.DIALOGUE, gemini_make.dialogue),
                (gemini_paths.DOCUMENT, gemini_make.document),
            )
        ),
        endpoint(sandbox, "GET", gemini_make.ACCOUNT, gemini_make.account, prefix=gemini.PREFIX, public=True),
        endpoint(sandbox, "GET", gemini_make.STATUS, gemini_make.status, prefix=gemini_make.STATUS_PREFIX, public=True),
        endpoint(sandbox, "GET", "/storage/generations/{name}", files.result, prefix="", public=True),
        endpoint(sandbox, "GET", "/storage/thumbnails/{name}", files.thumbnail, prefix="", public=True),
    ]
    return Starlette(routes=routes, exception_handlers={404: refuse_unknown_path, 405: refuse_unknown_path})
