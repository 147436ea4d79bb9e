"""GeminiGen's history: the same generations, told as that service tells of its own.

A second view of the ledger and nothing more: whoever made images, videos and speech through the other endpoints, of either
service (`gemini_make`), sees them here with the same key, under a uuid, with states that are integers and refusals in a `detail`. Shapes and names are
those of SEED 004. The words are written here once more and not imported, and a test compares them with the client's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from starlette.responses import JSONResponse, Response

from ..._api import vocabulary as words
from .._records import SandboxAccount, StoredGeneration
from .._replies import Refusal
from .._server.endpoint import IncomingCall
from .answers import file_url, progress
from .files import made

PREFIX: Final = "/uapi/v1"
HISTORIES: Final = "/histories"
HISTORY: Final = "/history/{uuid}"
KEY_HEADER: Final = "x-api-key"
_KEY_PREFIXES: Final = (words.KEY_PREFIX, "geminiai-")  # of which nothing else is a key
_DEFAULT_ITEMS: Final = 10
_MOST_ITEMS: Final = 100
_MOST_DIGITS: Final = 18
_DAY: Final = 86_400
_KEPT_DAYS: Final = 30  # from creation to expiry in the seed's example

# Kind here -> (`type`, `inference_type`) there; the other kinds have no record there.
_TYPES: Final = {
    "image": ("image_generation", "text_to_image"),
    "video": ("video_generation", "text_to_video"),
    "tts": ("tts-text", "gemini_voice"),
}
_STATES: Final = {words.PENDING: (1, "processing"), words.COMPLETED: (2, "completed"), words.FAILED: (3, "failed")}
_FILTERS: Final = {"image": "image", "video": "video", "audio": "tts"}


class GeminiRefusal(Refusal):
    """A refusal in GeminiGen's words; without a code it is the framework's own plain `detail`."""

    def response(self) -> JSONResponse:
        """Return the body with its status."""
        detail: object = {"error_code": self.code, "error_message": self.message} if self.code else self.message
        return JSONResponse({"detail": detail}, self.status)


async def histories(call: IncomingCall) -> Response:
    """Return the list: a page of records with their `media_files`, newest first [SEED 004]."""
    account = identify(call)
    page = _whole(call, "page", 1)
    size = min(_whole(call, "items_per_page", _DEFAULT_ITEMS), _MOST_ITEMS)
    wanted = call.request.query_params.get("filter_by", "all")
    found = [record for record in call.sandbox.ledger.of_account(account) if _is_wanted(record, wanted)]
    shown = found[(page - 1) * size : page * size]
    items = [listed(record, account, call.now, call.base) for record in shown]
    return JSONResponse({"success": True, "total": len(found), "result": items})


async def history(call: IncomingCall) -> Response:
    """Return the detail: one bare record with its videos, images, sounds and references [SEED 004]."""
    account = identify(call)
    asked = call.path("uuid")
    number = asked.rpartition("-")[2]
    for record in call.sandbox.ledger.of_account(account):
        if f"{record.number:012x}" == number and record.kind in _TYPES and uuid_of(record) == asked:
            if record.status == words.COMPLETED:
                await made(call, record)
            return JSONResponse(detailed(record, account, call.now, call.base))
    raise GeminiRefusal("", "Not Found", status=404)


# Who is asking, and for what.


def identify(call: IncomingCall) -> SandboxAccount:
    """Return whose key it is."""
    key = call.request.headers.get(KEY_HEADER, "")
    if not key:
        raise GeminiRefusal("API_KEY_REQUIRED", "API key is required", status=401)
    if key in _KEY_PREFIXES:
        raise GeminiRefusal("API_KEY_NOT_FOUND", "API key not found", status=404)
    return call.sandbox.ledger.account_of_key(key)


def _is_wanted(record: StoredGeneration, wanted: str) -> bool:
    if record.kind not in _TYPES:
        return False
    return wanted == "all" or _FILTERS.get(wanted, wanted) in {record.kind, record.status}


def _whole(call: IncomingCall, name: str, default: int) -> int:
    value = call.request.query_params.get(name, str(default))
    if not value.isdecimal() or len(value) > _MOST_DIGITS or int(value) < 1:
        raise GeminiRefusal("", f"Invalid input field: ('query', '{name}'), must be an integer from 1", status=422)
    return int(value)


# A record as that service tells it. Pure: a record and the time in, a JSON-able dict out.


def uuid_of(record: StoredGeneration) -> str:
    """Return the uuid of a generation: always the same, with its number at the end so that it is found without a search."""
    return f"{_derived(record, 'history')[:23]}-{record.number:012x}"


def listed(record: StoredGeneration, account: SandboxAccount, now: float, base: str) -> dict[str, Any]:
    """Return an item of the list, in the order of the seed's example."""
    url = file_url(record, base)
    moments = {"created_at": _moment(record.created_at), "updated_at": _moment(_changed_at(record))}
    kind = "audio" if record.kind == "tts" else record.kind
    files = [{"type": kind, "url": url, "size": record.size_bytes or 0, **moments}] if url else []
    return {**_scalars(record, account, now, base), "media_files": files, **_tail(record, account, base)}


def detailed(record: StoredGeneration, account: SandboxAccount, now: float, base: str) -> dict[str, Any]:
    """Return the detail, in the order of the seed's example; only the record's own kind has files."""
    nested = {
        "generated_video": [_video(record, base)] if record.kind == "video" else [],
        "generated_image": [_image(record, base)] if record.kind == "image" else [],
        "generated_audio": [_audio(record, base)] if record.kind == "tts" else [],
        "reference_item": [_reference(record)] if record.reference else [],
    }
    return {**_scalars(record, account, now, base), **_tail(record, account, base), **nested}


def _scalars(record: StoredGeneration, account: SandboxAccount, now: float, base: str) -> dict[str, Any]:
    type_, inference = _TYPES[record.kind]
    if record.document_bytes is not None:
        type_ = "tts-document"
    state, description = _STATES[record.status]
    return {
        "id": record.number,
        "uuid": uuid_of(record),
        "user_id": account.number,
        "model_name": record.answer_slug,
        "input_text": record.prompt or "",
        "negative_prompt": "",
        "generate_result": file_url(record, base) or "",
        "input_file_path": "",
        "type": type_,
        "used_credit": record.tokens,
        "status": state,
        "status_desc": description,
        "status_percentage": progress(record, now) if record.status == words.PENDING else 100,
        "error_code": "SYSTEM_ERROR" if record.status == words.FAILED else "",
        "error_message": (record.failure or "") if record.status == words.FAILED else "",
        "rating": "" if record.rating is None else str(record.rating),
        "rating_content": "",
        "custom_prompt": "",
        "created_at": _moment(record.created_at),
        "updated_at": _moment(_changed_at(record)),
        "file_size": record.size_bytes or 0 if record.document_bytes is None else record.document_bytes,
        "expired_at": _moment(record.created_at + _KEPT_DAYS * _DAY),
        "inference_type": inference,
        "name": (record.prompt or "")[:50],
    }


def _tail(record: StoredGeneration, account: SandboxAccount, base: str) -> dict[str, Any]:
    has_still = record.kind == "video" and record.status == words.COMPLETED
    thumbnail = _still(record, base) if has_still else file_url(record, base) if record.kind == "image" else None
    return {"created_by": f"user_{account.number}", "thumbnail_url": thumbnail or ""}


def _video(record: StoredGeneration, base: str) -> dict[str, Any]:
    return {
        "id": record.number,
        "uuid": _derived(record, "video"),
        "history_id": record.number,
        "video_uri": f"generations/{record.id}.{record.format}",
        "duration": record.duration,
        "aspect_ratio": _ratio(record),
        "resolution": f"{min(record.width or 0, record.height or 0)}p",
        "person_generation": "enabled",
        "last_frame": _still(record, base) if record.status == words.COMPLETED else "",
        "status": _STATES[record.status][0],
        "error_message": "",
        "video_url": file_url(record, base) or "",
    }


def _image(record: StoredGeneration, base: str) -> dict[str, Any]:
    url = file_url(record, base) or ""
    uri = f"generations/{record.id}.{record.format}"
    thumbnail = {"id": record.number, "uuid": _derived(record, "thumbnail"), "size": "small", "uri": uri, "url": url}
    return {
        "id": record.number,
        "uuid": _derived(record, "image"),
        "history_id": record.number,
        "model": record.answer_slug,
        "image_uri": uri,
        "response_text": "Generated successfully" if url else "",
        "status": _STATES[record.status][0],
        "error_message": "",
        "style": "",
        "aspect_ratio": _ratio(record),
        "person_generation": "enabled",
        "safety_filter_level": "medium",
        "image_url": url,
        "file_download_url": url,
        "thumbnails": [thumbnail] if url else [],
        "base64_data": "",
    }


def _audio(record: StoredGeneration, base: str) -> dict[str, Any]:
    url = file_url(record, base) or ""
    return {
        "history_id": record.number,
        "id": record.number,
        "uuid": _derived(record, "audio"),
        "voices": ["Gacrux"],
        "speed": 1.0,
        "model": record.answer_slug,
        "model_name": record.answer_slug,
        "status": _STATES[record.status][0],
        "custom_prompt": "",
        "audio_uri": f"generations/{record.id}.{record.format}",
        "emotion": "neutral",
        "output_format": record.format,
        "vibe_id": 1,
        "accent": "american",
        "output_channel": "mono",
        "audio_url": url,
        "file_download_url": url,
    }


def _reference(record: StoredGeneration) -> dict[str, Any]:
    uuid = _derived(record, "reference")
    return {
        "id": record.number,
        "history_id": record.number,
        "uuid": uuid,
        "media_type": "image",
        "uri": f"references/{uuid}.jpg",
        "thumbnail_uri": f"thumbnails/{uuid}.jpg",
        "thumbnail_url": record.reference,
        "mask_uri": "",
        "mask_url": "",
    }


def _derived(record: StoredGeneration, role: str) -> str:
    return str(uuid5(_NAMESPACE, f"{role}/{record.id}"))


_NAMESPACE: Final[UUID] = uuid5(NAMESPACE_URL, "neuralbox sandbox")


def _still(record: StoredGeneration, base: str) -> str:
    return f"{base}/storage/thumbnails/{record.id}.jpg"


def _ratio(record: StoredGeneration) -> str:
    width, height = record.width or 1, record.height or 1
    return "1:1" if width == height else "16:9" if width > height else "9:16"


def _changed_at(record: StoredGeneration) -> float:
    return record.created_at if record.status == words.PENDING else record.ready_at


def _moment(seconds: float) -> str:
    """Write milliseconds and a Z, as the seed writes times."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
