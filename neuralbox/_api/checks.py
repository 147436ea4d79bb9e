"""Checks of what a caller gave: each refuses a value with one sentence, and returns nothing. Pure.

Names arrive as the message shows them, with backticks where it has some. What a value holds is repeated only where
it can be no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import ConfigurationError
from .._types import Omit
from . import vocabulary as words


def require_whole(name: str, value: Any, *, lowest: int, highest: int | None = None, of: str = "") -> None:
    """Refuse what is not a whole number from `lowest` on, up to `highest` where there is one; a truth value is none.

    Args:
        name: What the message calls it.
        value: What was given.
        lowest: The smallest number that is accepted.
        highest: The largest one; None for no bound.
        of: What is counted, where the name does not say it.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < lowest or (highest is not None and value > highest):
        counted = f" of {of}" if of else ""
        to = "" if highest is None else f" to {highest}"
        raise ConfigurationError(f"{name} must be a whole number{counted} from {lowest}{to}; it is {value!r}.")


def require_seconds(name: str, value: object, *, optional: bool = True) -> None:
    """Refuse what is not a positive number of seconds; None (no limit) passes where it is `optional`."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        no_limit = ", or None for no limit" if optional else ""
        raise ConfigurationError(f"{name} must be a number of seconds above 0{no_limit}; it is {value!r}.")


def require_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse what is none of the words allowed."""
    if value not in allowed:
        raise ConfigurationError(f"{name} must be one of {', '.join(allowed)}; it is {value!r}.")


def require_instance(name: str, value: object, kind: type[Any]) -> None:
    """Refuse what is of another type; the value itself is not repeated."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be a {kind.__name__}, not {type(value).__name__}.")


def require_plan(name: str, value: object) -> None:
    """Refuse what is no plan whose retention is known; None, for one that is not known here, passes."""
    if value is not None and not (isinstance(value, str) and value.strip().lower() in words.RETENTION_DAYS):
        raise ConfigurationError(f"{name} must be one of {', '.join(words.RETENTION_DAYS)}; it is {value!r}.")


def require_callback(name: str, value: object) -> None:
    """Refuse what cannot be called, where the first call would come after something is paid for; None passes."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} must be a function, not {type(value).__name__}.")


def require_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false, such as a word: `"no"` would count as true."""
    if value not in (True, False, None):
        raise ConfigurationError(f"{name} must be True or False; it is {value!r}.")


def require_query(name: str, value: object) -> None:
    """Refuse what is no mapping of names, which are text."""
    require_instance(name, value, Mapping)
    assert isinstance(value, Mapping)
    if not all(isinstance(one, str) for one in value):
        raise ConfigurationError(f"{name} must have text for its names.")


def require_path(name: str, value: Any) -> None:
    """Refuse what is no path: neither text nor what stands for text, such as a `Path`."""
    path = value.__fspath__() if hasattr(type(value), "__fspath__") else value
    if not isinstance(path, str):
        raise ConfigurationError(f"{name} must be a path (text or a `Path`), not {type(value).__name__}.")


def require_address(name: str, value: object) -> None:
    """Refuse what is no text where the service takes an address; what is left out, or None, passes.

    Which addresses it can reach, and whether it takes `data:`, only the service knows: no document says it, so any text
    is sent as it is, whatever the kind of the request.
    """
    if value is None or isinstance(value, Omit):
        return
    if not isinstance(value, str):
        raise ConfigurationError(f"`{name}` {_is_file(value) or f'must be an address, not {type(value).__name__}.'}")
    if not value.strip():
        raise ConfigurationError(f"`{name}` is empty.")


def what_json_cannot_hold(body: Mapping[str, Any]) -> str | None:
    """Name the first value of a body that JSON has no form for; None where there is none."""
    left: list[tuple[str, object]] = [("", body)]
    seen = set[int]()
    while left:
        place, value = left.pop()
        if value is None or isinstance(value, str | int | float):
            continue
        if not isinstance(value, dict | list | tuple):
            return (
                f"`{place}` {_is_file(value) or f'is of the type {type(value).__name__}, which JSON has no form for.'}"
            )
        if id(value) not in seen:
            seen.add(id(value))
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            left += reversed([(f"{place}.{key}" if place else str(key), item) for key, item in inside])
    return None


def _is_file(value: object) -> str:
    """Say what to do with a file where an address belongs; empty for anything else."""
    if isinstance(value, bytes | bytearray) or hasattr(value, "__fspath__") or hasattr(value, "read"):
        return (
            f"is a file ({type(value).__name__}), and the service takes no uploads here: pass an address, such as "
            "'https://...', at which it can fetch the file."
        )
    return ""
