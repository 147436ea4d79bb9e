"""A result together with the HTTP reply it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .._api.reply import read_json
from .._types import PlainValues

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RawResponse(PlainValues, Generic[T]):
    """What `with_raw_response` and `request` return.

    Attributes:
        status_code: HTTP status of the reply that ended the call's first exchange; 0 where nothing had to be asked (a
            file that stands there already), or where others that wait had the answer.
        headers: Its headers, rate limits included; names are looked up without regard to case.
        content: Its body, decompressed; empty for a stream and for a file.
        attempts: How many attempts it took, 1 for the first; 0 where there was no reply.
        value: What the plain call returns.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    attempts: int
    value: T = field(repr=False)

    def json(self) -> Any:
        """Parse the body.

        Raises:
            ProtocolError: It is not JSON.
        """
        return read_json(self.status_code, self.content)
