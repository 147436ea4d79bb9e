"""`DurationLog`: how long each model's generations took, as far as this process saw it. One for each account."""

from __future__ import annotations

from .._models.generation import Generation
from .polled_job import PolledJob
from .schedule import NOTHING_SEEN, ModelTimes

_MODELS_KEPT = 256


class DurationLog(dict[str, ModelTimes]):
    """A running summary for each model, those of the latest models only."""

    def of(self, model: str | None) -> ModelTimes:
        """Return what was seen of a model."""
        return self.get(model or "", NOTHING_SEEN)

    def note(self, job: PolledJob, generation: Generation, now: float | None) -> None:
        """Remember how long a completed job took: by the service's own times, else by when we learnt of it (None: too late)."""
        model = job.ref.model or generation.model
        begin, end = generation.created_at, generation.completed_at
        if not model or not generation.is_completed:
            return
        if begin is not None and end is not None:
            seconds = (end - begin).total_seconds()
        elif generation.processing_ms is not None:
            seconds = generation.processing_ms / 1000
        elif job.dated and now is not None:
            seconds = now - job.since
        else:
            return
        self[model] = self.pop(model, NOTHING_SEEN).with_duration(seconds)
        if len(self) > _MODELS_KEPT:
            del self[next(iter(self))]
