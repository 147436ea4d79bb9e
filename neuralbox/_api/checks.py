"""Checks of what a caller gave: each refuses a value with one sentence, and returns nothing. Pure.

Names arrive as the message shows them, with backticks where it has some. What a value holds is repeated only where
it can be no secret.
"""

from __future__ import annotations

from typing import Any

from .._errors import ConfigurationError


def require_whole(name: str, value: object, *, lowest: int, of: str = "") -> None:
    """Refuse what is not a whole number of at least `lowest`; a truth value is none.

    Args:
        name: What the message calls it.
        value: What was given.
        lowest: The smallest number that is accepted.
        of: What is counted, where the name does not say it.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        counted = f" of {of}" if of else ""
        raise ConfigurationError(f"{name} must be a whole number{counted} from {lowest}; it is {value!r}.")


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
