"""`with_raw_response` of GeminiGen: its door once more, its calls returning the HTTP reply beside the value."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from .._raw import raw

if TYPE_CHECKING:
    from ._client import AsyncGeminiGen


class RawGeminiDoors:
    """The doors of a client whose calls return a `RawResponse`."""

    def __init__(self, client: AsyncGeminiGen) -> None:
        self._client = client

    @cached_property
    def history(self) -> RawGeminiHistory:
        """See `AsyncGeminiGen.history`."""
        return RawGeminiHistory(self._client)


class RawGeminiHistory:
    """`history` with raw responses; `list` is one page."""

    def __init__(self, client: AsyncGeminiGen) -> None:
        self.list = raw(client.history.list)
        self.get = raw(client.history.get)
