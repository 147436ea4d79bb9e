"""Each async example of a page gets a second tab with its blocking form, written by rule from the same text.

What has no blocking form that a rule could write (task groups, event loops, async functions of the reader's own) stays
alone. `tests/docs` runs both forms of each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from sphinx.application import Sphinx

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ALONE = re.compile(
    r"\banyio\b|\basyncio\b|\basync def\b|\bhttpx\b|\btrio\b|\bSandbox\b|transport=|neuralbox\.testing|neuralbox\.otel|neuralbox\.mcp"
)
_RULES = (
    # A listing that is awaited is its first page.
    (r"await (\w+\.history\.list\([^()]*\))", r"\1.first_page()"),
    (r"(?<!\w)\(await (\w+\.[\w.]+\([^()]*\))\)", r"\1"),
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait (?=[\w(])", ""),
    (r"\bAsync(NeuralBox|GeminiGen)\b", r"\1"),
    (r"\bneuralbox\.history_of\b", "neuralbox.sync.history_of"),
)


def blocking_form(code: str) -> str | None:
    """Return the blocking form of an example; None where it is not async, or has none."""
    if not re.search(r"\bAsync(NeuralBox|GeminiGen)\b", code) or _ALONE.search(code):
        return None
    for pattern, replacement in _RULES:
        code = re.sub(pattern, replacement, code)
    return code


def add_tabs(_app: Sphinx, _page: str, source: MutableSequence[str]) -> None:
    """Put both forms of each example into tabs; the reader's choice holds for all of a site's pages."""

    def tabs(found: re.Match[str]) -> str:
        blocking = blocking_form(found[1])
        if blocking is None:
            return found[0]
        items = (("async", found[0]), ("blocking", f"```python\n{blocking}```"))
        drawn = "".join(f":::{{tab-item}} {name}\n:sync: {name}\n{block}\n:::\n" for name, block in items)
        return f"::::{{tab-set}}\n:sync-group: form\n{drawn}::::"

    source[0] = BLOCK.sub(tabs, source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Read each page through it."""
    app.connect("source-read", add_tabs)
    return {"parallel_read_safe": True}
