"""A line of the manifest, and the fields of an item as values of JSON. Pure.

A line begins with what the archive knows of the file and goes on with every field of the generation, `raw` last, so
that the line alone tells all there is to tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from pydantic_core import to_json

from .._api.fields import parse_json
from .._models.generation import Model

NAME: Final = "manifest.jsonl"
STAGING: Final = ".neuralbox"
SAVED: Final = "saved"
EXPIRED: Final = "expired"
_NEVER_WRITTEN: Final = frozenset({"file_password"})
"""Fields of records that open something, and belong into no file."""
_BEYOND: Final = 2**63
"""No file is so long, and no index holds such a number."""
_START: Final = b'{"archive":1,'
"""How each line begins, the version of its layout included."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """What a line says of a file.

    Attributes:
        service: Which service the generation is of.
        account: Whose it is, or None.
        key: The generation's id as text, or what stands for it where it has none.
        part: `file`, `file-2`, ..., or `text`.
        state: `saved`, or `expired` for what the storage no longer has.
        path: Where it is in the directory, with `/`; None when it is not.
        size: Its length in bytes.
        sha256: Of its content, in hexadecimal digits.
    """

    service: str
    account: str | None
    key: str
    part: str
    state: Literal["saved", "expired"]
    path: str | None = None
    size: int | None = None
    sha256: str | None = None


def write_line(
    entry: ManifestEntry, fields: Mapping[str, Any], *, archived_at: datetime, expires_at: datetime | None
) -> bytes:
    """Write a line, its end included."""
    record = {
        "archive": 1,
        "service": entry.service,
        "account": entry.account,
        "key": entry.key,
        "part": entry.part,
        "state": entry.state,
        "path": entry.path,
        "bytes": entry.size,
        "sha256": entry.sha256,
        "archived_at": archived_at.isoformat(),
        "expires_at": None if expires_at is None else expires_at.isoformat(),
        **fields,
    }
    return as_json(record) + b"\n"


def read_line(line: bytes) -> ManifestEntry | None:
    """Read a line; None where it is damaged."""
    try:
        record = parse_json(line.decode("utf-8-sig"))  # other bytes are damage, and nothing is guessed of a path
    except ValueError:
        return None
    if not isinstance(record, dict) or not line.endswith(b"\n"):
        return None
    texts = [record.get(name) for name in ("service", "key", "part", "state")]
    path, size, sha256, account = (record.get(name) for name in ("path", "bytes", "sha256", "account"))
    if not all(isinstance(text, str) for text in texts) or not isinstance(account, str | None):
        return None
    service, key, part, state = map(str, texts)
    if state == EXPIRED:
        return ManifestEntry(service, account, key, part, EXPIRED)
    is_length = isinstance(size, int) and 0 <= size < _BEYOND
    is_whole = isinstance(path, str) and isinstance(sha256, str) and is_length and state == SAVED
    if not is_whole or not _is_inside(str(path)):
        return None
    return ManifestEntry(service, account, key, part, SAVED, path, size, sha256)


def is_ours(line: bytes) -> bool:
    """Whether a line, or what is left of it, was written here."""
    return line.startswith(_START) or _START.startswith(line)


def is_reserved(name: str) -> bool:
    """Whether an archive keeps a name in its directory for itself."""
    return name.casefold() in {NAME, STAGING}


def _is_inside(path: str) -> bool:
    """Whether a path of a line is that of a result: nothing else is read or written whatever a line says."""
    found = PurePosixPath(path)
    is_below = bool(found.parts) and not found.is_absolute() and ".." not in found.parts
    return is_below and not is_reserved(found.parts[0]) and not set(path) & {"\\", ":", "\0"}


# Fields.


def fields_of(item: Model) -> dict[str, Any]:
    """Return every field as values of JSON, the record last, as it came but for passwords; nested ones are not repeated."""
    return {**_nested(item), "raw": _without_passwords(item.raw)}


def _without_passwords(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_passwords(inner) for name, inner in value.items() if name not in _NEVER_WRITTEN}
    return [_without_passwords(inner) for inner in value] if isinstance(value, list) else value


def _nested(item: Model) -> dict[str, Any]:
    return {name: _value(getattr(item, name)) for name in type(item).model_fields if name != "raw"}


def _value(value: object) -> object:
    if isinstance(value, Model):
        return _nested(value)
    if isinstance(value, tuple):
        return [_value(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value


def as_json(value: object) -> bytes:
    """Write JSON that every reader takes: no `NaN`, and no half of a character."""
    try:
        return to_json(value, inf_nan_mode="null")
    except ValueError:  # half a character has no UTF-8
        return json.dumps(value, separators=(",", ":")).encode()
