"""The writer of the blocking client: odd shapes come out right and run, or are refused by name."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from neuralbox._codegen import generate
from neuralbox._codegen.async_source import UnsupportedError, read_module
from neuralbox._codegen.docstrings import RULES, spilled, translate, without_section
from neuralbox._codegen.sync_writer import SyncWriter
from neuralbox._codegen.type_mapping import Rules

HERE = Path(__file__).resolve().parent
ODD = Rules(roots=frozenset({"AsyncClient"}), iterators=frozenset({"Walk"}))


def read_odd(path: str) -> str:
    return (HERE / path).read_text(encoding="utf-8")


# Odd shapes...


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The blocking side of `odd_shapes`, written, imported, and over the real runtime."""
    root = tmp_path_factory.mktemp("generated")
    generated = {"_generated.py": generate.write_sync(read_odd, ("odd_shapes.py",), ODD)}
    files = {
        "__init__.py": "",
        "odd_shapes.py": read_odd("odd_shapes.py"),
        "sync/__init__.py": "",
        "sync/_facade.py": "from neuralbox.sync._facade import *\n",
        "sync/_generated.py": generate.formatted(generated)["_generated.py"],
    }
    (root / "oddities" / "sync").mkdir(parents=True)
    for name, text in files.items():
        (root / "oddities" / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(root))
    try:
        yield importlib.import_module("oddities.sync._generated")
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.partition(".")[0] == "oddities"]:
            del sys.modules[name]


@pytest.fixture
def client(odd: ModuleType) -> Iterator[Any]:
    with odd.Client() as one:
        yield one


def test_inherited_classes_stay_inherited_and_their_attributes_become_properties(odd: ModuleType, client: Any) -> None:
    leaf = client.find("x")
    assert type(leaf) is odd.Leaf
    assert isinstance(leaf, odd.Node)
    assert (leaf.label, leaf.value, leaf.text()) == ("/x/x", "v", "/x/x")
    assert type(leaf.same()) is odd.Leaf
    assert type(leaf.me) is odd.Node


def test_results_are_wrapped_wherever_they_stand(odd: ModuleType, client: Any) -> None:
    root = client.root
    assert root is client.root
    node, number = root.both()
    assert (node, number) == (root, 1)
    assert root.all() == (root, root)
    assert root.parent() is None
    assert client.find("") is None
    assert type(client.which(leaf=True)) is odd.Leaf
    assert type(client.which(leaf=False)) is odd.Stream
    assert client.listed([root, "a"]) == [root, "a"]
    assert [type(one) for one in client.listed()] == [odd.Node, str]
    assert client.link([root]) == {"root": root}
    assert client.gather() == [1]
    assert client.mode is None
    assert client.forget() is None


def test_every_kind_of_parameter_arrives(client: Any) -> None:
    found = client.find("a", client.root, "b", "c", mode="AsyncNode", d=1)
    assert found.label == "root/a/b/c/AsyncNode/d"
    assert (
        client.root.join(found, client.root)
        == "rootroot/a/b/c/AsyncNode/drootroot"[: len("root")] + found.label + "root"
    )
    assert client.at(client.root) == "root"
    assert client.at("here") == "here"
    assert str(inspect.signature(type(client).find)) == (
        "(self, label: 'str', /, under: 'Node[str] | None' = None, *more: 'str', "
        "mode: \"Literal['AsyncNode', 'x']\" = 'x', **extra: 'Any') -> 'Leaf | None'"
    )


def test_an_async_iterable_is_any_iterable_and_what_is_none_passes_as_it_is(client: Any) -> None:
    assert client.send(b"abc") == 3
    assert client.send(piece for piece in (b"ab", b"cde")) == 5
    assert client.send(None) == -1
    assert client.count(range(4)) == 6


def test_callbacks_are_plain_functions_that_run_in_the_calling_thread(odd: ModuleType, client: Any) -> None:
    seen: list[Any] = []
    with odd.Client(on_event=lambda *given: seen.append((*given, threading.get_ident())), level=5) as told:
        told.find("x")
    assert seen == [("x", 5, threading.get_ident())]
    assert client.retrying(lambda a, *, b: (a, b, threading.get_ident()), 1, b=2) == (1, 2, threading.get_ident())
    assert inspect.signature(odd.Client.retrying).parameters["call"].annotation == "Callable[P, V]"


def test_overloads_are_kept(odd: ModuleType, client: Any) -> None:
    assert client.make("int") == 1
    assert type(client.make("node")) is odd.Node


def test_context_managers_are_entered_in_with(odd: ModuleType, client: Any) -> None:
    with client.lock() as node:
        assert (type(node), node.label) == (odd.Node, "locked")
    with client.open() as number:
        assert number == 7


def test_whatever_is_iterated_comes_as_items(client: Any) -> None:
    assert [*client.tail()] == ["a"]
    assert [*client.late()] == [1]
    assert [*client.walk()] == [b"w"]
    assert [*client.flow()] == [1, 2]


def test_a_stream_is_entered_read_and_not_read_twice(client: Any) -> None:
    with client.stream() as stream:
        assert [*stream] == ["a", "b", "c"]
    with client.stream() as stream:
        assert stream.rest() == "abc"
    assert [*client.stream()] == ["a", "b", "c"]  # where the async side reads what was not entered, so does this one
    with client.stream() as stream:
        assert [*stream.letters()] == ["a", "b", "c"]
        assert stream.left() == 3


def test_what_is_held_open_asks_the_thread_that_reads_it(client: Any) -> None:
    here = threading.get_ident()
    asked: list[tuple[str, int, int]] = []

    def numbers() -> Iterator[int]:
        for number in range(3):
            asked.append(("given", number, threading.get_ident()))
            yield number

    with client.run(numbers(), on_event=lambda _, number: asked.append(("told", number, threading.get_ident()))) as run:
        assert [*run] == [0, 1, 2]
    assert asked == [(what, number, here) for number in range(3) for what in ("given", "told")]
    assert inspect.getdoc(type(client.run).__call__) == "Begin a run."


def test_what_is_held_open_is_left_while_it_asks_and_when_nobody_ever_read_it(client: Any) -> None:
    with client.run(itertools.count()) as run:
        assert next(run) == 0
    with client.run([1, 2]):
        pass
    with client.run(iter([1, 2])) as run, pytest.raises(ZeroDivisionError):
        assert 1 // (next(run) - 1)


def test_an_iterable_of_the_callers_that_raises_while_it_is_read_says_so_at_the_end(client: Any) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("the file ends here")

    with pytest.raises(ExceptionGroup) as caught, client.run(broken()) as run:
        assert [*run] == [1]
    assert isinstance(caught.value.exceptions[0], LookupError)


def test_documentation_survives_quotes_and_backslashes_and_loses_what_is_not_for_users(odd: ModuleType) -> None:
    assert inspect.getdoc(odd.Node) == "A node.\n\nCtrl-C:\n    Nothing."
    assert odd.Node.parent.__doc__ == 'Say \\n and `node.parent()`, "quoted" '
    assert odd.Node.join.__doc__ == 'Join "them"'


def test_imports_that_nobody_uses_are_left_out(odd: ModuleType) -> None:
    text = Path(str(odd.__file__)).read_text(encoding="utf-8")
    assert "AsyncIterable" not in text
    assert "asynccontextmanager" not in text


# ... and shapes without a rule.

PREAMBLE = """
from __future__ import annotations
from collections.abc import *
from typing import *
from .elsewhere import AsyncForeign, Any as Whatever

T = TypeVar("T")
Plain: TypeAlias = Callable[[int], int]
GivesNode: TypeAlias = Callable[[Node], Awaitable[int]]
Odd: TypeAlias = Callable[[int], Awaitable[int]] | Callable

class Node:
    async def rename(self, name: str) -> None: ...

class Pages:
    def __aiter__(self): return self

"""

REFUSED = {
    "    async def f(self, x) -> int: ...": "Thing.f: parameter 'x' has no type",
    "    async def f(self, x: int): ...": "Thing.f: has no return type",
    "    async def f(self) -> set[Node]: ...": "Thing.f: a value of type set[Node] has no rule",
    "    async def f(self) -> list[list[Node]]: ...": "Thing.f: a value of type list[list[Node]] has no rule",
    "    async def f(self) -> dict[Node, Node]: ...": "Thing.f: a value of type dict[Node, Node] has no rule",
    "    async def f(self) -> tuple[list[Node], int]: ...": "Thing.f: a value of type tuple[list[Node], int] has no rule",
    "    async def f(self) -> list[Node] | int: ...": "Thing.f: a value of type list[Node] | int has no rule",
    "    async def f(self) -> Self | int: ...": "Thing.f: a value of type Self | int has no rule",
    "    async def f(self) -> AsyncForeign: ...": "Thing.f: the type AsyncForeign has no blocking counterpart for AsyncForeign",
    "    def f(self) -> Awaitable[int]: ...": "Thing.f: the type Awaitable[int] has no blocking counterpart for Awaitable",
    "    def f(self) -> list[Pages]: ...": "Thing.f: the type list[Pages] has no blocking counterpart for Pages",
    "    def f(self) -> Pages: ...": "Thing.f: Pages is listed as an iterator and has no typed `__anext__`",
    "    def f(self) -> AsyncIterator[Node]: ...": "Thing.f: gives Node one by one, which has no rule",
    "    def f(self) -> AbstractAsyncContextManager[list[Node]]: ...": "Thing.f: holds list[Node] open, which has no rule",
    "    async def f(self, x: dict[str, Node]) -> int: ...": "Thing.f: parameter 'x' takes dict[str, Node], which has no rule",
    "    async def f(self, *x: list[Node]) -> int: ...": "Thing.f: parameter *x takes list[Node], which has no rule",
    "    async def f(self, **x: Node) -> int: ...": "Thing.f: parameter **x has no rule",
    "    async def f(self, x: Plain) -> int: ...": (
        "Thing.f: the callback 'x' would run in the loop's thread; let it be async as well"
    ),
    "    async def f(self, x: GivesNode) -> int: ...": (
        "Thing.f: the callback Callable[[Node], Awaitable[int]] would be given an async object"
    ),
    "    async def f(self, x: Odd) -> int: ...": "Thing.f: the callback type Callable is no `Callable[[...], ...]`",
    "    async def f(self, x: Callable[[int], Awaitable[int]] | str) -> int: ...": (
        "Thing.f: parameter 'x' takes a callback or something else: Callable[[int], Awaitable[int]] | str"
    ),
    "    async def f(self, x: set[int] | AsyncIterable[int]) -> int: ...": (
        "Thing.f: parameter 'x' cannot be told from an async iterable"
    ),
    "    async def f(self, x: AbstractAsyncContextManager[int]) -> int: ...": (
        "Thing.f: the type AbstractAsyncContextManager[int] has no blocking counterpart for AbstractAsyncContextManager"
    ),
    "    @classmethod\n    def f(cls) -> int: ...": "Thing.f: is decorated with classmethod, which has no rule",
    "    @f.setter\n    def f(self, x: int) -> None: ...": "Thing.f: is decorated with setter, which has no rule",
    "    def __len__(self) -> int: ...": "Thing.__len__: is special and has no rule",
    "    def __await__(self) -> int: ...": "Thing.__await__: makes the object awaitable, and it is not listed as a pager",
    "    async def __aenter__(self) -> Self: ...": (
        "Thing: is a context manager that is neither a stream nor a client"
    ),
    "    async def __anext__(self) -> int: ...": (
        "Thing: is an iterator that is neither a stream nor listed as an iterator"
    ),
    "    async def __aenter__(self) -> Self: ...\n    async def __anext__(self) -> Node: ...": (
        "Thing: is a stream whose items have no rule"
    ),
    "    class Inner: ...": "Thing: holds the class Inner, which has no rule",
    "    x = 1": "Thing.x: is an attribute without a type a property could have",
    "    x: ClassVar[int] = 1": "Thing.x: is an attribute without a type a property could have",
    "    def __init__(self, y: int) -> None:\n        self.x = y + 1": (
        "Thing.x: is an attribute without a type a property could have"
    ),
    "    def __init__(self, c: C) -> None:\n        self.x = raw(c.d.f)": (
        "Thing.x: wraps c.d.f, which is not a method of a resource"
    ),
    "    def __init__(self, c: C) -> None:\n        self.x = raw(c.f)": (
        "Thing.x: there is no method 'f' of a resource 'c' in the sources"
    ),
    "    def __init__(self, c: Resource) -> None:\n        self.x = raw(c.f)": (
        "Thing.x: there is no method 'f' of a resource 'c' in the sources"
    ),
    "    def __init__(self, c: Resource) -> None:\n        self.x = raw(c.several)": (
        "Thing.x: a raw response of list[Node] has no rule"
    ),
}


def write(text: str, *, rules: Rules | None = None) -> str:
    rules = rules or Rules(roots=frozenset({"AsyncRoot"}), iterators=frozenset({"Pages"}))
    return SyncWriter([read_module("thing.py", textwrap.dedent(text))], rules).write()


@pytest.mark.parametrize("shape", REFUSED)
def test_a_shape_without_a_rule_is_refused_with_class_and_member(shape: str) -> None:
    resources = (
        "class AsyncRoot:\n    @property\n    def node(self) -> Resource: ...\n"
        "class Resource:\n    async def several(self) -> int: ...\n"
    )
    text = f"{PREAMBLE}class Thing:\n{shape}\n{resources}"
    if "several" in shape:
        text = text.replace("several(self) -> int", "several(self) -> list[Node]")
    with pytest.raises(UnsupportedError) as caught:
        write(text)
    assert str(caught.value) == f"thing.py: {REFUSED[shape]}"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("@final\nclass Thing:", "Thing: is decorated with final, which has no rule"),
        ("class Thing(Protocol):", "Thing: inherits from Protocol, which has no rule"),
        ("class Thing(AsyncRoot):", "Thing: inherits from a client"),
    ],
)
def test_a_class_without_a_rule_is_refused(header: str, why: str) -> None:
    with pytest.raises(UnsupportedError, match=re.escape(f"thing.py: {why}")):
        write(f"{PREAMBLE}{header}\n    def f(self) -> int: ...\nclass AsyncRoot: ...\n")


def test_an_alias_that_means_two_things_is_refused() -> None:
    modules = [
        read_module(path, f"from typing import TypeAlias\nWhat: TypeAlias = {meaning}\n")
        for path, meaning in (("a.py", "int"), ("b.py", "str"))
    ]
    with pytest.raises(UnsupportedError, match=r"b.py: the alias 'What' has another meaning elsewhere"):
        SyncWriter(modules, ODD)


def test_a_name_that_would_mean_two_things_is_refused() -> None:
    source = "from .{0} import Word\nclass {1}:\n    def f(self) -> Word: ...\n"
    modules = [read_module(f"{name}.py", source.format(name, name.title())) for name in ("one", "two")]
    with pytest.raises(
        UnsupportedError, match=r"two.py: Two.f: 'Word' would mean two things: `from ..one import Word`"
    ):
        SyncWriter(modules, ODD).write()
    with pytest.raises(UnsupportedError, match="'Word' is written here and imported"):
        SyncWriter([modules[0], read_module("w.py", "class AsyncWord: ...")], ODD).write()


def test_a_pager_is_iterated_page_by_page_and_its_raw_twin_is_one_page() -> None:
    text = write(
        """
        from typing import Generic, TypeVar
        from ._models import Page, RawResponse
        T = TypeVar("T")
        total = lines = 0
        lines.count = 1
        class Pager(Generic[T]):
            def __await__(self) -> Generator[None, None, Page[T]]: ...
            def __aiter__(self) -> AsyncIterator[T]: ...
        class Pages(AsyncIterator[T]):
            async def __anext__(self) -> T: ...
        class Resource:
            x: int
            def list(self) -> Pager[int]: ...
            async def one(self) -> Resource: ...
            def flow(self) -> Flow: ...
        class Flow:
            async def __aenter__(self) -> Self: ...
            async def __anext__(self) -> int: ...
        class Raw:
            def __init__(self, resource: Resource) -> None:
                count = 0
                resource.other = 1
                self.list = raw(resource.list)
                self.one = raw(resource.one)
                self.flow = raw_stream(resource.flow)
        class AsyncRoot(Generic[T]):
            @property
            def resource(self) -> Resource: ...
        class Empty(AsyncIterable[int]):
            Resource.count = 1
        """,
        rules=Rules(roots=frozenset({"AsyncRoot"}), iterators=frozenset({"Pages"}), pagers={"Pager": "Page"}),
    )
    assert "return bridge.iterate_pages(self._async)" in text
    assert "def list(self) -> RawResponse[Page[int]]:" in text
    assert "return bridge.with_view(bridge.call(self._async.one), Resource.of)" in text
    assert "def flow(self) -> AbstractContextManager[RawResponse[Flow]]:" in text
    assert "return bridge.manage_raw(self._async.flow(), Flow.of)" in text
    assert "class Root(bridge.Root[AsyncRoot[T]], Generic[T]):" in text
    assert "class Empty(bridge.Facade[AsyncEmpty]):\n    pass" in text


# Prose.


def test_every_rule_about_words_is_used_by_the_client() -> None:
    documented = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    trees = [ast.parse((generate.PACKAGE / path).read_text(encoding="utf-8")) for path in generate.SYNC_SOURCES]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, documented)]
    whole = "\n\n".join(ast.get_docstring(node) or "" for node in nodes)
    assert [pattern for pattern, _ in RULES if translate_one(pattern, whole) == whole] == []


def translate_one(pattern: str, text: str) -> str:
    return re.sub(pattern.replace(" ", r"\s+"), "", text, flags=re.DOTALL)


def test_examples_lose_their_keywords_and_keep_their_comments_in_line() -> None:
    example = """
    Do it.

        async with AsyncNeuralBox() as nb:
            page = await nb.history.list()        # the first page
            async for item in nb.history.list():  # all of them
    """
    assert translate(inspect.cleandoc(example)) == inspect.cleandoc("""
    Do it.

        with NeuralBox() as nb:
            page = nb.history.list().first_page()  # the first page
            for item in nb.history.list():         # all of them
    """)


def test_long_lines_are_wrapped_and_the_paragraph_takes_the_rest() -> None:
    assert spilled("one two three\nfour\n\nfive", 9) == "one two\nthree\nfour\n\nfive"
    assert spilled("one two three", 8) == "one two\nthree"
    assert spilled("Args:\n    a: one two three\n        four\n    b: five", 16) == (
        "Args:\n    a: one two\n        three\n        four\n    b: five"
    )
    assert (
        spilled("Args:\n    a: one two three\n    b: five", 16) == "Args:\n    a: one two\n        three\n    b: five"
    )
    assert spilled("unbreakable", 5) == "unbreakable"


def test_a_section_is_left_out_wherever_it_stands() -> None:
    assert without_section("Do.\n\nArgs:\n    a: b\n\n    c: d\n\nReturns:\n    e", "Args") == "Do.\n\nReturns:\n    e"
    assert without_section("Do.\n\nArgs:\n    a: b", "Args") == "Do."
    assert without_section("Do.", "Args") == "Do."


# The file.


@pytest.mark.uncovered
def test_a_changed_docstring_changes_the_file() -> None:
    texts = {path: (generate.PACKAGE / path).read_text(encoding="utf-8") for path in generate.SYNC_SOURCES}
    changed = {path: text.replace("Ask once for a generation", "Ask twice") for path, text in texts.items()}
    modules = [read_module(path, text) for path, text in changed.items()]
    assert "Ask twice" in SyncWriter(modules, generate.SYNC_RULES).write()


def test_code_is_formatted_and_unused_imports_go() -> None:
    texts = {"a.py": "import os\nimport sys\nx = sys.argv [0]\n", "deeper/b.py": "y = ( 1 )\n"}
    assert generate.formatted(texts) == {"a.py": "import sys\n\nx = sys.argv[0]\n", "deeper/b.py": "y = 1\n"}
