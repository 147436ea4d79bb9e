"""The command line's own file of settings, `config.toml`: defaults, and profiles for several accounts.

It is the user's, written by hand, and holds no key (`key_store` has those). The library does not read it: what a program
does must not depend on a file that its author has not seen. It stands where the system keeps such files, or where
`NEURALBOX_CONFIG` says. An option counts before a profile named by `--profile` or `NEURALBOX_PROFILE`, that before the
environment, and that before the file's own profile and defaults.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .._config import profile_from_environment
from .._errors import ConfigurationError
from .invocation import current
from .settings_place import expanded, settings_file

DEFAULT_PROFILE: Final = "default"


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _seconds(value: object) -> bool:
    return type(value) in {int, float} and value > 0  # type: ignore[operator]


def _whole(value: object) -> bool:
    return type(value) is int and value > 0


# Name in the file: the field, what may stand there, and how that is said.
_SETTINGS: Final[Mapping[str, tuple[str, Callable[[object], bool], str]]] = {
    "base-url": ("base_url", _text, "an address"),
    "to": ("to", _text, "a directory"),
    "name-by": ("name_by", _text, "key, id or a template"),
    "timeout": ("timeout", _seconds, "a number of seconds"),
    "poll-interval": ("poll_interval", _seconds, "a number of seconds"),
    "max-sending": ("max_sending", _whole, "a whole number above 0"),
    "max-downloads": ("max_downloads", _whole, "a whole number above 0"),
    "max-in-flight": ("max_in_flight", _whole, "a whole number above 0"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says where a command's options say nothing.

    Attributes:
        profile: Whose key is used.
        is_named: Whether the caller named the profile, so that it counts before the environment.
        base_url: Where the service is, or None.
        to: Directory for files, or None.
        name_by: What files are called, or None.
        timeout: Seconds of a wait, or None.
        poll_interval: Shortest pause between two polls of a job in seconds, or None.
        max_sending: Submissions at once, or None.
        max_downloads: Downloads at once, or None.
        max_in_flight: Requests of a batch read and not delivered, or None.
    """

    profile: str = DEFAULT_PROFILE
    is_named: bool = False
    base_url: str | None = None
    to: Path | None = None
    name_by: str | None = None
    timeout: float | None = None
    poll_interval: float | None = None
    max_sending: int | None = None
    max_downloads: int | None = None
    max_in_flight: int | None = None


def read_settings(*, may_be_new: bool = False) -> Settings:
    """Read the settings for this run.

    Args:
        may_be_new: Whether a profile of which nothing is known is taken: a key is to be kept for it.

    Raises:
        ConfigurationError: The file is none of ours, others can change it, or there is no such profile.
    """
    path = settings_file()
    found = _read(path)
    named = profile_from_environment() if current.profile is None else current.profile
    usual = found.get("profile", DEFAULT_PROFILE)
    chosen = usual if named is None else named
    profiles, defaults = found.get("profiles", {}), found.get("defaults", {})
    for where, name in ((f"{path}: `profile`", usual), ("--profile", chosen)):
        if not _text(name):
            raise ConfigurationError(
                f"{where} must be the name of a profile, whose table is [profiles.NAME]; it is {name!r}."
            )
    for name, table in {"defaults": defaults, "profiles": profiles}.items():
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path}: `{name}` must be a table, [{name}].")
    if not may_be_new and chosen not in {DEFAULT_PROFILE, *profiles}:
        _require_kept(path, chosen, profiles)
    profile = profiles.get(chosen, {})
    if not isinstance(profile, dict):
        raise ConfigurationError(f"{path}: the profile {chosen!r} must be a table, [profiles.{chosen}].")
    for name in found.keys() & _SETTINGS.keys():
        raise ConfigurationError(f"{path}: {name!r} stands outside a table: write it below [defaults].")
    unknown = dict.fromkeys(found.keys() - {"profile", "profiles", "defaults"})
    values = _checked(path, unknown) | _checked(path, defaults) | _checked(path, profile)
    if "to" in values:
        values["to"] = expanded(values["to"])
    return Settings(chosen, named is not None, **values)


def _require_kept(path: Path, chosen: str, profiles: Iterable[str]) -> None:
    """Refuse a profile of which nothing is known: with the key of the environment another account would pay."""
    from .key_store import kept_profiles

    known = {DEFAULT_PROFILE, *profiles, *kept_profiles()}
    if chosen not in known:
        raise ConfigurationError(
            f"There is no profile {chosen!r}, neither in {path} nor among the kept keys; there is {', '.join(sorted(known))}. "
            f"`neuralbox login --profile {shlex.quote(chosen)}` keeps the key of a new one."
        )


def _checked(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, value in table.items():
        known = _SETTINGS.get(name.replace("_", "-"))
        if known is None:
            advice = "`neuralbox login` keeps the key" if "key" in name.lower() else f"it knows {', '.join(_SETTINGS)}"
            raise ConfigurationError(f"{path}: {name!r} is no setting there; {advice}.")
        field, is_right, kind = known
        if not is_right(value):
            raise ConfigurationError(f"{path}: {name!r} must be {kind}.")
        values[field] = value
    return values


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        state = path.stat()
        if stat.S_ISREG(state.st_mode):
            content = path.read_bytes()
        else:
            raise ConfigurationError(f"{path} is no regular file, so no settings can be read from it.")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigurationError(f"The settings in {path} cannot be read: {error.strerror}.") from error
    if os.name == "posix" and state.st_mode & 0o022:
        raise ConfigurationError(
            f"Others can change {path}, which says where the key is sent:  chmod 644 {shlex.quote(str(path))}"
        )
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of UTF-8, or of TOML, whose message says the line
        raise ConfigurationError(f"{path} is no TOML: {str(error).rstrip('.')}.") from None
