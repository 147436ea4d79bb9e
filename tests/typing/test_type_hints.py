"""Frameworks that make tools or dependencies of callables ask `typing.get_type_hints`: it resolves for all that is public."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import neuralbox
import neuralbox.geminigen
import neuralbox.otel
import neuralbox.sandbox
import neuralbox.sync
import neuralbox.testing
from neuralbox import AsyncGeminiGen, AsyncNeuralBox
from neuralbox.sync import _generated

MODULES = (
    neuralbox,
    neuralbox.sync,
    neuralbox.geminigen,
    neuralbox.sandbox,
    neuralbox.testing,
    neuralbox.otel,
    _generated,
)


def classes() -> Iterator[type]:
    """Every class a user meets: exported, or made by a client."""
    for module in MODULES:
        yield from (thing for name in module.__all__ if inspect.isclass(thing := getattr(module, name)))
    for client in (AsyncNeuralBox(api_key="nb_hints"), AsyncGeminiGen(api_key="hints")):
        yield from (
            type(getattr(owner, name))
            for owner in (client, client.with_raw_response)
            for name in dir(type(owner))
            if not name.startswith("_") and hasattr(inspect.getattr_static(type(owner), name), "func")
        )


def callables() -> Iterator[tuple[str, Any]]:
    for module in MODULES:
        for name in module.__all__:
            if inspect.isfunction(function := getattr(module, name)):
                yield f"{module.__name__}.{name}", function
    for owner in dict.fromkeys(classes()):
        place = f"{owner.__module__}.{owner.__qualname__}"
        yield place, owner
        is_made_by_users = owner.__name__ in {name for module in MODULES[:-1] for name in module.__all__}
        for name, member in inspect.getmembers_static(owner):
            method = getattr(member, "__func__", member)
            shown = not name.startswith("_") or (name in ("__init__", "__call__", "__iter__") and is_made_by_users)
            if shown and inspect.isfunction(method) and method.__module__.startswith("neuralbox"):
                yield f"{place}.{name}", method


def test_every_public_callable_and_class_has_hints_that_resolve() -> None:
    unresolved, count = [], 0
    for place, thing in callables():
        count += 1
        try:
            typing.get_type_hints(thing)
        except NameError as error:
            unresolved.append(f"{place}: {error}")
    assert unresolved == []
    assert count > 500


@pytest.mark.parametrize("client", [AsyncNeuralBox, AsyncGeminiGen])
def test_a_raw_call_resolves_as_the_call_it_wraps(client: Any) -> None:
    raw = client(api_key="nb_hints").with_raw_response
    for name in ("history", "files"):
        for method in vars(getattr(raw, name)).values():
            assert typing.get_type_hints(method)
