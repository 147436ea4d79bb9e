"""The respx router: a route for every endpoint the client has, answers that its models read, errors by their code."""

from __future__ import annotations

import re

import httpx
import pytest
import respx

from neuralbox import AsyncNeuralBox, InsufficientTokensError, NeuralBox, RateLimitError, StreamInterruptedError
from neuralbox._api import vocabulary as words
from neuralbox.sandbox import Sandbox
from neuralbox.testing import ROUTES, generation, history, mock_router, refused, streamed

pytestmark = pytest.mark.anyio


def test_every_documented_endpoint_has_a_route() -> None:
    def plain(path: str) -> str:
        return path.replace("{id}", "{}").replace("{slug}", "{}")

    app = Sandbox().app
    documented = {
        (method, plain(route.path.removeprefix(words.PREFIX)))  # type: ignore[attr-defined]  # all of them are routes
        for route in app.routes
        if route.path.startswith(words.PREFIX)  # type: ignore[attr-defined]
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    assert {(one.method, plain(one.template)) for one in ROUTES.values()} == documented


def test_the_sandbox_serves_every_path_that_the_client_knows() -> None:
    def plain(path: str) -> str:
        return re.sub(r"\{\w+(:\w+)?\}", "{}", path)

    known = {text for name, text in vars(words).items() if name.isupper() and isinstance(text, str) and text[:1] == "/"}
    served = {plain(route.path.removeprefix(words.PREFIX)) for route in Sandbox().app.routes}  # type: ignore[attr-defined]  # as above
    assert {path for path in known - {words.PREFIX} if plain(path) not in served} == set()


async def test_the_answers_are_what_the_client_reads(neuralbox_mock: respx.MockRouter) -> None:
    async with AsyncNeuralBox() as nb:
        assert (await nb.text.create(model="gpt-5", prompt="Hello")).text == "Good morning"
        assert (await nb.generations.get(18_473)).tokens == 3
        assert (await nb.generations.get("gen_01j9x2txt001")).id == "gen_01j9x2txt001"
        assert (await nb.account.balance()).token_balance == 283
        assert (await nb.account.me()).plan == "vip"
        assert (await nb.account.stats()).total_generations == 1
        assert (await nb.models.get("dall-e-3")).slug == "dall-e-3"
        assert [one.slug for one in await nb.models.list()] == ["dall-e-3"]
        assert (await nb.transcriptions.create(audio=b"ID3", file_name="a.mp3")).model == "whisper"
        assert (await nb.keys.create(name="tests")).key == "nb_made_up"
        assert [item async for item in nb.history.list()] == []
    assert neuralbox_mock["generate"].call_count == 1
    assert neuralbox_mock["status_by_text_id"].called


async def test_a_test_says_what_is_answered(neuralbox_mock: respx.MockRouter) -> None:
    neuralbox_mock["generate"].respond(json=generation(id=5, status="pending", result_text=None, tokens_spent=0))
    neuralbox_mock["status"].respond(json=generation(id=5, result_text="At last"))
    neuralbox_mock["history"].respond(json=history(generation(id=5), total=9, pages=1))
    async with AsyncNeuralBox() as nb:
        job = await nb.videos.submit(model="kling-v2.1", prompt="A boat")
        assert (await nb.generations.get(job.id)).text == "At last"
        page = await nb.history.list()
        assert (page.total, [item.id for item in page.items]) == (9, [5])


async def test_streams_are_whole_or_cut(neuralbox_mock: respx.MockRouter) -> None:
    async with AsyncNeuralBox() as nb:
        async with nb.text.stream(model="gpt-5", prompt="Hello") as stream:
            assert [piece async for piece in stream] == ["Good ", "morning"]
        for route in ("generate", "stream"):
            neuralbox_mock[route].respond(**streamed("Half", cut=True))
        neuralbox_mock["status"].mock(side_effect=httpx.ConnectError)
        with pytest.raises(StreamInterruptedError):
            async with nb.text.stream(model="gpt-5", prompt="Hello") as stream:
                assert [piece async for piece in stream] == ["Half"]


async def test_the_path_for_streams_streams(neuralbox_mock: respx.MockRouter) -> None:
    async with httpx.AsyncClient() as client:
        reply = await client.post(f"{words.BASE_URL}{words.PREFIX}{words.GENERATE_STREAM}", json={})
    assert reply.text.endswith("data: [DONE]\n\n")
    assert neuralbox_mock["stream"].called


async def test_refusals_go_by_their_code(neuralbox_mock: respx.MockRouter) -> None:
    async with AsyncNeuralBox(max_retries=0) as nb:
        neuralbox_mock["generate"].respond(**refused("insufficient_tokens", "Not enough", required=60))
        with pytest.raises(InsufficientTokensError, match="Not enough"):
            await nb.text.create(model="gpt-5", prompt="Hello")
        neuralbox_mock["balance"].respond(**refused("rate_limit_exceeded", retry_after=30))
        with pytest.raises(RateLimitError) as caught:
            await nb.account.balance()
        assert caught.value.retry_after == 30
    with pytest.raises(ValueError, match="There is no code 'tired'"):
        refused("tired")


def test_a_blocking_client_is_mocked_too_and_so_is_another_host() -> None:
    with mock_router("https://elumenta.ru") as router, NeuralBox(api_key="nb_x", base_url="https://elumenta.ru") as nb:
        assert nb.account.balance().token_balance == 283
        assert router["balance"].call_count == 1
