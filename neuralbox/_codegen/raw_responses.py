"""Write `with_raw_response`: every resource of a client once more, its calls returning the HTTP reply beside the value.

A resource's public methods are taken as they stand: what is awaited goes through `raw`, what is entered through
`raw_stream` (`_base_client`), and types follow from those; only overloads, which no wrapper can carry, are written out. What has no reply of its own to show is listed in `WITHOUT`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .async_source import Function, Module, UnsupportedError, head, is_generator, members_of, read_module

# What has no reply that could be shown, and why.
WITHOUT: Mapping[str, str] = {
    "batch": "many requests",
    "history.archive": "many requests and many files",
    "history.export": "many requests and one file",
    "history.summary": "many requests",
    "history.to_arrow": "many requests",
}
# What the documentation of a class adds.
_NOTES: Mapping[str, str] = {
    "auth": "The body of a login holds the access token: keep it secret.",
    "files": "The reply is the storage's, and its body is empty: the file is where the call put it.",
    "generations": "Of a wait it is the first reply that the call itself asked for.",
    "history": "`list` is one page.",
    "text": "`stream` is entered, and its `value` iterated; the reply is the one it opened with.",
}
# Listings: awaiting one gives its first page.
_AWAITABLE = frozenset({"Pager"})


@dataclass(frozen=True)
class RawClient:
    """A client, and where its resources are written once more.

    Attributes:
        source: The client's file, below the package.
        name: The client's class.
        target: The file to write.
        prefix: How the written classes begin.
    """

    source: str
    name: str
    target: str
    prefix: str


RAW_CLIENTS: Sequence[RawClient] = (
    RawClient("_client.py", "AsyncNeuralBox", "_raw.py", "Raw"),
    RawClient("geminigen/_client.py", "AsyncGeminiGen", "geminigen/_raw.py", "RawGemini"),
)


def write_raw(client: RawClient, read: Callable[[str], str]) -> str:
    """Return the module of a client's raw resources, not yet formatted.

    Args:
        client: Which.
        read: Reads a file below the package.

    Raises:
        UnsupportedError: A method is neither awaited nor entered.
    """
    module = read_module(client.source, read(client.source))
    found = {
        name: _find(module, head(method.returns), read)
        for name, method in members_of(module.classes[client.name]).items()
        if "cached_property" in map(head, method.decorator_list) and name not in {"with_raw_response", *WITHOUT}
    }
    resources = {name: [*_calls(name, *home, read)] for name, home in found.items()}
    written_out = {name: [*_overloads(home[1])] for name, home in found.items()}
    imports = {line for name, methods in written_out.items() for line in _imports(client, found[name][0], methods)}
    made_of = {name: _here(client, module.names[home[1].name]) for name, home in found.items()}
    return "\n".join(_module(client, resources, written_out, sorted(imports), made_of))


def _module(
    client: RawClient,
    resources: Mapping[str, Sequence[tuple[str, str]]],
    written_out: Mapping[str, Sequence[Function]],
    imports: Sequence[str],
    made_of: Mapping[str, str],
) -> Iterator[str]:
    yield f'"""`{client.name}.with_raw_response`: its resources once more, the reply beside each value.'
    yield ""
    yield "Written by `python -m neuralbox._codegen` from the resources; do not edit."
    yield '"""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield "from functools import cached_property"
    yield "from typing import TYPE_CHECKING, Any, cast, overload"
    yield _here(client, "from .._base_client import raw, raw_stream")
    yield _here(client, "from .._core.exchange import Core")
    yield from imports
    yield ""
    yield "if TYPE_CHECKING:  # a resource is imported by its first use, as in the client"
    yield from (f"    {line}" for line in made_of.values())
    yield ""
    yield f"class {client.prefix}Resources:"
    yield '    """The resources of a client whose calls return a `RawResponse`."""'
    yield ""
    yield "    def __init__(self, core: Core) -> None:"
    yield "        self._core = core"
    yield ""
    for name in resources:
        own = f"{client.prefix}{name.title()}"
        yield "    @cached_property"
        yield f"    def {name}(self) -> {own}:"
        yield f'        """See `{client.name}.{name}`."""'
        yield f"        {made_of[name]}"
        yield ""
        yield f"        return {own}({_class_of(made_of[name])}(self._core))"
        yield ""
    for name, calls in resources.items():
        yield f"class {client.prefix}{name.title()}:"
        if name in _NOTES:
            yield from (f'    """`{name}` with raw responses.', "", f"    {_NOTES[name]}", '    """')
        else:
            yield f'    """`{name}` with raw responses."""'
        yield ""
        overloaded = {method.name for method in written_out[name]}
        yield f"    def __init__(self, {name}: {_class_of(made_of[name])}) -> None:"
        if overloaded:
            yield f"        self._{name} = {name}"
        for call, wrapper in calls:
            if call not in overloaded:
                yield f"        self.{call} = {wrapper}({name}.{call})"
        yield ""
        for method in written_out[name]:
            yield from _written_out(name, method)


def _find(module: Module, name: str, read: Callable[[str], str]) -> tuple[Module, ast.ClassDef]:
    """Find a class by the import that brings it into a file."""
    path = module.names[name].split()[1].removeprefix("..").replace(".", "/") + ".py"
    home = read_module(path, read(path))
    return home, home.classes[name]


def _calls(resource: str, module: Module, node: ast.ClassDef, read: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Yield a resource's calls, each with the function that wraps it."""
    for name, method in members_of(node).items():
        place = f"{resource}.{name}"
        if name.startswith("_") or place in WITHOUT:
            continue
        returned = head(method.returns)
        if (isinstance(method, ast.AsyncFunctionDef) and not is_generator(method)) or returned in _AWAITABLE:
            yield name, "raw"
        elif returned in module.names and "__aenter__" in members_of(_find(module, returned, read)[1]):
            yield name, "raw_stream"
        else:
            raise UnsupportedError(f"{module.path}: {node.name}.{name}: is neither awaited nor entered; see `WITHOUT`")


def _overloads(node: ast.ClassDef) -> Iterator[Function]:
    """Yield what is overloaded, each method after its overloads."""
    every = [member for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)]
    names = {member.name for member in every if _is_overload(member)}
    yield from (member for member in every if member.name in names)


def _is_overload(method: Function) -> bool:
    return "overload" in map(head, method.decorator_list)


def _imports(client: RawClient, module: Module, methods: Sequence[Function]) -> Iterator[str]:
    """Yield what the written out methods need."""
    if methods:
        yield _here(client, "from .._models.raw import RawResponse")
    for annotation in (annotation for method in methods for annotation in [method.args, method.returns or method.args]):
        for part in (node for node in ast.walk(annotation) if isinstance(node, ast.Name)):
            if part.id in module.names:
                yield _here(client, module.names[part.id])


def _here(client: RawClient, imported: str) -> str:
    """Return an import, as the written file must say it."""
    folder, _, _ = client.target.rpartition("/")
    within = f"from ..{folder}." if folder else "from .."
    return imported.replace(within, "from .", 1) if imported.startswith(within) else imported


def _class_of(imported: str) -> str:
    return imported.rsplit(maxsplit=1)[-1]


def _written_out(resource: str, method: Function) -> Iterator[str]:
    if _is_overload(method):
        yield "    @overload"
    # No type variable can be both what an overload returns and what the reply holds.
    returned = ast.unparse(method.returns) if _is_overload(method) and method.returns is not None else "Any"
    yield f"    async def {method.name}({ast.unparse(method.args)}) -> RawResponse[{returned}]:"
    if _is_overload(method):
        yield "        ..."
    else:
        arguments = [f"{argument.arg}={argument.arg}" for argument in method.args.kwonlyargs]
        arguments += [] if method.args.kwarg is None else [f"**{method.args.kwarg.arg}"]
        doc = ast.get_docstring(method, clean=False)
        yield f'        """{doc}"""'
        yield f'        method: Any = cast("Any", self._{resource}.{method.name})'
        yield f"        return await raw(method)({', '.join(arguments)})"
    yield ""
