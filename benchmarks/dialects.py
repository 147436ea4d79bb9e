"""The words of the peers' services, as far as their clients read them: what the lean server answers to each.

It owns the answers to a submission and to a poll, and nothing else. Each has the fields its client insists on and about
the length of the real thing; none comes from a live service. Which request gets which is `server.Site`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

_PROMPT: Final = "A paper boat on a river, early morning fog, slow camera"
_FILE: Final = "https://storage.neuralbox.top/generations/{}.mp4"


@dataclass(frozen=True, slots=True)
class Made:
    """A submitted job. Times are Unix seconds.

    Attributes:
        number: Counted from 1.
        begun: When it was submitted.
        done: When it ends.
        model: As the request named it.
    """

    number: int
    begun: float
    done: float
    model: str


def iso(seconds: float) -> str:
    """Write a time as the services do."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def neuralbox(job: Made, *, ended: bool, base: str) -> dict[str, Any]:  # noqa: ARG001 - all have the same shape
    """A generation, of `GET /generate/{id}` and in the history alike."""
    record: dict[str, Any] = {
        "id": job.number,
        "type": "video",
        "model": job.model,
        "status": "completed" if ended else "pending",
        "prompt": _PROMPT,
        "created_at": iso(job.begun),
    }
    if ended:
        record |= {"url": _FILE.format(job.number), "tokens_used": 45, "completed_at": iso(job.done)}
    return record


def replicate(job: Made, *, ended: bool, base: str) -> dict[str, Any]:
    """A prediction."""
    return {
        "id": str(job.number),
        "model": job.model,
        "version": "hidden",
        "status": "succeeded" if ended else "starting",
        "input": {"prompt": _PROMPT},
        "output": _FILE.format(job.number) if ended else None,
        "logs": "",
        "error": None,
        "metrics": {"predict_time": job.done - job.begun} if ended else {},
        "created_at": iso(job.begun),
        "started_at": None,
        "completed_at": iso(job.done) if ended else None,
        "urls": {
            "get": f"{base}/v1/predictions/{job.number}",
            "cancel": f"{base}/v1/predictions/{job.number}/cancel",
        },
    }


def fal_status(job: Made, *, ended: bool, base: str) -> dict[str, Any]:
    """The state of a request in fal's queue; its submission too, which has more addresses."""
    request = f"{base}/fal/requests/{job.number}"
    return {
        "status": "COMPLETED" if ended else "IN_PROGRESS",
        "request_id": str(job.number),
        "response_url": request,
        "status_url": f"{request}/status",
        "cancel_url": f"{request}/cancel",
        "logs": None,
        "metrics": {"inference_time": job.done - job.begun} if ended else {},
    }


def fal_result(job: Made, *, ended: bool, base: str) -> dict[str, Any]:  # noqa: ARG001
    """What a finished request gave, asked for by a request of its own."""
    return {"video": {"url": _FILE.format(job.number), "content_type": "video/mp4"}, "request_id": str(job.number)}


def runway(job: Made, *, ended: bool, base: str) -> dict[str, Any]:  # noqa: ARG001
    """A task."""
    record: dict[str, Any] = {
        "id": str(job.number),
        "createdAt": iso(job.begun),
        "status": "SUCCEEDED" if ended else "RUNNING",
    }
    if ended:
        return record | {"output": [_FILE.format(job.number)], "cost": {"credits": 45}}
    return record | {"progress": 0.4, "estimatedCost": {"credits": 45.0}}


Dialect = Callable[..., dict[str, Any]]

SUBMISSIONS: Final = MappingProxyType[str, Dialect](
    {
        "/v1/predictions": replicate,
        "/v1/models/owner/model/predictions": replicate,
        "/v1/text_to_video": runway,
        "/fal/video": fal_status,
    }
)
"""Where the peers submit, openai and ourselves aside."""

LOOKS: Final = MappingProxyType[str, Dialect](
    {"/v1/predictions/": replicate, "/v1/tasks/": runway, "/fal/requests/": fal_result}
)
"""Where they poll, by the beginning of the path; what follows is the job's number."""
