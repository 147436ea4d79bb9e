"""What a journal keeps of an end, and the end read from it again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._config import NEURALBOX, Service
from .._journal.protocol import JournalRecord, to_json
from .._models.generation import Generation
from .._result_cache import as_cached


def outcome_record(
    generation: Generation, service: Service = NEURALBOX, *, booked: int | None = None
) -> dict[str, Any]:
    """Return what the journal keeps of a final generation: what the service said, less the prompt, which it keeps elsewhere.

    Args:
        generation: It.
        service: Whose it is.
        booked: Tokens that the run's budget counts for it, which the next run counts too where the service said none.
    """
    said = {name: value for name, value in generation.raw.items() if name not in service.not_kept}
    charged = service.charge(generation)
    if not _is_json(said):  # the service wrote NaN, say
        known = {"status": generation.status, "content": generation.text, "url": generation.url}
        said = known | {"error": generation.error, "tokens_used": charged}
    record = {
        "status": generation.status,
        "tokens": charged if charged or booked is None else booked,
        "kind": generation.kind,
        "model": generation.model,
        "said": said,
    }
    marks = {"partial": generation.is_partial, "cached": generation.is_cached}
    return record | {name: True for name, is_so in marks.items() if is_so}


def _is_json(value: object) -> bool:
    try:
        to_json(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def generation_of(record: JournalRecord, service: Service = NEURALBOX) -> Generation:
    """Read the final generation of a record that has ended; never raises."""
    outcome = record.outcome or {}
    said = outcome.get("said")
    kind, model = outcome.get("kind"), outcome.get("model")
    generation = service.read(
        said if isinstance(said, Mapping) else {"status": record.status},
        kind=kind if isinstance(kind, str) else record.kind,
        asked_id=record.id,
    )
    changes: dict[str, object] = {"is_partial": True} if outcome.get("partial") is True else {}
    if generation.model is None and isinstance(model, str):
        changes["model"] = model
    if changes:
        generation = generation.model_copy(update=changes)
    return as_cached(generation) if outcome.get("cached") is True else generation
