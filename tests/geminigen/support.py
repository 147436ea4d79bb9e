"""The other side for GeminiGen's tests: a core over a script, and a client over a function that answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx

from neuralbox.geminigen import AsyncGeminiGen
from neuralbox.geminigen._service import GEMINIGEN, make_credential
from tests.geminigen.shop import GeminiShop
from tests.helpers import Answerer, Bench, Handler, Step, VirtualTime, make_core

KEY = "geminiai-planted-key"
HOST = "http://gen.test"
PNG = b"\x89PNG\r\n\x1a\n and so on"
VOICES = [{"name": "Reader", "voice": {"id": "GM1", "name": "Gacrux"}}]
SCENES = [{"prompt": "A boat", "duration": 6}, {"prompt": "It sails", "duration": 10, "mode": "normal"}]


def bench(script: Iterable[Step] | Answerer, **options: Any) -> Bench:
    """A core that speaks to GeminiGen, in virtual time."""
    return make_core(script, credential=make_credential(KEY), base_url=HOST, service=GEMINIGEN, **options)


def client(handler: Handler, *, time: VirtualTime | None = None, **options: Any) -> AsyncGeminiGen:
    """A client in virtual time whose every request is answered by `handler`."""

    class Client(AsyncGeminiGen):
        _clockwork = (time or VirtualTime()).time_source

    options.setdefault("api_key", KEY)
    options.setdefault("base_url", HOST)
    return Client(transport=httpx.MockTransport(handler), **options)


def opened(shop: GeminiShop, **options: Any) -> AsyncGeminiGen:
    """A client of a shop, in the shop's time."""
    return client(shop, time=shop.time, **options)
