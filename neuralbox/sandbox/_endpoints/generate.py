"""Endpoints that make generations and tell how they are: generate, stream, poll, transcribe."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from ..._api import vocabulary as words
from .._catalogue import MODELS, PLAN_RANK, CatalogueModel
from .._generation_request import GenerationRequest, read_generation_request
from .._media.texts import transcript_of
from .._records import SandboxAccount, StoredGeneration
from .._replies import Refusal, bad_request, invalid, not_found
from .._server.connection import pause
from .._server.endpoint import IncomingCall
from .._state import SandboxState
from .answers import accepted_in_a, accepted_in_b, polled_in_a, polled_in_b
from .stream import EventStream
from .uploads import read_upload

FAILURE: Final = "Provider error: content policy violation"  # [SEED 000]


async def generate(call: IncomingCall) -> Response:
    """Answer 2.1: every kind of generation; `"stream": true` turns a text into events."""
    request = _read(call)
    if request.streams:
        return _events(call, request, price_field="tokens_used")
    record = await _make(call, request)
    return JSONResponse(_accepted(call, record))


async def generate_stream(call: IncomingCall) -> Response:
    """Answer 2.2: the same for texts, always as events."""
    request = _read(call)
    if request.model.kind != "text":
        raise invalid({"model": "only text models stream"})
    return _events(call, request, price_field="tokens_spent")


async def by_number(call: IncomingCall) -> Response:
    """Answer 2.3: how a generation is, in vocabulary A."""
    record, now = _found(call, text_ids=False), call.sandbox.clock()
    return JSONResponse(polled_in_a(record, now, call.base, tells_eta=_tells_eta(call)))


async def by_text(call: IncomingCall) -> Response:
    """Answer 2.4: how a generation is, in vocabulary B."""
    return JSONResponse(polled_in_b(_found(call, text_ids=True), call.sandbox.clock(), call.base))


async def transcribe(call: IncomingCall) -> Response:
    """Answer 2.20: speech to text, from a multipart upload."""
    _check_limits(call)
    upload = await read_upload(call.request.headers, call.body)
    model = MODELS.get(upload.model)
    if model is None:
        raise not_found(f"The model {upload.model!r}")
    if model.kind != "stt":
        raise bad_request(f"{model.slug} does not transcribe.")
    _check_plan(call.account, model)
    text = transcript_of(upload.audio, diarize=upload.diarize and model.slug == "elevenlabs-scribe")
    record = await _make(call, GenerationRequest(model=model, prompt=upload.filename, price=model.low, text=text))
    return JSONResponse(_accepted(call, record))


def _accepted(call: IncomingCall, record: StoredGeneration) -> dict[str, Any]:
    now = call.sandbox.clock()
    if call.sandbox.settings.dialect == "B":
        return accepted_in_b(record, now, call.base)
    return accepted_in_a(record, now, call.base, tells_eta=_tells_eta(call))


def _tells_eta(call: IncomingCall) -> bool:
    """Return whether clients are told how long: those that know the real service would wait far too long here."""
    return call.sandbox.settings.speed != 1


# Before it is accepted.


def _read(call: IncomingCall) -> GenerationRequest:
    _check_limits(call)
    body = call.json()
    request = read_generation_request(body, assistant=_assistant(call, body.get("assistant_id")))
    _check_plan(call.account, request.model)
    return request


def _check_limits(call: IncomingCall) -> None:
    if call.sandbox.settings.enforce_limits:
        call.sandbox.ledger.check_limits(call.account)


def _check_plan(account: SandboxAccount, model: CatalogueModel) -> None:
    if PLAN_RANK[account.plan] < PLAN_RANK[model.min_plan]:
        raise Refusal(
            words.INSUFFICIENT_PLAN,
            f"{model.slug} needs the plan {model.min_plan}; this account is on {account.plan}.",
            details={"plan": account.plan, "required": [model.min_plan]},
        )


def _assistant(call: IncomingCall, key: Any) -> dict[str, Any] | None:
    if key is None:
        return None
    assistant = call.sandbox.ledger.find_entry("assistants", str(key))
    if assistant.get("account") != call.account.name:
        raise not_found(f"The assistant {key!r}")
    return assistant


# Accepting.


async def _make(call: IncomingCall, request: GenerationRequest) -> StoredGeneration:
    """Take the generation on, and wait for it if its kind answers at once."""
    sandbox = call.sandbox
    waits = _job_seconds(sandbox, request, call.route)
    seconds = waits if waits is not None else sandbox.settings.service_seconds / sandbox.settings.speed
    record = _accept(call, request, seconds)
    # One that answers at once is finished here; if its client leaves, the clock finishes it.
    if waits is None and (not seconds or await pause(seconds, call.request.receive)):
        sandbox.ledger.finish(record)
    return record


def _accept(call: IncomingCall, request: GenerationRequest, seconds: float) -> StoredGeneration:
    faults = call.sandbox.faults
    return call.sandbox.ledger.accept(
        call.account,
        request,
        dialect=call.sandbox.settings.dialect,
        seconds=seconds,
        lag=faults.seconds("listing-lag", call.route),
        failure=FAILURE if faults.strikes("fail-generation", call.route) else None,
    )


def _job_seconds(sandbox: SandboxState, request: GenerationRequest, route: str) -> float | None:
    """Return how long a job of this kind is pending, in seconds of the clock; None for those that answer at once."""
    model = request.model
    if not (model.kind == "video" or model.is_midjourney or (model.kind == "audio" and sandbox.settings.slow_music)):
        return None
    # Equal requests take different times, the same ones in each run with this seed.
    number = sandbox.ledger.generation_count
    return sandbox.ledger.rng(f"time/{route}/{number}").uniform(*model.usual_seconds) / sandbox.settings.speed


def _events(call: IncomingCall, request: GenerationRequest, *, price_field: str) -> Response:
    delay = call.sandbox.settings.stream_delay / call.sandbox.settings.speed
    pieces = (request.text or "").count(" ") + 1
    record = _accept(call, request, seconds=delay * pieces if delay else _A_MOMENT)
    return EventStream(call.sandbox, record, call.route, delay=delay, price_field=price_field)


_A_MOMENT: Final = 1.0
"""When a stream's generation completes by itself if its client leaves it, seconds of the clock."""


# Asking how it is.


def _found(call: IncomingCall, *, text_ids: bool) -> StoredGeneration:
    record = call.sandbox.ledger.find(call.path("id"), call.account)
    if record is None or (call.sandbox.settings.strict_paths and isinstance(record.id, str) != text_ids):
        raise not_found(f"The generation {call.path('id')}")
    return record
