"""Names of other SDKs: an attribute that is not there says where the thing is, on both sides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from neuralbox import AsyncGeminiGen, AsyncNeuralBox, GeminiGen, NeuralBox
from neuralbox._api.elsewhere import _OF_A_CLIENT

CLIENTS = {kind.__name__: kind for kind in (AsyncNeuralBox, NeuralBox)}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    client = CLIENTS[request.param](api_key="nb_x")
    yield client
    if isinstance(client, NeuralBox):
        client.close()


def test_what_other_sdks_call_a_conversation_is_found(client: Any) -> None:
    kind = type(client).__name__
    for name in ("chat", "messages", "responses"):
        with pytest.raises(AttributeError, match=rf"^'{kind}' has no '{name}': use `nb\.text\.create") as caught:
            getattr(client, name)
        assert (caught.value.name, caught.value.obj) == (name, client)


@pytest.mark.parametrize("noun", ["images", "videos", "text", "tools"])
def test_what_makes_something_is_create(client: Any, noun: str) -> None:
    for name in ("generate", "completions"):
        with pytest.raises(AttributeError, match=rf"has no '{name}': use `nb\.{noun}\.create\(\.\.\.\)`\."):
            getattr(getattr(client, noun), name)


@pytest.mark.parametrize(
    ("noun", "name", "hint"),
    [
        ("text", "stream", r"use `nb\.text\.stream\(\.\.\.\)`"),
        ("images", "n", r"a call makes one; `nb\.batch\(requests\)` makes many"),
        ("images", "limit", r"a history has `page_size` \(GeminiGen's `items_per_page`\) and `max_items`"),
        ("images", "mood", "an option this version does not know goes through `extra_body`"),
    ],
)
def test_an_argument_of_other_sdks_says_what_it_is_here(noun: str, name: str, hint: str) -> None:
    """`extra_body={"stream": True}` would ask for an answer that `create` cannot read."""
    with (
        NeuralBox(api_key="nb_x") as nb,
        pytest.raises(TypeError, match=f"^unexpected keyword argument '{name}'; {hint}$"),
    ):
        getattr(nb, noun).create(model="m", prompt="p", **{name: 1})


def test_another_name_is_an_attribute_error_and_the_usual_questions_have_their_answers(client: Any) -> None:
    for owner in (client, client.images):
        with pytest.raises(AttributeError, match=r"has no 'colour'\.$"):
            owner.colour  # noqa: B018
        assert getattr(owner, "_repr_html_", lambda: None)() is None
        assert getattr(owner, "chat_", None) is None


def test_no_hint_points_to_what_is_not_there_and_none_hides_what_is() -> None:
    client = AsyncNeuralBox(api_key="nb_x")
    for name, hint in _OF_A_CLIENT.items():
        assert not hasattr(AsyncNeuralBox, name)
        for path in re.findall(r"nb((?:\.\w+)+)", hint):
            found: Any = client
            for part in path.strip(".").split("."):
                found = getattr(found, part)


def test_a_subclass_is_guided_too_and_what_is_no_resource_is_not() -> None:
    class Ours(AsyncNeuralBox):
        pass

    client = Ours(api_key="nb_x")
    with pytest.raises(AttributeError, match=r"'Ours' has no 'chat': use `nb\.text\.create"):
        client.chat  # type: ignore[attr-defined]  # noqa: B018
    with NeuralBox(api_key="nb_x") as nb, pytest.raises(AttributeError, match=r"^'Job' has no 'run'\.$"):
        nb.job(5).run  # type: ignore[attr-defined]  # noqa: B018


def test_a_client_of_the_other_service_promises_nothing() -> None:
    with GeminiGen(api_key="x") as blocking:
        clients: list[Any] = [AsyncGeminiGen(api_key="x"), blocking]
        for client in clients:
            with pytest.raises(AttributeError, match="chat"):
                client.chat  # noqa: B018
