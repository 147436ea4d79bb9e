"""Group commit by itself: who leads, who waits, and what becomes of a group when somebody leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from neuralbox._journal.group_commit import CommitItem, GroupCommit, _CommitRun


class Named(CommitItem):
    def __init__(self, name: str, *, keep: bool = False, last: bool = False) -> None:
        super().__init__(keep=keep, last=last)
        self.name = name


class Disk:
    """A worker that writes names down, and that a test can hold up or break."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.unheard_of: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.began = threading.Event()
        self.broken: Exception | None = None
        self.thread: threading.Thread | None = None

    def work(self, group: Sequence[Any]) -> None:
        self.thread = threading.current_thread()
        self.began.set()
        assert self.free.wait(10)
        if self.broken is not None:
            raise self.broken
        self.groups.append([item.name for item in group])
        for item in group:
            if item.name.startswith("bad"):
                item.error = ValueError(item.name)

    def explain(self, item: Any, error: Exception) -> Exception:
        return RuntimeError(f"{item.name}: {error}")

    def unheard(self, item: Any, error: Exception) -> None:
        self.unheard_of.append(item.name)


class Callers:
    """Tasks that commit one item each, and how that ended for them."""

    def __init__(self, commits: GroupCommit) -> None:
        self.tasks = anyio.create_task_group()
        self.commits = commits
        self.ends: dict[str, str] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def __aenter__(self) -> Self:
        await self.tasks.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:  # noqa: PYI036 - as it comes
        await self.tasks.__aexit__(*error)

    def start(self, name: str, *, keep: bool = False) -> None:
        """Begin with the event loop's next turn."""
        self.tasks.start_soon(self._call, Named(name, keep=keep))

    async def call(self, name: str, *, keep: bool = False) -> None:
        """Begin, and return when it is as far as it gets."""
        self.start(name, keep=keep)
        await turns()

    async def _call(self, item: Named) -> None:
        with anyio.CancelScope() as self.scopes[item.name]:
            try:
                await self.commits.commit(item)
            except RuntimeError as error:
                self.ends[item.name] = str(error)
            else:
                self.ends[item.name] = "done"
        self.ends.setdefault(item.name, "cancelled")


async def turns() -> None:
    for _ in range(8):
        await checkpoint()


async def until(ready: Callable[[], object]) -> None:
    """Wait for a thread: real time, a few milliseconds of it."""
    with anyio.fail_after(10):
        while not ready():  # noqa: ASYNC110 - a thread cannot set an event of the loop
            await anyio.sleep(0.001)


@pytest.mark.anyio
async def test_who_comes_together_goes_together_and_in_order() -> None:
    disk = Disk()
    commits = GroupCommit(disk)
    commits.hold(Named("held"))
    async with Callers(commits) as callers:
        for name in "abc":
            callers.start(name)
    (group,) = disk.groups
    assert group[0] == "held"
    assert sorted(group[1:]) == ["a", "b", "c"]
    assert commits.queue == []
    assert commits.held == 0


@pytest.mark.anyio
async def test_what_comes_meanwhile_is_the_next_group_led_by_one_of_its_own() -> None:
    disk = Disk()
    commits = GroupCommit(disk)
    disk.free.clear()
    async with Callers(commits) as callers:
        await callers.call("first")
        await until(disk.began.is_set)
        await callers.call("second")
        await callers.call("third")
        assert callers.ends == {}
        disk.free.set()
    assert disk.groups == [["first"], ["second", "third"]]
    assert set(callers.ends.values()) == {"done"}


@pytest.mark.anyio
async def test_a_leader_cancelled_before_the_thread_takes_its_own_item_back_and_hands_on() -> None:
    seen: list[tuple[list[list[str]], dict[str, str]]] = []
    for _ in range(64):  # trio shuffles tasks: meeting the leader between its two steps is a matter of luck there
        disk = Disk()
        commits = GroupCommit(disk)
        async with Callers(commits) as callers:
            callers.start("leader")
            await checkpoint()  # it has queued its item, and yields once before it goes
            if [item.waiter and item.waiter.leads for item in commits.queue] == [True]:
                seen.append((disk.groups, callers.ends))
                commits.hold(Named("held"))
                callers.start("other")
                callers.scopes["leader"].cancel()
        if seen:
            break
    assert seen == [([["held", "other"]], {"leader": "cancelled", "other": "done"})]


@pytest.mark.anyio
async def test_a_cancelled_scope_does_not_interrupt_the_group_it_leads() -> None:
    disk = Disk()
    commits = GroupCommit(disk)
    disk.free.clear()
    async with Callers(commits) as callers:
        await callers.call("leader")
        await until(disk.began.is_set)
        await callers.call("other")
        callers.scopes["leader"].cancel()
        await turns()
        assert callers.ends == {}
        disk.free.set()
    assert disk.groups == [["leader"], ["other"]]
    assert callers.ends["other"] == "done"


@pytest.mark.anyio
async def test_a_cancelled_waiter_takes_its_item_back_unless_it_is_to_be_kept() -> None:
    disk = Disk()
    commits = GroupCommit(disk)
    disk.free.clear()
    async with Callers(commits) as callers:
        await callers.call("leader")
        await until(disk.began.is_set)
        await callers.call("gone")
        await callers.call("kept", keep=True)
        await callers.call("bad", keep=True)
        await callers.call("other")
        for name in ("gone", "kept", "bad"):
            callers.scopes[name].cancel()
        await turns()
        assert callers.ends == dict.fromkeys(("gone", "kept", "bad"), "cancelled")
        disk.free.set()
    assert disk.groups == [["leader"], ["kept", "bad", "other"]]
    assert disk.unheard_of == ["bad"]


@pytest.mark.anyio
async def test_a_chosen_successor_that_is_cancelled_hands_on_again() -> None:
    disk = Disk()
    commits = GroupCommit(disk)
    async with Callers(commits) as callers:
        commits._busy = True  # as while a group is under way
        for name in ("second", "third"):
            await callers.call(name)
        commits._pass_on()
        assert commits.queue[0].waiter is not None
        assert commits.queue[0].waiter.leads
        callers.scopes["second"].cancel()
    # Woken and cancelled at once: an event loop may show it either first.
    assert callers.ends["third"] == "done"
    assert "third" in disk.groups[0]


@pytest.mark.anyio
async def test_a_group_that_fails_is_told_to_all_and_keeps_what_is_to_be_kept() -> None:
    disk = Disk()
    commits = GroupCommit(disk)
    disk.broken = OSError("full")
    disk.free.clear()
    commits.hold(Named("held", keep=True))
    async with Callers(commits) as callers:
        await callers.call("leader")
        await callers.call("kept", keep=True)
        await callers.call("gone")
        disk.free.set()
    assert callers.ends["leader"] == "leader: full"
    assert callers.ends["kept"] == "kept: full"
    disk.broken = None
    await commits.commit(Named("later"))
    (group,) = disk.groups
    assert set(group) == {"held", "kept", "later"}
    assert group[0] == "held"


@pytest.mark.anyio
async def test_an_item_that_fails_by_itself_is_told_to_its_caller_only() -> None:
    disk = Disk()
    commits = GroupCommit(disk)
    async with Callers(commits) as callers:
        for name in ("good", "bad"):
            callers.start(name)
    assert callers.ends == {"good": "done", "bad": "bad: bad"}


@pytest.mark.anyio
async def test_where_no_thread_can_be_started_the_caller_learns_it_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = Disk()
    commits = GroupCommit(disk)

    async def no_thread(*args: object, **options: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(to_thread, "run_sync", no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            await commits.commit(Named("kept", keep=True))
        with pytest.raises(RuntimeError, match="new thread"):
            await commits.commit(Named("gone"))
    await commits.commit(Named("later"))
    assert disk.groups == [["kept", "later"]]


# A task of asyncio that is cancelled itself, not by a scope: no shield holds it.


def in_asyncio(scenario: Callable[[Disk, GroupCommit], Any]) -> Disk:
    disk = Disk()

    async def main() -> None:
        await scenario(disk, GroupCommit(disk))

    asyncio.run(main())
    return disk


def test_a_cancelled_task_leaves_its_group_to_the_thread_which_hands_on() -> None:
    async def scenario(disk: Disk, commits: GroupCommit) -> None:
        disk.free.clear()
        leader = asyncio.create_task(commits.commit(Named("leader")))
        await until(disk.began.is_set)
        other = asyncio.create_task(commits.commit(Named("other")))
        await turns()
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        assert not other.done()
        await turns()
        assert disk.groups == []  # one group at a time, whoever leads
        disk.free.set()
        await other

    assert in_asyncio(scenario).groups == [["leader"], ["other"]]


def test_a_task_cancelled_when_its_group_has_just_ended_publishes_it() -> None:
    async def scenario(disk: Disk, commits: GroupCommit) -> None:
        disk.free.clear()
        leader = asyncio.create_task(commits.commit(Named("leader")))
        await until(disk.began.is_set)
        other = asyncio.create_task(commits.commit(Named("other")))
        await turns()
        disk.free.set()
        while not disk.groups:  # without letting the loop hear of it
            pass
        threading.Event().wait(0.02)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        await other

    assert in_asyncio(scenario).groups == [["leader"], ["other"]]


def test_a_task_cancelled_before_the_thread_began_calls_the_group_off() -> None:
    async def scenario(disk: Disk, commits: GroupCommit) -> None:
        limiter = commits._limiter
        await limiter.acquire_on_behalf_of("somebody")
        leader = asyncio.create_task(commits.commit(Named("leader", keep=True)))
        other = asyncio.create_task(commits.commit(Named("other")))
        await turns()
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        limiter.release_on_behalf_of("somebody")
        await other

    assert in_asyncio(scenario).groups == [["leader", "other"]]


def test_what_was_called_off_does_nothing_if_a_thread_comes_to_it_after_all() -> None:
    disk = Disk()
    run = _CommitRun(disk, [Named("one")])
    assert run.revoke()
    run.work()
    assert disk.groups == []


def test_the_end_comes_even_if_nobody_waits_for_it() -> None:
    async def scenario(disk: Disk, commits: GroupCommit) -> None:
        disk.free.clear()
        leader = asyncio.create_task(commits.commit(Named("leader")))
        await until(disk.began.is_set)
        end = asyncio.create_task(commits.commit(Named("end", keep=True, last=True)))
        await turns()
        for task in (end, leader):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        disk.free.set()
        await until(lambda: len(disk.groups) == 2)

    assert in_asyncio(scenario).groups == [["leader"], ["end"]]


def test_an_end_that_takes_long_does_not_stop_the_event_loop() -> None:
    """A database that is away is waited for, and others of this loop have something to do meanwhile."""

    async def scenario(disk: Disk, commits: GroupCommit) -> None:
        limiter = commits._limiter
        await limiter.acquire_on_behalf_of("somebody")
        disk.free.clear()
        end = asyncio.create_task(commits.commit(Named("end", keep=True, last=True)))
        await turns()
        end.cancel()
        with pytest.raises(asyncio.CancelledError):
            await end
        await until(disk.began.is_set)
        assert disk.groups == []
        disk.free.set()
        await until(lambda: not commits._busy)

    assert in_asyncio(scenario).groups == [["end"]]


def test_an_end_that_fails_is_not_tried_for_ever() -> None:
    async def scenario(disk: Disk, commits: GroupCommit) -> None:
        disk.broken = OSError("full")
        with pytest.raises(RuntimeError, match="end: full"):
            await commits.commit(Named("end", keep=True, last=True))
        assert commits.queue == []

    in_asyncio(scenario)


def test_a_group_that_outlives_its_loop_ends_in_silence() -> None:
    disk = Disk()
    disk.free.clear()

    async def main() -> None:
        leader = asyncio.create_task(GroupCommit(disk).commit(Named("leader")))
        await until(disk.began.is_set)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader

    asyncio.run(main())
    disk.free.set()
    assert disk.thread is not None
    disk.thread.join(10)  # it ends with what it was doing, since its loop has ended
    assert disk.groups == [["leader"]]
