"""Result files and thumbnails: served without a key, whole or in ranges, until the plan's retention has passed.

A file is made at its first download, from the record alone, so that it is the same after a restart. Ranges are those
of RFC 9110 section 14, one at a time; several in one request are answered with the whole file, as it allows.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from starlette.responses import Response

from ..._api import vocabulary as words
from .._records import StoredGeneration
from .._replies import Refusal, not_found
from .._server.endpoint import IncomingCall

_DAY: Final = 86_400
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_MOST_DIGITS: Final = 18
MEDIA_TYPES: Final = {
    "webp": "image/webp",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
}


async def result(call: IncomingCall) -> Response:
    """Return the file of a completed generation."""
    key, _, ending = call.path("name").partition(".")
    record = _available(call, key)
    if record.format != ending:
        raise not_found(call.request.url.path)
    return _serve(call, await made(call, record), ending)


async def made(call: IncomingCall, record: StoredGeneration) -> bytes:
    """Return the result file of a completed generation, and keep its size."""
    file = await call.sandbox.media.result(record)
    if record.size_bytes is None:
        call.sandbox.ledger.change(record, size_bytes=len(file))
    return file


async def thumbnail(call: IncomingCall) -> Response:
    """Return the first frame of a video."""
    key, _, ending = call.path("name").partition(".")
    record = _available(call, key)
    if record.kind != "video" or ending != "jpg":
        raise not_found(call.request.url.path)
    return _serve(call, await call.sandbox.media.thumbnail(record), ending)


def _available(call: IncomingCall, key: str) -> StoredGeneration:
    record = call.sandbox.ledger.find(key)
    if record is None or record.status != words.COMPLETED:
        raise not_found(call.request.url.path)
    plan = call.sandbox.ledger.account(record.account).plan
    days = words.RETENTION_DAYS[plan]
    if days is not None and call.now >= record.ready_at + days * _DAY:
        raise Refusal("file_expired", f"Files are kept for {days} days on the plan {plan}.", status=410)
    return record


def _serve(call: IncomingCall, file: bytes, ending: str) -> Response:
    tag = f'"{hashlib.sha256(file).hexdigest()[:24]}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600"}
    media_type = MEDIA_TYPES[ending]
    wanted = _RANGE.fullmatch(call.request.headers.get("range", "").replace(" ", ""))
    if wanted is None or wanted.group() == "bytes=-" or call.request.headers.get("if-range", tag) != tag:
        return Response(file, headers=headers, media_type=media_type)
    first, last = _bounds(wanted.group(1), wanted.group(2), len(file))
    if first > last:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(file)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(file)}"
    return Response(file[first : last + 1], 206, headers=headers, media_type=media_type)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """Return the first and last byte that a range means; the first is past the last where it cannot be satisfied."""
    if not first:
        suffix = _position(last, size)
        return (size - suffix, size - 1) if suffix else (size, size - 1)
    return _position(first, size), min(_position(last, size), size - 1) if last else size - 1


def _position(digits: str, size: int) -> int:
    """Read a number of any length; what is past the end of the file is its size."""
    significant = digits.lstrip("0") or "0"
    return size if len(significant) > _MOST_DIGITS else min(int(significant), size)
