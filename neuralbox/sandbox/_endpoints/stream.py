"""Texts as server-sent events: start, deltas, end, `[DONE]`; and the two ways a stream goes wrong on request.

The generation does not depend on its client: one that leaves half-way finds the whole text under its id a moment
later, and is charged for it. A failed one is told by an error event and costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..._api import vocabulary as words
from .._media.texts import deltas_of
from .._records import StoredGeneration
from .._server.connection import hang_up, until_left
from .._state import SandboxState

_PROVIDER_FAILED = "Provider error: upstream provider failed"


class EventStream(Response):
    """The stream of one generation.

    Args:
        delay: Time between two deltas, seconds.
        price_field: What the end calls the price: `tokens_used` (with the balance) or `tokens_spent`.
    """

    media_type = "text/event-stream"

    def __init__(
        self, sandbox: SandboxState, record: StoredGeneration, route: str, *, delay: float, price_field: str
    ) -> None:
        super().__init__(media_type=self.media_type, headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._sandbox, self._record, self._delay = sandbox, record, delay
        self._price_field = price_field
        self._cut = sandbox.faults.strikes("cut-stream", route)
        if sandbox.faults.strikes("stream-error", route):
            sandbox.ledger.change(record, failure=_PROVIDER_FAILED)
        self._failure = record.failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:

            async def tell() -> None:
                await self._tell(scope, receive, send)
                tasks.cancel_scope.cancel()

            async def watch() -> None:
                await until_left(receive)
                tasks.cancel_scope.cancel()

            tasks.start_soon(tell)
            # A cut waits for the client's end by itself, and only one may listen.
            if not self._cut:
                tasks.start_soon(watch)

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        record, ledger = self._record, self._sandbox.ledger
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _event(send, {"type": words.GENERATION_START, "id": record.id, "model": record.answer_slug})
        pieces = deltas_of(record.text or "")
        for index, piece in enumerate(pieces):
            if index * 2 >= len(pieces) and (self._cut or self._failure):
                break
            if self._delay:
                await anyio.sleep(self._delay)
            await _event(send, {"type": words.CONTENT_DELTA, "delta": piece})
        if self._cut:
            await hang_up(scope, receive)
            return
        ledger.finish(record)
        if self._failure:
            await _event(send, {"type": words.STREAM_ERROR, "message": self._failure})
        else:
            await _event(send, {"type": words.GENERATION_END, "id": record.id, **self._bill()})
            await _line(send, words.DONE)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _bill(self) -> Mapping[str, Any]:
        if self._price_field == "tokens_spent":
            return {"tokens_spent": self._record.tokens}
        return {"tokens_used": self._record.tokens, "balance_remaining": self._record.balance_after}


async def _event(send: Send, event: Mapping[str, Any]) -> None:
    await _line(send, json.dumps(event, ensure_ascii=False))


async def _line(send: Send, data: str) -> None:
    await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
