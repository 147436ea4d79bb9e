"""Keys of the gateway's own: made here, kept as hashes in a file, each with its budget, models and rate.

A key is shown once, when it is made. It is long and random, so a plain hash is enough: nobody can try them out. The file
is read again when it has changed, so a key that is revoked is refused from the next request on.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from .._errors import ConfigurationError
from .._files.own_file import changing, read_own, write_own

KEY_PREFIX: Final = "nbgw_"


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """What the gateway knows of one key: not the key itself.

    Attributes:
        id: A short name, which logs and the journal use.
        name: What its operator calls it.
        digest: SHA-256 of the key, in hexadecimal digits.
        budget: Tokens of the service that may be spent with it; None without limit.
        models: Slugs it may use; None for all.
        per_minute: Paid requests a minute; None without limit.
        created_at: Unix seconds.
    """

    id: str
    name: str
    digest: str
    budget: int | None = None
    models: tuple[str, ...] | None = None
    per_minute: int | None = None
    created_at: int = 0

    def may_use(self, model: str) -> bool:
        """Whether it may use a model."""
        return self.models is None or model in self.models


def digest_of_key(key: str) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyFile:
    """The file with the keys.

    Args:
        path: Where it is; made with the first key.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._name = os.fspath(path)  # asked for with each call
        self._seen: tuple[int, int, int] | None = None
        self._keys: Mapping[str, GatewayKey] = {}
        self._found: dict[str, GatewayKey] = {}

    def find(self, key: str) -> GatewayKey | None:
        """Return what is known of a key; None for one that is not there.

        Raises:
            ConfigurationError: The file is there, and cannot be read.
        """
        known = self._read()
        found = self._found.get(key)
        if found is None:
            found = known.get(digest_of_key(key))
            if found is not None:
                self._found[key] = found  # so no more of them than there are keys
        return found

    def all(self) -> list[GatewayKey]:
        """Return all keys, oldest first.

        Raises:
            ConfigurationError: The file is there, and cannot be read.
        """
        return list(self._read().values())

    def make(
        self,
        name: str,
        *,
        budget: int | None = None,
        models: tuple[str, ...] | None = None,
        per_minute: int | None = None,
        now: float = 0.0,
    ) -> tuple[str, GatewayKey]:
        """Make a key and write it down; return it, for the only time, with what is kept.

        Raises:
            ConfigurationError: The name is taken or empty, a limit is below 1, or the file cannot be used.
        """
        for word, limit in (("budget", budget), ("per_minute", per_minute)):
            if limit is not None and limit < 1:
                raise ConfigurationError(f"`{word}` must be at least 1; it is {limit}.")
        secret = KEY_PREFIX + secrets.token_urlsafe(32)
        digest = digest_of_key(secret)
        made = GatewayKey(digest[:12], name, digest, budget, models or None, per_minute, int(now))
        with self._changing() as known:
            if not name.strip() or any(each.name == name for each in known):
                raise ConfigurationError(f"A key needs a name of its own; {name!r} is empty or taken.")
            self._write([*known, made])
        return secret, made

    def revoke(self, name: str) -> GatewayKey:
        """Take a key away, by its name or id.

        Raises:
            ConfigurationError: There is none, or the file cannot be used.
        """
        with self._changing() as known:
            found = next((each for each in known if name in {each.name, each.id}), None)
            if found is None:
                raise ConfigurationError(f"There is no key {name!r} in {self.path}.")
            self._write([each for each in known if each is not found])
        return found

    @contextmanager
    def _changing(self) -> Iterator[list[GatewayKey]]:
        """Give the keys to a block that changes them; nobody else does so meanwhile."""
        try:
            with changing(self.path):
                yield self.all()
        except OSError as error:
            raise self._unusable(error) from error

    def _read(self) -> Mapping[str, GatewayKey]:
        try:
            state = os.stat(self._name)  # noqa: PTH116 - for each call: half the time of `Path.stat`
        except FileNotFoundError:
            self._seen, self._keys, self._found = None, {}, {}
            return self._keys
        except OSError as error:
            raise self._unusable(error) from error
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        if seen != self._seen:
            try:
                records = json.loads(read_own(self.path))["keys"]
                self._keys = {record["digest"]: _key_of(record) for record in records}
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise self._unusable(error) from error
            self._seen, self._found = seen, {}
        return self._keys

    def _write(self, keys: list[GatewayKey]) -> None:
        text = json.dumps({"keys": [asdict(each) for each in keys]}, indent=1)
        beside = self.path.with_name(f".{self.path.name}.new")
        write_own(beside, text.encode())
        beside.replace(self.path)

    def _unusable(self, error: Exception) -> ConfigurationError:
        why = "it holds no keys of a gateway"
        if isinstance(error, ConfigurationError):
            why = error.message
        elif isinstance(error, OSError) and error.strerror:
            why = error.strerror
        return ConfigurationError(f"The file of keys {self.path} cannot be used: {why}.")


def _key_of(record: Mapping[str, Any]) -> GatewayKey:
    values = {each.name: record[each.name] for each in fields(GatewayKey) if each.name in record}
    for word in ("budget", "per_minute"):
        limit = values.get(word)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigurationError(f"`{word}` of a key is a whole number from 1 or null; it is {limit!r}")
    models = values.get("models")
    if models is not None:
        if not isinstance(models, list) or not all(isinstance(each, str) for each in models):
            raise ConfigurationError(f"`models` of a key is a list of slugs or null; it is {models!r}")
        values["models"] = tuple(models)
    return GatewayKey(**values)
