"""API keys of the account."""

from __future__ import annotations

from typing import Unpack

from .._api import vocabulary as words
from .._api.builders import require_text
from .._api.request import Request, RetrySafety, fill
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.account import ApiKeyInfo
from .._transport import Reply
from .._types import GenerationId


class Keys:
    """Making, renaming and revoking keys; listing them is not documented."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(self, *, name: str, **call: Unpack[CallArgs]) -> ApiKeyInfo:
        """Make a key. The answer is the only one that ever shows it.

        Args:
            name: Its label.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The key; `.key` is the secret.

        Raises:
            ConnectionLostError: The connection broke after the request was sent; a key may have been made.

        Source:
            `POST /api/v2/keys` [nb:en/api-reference/keys/create].
        """

        def read(reply: Reply) -> ApiKeyInfo:
            return ApiKeyInfo.read(self._core.as_object(reply))

        request = Request("POST", words.KEYS, RetrySafety.ONCE, body={"name": require_text("name", name)})
        return await self._core.send(request, read, CallOptions.of(call))

    async def rename(self, key_id: GenerationId, *, name: str, **call: Unpack[CallArgs]) -> ApiKeyInfo:
        """Change a key's label.

        Args:
            key_id: The key's id, not the key.
            name: Its new label.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The key as answered; the answer is not documented, so its fields may all be None.

        Raises:
            NotFoundError: The service does not know the id.

        Source:
            `PATCH /api/v2/keys/{key_id}` [elu:en/api-reference/keys/revoke].
        """

        def read(reply: Reply) -> ApiKeyInfo:
            return ApiKeyInfo.read(self._core.as_object(reply) if reply.content.strip() else {})

        request = Request("PATCH", fill(words.KEY, id=key_id), body={"name": require_text("name", name)})
        return await self._core.send(request, read, CallOptions.of(call))

    async def revoke(self, key_id: GenerationId, **call: Unpack[CallArgs]) -> None:
        """Revoke a key; it stops working at once.

        Args:
            key_id: The key's id, not the key.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Raises:
            NotFoundError: The service does not know the id.

        Source:
            `DELETE /api/v2/keys/{key_id}` [elu:en/api-reference/keys/revoke].
        """
        request = Request("DELETE", fill(words.KEY, id=key_id))
        await self._core.send(request, lambda _reply: None, CallOptions.of(call))
