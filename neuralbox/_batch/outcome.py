"""What became of one request of a batch, and what a batch would cost, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._errors import NeuralBoxError
from .._models.generation import Generation
from .._requests.requests import BatchRequest
from .._types import JobRef, PlainValues


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """Say what became of one request of a batch.

    Attributes:
        key: The request's key.
        request: The request, as it was given where it is none; None where only the journal knew of it.
        generation: The final state, a failed one included; None where none was reached.
        error: Why there is no result, or no file; None where all went well. `generation` and `error` are both set where
            the generation failed, and where its file could not be saved.
        path: Its file, where the batch downloads.
        price: Tokens it was announced to cost, where the batch asked; None otherwise.
        job: The paid generation, where there is one; `client.job(outcome.job)` attaches again.
        resumed: Whether it was final before this run began, and comes from the journal.
        credits: Credits charged, by a service that counts by those; None elsewhere, or where it did not say.
    """

    key: str
    request: BatchRequest | Mapping[str, Any] | None = field(default=None, repr=False)
    generation: Generation | None = None
    error: Exception | None = None
    path: Path | None = None
    price: int | None = None
    job: JobRef | None = None
    resumed: bool = False
    credits: int | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a result, and its file where one was wanted."""
        return self.error is None

    @property
    def tokens(self) -> int | None:
        """Tokens charged: 0 where nothing was sent or the service charges nothing, None where it did not say."""
        if self.generation is not None:
            return 0 if self.generation.is_failed and self.generation.tokens is None else self.generation.tokens
        return 0 if self.job is None else None

    def _repr_html_(self) -> str:
        """Show it in a notebook: its result, or why there is none, and what an open one may be."""
        from .._html import result_html  # only notebooks need it

        generation, error = self.generation, self.error
        said = "" if error is None else error.message if isinstance(error, NeuralBoxError) else str(error)
        return result_html(
            kind=None if generation is None else generation.kind,
            url=None if generation is None else generation.url,
            still=None if generation is None else generation.thumbnail_url,
            text=None if generation is None else generation.text,
            error=said,
            facts=(self.key, *(() if self.job is None else (self.job.model, self.job.id)), self.path),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as plain values, without the request: what is not known is null."""
        generation, error = self.generation, self.error
        message = error.message if isinstance(error, NeuralBoxError) else str(error)
        return {
            "key": self.key,
            "ok": self.ok,
            "id": None if self.job is None else self.job.id,
            "kind": None if self.job is None else self.job.kind,
            "model": None if self.job is None else self.job.model,
            "status": None if generation is None else generation.status,
            "text": None if generation is None else generation.text,
            "url": None if generation is None else generation.url,
            "path": None if self.path is None else str(self.path),
            "price": self.price,
            "tokens": self.tokens,
            "error": None if error is None else {"type": type(error).__name__, "message": message},
            "resumed": self.resumed,
            **({} if self.credits is None else {"credits": self.credits}),
        }


@dataclass(frozen=True, slots=True)
class BatchEstimate(PlainValues):
    """Say what a batch would cost, by the service's own prices.

    Attributes:
        tokens: Of all requests whose price is known.
        requests: How many requests were priced, the invalid ones left out.
        by_model: Tokens per model, where known.
        unknown: How many requests have no known price.
        invalid: How many cannot be sent; `problems` says why.
        problems: Key and complaint of the first of those.
    """

    tokens: int
    requests: int
    by_model: Mapping[str, int]
    unknown: int
    invalid: int
    problems: Mapping[str, str] = field(repr=False)
