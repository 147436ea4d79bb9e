"""How values cross between the two sides, decided by their types alone.

A type has a blocking spelling; a parameter of it is turned into what the async side takes, a result of it into what
the blocking side returns. A type the rules do not cover raises `UnsupportedError`: a wrong guess would give async
objects to blocking programs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from .async_source import (
    Module,
    UnsupportedError,
    arguments,
    filled,
    head,
    is_none,
    members,
    members_of,
    mentions,
    normal,
    union,
)

# Turns the expression of a value into that of its counterpart on the other side.
Wrapping: TypeAlias = Callable[[str], str]

CONTEXTS = frozenset({"AbstractAsyncContextManager", "AsyncContextManager"})
STREAMS = frozenset({"AsyncIterator", "AsyncIterable", "AsyncGenerator"})
AWAITABLES = frozenset({"Awaitable", "Coroutine"})
_COLOURED = CONTEXTS | STREAMS | AWAITABLES
_LISTS = frozenset({"Collection", "Iterable", "Sequence", "list"})
_DICTS = frozenset({"Mapping", "dict"})
# Types whose values can be told from an async iterable by `isinstance`.
_PLAIN = frozenset({"bytearray", "bytes", "dict", "list", "memoryview", "str", "tuple"})

_WELL_KNOWN = {
    "Any": "from typing import Any",
    "Awaitable": "from collections.abc import Awaitable",
    "AbstractContextManager": "from contextlib import AbstractContextManager",
    "Callable": "from collections.abc import Callable",
    "Generic": "from typing import Generic",
    "Iterable": "from collections.abc import Iterable",
    "Self": "from typing import Self",
    "TypeAlias": "from typing import TypeAlias",
    "cast": "from typing import cast",
    "cached_property": "from functools import cached_property",
    "overload": "from typing import overload",
}


@dataclass(frozen=True)
class Rules:
    """What the text of the source does not say.

    Attributes:
        roots: Classes users make themselves; all others come out of these.
        iterators: Classes that are only there to be iterated: blocking methods return `Items`.
        pagers: Listings, with what awaiting one gives; iterating one goes over its pages.
        provided: Bases of which the runtime's own provide all that is public.
        unread: Streams whose items are taken one by one, as the reader asks for them.
        aliases: Further files, read for the names of callbacks and the like; their classes are not mirrored.
    """

    roots: frozenset[str]
    iterators: frozenset[str] = frozenset()
    pagers: Mapping[str, str] = field(default_factory=dict)
    provided: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()


class Names:
    """The names the generated file imports, each as its source does.

    Attributes:
        here: The file that is being read.
        imports: Import statements by the name they bind.
    """

    def __init__(self, here: Module) -> None:
        self.here = here
        self.imports: dict[str, str] = {}

    def use(self, name: str) -> str:
        """Import a name; builtins and what is no name at all need nothing."""
        statement = _WELL_KNOWN.get(name) or self.here.names.get(name)
        if statement is not None:
            self.bind(name, statement)
        return name

    def bind(self, name: str, statement: str) -> None:
        """Import by this statement, which no other may contradict."""
        if self.imports.setdefault(name, statement) != statement:
            raise UnsupportedError(f"{name!r} would mean two things: `{self.imports[name]}` and `{statement}`")


class Types:
    """Spells types for the blocking side, and writes the expressions that take values across.

    Args:
        modules: All source files.
        rules: What they do not say.
        names: Where used names are noted.

    Attributes:
        mirrored: The classes that are mirrored.
        callbacks: Definitions of the callback aliases that were used, by name.
    """

    def __init__(self, modules: Sequence[Module], rules: Rules, names: Names) -> None:
        self.rules = rules
        self.names = names
        self.classes = {name: node for module in modules for name, node in module.classes.items()}
        self.homes = {name: module for module in modules for name in module.classes}
        self.mirrored = frozenset(self.classes) - rules.iterators
        self.callbacks: dict[str, str] = {}
        self._aliases: dict[str, ast.expr] = {}
        # By how it is written: the same types stand everywhere, and nobody changes one.
        self._plain: dict[str, ast.expr] = {}
        for module in modules:
            for name, node in module.aliases.items():
                known = self._aliases.setdefault(name, node)
                if ast.unparse(known) != ast.unparse(node):
                    raise UnsupportedError(f"{module.path}: the alias {name!r} has another meaning elsewhere")

    # Spelling.

    @staticmethod
    def blocking_name(name: str) -> str:
        """Return the name of the blocking class."""
        return name.removeprefix("Async")

    @staticmethod
    def async_name(name: str) -> str:
        """Return the name of a mirrored class inside the generated file, where its own may be the blocking one's."""
        return name if name.startswith("Async") else f"Async{name}"

    def plain(self, node: ast.expr) -> ast.expr:
        """Return a type without quotes, and with the aliases written out that hide something async."""
        written = ast.unparse(node)
        known = self._plain.get(written)
        if known is None:
            known = self._plain[written] = normal(filled(normal(node), self._hiding))
        return known

    @cached_property
    def _blocking_names(self) -> dict[str, ast.expr]:
        return {name: ast.Name(self.blocking_name(name)) for name in self.mirrored}

    @cached_property
    def _hiding(self) -> dict[str, ast.expr]:
        """The aliases that hide something async, callbacks apart."""
        return {
            name: alias
            for name, alias in self._aliases.items()
            if not self._is_callback(alias) and (self.crosses(alias) or mentions(alias, _COLOURED))
        }

    def crosses(self, node: ast.AST | None) -> bool:
        """Return whether values of the type are mirrored, or hold something that is."""
        return mentions(node, self.mirrored | {"Self"})

    def text(self, node: ast.expr) -> str:
        """Return the blocking spelling of a type that has one."""
        node = self.plain(node)
        self._use_all(node)
        unknown = sorted(_names(node) & (_COLOURED | self.rules.iterators)) or [
            name for name in sorted(_names(node)) if name.startswith("Async") and name not in self.mirrored
        ]
        if unknown:
            raise UnsupportedError(f"the type {ast.unparse(node)} has no blocking counterpart for {unknown[0]}")
        return ast.unparse(filled(node, self._blocking_names))

    def async_text(self, node: ast.expr) -> str:
        """Return the spelling of an async type inside the generated file."""
        node = self.plain(node)
        self._use_all(node)
        return ast.unparse(filled(node, {name: ast.Name(self.async_name(name)) for name in self.mirrored}))

    def _use_all(self, node: ast.expr) -> None:
        for name in sorted(_names(node) - self.mirrored):
            self.names.use(name)

    def default(self, node: ast.expr) -> str:
        """Return the default of a parameter."""
        self._use_all(node)
        return ast.unparse(node)

    # What is passed in.

    def parameter(self, node: ast.expr) -> str:
        """Return what is accepted: a callback loses its coroutine form, an async iterable becomes a plain one."""
        return union(self._accepted(member) for member in members(self.plain(node)))

    def _accepted(self, node: ast.expr) -> str:
        if head(node) in self._aliases and self._is_callback(self._aliases[head(node)]):
            name = head(node)
            if name not in self.callbacks:
                plain = union(self._plain_callback(member) for member in members(self._aliases[name]))
                self.callbacks[name] = f"{name}: {self.names.use('TypeAlias')} = {plain}\n"
            return name
        if head(node) == "Callable":
            return self._plain_callback(node)
        if head(node) in STREAMS:
            return f"{self.names.use('Iterable')}[{self.text(arguments(node)[0])}]"
        return self.text(node)

    def _is_callback(self, node: ast.expr) -> bool:
        return any(head(member) == "Callable" for member in members(node))

    def _plain_callback(self, node: ast.expr) -> str:
        if head(node) != "Callable" or len(arguments(node)) != 2:
            raise UnsupportedError(f"the callback type {ast.unparse(node)} is no `Callable[[...], ...]`")
        given, answer = arguments(node)
        if self.crosses(given):
            raise UnsupportedError(f"the callback {ast.unparse(node)} would be given an async object")
        answers = [
            self.text(arguments(member)[-1] if head(member) in AWAITABLES else member) for member in members(answer)
        ]
        self._use_all(given)
        return f"{self.names.use('Callable')}[{ast.unparse(given)}, {union(answers)}]"

    def argument(self, name: str, node: ast.expr) -> str:
        """Return the expression that passes a parameter on to the async side."""
        accepted = [member for member in members(self.plain(node)) if not is_none(member)]
        others = [member for member in accepted if not self._is_function(member)]
        if len(others) < len(accepted):
            if others:
                raise UnsupportedError(f"parameter {name!r} takes a callback or something else: {ast.unparse(node)}")
            if not any(mentions(self._written_out(member), AWAITABLES) for member in accepted):
                raise UnsupportedError(f"the callback {name!r} would run in the loop's thread; let it be async as well")
            return f"bridge.callback({name})"
        if any(head(member) in STREAMS for member in accepted):
            return self._fed(name, members(self.plain(node)))
        if not any(self.crosses(member) for member in accepted):
            return name
        if all(head(member) in self.mirrored | {"Self"} or not self.crosses(member) for member in accepted):
            return f"bridge.unwrap({name})"
        if len(accepted) == 1 and head(accepted[0]) in _LISTS:
            optional = any(is_none(member) for member in members(self.plain(node)))
            return f"{f'None if {name} is None else ' if optional else ''}bridge.unwrap_all({name})"
        raise UnsupportedError(f"parameter {name!r} takes {ast.unparse(node)}, which has no rule")

    def several(self, name: str, node: ast.expr) -> str:
        """Do the same for `*args`, of which each is of the type."""
        if self.argument(name, node) not in (name, f"bridge.unwrap({name})"):
            raise UnsupportedError(f"parameter *{name} takes {ast.unparse(node)}, which has no rule")
        return f"*bridge.unwrap_all({name})" if self.crosses(self.plain(node)) else f"*{name}"

    def _is_function(self, node: ast.expr) -> bool:
        return self._is_callback(self._written_out(node))

    def _written_out(self, node: ast.expr) -> ast.expr:
        return self._aliases.get(head(node), node)

    def _fed(self, name: str, accepted: Sequence[ast.expr]) -> str:
        heads = [head(member) for member in accepted if not is_none(member)]
        plain = [name for name in heads if name not in STREAMS | {"Iterable"}]
        if not set(plain) <= _PLAIN:
            raise UnsupportedError(f"parameter {name!r} cannot be told from an async iterable")
        if "Iterable" in heads:
            plain += ["list", "tuple"]  # nothing of theirs has to run in the caller's thread
        checks = [f"{name} is None"] if any(is_none(member) for member in accepted) else []
        if plain:
            checks.append(f"isinstance({name}, {' | '.join(plain)})")
        return f"{name} if {' or '.join(checks)} else bridge.feed({name})" if checks else f"bridge.feed({name})"

    # What is returned.

    def wrapping(self, node: ast.expr) -> Wrapping | None:
        """Return how a value is wrapped, or None where it is returned as it is."""
        node = self.plain(node)
        name = head(node)
        if not self.crosses(node):
            return None
        if name in self.mirrored | {"Self"}:
            return self._viewed(name)
        if len(members(node)) > 1:
            return self._any_of(members(node))
        inner = [self.wrapping(part) if self._is_single(part) else None for part in arguments(node)]
        first, last = inner[0], inner[-1]
        if name in _LISTS and first is not None:
            return lambda value: f"[{first('item')} for item in {value}]"
        if name in _DICTS and last is not None and not self.crosses(arguments(node)[0]):
            return lambda value: f"{{key: {last('item')} for key, item in {value}.items()}}"
        if name == "tuple" and all(
            wrap or not self.crosses(one) for wrap, one in zip(inner, arguments(node), strict=True)
        ):
            return _tuple(arguments(node), inner)
        raise UnsupportedError(f"a value of type {ast.unparse(node)} has no rule")

    def _viewed(self, name: str) -> Wrapping:
        owner = "self" if name == "Self" else self.blocking_name(name)
        return lambda value: f"{owner}.of({value})"

    def _is_single(self, node: ast.expr) -> bool:
        """Return whether a value is one object: containers of containers are not taken apart."""
        return all(head(member) in self.mirrored | {"Self"} or not self.crosses(member) for member in members(node))

    def _any_of(self, parts: Sequence[ast.expr]) -> Wrapping:
        if not all(head(part) in self.mirrored or not self.crosses(part) for part in parts):
            raise UnsupportedError(f"a value of type {union(map(ast.unparse, parts))} has no rule")
        views = [head(part) for part in parts if self.crosses(part)]
        last = None if len(views) < len(parts) else views.pop()

        def wrap(value: str) -> str:
            steps = [
                f"{self._viewed(view)(value)} if isinstance({value}, {self.async_name(view)}) else " for view in views
            ]
            return "".join(steps) + (value if last is None else self._viewed(last)(value))

        return wrap

    def needs_name(self, node: ast.expr) -> bool:
        """Return whether wrapping reads the value more than once."""
        node = self.plain(node)
        return self.crosses(node) and (len(members(node)) > 1 or head(node) == "tuple")

    def view(self, node: ast.expr) -> str:
        """Return the function that wraps one value of the type, as a further argument; empty where none is needed."""
        name = head(self.plain(node))
        if not self.crosses(self.plain(node)):
            return ""
        if name not in self.mirrored | {"Self"}:
            raise UnsupportedError(f"holds {ast.unparse(node)} open, which has no rule")
        return f", wrap={'self' if name == 'Self' else self.blocking_name(name)}.of"

    def item_of(self, node: ast.expr) -> ast.expr:
        """Return what the steps of an iterator give: of one of the listed classes, its type parameters filled in."""
        name = head(node)
        if name not in self.rules.iterators:
            return arguments(node)[0]
        step = members_of(self.classes[name]).get("__anext__")
        if step is None or step.returns is None:
            raise UnsupportedError(f"{name} is listed as an iterator and has no typed `__anext__`")
        variables = [
            variable
            for base in self.classes[name].bases
            for variable in sorted(_names(base) & self.homes[name].variables)
        ]
        return filled(step.returns, dict(zip(dict.fromkeys(variables), arguments(node), strict=False)))


def _tuple(types: Sequence[ast.expr], wraps: Sequence[Wrapping | None]) -> Wrapping:
    if len(types) == 2 and isinstance(types[1], ast.Constant) and types[1].value is ...:
        wrap = wraps[0]
        assert wrap is not None
        return lambda value: f"tuple({wrap('item')} for item in {value})"

    def wrap_each(value: str) -> str:
        places = [f"{value}[{index}]" for index in range(len(wraps))]
        return f"({''.join(f'{place if wrap is None else wrap(place)}, ' for place, wrap in zip(places, wraps, strict=True))})"

    return wrap_each


def _names(node: ast.AST) -> set[str]:
    """Return every name in a type; of `a.b.C` the first, which is what is imported."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
