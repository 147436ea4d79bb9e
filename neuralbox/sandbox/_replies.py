"""Refusals and plain replies: documented bodies, statuses and headers.

A refusal is raised as `Refusal` from wherever it is noticed and becomes one JSON body in `endpoint`. The
layout of the 422 details is this sandbox's own (see `_assumptions`); the 429 body is the documented one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from .._api import vocabulary as words


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of the sandbox
    """A request that is answered with an error body.

    Attributes:
        status: HTTP status.
        code: The machine word of the body's `error`.
        message: The human sentence.
        details: The body's `details`; None leaves the field out.
        extra: More top-level fields (429 has some).
        headers: More headers.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        details: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = words.STATUS_OF_CODE[code] if status is None else status
        self.code = code
        self.message = message
        self.details = {} if details is None and extra is None else details
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        body: dict[str, Any] = {"error": self.code, "message": self.message}
        if self.details is not None:
            body["details"] = dict(self.details)
        return JSONResponse({**body, **self.extra}, self.status, headers=self.headers)


def bad_request(message: str) -> Refusal:
    return Refusal(words.BAD_REQUEST, message)


def invalid(fields: Mapping[str, str]) -> Refusal:
    """Build a 422 with a complaint for each field."""
    first = "; ".join(f"{name}: {complaint}" for name, complaint in fields.items())
    return Refusal(words.VALIDATION_ERROR, f"The request is not valid: {first}", details={"fields": dict(fields)})


def not_found(what: str) -> Refusal:
    return Refusal(words.NOT_FOUND, f"{what} was not found.")


def not_authenticated(message: str = "Not authenticated") -> Refusal:
    return Refusal(words.NOT_AUTHENTICATED, message)


def too_many(*, retry_after: int, plan: str, limits: tuple[int, int], window: str = "Hourly") -> Refusal:
    """Build a 429 as documented, plus a `Retry-After` header."""
    return Refusal(
        words.RATE_LIMIT_EXCEEDED,
        f"{window} limit reached. Try again in {retry_after} s.",
        extra={"retry_after": retry_after, "plan": plan, "limit_hour": limits[0], "limit_day": limits[1]},
        headers={"Retry-After": str(retry_after)},
    )


def provider_error() -> Refusal:
    return Refusal(words.PROVIDER_ERROR, "The upstream provider failed. No tokens were charged.")


def model_unavailable() -> Refusal:
    return Refusal(words.MODEL_UNAVAILABLE, "The model is temporarily unavailable.")


def proxy_page(status: int) -> Response:
    """Return the page of a proxy in front of the service."""
    reason = {502: "Bad Gateway", 504: "Gateway Timeout"}[status]
    page = f"<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body><h1>{status} {reason}</h1></body>\r\n</html>\r\n"
    return Response(page, status, media_type="text/html")


def iso(moment: float) -> str:
    """Write Unix seconds as the service does: ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
