"""Each async example of a page becomes tabs: the whole program, its blocking form, and its inside, written by rule from one text.

A page has an example as a whole program, or as the inside of one: with `await` outside of any function, as `python -m
asyncio` and notebooks take it. What has no blocking form that a rule could write (task groups, servers, transports) has
none. `tests/docs` runs every form of each, the programs as files.
"""

from __future__ import annotations

import ast
import re
import sys
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from sphinx.application import Sphinx

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A tab that a page writes itself.
_OWN_TAB = re.compile(r"^:::\{tab-item\}[^\n]*\n(?::sync:[^\n]*\n)?\Z", re.MULTILINE)
_ALONE = re.compile(r"\banyio\b|\basyncio\b|\bhttpx\.AsyncClient\b|\btrio\b|\bstarlette\b|\bneuralbox\.(mcp|gateway)\b")
_CLIENT = re.compile(r"\bAsync(NeuralBox|GeminiGen)\b|\brunning\.client\(")
_RULES = (
    # A listing that is awaited is its first page.
    (r"await (\w+\.history\.list\([^()]*\))", r"\1.first_page()"),
    (r"(?<!\w)\(await (\w+\.[\w.]+\([^()]*\))\)", r"\1"),
    (r"\basync (with|for|def)\b", r"\1"),
    (r"\bawait (?=[\w(])", ""),
    (r"\bAsync(NeuralBox|GeminiGen)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\brunning\.client\(", "running.sync_client("),
    (r"\bneuralbox\.history_of\b", "neuralbox.sync.history_of"),
)
_WHOLE = re.compile(
    r"(?P<before>.*?)\n*async def main\(\) -> None:\n(?P<main>(?:    [^\n]*\n|\n)+)asyncio\.run\(main\(\)\)\n",
    re.DOTALL,
)


def whole_form(code: str) -> str | None:
    """Return the program whose inside an example is; the example itself where it is one. None for a blocking one."""
    if _WHOLE.fullmatch(code):
        return code
    statements = _statements(code)
    first = next((number for number, one in enumerate(statements) if _waits(one)), None)
    if first is None:
        return None
    lines = code.splitlines(keepends=True)
    at = statements[first - 1].end_lineno if first else 0
    before, main = "".join(lines[:at]).rstrip(), "".join(lines[at:]).strip("\n")
    found = re.match(r"(?:import|from) (\w+)", before)
    space = "\n" if found is not None and found[1] in sys.stdlib_module_names else "\n\n"
    return f"import asyncio{space}{before}\n\n\nasync def main() -> None:\n{indent(main, '    ')}\n\n\nasyncio.run(main())\n"


def inside_form(code: str) -> str | None:
    """Return the inside of an async program; the example itself where it is one. None for a blocking one."""
    found = _WHOLE.fullmatch(code)
    if found is None:
        return code if any(map(_waits, _statements(code))) else None
    before, main = found["before"], dedent(found["main"]).strip("\n")
    if "asyncio." not in before + main:
        before = re.sub(r"\Aimport asyncio\n+", "", before)
    return f"{before}\n\n{main}\n"


def blocking_form(code: str) -> str | None:
    """Return the blocking form of an example; None where it is not async, or has none."""
    inside = inside_form(code)
    if inside is None or not _CLIENT.search(inside) or _ALONE.search(inside):
        return None
    for pattern, replacement in _RULES:
        inside = re.sub(pattern, replacement, inside)
    return inside


def _statements(code: str) -> list[ast.stmt]:
    parsed: ast.Module = compile(code, "example", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return parsed.body


def _waits(node: ast.AST) -> bool:
    """Whether a statement awaits, other than in a function that it defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
        return False
    is_async = isinstance(node, ast.comprehension) and node.is_async
    return (
        bool(is_async)
        or isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)
        or any(map(_waits, ast.iter_child_nodes(node)))
    )


def add_tabs(_app: Sphinx, _page: str, source: MutableSequence[str]) -> None:
    """Put the forms of each example into tabs; the reader's choice holds for all of a site's pages."""
    text = source[0]

    def tabs(found: re.Match[str]) -> str:
        whole = whole_form(found[1])
        if whole is None or _OWN_TAB.search(text[: found.start()]):
            return found[0]
        forms = {"async": whole, "blocking": blocking_form(found[1]), "async, inside": inside_form(found[1])}
        drawn = "".join(
            f":::{{tab-item}} {name}\n:sync: {name}\n```python\n{form}```\n:::\n"
            for name, form in forms.items()
            if form is not None
        )
        return f"::::{{tab-set}}\n:sync-group: form\n{drawn}::::"

    source[0] = BLOCK.sub(tabs, text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Read each page through it."""
    app.connect("source-read", add_tabs)
    return {"parallel_read_safe": True}
