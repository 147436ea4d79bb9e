"""What the tests of batches begin with: a service whose reads take no time, and batches of a client that asks it often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuralbox._batch.resource import Batches
from neuralbox._config import Polling
from neuralbox._core.exchange import Core

from ..helpers import KEY
from ..service import Service

USUAL: Mapping[str, Any] = {"latency": 0.0, "seconds": 20.0, "price": 4, "tokens": None, "traces": False}


def a_service(**how: Any) -> Service:
    return Service(**{**USUAL, **how})


def core_of(service: Service, **options: Any) -> Core:
    polling = Polling(min_interval=1.0, max_interval=5.0)
    return service.core(**{"key": KEY, "draw_seed": True, "polling": polling, **options})


def batches(service: Service, **options: Any) -> Batches:
    return Batches(core_of(service, **options))
