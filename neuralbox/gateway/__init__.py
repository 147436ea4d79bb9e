"""An OpenAI-compatible gateway: programs written for openai's API buy from NeuralBox, and pay once.

    import uvicorn
    from neuralbox import AsyncNeuralBox
    from neuralbox.gateway import KeyFile, app

    uvicorn.run(app(AsyncNeuralBox(), keys=KeyFile("keys.json"), journal="gateway.sqlite"))

It translates `/v1/models`, `/v1/chat/completions`, `/v1/responses`, `/v1/images/generations`, `/v1/audio/speech`,
`/v1/audio/transcriptions` and `/v1/videos`; everything that matters is the client's: one charge, cheap waiting, budgets.
A repeated POST joins the first one, in flight or finished, with a journal also after a crash.

The extra brings what it needs: `pip install 'neuralbox[gateway]'`; `neuralbox gateway` runs it.
"""

from __future__ import annotations

from ._keys import GatewayKey, KeyFile

try:
    from ._app import Gateway
    from ._making import app
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] not in {"python_multipart", "starlette"}:
        raise
    raise ModuleNotFoundError(
        "neuralbox.gateway needs starlette: pip install 'neuralbox[gateway]'", name=_error.name
    ) from _error

__all__ = ["Gateway", "GatewayKey", "KeyFile", "app"]
