"""How a generation is told: one record, the documents' vocabularies.

A is the vocabulary of SEED 001 and 002, B that of SEED 000 and 003; which fields a payload has follows the example of
its kind and state, `null` where the example spells `null`, absent where it is absent. Pure: a record and the time in,
a JSON-able dict out.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from ..._api import vocabulary as words
from .._catalogue import MODELS
from .._records import StoredGeneration
from .._replies import iso

Payload = dict[str, Any]


def file_url(record: StoredGeneration, base: str) -> str | None:
    """Return where the result file is, or None while there is none."""
    if record.format is None or record.status != words.COMPLETED:
        return None
    return f"{base}/storage/generations/{record.id}.{record.format}"


def eta_seconds(record: StoredGeneration, now: float) -> int:
    return max(1, ceil(record.ready_at - now))


def progress(record: StoredGeneration, now: float) -> int:
    """Return percent done, 0 to 99 while pending."""
    whole = record.ready_at - record.created_at
    return max(0, min(99, int(100 * (now - record.created_at) / whole))) if whole > 0 else 0


# Vocabulary A.


def accepted_in_a(record: StoredGeneration, now: float, base: str, *, tells_eta: bool = False) -> Payload:
    """Return the answer of `POST /generate` [SEED 001, 002; nb:…/generations/video].

    Args:
        record: What was accepted.
        now: Unix seconds.
        base: Where files are.
        tells_eta: Whether a pending one has `eta_seconds` also where the documents show none.
    """
    if record.status == words.PENDING:
        head = {"id": record.id, "status": record.status, "model_slug": record.answer_slug}
        hint = {"eta_seconds": eta_seconds(record, now)} if record.kind == "image" or tells_eta else {}
        made = {} if record.kind == "image" else {"processing_ms": None, "created_at": iso(record.created_at)}
        return {**head, **made, **hint}
    return polled_in_a(record, now, base)


def polled_in_a(record: StoredGeneration, now: float, base: str, *, tells_eta: bool = False) -> Payload:
    """Return the answer of `GET /generate/{id}` [nb:…/generate/status]; the arguments are those of `accepted_in_a`."""
    if record.status == words.FAILED:
        return {"id": record.id, "status": record.status, "error": record.failure, "tokens_spent": 0}
    head: Payload = {"id": record.id, "status": record.status, "model_slug": record.answer_slug}
    if record.status == words.PENDING:
        hint = {"eta_seconds": eta_seconds(record, now)} if record.kind == "image" or tells_eta else {}
        return {**head, "result_url": None, "tokens_spent": 0, **hint}
    spent = {"tokens_spent": record.tokens}
    if record.kind == "stt":
        return {**head, "result_text": record.text, **spent, "processing_ms": record.processing_ms}
    if record.text is not None:
        return {
            **head,
            "result_text": record.text,
            "result_url": None,
            "thumbnail_url": None,
            "error": None,
            **spent,
            "processing_ms": record.processing_ms,
            "result_metadata": None,
        }
    file: Payload = {**head, "result_url": file_url(record, base)}
    facts = {"result_metadata": media_facts(record), "created_at": iso(record.created_at)}
    if record.kind == "video":
        file["thumbnail_url"] = f"{base}/storage/thumbnails/{record.id}.jpg"
    if record.kind in {"image", "tool"}:
        return {**file, **spent, **facts, "seed": record.seed}
    return {**file, **spent, "processing_ms": record.processing_ms, **facts, "completed_at": iso(record.ready_at)}


def media_facts(record: StoredGeneration) -> Payload:
    """Return length in seconds and size in pixels, as far as the file has them."""
    facts = {"duration": record.duration, "width": record.width, "height": record.height}
    return {name: value for name, value in facts.items() if value is not None}


# Vocabulary B, and the music page's own.


def accepted_in_b(record: StoredGeneration, now: float, base: str) -> Payload:
    """Return the answer of `POST /generate` [SEED 003; elu:…/generations/audio]."""
    if record.status == words.COMPLETED and record.kind == "audio":
        return {
            "id": record.id,
            "status": record.status,
            "type": "audio",
            "model": record.answer_slug,
            "output_url": file_url(record, base),
            "duration_seconds": record.duration,
            "tokens_used": record.tokens,
            "created_at": iso(record.created_at),
        }
    payload = polled_in_b(record, now, base)
    if record.text is not None:
        payload.pop("completed_at", None)
    return payload


def polled_in_b(record: StoredGeneration, now: float, base: str) -> Payload:
    """Return the answer of `GET /generate/status/{id}` [SEED 000]."""
    head = {"id": record.id, "status": record.status, "model": record.answer_slug}
    made = {"created_at": iso(record.created_at)}
    if record.status == words.PENDING:
        return {**head, "progress": progress(record, now), "eta_seconds": eta_seconds(record, now), **made}
    if record.status == words.FAILED:
        return {**head, "error": record.failure, "tokens_used": 0, **made}
    spent = {"tokens_used": record.tokens, "balance_remaining": record.balance_after}
    done = {**made, "completed_at": iso(record.ready_at)}
    if record.text is not None:
        usage = {"usage": record.usage} if record.usage else {}
        return {**head, "content": record.text, **spent, **usage, **done}
    seed = {"seed": record.seed} if record.kind == "image" else {}
    return {**head, "url": file_url(record, base), **media_facts(record), **seed, **spent, **done}


# The history.


def listed_in_seed(record: StoredGeneration, base: str) -> Payload:
    """Return an item as SEED 000 shows it."""
    url = file_url(record, base)
    return {
        "id": record.id,
        "type": record.kind,
        "model": record.answer_slug,
        "status": record.status,
        "prompt": record.prompt,
        **({"url": url} if url else {}),
        "tokens_used": record.tokens,
        "created_at": iso(record.created_at),
    }


def listed_in_page(record: StoredGeneration, base: str) -> Payload:
    """Return an item as [nb:en/api-reference/user/history] shows it."""
    return {
        "id": record.id,
        "model_slug": record.answer_slug,
        "model_name": MODELS[record.model].name,
        "category": record.kind,
        "prompt": record.prompt,
        "status": record.status,
        "result_text": record.text if record.status == words.COMPLETED else None,
        "result_url": file_url(record, base),
        "tokens_spent": record.tokens,
        "is_favorited": record.is_favorited,
        "user_rating": record.rating,
        "created_at": iso(record.created_at),
    }
