"""One blocking call: what comes back, from where it may be made, what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from benchmarks.server import Running
from neuralbox import AsyncNeuralBox, ConfigurationError, Generation, JobRef
from neuralbox.sync import Job, NeuralBox
from neuralbox.sync import _call as call_module
from neuralbox.sync import _facade as facade_module
from neuralbox.sync._call import BlockingCall, call, callback, feed
from neuralbox.sync._loop import LoopThread, thread

from .conftest import eventually, nothing_runs


async def one() -> int:
    return 1


# What comes back.


def test_a_call_returns_what_the_coroutine_returns() -> None:
    async def add(a: int, *, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    assert call(add, 1, b=2) == 3


def test_a_failure_has_one_frame_of_the_runtime_and_then_the_callers_own() -> None:
    async def deep(n: int) -> None:
        if n == 0:
            raise ValueError("boom")
        await deep(n - 1)

    def user() -> None:
        call(deep, 2)

    with pytest.raises(ValueError, match="boom") as caught:
        user()
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[1:] == ["user", "call", "deep", "deep", "deep"]
    assert caught.value.__context__ is None


def test_a_failure_is_freed_without_the_collector() -> None:
    class Big:
        pass

    async def fail(_: Big) -> None:
        raise ValueError

    def bare() -> weakref.ref[Big]:
        big = Big()
        with suppress(ValueError):
            call(fail, big)
        return weakref.ref(big)

    gc.disable()
    try:
        kept = bare()
        assert eventually(lambda: kept() is None)
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [SystemExit(9), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_a_program_reaches_the_caller_and_not_the_loop(error: BaseException) -> None:
    async def raises() -> None:
        raise error

    with pytest.raises(type(error)):
        call(raises)
    assert call(one) == 1


def test_a_cancellation_from_within_is_an_exception_that_except_catches() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError("why")

    with pytest.raises(CancelledError, match="why"):
        call(cancelled)
    assert call(one) == 1


def test_a_name_that_cannot_be_resolved_at_exit_is_an_error_of_ours() -> None:
    async def resolve() -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    with pytest.raises(ConfigurationError, match="resolves no host names any more"):
        call(resolve)


def test_context_goes_in_and_does_not_leak_back() -> None:
    span: ContextVar[str] = ContextVar("span", default="none")

    async def see() -> str:
        seen = span.get()
        span.set("inner")
        return seen

    async def with_callback(heard: Callable[[], Awaitable[str]]) -> str:
        span.set("inside")
        return await heard()

    reset = span.set("outer")
    try:
        assert call(see) == "outer"
        assert span.get() == "outer"
        assert call(with_callback, callback(span.get)) == "outer", "callbacks see the caller's context"
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(call, see).result() == "none"
    finally:
        span.reset(reset)


# From where.


@pytest.mark.uncovered
def test_thirty_two_threads_share_one_loop_and_one_pool(nb: NeuralBox, server: Running) -> None:
    call(one)
    before = {one.name for one in threading.enumerate()}
    with ThreadPoolExecutor(32, thread_name_prefix="caller") as pool:
        found = list(pool.map(lambda number: nb.generations.get(number).id, range(1, 385)))
        more = {one.name for one in threading.enumerate()} - before
    assert "neuralbox-sync" in before
    assert [name for name in more if not name.startswith("caller")] == []
    assert found == list(range(1, 385))
    assert eventually(lambda: server.counts()["open_now"] <= 33)


def test_eight_threads_share_one_client_for_calls_streams_and_listings(nb: NeuralBox) -> None:
    def work(number: int) -> bool:
        right = nb.generations.get(number).id == number
        with nb.text.stream(model="gpt-5", prompt="x", max_tokens=40) as stream:
            right &= "".join(stream) == " boats" * 40 == stream.result.text
        return right & (next(iter(nb.history.list()), None) is None)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(1, 65)))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_program_of_either_loop_may_call_it_and_anyio_knows_whose_loop_it_is_in(backend: str) -> None:
    async def program() -> None:
        assert call(anyio.sleep, 0) is None  # anyio asks which library runs; the copied context says the caller's

    anyio.run(program, backend=backend)


def test_it_works_inside_a_running_loop(nb: NeuralBox) -> None:
    async def main() -> list[int | str]:
        with nb.text.stream(model="gpt-5", prompt="x", max_tokens=5) as stream:
            assert len(list(stream)) == 5
        return [nb.generations.get(4).id]

    assert asyncio.run(main()) == [4]


def test_a_call_on_the_loops_own_thread_says_so_within_a_second(nb: NeuralBox) -> None:
    async def inside() -> object:
        return nb.generations.get(1)

    before = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"would wait for ever. Use AsyncNeuralBox there"):
        call(inside)
    assert time.monotonic() - before < 1


def test_a_closed_client_says_so_and_closes_twice(server: Running) -> None:
    nb = NeuralBox(api_key="nb_x", base_url=server.url)
    assert nb.generations.get(1).id == 1
    nb.close()
    nb.close()
    with pytest.raises(ConfigurationError, match="The client is closed"):
        nb.generations.get(1)
    with nb:
        assert nb.generations.get(2).id == 2


# Ctrl-C.


@contextmanager
def interrupted(after: float) -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread after so many seconds, as Ctrl-C does."""

    def strike(*_: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def test_ctrl_c_cancels_the_call_and_the_server_sees_it(silent: Running) -> None:
    with NeuralBox(api_key="nb_x", base_url=silent.url, trust_env=False) as nb:
        before = time.monotonic()
        with interrupted(0.05), pytest.raises(KeyboardInterrupt):
            nb.generations.get(1)
        assert time.monotonic() - before < 0.5
        assert nothing_runs()
        assert eventually(lambda: silent.counts()["open_now"] == 1), "the one that asks"
        assert call(one) == 1


def test_ctrl_c_during_an_iteration_and_a_callback(dripping: Running) -> None:
    async def calls_back(function: Callable[[], Awaitable[None]]) -> None:
        await function()

    with NeuralBox(api_key="nb_x", base_url=dripping.url, trust_env=False) as nb:
        with nb.text.stream(model="gpt-5", prompt="x") as stream, interrupted(0.05), pytest.raises(KeyboardInterrupt):
            for _ in stream:
                pass
        assert eventually(lambda: dripping.counts()["open_now"] == 1)
        with interrupted(0.02), pytest.raises(KeyboardInterrupt):
            call(calls_back, callback(lambda: time.sleep(5)))
        assert nothing_runs()
        assert nb.generations.get(7).id == 7


def test_a_coroutine_that_does_not_stop_is_left_behind_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "GRACE", 0.01)
    release = threading.Event()

    async def stubborn() -> None:
        with anyio.CancelScope(shield=True):
            while not release.is_set():  # noqa: ASYNC110 - it is set by a thread
                await asyncio.sleep(0.002)

    with interrupted(0.03), pytest.warns(RuntimeWarning, match="does not stop"), pytest.raises(KeyboardInterrupt):
        call(stubborn)
    release.set()


def test_a_call_is_cancelled_before_it_starts_and_before_its_first_step() -> None:
    ran = []

    async def never() -> None:
        await asyncio.sleep(0)
        ran.append(1)

    call(one)
    early, late = BlockingCall(never), BlockingCall(never)

    async def in_order() -> None:
        early.cancel()
        early.cancel()
        early.start()
        late.start()
        late.cancel()

    early._home = late._home = thread.loop
    call(in_order)
    assert isinstance(early.next_message()[1], asyncio.CancelledError)
    assert isinstance(late.next_message()[1], asyncio.CancelledError)
    late.interrupt()
    assert not ran


# Callbacks.


def test_a_callback_runs_in_the_callers_thread_and_may_call_the_client(nb: NeuralBox) -> None:
    seen: list[object] = []

    def heard(number: int) -> str:
        seen.extend([threading.get_ident(), nb.generations.get(number).id])
        return "answer"

    async def calls_back(function: Callable[[int], Awaitable[str]]) -> str:
        return await function(3)

    assert call(calls_back, callback(heard)) == "answer"
    assert seen == [threading.get_ident(), 3]
    assert callback(None) is None


@pytest.mark.parametrize(
    ("raised", "expected"), [(ZeroDivisionError("mine"), "mine"), (StopIteration(1), "StopIteration")]
)
def test_what_a_callback_raises_reaches_the_caller_with_its_own_frame(raised: Exception, expected: str) -> None:
    def bad() -> None:
        raise raised

    async def calls_back(function: Callable[[], Awaitable[None]]) -> None:
        await function()

    with pytest.raises((ZeroDivisionError, RuntimeError), match=expected) as caught:
        call(calls_back, callback(bad))
    if isinstance(raised, ZeroDivisionError):
        assert "bad" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_a_callback_that_outlives_its_call_runs_in_a_worker_thread() -> None:
    heard: list[int] = []
    tasks = []

    async def leave_behind(function: Callable[[], Awaitable[None]]) -> None:
        async def later() -> None:
            await asyncio.sleep(0.005)
            await function()

        tasks.append(asyncio.create_task(later()))

    call(leave_behind, callback(lambda: heard.append(threading.get_ident())))
    assert eventually(lambda: bool(heard))
    assert heard[0] != threading.get_ident()


def test_the_answer_to_a_callback_nobody_waits_for_is_dropped() -> None:
    async def gives_up(function: Callable[[], Awaitable[None]]) -> bool:
        with anyio.move_on_after(0.005) as scope:
            await function()
        await asyncio.sleep(0.03)
        return scope.cancelled_caught

    assert call(gives_up, callback(lambda: time.sleep(0.02)))


def test_async_callbacks_are_refused_with_a_hint(nb: NeuralBox) -> None:
    async def asynchronous(_: object) -> None: ...

    class AsyncCallable:
        async def __call__(self) -> None: ...

    async def calls_back(function: Callable[[], Awaitable[None]]) -> None:
        await function()

    job: Any = nb.job(JobRef(1, "video"))
    for function in (asynchronous, AsyncCallable()):
        with pytest.raises(ConfigurationError, match="pass one without `async`"):
            job.wait(on_progress=function)
    with pytest.raises(ConfigurationError, match="pass one without `async`"):
        call(calls_back, callback(lambda: asynchronous(1)))


def test_a_plain_iterable_is_advanced_in_the_callers_thread() -> None:
    idents: set[int] = set()

    def pieces() -> Iterator[bytes]:
        for piece in (b"ab", b"cde"):
            idents.add(threading.get_ident())
            yield piece

    async def join(source: Any) -> bytes:
        return b"".join([piece async for piece in source])

    assert call(join, feed(pieces())) == b"abcde"
    assert idents == {threading.get_ident()}


# The thread itself.


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopThread]:
    """A loop thread of this test's own, in place of the process's."""
    monkeypatch.setattr("atexit.register", lambda _: None)
    monkeypatch.setattr("os.register_at_fork", lambda **_: None)
    made = LoopThread()
    monkeypatch.setattr(call_module, "thread", made)
    yield made
    made.shutdown()


def test_after_a_shutdown_the_next_call_starts_another_thread(own: LoopThread) -> None:
    assert not own.post(lambda: None)
    own.shutdown()
    for _ in range(3):
        assert call(one) == 1
        own.shutdown()
    assert own.loop is None


def test_a_shutdown_cancels_what_runs_and_closes_what_is_open(own: LoopThread) -> None:
    closed = []

    class Client:
        async def aclose(self) -> None:
            closed.append(1)

    client = Client()
    own.open.add(client)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, anyio.sleep, 60)
        assert eventually(lambda: bool(own.running))
        own.shutdown()
        with pytest.raises(CancelledError):
            waiting.result(5)
    assert closed == [1]


def test_a_call_that_meets_a_shutdown_says_so_or_is_cancelled(own: LoopThread) -> None:
    call(one)
    loop = own.loop
    assert loop is not None
    job = BlockingCall(one)
    own.shutdown()
    job._home = loop
    with pytest.raises(ConfigurationError, match="Begin anew"):
        job.next_message()
    job.interrupt()
    own.loop = loop  # closed, and nobody has noticed yet
    with pytest.raises(ConfigurationError, match="Begin anew"):
        job.submit()
    own.loop = None


def test_a_call_that_starts_during_a_shutdown_is_cancelled(own: LoopThread) -> None:
    call(one)
    job, loop = BlockingCall(anyio.sleep, 60), own.loop

    def closing() -> None:
        own.loop = None
        job.start()

    assert own.post(closing)
    assert isinstance(job.box.get(timeout=5)[1], asyncio.CancelledError)
    own.loop = loop


def test_when_the_interpreter_exits_the_error_says_so(
    own: LoopThread, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facade_module, "thread", own)
    nb = NeuralBox(api_key="nb_x", base_url=server.url)
    job = BlockingCall(anyio.sleep, 60)
    job.submit()
    own._at_exit()
    assert job.finished
    assert job.box.empty(), "only a daemon thread could be waiting, and it is left asleep"
    with pytest.raises(ConfigurationError, match="The interpreter is shutting down"):
        call(one)
    nb.close()


def test_a_thread_that_cannot_be_started_is_an_error_of_ours(own: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ConfigurationError, match="cannot start its background thread"):
            call(one)
    assert call(one) == 1


def test_uwsgi_without_threads_is_refused(own: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={}))
    with pytest.raises(ConfigurationError, match="--enable-threads"):
        call(one)
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={"enable-threads": True}))
    assert call(one) == 1


def test_a_signal_handler_that_starts_while_the_thread_starts_is_served(own: LoopThread) -> None:
    with own._starting:
        assert call(one) == 1
    own._start()  # came second: somebody else has started it
    assert call(one) == 1


def test_after_a_fork_the_old_world_is_kept_and_a_new_one_begins(own: LoopThread) -> None:
    class Client:
        async def aclose(self) -> None: ...

    call(one)
    client, old, stop = Client(), own.loop, own._stop
    own.open.add(client)
    own._after_fork()
    assert own.loop is None
    assert list(own.open) == [client]
    assert call(one) == 1
    assert own.loop is not old
    assert old is not None
    assert stop is not None
    old.call_soon_threadsafe(stop.set)


# Dropped.


def test_an_unclosed_client_warns_once_and_its_sockets_are_closed(server: Running) -> None:
    def use() -> None:
        nb = NeuralBox(api_key="nb_x", base_url=server.url, trust_env=False)
        copy = nb.with_options(max_retries=0)
        assert (nb.generations.get(1).id, copy.generations.get(2).id) == (1, 2)

    assert eventually(lambda: server.counts()["open_now"] == 1)
    threads = threading.active_count()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(20):
            use()
        gc.collect()
        assert eventually(lambda: server.counts()["open_now"] == 1)
    assert [str(one.message) for one in seen] == ["A NeuralBox was not closed; use `with`."] * 20
    assert threading.active_count() <= threads + 1


def test_what_a_client_handed_out_keeps_it_open(server: Running) -> None:
    with pytest.warns(ResourceWarning, match="was not closed"):
        assert NeuralBox(api_key="nb_x", base_url=server.url, trust_env=False).generations.get(1).id == 1
    with pytest.warns(ResourceWarning, match="was not closed"):
        _use_a_resource_of_a_copy(server.url)


def _use_a_resource_of_a_copy(url: str) -> None:
    generations = NeuralBox(api_key="nb_x", base_url=url, trust_env=False).with_options(max_retries=1).generations
    assert generations.get(1).id == 1


def test_a_copy_that_is_dropped_closes_nothing(nb: NeuralBox) -> None:
    copy = nb.with_options(max_retries=0)
    assert copy.generations.get(1).id == 1
    del copy
    assert nb.generations.get(1).id == 1


def test_views_are_equal_when_they_show_the_same(nb: NeuralBox) -> None:
    assert nb.generations == type(nb.generations).of(nb._async.generations)
    assert nb.generations != nb.history
    assert hash(nb.generations) == hash(type(nb.generations).of(nb._async.generations))
    assert NeuralBox.of(nb._async) == nb


def test_blocking_objects_are_shown_by_their_own_names(nb: NeuralBox) -> None:
    class Ours(NeuralBox):
        pass

    assert repr(nb) == repr(nb._async).replace("Async", "")
    assert repr(Ours.of(nb._async)).startswith("<Ours http://")
    assert repr(nb.images) == "<Images>"
    assert repr(nb.job(5)).startswith("<Job 5: ")
    assert repr(nb.history.list()) == "<Pager from page 1>"
    assert repr(nb.text.stream(model="gpt-5", prompt="x")) == "<TextStream gpt-5 closed>"
    assert repr(nb.with_raw_response.images) == "<RawImages>"


def test_the_view_of_a_client_made_elsewhere_warns_of_nothing(server: Running) -> None:
    view = NeuralBox.of(AsyncNeuralBox(api_key="nb_x", base_url=server.url, trust_env=False))
    assert view.generations.get(1).id == 1
    view.close()


def test_a_raw_response_holds_the_blocking_view(nb: NeuralBox) -> None:
    response = nb.with_raw_response.videos.submit(model="kling-v2.1", prompt="x")
    assert response.status_code == 200
    assert isinstance(response.value, Job)


@pytest.mark.parametrize("wrong", ["letters", b"bytes", {"a": 1}, 5, None])
def test_what_is_no_iterable_of_things_is_left_to_the_async_side_to_refuse(wrong: Any) -> None:
    assert feed(wrong) is wrong


@pytest.mark.parametrize("wrong", ["18500", b"18500", 18500, None, JobRef(18500), Generation.read({"id": 18500})])
def test_what_is_no_list_of_jobs_is_not_taken_apart(nb: NeuralBox, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Pass the ids as a list: \["):
        nb.generations.wait(wrong)


@pytest.mark.parametrize("wrong", ["print", [], 5])
def test_what_cannot_be_called_is_refused_before_anything_is_asked(nb: NeuralBox, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="`on_accepted` must be a function"):
        nb.videos.submit(model="kling-v2.1", prompt="x", on_accepted=wrong)
    with pytest.raises(ConfigurationError, match="`on_progress` must be a function"):
        nb.job(1).wait(on_progress=wrong)
