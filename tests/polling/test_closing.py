"""A client that is closed ends all its waits at once, each with its job; those of other clients go on."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import anyio
import httpx
import pytest

from neuralbox._core.exchange import Core
from neuralbox._errors import ConfigurationError, NeuralBoxError
from neuralbox._polling.job import Job
from neuralbox._polling.many import GrowingJobWaiter, wait_all
from neuralbox._transport.closing import announce_closed, announce_open
from neuralbox._types import JobRef
from neuralbox.sync import NeuralBox

from ..service import Service, a_service
from .support import nothing_left

pytestmark = pytest.mark.anyio


class Ends:
    """How waits ended, and when."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.errors: dict[str, NeuralBoxError] = {}
        self.at: set[float] = set()

    async def wait(self, name: str, wait: Any) -> None:
        try:
            await wait()
        except ConfigurationError as error:
            self.errors[name] = error
            self.at.add(self.service.time.clock())


@pytest.mark.parametrize("from_a_thread", [False, True])
async def test_all_waits_of_a_closed_client_end_at_once_each_with_its_job(from_a_thread: bool) -> None:
    async with a_service() as service:
        core, ends, came_back = service.core(), Ends(service), dict[str, Any]()
        for number in range(40):
            service.job(number, 1e9)

        async def watched() -> None:
            async for _ in Job(core, 20).watch():
                pass

        before = 0
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(ends.wait, str(number), Job(core, number).wait)
            group.start_soon(ends.wait, "watch", watched)
            group.start_soon(ends.wait, "many", lambda: wait_all(core, [21, 22]))
            waiter = GrowingJobWaiter[str](core, None, group, came_back.__setitem__)
            waiter.add(JobRef(23), "batch")
            group.start_soon(waiter.run)
            await service.time.sleep(12)
            before = len(service.asked)
            if from_a_thread:
                thread = Thread(target=announce_closed, args=(service,))
                thread.start()
                thread.join()  # no await: the clock would jump meanwhile
            else:
                announce_closed(service)
        assert len(ends.at) == 1
        assert service.time.clock() < 1_013
        assert len(service.asked) == before
        assert [ends.errors[str(number)].job for number in range(20)] == [JobRef(number) for number in range(20)]
        assert ends.errors["watch"].job == JobRef(20)
        assert ends.errors["many"].job == JobRef(21)
        assert came_back["batch"].job == JobRef(23)
        assert all("was closed while this was waiting" in str(error) for error in ends.errors.values())
        assert nothing_left(core)
        announce_open(service)


async def test_a_wait_of_a_closed_client_ends_before_its_first_poll_and_goes_on_when_it_is_opened_again() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 0)
        announce_closed(service)
        with pytest.raises(ConfigurationError, match="closed") as caught:
            await Job(core, 1).wait()
        assert caught.value.job == JobRef(1)
        assert service.asked == []
        announce_open(service)
        assert (await Job(core, 1).wait()).is_completed


async def test_a_client_that_is_closed_leaves_the_waits_of_another_on_the_same_account() -> None:
    async with a_service() as service:
        core = service.core()
        other = Core(_Relay(service), core.options, core.credential, core.time_source)  # type: ignore[arg-type]
        ends = Ends(service)
        service.job(1, 30)
        async with anyio.create_task_group() as group:
            group.start_soon(ends.wait, "closed", Job(core, 1).wait)
            await service.time.sleep(1)
            group.start_soon(ends.wait, "open", Job(other, 1).wait)
            await service.time.sleep(5)
            announce_closed(service)
        assert set(ends.errors) == {"closed"}
        assert service.asked[-1].at > 1_030
        assert nothing_left(core)
        announce_open(service)


class _Relay:
    """Another client's connections to the same service."""

    def __init__(self, service: Service) -> None:
        self.prepare, self.send = service.prepare, service.send


def test_a_blocking_client_that_another_thread_closes_ends_all_its_waits() -> None:
    polled = Event()

    def pending(request: httpx.Request) -> httpx.Response:
        polled.set()
        return httpx.Response(200, json={"id": request.url.path.rpartition("/")[2], "status": "pending"})

    nb = NeuralBox(api_key="nb_test", base_url="http://127.0.0.1:9/api/v2", transport=httpx.MockTransport(pending))
    errors: list[ConfigurationError] = []

    def wait(number: int) -> None:
        with pytest.raises(ConfigurationError) as caught:
            nb.job(number).wait()
        errors.append(caught.value)

    threads = [Thread(target=wait, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    assert polled.wait(5)
    nb.close()
    for thread in threads:
        thread.join(4)  # less than the shortest pause between two polls
        assert not thread.is_alive()
    assert {error.job for error in errors} == {JobRef(number) for number in range(20)}
