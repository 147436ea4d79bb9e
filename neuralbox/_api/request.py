"""A request as plain values: what is asked, and what repeating it would mean.

The resources' builders make these; the core turns them into bytes. Nothing here performs I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from io import SEEK_END
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import quote

from .._errors import ConfigurationError
from .._types import OMIT, GenerationId

Query: TypeAlias = tuple[tuple[str, str], ...]


class RetrySafety(Enum):
    """What a second sending of the same request would mean."""

    REPEATABLE = "repeatable"
    """Reading, or setting the same value again: repeated freely."""
    ONCE = "once"
    """Makes or toggles something: repeated only when nothing was sent or the service refused."""
    PAID = "paid"
    """As `ONCE`, and an unknown outcome is a `SubmissionUnknownError`: it may have been charged."""


def digest_of(content: bytes) -> str:
    """Return what tells the content of a file from others."""
    return blake2b(content, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file in a multipart body.

    Attributes:
        name: The field it goes under.
        file_name: The name the service sees.
        content: Bytes, or what reads like a binary file that can seek to its start again.
        content_type: Its media type.
        digest: What tells its content from others, where that is known already.
    """

    name: str
    file_name: str
    content: bytes | BinaryIO = field(repr=False)
    content_type: str
    digest: str = field(default="", repr=False)

    @property
    def size(self) -> int:
        """In bytes; an open file is asked, and stays where it is."""
        if isinstance(self.content, bytes):
            return len(self.content)
        at = self.content.tell()
        end = self.content.seek(0, SEEK_END)
        self.content.seek(at)
        return end

    @property
    def mark(self) -> str:
        """What tells its content from others; "" where that is neither known nor here."""
        return self.digest or (digest_of(self.content) if isinstance(self.content, bytes) else "")


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body: text fields, then files.

    Attributes:
        fields: The text fields; one with several texts is sent as often.
        files: The files.
        secrets: Text fields that are sent and kept nowhere: no journal, no claim and no cache gets to see them.
        loses_text: The service was seen to lose a part of such a text, so what its history shows of it is a prediction.
    """

    fields: Mapping[str, str | Sequence[str]] = field(default_factory=dict, repr=False)
    files: tuple[FormFile, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    loses_text: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the service.

    Attributes:
        method: HTTP method.
        path: Below the prefix, already quoted, starting with a slash.
        safety: What repeating it means.
        query: Name and value pairs in order, not yet quoted.
        body: JSON body, or None for none.
        form: Multipart body; excludes `body`.
        slow: The answer may take as long as a generation, so the long read limit counts.
        accept: The `Accept` header.
        anonymous: Sent without the credential (end-user login).
        prefix: What stands before the path, where it is not the service's own prefix.
    """

    method: str
    path: str
    safety: RetrySafety = RetrySafety.REPEATABLE
    query: Query = ()
    body: Mapping[str, Any] | None = field(default=None, repr=False)  # the prompt is in it
    form: Form | None = None
    slow: bool = False
    accept: str = "application/json"
    anonymous: bool = False
    prefix: str | None = None

    def whole_body(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the fields that are sent, in a form or as JSON, with those a call adds; a form's files are left out."""
        return {**(self.form.fields if self.form is not None else self.body or {}), **(extra or {})}


def fill(path: str, **values: GenerationId) -> str:
    """Put values into a path of the vocabulary, quoted so that none can leave its segment.

    >>> fill("/models/{slug}", slug="a/../b")
    '/models/a%2F..%2Fb'

    Raises:
        ConfigurationError: A value names nothing: it is empty or made of dots (then the path would be another one's),
            or it is neither a number nor text.
    """
    return path.format(**{name: _segment(name, value) for name, value in values.items()})


def _segment(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ConfigurationError(f"`{name}` must be text or a whole number, not {type(value).__name__}.")
    # Dots are never quoted, and every engine resolves them: `DELETE /keys/..` would be `DELETE /`.
    if not str(value).strip(" ."):
        raise ConfigurationError(f"`{name}` is {value!r}, which names nothing.")
    try:
        return quote(str(value), safe="")
    except UnicodeEncodeError:
        raise ConfigurationError(f"`{name}` holds half a character (a lone surrogate).") from None


def given(**values: Any) -> dict[str, Any]:
    """Keep what the caller gave: `OMIT` is left out, None stays and is sent as `null` (contradiction C34)."""
    return {name: value for name, value in values.items() if value is not OMIT}


def form_texts(values: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Write what a call adds to a form: numbers and truth values as text, a list as a repeated field; None and `OMIT` are left out.

    Raises:
        ConfigurationError: Something is neither, and no form can say it.
    """
    return {
        name: [_form_text(name, each) for each in value] if isinstance(value, list | tuple) else _form_text(name, value)
        for name, value in values.items()
        if value is not None and value is not OMIT
    }


def _form_text(name: object, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(name, str) or not isinstance(value, str | int | float):
        raise ConfigurationError(
            f"`extra_body` of a form takes texts, numbers and lists of them, and {name!r} is {type(value).__name__}: "
            "what is to be JSON in a field is passed as its text."
        )
    return str(value)


def query(**values: Any) -> Query:
    """Write what was given as query pairs; None and `OMIT` are left out, truth values are written as `true` and `false`."""
    pairs = []
    for name, value in values.items():
        if value is None or value is OMIT:
            continue
        pairs.append((name, ("true" if value else "false") if isinstance(value, bool) else str(value)))
    return tuple(pairs)
