"""Who shares what is known of an account."""

from __future__ import annotations

from neuralbox import AsyncNeuralBox
from neuralbox.geminigen import AsyncGeminiGen

KEY, URL = "nb_shared", "http://box.test"


def test_clients_of_one_service_share_an_account_and_those_of_two_services_do_not() -> None:
    one, other = (AsyncNeuralBox(api_key=KEY, base_url=URL) for _ in range(2))
    gemini = AsyncGeminiGen(api_key=KEY, base_url=URL)
    assert one._core.account is other._core.account
    assert one.with_options(max_retries=0)._core.account is one._core.account
    assert gemini._core.account is not one._core.account
    assert AsyncNeuralBox(api_key="nb_another", base_url=URL)._core.account is not one._core.account
