"""What the service answers, built as the documents show it, for mocks: a generation, a page, a stream, a refusal."""

from __future__ import annotations

import json
from typing import Any

from .._api import vocabulary as words


def generation(**changes: Any) -> dict[str, Any]:
    """Build a completed generation [SEED 001]; `changes` replace and add fields, by the service's names."""
    return {
        "id": 18_473,
        "status": words.COMPLETED,
        "model_slug": "gpt-5",
        "result_text": "Good morning",
        "result_url": None,
        "thumbnail_url": None,
        "error": None,
        "tokens_spent": 3,
        "processing_ms": 1_842,
        "result_metadata": None,
        **changes,
    }


def history(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Build a page of the history [SEED 000] with these items, the only page unless `changes` say otherwise."""
    return {"items": [*items], "total": len(items), "page": 1, "limit": words.DEFAULT_PAGE_SIZE, "pages": 1, **changes}


def refused(code: str, message: str = "No.", **fields: Any) -> dict[str, Any]:
    """Build a refusal in the documented shape, as arguments of a route's `respond`.

        router["generate"].respond(**refused("rate_limit_exceeded", retry_after=30))

    Args:
        code: One of the documented codes; it decides the status.
        message: What the service says.
        fields: Added to the body.

    Raises:
        ValueError: There is no such code; the message lists them.
    """
    if code not in words.STATUS_OF_CODE:
        raise ValueError(f"There is no code {code!r}. There are: {', '.join(words.STATUS_OF_CODE)}.")
    body = {"error": code, "message": message, "details": {}, **fields}
    return {"status_code": words.STATUS_OF_CODE[code], "json": body}


def streamed(*deltas: str, id: int | str = 18_473, model: str = "gpt-5", cut: bool = False) -> dict[str, Any]:
    """Build a stream of events, as arguments of a route's `respond`.

        router["generate"].respond(**streamed("Good ", "morning"))  # "stream" where the client has Dialect(stream="path")

    Args:
        deltas: The pieces of the text.
        id: Of the generation.
        model: Its slug.
        cut: Whether it ends after the last piece, without its end.
    """
    events: list[dict[str, Any]] = [{"type": words.GENERATION_START, "id": id, "model": model}]
    events += [{"type": words.CONTENT_DELTA, "delta": delta} for delta in deltas]
    if not cut:
        events.append({"type": words.GENERATION_END, "id": id, "tokens_used": 3, "balance_remaining": 283})
    lines = [*map(json.dumps, events), *([] if cut else [words.DONE])]
    content = "".join(f"data: {line}\n\n" for line in lines).encode()
    return {"content": content, "headers": {"Content-Type": "text/event-stream"}}
