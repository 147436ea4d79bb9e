"""Waiting for generations, where somebody looks on: what is wrong is said after the first poll that brings no answer.

The library goes on polling through failures and takes a number it has not seen for one that may be too new to be known,
both rightly. Whoever typed the number wants to hear of it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .._errors import (
    APIConnectionError,
    InternalServerError,
    NeuralBoxError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
)
from .._types import GenerationId, JobRef
from .arguments import limit_of
from .errors import sentence_of
from .session import CommandSession

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from .._hooks import FailureEvent, Hooks, ResponseEvent
    from .._models.generation import Generation
    from .._polling.job import Job

SILENCE: Final = 5.0
"""Seconds without an answer after which that is said."""
AGAIN: Final = 2.0
"""Seconds until an unknown id is asked for once more: a new one may not be known everywhere yet."""
_LOOKS: Final = 8
_PASSING: Final = (APIConnectionError, InternalServerError, ProtocolError, RateLimitError)
# What failed, by the name of the error's class.
_WORDS: Final = {
    "ConnectError": "No connection",
    "ConnectionLostError": "The connection broke",
    "APITimeoutError": "No answer in time",
    "ProtocolError": "An answer that is none",
}


class PollVoice:
    """Says once of each way in which polls fail that they do.

    Args:
        session: Prints it.

    Attributes:
        is_waiting: Whether what goes wrong now goes wrong with a wait.
    """

    def __init__(self, session: CommandSession) -> None:
        self._session = session
        self._said = set[str]()
        self.is_waiting = False

    def hooks(self) -> Hooks:
        """Return what a client is given to hear of its polls."""
        from .._hooks import Hooks

        return Hooks(on_failure=self._failed, on_response=self._answered)

    def say(self, what: str) -> None:
        """Say it, unless it was said."""
        if self.is_waiting and what not in self._said:
            self._said.add(what)
            self._session.print_problem(what)

    def _failed(self, event: FailureEvent) -> None:
        if event.error != "Cancelled" and not event.call.is_paid:
            self.say(f"{_WORDS.get(event.error, event.error)}: {event.call.server}. Still waiting.")

    def _answered(self, event: ResponseEvent) -> None:
        if event.status_code >= 500 and not event.call.is_paid:
            self.say(f"The service answers with HTTP {event.status_code}. Still waiting.")


async def wait_for(job: Job, session: CommandSession, timeout: float | None, voice: PollVoice) -> Generation:
    """Wait for a job that was accepted here."""
    voice.is_waiting = True
    with session.measured(job.model or "waiting") as meter:

        def show(seen: Generation) -> None:
            percent = "" if seen.progress is None else f", {seen.progress:g} %"
            meter.show(seen.progress or 0.0, None if seen.progress is None else 100.0, f"{seen.status}{percent}")

        try:
            return await job.wait(timeout=limit_of(timeout), on_progress=show)
        finally:
            voice.is_waiting = False


async def wait_for_all(nb: AsyncNeuralBox, session: CommandSession, timeout: float | None) -> list[Generation]:
    """Wait for the session's jobs, whose ids were typed.

    Raises:
        NotFoundError: The service does not know one of them.
        GenerationTimeoutError: The limit passed.
    """
    from .._base_client import core_of
    from .._polling.job import Job

    voice = PollVoice(session)
    voice.is_waiting = True
    polled = nb.with_options(hooks=voice.hooks())
    waited: list[JobRef | Job] = [*session.paid.jobs]
    running = dict.fromkeys(str(job.id) for job in session.paid.jobs)

    def show(seen: Generation) -> None:
        if seen.is_final:
            running.pop(str(seen.id), None)
        done = len(waited) - len(running)
        meter.show(done, len(waited), f"{done} of {len(waited)} done")

    with session.measured("waiting") as meter:
        found: list[Generation | None] = [None] * len(waited)
        try:
            await _look(nb, [job.id for job in session.paid.jobs], found, voice)
        except NeuralBoxError as error:
            error.generations = tuple(found)
            raise
        finally:
            for seen in filter(None, found):
                show(seen)
        waited = [
            job if seen is None else Job(core_of(polled), ref=seen) for job, seen in zip(waited, found, strict=True)
        ]
        return [*await polled.generations.wait(waited, timeout=limit_of(timeout), on_progress=show)]


async def _look(
    nb: AsyncNeuralBox, ids: Sequence[GenerationId], found: list[Generation | None], voice: PollVoice
) -> None:
    """Ask once for each; None stays where no answer came, which is said, and left to the wait.

    Raises:
        NotFoundError: The service does not know one of them.
        NeuralBoxError: It refuses what no patience mends.
    """
    import anyio

    once = nb.with_options(max_retries=0)
    unknown: dict[int, NotFoundError] = {}
    refusals: list[NeuralBoxError] = []
    places = [*range(len(ids))]

    async def ask() -> None:
        while places:
            place = places.pop(0)
            limit = anyio.move_on_after(SILENCE)
            try:
                with limit:
                    found[place] = await once.generations.get(ids[place])
            except NotFoundError as error:
                unknown[place] = error
                voice.say(f"The service does not know the job {ids[place]}; it is asked once more.")
                continue
            except _PASSING as error:
                voice.say(f"{sentence_of(error)} Still waiting.")
            except NeuralBoxError as error:
                refusals.append(error)
            if limit.cancelled_caught:
                voice.say(f"No answer within {SILENCE:g} s. Still waiting.")
            elif found[place] is not None:
                continue
            places.clear()  # what keeps one from being answered keeps the others; the wait has patience for all

    async def ask_all() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(min(_LOOKS, len(places))):
                group.start_soon(ask)

    await ask_all()
    if unknown:
        await anyio.sleep(AGAIN)
        places[:] = sorted(unknown)
        unknown.clear()
        await ask_all()
    for place, error in sorted(unknown.items()):
        error.job = JobRef(ids[place])
        refusals.append(error)
    if refusals:
        raise refusals[0]
