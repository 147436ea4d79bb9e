"""Any JSON the service might come up with, with its own names used often enough to meet the code that reads them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from neuralbox._api.vocabulary import ALIASES

_NAMES = sorted(
    {name for names in ALIASES.values() for name in names if "." not in name}
    | {"status", "prompt", "usage", "progress", "eta_seconds", "created_at", "completed_at", "result_metadata", "seed"}
    | {"items", "data", "models", "total", "page", "pages", "limit", "error", "detail", "details", "message", "code"}
    | {"retry_after", "plan", "fields", "errors", "loc", "msg", "token_balance", "plan_expires_at", "auth_methods"}
    | {"breakdown", "recent_30d", "count", "tokens", "user", "name", "key", "slug", "config", "supports_streaming"}
)
_AWKWARD: list[Any] = [
    *(0, -1, 1, 0.0, -0.0, 1e308, 10**400, 10**4200, -(10**30)),
    *(float("nan"), float("inf"), float("-inf"), True, False, None),
    *("", " ", "0", "NaN", "45 %", "1e999", "\ud800", "completed", "PENDING", "failed", "queued", "a" * 3_000),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-03-08T12:02:30Z", "nb_live_0123456789"),
]
_scalars = st.sampled_from(_AWKWARD) | st.text(max_size=8) | st.integers() | st.floats()
_names = st.sampled_from(_NAMES) | st.text(max_size=6)

values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)
"""Any JSON value, lone surrogates, NaN and integers of thousands of digits (as many as JSON can bring) included."""

objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(_names, values, max_size=6)
"""Any JSON object."""
