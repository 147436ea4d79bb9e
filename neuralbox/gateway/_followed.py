"""Jobs that are followed for all who ask about them: a caller's poll is answered by what is known here.

Each job has one wait, which shares its polls with all other jobs of the account (`_polling`), so however often and however
many ask, the service is asked as for one program that waits for all of them. A job that nobody knows here yet (the
gateway was started again) is asked for once, and then followed like the others.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from .._base_client import core_of
from .._client import AsyncNeuralBox
from .._concurrency.single_flight import SingleFlight
from .._errors import GenerationFailedError, NeuralBoxError, NotFoundError
from .._models.generation import Generation
from .._polling.job import Job
from .._types import GenerationId, JobRef

logger = logging.getLogger("neuralbox.gateway")

FOLLOWED_FOR: Final = 6 * 3600.0
"""Seconds after which a job that does not end is no longer followed, unless somebody asks about it."""
MOST_FOLLOWED: Final = 10_000

OnEnd = Callable[[Generation], Awaitable[None]]


class FollowedJob:
    """One job that is followed.

    Attributes:
        job: The job.
        asked: What is remembered of its order.
        on_end: Called with how it ended.
        is_followed: Whether a wait goes on.
        error: Why nothing new is known of it.
    """

    def __init__(self, job: Job, asked: Mapping[str, Any], on_end: OnEnd | None) -> None:
        self.job = job
        self.asked = asked
        self.on_end = on_end
        self.is_followed = False
        self.error: NeuralBoxError | None = None

    @property
    def is_over(self) -> bool:
        """Whether its end is known."""
        return self.job.generation is not None and self.job.generation.is_final


class FollowedJobs:
    """The jobs of one account that are followed.

    Args:
        client: Who asks.
        spawn: Runs a wait in a task of its own.
    """

    def __init__(self, client: AsyncNeuralBox, spawn: Callable[..., None]) -> None:
        self._client = client
        self._spawn = spawn
        self._jobs: dict[str, FollowedJob] = {}
        self._asking = SingleFlight()

    def begin_anew(self) -> None:
        """Take note that no wait goes on: what would have begun while the last run stopped did not."""
        for each in self._jobs.values():
            each.is_followed = False

    def follow(
        self, subject: Generation | JobRef, asked: Mapping[str, Any] | None = None, on_end: OnEnd | None = None
    ) -> None:
        """Follow a job from now on; of one that is known already only the wait goes on."""
        key = str(subject.id)
        found = self._jobs.get(key)
        if found is None:
            core = core_of(self._client)
            job = Job(core, generation=subject) if isinstance(subject, Generation) else Job(core, subject)
            found = self._keep(key, FollowedJob(job, asked or {}, on_end))
        self._go_on(found)

    def _keep(self, key: str, found: FollowedJob) -> FollowedJob:
        if len(self._jobs) >= MOST_FOLLOWED:
            for old in [each for each, one in self._jobs.items() if not one.is_followed][: MOST_FOLLOWED // 8]:
                del self._jobs[old]
        self._jobs[key] = found
        return found

    def asked(self, job_id: GenerationId) -> Mapping[str, Any]:
        """Return what is remembered of a job's order."""
        found = self._jobs.get(str(job_id))
        return {} if found is None else found.asked

    def forget(self, job_id: GenerationId) -> None:
        """Forget a job that was deleted."""
        self._jobs.pop(str(job_id), None)

    async def state(self, job_id: GenerationId) -> Generation:
        """Return what is known of a job; the service is asked only where nothing is, and by one for all.

        Raises:
            NotFoundError: There is no such job.
            NeuralBoxError: It could not be asked for.
        """
        key = str(job_id)
        found = self._jobs.get(key)
        if found is None:
            found = self._keep(key, FollowedJob(Job(core_of(self._client), JobRef(job_id)), {}, None))
        while found.job.generation is None or not (found.is_over or found.is_followed):
            await self._asking.run(key, partial(self._ask, found))
            if found.error is not None:
                if isinstance(found.error, NotFoundError):
                    self._jobs.pop(key, None)
                raise found.error
        return found.job.generation

    async def _ask(self, found: FollowedJob) -> None:
        found.error = None
        try:
            await found.job.refresh()
        except NeuralBoxError as error:
            found.error = error
            return
        self._go_on(found)

    def _go_on(self, found: FollowedJob) -> None:
        if not (found.is_over or found.is_followed):
            found.is_followed = True
            self._spawn(self._wait, found)

    async def _wait(self, found: FollowedJob) -> None:
        try:
            await found.job.wait(timeout=FOLLOWED_FOR)
        except GenerationFailedError:
            pass  # it is in what is known of it
        except NeuralBoxError as error:
            logger.warning("%s is not followed any more: %s", found.job.ref, error.message)
        finally:
            found.is_followed = False
        if found.is_over and found.on_end is not None:
            assert found.job.generation is not None
            try:
                await found.on_end(found.job.generation)
            except Exception:  # whatever it is, the account's other jobs and purchases go on
                logger.exception("The end of %s was not taken in", found.job.ref)
