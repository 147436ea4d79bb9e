"""The blocking client is the async one: the same names, parameters, defaults and words, and nothing async in its types."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import neuralbox
import neuralbox.sync
from neuralbox import AsyncGeminiGen, AsyncNeuralBox
from neuralbox._codegen.docstrings import translate, without_section
from neuralbox._codegen.generate import PACKAGE, SYNC_RULES, SYNC_SOURCES
from neuralbox.sync import _generated
from neuralbox.sync._facade import Facade, Root

# What is spelled differently, or exists on one side only because of Python's own protocols.
RENAMED = {"aclose": "close"}
BLOCKING = {name: getattr(_generated, name) for name in _generated.__all__}


def original_of(name: str) -> type:
    found: type = getattr(_generated, f"Async{name}")
    return found


def raw_resource(name: str) -> object | None:
    """The raw resources keep their methods in attributes, so one is made."""
    clients = AsyncNeuralBox(api_key="nb_parity"), AsyncGeminiGen(api_key="parity")
    raws = [client.with_raw_response for client in clients]
    resources = [getattr(raw, resource) for raw in raws for resource in dir(type(raw)) if not resource.startswith("_")]
    return next((resource for resource in resources if type(resource).__name__ == name), None)


def public(thing: object) -> dict[str, Any]:
    """Public members by the name they have on the blocking side; of an object its own attributes too."""
    own = thing if isinstance(thing, type) else type(thing)
    found = {name: inspect.getattr_static(own, name) for name in dir(own) if not name.startswith("_")}
    if not isinstance(thing, type):
        found |= {name: value for name, value in vars(thing).items() if not name.startswith("_")}
    return {RENAMED.get(name, name): value for name, value in found.items()}


def pairs() -> Iterator[Any]:
    """Every public member of the async side, with its blocking one."""
    for name, blocking in BLOCKING.items():
        for member, value in public(raw_resource(name) or original_of(name)).items():
            yield pytest.param(value, inspect.getattr_static(blocking, member, None), blocking, id=f"{name}.{member}")


def function_of(member: Any) -> Callable[..., Any]:
    inner = getattr(member, "fget", None) or getattr(member, "func", None) or member
    assert callable(inner)
    return typing.cast("Callable[..., Any]", inspect.unwrap(inner))


@pytest.mark.parametrize("name", BLOCKING)
def test_both_sides_have_the_same_names(name: str) -> None:
    provided = set(public(Facade)) | (set(public(Root)) if issubclass(BLOCKING[name], Root) else set())
    theirs = set(public(raw_resource(name) or original_of(name)))
    assert set(public(BLOCKING[name])) - provided == theirs - provided
    assert ("close" in theirs) == ("close" in public(BLOCKING[name]))


def test_every_public_class_of_the_sources_is_there() -> None:
    named = set()
    for path in SYNC_SOURCES:
        tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
        named |= {node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}
    assert {name.removeprefix("Async") for name in named - SYNC_RULES.iterators} == set(BLOCKING)


def test_every_resource_of_the_client_is_among_the_sources() -> None:
    for name, member in vars(AsyncNeuralBox).items():
        if hasattr(member, "func"):
            resource = type(getattr(AsyncNeuralBox(api_key="nb_parity"), name)).__name__
            assert resource in BLOCKING, name


@pytest.mark.uncovered
@pytest.mark.parametrize(("ours", "blocking", "owner"), [*pairs()])
def test_members_agree_in_kind_parameters_defaults_and_documentation(ours: Any, blocking: Any, owner: type) -> None:
    theirs, mine = function_of(ours), function_of(blocking)
    if isinstance(ours, property) or hasattr(ours, "func"):
        assert type(blocking) is type(ours)
    assert not inspect.iscoroutinefunction(mine)
    wanted, found = (inspect.signature(one).parameters for one in (theirs, mine))
    # A bound method of a resource has lost its `self`.
    given = [one for one in found.values() if one.name != "self"]
    assert [(one.name, one.kind, one.default) for one in wanted.values() if one.name != "self"] == [
        (one.name, one.kind, one.default) for one in given
    ]
    if mine.__module__ == _generated.__name__:  # the runtime's own `close` has words of its own
        assert words(mine) == words(theirs, through=translate)


def words(thing: object, *, through: Callable[[str], str] = str) -> list[str]:
    """The words of a docstring: lines may break elsewhere."""
    return through(inspect.getdoc(thing) or "").split()


@pytest.mark.parametrize("name", BLOCKING)
def test_classes_are_documented_alike(name: str) -> None:
    doc = inspect.getdoc(original_of(name)) or ""
    is_made_by_users = issubclass(BLOCKING[name], Root)
    assert words(BLOCKING[name]) == translate(doc if is_made_by_users else without_section(doc, "Args")).split()


# Nothing async comes out of it.

ASYNC_TYPES = ("Async", "Awaitable", "Coroutine")


@pytest.mark.parametrize("name", BLOCKING)
def test_no_type_of_the_blocking_side_is_async(name: str) -> None:
    originals = {original_of(one) for one in BLOCKING}
    for member, value in vars(BLOCKING[name]).items():
        if member.startswith("_") and member not in ("__init__", "__iter__"):
            continue
        function = function_of(value)
        for where, hint in typing.get_type_hints(function, dict(vars(_generated))).items():
            for part in parts_of(hint):
                # `http_client=` and `transport=` take httpx's own async ones, which are not ours to rename.
                is_ours = not str(getattr(part, "__module__", "")).startswith("httpx")
                assert part not in originals or not is_ours, f"{name}.{member}: {where}"
                spelled = getattr(part, "__name__", "")
                assert not (is_ours and spelled.startswith(ASYNC_TYPES)), f"{name}.{member}: {where} is {spelled}"


def parts_of(hint: Any) -> Iterator[Any]:
    if isinstance(hint, list | tuple):
        for one in hint:
            yield from parts_of(one)
        return
    try:
        hash(hint)
    except TypeError:
        return
    yield typing.get_origin(hint) or hint
    yield from parts_of(typing.get_args(hint))


def test_no_annotation_of_the_generated_text_names_anything_async() -> None:
    tree = ast.parse(inspect.getsource(_generated))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    spelled = [
        f"{function.name}: {ast.unparse(annotation)}"
        for function in functions
        for annotation in (
            *(one.annotation for one in ast.walk(function.args) if isinstance(one, ast.arg)),
            function.returns,
        )
        if annotation is not None
    ]
    assert len(spelled) > 300
    found = [one for one in spelled if re.search(r"\b(Async\w*|Awaitable|Coroutine)\b", one)]
    assert found == []
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))


def test_no_word_of_the_async_side_is_left_in_the_documentation() -> None:
    banned = r"\b(await\w*|async\w*|coroutines?|tasks?|trio|anyio|aclose|Async(?!Client|BaseTransport)\w+|Cancellation|cancelled)\b"
    tree = ast.parse(inspect.getsource(_generated))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [
        (getattr(node, "name", "the module"), hit[0])
        for node in ast.walk(tree)
        if isinstance(node, documented)
        for hit in re.finditer(banned, ast.get_docstring(node) or "")
    ]
    assert [one for one in found if one != ("the module", "async")] == []


# Where it is found.


def test_importing_the_package_does_not_import_the_blocking_client() -> None:
    code = "import sys, neuralbox; assert 'NeuralBox' in dir(neuralbox); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert [name for name in done.stdout.split() if name.startswith("neuralbox.sync")] == []
    code = "import sys; from neuralbox import NeuralBox; assert 'neuralbox.sync' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# What is no class of the generated file.
BY_HAND = {"Items", "history_of"}


def test_the_exports_are_the_blocking_side_of_what_is_public() -> None:
    exported = {name: getattr(neuralbox.sync, name) for name in neuralbox.sync.__all__}
    assert all(BLOCKING[name] is value for name, value in exported.items() if name not in BY_HAND)
    assert {name for name in BLOCKING if not name.startswith("Raw")} | BY_HAND == set(exported)
    assert neuralbox.NeuralBox is neuralbox.sync.NeuralBox
    assert "NeuralBox" in dir(neuralbox)
    assert "NeuralBox" in neuralbox.__all__
