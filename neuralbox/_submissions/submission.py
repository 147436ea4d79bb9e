"""A paid request on its way, and whatever became of it settled first (docs/design/at-most-one-charge.md).

    in flight -> accepted                     its id is written down by the witness, then told to `on_accepted`
              -> refused, or never sent       the error; nothing was charged
              -> unknown -> found             adopted: no second POST
                         -> absent            never accepted: sent again
                         -> neither           `SubmissionUnknownError`; it stays in `unresolved`

The rules:

- A request is sent again only where it is certain that it was not accepted: the core repeats what was never sent or
  refused for now; what was lost is sent again when the history proves it absent, `_REPEATS` times as often as
  `max_retries` says. `submission="resend"` gives that certainty up.
- 500 `provider_error` is documented as free: one look into the history, then it is repeated. Once a generation was
  found after such an answer, they count as unknown for this account.
- Whatever ends the call - an error, a cancellation, a bug - a request that may have been accepted stays registered.
- What `on_accepted` raises is logged and goes no further: the job was paid for, and its caller still gets it.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from inspect import isawaitable
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

import anyio

from .._api import vocabulary as words
from .._api.request import Request, RetrySafety
from .._config import CallOptions
from .._core.call_events import CallObserver, describe_call, observe_call
from .._core.exchange import AttemptState, Core
from .._core.retry import AttemptOutcome, StopReason, decide
from .._errors import NeuralBoxError, ProtocolError, SubmissionUnknownError
from .._models.generation import Generation
from .._polling.job import Job, require_limit
from .._transport import Reply
from .._types import OMIT, JobRef, Omit
from .admission import Admission, admit
from .claim import Claim, claim_of
from .matching import Absent
from .reconcile import Resolved, Unsure, resolve
from .registry import WITHIN, PendingSubmission, registry_of

logger = logging.getLogger("neuralbox")

OnAccepted: TypeAlias = Callable[[JobRef], Any] | Callable[[JobRef], Awaitable[Any]]
"""Called with a paid job as soon as its id is known; may be a plain or an async function."""

_REPEATS = 3
_LEFT = "its caller left before the answer came"


class SubmissionRecorder(Protocol):
    """Writes down what happens to one paid request, before anything else is done with it."""

    async def sending(self, claim: Claim) -> None:
        """Take note that it may leave; awaited before the first byte can, and again before each repetition."""
        ...

    async def accepted(self, generation: Generation) -> None:
        """Take note of its id, or of its finished result; awaited at once, shielded from cancellation."""
        ...

    async def refused(self) -> None:
        """Take note that nothing was charged for certain: never sent, or refused for good; shielded as well."""
        ...


async def submit(
    core: Core,
    request: Request,
    call: CallOptions,
    *,
    kind: str | None,
    model: str | None,
    on_accepted: OnAccepted | None = None,
) -> Job:
    """Send a paid request and return its job, finished or not.

    Raises:
        SubmissionUnknownError: It was sent and what became of it is unknown.
        GenerationFailedError: The service answered that it failed at once.
        NeuralBoxError: It was refused, or never sent.
    """
    generation = await send(core, request, call, kind=kind, model=model, on_accepted=on_accepted)
    job = Job(core, generation=generation, call=call)
    job.raise_if_failed()
    return job


async def create(
    core: Core,
    request: Request,
    call: CallOptions,
    *,
    kind: str | None,
    model: str | None,
    wait_timeout: float | Omit | None = OMIT,
    on_accepted: OnAccepted | None = None,
) -> Generation:
    """Send a paid request and return the finished generation, waiting where the service answers `pending`."""
    require_limit(wait_timeout, core)  # before anything is paid for
    with observe_call(core.options, core.clock, request, "create", kind=kind, model=model) as seen:
        generation = await _send(core, request, call, kind=kind, model=model, on_accepted=on_accepted, seen=seen)
        if generation.is_completed:
            return generation
        job = Job(core, generation=generation, call=call)
        job.raise_if_failed()
        try:
            generation = await job.wait(timeout=wait_timeout)
        except anyio.get_cancelled_exc_class():
            # A cancellation cannot carry the job to whoever cancelled, so at least the log has what was paid for.
            logger.warning("A wait was cancelled; the %s goes on and is charged when it completes.", job.ref)
            raise
        if seen is not None:
            seen.record_result(generation)
        return generation


async def send(
    core: Core,
    request: Request,
    call: CallOptions,
    *,
    kind: str | None,
    model: str | None,
    witness: SubmissionRecorder | None = None,
    claim: Claim | None = None,
    on_accepted: OnAccepted | None = None,
) -> Generation:
    """Send a paid request and return what the service answered: the generation, in whatever state.

    Args:
        core: The client.
        request: What to ask.
        call: What this one call changes.
        kind: What the door knows it to be.
        model: The slug asked for.
        witness: Writes down what happens, before anything else is done with it. What it raises ends the call.
        claim: An unknown one that a journal kept of an earlier run, for this same request: it is looked for first, and
            the request is sent only if it is proven absent.
        on_accepted: Called as soon as the id is known.

    Raises:
        SubmissionUnknownError: It was sent and what became of it is unknown.
        NeuralBoxError: It was refused, or never sent.
    """
    with observe_call(core.options, core.clock, request, "submit", kind=kind, model=model) as seen:
        return await _send(
            core,
            request,
            call,
            kind=kind,
            model=model,
            witness=witness,
            claim=claim,
            on_accepted=on_accepted,
            seen=seen,
        )


async def _send(
    core: Core,
    request: Request,
    call: CallOptions,
    *,
    kind: str | None,
    model: str | None,
    witness: SubmissionRecorder | None = None,
    claim: Claim | None = None,
    on_accepted: OnAccepted | None = None,
    seen: CallObserver | None,
) -> Generation:
    one = Submission(core, request, call, kind=kind, model=model, witness=witness, on_accepted=on_accepted, seen=seen)
    try:
        generation = None if claim is None else await one.resume(claim)
        while generation is None:
            await one.begin()
            try:
                generation = await core.send(request, one.read, call, one.ending)
            except NeuralBoxError as error:
                generation = await one.after(error)
            except BaseException:
                await one.abandon()
                raise
        await one.accept(generation)
        return generation
    finally:
        one.part()


class Submission:
    """One paid request, from before its first byte until it is settled; `send` and the streams drive it.

    Attributes:
        ending: What the core says of its attempt.
        is_settled: Its id is known, or it is certain that there is none.
    """

    def __init__(
        self,
        core: Core,
        request: Request,
        call: CallOptions,
        *,
        kind: str | None,
        model: str | None,
        witness: SubmissionRecorder | None = None,
        on_accepted: OnAccepted | None = None,
        seen: CallObserver | None = None,
    ) -> None:
        self.ending = AttemptState(core.clock())
        self.ending.seen = seen
        self.is_settled = False
        self._own: CallObserver | None = None  # of a stream: who drives anything else observes it
        self._core = core
        self._request = request
        self._call = call
        self._kind = kind
        self._model = model
        self._witness = witness
        self._on_accepted = on_accepted
        self._registry = registry_of(core)
        self._repeats = self._failures = 0
        self._is_resumed = False
        claim = claim_of(request, call.extra_body, key=uuid4().hex, kind=kind, model=model)
        self._entry = PendingSubmission(claim, request, call.extra_body, self.ending)
        self._admission: Admission | None = None

    # Its way.

    async def begin(self) -> None:
        """Register it, and have it written down; after this it may leave."""
        if self._core.options.hooks and self.ending.seen is None:
            what = describe_call(self._core.options, self._request, "stream", kind=self._kind, model=self._model)
            self.ending.seen = self._own = CallObserver(self._core.options.hooks, self._core.clock, what)
        with self._telling_hooks():
            await self._begin()

    async def _begin(self) -> None:
        entry, registry = self._entry, self._registry
        await self._be_admitted()
        if not self._repeats and not self._failures and self._witness is None and self._core.options.warn_duplicates:
            self._warn(entry.claim)
        entry.claim = replace(
            entry.claim, sent_at=self._core.now(), lost_at=None, server_offset=registry.server_offset()
        )
        entry.lost = None
        self.ending.sent, self.ending.fate = False, None  # what the attempt before came to is over
        registry.begin(entry)
        if self._witness is not None:
            try:
                await self._witness.sending(entry.claim)
            except anyio.get_cancelled_exc_class():
                await self._refuse()  # it may be written down already
                raise
            except BaseException:
                registry.remove(entry)
                raise

    async def _be_admitted(self) -> None:
        """Wait for its tokens and its place in the plan's windows; a repetition needs another place only."""
        if self._admission is not None:
            await self._admission.depart()
            return
        one = await admit(self._core, self._request, self._call, kind=self._kind, model=self._model)
        self._admission = self._entry.admission = one
        self.ending.heard = one.heard

    def read(self, reply: Reply) -> Generation:
        """Read the answer."""
        generation = Generation.read(self._core.as_object(reply), kind=self._kind)
        if generation.id == "" and not generation.is_final:
            # Accepted, it seems, but nobody could ever ask for the result: the core turns this into "unknown".
            raise ProtocolError(
                f"The service answered {reply.status_code} with neither an id nor a result.",
                status_code=reply.status_code,
            )
        self.heard(reply.headers)
        return generation if generation.model is not None else generation.model_copy(update={"model": self._model})

    def heard(self, headers: Mapping[str, str]) -> None:
        """Take note of the headers of an answer: they tell the service's clock, and what is left of the windows."""
        self._registry.note_date(headers)
        assert self._admission is not None  # it has begun
        self._admission.heard(headers)

    async def accept(self, generation: Generation) -> None:
        """Take note of the answer: the registry, the witness and the caller's callback, in this order."""
        self._registry.accept(self._entry, generation.ref)
        self.is_settled = True
        self._tell_hooks("accepted", generation.ref)
        if self.ending.seen is not None:
            self.ending.seen.record_result(generation)
        if self._admission is not None:
            self._admission.accepted(generation)
            self._admission.leave()
        try:
            if self._witness is not None:
                with anyio.CancelScope(shield=True):
                    await self._witness.accepted(generation)
        except NeuralBoxError as error:  # a full disk must not hide what was bought
            raise error.with_job(generation.ref) from error
        finally:
            await self._tell(generation.ref)

    async def accept_ref(self, ref: JobRef | None) -> None:
        """Take note of the id alone, or that it is over without one: a stream is not finished when it begins."""
        self.is_settled = True
        self._registry.accept(self._entry, ref if ref is not None else JobRef(""))
        self._tell_hooks("accepted", ref)
        if ref is not None:
            await self._tell(ref)

    async def _tell(self, ref: JobRef) -> None:
        if self._on_accepted is None or ref.id == "":
            return
        try:
            # Half of whatever it does with the id is worth nothing, so a cancellation waits for it.
            with anyio.CancelScope(shield=True):
                result = self._on_accepted(ref)
                if isawaitable(result):
                    await result
        except Exception:  # the user's own, whatever it is; the job was paid for and goes on
            logger.exception("`on_accepted` raised for the %s, which goes on.", ref)

    # What follows when no answer came.

    async def after(self, error: NeuralBoxError) -> Generation | None:
        """Decide what follows an error: the generation it made, None to send again, or an error.

        Raises:
            SubmissionUnknownError: What became of it is unknown.
            NeuralBoxError: It was refused, or never sent, or is proven not to have been accepted.
        """
        with self._telling_hooks():
            return await self._after(error)

    async def _after(self, error: NeuralBoxError) -> Generation | None:
        fate, policy = self.ending.fate, self._core.options.submission
        if fate is AttemptOutcome.FREE_FAILURE and policy != "raise":
            if policy == "reconcile" and self._registry.distrusts_free_failures:
                return await self.lose(self._as_unknown(error))
            return await self._after_free_failure(error, look=policy == "reconcile")
        if fate is AttemptOutcome.UNKNOWN:
            return await self.lose(error)
        await self._refuse()
        raise error

    async def lose(self, error: NeuralBoxError) -> Generation | None:
        """Settle an unknown outcome: the generation it made, None to send again, or an error."""
        with self._telling_hooks():
            return await self._lose(error)

    async def _lose(self, error: NeuralBoxError) -> Generation | None:
        self._registry.mark_unknown(self._entry)
        self._tell_hooks("lost")
        if self._core.options.submission != "reconcile":
            await self._without_looking(error)
            return None
        return await self._reconcile(error)

    async def resume(self, claim: Claim) -> Generation | None:
        """Settle a claim of an earlier run: the generation it made, or None to send.

        Raises:
            SubmissionUnknownError: It is still unknown.
        """
        known = self._registry.job_of(claim)
        if known is not None:
            return Generation.read({"id": known.id, "status": words.PENDING, "model": known.model}, kind=known.kind)
        entry = self._entry
        entry.claim = replace(
            entry.claim,
            key=claim.key or entry.claim.key,
            sent_at=claim.sent_at,
            server_offset=claim.server_offset,
            lost_at=claim.lost_at,
        )
        self._registry.begin(entry)
        self._registry.resume(entry)
        self._is_resumed = True
        error = self._as_unknown(NeuralBoxError("The program that sent it ended before the answer came."))
        if self._core.options.submission != "reconcile":
            await self._without_looking(error)
            return None
        generation = await self._reconcile(error)
        self._is_resumed = False
        return generation

    async def _without_looking(self, error: NeuralBoxError) -> None:
        """Do as `submission` says where nobody is to look: raise, or allow another sending that may be a second charge."""
        step = (
            self._next(_cause(error), AttemptOutcome.UNKNOWN)
            if self._core.options.submission == "resend"
            else StopReason.FINAL
        )
        if isinstance(step, StopReason):
            self._registry.leave_open(self._entry, "nobody looked for it, as `submission=` says")
            self._tell_hooks("unknown")
            raise error
        self._registry.remove(self._entry)
        self._tell_again(AttemptOutcome.UNKNOWN.value, error, step)
        await self._core.sleep(step)

    def _next(self, error: NeuralBoxError, fate: AttemptOutcome) -> float | StopReason:
        """Seconds to pause before another sending, by the same rules as those of what may be repeated freely."""
        self._failures += 1
        core = self._core
        return decide(
            core.policy,
            safety=RetrySafety.REPEATABLE,
            fate=fate,
            error=error,
            attempt=self._failures,
            elapsed=core.clock() - self.ending.started,
            jitter=core.random(),
        )

    def _as_unknown(self, error: NeuralBoxError) -> SubmissionUnknownError:
        unknown = self._core.unknown(self._request, sent_at=self._entry.claim.sent_at, cause=error, call=self._call)
        unknown.__cause__ = error
        return unknown

    async def _after_free_failure(self, error: NeuralBoxError, *, look: bool) -> Generation | None:
        """Look once, after the pause, then repeat; no more is known of what was lost than that it should be free."""
        step = self._next(error, AttemptOutcome.FREE_FAILURE)
        registry, entry = self._registry, self._entry
        registry.mark_unknown(entry)
        try:
            if not isinstance(step, StopReason):
                await self._core.sleep(step)
            settled = await resolve(self._core, entry, once=True) if look else None
        except BaseException:
            registry.leave_open(entry, _LEFT)
            raise
        if isinstance(settled, Resolved):
            registry.distrusts_free_failures = True
            self._tell_hooks("adopted", settled.generation.ref)
            return settled.generation
        if isinstance(settled, Unsure) and settled.candidates:
            return await self._reconcile(self._as_unknown(error))
        if isinstance(step, StopReason) or (isinstance(settled, Unsure) and not settled.was_read):
            await self._refuse()
            raise error
        registry.remove(entry)
        self._tell_again(AttemptOutcome.FREE_FAILURE.value, error, step)
        return None

    async def _reconcile(self, error: NeuralBoxError) -> Generation | None:
        registry, entry, deadline = self._registry, self._entry, self._core.options.deadline
        until = None if deadline is None else self.ending.started + deadline
        try:
            settled = await resolve(self._core, entry, until=until)
        except BaseException:
            registry.leave_open(entry, _LEFT)
            raise
        if isinstance(settled, Resolved):
            logger.info("A lost answer was found in the history: the %s.", settled.generation.ref)
            self._tell_hooks("adopted", settled.generation.ref)
            return settled.generation
        if isinstance(settled, Absent):
            await self._repeat(error)
            return None
        registry.leave_open(entry, settled.why, settled.candidates)
        self._tell_hooks("unknown")
        raise _unknown(error, entry, settled) from error.__cause__

    async def _repeat(self, error: NeuralBoxError) -> None:
        """Allow another sending of what was never accepted, unless there were enough."""
        self._repeats += 1
        self._tell_hooks("absent")
        deadline = self._core.options.deadline
        is_late = deadline is not None and self._core.clock() - self.ending.started >= deadline
        if is_late or (not self._is_resumed and self._repeats > _REPEATS * self._core.options.max_retries):
            await self._refuse()
            cause = _cause(error)
            cause.args = (f"{cause.message} The history shows that it was not accepted, so nothing was charged.",)
            raise cause
        self._registry.remove(self._entry)
        self._tell_again("absent", error)
        logger.info("A lost request was never accepted, as the history shows; it is sent again.")

    async def _refuse(self) -> None:
        self._registry.remove(self._entry)
        self.is_settled = True
        self._tell_hooks("refused")
        if self._admission is not None:
            self._admission.refused()
            self._admission.leave()
        if self._witness is not None:
            with anyio.CancelScope(shield=True):
                await self._witness.refused()

    async def abandon(self) -> None:
        """Take note that whoever waited has left, by a cancellation or a bug, and the answer will not be read."""
        error = sys.exception()
        try:
            if self.ending.sent and self.ending.fate in (None, AttemptOutcome.UNKNOWN):
                self.leave(error)
            else:
                await self._refuse()
        finally:
            self._end_own(error)

    def leave(self, error: BaseException | None = None) -> None:
        """Keep it as unresolved, unless it is settled or kept already; a place in the plan's windows is given back.

        Args:
            error: What its stream's block ended with.
        """
        self.part()
        if not (self.is_settled or self._entry.is_open):
            self._registry.leave_open(self._entry, _LEFT)
            self._tell_hooks("unknown")
        self._end_own(error)

    def part(self) -> None:
        """Say that nothing more is sent: what it costs is known, or will be when its fate is."""
        if self._admission is not None:
            self._admission.leave()

    def finish(self, generation: Generation) -> None:
        """Book the end of a stream, whose id was all that `accept_ref` knew."""
        assert self._admission is not None  # it has begun
        self._admission.accepted(generation)
        if self.ending.seen is not None:
            self.ending.seen.record_result(generation)

    # What the client's hooks are told.

    def _tell_hooks(self, outcome: str, ref: JobRef | None = None) -> None:
        if self.ending.seen is not None:
            self.ending.seen.settled(outcome, ref)

    def _tell_again(self, reason: str, error: NeuralBoxError, pause: float = 0.0) -> None:
        if self.ending.seen is not None:
            self.ending.seen.record_retry(reason, _cause(error), pause)

    @contextmanager
    def _telling_hooks(self) -> Iterator[None]:
        """Tell of a stream's end where an error ends it."""
        try:
            yield
        except BaseException as error:
            self._end_own(error)
            raise

    def _end_own(self, error: BaseException | None) -> None:
        if self._own is not None:
            self._own.end(error)

    def _warn(self, claim: Claim) -> None:
        """Log when the same was asked for a moment ago: two charges for what is often one mistake."""
        text = f"{self._request.path}\0{claim.kind}\0{claim.model}\0{claim.prompt}\0{sorted(claim.options.items())!r}"
        mark = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        if self._registry.is_repeated(mark):
            logger.warning(
                "The same paid request (%s %s) is sent twice within %g s; each is charged. If that is on purpose, "
                "`warn_duplicates=False` says so.",
                claim.kind or "generation",
                claim.model or "",
                WITHIN,
            )


def _cause(error: NeuralBoxError) -> NeuralBoxError:
    """What stood behind an unknown outcome."""
    return error.__cause__ if isinstance(error.__cause__, NeuralBoxError) else error


def _unknown(error: NeuralBoxError, entry: PendingSubmission, unsure: Unsure) -> SubmissionUnknownError:
    claim = entry.claim
    why = _cause(error)
    return SubmissionUnknownError(
        f"A paid request was sent and its outcome is unknown ({type(why).__name__}: {why.message.rstrip('.')}). It was "
        f"not sent again, since it may be accepted and charged: {unsure.why}. It stays in `client.unresolved`, and "
        "`await client.reconcile()` looks for it again.",
        request=entry.body,
        sent_at=claim.sent_at,
        lost_at=claim.lost_at,
        candidates=unsure.candidates,
        window=unsure.window,
    )
