"""The catalogue: models and prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from .._api import vocabulary as words
from .._api.builders import require_text
from .._api.request import Request, fill, given
from .._config import CallArgs, CallOptions, Timeout
from .._core.exchange import Core
from .._models.catalogue import ModelInfo, Price
from .._models.page import ItemList
from .._paging import read_listing
from .._transport import Reply


class Models:
    """The service's models; prices come from the service, never from a table here (C21)."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def list(self, **call: Unpack[CallArgs]) -> Sequence[ModelInfo]:
        """Return the catalogue.

        Args:
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Returns:
            The models in the service's order.

        Raises:
            ProtocolError: The answer holds no list.

        Source:
            "List Models" is linked but was never seen; path and envelope are ours (docs/service/neuralbox.md 2.16).
        """

        def read(reply: Reply) -> Sequence[ModelInfo]:
            envelope = read_listing(self._core, reply, of="models")
            return ItemList(ModelInfo.read(record) for record in envelope.records)

        return await self._core.send(Request("GET", words.MODELS), read, CallOptions.of(call))

    async def get(self, slug: str, **call: Unpack[CallArgs]) -> ModelInfo:
        """Return one model.

        Args:
            slug: Such as `dall-e-3`.
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Raises:
            NotFoundError: The service does not know the slug.

        Source:
            `GET /api/v2/models/{slug}` [nb:en/api-reference/models/get].
        """

        def read(reply: Reply) -> ModelInfo:
            return ModelInfo.read(self._core.as_object(reply))

        request = Request("GET", fill(words.MODEL, slug=require_text("slug", slug)))
        return await self._core.send(request, read, CallOptions.of(call))

    async def price(
        self,
        slug: str,
        /,
        *,
        count: int | None = None,
        timeout: float | Timeout | None = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Mapping[str, object] | None = None,
        **options: Any,
    ) -> Price:
        """Ask what a generation with these options costs; nothing is generated or charged.

            await nb.models.price("dall-e-3", size="1792x1024", quality="hd")

        Args:
            slug: Such as `dall-e-3`.
            count: Number of generations; whether it multiplies `token_cost` is not documented.
            timeout: Limits of the HTTP exchange: seconds, or a `Timeout`.
            extra_headers: Headers to add or replace.
            extra_query: Query parameters to add.
            extra_body: Fields to add beside `params` and `count`.
            **options: The options one would generate with; `OMIT` leaves one out.

        Raises:
            NotFoundError: The service does not know the slug.
            UnprocessableEntityError: It does not take an option.

        Source:
            `POST /api/v2/models/{slug}/calculate-price` [nb:en/api-reference/models/calculate-price; SEED 002].
        """

        def read(reply: Reply) -> Price:
            return Price.read(self._core.as_object(reply))

        body: dict[str, Any] = {"params": given(**options)}
        if count is not None:
            body["count"] = count
        # A POST that only works something out: repeated like a GET.
        request = Request("POST", fill(words.MODEL_PRICE, slug=require_text("slug", slug)), body=body)
        return await self._core.send(request, read, CallOptions(timeout, extra_headers, extra_query, extra_body))
