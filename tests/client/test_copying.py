"""What holds connections is neither copied nor pickled, and the error says what to pass on instead."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from neuralbox import AsyncNeuralBox, Budget, ImageRequest, JobRef, NeuralBox, ResultCache, history_of
from neuralbox.geminigen import AsyncGeminiGen
from neuralbox.sync import GeminiGen

MOCK = httpx.MockTransport(lambda request: httpx.Response(200, json={"id": 7, "status": "pending"}))

THINGS: dict[str, Callable[[], Any]] = {
    "client": lambda: AsyncNeuralBox(api_key="nb_test", transport=MOCK),
    "copy": lambda: AsyncNeuralBox(api_key="nb_test", transport=MOCK).with_options(max_retries=1),
    "resource": lambda: AsyncNeuralBox(api_key="nb_test", transport=MOCK).videos,
    "job": lambda: AsyncNeuralBox(api_key="nb_test", transport=MOCK).job(7),
    "batch": lambda: AsyncNeuralBox(api_key="nb_test", transport=MOCK).batch([ImageRequest(model="x", prompt="y")]),
    "stream": lambda: AsyncNeuralBox(api_key="nb_test", transport=MOCK).text.stream(model="x", prompt="y"),
    "listing": lambda: AsyncNeuralBox(api_key="nb_test", transport=MOCK).history.list(page_size=9),
    "pages": lambda: AsyncNeuralBox(api_key="nb_test", transport=MOCK).history.list().pages(),
    "items": lambda: aiter(AsyncGeminiGen(api_key="gg_test", transport=MOCK).history.list()),
    "history": lambda: history_of(AsyncNeuralBox(api_key="nb_test", transport=MOCK)),
    "walk": lambda: aiter(history_of(AsyncNeuralBox(api_key="nb_test", transport=MOCK))),
    "settings": lambda: {"client": AsyncNeuralBox(api_key="nb_test", transport=MOCK)},
    "other service": lambda: AsyncGeminiGen(api_key="gg_test", transport=MOCK),
}


def refused(thing: Any) -> None:
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        if way is copy.copy and isinstance(thing, dict):
            continue
        with pytest.raises(TypeError, match=r"cannot be copied or pickled.*`client\.job\(ref\)`"):
            way(thing)


@pytest.mark.parametrize("name", [name for name in THINGS if name != "resource"])
def test_a_client_and_what_it_makes_is_refused_in_a_sentence(name: str) -> None:
    refused(THINGS[name]())


@pytest.mark.parametrize("way", [copy.deepcopy, pickle.dumps])
def test_a_resource_is_refused_with_its_client(way: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"cannot be copied or pickled.*`job\.ref`"):
        way(THINGS["resource"]())


def test_the_blocking_clients_are_refused_as_well() -> None:
    with NeuralBox(api_key="nb_test", transport=MOCK) as nb, GeminiGen(api_key="gg_test", transport=MOCK) as gg:
        for thing in (nb, gg, nb.job(7), nb.images, iter(nb.history.list()), nb.job(7).watch()):
            refused(thing)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_budget_is_not_copied_since_each_copy_could_be_spent(way: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"A budget cannot be copied or pickled.*`budget=500`"):
        way(Budget(500))


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_cache_is_not_copied_and_the_error_names_its_path(way: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"A cache cannot be copied or pickled.*its path"):
        way(ResultCache("never made.sqlite"))


def test_a_reference_goes_anywhere() -> None:
    ref = THINGS["job"]().ref
    assert pickle.loads(pickle.dumps(ref)) == copy.deepcopy(ref) == JobRef(7)
