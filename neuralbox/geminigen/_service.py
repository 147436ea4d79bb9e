"""GeminiGen as the core sees it: where it is, how it refuses, and how it is asked for one generation."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from .._api import gemini_vocabulary as gemini
from .._api.fields import as_object
from .._api.pages import Envelope
from .._api.request import Query, query
from .._config import Detail, Listing, Service
from .._core.credentials import ApiKey
from .._errors import ProtocolError
from .._models.generation import Generation
from .._types import GenerationId, JobRef
from ._item import HistoryItem, rewrite
from ._reading import find_list, integer, number, unwrap
from ._refusals import is_ours, status_error


def make_credential(key: str) -> ApiKey:
    """Make the credential: the key alone, in a header of its own [SEED 004]."""
    return ApiKey(key, header_name=gemini.KEY_HEADER, scheme="")


def read_detail(reply: Mapping[str, Any], asked_uuid: str) -> HistoryItem:
    """Read the answer of `GET /history/{uuid}`, bare or wrapped.

    Raises:
        ProtocolError: It is no record of the history.
    """
    record = unwrap(reply)
    if "uuid" not in record and "status" not in record:
        raise ProtocolError("The service answered 200 without a record of its history.", status_code=200)
    return HistoryItem.read(record, asked_uuid=asked_uuid)


def _found(reply: Mapping[str, Any], ref: JobRef) -> Generation:
    generation = read_detail(reply, str(ref.id)).to_generation()
    missing = {
        name: known
        for name, known in (("kind", ref.kind), ("model", ref.model))
        if known is not None and getattr(generation, name) is None
    }
    return generation.model_copy(update=missing) if missing else generation


_OWN_WORDS = frozenset({"status", "content", "url", "error", "tokens_used"})


def _read(record: Mapping[str, Any], *, kind: str | None = None, asked_id: GenerationId | None = None) -> Generation:
    """Read what the service says of a generation, in any envelope; never raises."""
    said = unwrap(record)
    if isinstance(said.get("status"), str) and said.keys() <= _OWN_WORDS:
        # Written down by this package, where what the service wrote could not be kept.
        written = Generation.read(said, kind=kind, asked_id=asked_id)
        return written.model_copy(update={"tokens": None, "credits": written.tokens, "service": GEMINIGEN.name})
    generation = HistoryItem.read(said, asked_uuid="" if asked_id is None else str(asked_id)).to_generation()
    return generation if generation.kind is not None or kind is None else generation.model_copy(update={"kind": kind})


def _charge(generation: Generation) -> int | None:
    """Tell the credits of a final generation; where a completed one says 0, what it was estimated at."""
    if generation.is_cached:  # its record is of when it was bought
        return 0
    used = _credits(generation, "used_credit")
    return used if used or generation.is_failed else _credits(generation, "estimated_credit") or used


def _estimate(generation: Generation) -> int | None:
    return _credits(generation, "estimated_credit") or None


def _credits(generation: Generation, name: str) -> int | None:
    """Read whole credits, rounded up: a budget is kept, not nearly kept."""
    said = number(generation.raw.get(name))
    return None if said is None else ceil(said)


def _query(page: int, size: int, _: str | None) -> Query:
    return query(filter_by=gemini.ALL, items_per_page=size, page=page)


def _read_page(value: Any, page: int, size: int) -> Envelope | None:
    """Read a page of the list.

    How many pages there are counts only where the service says it: how many items a page may have is not documented, and
    a number of pages worked out from one that it does not give would end a walk too early.
    """
    records = find_list(value)
    if records is None:
        return None
    raw = as_object(value) or {}
    told_size = integer(raw.get("per_page"))
    return Envelope(
        records=records,
        page=integer(raw.get("current_page")) or page,
        page_size=told_size if told_size is not None and told_size > 0 else size,
        total=integer(raw.get("total")),
        pages=integer(raw.get("last_page")),
        raw=raw,
    )


GEMINIGEN = Service(
    base_url=gemini.BASE_URL,
    prefix=gemini.PREFIX,
    key_variable="GEMINIGEN_API_KEY",
    base_url_variable="GEMINIGEN_BASE_URL",
    key_help="Keys are made in the account's Service Integration.",
    status_error=status_error,
    is_ours=is_ours,
    # Its filter takes a kind or a state, and no word for a state is documented.
    listing=Listing(gemini.HISTORIES, _query, _read_page, rewrite=rewrite, has_states=False),
    read=_read,
    charge=_charge,
    estimate=_estimate,
    unit="credits",
    announces_prices=False,
    not_kept=frozenset({"input_text", "tts_input", "name", "file_password", "note"}),
    detail=Detail(gemini.HISTORY, _found),
    name="geminigen",
)
