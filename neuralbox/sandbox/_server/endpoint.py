"""The path of every request: recorded, delayed, refused or let in, answered, perhaps spoilt.

The order is: read and record the request; faults that strike before anything happens; who is asking; the handler; what
it raised as a refusal; faults that strike after it was carried out; the headers that every answer has. The handlers
(`_endpoints`) know only their own endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..._api import vocabulary as words
from .._ledger import BODY_KEPT
from .._records import Received, SandboxAccount
from .._replies import Refusal, bad_request, invalid, model_unavailable, provider_error, proxy_page, too_many
from .._state import SandboxState
from .access import identify
from .connection import CutAnswer, Hangup, Silence, pause

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
RETRY_AFTER: Final = 1
"""What the `rate-limit` fault asks for, seconds."""


@dataclass(slots=True)
class IncomingCall:
    """One request on its way to a handler.

    Attributes:
        route: Method and path template below the prefix.
        account: Whose it is; only endpoints without authentication must not ask.
        body: All of it.
        now: Unix seconds of the sandbox's clock when it arrived.
    """

    sandbox: SandboxState
    request: Request
    route: str
    body: bytes
    now: float
    owner: SandboxAccount | None = None

    @property
    def account(self) -> SandboxAccount:
        assert self.owner is not None
        return self.owner

    @property
    def base(self) -> str:
        """Return scheme and host as the client wrote them: links in results lead there."""
        host = self.request.headers.get("host", "127.0.0.1")
        return f"{self.request.url.scheme}://{host}"

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def json(self, *, optional: bool = False) -> dict[str, Any]:
        """Return the body as a JSON object; 400 if it is none."""
        if optional and not self.body.strip():
            return {}
        try:
            value = json.loads(self.body)
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise bad_request("The body holds half a character (a surrogate without its other half).") from error
        except ValueError as error:
            raise bad_request("The body is not valid JSON.") from error
        except RecursionError as error:
            raise bad_request("The body is nested too deeply.") from error
        if not isinstance(value, dict):
            raise bad_request("The body must be a JSON object.")
        return value

    def text_of(self, body: Mapping[str, Any], name: str, *, required: bool = False) -> str | None:
        """Return a text of the body; 400 if it is required and missing, 422 if it is no text or empty."""
        value = body.get(name)
        if value is None:
            if required:
                raise bad_request(f"The parameter `{name}` is missing.")
            return None
        if not isinstance(value, str) or not value.strip():
            raise invalid({name: "must be a string that is not empty"})
        return value


Handler: TypeAlias = Callable[[IncomingCall], Awaitable[Response]]


def endpoint(
    sandbox: SandboxState,
    method: str,
    template: str,
    handler: Handler,
    *,
    prefix: str = words.PREFIX,
    public: bool = False,
) -> Route:
    """Make the route of an endpoint.

    Args:
        sandbox: Whose endpoint it is.
        method: HTTP method; GET answers HEAD too.
        template: Path below the prefix, with names in braces.
        handler: What answers a request that was let in.
        prefix: What stands before the template.
        public: Whether it answers without authentication.
    """
    route = f"{method} {template}"

    async def answer(request: Request) -> Response:
        received = Received(route, request.url.path, request.url.query, sandbox.clock(), dict(request.headers))
        sandbox.ledger.record_request(received)
        try:
            body = await _read(request)
        except ClientDisconnect:
            return Response()
        except Refusal as refusal:
            return refusal.response()
        received.body = body[:BODY_KEPT]
        call = IncomingCall(sandbox, request, route, body, received.at)
        response = await _carry_out(call, handler, public=public)
        received.status = None if isinstance(response, (Hangup, Silence)) else response.status_code
        _stamp(call, response)
        return response

    methods = ["GET", "HEAD"] if method == "GET" else [method]
    return Route(prefix + template, answer, methods=methods, name=route)


async def refuse_unknown_path(request: Request, error: Exception) -> Response:
    """Answer a path or a method that does not exist."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return Refusal("method_not_allowed", f"{request.method} is not possible here.", status=405).response()
    return Refusal(words.NOT_FOUND, f"There is nothing at {request.url.path}.").response()


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refusal("payload_too_large", f"A request has at most {MAX_BODY_BYTES} bytes.", status=413)
    return bytes(body)


async def _carry_out(call: IncomingCall, handler: Handler, *, public: bool) -> Response:
    faults, route = call.sandbox.faults, call.route
    delay = faults.seconds("latency", route) + faults.seconds("latency-jitter", route)
    if delay:
        await pause(delay, call.request.receive)
    spoilt = _before(call)
    if spoilt is not None:
        return spoilt
    try:
        if not public:
            call.owner = identify(call.sandbox, call.request.headers.get("authorization"))
        response = await handler(call)
    except Refusal as refusal:
        return refusal.response()
    return _after(call, response)


def _before(call: IncomingCall) -> Response | None:
    """Return the fault that strikes before anything has happened, if one does."""
    faults, route = call.sandbox.faults, call.route
    if faults.strikes("drop-before-accept", route):
        return Hangup()
    if faults.strikes("html-502", route):
        return proxy_page(502)
    if faults.strikes("rate-limit", route):
        return too_many(retry_after=RETRY_AFTER, plan="vip", limits=words.PLAN_LIMITS["vip"]).response()
    if faults.strikes("error-500", route):
        return provider_error().response()
    if faults.strikes("error-503", route):
        return model_unavailable().response()
    return None


def _after(call: IncomingCall, response: Response) -> Response:
    """Return the answer, or the fault that strikes when everything has been done."""
    faults, route = call.sandbox.faults, call.route
    if faults.strikes("drop-after-accept", route):
        return Hangup()
    if faults.strikes("reset-after-accept", route):
        return Hangup(reset=True)
    if faults.strikes("hang", route):
        return Silence()
    if faults.strikes("error-500-after-accept", route):
        return provider_error().response()
    for status in (502, 504):
        if faults.strikes(f"error-{status}-after-accept", route):
            return proxy_page(status)
    if isinstance(response, JSONResponse):
        if faults.strikes("cut-answer", route):
            return CutAnswer(response)
        if faults.strikes("garbled-json", route):
            return Response(bytes(response.body)[:-1] + b',"', response.status_code, media_type="application/json")
    elif faults.strikes("cut-file", route):
        return CutAnswer(response)
    return response


def _stamp(call: IncomingCall, response: Response) -> None:
    """Set the headers of every answer: the sandbox's time and, where the account is known, its limits."""
    response.headers["Date"] = formatdate(call.sandbox.clock(), usegmt=True)
    if call.owner is not None:
        limits = words.PLAN_LIMITS[call.owner.plan]
        left = call.sandbox.ledger.limits_left(call.owner)
        response.headers[words.LIMIT_HOUR] = str(limits[0])
        response.headers[words.REMAINING_HOUR] = str(left[0])
        response.headers[words.LIMIT_DAY] = str(limits[1])
        response.headers[words.REMAINING_DAY] = str(left[1])
        response.headers[words.RESET_HOUR] = str(call.owner.hour + 3_600)
