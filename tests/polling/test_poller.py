"""The poller move by move: who leads, who polls, and that no way of leaving leaves the others without either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import pytest
import trio

from neuralbox._config import CallOptions, ClientOptions
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core, TimeSource
from neuralbox._errors import AuthenticationError, ConnectError, GenerationTimeoutError, PermissionDeniedError
from neuralbox._models.generation import Generation
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.job import Job
from neuralbox._polling.listing import SweepPlanner
from neuralbox._polling.polled_job import PolledJob, Waiter
from neuralbox._polling.poller import Poller
from neuralbox._types import JobRef
from neuralbox.testing import VirtualTime

from ..helpers import dear
from ..service import Answer, Service, a_service
from .support import nothing_left


class Waits:
    """Waits in tasks of their own, each with a scope to cancel it by and a word for how it ended."""

    def __init__(self, service: Service, core: Core | None = None) -> None:
        self.service = service
        self.core = core or service.core()
        self.ended: dict[str, str] = {}
        self.at: dict[str, float] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def wait(self, name: str, id: int | str | None = None, **options: Any) -> None:
        """Wait for a job; without an id the name is the id."""
        scope = self.scopes[name] = anyio.CancelScope()
        call = options.pop("call", CallOptions())
        try:
            with scope:
                self.ended[name] = (await Job(self.core, id or name, call=call).wait(**options)).status
        except (GenerationTimeoutError, ZeroDivisionError, AuthenticationError) as error:
            self.ended[name] = type(error).__name__
        if scope.cancelled_caught:
            self.ended[name] = "cancelled"
        self.at[name] = round(self.service.time.clock() - 1_000, 2)

    def leader(self) -> str:
        """The name of the wait that leads (those whose names are ids)."""
        poller = poller_of(self.core)
        leader = poller.leadership.leader
        return next(str(job.ref.id) for job in poller.jobs if leader and leader in job.waiters)


def longest_gap(service: Service, id: int | str) -> float:
    times = service.times(id)
    return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


def shortest_gap(service: Service, id: int | str) -> float:
    times = service.times(id)
    return min((later - earlier for earlier, later in pairwise(times)), default=1e9)


# The leader leaves...


@pytest.mark.anyio
async def test_the_leader_is_cancelled_and_the_others_go_on() -> None:
    async with a_service() as service:
        waits = Waits(service)
        async with anyio.create_task_group() as group:
            for name in "12345":
                service.job(name, 60)
                group.start_soon(waits.wait, name)
            for _ in range(4):
                await service.time.sleep(7)
                waits.scopes[waits.leader()].cancel()
        assert sorted(waits.ended.values()) == ["cancelled"] * 4 + ["completed"]
        (survivor,) = [name for name, ended in waits.ended.items() if ended == "completed"]
        assert longest_gap(service, survivor) < 8
        assert 60 <= waits.at[survivor] < 68
        assert nothing_left(waits.core)


def crash_at(service: Service, seconds: float) -> Callable[[Generation], None]:
    def on_progress(_: Generation) -> None:
        if service.time.clock() - 1_000 >= seconds:
            raise ZeroDivisionError

    return on_progress


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["completed", "GenerationTimeoutError", "ZeroDivisionError"])
async def test_one_after_the_other_leaves_and_the_last_is_served_as_if_alone(how: str) -> None:
    async with a_service() as service:
        waits = Waits(service)
        async with anyio.create_task_group() as group:
            for number, name in enumerate("12345", 1):
                last = number == 5
                ends_at = 100 if last else 12 * number
                options: dict[str, Any] = {}
                if how == "GenerationTimeoutError" and not last:
                    options = {"timeout": ends_at}
                if how == "ZeroDivisionError" and not last:
                    options = {"on_progress": crash_at(service, ends_at)}
                service.job(name, ends_at if how == "completed" else 100)
                if how == "ZeroDivisionError":  # something new at every poll
                    service.answers[name] = lambda now: {
                        "status": "completed" if now >= 1_100 else "pending",
                        "progress": -now,
                    }
                group.start_soon(lambda name=name, options=options: waits.wait(name, **options))  # type: ignore[misc]
        assert waits.ended == {**dict.fromkeys("1234", how), "5": "completed"}
        assert longest_gap(service, "5") < 8
        assert 100 <= waits.at["5"] < 108
        for number in range(1, 5):
            assert 12 * number <= waits.at[str(number)] < 12 * number + 8
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_successor_cancelled_before_it_runs_hands_on_again() -> None:
    async with a_service() as service:
        waits = Waits(service)
        async with anyio.create_task_group() as group:
            for name in "12345":
                service.job(name, 40)
                group.start_soon(waits.wait, name)
            await service.time.sleep(7)
            poller = poller_of(waits.core)
            for _ in range(4):
                name = waits.leader()
                waits.scopes[name].cancel()
                await anyio.lowlevel.checkpoint()
                # The leader has handed on, or is about to; whoever it is now has had no chance to run.
                assert poller.leadership.leader is not None
        assert list(waits.ended.values()).count("completed") == 5 - list(waits.ended.values()).count("cancelled")
        assert nothing_left(waits.core)
        (survivor, *_) = [name for name, ended in waits.ended.items() if ended == "completed"]
        assert longest_gap(service, survivor) < 8


@pytest.mark.anyio
async def test_leader_and_successor_are_cancelled_in_one_breath() -> None:
    async with a_service() as service:
        waits = Waits(service)
        async with anyio.create_task_group() as group:
            for name in "123":
                service.job(name, 40)
                group.start_soon(waits.wait, name)
                await service.time.sleep(0.3)
            await service.time.sleep(0.5)
            poller = poller_of(waits.core)
            leader = waits.leader()
            successor = next(
                str(job.ref.id) for job in poller.jobs if next(reversed(poller.leadership.sleeping)) in job.waiters
            )
            if successor == leader:  # the leader itself asleep last
                successor = next(str(job.ref.id) for job in poller.jobs if str(job.ref.id) != leader)
            waits.scopes[leader].cancel()
            waits.scopes[successor].cancel()
        assert sorted(waits.ended.values()) == ["cancelled", "cancelled", "completed"]
        (survivor,) = [name for name, ended in waits.ended.items() if ended == "completed"]
        assert longest_gap(service, survivor) < 8
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_successor_that_the_leaders_callback_cancels_hands_on_again() -> None:
    async with a_service() as service:
        waits = Waits(service)

        def on_progress(_: Generation) -> None:
            waits.scopes["2"].cancel()  # of the only two others, each is the successor in one of two orders
            waits.scopes["2b"].cancel()

        async with anyio.create_task_group() as group:
            service.job(1, 20)
            service.job(2, 20)
            group.start_soon(lambda: waits.wait("1", on_progress=on_progress))
            group.start_soon(waits.wait, "2")
            group.start_soon(waits.wait, "2b", "2")
            group.start_soon(waits.wait, "1b", "1")
        assert waits.ended == {"1": "completed", "1b": "completed", "2": "cancelled", "2b": "cancelled"}
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_waits_of_several_task_groups_outlive_one_another() -> None:
    async with a_service() as service:
        waits = Waits(service)
        for name in "123456":
            service.job(name, 50)
        async with anyio.create_task_group() as outer:
            outer.start_soon(waits.wait, "1")
            async with anyio.create_task_group() as inner:
                for name in "234":
                    inner.start_soon(waits.wait, name)
                await service.time.sleep(12)
                inner.cancel_scope.cancel()
            with pytest.RaisesGroup(ZeroDivisionError):
                async with anyio.create_task_group() as other:
                    other.start_soon(waits.wait, "5")
                    await service.time.sleep(12)
                    raise ZeroDivisionError
            outer.start_soon(waits.wait, "6")
        assert waits.ended == {"1": "completed", "6": "completed"}
        assert longest_gap(service, "1") < 8
        assert nothing_left(waits.core)


# ... and whoever polls leaves.


@pytest.mark.anyio
async def test_one_poll_serves_all_who_wait_for_a_job() -> None:
    async with a_service() as service:
        waits = Waits(service)
        service.job(1, 50)
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(waits.wait, str(number), 1)
        assert set(waits.ended.values()) == {"completed"}
        assert len(set(waits.at.values())) == 1
        assert len(service.asked) <= 10
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_the_same_id_as_number_and_as_text_is_one_job() -> None:
    async with a_service() as service:
        waits = Waits(service)
        service.job(1, 10)
        async with anyio.create_task_group() as group:
            group.start_soon(waits.wait, "number", 1)
            group.start_soon(waits.wait, "text", "1")
        assert len(service.asked) <= 3


@pytest.mark.anyio
async def test_polls_use_the_options_of_who_waits_not_of_who_leads() -> None:
    async with a_service() as service:
        waits = Waits(service)
        for name in "123":
            service.job(name, 30)
        async with anyio.create_task_group() as group:
            for name in "123":
                call = CallOptions(extra_headers={"x-of": name})
                group.start_soon(lambda name=name, call=call: waits.wait(name, call=call))  # type: ignore[misc]
        assert all(asked.headers["x-of"] == asked.id for asked in service.asked)


@pytest.mark.anyio
async def test_a_poll_whose_waiter_is_cancelled_is_made_up_by_another() -> None:
    async with a_service(latency=1.0) as service:
        waits = Waits(service)
        service.job(1, 3)
        async with anyio.create_task_group() as group:
            for name in "abc":
                call = CallOptions(extra_headers={"x-of": name})
                group.start_soon(lambda name=name, call=call: waits.wait(name, 1, call=call))  # type: ignore[misc]
            await service.time.sleep(0.5)
            assert service.under_way == 1
            waits.scopes[service.asked[0].headers["x-of"]].cancel()
        assert sorted(waits.ended.values()) == ["cancelled", "completed", "completed"]
        assert service.times() == pytest.approx([0, 5], abs=0.01)
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_poll_given_to_a_waiter_that_is_cancelled_before_it_begins_goes_to_another() -> None:
    async with a_service() as service:
        waits = Waits(service)
        service.job(1, 0)

        async def assign_and_cancel(poller: Poller, due: Sequence[PolledJob]) -> None:
            poller.strategy = SweepPlanner()
            await SweepPlanner()(poller, due)
            assert isinstance(due[0].polled_by, Waiter)
            waits.scopes[(due[0].polled_by.call.extra_headers or {})["x-of"]].cancel()

        poller_of(waits.core).strategy = assign_and_cancel
        async with anyio.create_task_group() as group:
            for name in "abc":
                call = CallOptions(extra_headers={"x-of": name})
                group.start_soon(lambda name=name, call=call: waits.wait(name, 1, call=call))  # type: ignore[misc]
        assert sorted(waits.ended.values()) == ["cancelled", "completed", "completed"]
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_waiter_in_its_callback_holds_up_nobody_but_itself() -> None:
    async with a_service() as service:
        waits = Waits(service)
        service.job(1, 30)
        service.job(2, 30)

        async def slow(_: Generation) -> None:
            await service.time.sleep(100)

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: waits.wait("1", on_progress=slow))
            group.start_soon(waits.wait, "2")
        assert waits.ended == {"1": "completed", "2": "completed"}
        assert 30 <= waits.at["2"] < 38
        assert service.times(1) == pytest.approx([0, 100.05], abs=0.1)  # polled once, when it came back
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_who_is_there_polls_for_who_is_away() -> None:
    async with a_service() as service:
        waits = Waits(service)
        service.job(1, 30)
        service.job(2, 60)

        async def slow(_: Generation) -> None:
            await service.time.sleep(100)

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: waits.wait("away", 1, on_progress=slow))
            group.start_soon(waits.wait, "2")  # somebody keeps the clock all the time
            await service.time.sleep(3)
            group.start_soon(waits.wait, "there", 1)
            await service.time.sleep(12)
            waits.scopes["there"].cancel()
            await service.time.sleep(10)  # due, and nobody is there
            group.start_soon(waits.wait, "late", 1)
        assert waits.ended == {"2": "completed", "there": "cancelled", "late": "completed", "away": "completed"}
        assert 30 <= waits.at["late"] < 38
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_job_due_sooner_wakes_the_leader() -> None:
    async with a_service() as service:
        waits = Waits(service)
        service.job(1, 60, eta_seconds=28)
        service.job(2, 0)
        async with anyio.create_task_group() as group:
            group.start_soon(waits.wait, "1")
            await service.time.sleep(10)
            group.start_soon(waits.wait, "2")
            await service.time.sleep(1)
            assert waits.ended == {"2": "completed"}
            waits.scopes["1"].cancel()


@pytest.mark.anyio
async def test_a_wait_is_told_of_its_limit_while_somebody_elses_poll_hangs() -> None:
    async with a_service() as service:
        waits = Waits(service)
        service.stalled = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: waits.wait("polls", 1, timeout=None))
            await service.time.sleep(1)
            group.start_soon(lambda: waits.wait("shares", 1, timeout=10))
            await service.time.sleep(30)
            assert waits.ended == {"shares": "GenerationTimeoutError"}
            assert waits.at["shares"] == pytest.approx(16, abs=0.01)  # its limit, and the grace of a last poll
            waits.scopes["polls"].cancel()
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_slow_poll_that_began_long_before_the_limit_is_followed_by_a_last_one() -> None:
    async with a_service(latency=6.0) as service:
        waits = Waits(service)
        service.job(1, 7)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: waits.wait("long", 1, timeout=None))
            group.start_soon(lambda: waits.wait("short", 1, timeout=5.5))
        assert service.times()[:2] == pytest.approx([0, 6], abs=0.01)
        assert waits.ended["long"] == "completed"


@pytest.mark.anyio
async def test_waits_with_many_limits_share_polls_that_are_a_shortest_pause_apart() -> None:
    async with a_service() as service:
        waits = Waits(service)
        service.job(1, 1e9)
        async with anyio.create_task_group() as group:
            for number in range(120, 0, -1):
                await anyio.lowlevel.checkpoint()
                group.start_soon(lambda number=number: waits.wait(str(number), 1, timeout=number / 2))  # type: ignore[misc]
        assert set(waits.ended.values()) == {"GenerationTimeoutError"}
        for number in range(1, 121):
            assert number / 2 <= waits.at[str(number)] <= number / 2 + 0.1
        assert shortest_gap(service, 1) >= 4.9
        assert nothing_left(waits.core)


# Slowing down for everybody.


@pytest.mark.anyio
@dear
async def test_a_429_slows_all_and_recovery_is_no_stampede() -> None:
    async with a_service() as service:
        waits = Waits(service, service.core(seed=3))
        for number in range(150):
            service.job(number, 100)
        refused = service.answers["7"]
        refusals: list[float] = []

        def limit(now: float) -> Answer:
            if now > 1_020 and not refusals:
                refusals.append(now)
                return 429, {"error": "rate_limit_exceeded", "retry_after": 60}
            return refused(now)

        service.answers["7"] = limit
        async with anyio.create_task_group() as group:
            for number in range(150):
                group.start_soon(waits.wait, str(number))
        (when,) = refusals
        assert not [asked for asked in service.asked if when + 0.1 < asked.at < when + 60]
        after = [asked.at for asked in service.asked if when + 60 <= asked.at < when + 75]
        busiest = max(sum(at <= other < at + 0.5 for other in after) for at in after)
        assert len(after) >= 140
        assert busiest < 120
        assert set(waits.ended.values()) == {"completed"}
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_polls_that_fail_together_slow_down_once() -> None:
    async with a_service(latency=5.0) as service:
        waits = Waits(service)

        def answer(now: float) -> Answer:
            if now < 1_010:  # all are sent when the first was answered
                return {"status": "pending"}
            return ConnectError("no route") if now < 1_012 else {"status": "completed"}

        for number in range(50):
            service.answers[str(number)] = answer
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(waits.wait, str(number))
        assert sum(1_005 < asked.at < 1_006 for asked in service.asked) == 49
        assert max(waits.at.values()) < 30  # one shortest pause and the spread, not half a minute


@pytest.mark.anyio
async def test_a_last_poll_is_made_though_polls_are_held() -> None:
    async with a_service() as service:
        waits = Waits(service)
        first = [True]

        def answer(_: float) -> Answer:
            if first.pop() if first else False:
                return 429, {"error": "rate_limit_exceeded", "retry_after": 1_000}
            return {"status": "completed"}

        service.answers["1"] = answer
        await waits.wait("1", timeout=20)
        assert waits.ended == {"1": "completed"}
        assert service.times() == pytest.approx([0, 20], abs=0.01)


@pytest.mark.anyio
async def test_an_answer_lets_all_go_on_whom_a_failure_held() -> None:
    async with a_service() as service:
        waits = Waits(service)
        first = [True]

        def answer(now: float) -> Answer:
            if first.pop() if first else False:
                return 429, {"error": "rate_limit_exceeded", "retry_after": 3_600}
            return {"status": "completed" if now > 1_010 else "pending"}

        service.answers.update({"1": answer, "2": answer, "3": answer})
        async with anyio.create_task_group() as group:
            for name in ("1", "3"):  # both are asked at once, and the pending answer of the one says nothing
                group.start_soon(partial(waits.wait, name, timeout=None))
            await service.time.sleep(1.0)
            group.start_soon(partial(waits.wait, "2", timeout=30.0))
        assert waits.ended == dict.fromkeys("123", "completed")
        assert 31.0 <= min(waits.at.values()) <= max(waits.at.values()) < 60.0


@pytest.mark.anyio
@dear
async def test_hundreds_of_jobs_met_at_once_are_not_polled_at_once() -> None:
    async with a_service() as service:
        waits = Waits(service, service.core(seed=4))
        async with anyio.create_task_group() as group:
            for number in range(400):
                service.job(number, 0)
                group.start_soon(waits.wait, str(number))
        busiest = max(
            sum(start <= asked.at - 1_000 < start + 0.5 for asked in service.asked) for start in (0, 0.5, 1, 2, 3, 4)
        )
        assert len(service.asked) == 400
        assert busiest < 200
        assert max(waits.at.values()) <= 5.2


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 429, 451])
async def test_one_page_of_a_content_network_ends_no_wait_and_slows_all_down_once(status: int) -> None:
    async with a_service() as service:
        waits = Waits(service)
        pages: list[float] = []
        for number in range(20):
            service.job(number, 60)
        known = service.answers["7"]

        def answer(now: float) -> Answer:
            if now > 1_031 and len(pages) < 2:  # on both paths, where the status has another one tried
                pages.append(now)
                return status, "<html><title>Attention Required!</title></html>"
            return known(now)

        service.answers["7"] = answer
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(waits.wait, str(number))
        assert set(waits.ended.values()) == {"completed"}
        assert max(waits.at.values()) < 80
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_pages_of_a_content_network_to_the_end_make_a_wait_pass_its_limit_and_are_its_cause() -> None:
    async with a_service() as service:
        service.answers["1"] = lambda _: (403, "<html>blocked</html>")
        with pytest.raises(GenerationTimeoutError) as caught:
            await Job(service.core(), 1).wait(timeout=100)
        assert isinstance(caught.value.__cause__, PermissionDeniedError)
        assert len(service.asked) <= 12


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 403])
async def test_the_services_own_refusal_ends_all_waits_at_once(status: int) -> None:
    async with a_service() as service:
        core = service.core()
        service.answers["1"] = lambda now: (status, {"error": "vip_required"}) if now > 1_020 else {"status": "pending"}
        service.job(2, 300)
        async with anyio.create_task_group() as group:
            for number in (1, 2):

                async def refused(number: int = number) -> None:
                    with pytest.raises((AuthenticationError, PermissionDeniedError)) as caught:
                        await Job(core, number).wait()
                    assert caught.value.job == JobRef(number)

                group.start_soon(refused)
        assert service.time.clock() < 1_030


# A strategy answers for a set.


@pytest.mark.anyio
async def test_a_strategy_may_answer_for_the_whole_set_and_what_it_leaves_is_polled_one_by_one() -> None:
    async with a_service() as service:
        waits = Waits(service)
        sets: list[int] = []

        async def sweep(poller: Poller, due: Sequence[PolledJob]) -> None:
            sets.append(len(due))
            for entry in due[:-1]:
                poller.begin(entry)
            await service.time.sleep(0.2)
            for entry in due[:-1]:
                listed: dict[str, Any] = {
                    "id": entry.ref.id,
                    "status": "completed" if service.time.clock() > 1_030 else "pending",
                }
                poller.publish(entry, Generation.read(listed))
                poller.publish(entry, Generation.read({"id": entry.ref.id, "status": "pending"}))

        poller_of(waits.core).strategy = sweep
        for number in range(20):
            service.job(number, 30)
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(waits.wait, str(number))
        assert set(waits.ended.values()) == {"completed"}
        assert max(sets) > 1
        assert sum(sets) < 20 * 8
        assert len(service.asked) == len(sets)
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_what_a_cancelled_sweep_had_taken_is_given_to_others() -> None:
    async with a_service() as service:
        waits = Waits(service)

        async def sweep(poller: Poller, due: Sequence[PolledJob]) -> None:
            poller.strategy = SweepPlanner()
            await service.time.sleep(60)

        poller_of(waits.core).strategy = sweep
        for name in "123":
            service.job(name, 0)
        async with anyio.create_task_group() as group:
            for name in "123":
                group.start_soon(waits.wait, name)
            await service.time.sleep(2)
            assert service.asked == []
            waits.scopes[waits.leader()].cancel()
        assert sorted(waits.ended.values()) == ["cancelled", "completed", "completed"]
        assert max(waits.at.values()) < 3
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_poll_that_was_given_out_is_dropped_when_the_answer_comes_another_way() -> None:
    async with a_service() as service:
        waits = Waits(service)

        async def listed_after_all(poller: Poller, due: Sequence[PolledJob]) -> None:
            await SweepPlanner()(poller, due)
            for entry in due:
                poller.publish(entry, Generation.read({"id": entry.ref.id, "status": "completed"}))

        poller_of(waits.core).strategy = listed_after_all
        async with anyio.create_task_group() as group:
            for name in "123":
                group.start_soon(waits.wait, name)
        assert waits.ended == dict.fromkeys("123", "completed")
        assert service.asked == []
        assert nothing_left(waits.core)


# One poller per account and loop.


@pytest.mark.anyio
async def test_copies_of_a_client_share_a_poller_and_other_accounts_do_not() -> None:
    async with a_service() as service:
        core = service.core()
        assert poller_of(core.with_options(core.options.with_changes(max_retries=7))) is poller_of(core)
        assert poller_of(service.core(key="nb_other")) is not poller_of(core)
        elsewhere = core.with_options(core.options.with_changes(base_url="http://127.0.0.1:10"))
        assert poller_of(elsewhere) is not poller_of(core)
        assert repr(poller_of(core)) == "<Poller: 0 jobs>"


def test_one_client_serves_one_loop_after_the_other_on_both_kinds() -> None:
    time = VirtualTime()
    service = Service(time)
    core = service.core()
    job = Job(core, 1)

    async def left_in_the_middle() -> None:
        service.job(1, 1e9)
        async with anyio.create_task_group() as group:
            group.start_soon(job.wait)
            group.start_soon(Job(core, 2).wait)
            await time.sleep(20)
            group.cancel_scope.cancel()

    async def to_the_end() -> str:
        service.job(1, 20)
        status = "none"
        async with anyio.create_task_group() as group:
            status = (await job.wait()).status
            assert nothing_left(core)
            group.cancel_scope.cancel()
        return status

    asyncio.run(left_in_the_middle())
    trio.run(left_in_the_middle)
    assert asyncio.run(to_the_end()) == "completed"
    job = Job(core, 1)
    assert trio.run(to_the_end) == "completed"


def test_the_last_core_of_an_account_takes_its_pollers_along() -> None:
    from neuralbox._core import account

    def use() -> None:
        service = Service(VirtualTime())

        async def main() -> None:
            poller_of(service.core())

        asyncio.run(main())

    before = len(account._accounts)
    use()
    import gc

    gc.collect()
    assert len(account._accounts) <= before


@pytest.mark.anyio
async def test_the_default_clock_serves_a_wait_in_real_time() -> None:
    class Instant(Service):
        async def send(self, prepared: Any, **_: Any) -> Any:
            self.time.elapsed += 0.001
            self.latency = 0
            return await super().send(prepared, **_)

    service = Instant(VirtualTime(), 0)
    service.job(1, 0.0005)
    core = Core(service, ClientOptions(base_url="http://127.0.0.1:9"), ApiKey("nb_test"), TimeSource())
    assert (await Job(core, 1).wait(timeout=5)).is_completed
