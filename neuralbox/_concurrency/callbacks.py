"""Calling a function of the user's that may be plain or async."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any


async def call_either(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function, plain or async, once, and return what it comes to; what it raises goes through."""
    result = function(*arguments)
    return await result if isawaitable(result) else result
