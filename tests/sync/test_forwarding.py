"""Every generated method hands every argument on, under its own name, to the method it stands for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pytest

from neuralbox.sync import _facade, _generated


class Recorder:
    """Stands for any async object: whatever is asked of it is written down, and answered with another one."""

    def __init__(self, name: str = "", log: list[tuple[str, tuple[Any, ...], dict[str, Any]]] | None = None) -> None:
        self.name = name
        self.log = [] if log is None else log

    def __getattr__(self, name: str) -> Recorder:
        return Recorder(name, self.log)

    def __call__(self, *args: Any, **kwargs: Any) -> Recorder:
        self.log.append((self.name, args, kwargs))
        return Recorder("answer", self.log)


def members() -> Iterator[Any]:
    for name in _generated.__all__:
        owner = getattr(_generated, name)
        for member, value in vars(owner).items():
            if not member.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, property | cached_property)
            ):
                yield pytest.param(owner, member, value, id=f"{name}.{member}")


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets everything pass the border between the two sides unchanged; how it crosses is tested elsewhere."""
    monkeypatch.setattr(_facade, "call", lambda function, /, *args, **kwargs: function(*args, **kwargs))
    monkeypatch.setattr(_facade, "iterate", lambda source, *, ahead: source)
    for name in ("callback", "unwrap", "unwrap_all"):
        monkeypatch.setattr(_facade, name, lambda value: value)
    monkeypatch.setattr(_facade, "with_view", lambda response, view: response)


@pytest.mark.usefixtures("through")
@pytest.mark.parametrize(("owner", "member", "value"), [*members()])
def test_what_goes_in_comes_out_on_the_other_side(owner: type[Any], member: str, value: Any) -> None:
    view, behind = object.__new__(owner), Recorder()
    view._async = behind
    if not inspect.isfunction(value):
        assert getattr(view, member) is not None
        assert behind.log == [], "reading an attribute calls nothing"
        return
    positional, keywords = [], {}
    for parameter in list(inspect.signature(value).parameters.values())[1:]:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional.append(object())
        elif parameter.kind is parameter.KEYWORD_ONLY:
            keywords[parameter.name] = object()
        else:
            assert parameter.kind is parameter.VAR_KEYWORD
            keywords["timeout"] = object()
    getattr(view, member)(*positional, **keywords)
    assert (member, tuple(positional), keywords) in behind.log
