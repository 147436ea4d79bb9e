"""GeminiGen's creation: pictures, films, their extension and storyboards, speech and documents; and what its account and its models are like.

Everything is taken on by the one ledger, charged when it completes, and shown by the two views of `gemini`. The fields are
read by the vendor's pages where there is one, and loosely where only clients tell; what is assumed beyond that is in
`_assumptions`. The words are written here once more and not imported, and a test compares them with the client's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from starlette.datastructures import ImmutableMultiDict, UploadFile
from starlette.responses import JSONResponse, Response

from ..._api import vocabulary as words
from .._catalogue import CatalogueModel
from .._generation_request import GenerationRequest
from .._records import SandboxAccount, StoredGeneration
from .._replies import Refusal
from .._server.endpoint import IncomingCall
from .gemini import GeminiRefusal, identify, listed, uuid_of
from .uploads import read_form

ACCOUNT: Final = "/account"
STATUS_PREFIX: Final = "/api/v1"
STATUS: Final = "/models/status"

_IMAGEN_FAMILIES: Final = frozenset({"grok", "gpt-image-2", "gpt-image-2-lower"})
_VIDEO_FAMILIES: Final = frozenset(
    {"veo", "sora", "grok", "grok-lower", "seedance", "kling", "flux", "minimax", "meta"}
)
_EXTENDED: Final = frozenset({"veo", "grok", "seedance", "kling"})
# Credits: the examples of the documents and clients; what none of them names is an assumption.
_CREDITS: Final[Mapping[str, int]] = {"nano-banana-2": 3, "veo-3.1-fast": 4, "veo-2": 20, "sora-2": 75}
_IMAGE_CREDITS, _VIDEO_CREDITS, _CREDITS_A_CHARACTER = 10, 20, 2
_SECONDS: Final = {"image": (4.0, 12.0), "video": words.USUAL_VIDEO_SECONDS, "tts": (2.0, 6.0)}
_PIXELS: Final = {
    "1:1": (1024, 1024), "16:9": (1456, 816), "9:16": (816, 1456), "4:3": (1184, 880), "3:4": (880, 1184),
    "landscape": (1456, 816), "portrait": (816, 1456), "square": (1024, 1024),
}  # fmt: skip
_MOST_REFERENCES: Final = {"veo": 3, "sora": 1, "flux": 10, "minimax": 9, "gpt-image-2-lower": 10}
_ENDINGS: Final = frozenset({"png", "jpg", "jpeg", "webp", "gif", "mp4", "mov", "webm", "mp3", "wav"})
_DOCUMENTS: Final = frozenset(
    {"docx", "xlsx", "pptx", "pdf", "epub", "mobi", "txt", "html", "odt", "ods", "odp", "azw", "azw3"}
)
_MAX_DOCUMENT: Final = 100 * 1024 * 1024
_BYTES_A_CREDIT: Final = 100
_STORYBOARDS: Final = frozenset({"grok"})
_MAX_CHARACTERS: Final = 10_000
_CHARACTERS_A_SECOND: Final = 14
FAILURE: Final = "Content was blocked"


async def image(call: IncomingCall) -> Response:
    """Make a picture [gem:image]."""
    account = identify(call)
    form = await _form(call)
    model = _text(form, "model", required=True)
    return await _picture(call, account, form, model, family="generate_image")


async def imagen(call: IncomingCall) -> Response:
    """Make a picture with a family that has a path of its own."""
    account = identify(call)
    family = call.path("family")
    if family not in _IMAGEN_FAMILIES:
        raise GeminiRefusal("", "Not Found", status=404)
    return await _picture(call, account, await _form(call), family, family=family)


async def meta_image(call: IncomingCall) -> Response:
    """Make a picture with Meta's models."""
    return await _picture(call, identify(call), await _form(call), "meta_ai", family="meta_ai")


async def video(call: IncomingCall) -> Response:
    """Make a film [gem:video, gem:sora]."""
    account = identify(call)
    family = call.path("family")
    if family not in _VIDEO_FAMILIES:
        raise GeminiRefusal("", "Not Found", status=404)
    form = await _form(call)
    prompt, model = _text(form, "prompt", required=True), _text(form, "model", required=True)
    reference = _references(form, family)
    return _film(call, account, prompt, model, form, reference)


async def extend(call: IncomingCall) -> Response:
    """Extend a film: `prompt` and the uuid of the source, whose model it inherits."""
    account = identify(call)
    if call.path("family") not in _EXTENDED:
        raise GeminiRefusal("", "Not Found", status=404)
    form = await _form(call)
    prompt, source = _text(form, "prompt", required=True), _text(form, "ref_history", required=True)
    for record in call.sandbox.ledger.of_account(account, listed=False):
        if record.kind == "video" and uuid_of(record) == source:
            return _film(call, account, prompt, record.model, form, f"history:{source}")
    raise GeminiRefusal("", "Reference history not found", status=404)


async def storyboard(call: IncomingCall) -> Response:
    """Make a film of several scenes, on the larger plans."""
    account = identify(call)
    if call.path("family") not in _STORYBOARDS:
        raise GeminiRefusal("", "Not Found", status=404)
    form = await _form(call)
    scenes = _list_in(form, "scenes")
    if not 2 <= len(scenes) <= 10 or not all(isinstance(scene, dict) and scene.get("prompt") for scene in scenes):
        raise _invalid("scenes", "must be 2 to 10, each with a prompt")
    seconds = [scene.get("duration") for scene in scenes]
    if not all(each in (6, 10) for each in seconds) or sum(seconds) > 45:
        raise _invalid("scenes", "must have 6 or 10 seconds each, and 45 together")
    if account.plan == "free":
        raise GeminiRefusal("GROK_PREMIUM_PLAN_REQUIRED", "A premium plan is required", status=402)
    prompt = "\n".join(str(scene["prompt"]) for scene in scenes)
    model = _text(form, "model") or "grok-3"
    return _film(call, account, prompt, model, form, None, seconds=sum(seconds), scenes=len(scenes))


async def speech(call: IncomingCall) -> Response:
    """Speak a text [gem:speech]."""
    account, body = identify(call), _json(call)
    said = _said(body.get("input"), "input")
    record = _spoken(call, account, body, said, low=1.0)
    item = listed(record, account, call.now, call.base)
    return JSONResponse({"success": True, "result": {**item, "estimated_credit": record.price}})


async def dialogue(call: IncomingCall) -> Response:
    """Speak a dialogue [gem:dialogue]; its reply has no `id`, `type` or `input_text`."""
    account, body = identify(call), _json(call)
    blocks = body.get("blocks")
    if not isinstance(blocks, list) or not blocks or not all(isinstance(block, dict) for block in blocks):
        raise _invalid("blocks", "Field required")
    said = "\n".join(_said(block.get("input"), "blocks") for block in blocks)
    record = _spoken(call, account, body, said, low=0.5)
    item = listed(record, account, call.now, call.base)
    shown = ("uuid", "model_name", "used_credit", "status", "status_percentage", "error_message", "created_at")
    asked = {name: body.get(name) for name in ("voices", "speed", "blocks", "output_format", "output_channel", "name")}
    told = {name: item[name] for name in shown}
    return JSONResponse({"success": True, "result": {**asked, **told, "estimated_credit": record.price}})


async def document(call: IncomingCall) -> Response:
    """Read a document aloud [gem:document]; its record shows the document's name as what was said."""
    account = identify(call)
    form = await _form(call)
    file = form.get("file")
    if not isinstance(file, UploadedFile):
        raise _invalid("file", "Field required")
    if file.name.rpartition(".")[2].lower() not in _DOCUMENTS:
        raise GeminiRefusal("FILE_TYPE_NOT_ALLOWED", f"{file.name} is not allowed", status=400)
    if file.size > _MAX_DOCUMENT:
        raise GeminiRefusal("MAXIMUM_FILE_SIZE_EXCEED", "A document has at most 100 MB", status=400)
    try:
        speed = float(_text(form, "speed") or 1)
    except ValueError as error:
        raise _invalid("speed", "must be a number") from error
    said = {
        "voices": _list_in(form, "voices"),
        "speed": speed,
        "model": _text(form, "model") or "tts-flash",
        "output_format": _text(form, "output_format") or "mp3",
    }
    record = _spoken(call, account, said, file.name, low=1.0, document=file.size)
    item = listed(record, account, call.now, call.base)
    told = {"estimated_credit": record.price, "file_password": _text(form, "file_password") or None}
    return JSONResponse({"success": True, "result": {**item, **told}})


async def account(call: IncomingCall) -> Response:
    """Say whose key it is, and what is left."""
    found = identify(call)
    credit = {"available_credit": found.free_tokens, "locked_credit": found.reserved}
    return JSONResponse(
        {
            "uuid": f"user-{found.number}",
            "is_active": True,
            "full_name": "Sandbox User",
            "email": "sandbox@example.com",
            "plan_id": found.plan,
            "user_credit": credit,
            "user_benefits": [],
        }
    )


async def status(call: IncomingCall) -> Response:
    """Say how the models are doing; public and free."""
    groups = ("nano-banana", "imagen", "veo", "sora", "grok", "kling", "seedance")
    window = call.request.query_params.get("window", "1h")
    return JSONResponse({"window": window, "models": [{"group_key": key, "success_rate": 0.98} for key in groups]})


# What is asked for.


class UploadedFile(NamedTuple):
    """A file of a form."""

    name: str
    size: int


Fields: TypeAlias = "ImmutableMultiDict[str, str | UploadedFile]"


async def _form(call: IncomingCall) -> Fields:
    """Read the form; a body that is none lacks every field."""
    try:
        form = await read_form(call.request.headers, call.body)
    except Refusal as refusal:
        raise _invalid("prompt", "Field required") from refusal
    try:
        return ImmutableMultiDict([(name, _part(part)) for name, part in form.multi_items()])
    finally:
        await form.close()


def _part(part: str | UploadFile) -> str | UploadedFile:
    return part if isinstance(part, str) else UploadedFile(part.filename or "", len(part.file.read()))


def _json(call: IncomingCall) -> dict[str, Any]:
    try:
        return call.json()
    except Refusal as refusal:
        raise GeminiRefusal("", refusal.message, status=422) from refusal


def _invalid(name: str, why: str) -> GeminiRefusal:
    return GeminiRefusal("", f"Invalid input field: ('body', '{name}'), {why}", status=422)


def _text(form: Fields, name: str, *, required: bool = False) -> str:
    value = form.get(name, "")
    if not isinstance(value, str) or (required and not value.strip()):
        if name == "prompt" and name in form:
            raise GeminiRefusal("EMPTY_PROMPT", "The prompt is empty", status=400)
        raise _invalid(name, "Field required")
    return value


def _list_in(form: Fields, name: str) -> list[Any]:
    """Read a list that stands in a field as JSON."""
    try:
        found = json.loads(_text(form, name, required=True))
    except ValueError as error:
        raise _invalid(name, "must be JSON") from error
    if not isinstance(found, list):
        raise _invalid(name, "must be a list")
    return found


def _references(form: Fields, family: str) -> str | None:
    """Check what a film or picture is to go by, and return where the first of it is."""
    found: list[str] = []
    for name in ("files", "ref_images", "ref_videos", "ref_audios", "file_urls", "ref_history"):
        for part in form.getlist(name):
            if isinstance(part, UploadedFile):
                if part.name.rpartition(".")[2].lower() not in _ENDINGS or not part.size:
                    raise GeminiRefusal("FILE_TYPE_NOT_ALLOWED", f"{part.name} is not allowed", status=400)
                found.append(f"upload:{part.name}")
            else:
                found.append(part)
    if len(found) > _MOST_REFERENCES.get(family, len(found)):
        raise GeminiRefusal("TOO_MANY_IMAGES", f"{family} takes at most {_MOST_REFERENCES[family]}", status=400)
    return found[0] if found else None


def _said(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _invalid(name, "Field required")
    if len(value) > _MAX_CHARACTERS:
        raise GeminiRefusal("TEXT_TOO_LONG", f"A text has at most {_MAX_CHARACTERS} characters", status=400)
    return value


# What is made.


async def _picture(
    call: IncomingCall, account: SandboxAccount, form: Fields, model: str, *, family: str
) -> JSONResponse:
    prompt = _text(form, "prompt", required=True)
    shape = _text(form, "aspect_ratio") or _text(form, "orientation") or "1:1"
    if shape not in _PIXELS and shape.count(":") != 1:
        raise _invalid("aspect_ratio", "must be a ratio")
    width, height = _PIXELS.get(shape, _PIXELS["1:1"])
    request = GenerationRequest(
        model=_model(model, "image"),
        prompt=prompt,
        price=_CREDITS.get(model, _IMAGE_CREDITS),
        format=_text(form, "output_format") or "jpeg",
        width=width,
        height=height,
        reference=_references(form, family),
    )
    if request.format not in ("jpeg", "png"):
        raise _invalid("output_format", "must be jpeg or png")
    record = _taken_on(call, account, request)
    return JSONResponse(listed(record, account, call.now, call.base))


def _film(
    call: IncomingCall,
    account: SandboxAccount,
    prompt: str,
    model: str,
    form: Fields,
    reference: str | None,
    *,
    seconds: int | None = None,
    scenes: int = 1,
) -> JSONResponse:
    if seconds is None:
        seconds = _seconds(form)
    wide = _text(form, "aspect_ratio") not in ("9:16", "portrait", "vertical")
    request = GenerationRequest(
        model=_model(model, "video"),
        prompt=prompt,
        price=_CREDITS.get(model, _VIDEO_CREDITS) * scenes,
        format="mp4",
        width=1280 if wide else 720,
        height=720 if wide else 1280,
        duration=seconds,
        reference=reference,
    )
    record = _taken_on(call, account, request)
    return JSONResponse({**listed(record, account, call.now, call.base), "estimated_credit": record.price})


def _seconds(form: Fields) -> int:
    seconds = _text(form, "duration") or "8"
    if not seconds.isdecimal() or len(seconds) > 3 or not int(seconds):
        raise _invalid("duration", "must be a whole number of seconds")
    return int(seconds)


def _spoken(
    call: IncomingCall,
    account: SandboxAccount,
    body: Mapping[str, Any],
    said: str,
    *,
    low: float,
    document: int | None = None,
) -> StoredGeneration:
    """Take speech on: of a text, or of a document of so many bytes, whose name is what `said` has."""
    speed, ending = body.get("speed", 1.0), body.get("output_format", "mp3")
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not low <= speed <= 4:
        raise _invalid("speed", f"must be from {low:g} to 4")
    if ending not in ("mp3", "wav"):
        raise _invalid("output_format", "must be mp3 or wav")
    voices = body.get("voices")
    if not isinstance(voices, Sequence) or not voices:
        raise GeminiRefusal("VOICE_NOT_FOUND", "No voice was given", status=404)
    model = str(body.get("model", "tts-flash"))
    request = GenerationRequest(
        model=_model(model, "tts"),
        prompt=said,
        price=_CREDITS_A_CHARACTER * len(said) if document is None else -(-document // _BYTES_A_CREDIT),
        format=ending,
        duration=max(1, round(len(said) / _CHARACTERS_A_SECOND / speed)),
        document_bytes=document,
    )
    return _taken_on(call, account, request)


def _model(slug: str, kind: words.Kind) -> CatalogueModel:
    return CatalogueModel(slug, slug, kind, "GeminiGen", "free", 1, 1, "fixed")


def _taken_on(call: IncomingCall, account: SandboxAccount, request: GenerationRequest) -> StoredGeneration:
    sandbox = call.sandbox
    number = sandbox.ledger.generation_count
    # Equal requests take different times, the same ones in each run with this seed.
    seconds = sandbox.ledger.rng(f"time/{call.route}/{number}").uniform(*_SECONDS[request.model.kind])
    try:
        return sandbox.ledger.accept(
            account,
            request,
            dialect=sandbox.settings.dialect,
            seconds=seconds / sandbox.settings.speed,
            lag=sandbox.faults.seconds("listing-lag", call.route),
            failure=FAILURE if sandbox.faults.strikes("fail-generation", call.route) else None,
        )
    except Refusal as refusal:
        raise GeminiRefusal("NOT_ENOUGH_CREDIT", "Not enough credit", status=402) from refusal
