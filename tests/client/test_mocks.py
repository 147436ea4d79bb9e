"""Those who test their programs intercept our calls with the tools they know; a mocked call never reaches the network."""

from __future__ import annotations

import httpx
import pytest
import respx
from pytest_httpx import HTTPXMock

from neuralbox import _errors as errors
from neuralbox._client import AsyncNeuralBox
from tests.helpers import KEY

pytestmark = pytest.mark.anyio

URL = "https://neuralbox.top/api/v2"
DONE = {"id": 7, "status": "completed", "result_text": "Hello"}


async def use(client: AsyncNeuralBox) -> None:
    async with client:
        assert (await client.text.create(model="gpt-5", prompt="x")).text == "Hello"
        assert (await client.account.balance()).token_balance == 283


async def test_respx_in_its_default_mode() -> None:
    with respx.mock(base_url=URL) as router:
        generate = router.post("/generate").respond(json=DONE)
        router.get("/balance").respond(json={"token_balance": 283})
        await use(AsyncNeuralBox(api_key=KEY))
    assert generate.calls.last.request.headers["authorization"] == f"Bearer {KEY}"


async def test_respx_using_httpx() -> None:
    with respx.mock(base_url=URL, using="httpx") as router:
        router.post("/generate").respond(json=DONE)
        router.get("/balance").respond(json={"token_balance": 283})
        await use(AsyncNeuralBox(api_key=KEY))


async def test_pytest_httpx(httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(method="POST", url=f"{URL}/generate", json=DONE)
    httpx_mock.add_response(method="GET", url=f"{URL}/balance", json={"token_balance": 283})
    await use(AsyncNeuralBox(api_key=KEY))


async def test_the_mock_transport_of_httpx() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={**DONE, "token_balance": 283})

    await use(AsyncNeuralBox(api_key=KEY, transport=httpx.MockTransport(handler)))


async def test_an_error_a_mock_raises_is_one_of_ours() -> None:
    with respx.mock(base_url=URL) as router:
        paid = router.post("/generate").mock(side_effect=httpx.ReadTimeout)
        free = router.get("/balance").mock(side_effect=httpx.ConnectError)
        async with AsyncNeuralBox(api_key=KEY, max_retries=0, submission="raise") as client:
            with pytest.raises(errors.SubmissionUnknownError):
                await client.text.create(model="gpt-5", prompt="x")
            with pytest.raises(errors.ConnectError):
                await client.account.balance()
    assert (paid.call_count, free.call_count) == (1, 1)
