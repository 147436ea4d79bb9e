"""Requests from plain values: JSON lines, and dictionaries in a batch; an error says what is wrong by the field's name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from .._api.builders import require_text
from .._api.checks import require_path
from .._api.request import Request, form_texts
from .._config import Dialect
from .._errors import ConfigurationError
from .base import BatchRequest
from .generate import GenerateRequest
from .requests import REQUESTS


class RequestKinds:
    """The kinds of requests that a service takes.

    Args:
        requests: Their classes.
        default: The name of the kind of a record that says none; None where it has to.

    Attributes:
        service: Whose they are.
        by_name: Each by its own name, and by the service's word for it.
    """

    def __init__(self, requests: Sequence[type[Any]], default: str | None = None) -> None:
        self.service: str = requests[0].service
        self.by_name: Mapping[str, type[Any]] = MappingProxyType(
            {kind.kind: kind for kind in reversed(requests) if kind.kind is not None}
            | {kind.name: kind for kind in requests}
        )
        self._names = ", ".join(kind.name for kind in requests)
        self._default = default
        self._fields: Mapping[type, Mapping[str, Field[Any]]] = {
            kind: {option.name: option for option in fields(kind)} for kind in requests
        }

    def read(self, record: Mapping[str, Any]) -> BatchRequest:
        """Read a request from plain values; see `request_from_dict`."""
        if not isinstance(record, Mapping):
            raise ConfigurationError(
                f"A request is one of neuralbox's requests or a mapping, not {type(record).__name__}."
            )
        values = dict(record)
        name = values.pop("kind", self._default)
        made = self.by_name.get(name) if isinstance(name, str) else None
        if made is None:
            raise ConfigurationError(f"`kind` must be one of {self._names}; it is {name!r}.")
        known = self._fields[made]
        for field_name in values:
            if field_name not in known:
                raise ConfigurationError(_unknown(field_name, made, known, has_kind="kind" in record))
        for option in known.values():
            if option.default is MISSING and option.name not in values:
                raise ConfigurationError(f"`{option.name}` is missing: {_article(made.name)} request needs it.")
        request: BatchRequest = made(**values)
        return request

    def take(self, given_as: BatchRequest | Mapping[str, Any]) -> BatchRequest:
        """Take a request as it is, or read it from a mapping.

        Raises:
            ConfigurationError: It is neither, or a request to another service.
        """
        if not isinstance(given_as, BatchRequest):
            return self.read(given_as)
        if given_as.service != self.service:
            raise ConfigurationError(
                f"{type(given_as).__name__} is a request to {given_as.service}, and this client speaks to {self.service}."
            )
        return given_as


NEURALBOX_KINDS: Final = RequestKinds(REQUESTS, GenerateRequest.name)


def request_from_dict(record: Mapping[str, Any]) -> BatchRequest:
    """Read a request from plain values, as `to_dict` writes them or as a JSON line holds them.

        request_from_dict({"kind": "image", "model": "flux-1.1-pro", "prompt": "A lighthouse", "seed": 7})

    Args:
        record: `kind` says which class it is: `text`, `image`, `video`, `speech`, `music`, `tool`, `transcription`
            or `generate` (the service's `tts`, `audio` and `stt` are understood too); without it, `generate`. The
            other names are the fields of that class. Null is sent as `null`, or means "not given" where a field's
            default is None.

    Raises:
        ConfigurationError: It names a field that is missing, unknown, or not what it should be.
    """
    return NEURALBOX_KINDS.read(record)


def _unknown(name: object, made: type[BatchRequest], known: Mapping[str, object], *, has_kind: bool) -> str:
    unknown = f"`{name}` is not a field of {_article(made.name)} request"
    if not has_kind:
        return f"{unknown}; say `kind` (image, text, ...), or put options into `params`."
    fields_of = ", ".join(known)
    return f"{unknown}; an option this version does not know goes through `extra_body`. Its fields: {fields_of}."


def check(request: BatchRequest, dialect: Dialect) -> Request:
    """Return what would be sent; refuse what cannot be right, by the rules of its kind. Nothing is read and nothing is sent.

    Raises:
        ConfigurationError: It names the field.
    """
    if request.key is not None:
        require_text("key", request.key)
    request.options()
    return request.build(dialect)


def require_writable(request: Request, extra: Mapping[str, Any] | None) -> None:
    """Refuse what neither JSON nor a form can hold, `extra` of the call included.

    Raises:
        ConfigurationError: It says why.
    """
    extra = extra or {}
    body = request.whole_body(extra if request.form is None else form_texts(extra))
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:  # what Python reads as JSON and no other does
        raise ConfigurationError(f"this cannot be sent as JSON: {error}.") from None


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def read_requests(path: str | os.PathLike[str]) -> Iterator[BatchRequest]:
    """Read requests from a file of JSON lines, or from a table (`.csv`), one by one as they are wanted.

        nb.batch(read_requests("requests.jsonl"), journal="run.sqlite")

    Args:
        path: UTF-8; each line is an object as `request_from_dict` reads it. Empty lines are passed over. Of a `.csv` file
            the first row names the fields (`key,kind,model,prompt`), and an empty cell is a field that is not given.

    Yields:
        The requests, in the order of the file.

    Raises:
        ConfigurationError: `path` is none, or a line holds no request; the message says which line, and what is wrong with
            it. A batch finishes what came before it, and then raises this.
        OSError: The file cannot be read.
    """
    require_path("`path`", path)
    for number, found in read_lines(path):
        if isinstance(found, ConfigurationError):
            raise ConfigurationError(f"{os.fspath(path)}, line {number}: {found.message}") from None
        yield found


def read_lines(
    path: str | os.PathLike[str], *, is_table: bool | None = None, called: object = None
) -> Iterator[tuple[int, BatchRequest | ConfigurationError]]:
    """Read the lines of such a file that are not empty: the number of each, and its request or what is wrong with it.

    Args:
        path: The file.
        is_table: Whether it is a table; None where its ending tells.
        called: What messages call the file; None for its path.

    Raises:
        ConfigurationError: It is a table without a usable header.
        OSError: The file cannot be read.
    """
    if os.fspath(path).lower().endswith(".csv") if is_table is None else is_table:
        yield from _read_table(path, os.fspath(path) if called is None else called)
        return
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line  # a byte-order mark of Windows
            if text.strip():
                found: BatchRequest | ConfigurationError
                try:
                    found = _read_line(text)
                except ConfigurationError as error:
                    found = error
                yield number, found


def _read_table(
    path: str | os.PathLike[str], called: object
) -> Iterator[tuple[int, BatchRequest | ConfigurationError]]:
    from .csv_table import read_rows

    try:
        for number, row in read_rows(path):
            found: BatchRequest | ConfigurationError
            try:
                found = row if isinstance(row, ConfigurationError) else request_from_dict(row)
            except ConfigurationError as error:
                found = error
            yield number, found
    except ConfigurationError as error:
        raise ConfigurationError(f"{called}: {error.message}") from None


def _read_line(line: bytes) -> BatchRequest:
    try:
        record = json.loads(line)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        where = f" at character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigurationError(f"this is no JSON object{where}.") from None
    return request_from_dict(record)
