"""Assistants: stored system prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from .._api import vocabulary as words
from .._api.builders import require_text
from .._api.request import Request, RetrySafety, given, query
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.catalogue import Assistant
from .._models.page import ItemList
from .._paging import read_listing
from .._transport import Reply
from .._types import OMIT, Omit


class Assistants:
    """Making assistants and browsing the marketplace; use one with `text.create(assistant_id=...)`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        name: str,
        model: str | Omit = OMIT,
        instructions: str | Omit = OMIT,
        description: str | Omit = OMIT,
        **call: Unpack[CallArgs],
    ) -> Assistant:
        """Make an assistant.

        Args:
            name: Its name.
            model: Slug of its model.
            instructions: Its system prompt.
            description: What it is for.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The assistant; only its `id` is documented.

        Raises:
            ConnectionLostError: The connection broke after the request was sent; an assistant may have been made.

        Source:
            `POST /api/v2/assistants` [nb:en/guides/assistants]; which fields are required is not documented.
        """

        def read(reply: Reply) -> Assistant:
            return Assistant.read(self._core.as_object(reply))

        body = given(name=require_text("name", name), model=model, instructions=instructions, description=description)
        request = Request("POST", words.ASSISTANTS, RetrySafety.ONCE, body=body)
        return await self._core.send(request, read, CallOptions.of(call))

    async def marketplace(
        self, *, category: str | None = None, limit: int | None = None, **call: Unpack[CallArgs]
    ) -> Sequence[Assistant]:
        """Return assistants others offer; paging is not documented.

        Args:
            category: Such as `productivity`.
            limit: Most assistants to return.
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Raises:
            ProtocolError: The answer holds no list.

        Source:
            `GET /api/v2/assistants/marketplace` [nb:en/guides/assistants].
        """

        def read(reply: Reply) -> Sequence[Assistant]:
            envelope = read_listing(self._core, reply, of="assistants")
            return ItemList(Assistant.read(record) for record in envelope.records)

        request = Request("GET", words.MARKETPLACE, query=query(category=category, limit=limit))
        return await self._core.send(request, read, CallOptions.of(call))
