"""Streams, listings and watches: bursts, early ends, who may read, and what is freed."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import to_thread

from benchmarks.server import Running
from neuralbox import ConfigurationError, ImageRequest, JobRef, Page, Polling
from neuralbox._paging import Pager as AsyncPager
from neuralbox.sync import Items, NeuralBox, Pager
from neuralbox.sync._call import call
from neuralbox.sync._facade import unwrap, unwrap_all
from neuralbox.sync._iteration import Pump, iterate
from neuralbox.sync._loop import thread
from neuralbox.sync._manager import Entered, manage

from .conftest import eventually, nothing_runs

STRESS_TIMES = 30
"""Rounds of each thread under stress at random; the runtime was tried with four hundred."""


async def count(n: int, *, pause: float | None = None) -> AsyncIterator[int]:
    for number in range(n):
        if pause is not None:
            await asyncio.sleep(pause)
        yield number


async def forever(closed: list[int]) -> AsyncIterator[int]:
    try:
        while True:
            await asyncio.sleep(0)
            yield 1
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(0)
        closed.append(1)


def _fail_at_the_first(items: Items[Any]) -> None:
    for _ in items:
        raise ValueError("mine")


# In order, in bursts.


@pytest.mark.parametrize("ahead", [1, 2, 16, 256])
@pytest.mark.parametrize("pause", [None, 0])
def test_every_item_arrives_in_order(ahead: int, pause: float | None) -> None:
    assert list(iterate(count(1000, pause=pause), ahead=ahead)) == list(range(1000))


def test_a_stream_of_twenty_thousand_wakes_the_reader_a_twentieth_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    wakes = []

    def counted(function: Callable[[Pump], None]) -> Callable[[Pump], None]:
        def wrapped(pump: Pump) -> None:
            wakes.append(1)
            function(pump)

        return wrapped

    monkeypatch.setattr(Pump, "_tell", counted(Pump._tell))
    monkeypatch.setattr(Pump, "wake", counted(Pump.wake))
    assert sum(1 for _ in iterate(count(20_000), ahead=256)) == 20_000
    assert len(wakes) < 20_000 / 20


def test_items_before_an_error_arrive_before_it() -> None:
    async def fails() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise KeyError("x")

    for ahead in (1, 256):
        got: list[object] = []
        items = iterate(fails(), ahead=ahead)
        with pytest.raises(KeyError):
            got.extend(iter(items.__next__, None))
        assert next(items, "the end") == "the end"
        items = iterate(fails(), ahead=ahead)
        got += [next(items), next(items)]
        assert got[-2:] == [1, 2]
        with pytest.raises(KeyError):
            next(items)


def test_a_pump_that_finds_the_reader_caught_up_does_not_park() -> None:
    pump = Pump(count(0), 1)

    async def park() -> None:
        pump._resume = asyncio.Event()
        await pump._park()

    call(park)
    assert not pump.paused


# Early ends.


def test_break_close_an_exception_and_dropping_each_free_what_is_held() -> None:
    closed: list[int] = []
    with iterate(forever(closed), ahead=4) as items:
        for _ in items:
            break
    assert len(closed) == 1, "`with` waits for it"
    items = iterate(forever(closed), ahead=4)
    next(items)
    assert items.is_open
    items.close()
    items.close()
    assert len(closed) == 2
    assert next(items, None) is None
    with pytest.raises(ValueError, match="mine"), iterate(forever(closed), ahead=4) as items:
        _fail_at_the_first(items)
    assert len(closed) == 3
    for _ in iterate(forever(closed), ahead=4):
        break
    del items
    assert eventually(lambda: len(closed) == 4, 0.5)


def test_an_iteration_that_never_began_is_closed_without_a_word() -> None:
    iterate(count(3), ahead=1).close()
    with iterate(count(3), ahead=1) as items:
        pass
    assert next(items, None) is None


def test_leaving_a_stream_early_frees_its_connection(dripping: Running) -> None:
    with NeuralBox(api_key="nb_x", base_url=dripping.url, trust_env=False) as nb:
        for way in ("break", "error", "dropped", "unread", "items"):
            stream = nb.text.stream(model="gpt-5", prompt="x")
            if way in ("dropped", "unread"):
                stream.__enter__()
                if way == "dropped":
                    next(stream)
                del stream
            elif way == "error":
                with pytest.raises(ValueError, match="mine"), stream:
                    _fail_at_the_first(iter(stream))
            else:
                with stream:
                    for _ in stream:
                        break
                    if way == "items":
                        iter(stream).close()
            assert eventually(lambda: dripping.counts()["open_now"] == 1, 1.0), way


def test_fifty_streams_dropped_unread_do_not_exhaust_the_pool(server: Running) -> None:
    with NeuralBox(api_key="nb_x", base_url=server.url, trust_env=False) as nb:
        for number in range(50):  # three times the slots
            stream = nb.text.stream(model="gpt-5", prompt="x", max_tokens=2_000)
            stream.__enter__()
            if number % 2:
                next(stream)
            del stream
        with nb.text.stream(model="gpt-5", prompt="x", max_tokens=3) as stream:
            assert "".join(stream) == " boats" * 3 == stream.text


def test_a_half_read_stream_refuses_what_would_read_it_a_second_time(nb: NeuralBox) -> None:
    with nb.text.stream(model="gpt-5", prompt="x", max_tokens=2_000) as stream:
        assert next(stream) == " boats"
        with pytest.raises(ConfigurationError, match="half read"):
            stream.collect()
        with pytest.raises(ConfigurationError, match="half read"):
            stream.events()
        assert len(list(stream)) == 1_999
        assert stream.collect() == stream.result
    with nb.text.stream(model="gpt-5", prompt="x", max_tokens=20) as stream:
        assert stream.collect().text == " boats" * 20
    with nb.text.stream(model="gpt-5", prompt="x", max_tokens=20) as stream:
        assert len(list(stream.events())) == 22


def test_a_stream_that_cannot_be_entered_raises_and_holds_nothing() -> None:
    with NeuralBox(api_key="nb_x", base_url="http://127.0.0.1:9", max_retries=0, trust_env=False) as nb:
        stream = nb.text.stream(model="gpt-5", prompt="x")
        with pytest.raises(Exception, match=r"127\.0\.0\.1"):
            stream.__enter__()
        stream.__exit__(None, None, None)


def test_a_stream_is_entered_once(nb: NeuralBox) -> None:
    with nb.text.stream(model="gpt-5", prompt="x", max_tokens=3) as stream:
        with pytest.raises(ConfigurationError, match="entered already"):
            stream.__enter__()
        assert len(list(stream)) == 3


# Who may read.


def test_a_second_reading_thread_is_told_so_and_a_closed_reader_too() -> None:
    async def silent() -> AsyncIterator[int]:
        await anyio.sleep(60)
        yield 1

    items = iterate(silent(), ahead=4)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, items)
        assert eventually(lambda: bool(thread.running))
        time.sleep(0.02)  # until it waits
        with pytest.raises(ConfigurationError, match="Another thread is reading this stream"):
            next(items)
        items.close()
        with pytest.raises(ConfigurationError, match="closed by another thread"):
            first.result(5)


def test_a_stream_closed_while_another_thread_begins_it_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    items = iterate(forever(closed), ahead=4)
    ensure_running = thread.ensure_running

    def closes_first() -> None:
        items.close()
        ensure_running()

    with monkeypatch.context() as patch:
        patch.setattr(thread, "ensure_running", closes_first)
        assert next(items, None) is None
    assert eventually(nothing_runs)
    assert not closed


def test_a_stream_of_a_loop_that_is_gone_says_so() -> None:
    items = iterate(forever([]), ahead=2)
    next(items)
    home, items._pump.call._home = items._pump.call._home, None  # as after a fork
    with pytest.raises(ConfigurationError, match="forked child"):
        for _ in items:
            pass
    items._pump.call._home = home
    items.close()


def test_an_iteration_that_is_refused_can_be_begun_elsewhere() -> None:
    items = iterate(count(3), ahead=1)

    async def inside() -> int:
        return next(items)

    with pytest.raises(ConfigurationError, match="would wait for ever"):
        call(inside)
    assert list(items) == [0, 1, 2]


# Listings and watches.


class Shelf:
    """A listing of numbers that counts how often it was asked."""

    def __init__(self, count: int, size: int = 10) -> None:
        self.count, self.size, self.asked = count, size, 0

    async def fetch(self, number: int) -> Page[int]:
        self.asked += 1
        found = list(range((number - 1) * self.size, min(number * self.size, self.count)))
        return Page(found, number, self.size, self.count, -(-self.count // self.size), {})

    def pager(self, max_items: int | None = None) -> Pager[int]:
        return Pager.of(AsyncPager(self.fetch, lambda item: item, max_items=max_items))


def test_a_listing_fetches_a_page_when_its_first_item_is_wanted() -> None:
    shelf = Shelf(35)
    seen = []
    for item in shelf.pager():
        seen.append(item)
        assert shelf.asked == item // 10 + 1
    assert seen == list(range(35))
    assert shelf.asked <= 5


def test_a_listing_ends_at_max_items_and_asks_no_further() -> None:
    for most, pages in ((25, 3), (10, 1), (0, 0)):
        shelf = Shelf(1_000)
        assert list(shelf.pager(most)) == list(range(most))
        assert shelf.asked == pages


def test_a_listing_left_half_way_leaves_nothing_behind() -> None:
    shelf = Shelf(1_000)
    assert next(item for item in shelf.pager() if item == 12) == 12
    assert shelf.asked == 2
    with iter(shelf.pager()) as items:
        next(items)
    assert next(items, None) is None
    assert eventually(nothing_runs)
    pages = shelf.pager().pages()
    assert [next(pages).page, next(pages).page] == [1, 2]


def test_a_watch_hands_out_states_and_ends_with_the_last(nb: NeuralBox) -> None:
    job = nb.with_options(polling=Polling(min_interval=0.001, max_interval=0.002)).job(JobRef(77, "video"))
    states = list(job.watch())
    assert states[-1].id == 77
    assert states[-1].is_final


def test_views_are_unwrapped_on_the_way_in(nb: NeuralBox) -> None:
    job = nb.job(JobRef(77, "video"))
    assert unwrap(job) is job._async
    assert unwrap_all(iter([job, 5])) == [job._async, 5]
    (found,) = nb.generations.wait([job])
    assert found.id == 77


# One task owns each iterator and each context manager.


async def inside_a_group() -> AsyncIterator[int]:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)
        with anyio.fail_after(5):
            yield 1
            yield 2


@asynccontextmanager
async def group_held(*, fail: bool = False) -> AsyncIterator[int]:
    async def boom() -> None:
        raise OSError("background")

    async with anyio.create_task_group() as group:
        group.start_soon(boom if fail else anyio.sleep_forever)
        yield 5
        group.cancel_scope.cancel()


def test_task_groups_and_cancel_scopes_may_stand_around_a_yield() -> None:
    assert list(iterate(inside_a_group(), ahead=1)) == [1, 2]
    with manage(group_held()) as value:
        assert value == 5
    with manage(group_held(), str) as text:
        assert text == "5"


def test_what_fails_inside_a_manager_surfaces_at_its_exit() -> None:
    with pytest.raises(BaseExceptionGroup) as caught, manage(group_held(fail=True)):
        assert eventually(nothing_runs)
    assert caught.group_contains(OSError, match="background")


def test_a_manager_sees_the_error_of_its_block_and_may_swallow_it() -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def swallows(kind: type[Exception]) -> AsyncIterator[None]:
        try:
            yield
        except kind as error:
            seen.append(str(error))

    with manage(swallows(ValueError)):
        int("swallowed")
    with pytest.raises(KeyError), manage(swallows(ValueError)):
        raise KeyError("not swallowed")
    assert len(seen) == 1


def test_a_manager_whose_loop_is_gone_is_left_without_waiting() -> None:
    entered = Entered(group_held())
    entered.enter()
    home, entered._call._home = entered._call._home, None
    assert entered.exit(None, None, None) is None
    entered._call._home = home
    entered.abandon()
    assert eventually(nothing_runs)
    with pytest.raises(CancelledError):
        entered.exit(None, None, None)
    assert entered.exit(None, None, None) is None
    entered._let_go((None, None, None))


# Left by the collector, which comes in whatever thread allocates.


def _in_a_stream(nb: NeuralBox) -> Iterator[object]:
    with nb.text.stream(model="gpt-5", prompt="x") as stream:
        yield from stream


def _in_an_unread_stream(nb: NeuralBox) -> Iterator[object]:
    with nb.text.stream(model="gpt-5", prompt="x") as stream:
        yield iter(stream).is_open


def _in_a_raw_stream(nb: NeuralBox) -> Iterator[object]:
    with nb.with_raw_response.text.stream(model="gpt-5", prompt="x") as raw:
        yield from raw.value


def _in_a_batch(nb: NeuralBox) -> Iterator[object]:
    with nb.batch((ImageRequest(model="flux-1.1-pro", prompt="x") for _ in range(500)), on_accepted=print) as run:
        yield run


def _in_an_iteration(_: NeuralBox) -> Iterator[object]:
    with iterate(forever([]), ahead=4) as items:
        yield from items


def _in_a_manager(_: NeuralBox) -> Iterator[object]:
    with manage(group_held()) as value:
        yield value


def _in_a_client(nb: NeuralBox) -> Iterator[object]:
    with nb:
        yield nb.generations.get(1)


def _drop_in_a_cycle(steps: Iterator[object]) -> None:
    next(steps)
    cycle: list[object] = [steps]
    cycle.append(cycle)


@pytest.mark.parametrize(
    "steps_of",
    [
        _in_a_stream,
        _in_an_unread_stream,
        _in_a_raw_stream,
        _in_a_batch,
        _in_an_iteration,
        _in_a_manager,
        _in_a_client,
    ],
)
def test_a_generator_that_is_collected_in_the_loops_thread_frees_what_it_holds_and_stops_nobody(
    dripping: Running, steps_of: Callable[[NeuralBox], Iterator[object]]
) -> None:
    async def collect() -> None:
        gc.collect()

    with NeuralBox(api_key="nb_x", base_url=dripping.url, trust_env=False) as nb:
        nb.generations.get(1)
        gc.disable()
        try:
            _drop_in_a_cycle(steps_of(nb))
            before = time.monotonic()
            call(collect)
            assert time.monotonic() - before < 2, "it waits for nothing"
        finally:
            gc.enable()
        assert eventually(nothing_runs)
        assert eventually(lambda: dripping.counts()["open_now"] <= 2), "one of ours, and the one that asks"


def test_a_generator_that_is_collected_in_a_thread_which_its_manager_needs_does_not_wait_for_it() -> None:
    dropped, collected = threading.Event(), threading.Event()

    def collect() -> None:
        dropped.wait(5)
        gc.collect()
        collected.set()

    @asynccontextmanager
    async def works_in_one_thread() -> AsyncIterator[None]:
        limiter = anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(to_thread.run_sync, collect, limiter=limiter))
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(int, limiter=limiter)

    def steps() -> Iterator[None]:
        with manage(works_in_one_thread()):
            yield

    gc.disable()
    try:
        _drop_in_a_cycle(steps())
        dropped.set()
        assert collected.wait(5)
    finally:
        gc.enable()
    assert eventually(nothing_runs)


def test_an_open_iteration_waits_for_nothing_in_the_loops_thread() -> None:
    async def says_one() -> AsyncIterator[int]:
        yield 1
        await anyio.sleep_forever()

    async def inside() -> int:
        return next(items)

    with iterate(says_one(), ahead=4) as items:
        assert next(items) == 1
        with pytest.raises(ConfigurationError, match="would wait for ever"):
            call(inside)


# At random.


@pytest.mark.uncovered
def test_random_sizes_and_random_breaks_over_four_threads_never_hang() -> None:
    made: list[int] = []

    async def source(dice: random.Random, size: int) -> AsyncIterator[int]:
        for number in range(size):
            if dice.random() < 0.2:
                await asyncio.sleep(0 if dice.random() < 0.95 else 0.0005)
            yield number

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(STRESS_TIMES):
            size, ahead = dice.randrange(600), dice.choice((1, 2, 3, 16, 256))
            stop = dice.randrange(600) if dice.random() < 0.5 else -1
            got = []
            items: Items[int] = iterate(source(random.Random(dice.random()), size), ahead=ahead)
            for item in items:
                got.append(item)
                if item == stop:
                    break
                if dice.random() < 0.002:
                    time.sleep(0.0005)
            if dice.random() < 0.5:
                items.close()
            assert got == list(range(size if stop < 0 else min(size, stop + 1)))
            made.append(1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(made) == 4 * STRESS_TIMES
    assert eventually(nothing_runs), thread.running
    assert threading.active_count() < 20
