"""The body of a request: read within a limit, as JSON or as a form, with a digest by which a repetition is known.

What is too long is read to its end and dropped, within bounds: a client that is still sending would see a broken
connection in place of the answer. A form's digest is that of its fields, since each sending draws another boundary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import anyio
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from ._error_answers import RefusedCallError, refuse, too_large
from ._joins import digest_of
from ._orders import FormUpload

_DROPPED: Final = 1024 * 1024 * 1024
_DROPPED_SECONDS: Final = 300.0
_FIELDS: Final = 200


def header_of(request: Request, name: bytes) -> str | None:
    """Return a header by its name in lower case, as ASGI has it, without starlette's object for all of them."""
    for each, value in request.scope["headers"]:
        if each == name:
            text: str = value.decode("latin-1")
            return text
    return None


async def read_json(request: Request, most: int) -> tuple[Mapping[str, Any], str]:
    """Read a JSON object.

    Returns:
        The object, and a digest of the path and the body.

    Raises:
        RefusedCallError: It is too long, or no JSON object.
    """
    content = await _read(request, most)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise refuse(None, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise refuse(None, "The body of the request must be a JSON object.")
    return body, digest_of(_path(request), content)


async def read_form(request: Request, most: int) -> tuple[Mapping[str, Any], str]:
    """Read a form, or a JSON object where it is one; files are `FormUpload`.

    Raises:
        RefusedCallError: It is too long, or no form.
    """
    kind = header_of(request, b"content-type") or ""
    if kind.lower().startswith("application/json"):
        return await read_json(request, most)
    content = await _read(request, most)

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    # In another application starlette would raise what that one is to answer.
    scope = {name: value for name, value in request.scope.items() if name != "app"}
    values: dict[str, Any] = {}
    parts = [_path(request)]
    try:
        async with Request(scope, receive).form(max_files=4, max_fields=_FIELDS, max_part_size=most) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    file = values[name] = FormUpload(value.filename or "", await value.read())
                    parts += [name.encode(), file.name.encode(), file.content]
                else:
                    values[name] = value
                    parts += [name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")]
    except (MultiPartException, ValueError, KeyError) as error:
        raise refuse(None, "We could not parse the form of your request.") from error
    return values, digest_of(*parts)


def _path(request: Request) -> bytes:
    path: str = request.scope["path"]
    return path.encode()


async def _read(request: Request, most: int) -> bytes:
    declared = header_of(request, b"content-length") or ""
    is_long = declared.isdigit() and int(declared) > most
    pieces, size, goes_on = list[bytes](), 0, True
    while goes_on and not is_long:
        piece, goes_on = await _next_piece(request)
        size += len(piece)
        pieces.append(piece)
        is_long = size > most
    if is_long:
        pieces.clear()
        with anyio.move_on_after(_DROPPED_SECONDS):
            while goes_on and size <= _DROPPED:
                piece, goes_on = await _next_piece(request)
                size += len(piece)
        raise RefusedCallError(too_large(most))
    return b"".join(pieces)


async def _next_piece(request: Request) -> tuple[bytes, bool]:
    """Return a piece of the body, and whether there is more."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise refuse(None, "The client left before its request was whole.")
    return message.get("body", b""), message.get("more_body", False)


async def has_left(request: Request) -> bool:
    """Tell whether the client is gone, or has its answer.

    Where uvicorn serves, its own marks are read: to be asked as any server may be takes two turns of the loop.
    """
    cycle = getattr(request.receive, "__self__", None)
    is_gone = getattr(cycle, "disconnected", None)
    if isinstance(is_gone, bool):
        return is_gone or getattr(cycle, "response_complete", False) is True
    return await request.is_disconnected()
