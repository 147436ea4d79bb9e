"""One poll of one generation: which of the two documented paths, and what the reference knows that the answer lacks.

The documents disagree about the path (contradiction C2): the shape of the id chooses the first, a 404 or 405 tries the
other once, and the one that worked is remembered per account. A service with one path says which (`Service.detail`).
Everything else (retries, errors) is the core's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from .._api import vocabulary as words
from .._api.request import Request, fill
from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.deadline import in_time
from .._core.exchange import Core
from .._costs.charges import charges_of
from .._errors import APIStatusError, ConfigurationError, NotFoundError, ProtocolError
from .._models.generation import Generation
from .._transport import Reply
from .._types import GenerationId, JobRef


class _PathsThatWorked(dict[bool, str]):
    """Which path answered for ids made of digits (True) and for others (False)."""


@runtime_checkable
class HasRef(Protocol):
    """What knows its job: a `Job`, a `Generation`."""

    @property
    def ref(self) -> JobRef: ...


Reference: TypeAlias = GenerationId | JobRef | HasRef
"""All that names a job: its id, a `JobRef`, a `Job`, a `Generation`."""


def as_ref(job: Reference) -> JobRef:
    """Read whatever names a job.

    Raises:
        ConfigurationError: It names none.
    """
    if isinstance(job, JobRef):
        ref = job
    elif isinstance(job, int | str):
        ref = JobRef(job)
    else:  # not `isinstance(job, HasRef)`, which takes ten times as long
        ref = getattr(job, "ref", None) or JobRef(job)  # type: ignore[arg-type]  # what is none is refused below
    # An id of dots would climb out of the path, and True is an int.
    identity: object = ref.id
    if isinstance(identity, bool) or not isinstance(identity, int | str) or not str(identity).strip(" ."):
        given = f"a {type(identity).__name__}; pass its `ref`" if hasattr(identity, "ref") else repr(identity)
        raise ConfigurationError(f"A generation's id is an integer or text such as `gen_…`, not {given}.")
    return ref


def _no_notes(_: Mapping[str, str]) -> None:
    """Nobody wants to know the headers."""


async def poll(
    core: Core,
    job: Reference,
    call: CallOptions = NO_CALL_OPTIONS,
    *,
    note_headers: Callable[[Mapping[str, str]], None] = _no_notes,
) -> Generation:
    """Ask for one generation, once.

    Args:
        core: The client to ask with.
        job: The id, or anything that carries it; its kind and model fill what the answer lacks.
        call: What this one call changes.
        note_headers: Called with the headers of the answer.

    Raises:
        NotFoundError: Both paths say that they do not know the id.
        ProtocolError: The answer is about another job.
        NeuralBoxError: It was refused, or no answer came.

    Source:
        NeuralBox API, `GET /api/v2/generate/{id}` [SEED 001, 002], `GET /api/v2/generate/status/{id}` [SEED 000].
    """
    ref = as_ref(job)
    detail = core.options.service.detail
    if detail is None:
        return await _poll_by_either_path(core, ref, call, note_headers)
    return await _ask(core, detail.path, ref, call, note_headers, detail.read)


async def _poll_by_either_path(
    core: Core, ref: JobRef, call: CallOptions, note_headers: Callable[[Mapping[str, str]], None]
) -> Generation:
    """Ask where ids of this shape were found before, and at the other path where that does not know it (C2)."""
    worked = core.account.state(_PathsThatWorked, _PathsThatWorked)
    is_number = str(ref.id).isdecimal()
    first = worked.get(is_number) or (words.GENERATION_BY_NUMBER if is_number else words.GENERATION_BY_TEXT)
    began, deadline = core.clock(), core.options.deadline
    try:
        generation = await _ask(core, first, ref, call, note_headers, _read_record)
    except APIStatusError as error:
        if error.status_code not in (404, 405):
            raise
        other = words.GENERATION_BY_TEXT if first == words.GENERATION_BY_NUMBER else words.GENERATION_BY_NUMBER
        left = None if deadline is None else deadline - (core.clock() - began)
        try:
            generation = await in_time(left, deadline, _ask(core, other, ref, call, note_headers, _read_record))
        except APIStatusError as second:
            if second.status_code not in (404, 405):
                raise
            # Neither path knows the id, or has the method: the plainer "not found" of the two says it best, but only
            # when both say so is the job unknown.
            is_unknown = isinstance(second, NotFoundError) and second.is_from_service
            if isinstance(error, NotFoundError) and not is_unknown:
                raise
            raise error from None
        worked[is_number] = other
        return generation
    worked[is_number] = first
    return generation


def require_same_job(asked_id: GenerationId, answered_id: GenerationId, reply: Reply) -> None:
    """Refuse an answer about another job. A job may have an id of each shape (C1), so only those of one are compared.

    Raises:
        ProtocolError: It is about another one.
    """
    asked, answered = str(asked_id), str(answered_id)
    if asked != answered and asked.isdecimal() == answered.isdecimal():
        raise ProtocolError(
            f"The service was asked for generation {asked} and answered with {answered[:80]!r}, which is not believed.",
            status_code=reply.status_code,
        )


async def _ask(
    core: Core,
    path: str,
    ref: JobRef,
    call: CallOptions,
    note_headers: Callable[[Mapping[str, str]], None],
    read_record: Callable[[Mapping[str, Any], JobRef], Generation],
) -> Generation:
    def read(reply: Reply) -> Generation:
        note_headers(reply.headers)
        generation = read_record(core.as_object(reply), ref)
        require_same_job(ref.id, generation.id, reply)
        if generation.is_final:
            charges_of(core).ended(ref.id, generation)
        return generation

    return await core.send(Request("GET", fill(path, id=ref.id)), read, call)


def _read_record(record: Mapping[str, Any], ref: JobRef) -> Generation:
    generation = Generation.read(record, kind=ref.kind, asked_id=ref.id)
    if generation.model is None and ref.model is not None:
        return generation.model_copy(update={"model": ref.model})
    return generation
