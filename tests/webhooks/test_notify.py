"""An event is a hint: a true one ends a wait at once, a made-up one costs one request, a repeated one nothing."""

from __future__ import annotations

import json
from threading import Thread
from typing import Any

import anyio
import httpx
import pytest

from neuralbox import ConfigurationError
from neuralbox._polling.account_pollers import notify, poller_of
from neuralbox._polling.job import Job
from neuralbox._polling.seen_events import SeenEvents
from neuralbox.webhooks import WebhookEvent, WebhookReceiver, read_event
from tests.geminigen.support import client as gemini_client
from tests.helpers import make_client
from tests.service import Listing, a_service

pytestmark = pytest.mark.anyio


def event(identity: object = 1, number: int = 0, service: Any = "neuralbox") -> WebhookEvent:
    body = {"event": "generation.completed", "generation_id": identity, "n": number, "data": {"uuid": str(identity)}}
    return read_event(json.dumps(body), service)


async def test_a_true_event_ends_the_wait_by_one_request() -> None:
    async with a_service() as service:
        service.job(1, 20, eta_seconds=500)
        core = service.core()

        async def tell() -> None:
            await service.time.sleep(21)
            before = len(service.asked)
            assert notify(core, event())
            assert not notify(core, event())
            await service.time.sleep(0.2)
            assert len(service.asked) == before + 1

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            assert (await Job(core, 1).wait()).is_completed
        assert service.time.clock() - 1_000 < 22
        assert not notify(core, event(1, 1))  # nobody waits any more


async def test_made_up_events_cost_one_request_each_and_never_more_than_polls_may() -> None:
    async with a_service() as service:
        service.job(1, 300, eta_seconds=500)
        core, asked = service.core(), list[int]()

        async def tell() -> None:
            await service.time.sleep(100)
            for _ in range(3):  # so many that each would be a request
                before = len(service.asked)
                for number in range(50):
                    notify(core, event(1, number + 1_000 * len(asked)))
                await service.time.sleep(10)
                asked.append(len(service.asked) - before)
            assert not notify(core, event(2))

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            await Job(core, 1).wait()
        assert asked == [1, 1, 1]


async def test_an_event_while_the_job_is_polled_is_heard_after_the_poll() -> None:
    async with a_service(latency=2) as service:
        service.job(1, 2.5, eta_seconds=500)
        core = service.core()

        async def tell() -> None:
            await service.time.sleep(1)
            assert notify(core, event())

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            await Job(core, 1).wait()
        assert service.time.clock() - 1_000 < 10
        assert len(service.asked) == 2


async def test_of_many_jobs_that_are_swept_the_one_that_is_named_is_asked_about() -> None:
    async with a_service() as service:
        service.listing = Listing()
        for number in range(1, 200):
            service.job(number, 15 if number == 7 else 400, eta_seconds=300)
        core, ended = service.core(), []

        async def wait(number: int) -> None:
            await Job(core, number).wait()
            ended.append((number, service.time.clock() - 1_000))

        async with anyio.create_task_group() as group:
            for number in range(1, 200):
                group.start_soon(wait, number)
            await service.time.sleep(16)
            assert notify(core, event(7))
            await service.time.sleep(3)
            assert [number for number, _ in ended] == [7]
            poller_of(core).confirm("nobody")
            group.cancel_scope.cancel()


async def test_an_event_reaches_waits_of_another_loop_and_thread() -> None:
    async with a_service() as there:
        there.job(1, 20, eta_seconds=500)
        core, told = there.core(), list[bool]()

        async def tell() -> None:
            await there.time.sleep(21)
            thread = Thread(target=lambda: told.append(notify(core, event())))
            thread.start()
            thread.join()

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            await Job(core, 1).wait()
        assert told == [True]
        assert there.time.clock() - 1_000 < 22


async def test_a_client_hears_only_of_its_own_service() -> None:
    async with make_client(lambda request: httpx.Response(500)) as nb, gemini_client(nothing) as gg:
        assert (nb.service_name, gg.service_name) == ("neuralbox", "geminigen")
        with pytest.raises(ConfigurationError, match="The event is of geminigen; this client's service is neuralbox"):
            nb.notify(event(1, 0, "geminigen"))
        assert not nb.notify(event())
        assert not gg.notify(event(1, 0, "geminigen"))
        with pytest.raises(ConfigurationError, match="NeuralBox signs no events"):
            WebhookReceiver(nb, public_key="x")


def nothing(request: httpx.Request) -> httpx.Response:
    return httpx.Response(500)


def test_the_oldest_events_are_forgotten_first() -> None:
    seen = SeenEvents()
    for number in range(10_001):
        assert seen.add(str(number))
    assert seen.add("0")
    assert not seen.add("10000")
    seen.discard("10000")
    seen.discard("nobody")
    assert seen.add("10000")
