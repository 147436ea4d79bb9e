"""The peers that are measured beside us, where they are installed (`pip install neuralbox[bench]`)."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def has_openai() -> bool:
    """Whether openai's client can be measured."""
    return find_spec("openai") is not None


@asynccontextmanager
async def openai_client(url: str) -> AsyncIterator[Any]:
    """Hand out openai's asynchronous client with its own defaults, pointed at the server of the benchmark."""
    openai = import_module("openai")  # not a dependency, so the type checkers must not look for it
    with warnings.catch_warnings():
        # openai 3 calls its video endpoints deprecated at every use; it is the retrieval of a job that is compared.
        warnings.simplefilter("ignore", DeprecationWarning)
        async with openai.AsyncOpenAI(api_key="sk-benchmark", base_url=url) as client:
            yield client
