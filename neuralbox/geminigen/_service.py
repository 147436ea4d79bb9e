"""GeminiGen as the core sees it: where it is, how it refuses, and how it is asked for one generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._api import gemini_vocabulary as gemini
from .._config import Detail, Service
from .._core.credentials import ApiKey
from .._errors import ProtocolError
from .._models.generation import Generation
from .._types import JobRef
from ._item import HistoryItem
from ._reading import unwrap
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


GEMINIGEN = Service(
    base_url=gemini.BASE_URL,
    prefix=gemini.PREFIX,
    key_variable="GEMINIGEN_API_KEY",
    base_url_variable="GEMINIGEN_BASE_URL",
    key_help="Keys are made in the account's Service Integration.",
    status_error=status_error,
    is_ours=is_ours,
    detail=Detail(gemini.HISTORY, _found),
    name="geminigen",
)
