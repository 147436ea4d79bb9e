"""One request of a batch on its way from the list to its outcome. There are as many as may be in flight: they are small.

    stage      event                                                   next
    -          it is read                                              queued
    queued     its turn comes                                          sending
    queued     an earlier run was given its id                         waiting
    queued     it completed in an earlier run, its file is wanted      saving
    queued     it ended in an earlier run, or cannot be sent           ready
    queued     another worker has it                                   waiting
    queued     the run stops                                           -
    sending    the service accepts it                                  waiting
    sending    it is completed at once, its file is wanted             saving
    sending    it ends at once, or is refused                          ready
    sending    the run stops before it leaves                          -
    waiting    it is completed, its file is wanted                     saving
    waiting    it ends, or its wait does                               ready
    waiting    the worker that had it is gone                          sending
    waiting    the worker that had it is gone, and its job goes on     waiting
    waiting    another worker brings it to its end                     -
    saving     its file is saved, or cannot be                         ready
    ready      its outcome is delivered                                -

`-` is outside: not read yet, or delivered, or dropped without an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from .._budget import Reservation
from .._core.exchange import Core
from .._errors import GenerationFailedError
from .._models.generation import Generation
from .._polling.job import Job
from .._requests.requests import BatchRequest
from .._submissions.cached_call import CachedCall
from .._types import JobRef
from .outcome import BatchOutcome


class ItemStage(Enum):
    """Where a request is, between being read and being delivered."""

    QUEUED = "queued"
    SENDING = "sending"
    WAITING = "waiting"
    SAVING = "saving"
    READY = "ready"


class BatchItem:
    """Hold what is known of one request.

    Attributes:
        key: Its key.
        request: What is to be sent; as it was given where it is no request, None where only the journal knew of it.
        stage: Where it is; None outside.
        job: The paid generation, as soon as its id is known.
        generation: Its final state.
        error: Why there is no result, or no file.
        path: Its file.
        credits: Credits it was charged, by a service that counts by those.
        price: Tokens it is announced to cost.
        cached: Its place in the cache, where there is one and it was not found there.
        reservation: The tokens set aside for it.
        sent_as: What its tokens are kept by while it is unknown, from when it may have left.
        claim: What an earlier run wrote down before it was sent, where that run did not learn what became of it and this
            one has not yet.
        resumed: Whether it was final before this run.
        again: Whether it failed in an earlier run and is sent once more.
        is_named: Whether its key is the caller's own; else it is its place in the list.
        is_open: Whether a later run with the same journal has something to do for it.
    """

    __slots__ = (
        "again",
        "cached",
        "claim",
        "credits",
        "error",
        "generation",
        "is_named",
        "is_open",
        "job",
        "key",
        "path",
        "price",
        "request",
        "reservation",
        "resumed",
        "sent_as",
        "stage",
    )

    def __init__(self, key: str, request: BatchRequest | Mapping[str, Any] | None) -> None:
        self.key = key
        self.request = request
        self.stage: ItemStage | None = None
        self.job: JobRef | None = None
        self.generation: Generation | None = None
        self.error: Exception | None = None
        self.path: Path | None = None
        self.price: int | None = None
        self.cached: CachedCall | None = None
        self.reservation: Reservation | None = None
        self.sent_as: str | None = None
        self.claim: Mapping[str, Any] | None = None
        self.credits: int | None = None
        self.resumed = False
        self.again = False
        self.is_named = False
        self.is_open = False

    def __repr__(self) -> str:
        return f"<BatchItem {self.key!r}: {self.stage.value if self.stage is not None else 'outside'}>"

    @property
    def may_have_left(self) -> bool:
        """Whether it is on its way to the service in this run, and its answer awaited."""
        return self.stage is ItemStage.SENDING and self.is_open and self.job is None and self.claim is None

    def accepted(self, generation: Generation) -> None:
        """Take the id the service gave."""
        request: Any = self.request
        if generation.id != "":
            kind, model = getattr(request, "kind", None), getattr(request, "model", None)
            self.job = JobRef(generation.id, generation.kind or kind, generation.model or model)

    def ended(self, core: Core, generation: Generation) -> None:
        """Take its final state."""
        self.generation, service = generation, core.options.service
        if service.unit == "credits":
            self.credits = service.charge(generation)
        if self.job is None:
            self.accepted(generation)
        try:
            Job(core, generation=generation).raise_if_failed()
        except GenerationFailedError as error:
            self.error = error

    def leave_tokens(self) -> None:
        """Let nobody wait to be told what it came to."""
        if self.reservation is not None:
            self.reservation.leave()

    def start_again(self) -> None:
        """Forget the failure of an earlier run."""
        self.job = self.generation = self.error = None
        self.resumed = False
        self.again = True

    @property
    def outcome(self) -> BatchOutcome:
        """Return what the caller gets."""
        return BatchOutcome(
            key=self.key,
            request=self.request,
            generation=self.generation,
            error=self.error,
            path=self.path,
            price=self.price,
            job=self.job,
            resumed=self.resumed,
            credits=self.credits,
        )
