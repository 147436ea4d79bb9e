"""What a refusal of GeminiGen means: by its `error_code` first, by its HTTP status second.

The sources give several statuses for one code (an unknown key is 404 here and 401 there), so a 404 is not "no such
generation" before the code was read. Bodies are read in every shape that was seen: `detail` as an object, as a
sentence, as a list of complaints, the same fields at the top level, HTML, nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from .. import _errors as errors
from .._api import gemini_vocabulary as gemini
from .._api.fields import as_text
from .._api.reply import ErrorBody, quoted, read_fields, read_retry_after, safe_words

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,99}\Z")

_BY_CODE: Mapping[str, type[errors.APIStatusError]] = {
    **dict.fromkeys(gemini.KEY_CODES, errors.AuthenticationError),
    **dict.fromkeys(gemini.CREDIT_CODES, errors.InsufficientTokensError),
    **dict.fromkeys(gemini.PLAN_CODES, errors.PermissionDeniedError),
    **dict.fromkeys(gemini.MISSING_CODES, errors.NotFoundError),
    **dict.fromkeys(gemini.LIMIT_CODES, errors.RateLimitError),
    **dict.fromkeys(gemini.INPUT_CODES, errors.BadRequestError),
    **dict.fromkeys(gemini.SERVER_CODES, errors.InternalServerError),
}
_BY_STATUS: Mapping[int, type[errors.APIStatusError]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.InsufficientTokensError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    422: errors.UnprocessableEntityError,
    429: errors.RateLimitError,
    503: errors.ModelUnavailableError,
}
_HINTS: Mapping[type[errors.APIStatusError], str] = {
    errors.AuthenticationError: "Check the API key (`api_key=` or GEMINIGEN_API_KEY).",
    errors.InsufficientTokensError: "The account's credits do not cover this request, or running jobs hold them.",
    errors.PermissionDeniedError: "The account's plan does not include this.",
    errors.NotFoundError: "Check the uuid (not the numeric id), and `base_url`.",
    errors.UnprocessableEntityError: "A field of the request is not accepted; see `.fields`.",
    errors.RateLimitError: "Too many requests or jobs at once; see `.retry_after`.",
}


def status_error(status_code: int, headers: Mapping[str, str], content: bytes, *, now: float) -> errors.APIStatusError:
    """Build the error of a status that is not 2xx.

    Args:
        status_code: The HTTP status.
        headers: Names are looked up in lower case.
        content: The body, or its beginning.
        now: Unix seconds, to turn dates into waits.

    Source:
        GeminiGen, `/getting-started/errors`; the shapes and statuses its clients met.
    """
    body = ErrorBody(content).record
    code = _code_of(body)
    cls = _class_of(code, status_code)
    if 300 <= status_code < 400:
        said = "a redirect, which is never followed with a credential; check `base_url`"
    else:
        said = _said(body) or (code or "").replace("_", " ").lower() or _phrase(status_code)
    label = f"HTTP {status_code}" + (f" ({code})" if code else "")
    rest: dict[str, Any] = {
        "status_code": status_code,
        "code": code,
        **quoted(headers, content, body),
    }
    if cls is errors.RateLimitError or cls is errors.ModelUnavailableError:
        rest["retry_after"] = read_retry_after(headers, body, now=now, limits=False)
    if cls is errors.UnprocessableEntityError:
        rest["fields"] = read_fields(body)
    return cls(f"{label}: {said.rstrip('.')}. {_HINTS.get(cls, '')}".strip(), **rest)


def is_ours(content: bytes) -> bool:
    """Whether the body of a refusal is the service's own JSON."""
    body = ErrorBody(content).record
    return bool(_code_of(body) or _said(body))


def _code_of(body: Mapping[str, Any]) -> str | None:
    code = as_text(body.get("error_code"))
    return code if code and _CODE.match(code) else None


def _class_of(code: str | None, status_code: int) -> type[errors.APIStatusError]:
    by_code = _BY_CODE.get(code or "")
    if by_code is not None:
        return by_code
    if code is not None and code.endswith(f"_{gemini.PREMIUM_PLAN_REQUIRED}"):
        return errors.PermissionDeniedError
    # 5xx says nothing about charges here, so NeuralBox's class for its documented 500 is not used.
    fallback = errors.InternalServerError if status_code >= 500 else errors.APIStatusError
    return _BY_STATUS.get(status_code, fallback)


def _said(body: Mapping[str, Any]) -> str:
    """The sentence, in the order of docs/service/geminigen.md 4; a validation's complaints; "" where there is none."""
    sentences = (as_text(body.get(name)) for name in ("error_message", "message", "detail", "error"))
    fields = "; ".join(f"{name}: {why}" for name, why in read_fields(body).items())
    return safe_words(next((text for text in sentences if text), "") or fields)


def _phrase(status_code: int) -> str:
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return "a refusal without a reason"
