"""What requests of every kind have in common: a key, a model, a way to plain values, and one to what is sent.

The values are plain: making one checks nothing. `build` puts it through the builders of `_api`, which refuse what cannot
be right. Prompts and addresses stay out of `repr`. The way from plain values is `json_lines`' business.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any, ClassVar

from .._api.request import Request, given
from .._config import CallOptions, Dialect
from .._errors import ConfigurationError
from .._types import OMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest(ABC):
    """A request of any kind: what all of them have. Make one of a kind, such as `ImageRequest`.

    Attributes:
        name: The word for its kind in `to_dict`.
        kind: The service's word for it, where it has one.
        service: Whose request it is.
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: Slug of the model.
        extra_body: Fields to add to the body's top level.
    """

    name: ClassVar[str]
    kind: ClassVar[str | None]
    service: ClassVar[str] = "neuralbox"

    key: str | None = None
    model: Any
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the request as plain values, as `request_from_dict` reads them: what was not given is not in it.

        Raises:
            ConfigurationError: A file was given as bytes, which no JSON holds.
        """
        record: dict[str, Any] = {"kind": self.name}
        for option in fields(self):
            value = getattr(self, option.name)
            if value is not OMIT and not (value is None and option.default is None):
                record[option.name] = _plain(option.name, value)
        return record

    @abstractmethod
    def build(self, dialect: Dialect) -> Request:
        """Build what is sent, less the files it names; `ConfigurationError` names what cannot be right."""

    async def prepare(self, dialect: Dialect) -> Request:
        """Build what is sent; the files it names are read now."""
        return self.build(dialect)

    @property
    def paths(self) -> Sequence[str | os.PathLike[str]]:
        """Return the local files that it names."""
        return ()

    @property
    def result_kind(self) -> str | None:
        """Return the service's word for the kind of what it makes, where that is known."""
        return self.kind

    def options(self) -> CallOptions:
        """Return what the call changes.

        Raises:
            ConfigurationError: `extra_body` is no mapping.
        """
        return CallOptions(extra_body=self.extra_body)

    def given(self, *names: str) -> dict[str, Any]:
        """Return the fields of these names that were given, by name."""
        return given(**{name: getattr(self, name) for name in names})


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        raise ConfigurationError(f"`{name}` is given as bytes, which cannot be written down; pass a path.")
    if isinstance(value, list | tuple):
        return [_plain_item(name, item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _plain_item(name: str, value: Any) -> Any:
    """Return an item of a list as a plain value; a path is told from an address by its form."""
    if isinstance(value, os.PathLike):
        return {"path": os.fspath(value)}
    return _plain(name, value)
