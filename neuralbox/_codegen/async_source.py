"""Read the async source for the generator: what a file's names mean, its classes, and questions about types.

The text is read with `ast` and never imported: names, quotes and aliases are seen as they were written. Nothing here
knows how the blocking side is written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class UnsupportedError(Exception):
    """A shape the rules do not cover; the message that leaves the generator names file, class and member."""


@dataclass
class Module:
    """One source file.

    Attributes:
        path: Below the package.
        names: A name to the import statement that brings it into the generated file.
        aliases: Type aliases defined here.
        variables: Type variables and parameter specifications defined here.
        classes: Public classes by name.
    """

    path: str
    names: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, ast.expr] = field(default_factory=dict)
    variables: set[str] = field(default_factory=set)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)


def read_module(path: str, text: str) -> Module:
    """Read the imports, aliases, type variables and classes of one file."""
    module = Module(path)
    parents = path.removesuffix(".py").split("/")
    home = ".." + ".".join(parents)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                module.names[name.asname or name.name.partition(".")[0]] = _whole("import", name)
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                module.names[name.asname or name.name] = _whole(f"from {_origin(node, parents)} import", name)
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            module.names[statement.name] = f"from {home} import {statement.name}"
            if not statement.name.startswith("_"):
                module.classes[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign | ast.Assign):
            _read_assignment(module, home, statement)
    return module


def _read_assignment(module: Module, home: str, statement: ast.AnnAssign | ast.Assign) -> None:
    target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
    if not isinstance(target, ast.Name):
        return
    module.names[target.id] = f"from {home} import {target.id}"
    if head(statement.value) in ("TypeVar", "ParamSpec"):
        module.variables.add(target.id)
    elif isinstance(statement, ast.AnnAssign) and head(statement.annotation) == "TypeAlias" and statement.value:
        module.aliases[target.id] = normal(statement.value)


def _whole(start: str, name: ast.alias) -> str:
    return f"{start} {name.name}" if name.asname is None else f"{start} {name.name} as {name.asname}"


def _origin(node: ast.ImportFrom, parents: Sequence[str]) -> str:
    """Return where an import leads, seen from a package beside the sources."""
    if node.level == 0:
        return node.module or ""
    above = [*parents[: len(parents) - node.level], *([node.module] if node.module else [])]
    return ".." + ".".join(above)


# Classes...


def members_of(node: ast.ClassDef) -> dict[str, Function]:
    """Return the methods of a class by name, of overloads the implementation."""
    return {member.name: member for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)}


def is_generator(method: Function) -> bool:
    """Return whether the function itself yields, and not only one inside it."""
    inside: list[ast.AST] = [*method.body]
    while inside:
        node = inside.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            inside += ast.iter_child_nodes(node)
    return False


def annotations_of(method: Function) -> list[ast.expr]:
    """Return everything a signature says about types."""
    arguments = method.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    found = [argument.annotation for argument in every if argument is not None]
    return [annotation for annotation in [*found, method.returns] if annotation is not None]


# ... and types.


def head(node: ast.AST | None) -> str:
    """Return the bare name of a type: `a.b.C[D]` gives `C`, a call the name of what is called."""
    if isinstance(node, ast.Subscript | ast.Call):
        return head(node.value if isinstance(node, ast.Subscript) else node.func)
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def arguments(node: ast.AST | None) -> list[ast.expr]:
    """Return what stands in the brackets of a type."""
    if not isinstance(node, ast.Subscript):
        return []
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def members(node: ast.expr) -> list[ast.expr]:
    """Return the members of a union, each once; a type that is none is its own only member."""
    if isinstance(node, ast.BinOp):
        both = members(node.left) + members(node.right)
        return list({ast.unparse(member): member for member in both}.values())
    return [node]


def union(types: Iterable[str]) -> str:
    """Write a union, each member once."""
    return " | ".join(dict.fromkeys(types))


def is_none(node: ast.expr) -> bool:
    """Return whether a type is None."""
    return isinstance(node, ast.Constant) and node.value is None


def mentions(node: ast.AST | None, names: Iterable[str]) -> bool:
    """Return whether one of the names stands anywhere in a type."""
    wanted = set(names)
    return node is not None and any(
        (isinstance(part, ast.Name) and part.id in wanted) or (isinstance(part, ast.Attribute) and part.attr in wanted)
        for part in ast.walk(node)
    )


def normal(node: ast.expr) -> ast.expr:
    """Take the quotes off a type, and write `Optional` and `Union` as `|`."""
    unified: ast.expr = _Normal().visit(_fresh(node))
    return unified


def filled(node: ast.expr, types: Mapping[str, ast.expr]) -> ast.expr:
    """Put types in place of names."""
    result: ast.expr = _Fill(types).visit(_fresh(node))
    return result


def _fresh(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body


class _Normal(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return normal(ast.parse(node.value, mode="eval").body) if isinstance(node.value, str) else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if head(node) == "Literal":
            return node  # its strings are values
        self.generic_visit(node)
        if head(node) not in ("Optional", "Union"):
            return node
        parts = [*arguments(node), *([ast.Constant(None)] if head(node) == "Optional" else [])]
        whole = parts[0]
        for part in parts[1:]:
            whole = ast.BinOp(whole, ast.BitOr(), part)
        distinct = members(whole)
        return distinct[0] if len(distinct) == 1 else whole


class _Fill(ast.NodeTransformer):
    def __init__(self, types: Mapping[str, ast.expr]) -> None:
        self.types = types

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.types.get(node.id, node)
