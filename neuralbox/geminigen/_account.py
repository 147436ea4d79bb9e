"""The account at GeminiGen: whose key it is, and what is left."""

from __future__ import annotations

from typing import Unpack

from .._api import gemini_vocabulary as gemini
from .._api.request import Request
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._transport import Reply
from ._reading import unwrap
from ._standing import GeminiUser


class GeminiAccount:
    """The account the key belongs to."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def get(self, **call: Unpack[CallArgs]) -> GeminiUser:
        """Ask whose key it is and what is left; free, and a good check of a key.

        Args:
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Raises:
            AuthenticationError: The key is not known.
            APIStatusError: The service refused, by status.

        Source:
            Clients [gem:client 5, 7, 8, 9, 10], `GET /uapi/v1/account`.
        """

        def read(reply: Reply) -> GeminiUser:
            return GeminiUser.read(unwrap(self._core.as_object(reply)))

        return await self._core.send(Request("GET", gemini.ACCOUNT), read, CallOptions.of(call))
