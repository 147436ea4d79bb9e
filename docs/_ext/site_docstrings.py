"""What our docstrings need on their way to Sphinx, which reads reStructuredText.

- An indented block after a sentence is an example, and not the quotation that reStructuredText takes it for.
- A name in backticks may be followed by a letter (`BatchOutcome`s).
- In "Tokens charged: 0 where ..." what stands before the colon is no type, since types are annotated.
- Names that a module imports for type checkers only are imported after all, so that annotations can be resolved.
- `neuralbox._client.AsyncNeuralBox` in a signature is what users import as `neuralbox.AsyncNeuralBox`.
- A resource is documented as what users write, `nb.images`, and not as the class behind it: a module `nb` stands for the client.
- The constructor of a resource or handle takes what no user has; it is not shown.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PUBLIC = ("neuralbox", "neuralbox.geminigen", "neuralbox.sync", "neuralbox.sandbox", "neuralbox.testing")
_SECTION = re.compile(r"[A-Z][\w -]*:$")


# Before napoleon reads the sections...


def show_examples(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Turn indented blocks that are not a section's into code blocks."""
    text = [re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in lines]
    shown: list[str] = []
    in_section = False
    number = 0
    while number < len(text):
        line = text[number]
        before = next((one for one in reversed(shown) if one.strip()), "")
        if line and not line.startswith(" "):
            in_section = bool(_SECTION.match(line))
        is_example = line.startswith(" ") and not in_section and not before.startswith(("- ", "* "))
        if not is_example or (shown and shown[-1].strip()):
            shown.append(line)
            number += 1
            continue
        end = number
        while end < len(text) and (not text[end].strip() or text[end].startswith(" ")):
            end += 1
        shown += [f".. code-block:: {_language(lines[number:end])}", "", *lines[number:end]]
        number = end
    lines[:] = shown


def _language(block: Sequence[str]) -> str:
    try:
        compile(textwrap.dedent("\n".join(block)), "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return "text"
    return "python"


# ... and after it.


def put_sentences_together(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Give a sentence back what napoleon took for its type."""
    for number, line in enumerate(lines):
        field, _, taken = line.partition(": ")
        if field not in (":type", ":rtype") or not taken:
            continue
        lines[number] = ""
        returns = next((at for at in range(number) if lines[at].startswith(":returns: ")), None)
        if field == ":rtype" and returns is not None:
            lines[returns] = lines[returns].replace(":returns: ", f":returns: {taken}: ", 1)
        elif field == ":rtype":
            lines[number] = f":returns: {taken}"
        elif lines[0]:
            lines[0] = f"{taken}: {lines[0]}"


# Names.


def import_for_annotations(_app: Sphinx) -> None:
    """Do the imports under `if TYPE_CHECKING:` of every module of the package that is there."""
    for name in PUBLIC:
        module = importlib.import_module(name)
        for public in module.__all__:
            getattr(module, public)
    for name in [name for name in sys.modules if name.partition(".")[0] == "neuralbox"]:
        module = sys.modules[name]
        for node in ast.parse(Path(module.__file__ or "").read_bytes()).body:
            if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                code = compile(ast.Module(node.body, []), name, "exec")
                exec(code, vars(module))  # noqa: S102 - the package's own imports
    resources()


@cache
def resources() -> dict[str, type]:
    """Make the module `nb`, in which each resource of the client stands under the name users write; return their classes."""
    from neuralbox import AsyncNeuralBox

    nb = AsyncNeuralBox(api_key="nb_documentation")
    module, found = ModuleType("nb"), {}
    for name, member in inspect.getmembers_static(AsyncNeuralBox):
        resource = type(getattr(nb, name)) if isinstance(member, cached_property) and name[0] != "_" else None
        if resource is None or not resource.__module__.startswith(("neuralbox._resources.", "neuralbox._batch.")):
            continue
        # A class of its own: under another name than its own autodoc would show no more than an alias.
        members = {key: value for key, value in vars(resource).items() if key not in ("__dict__", "__weakref__")}
        setattr(module, name, type(name, resource.__bases__, members | {"__module__": "nb", "__qualname__": name}))
        found[name] = resource
    sys.modules["nb"] = module
    return found


@cache
def homes() -> dict[str, str]:
    """The public name of each thing, by where it is defined; the first where there are several."""
    found: dict[str, str] = {f"{one.__module__}.{one.__qualname__}": f"nb.{name}" for name, one in resources().items()}
    for module in PUBLIC:
        for name in importlib.import_module(module).__all__:
            thing = getattr(importlib.import_module(module), name)
            home, own = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
            if home and own:
                found.setdefault(f"{home}.{own}", f"{module}.{name}")
    return found


def find_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Resolve a reference to a private home by the public name of the same thing."""
    public = homes().get(node["reftarget"]) if node.get("refdomain") == "py" else None
    if public is None:
        return None
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, contnode)


def hide_inner_constructors(
    _app: Sphinx, what: str, _name: str, thing: Any, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """Leave out the constructors of what only a client makes."""
    if what != "class" or not inspect.isclass(thing) or signature is None:
        return None
    is_inner = re.match(r"\((_?(core|fetch|inner|native|tell|call)\b|\*\*data)", signature)
    return ("", returns) if is_inner else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect all of them; napoleon's priority is 500."""
    app.connect("builder-inited", import_for_annotations)
    app.connect("autodoc-process-docstring", show_examples, priority=100)
    app.connect("autodoc-process-docstring", put_sentences_together, priority=900)
    app.connect("autodoc-process-signature", hide_inner_constructors)
    app.connect("missing-reference", find_public_name)
    return {"parallel_read_safe": True}
