"""How GeminiGen's models are doing, by its public status; what is known of them stands in `_api.gemini_families`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from .._api import gemini_vocabulary as gemini
from .._api.builders import require_text
from .._api.request import Request, query
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._errors import ProtocolError
from .._transport import Reply
from ._reading import objects, unwrap
from ._standing import ModelGroupStatus


class GeminiModels:
    """What is known of the models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def status(self, *, window: str = "1h", **call: Unpack[CallArgs]) -> Sequence[ModelGroupStatus]:
        """Ask how the groups of models have been doing; free, and sent without the key.

        Args:
            window: Of what time, such as `1h`.
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Returns:
            One for each group, in the service's order.

        Raises:
            ConfigurationError: The window is no text; nothing was sent.
            ProtocolError: The answer has no list of models.
            APIStatusError: The service refused, by status.

        Source:
            Two clients (docs/service/geminigen.md 8), `GET /api/v1/models/status`, outside `/uapi/v1`.
        """

        def read(reply: Reply) -> Sequence[ModelGroupStatus]:
            said = unwrap(self._core.as_object(reply))
            if not isinstance(said.get("models"), list):
                raise ProtocolError(
                    f"The service answered {reply.status_code} without a list of models.", status_code=reply.status_code
                )
            return [ModelGroupStatus.read(record) for record in objects(said["models"])]

        pairs = query(window=require_text("window", window))
        request = Request("GET", gemini.MODELS_STATUS, query=pairs, prefix=gemini.STATUS_PREFIX, anonymous=True)
        return await self._core.send(request, read, CallOptions.of(call))
