"""A route for starlette, and for FastAPI, which is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from .._concurrency.callbacks import call_either
from .._errors import WebhookError
from .._models.webhook_event import MAX_BYTES, WebhookEvent
from ._receiver import WebhookReceiver

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def starlette_route(
    path: str, receiver: WebhookReceiver, *, on_event: Callable[[WebhookEvent], Any] | None = None
) -> Any:  # a starlette.routing.Route, which is not known where starlette is not installed
    """Return a `starlette.routing.Route` that takes a service's events.

        app = Starlette(routes=[starlette_route("/hooks/geminigen", WebhookReceiver(gg, public_key=pem))])

    It answers 200 to what it has taken and to what it has had before, 400 to what is no event, 401 to a wrong signature
    and 413 to what is too long; GeminiGen sends again after an hour what was not answered with 200, three times.

    Args:
        path: Where; a path that nobody guesses keeps made-up events away.
        receiver: Takes the events.
        on_event: Called with each new event before it is answered; plain or async. Where it raises, the event counts as not received.

    Raises:
        ImportError: starlette is not installed.
    """
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def receive(request: Request) -> Response:
        body = bytearray()
        async with aclosing(request.stream()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > MAX_BYTES:
                    return PlainTextResponse("The event is too long.", 413)
        try:
            if receiver.blocks:
                event = await to_thread.run_sync(receiver.receive, bytes(body), request.headers)
            else:
                event = receiver.receive(bytes(body), request.headers)
        except WebhookError as error:
            return PlainTextResponse(str(error), error.status_code)
        if event is not None and on_event is not None:
            try:
                await call_either(on_event, event)
            except BaseException:
                receiver.forget(event)
                raise
        return PlainTextResponse("ok")

    return Route(path, receive, methods=["POST"])
