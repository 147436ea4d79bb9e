"""Reading an answer: JSON or one clear error, and the error an HTTP status stands for.

Pure: status, headers and bytes in; values or our errors out. Bodies are read in every documented and likely shape
(`error` as a code or a sentence, FastAPI's `detail`, HTML of a proxy, nothing at all), and no text of an answer goes
into an error before whatever looks like a credential was taken out of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .. import _errors as errors
from .._plain_text import clipped, plain
from . import vocabulary as words
from .fields import as_http_date, as_int, as_number, as_object, as_text, parse_json, sent_at

# Characters: of a body that is no answer, of a refusal's body, of a sentence, of a header, of a word.
_EXCERPT = 300
_BODY = 2_000
_MESSAGE = 500
_HEADER = 200
_WORD = 100
# Complaints about one field.
_PARTS = 20
# What an error keeps of a refusal's headers: nothing that identifies or logs in.
_SAFE_HEADERS = frozenset(
    {
        *(
            "age",
            "allow",
            "cf-cache-status",
            "cf-ray",
            "content-length",
            "content-type",
            "date",
            "retry-after",
            "server",
        ),
        *("via", "x-cache", "x-correlation-id", "x-request-id"),
    }
)
_SAFE_PREFIXES = ("ratelimit", "x-ratelimit-")
# Fields whose value is a credential whatever it looks like (a service may echo the login it refuses).
_SECRET_NAMES = frozenset(
    {"access_token", "refresh_token", "api_key", "authorization", "cookie", "password", "x-api-key", "file_password"}
)
# Keys, access tokens, the query of a signed address, and such fields in text. No part can match the same characters in
# two ways, so a body made to be slow is not.
_SECRET = re.compile(
    r"(?:nb_|geminiai-)[A-Za-z0-9_\-]{4,}|eyJ[A-Za-z0-9_\-.]{8,}|(?i:bearer)\s+[^\s\"'<>]+|\?[^\s\"'<>?=]*=[^\s\"'<>]*"
    rf"|[\"'](?i:{'|'.join(sorted(_SECRET_NAMES))})[\"']\s*:\s*(?:\"(?:[^\"\\]|\\.)*|'(?:[^'\\]|\\.)*)"
)
_CODE = re.compile(r"[a-z][a-z0-9_.\-]*\Z")


def read_json(status_code: int, content: bytes) -> Any:
    """Parse a body.

    Raises:
        ProtocolError: It is empty, HTML, cut, or otherwise not JSON.
    """
    try:
        return parse_json(content)
    except ValueError as error:
        garbled = errors.ProtocolError(
            f"The service answered {status_code} with {_describe(content)} instead of JSON. "
            "If this keeps happening, check `base_url`.",
            status_code=status_code,
            body=excerpt(content),
        )
        garbled.is_garbled = True
        raise garbled from error


def read_object(status_code: int, content: bytes) -> Mapping[str, Any]:
    """Parse a body that must be a JSON object; `ProtocolError` otherwise."""
    value = read_json(status_code, content)
    if not isinstance(value, dict):
        raise errors.ProtocolError(
            f"The service answered {status_code} with a JSON {type(value).__name__} where an object was expected.",
            status_code=status_code,
            body=excerpt(content),
        )
    return value


def excerpt(content: bytes, most: int = _EXCERPT) -> str:
    """Return the first characters of a body without what looks like a credential, or acts on a terminal."""
    return without_secrets(plain(content[: 4 * most].decode("utf-8", "replace"), keep_lines=True))[:most]


def safe_words(text: object, most: int = _MESSAGE) -> str:
    """Return words of the service as a message, a log or a terminal may show them.

    On one line, without control characters and invisible marks, without keys, tokens and the query of addresses, and of
    `most` characters at most, however long the service was. None is "".
    """
    if text is None:
        return ""
    return clipped(without_secrets(plain(str(text)[: 4 * most])), most)


def without_secrets(text: str) -> str:
    """Blank out keys, tokens and the query of addresses."""
    return _SECRET.sub("[hidden]", text)


def _clean(value: Any) -> Any:
    """Blank out what looks like a credential in every text of a parsed body, names included."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {
            without_secrets(name): "[hidden]" if name.lower() in _SECRET_NAMES else _clean(item)
            for name, item in value.items()
        }
    return value


def _describe(content: bytes) -> str:
    start = content[:200].lstrip().lower()
    if not start:
        return "an empty body"
    if start.startswith((b"<!doctype", b"<html", b"<")):
        return "a web page"
    if start.startswith((b"{", b"[")):
        return "broken or cut JSON"
    return "text"


# The error of a status.


class ErrorBody:
    """What an error answer says, in whichever shape.

    Attributes:
        code: The machine code, or None.
        message: The sentence for people, or "".
        details: The `details` object, or {}.
        ours: It is a JSON object with an `error` or `detail` text, or with the `detail` of a validation, so the service
            itself answered, not a proxy.
    """

    __slots__ = ("code", "details", "message", "ours", "record")

    def __init__(self, content: bytes) -> None:
        try:
            value = parse_json(content)
        except ValueError:
            value = None
        # Cleaned before anything else: each part of it may end up in an error.
        self.record: Mapping[str, Any] = _clean(as_object(value) or {})
        if "error" not in self.record:  # FastAPI wraps what its program raises into `detail`
            self.record = as_object(self.record.get("detail")) or self.record
        inner = as_object(self.record.get("error")) or {}
        label = as_text(inner.get("code")) if inner else as_text(self.record.get("error"))
        detail = self.record.get("detail")
        said = (as_text(inner.get("message")), as_text(self.record.get("message")), as_text(detail))
        message = next((text for text in said if text), "")
        self.code = label if label and len(label) <= _WORD and _CODE.match(label) else None
        # C26: `error` may hold the sentence itself.
        self.message = safe_words(message or (label if label and self.code is None else ""))
        self.details: Mapping[str, Any] = as_object(self.record.get("details")) or {}
        self.ours = label is not None or as_text(detail) is not None or _is_validation(detail)


def _is_validation(detail: object) -> bool:
    """Whether this is what FastAPI says of a request that it does not pass on to its program."""
    return isinstance(detail, list) and any(isinstance(each, dict) and {"loc", "msg"} <= each.keys() for each in detail)


_CLASSES: Mapping[int, type[errors.APIStatusError]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.InsufficientTokensError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    422: errors.UnprocessableEntityError,
    429: errors.RateLimitError,
    500: errors.ProviderError,
    503: errors.ModelUnavailableError,
}

_HINTS: Mapping[int, str] = {
    401: "Check the API key (`api_key=` or NEURALBOX_API_KEY).",
    402: "The token balance does not cover this request; `client.account.balance()` shows it.",
    403: "API access needs a VIP or Elite plan, and some models a higher one.",
    404: "Check the id or model, and `base_url`.",
    422: "A field of the request is not accepted; see `.fields`.",
    429: "The plan's hourly or daily limit is reached; see `.retry_after`.",
    503: "The model is down or overloaded; try again later or use another.",
}


def status_error(status_code: int, headers: Mapping[str, str], content: bytes, *, now: float) -> errors.APIStatusError:
    """Build the error of a status that is not 2xx.

    Args:
        status_code: The HTTP status.
        headers: Names are looked up in lower case.
        content: The body, or its beginning.
        now: Unix seconds, to turn dates into waits where the answer has no `Date`.
    """
    body = ErrorBody(content)
    if 300 <= status_code < 400:
        said = "a redirect, which is never followed with a credential; check `base_url`"
    else:
        said = body.message or (body.code or "").replace("_", " ") or _say(body, content)
    label = f"HTTP {status_code}" + (f" ({body.code})" if body.code else "")
    hint = _HINTS.get(status_code, "")
    common: dict[str, Any] = {
        "status_code": status_code,
        "code": body.code,
        "details": body.details,
        **quoted(headers, content, body.record),
    }
    cls = _CLASSES.get(status_code) or (errors.InternalServerError if status_code >= 500 else errors.APIStatusError)
    if cls is errors.RateLimitError:
        common["plan"] = safe_words(as_text(body.record.get("plan")), _WORD) or None
        common["limit_hour"] = as_int(body.record.get("limit_hour"))
        common["limit_day"] = as_int(body.record.get("limit_day"))
    if cls is errors.RateLimitError or cls is errors.ModelUnavailableError:
        common["retry_after"] = read_retry_after(headers, body.record, now=now, limits=status_code == 429)
    if cls is errors.UnprocessableEntityError:
        common["fields"] = read_fields(body.record)
    return cls(f"{label}: {said.rstrip('.')}. {hint}".strip(), **common)


def quoted(headers: Mapping[str, str], content: bytes, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an error keeps of a refusal as it came: its beginning, the headers that tell nothing secret, its fields.

    Args:
        headers: Names are looked up in lower case.
        content: The body, or its beginning.
        record: The body's JSON object, cleaned as `ErrorBody` does it.
    """
    kept = {
        name.lower(): safe_words(value, _HEADER)
        for name, value in headers.items()
        if name.lower() in _SAFE_HEADERS or name.lower().startswith(_SAFE_PREFIXES)
    }
    return {
        "body": excerpt(content, _BODY),
        "headers": kept,
        "raw": record,
        "request_id": safe_words(headers.get("x-request-id"), _HEADER) or None,
    }


def _say(body: ErrorBody, content: bytes) -> str:
    """Describe a refusal that gives no sentence: the fields it complains of, else what kind of body it is."""
    if not body.record:
        return _describe(content)
    fields = read_fields(body.record)
    return "; ".join(f"{name}: {why}" for name, why in fields.items())[:_MESSAGE] or "JSON without a reason"


def read_retry_after(
    headers: Mapping[str, str], record: Mapping[str, Any], *, now: float, limits: bool = True
) -> float | None:
    """Read how long to wait, in seconds; None where nothing says it.

    In this order: `Retry-After` in seconds or as a date, the body's `retry_after`, and for limits the reset time of
    the hourly window, which counts only when that window is used up. Dates are read against the answer's own `Date`,
    and against `now` where there is none.
    """
    header = headers.get("retry-after")
    if header is not None:
        seconds = as_number(header)
        if seconds is not None:
            return max(0.0, seconds)
        moment = as_http_date(header)
        if moment is not None:
            return max(0.0, moment - sent_at(headers, now))
    seconds = as_number(record.get("retry_after"))
    if seconds is not None:
        return max(0.0, seconds)
    if limits:
        remaining, reset = as_number(headers.get(words.REMAINING_HOUR)), as_number(headers.get(words.RESET_HOUR))
        if reset is not None and (remaining is None or remaining <= 0):
            return max(0.0, reset - sent_at(headers, now))
    return None


def read_fields(record: Mapping[str, Any]) -> dict[str, str]:
    """Read the complaints of a 422, field by field, from any layout; {} where there is none."""
    for source in (record.get("details"), record.get("detail"), record.get("errors")):
        found = _fields_in(source)
        if found:
            return found
    return {}


def _fields_in(source: object) -> dict[str, str]:
    if isinstance(source, dict):
        for name in ("fields", "errors"):
            if isinstance(source.get(name), list | dict):
                return _fields_in(source[name])
        return {safe_words(name, _WORD): _complaint(value) for name, value in source.items()}
    if not isinstance(source, list):
        return {}
    found = {}
    for entry in source:
        if isinstance(entry, dict):
            place = entry.get("loc", entry.get("field", entry.get("name", "")))
            # FastAPI's `loc` starts with where the value stood.
            parts = [str(part) for part in place if part != "body"] if isinstance(place, list) else [str(place)]
            found[safe_words(".".join(parts), _WORD)] = _complaint(entry.get("msg", entry.get("message", entry)))
    return found


def _complaint(value: object) -> str:
    if isinstance(value, list):
        return clipped("; ".join(_complaint(part) for part in value[:_PARTS]), _MESSAGE)
    return safe_words(value)
