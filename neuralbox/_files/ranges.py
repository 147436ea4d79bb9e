"""Parts of files: which version some bytes are of, how the rest is asked for, and whether an answer is that rest.

The rules are those of RFC 9110, sections 8.8 (validators), 13.1.5 (`If-Range`), 14 (ranges) and 15.3.7 (206), read by
somebody who would rather fetch a file twice than join the halves of two: bytes are only added to others where both
answers name the same version, by a strong `ETag`, or by a date and a length. What falls short of that starts over.
Pure: statuses and headers in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .._api.fields import as_http_date

# A strong tag [RFC 9110, 8.8.3], in characters that a header can be sent with; a longer one is not worth keeping.
_STRONG_TAG: Final = re.compile(r'"[!#-~]{0,254}"')
_CONTENT_RANGE: Final = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class FileVersion:
    """What tells one version of a file from every other.

    Attributes:
        etag: A strong `ETag` as sent, or None.
        modified: `Last-Modified` as sent, where there is no tag; then `total` is known too.
        total: Bytes of the whole file, or None where the server did not say.
    """

    etag: str | None
    modified: str | None
    total: int | None


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """A request for the rest of a file.

    Attributes:
        first: Where the rest begins, above 0.
        version: What the bytes before that are of.
    """

    first: int
    version: FileVersion

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers that ask for the rest if it is still that version, else for all of it."""
        condition = self.version.etag or self.version.modified or ""
        return {"range": f"bytes={self.first}-", "if-range": condition}


@dataclass(frozen=True, slots=True)
class RangeBody:
    """What the body of an answer is.

    Attributes:
        first: Where in the file its first byte stands.
        total: Bytes of the whole file, or None where the server does not say.
        plain: Whether it comes as it is, not compressed.
        version: What it is of; None where that cannot be told, so that nothing can be added to it later.
    """

    first: int
    total: int | None
    plain: bool
    version: FileVersion | None


def recorded_version(record: Mapping[str, object]) -> FileVersion | None:
    """Read a version back from where its fields were written down; None where that is not what it says."""
    etag, modified, total = (record.get(name) for name in ("etag", "modified", "total"))
    if total is not None and (type(total) is not int or total < 0):
        return None
    if isinstance(etag, str) and _STRONG_TAG.fullmatch(etag) and modified is None:
        return FileVersion(etag, None, total)
    if etag is None and isinstance(modified, str) and _date(modified) is not None and total is not None:
        return FileVersion(None, modified, total)
    return None


def ask_for_rest(have: int, version: FileVersion | None) -> RangeRequest | None:
    """Ask for what is missing; None where only the whole file can be asked for."""
    if version is None or have <= 0:
        return None
    if version.total is not None and have >= version.total:
        # Nothing is missing but the certainty that it is still this version: the last byte brings it.
        return RangeRequest(version.total - 1, version) if version.total > 1 else None
    return RangeRequest(have, version)


def read_body(status_code: int, headers: Mapping[str, str], asked: RangeRequest | None) -> RangeBody | None:
    """Say what the body of an answer is; None where it is neither the file nor the rest that was asked for."""
    plain = headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}
    if status_code == 200:
        # Of a compressed body the header gives the compressed length, which the transport sees to.
        total = _length(headers) if plain else None
        return RangeBody(first=0, total=total, plain=plain, version=_version(headers, total) if plain else None)
    if status_code != 206 or asked is None or not plain:
        return None
    return _rest(headers, asked)


def _rest(headers: Mapping[str, str], asked: RangeRequest) -> RangeBody | None:
    said = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if said is None or said[3] == "*":
        return None
    first, last, total = int(said[1]), int(said[2]), int(said[3])
    version, length = asked.version, _length(headers)
    if first != asked.first or not first <= last < total or version.total not in {None, total}:
        return None
    if length is not None and length != last - first + 1:
        return None
    # A 206 repeats the validator of the 200 [15.3.7]; a server that ignored `If-Range` shows itself here.
    if version.etag is not None:
        same = headers.get("etag", "").strip() == version.etag
    else:
        same = headers.get("last-modified", "").strip() == version.modified
    if not same:
        return None
    return RangeBody(first=first, total=total, plain=True, version=FileVersion(version.etag, version.modified, total))


def _version(headers: Mapping[str, str], total: int | None) -> FileVersion | None:
    if headers.get("accept-ranges", "").strip().lower() == "none":
        return None
    tag = headers.get("etag", "").strip()
    if _STRONG_TAG.fullmatch(tag):
        return FileVersion(tag, None, total)
    modified = headers.get("last-modified", "").strip()
    changed, said = _date(modified), _date(headers.get("date", ""))
    # Within the second of the answer the file may have changed again under the same date [8.8.2.2].
    if total is None or changed is None or said is None or said - changed < 1:
        return None
    return FileVersion(None, modified, total)


def _length(headers: Mapping[str, str]) -> int | None:
    said = headers.get("content-length", "")
    return int(said) if _NUMBER.fullmatch(said) else None


def _date(text: str) -> float | None:
    """Read a date, in Unix seconds; None where it could not be sent back in a header."""
    return as_http_date(text) if text.isascii() and text.isprintable() else None
