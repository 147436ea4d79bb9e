"""Has somebody replaced a method of the HTTP libraries? Tests (respx, pytest-httpx) and tracing tools do that.

Our engine goes past those methods, so it has to check; otherwise a mocked call would slip past its mock and reach the
network. The check compares nothing with what stood there at import, which may have been a replacement already: a
method that belongs to its library says so.
"""

from __future__ import annotations

import sys
from typing import Any

import httpx


def is_original(owner: type[Any], name: str) -> bool:
    """Tell whether a method of a class of httpx or httpcore is the library's own."""
    # Both libraries write their own name over `__module__` of a public class, but not of its methods. Whoever pretends
    # to be the original (`functools.wraps`, wrapt) leaves `__wrapped__` behind.
    method = getattr(owner, name)
    return method.__module__.startswith(_INSIDE[owner.__module__]) and not hasattr(method, "__wrapped__")


_INSIDE = {"httpx": "httpx.", "httpcore": "httpcore."}


def are_originals() -> bool:
    """Tell whether the transports of both libraries are their own."""
    if not is_original(httpx.AsyncHTTPTransport, "handle_async_request"):
        return False
    # Whoever replaces httpcore's method has imported httpcore; we never need it ourselves.
    httpcore = sys.modules.get("httpcore")
    return httpcore is None or is_original(httpcore.AsyncConnectionPool, "handle_async_request")
