"""A paid request on its way, from before its first byte until it is settled (docs/design/at-most-one-charge.md).

    | state    | event                                          | next     |
    | -------- | ---------------------------------------------- | -------- |
    | new      | it may leave                                   | sent     |
    | new      | an earlier run sent it and lost its answer     | unknown  |
    | new      | an earlier run sent it, and its job is known   | adopted  |
    | new      | a part of its text had arrived                 | unknown  |
    | new      | what it would buy is in a cache                | refused  |
    | new      | it may not leave again, and was never accepted | refused  |
    | new      | it may not leave again, and may be paid for    | unknown  |
    | sent     | answered                                       | accepted |
    | sent     | refused, or it never left                      | refused  |
    | sent     | refused for the seed that was drawn for it     | new      |
    | sent     | it could not be written down, and has not left | new      |
    | sent     | its answer is lost, or nobody waits for it     | unknown  |
    | unknown  | found in the history                           | adopted  |
    | unknown  | never accepted, or `submission="resend"`       | new      |
    | unknown  | never accepted, and sent often enough          | refused  |
    | unknown  | never accepted, and nobody waits any more      | refused  |
    | adopted  | taken over like an answer                      | accepted |

What stays unknown is left open in the registry (`unresolved`). The rules:

- A request is sent again only where it is certain that it was not accepted: the core repeats what was never sent or
  refused for now, `lost_answer` decides about the rest. `submission="resend"` gives that certainty up.
- Whatever ends the call - an error, a cancellation, a bug - a request that may have been accepted stays registered.
- An id is written down by the recorder first, then told to `on_accepted`. What that raises is logged and goes no
  further: the job was paid for, and its caller still gets it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

import anyio

from .._api import vocabulary as words
from .._api.checks import require_callback
from .._api.request import Request
from .._concurrency.callbacks import call_either
from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.call_events import CallObserver, observe_call
from .._core.exchange import Attempt, Core, Patience
from .._core.retry import AttemptOutcome
from .._costs.charges import charges_of
from .._errors import NeuralBoxError, ProtocolError, SubmissionUnknownError
from .._models.generation import Generation
from .._polling.job import Job, require_limit
from .._transport import Reply
from .._types import OMIT, JobRef, Omit
from .admission import Admission, admit, admit_adopted, admit_resumed, telling
from .cached_call import cached_call
from .claim import Claim, claim_of
from .fingerprint import draw_seed, refuses_seed, with_seed
from .lost_answer import ABSENT, Decision, LostAnswer, NotAccepted, SendAgain, StillUnknown, cause_of
from .pending import PendingSubmission
from .registry import REPEATED_WITHIN, registry_of
from .shared_record import SharedRecord

logger = logging.getLogger("neuralbox")

OnAccepted: TypeAlias = Callable[[JobRef], Any] | Callable[[JobRef], Awaitable[Any]]
"""Called with a paid job as soon as its id is known; may be a plain or an async function."""

_LEFT = "its caller left before the answer came"


class SubmissionRecorder(Protocol):
    """Write down what happens to one paid request, before anything else is done with it."""

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
    """Send a paid request and return its job, finished or not; with a cache, of one that was bought before, unsent.

    Raises:
        SubmissionUnknownError: It was sent and what became of it is unknown.
        GenerationFailedError: The service answered that it failed at once.
        NeuralBoxError: It was refused, or never sent.
    """
    cached = cached_call(core, request, call, kind=kind)
    found = None if cached is None else await cached.find()
    if found is not None:
        return Job(core, generation=found, call=call)
    generation = await send(core, request, call, kind=kind, model=model, on_accepted=on_accepted)
    job = Job(core, generation=generation, call=call, keep=None if cached is None else cached.keep)
    job.raise_if_failed()
    if cached is not None:
        await cached.keep(generation)
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
    uses_cache: bool = True,
) -> Generation:
    """Send a paid request and return the finished generation, waiting where the service answers `pending`.

    With a cache, one that was bought before is returned without a request.
    """
    require_limit(wait_timeout, core)  # before anything is paid for
    require_callback("`on_accepted`", on_accepted)
    cached = cached_call(core, request, call, kind=kind) if uses_cache else None
    if cached is not None:
        found = await cached.find()
        if found is None:
            found = await create(
                core,
                request,
                call,
                kind=kind,
                model=model,
                wait_timeout=wait_timeout,
                on_accepted=on_accepted,
                uses_cache=False,
            )
            await cached.keep(found)
        return found
    with observe_call(core.options, core.clock, request, "create", kind=kind, model=model) as observer:
        submission = Submission(
            core, request, call, kind=kind, model=model, on_accepted=on_accepted, observer=observer, waits=True
        )
        generation = await submission.carry_through()
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
        finally:
            charges_of(core).bills.stop_waiting(job.ref.id)
        if observer is not None:
            observer.record_result(generation)
        return generation


async def send(
    core: Core,
    request: Request,
    call: CallOptions,
    *,
    kind: str | None,
    model: str | None,
    recorder: SubmissionRecorder | None = None,
    shared: SharedRecord | None = None,
    claim: Claim | None = None,
    on_accepted: OnAccepted | None = None,
    patience: Patience | None = None,
) -> Generation:
    """Send a paid request and return what the service answered: the generation, in whatever state.

    Args:
        core: The client.
        request: What to ask.
        call: What this one call changes.
        kind: What the resource knows it to be.
        model: The slug asked for.
        recorder: Writes down what happens, before anything else is done with it. What it raises ends the call.
        shared: Where the recorder writes into a journal that other processes share: the request's record in it.
        claim: An unknown one that a journal kept of an earlier run, for this same request: it is looked for first, and
            the request is sent only if it is proven absent.
        on_accepted: Called as soon as the id is known.
        patience: Where it waits until it may leave, in which case that is no part of the deadline.

    Raises:
        SubmissionUnknownError: It was sent and what became of it is unknown.
        NeuralBoxError: It was refused, or never sent.
    """
    with observe_call(core.options, core.clock, request, "submit", kind=kind, model=model) as observer:
        submission = Submission(
            core,
            request,
            call,
            kind=kind,
            model=model,
            recorder=recorder,
            shared=shared,
            on_accepted=on_accepted,
            observer=observer,
        )
        submission.attempt.patience = patience
        return await submission.carry_through(claim)


async def settle(
    core: Core, request: Request, claim: Claim, *, kind: str | None, model: str | None, recorder: SubmissionRecorder
) -> Generation | None:
    """Find out what became of a paid request that an earlier run sent, and send nothing.

    Returns:
        Its generation; None where it was never accepted.

    Raises:
        SubmissionUnknownError: It is still unknown.
    """
    submission = Submission(core, request, NO_CALL_OPTIONS, kind=kind, model=model, recorder=recorder)
    try:
        generation = await submission.resume(claim)
        if generation is None:
            await submission.drop()
        else:
            await submission.accept(generation)
        return generation
    finally:
        await submission.close()


class SubmissionState(Enum):
    """Say how far a paid request has come; the table of the module has the transitions."""

    NEW = "new"
    """Not sent, or certainly in vain: it may be sent."""
    SENT = "sent"
    """It may have left."""
    ACCEPTED = "accepted"
    """Its generation is known and its caller told."""
    REFUSED = "refused"
    """Nothing was charged, for certain."""
    UNKNOWN = "unknown"
    """It may have been accepted."""
    ADOPTED = "adopted"
    """Its generation was found."""


class _SendingBefore(Enum):
    """Say what is known of the sending before the one that is prepared."""

    NONE = "none"
    """There is none, or another has followed it."""
    FREE = "free"
    """It was not charged, for certain."""
    MAY_BE_PAID = "may be paid"
    """It may have been accepted."""


class Submission:
    """One paid request, from before its first byte until it is settled.

    `carry_through` takes it all the way. A stream, whose answer comes in pieces, takes the same steps by itself, and calls
    `close` at the end, on every path.

    Attributes:
        attempt: What the core says of its attempts.
        state: How far it has come.
    """

    def __init__(
        self,
        core: Core,
        request: Request,
        call: CallOptions,
        *,
        kind: str | None,
        model: str | None,
        recorder: SubmissionRecorder | None = None,
        shared: SharedRecord | None = None,
        on_accepted: OnAccepted | None = None,
        observer: CallObserver | None = None,
        waits: bool = False,
    ) -> None:
        self.attempt = Attempt(core.clock(), () if observer is None else (observer,))
        self.state = SubmissionState.NEW
        self._core = core
        self._request = request
        self._call = call
        self._kind = kind
        self._model = model
        self._recorder = recorder
        self._on_accepted = on_accepted
        self._observer = observer
        self._waits = waits  # for the end of the job
        self._registry = registry_of(core)
        claim = claim_of(request, call.extra_body, key=uuid4().hex, kind=kind, model=model)
        seed = draw_seed(request, claim, self._registry.observed.shows_seed) if core.options.draw_seed else None
        self.request = request
        if seed is not None:
            self.request, claim = with_seed(request, seed), replace(claim, seed=seed)
        self._entry = PendingSubmission(claim, self.request, call.extra_body, self.attempt)
        self._shared = self._entry.shared = shared
        if shared is not None:
            self.attempt.listeners += (shared,)
        self._has_begun = False
        self._sending_before = _SendingBefore.NONE
        self._admission: Admission | None = None
        self._begun: Generation | None = None  # a stream's, whose end is not known
        self._lost_answer: LostAnswer | None = None

    @property
    def is_settled(self) -> bool:
        """Whether its id is known, or it is certain that there is none."""
        return self.state is SubmissionState.ACCEPTED or self.state is SubmissionState.REFUSED

    # Its way.

    async def carry_through(self, claim: Claim | None = None) -> Generation:
        """Take it from its beginning until its generation is known, in whatever state that is.

        Args:
            claim: An unknown one of an earlier run, which is looked for first.

        Raises:
            SubmissionUnknownError: It was sent and what became of it is unknown.
            NeuralBoxError: It was refused, or never sent.
        """
        try:
            generation = None if claim is None else await self.resume(claim)
            while generation is None:
                await self.begin()
                try:
                    generation = await self._core.send(self.request, self.read, self._call, self.attempt)
                except NeuralBoxError as error:
                    generation = await self.after(error)
            await self.accept(generation)
            return generation
        except BaseException:
            self.abandon()
            raise
        finally:
            await self.close()

    def spare(self) -> None:
        """Say that it need not be sent: what it would buy is there."""
        self.state = SubmissionState.REFUSED

    async def begin(self) -> None:
        """Register it, and have it written down; after this it may leave."""
        entry, registry = self._entry, self._registry
        try:
            await self._be_admitted()
        except BaseException:
            await self.drop()
            raise
        self._sending_before = _SendingBefore.NONE
        if not self._has_begun and self._recorder is None and self._core.options.warn_duplicates:
            self._warn(entry.claim)
        self._has_begun = True
        entry.claim = replace(
            entry.claim, sent_at=self._core.now(), lost_at=None, server_offset=registry.server_offset()
        )
        entry.lost = None
        self.attempt.restart()
        registry.begin(entry)
        self.state = SubmissionState.SENT
        if self._recorder is not None:
            try:
                await self._recorder.sending(entry.claim)
            except anyio.get_cancelled_exc_class():
                await self._refuse()  # it may be written down already
                raise
            except BaseException:
                registry.remove(entry)
                self.state = SubmissionState.NEW
                assert self._admission is not None  # that of above
                self._admission.release_tokens()
                raise

    async def _be_admitted(self) -> None:
        """Wait for its tokens and a free place in the plan's windows; a repetition needs another place only."""
        core, attempt = self._core, self.attempt
        if self._admission is not None:
            may_be_paid = self._sending_before is _SendingBefore.MAY_BE_PAID
            await core.wait_to_leave(attempt, partial(self._admission.depart, may_be_paid=may_be_paid))
            return
        admission = partial(admit, core, self._request, self._call, kind=self._kind, model=self._model)
        self._admit(await core.wait_to_leave(attempt, admission))

    def _admit(self, admission: Admission) -> None:
        self._admission = self._entry.admission = admission
        self.attempt.listeners += (admission,)

    def read(self, reply: Reply) -> Generation:
        """Read the answer."""
        generation = self._core.options.service.read(self._core.as_object(reply), kind=self._kind)
        if generation.id == "" and not (generation.is_failed or _has_result(generation)):
            # Accepted, it seems, but nobody could ever ask for the result: the core turns this into "unknown".
            raise ProtocolError(
                f"The service answered {reply.status_code} with neither an id nor a result.",
                status_code=reply.status_code,
            )
        self.note_headers(reply.headers)
        return generation if generation.model is not None else generation.model_copy(update={"model": self._model})

    def note_headers(self, headers: Mapping[str, str]) -> None:
        """Take note of the headers of an answer: they tell the service's clock, and what is left of the windows."""
        self._registry.note_date(headers)
        assert self._admission is not None  # it has begun
        self._admission.note_headers(headers)

    async def accept(self, generation: Generation) -> None:
        """Take note of the answer: the registry, the recorder and the caller's callback, in this order."""
        ref = generation.ref
        self._note_accepted(ref)
        self._registry.note_seed(self._entry, generation)
        self.finish(generation)
        try:
            await self.record(generation)
        finally:
            if self._on_accepted is not None:
                await self._call_back(self._on_accepted, ref)

    async def accept_ref(self, ref: JobRef | None) -> None:
        """Take note of the id alone, or that it is over without one: a stream is not finished when it begins."""
        self._note_accepted(ref)
        if ref is None:
            return
        pending = {"id": ref.id, "status": words.PENDING, "model": ref.model}
        self._begun = Generation.read(pending, kind=ref.kind)
        try:
            await self.record(self._begun)
        finally:
            if self._on_accepted is not None:
                await self._call_back(self._on_accepted, ref)

    async def record(self, generation: Generation) -> None:
        """Have it written down what is known of the generation, where anybody does; once more at the end of a stream."""
        if self._recorder is None:
            return
        try:
            with anyio.CancelScope(shield=True):
                await self._recorder.accepted(generation)
        except NeuralBoxError as error:  # a full disk must not hide what was bought
            raise error.with_job(generation.ref) from error

    def finish(self, generation: Generation) -> None:
        """Book what it costs; for a stream, whose id was all that `accept_ref` knew, at its end."""
        self._begun = None
        if self._observer is not None:
            self._observer.record_result(generation)
        if self._admission is not None:
            self._admission.accepted(generation, waits=self._waits and not generation.is_final)
            self._admission.close()

    def abandon(self) -> None:
        """Say that its call has no use any more for what it made."""
        if self._admission is not None:
            self._admission.abandon()

    def _note_accepted(self, ref: JobRef | None) -> None:
        self._registry.accept(self._entry, ref if ref is not None else JobRef(""))
        self.state = SubmissionState.ACCEPTED
        self._tell_hooks("accepted", ref)

    async def _call_back(self, on_accepted: OnAccepted, ref: JobRef) -> None:
        if ref.id == "":
            return
        try:
            # Half of whatever it does with the id is worth nothing, so a cancellation waits for it.
            with anyio.CancelScope(shield=True), telling():
                await call_either(on_accepted, ref)
        except Exception:  # the user's own, whatever it is; the job was paid for and goes on
            logger.exception("`on_accepted` raised for the %s, which goes on.", ref)

    # What follows when no answer came.

    async def after(self, error: NeuralBoxError) -> Generation | None:
        """Decide what follows an error: the generation it made, None to send again, or an error.

        Raises:
            SubmissionUnknownError: What became of it is unknown.
            NeuralBoxError: It was refused, or never sent, or is proven not to have been accepted.
        """
        if self.attempt.outcome is AttemptOutcome.UNKNOWN:
            return await self.lose(error)
        if self._entry.claim.seed is not None and refuses_seed(error):
            self._registry.refuse_seed(self._entry.claim.model)
            self._use_seed(None)
            self._registry.remove(self._entry)
            self.state, self._sending_before = SubmissionState.NEW, _SendingBefore.FREE
            return None  # refused, so nothing was charged
        await self._refuse()
        raise error

    async def lose(self, error: NeuralBoxError) -> Generation | None:
        """Settle an unknown outcome: the generation it made, None to send again, or an error."""
        self._registry.mark_unknown(self._entry)
        self.state = SubmissionState.UNKNOWN
        self._tell_hooks("lost")
        lost_answer = self._lost()
        if not isinstance(error, SubmissionUnknownError):
            error = lost_answer.as_unknown(error)
        return await self._carry_out(self._settle(lost_answer, error))

    async def _settle(self, lost_answer: LostAnswer, error: NeuralBoxError) -> Decision:
        if self._shared is not None:  # others wait for an answer, unless they are told
            await self._shared.lost(self._entry.claim)
        return await lost_answer.settle(error)

    async def resume(self, claim: Claim) -> Generation | None:
        """Settle a claim of an earlier run: the generation it made, or None to send.

        Raises:
            SubmissionUnknownError: It is still unknown.
        """
        known = self._registry.job_of(claim)
        if known is not None:
            self.state = SubmissionState.ADOPTED
            return Generation.read({"id": known.id, "status": words.PENDING, "model": known.model}, kind=known.kind)
        entry = self._entry
        entry.claim = replace(
            entry.claim,
            key=claim.key or entry.claim.key,
            sent_at=claim.sent_at,
            server_offset=claim.server_offset,
            lost_at=claim.lost_at,
        )
        self._use_seed(claim.seed)
        before = self._registry.pending(entry.claim.key)
        admission = None if before is None else before.admission  # this process sent it, and its tokens are set aside
        admission = admission or admit_resumed(self._core, entry.claim.key, kind=self._kind)
        if admission is not None:
            self._admit(admission)
        self._registry.begin(entry)
        self._registry.resume(entry)
        self.state = SubmissionState.UNKNOWN
        lost_answer = self._lost()
        error = lost_answer.as_unknown(NeuralBoxError("The program that sent it ended before the answer came."))
        return await self._carry_out(lost_answer.settle(error, is_resumed=True))

    def _use_seed(self, seed: int | None) -> None:
        """Send this seed in place of the drawn one, or none."""
        self.request = self._request if seed is None else with_seed(self._request, seed)
        self._entry.claim = replace(self._entry.claim, seed=seed)
        self._entry.sends(self.request, self._call.extra_body)

    def _lost(self) -> LostAnswer:
        if self._lost_answer is None:
            self._lost_answer = LostAnswer(self._core, self.request, self._call, self._entry)
        return self._lost_answer

    async def _carry_out(self, deciding: Awaitable[Decision]) -> Generation | None:
        """Do what is decided about an unknown outcome."""
        try:
            decision = await deciding
        except BaseException:
            self._registry.leave_open(self._entry, _LEFT)
            raise
        if isinstance(decision, SendAgain):
            await self._prepare_another(decision)
            return None
        if isinstance(decision, StillUnknown):
            self.leave_open(decision.why, decision.candidates)
            raise decision.error
        if isinstance(decision, NotAccepted):
            self._tell_hooks(ABSENT)
            self._registry.note_absent(self._entry)
            await self._refuse()
            raise decision.error
        self.state = SubmissionState.ADOPTED
        self._tell_hooks("adopted", decision.ref)
        if self._admission is None:
            self._admission = admit_adopted(self._core, self._request, self._call, model=self._model)
        return decision

    async def _prepare_another(self, decision: SendAgain) -> None:
        self._sending_before = _SendingBefore.MAY_BE_PAID
        if decision.reason == ABSENT:
            self._sending_before = _SendingBefore.FREE
            self._tell_hooks(ABSENT)
            self._registry.note_absent(self._entry)
        if self._observer is not None:
            self._observer.repeating(decision.reason, cause_of(decision.error), decision.pause)
        try:
            await self._core.pause(decision.pause)
        except BaseException:
            await self.drop()
            raise
        self._registry.remove(self._entry)
        self.state = SubmissionState.NEW

    async def drop(self) -> None:
        """Send it no more: settle the sending before, which is written down and has its tokens."""
        if self._sending_before is _SendingBefore.MAY_BE_PAID:
            self.leave_open(_LEFT)
        elif self._sending_before is _SendingBefore.FREE:
            await self._refuse()

    async def _refuse(self) -> None:
        self._registry.remove(self._entry)
        self.state = SubmissionState.REFUSED
        self._tell_hooks("refused")
        if self._admission is not None:
            self._admission.release_tokens()
            self._admission.close()
        if self._recorder is not None:
            with anyio.CancelScope(shield=True):
                await self._recorder.refused()

    def leave_open(self, why: str, candidates: Sequence[Generation] = ()) -> None:
        """Keep it as unresolved."""
        self._registry.leave_open(self._entry, why, candidates)
        self.state = SubmissionState.UNKNOWN
        self._tell_hooks("unknown")

    async def close(self) -> None:
        """Say that nothing more is sent, and keep as unresolved what may have been accepted and nobody waits for."""
        attempt = self.attempt
        try:
            if self.state is SubmissionState.SENT:
                # Its caller left, by a cancellation or a bug, and the answer will not be read.
                if attempt.sent and attempt.outcome in (None, AttemptOutcome.UNKNOWN):
                    self.leave_open(_LEFT)
                else:
                    await self._refuse()
        finally:
            if self._admission is not None:
                if self._begun is not None:  # whoever waits for the job sees its end
                    self._admission.accepted(self._begun)
                self._admission.close()

    def _tell_hooks(self, outcome: str, ref: JobRef | None = None) -> None:
        if self._observer is not None:
            self._observer.record_submission(outcome, ref)

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
                REPEATED_WITHIN,
            )


def _has_result(generation: Generation) -> bool:
    return generation.is_completed and bool(generation.text is not None or generation.url or generation.metadata)
