"""The contract of a journal, over a store in memory, SQLite and PostgreSQL; and what only SQLite has."""

# ruff: noqa: ASYNC240 - they look at the files between the steps

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._errors import ConfigurationError, JournalError
from neuralbox._journal import (
    HintReader,
    Journal,
    JournalHint,
    JournalRecord,
    JournalSummary,
    PlannedRequest,
    leave_hint,
)
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._journal.shared import shared_of
from neuralbox._types import JobRef

from ..postgres import PostgresServer
from .files import KEY, Clock, a_journal, ask, entries, everything, groups_of, refused, states, store_of
from .memory import MemoryStore

pytestmark = pytest.mark.anyio

DONE = {"status": "completed", "tokens": 5, "url": "https://cdn.example/a.png?signature=abc"}
FAILED = {"status": "failed", "tokens": 0, "error": "no"}
CLAIM = {"key": "k", "prompt": "a cat called one", "sent_at": 7.5, "options": {"seed": 4}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Opener:
    """Opens one journal, again and again."""

    def __init__(self, store: str, place: Path | str, clock: Clock) -> None:
        self._memory = MemoryStore() if store == "memory" else None
        self._place = place
        self._clock = clock

    async def __call__(self) -> GroupedJournal:
        if self._memory is None:
            return await a_journal(self._place, self._clock)
        return GroupedJournal(self._memory.reopened(), now=self._clock.now, clock=self._clock.clock)

    def leave_hint(self, id: int | str, event: str) -> bool:
        """As another process does."""
        return leave_hint(self._place, id, event) if self._memory is None else self._memory.leave_hint(str(id), event)

    def read_hints(self) -> list[JournalHint]:
        """As a reader does."""
        return HintReader(self._place).read() if self._memory is None else self._memory.hints(0)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Opener:
    if request.param == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        postgres.empty()  # its numbers begin at 1, as those of a file
        return Opener(request.param, postgres.url(), clock)
    return Opener(request.param, tmp_path / "jobs.sqlite", clock)


@pytest.fixture
async def journal(open_again: Opener) -> AsyncIterator[GroupedJournal]:
    async with await open_again() as opened:
        yield opened


@pytest.fixture
async def file(tmp_path: Path, clock: Clock) -> AsyncIterator[GroupedJournal]:
    async with await a_journal(tmp_path / "jobs.sqlite", clock) as opened:
        yield opened


# Every store...


async def test_it_keeps_the_protocol(journal: GroupedJournal) -> None:
    kept: Journal = journal
    assert kept is journal


async def test_a_price_stands_until_the_request_is_planned_again(journal: GroupedJournal) -> None:
    is_told = shared_of(journal) is None  # else the run's budget is kept in the database

    async def require(*prices: int | None) -> None:
        await journal.flush()
        told = prices if is_told else [None] * len(prices)
        assert [record.price async for record in journal.unfinished()] == [*told]

    await journal.plan(entries("one", "two", "three"))
    await journal.sending("one", CLAIM, price=4)
    await journal.sending("two", CLAIM)
    await journal.sending("three", CLAIM, price=4)
    await require(4, None, 4)
    await journal.accepted("one", id=1)
    await journal.accepted("two", id=2, price=-3)
    await journal.planned_again("three")
    await require(4, 0, None)
    await journal.accepted("three", id=3, price=2**70)
    await require(4, 0, None)


async def test_a_request_goes_through_all_states(journal: GroupedJournal, clock: Clock) -> None:
    assert [(one.position, one.key, one.state) for one in await journal.plan(entries("one", "two"))] == [
        (1, "one", "planned"),
        (2, "two", "planned"),
    ]
    await journal.sending("one", CLAIM)
    (sent, planned) = [record async for record in journal.unfinished()]
    assert (sent.state, sent.claim, sent.job, planned.claim) == ("sending", CLAIM, None, None)
    assert [one async for one in journal.sent()] == [sent]

    clock.unix += 3
    await journal.accepted("one", id=77, kind="image", model="flux")
    assert [record.job async for record in journal.unfinished()] == [JobRef(77, "image", "flux"), None]
    assert [one async for one in journal.unfinished(after=1)] == [planned]
    assert [record.job async for record in journal.sent()] == [JobRef(77, "image", "flux")]
    assert await journal.ids(since=clock.unix) == [77]
    assert await journal.ids(since=clock.unix + 1) == []

    await journal.final("one", DONE)
    await journal.saved("one", "out/one.png", 1_234)
    await journal.flush()
    assert [record.key async for record in journal.unfinished()] == ["two"]
    found = await journal.summary()
    assert (found.planned, found.saved, found.total, found.unfinished) == (1, 1, 2, 1)
    assert (found.completed, found.failed, found.tokens) == (1, 0, 5)
    assert (found.first_at, found.last_at) == (clock.unix - 3, clock.unix)


async def test_hints_of_others_are_about_what_was_accepted_and_count_once(
    journal: GroupedJournal, open_again: Opener
) -> None:
    await journal.plan(entries("one", "two", "three"))
    await journal.accepted("one", id=77)
    await journal.accepted("two", id="v_1")
    before = await everything(journal)
    assert await journal.hints() == []
    assert not open_again.leave_hint(78, "a")  # nobody's
    assert open_again.leave_hint(77, "a")
    assert not open_again.leave_hint(77, "a")
    assert not open_again.leave_hint("v_1", "a")  # an event names one generation
    assert open_again.leave_hint("v_1", "b")
    found = await journal.hints()
    assert [(hint.id, hint.event) for hint in found] == [("77", "a"), ("v_1", "b")]
    assert open_again.read_hints() == found
    assert {hint.event for hint in await journal.hints(after=found[0].number)} >= {"b"}
    await journal.final("one", DONE)
    await journal.flush()
    assert not open_again.leave_hint(77, "c")  # it has ended
    assert (await everything(journal))["two"] == before["two"]


async def test_what_was_refused_or_failed_may_be_sent_again(journal: GroupedJournal) -> None:
    await journal.plan(entries("one", "two"))
    await journal.sending("one", CLAIM)
    await journal.planned_again("one")
    assert await states(journal.unfinished()) == {"one": "planned", "two": "planned"}
    await journal.sending("one", CLAIM)
    await journal.sending("one", {**CLAIM, "sent_at": 9.0})
    found = {record.key: record.claim async for record in journal.unfinished()}
    assert found == {"one": {**CLAIM, "sent_at": 9.0}, "two": None}
    await journal.final("two", {"status": "invalid"})
    assert (await journal.summary()).failed == 1


async def test_what_failures_were_charged_stays_counted_when_they_are_tried_again(
    journal: GroupedJournal, open_again: Opener
) -> None:
    await journal.plan(entries("one", "two"))
    for number, tokens in enumerate((12, None, 7)):
        await journal.sending("one", CLAIM)
        await journal.accepted("one", id=number)
        await journal.final("one", {**FAILED, "tokens": tokens})
        await journal.planned_again("one")
    await journal.accepted("two", id=9)
    await journal.final("two", DONE)
    assert (await journal.summary()).tokens == 12 + 7 + 5
    await journal.aclose()
    async with await open_again() as again:
        assert (await again.summary()).tokens == 24


async def test_a_change_that_does_not_follow_is_refused(journal: GroupedJournal) -> None:
    await journal.plan(entries("one", "two", "three"))
    with refused("state", "'nobody' was never planned") as caught:
        await journal.sending("nobody", CLAIM)
    assert caught.value.key == "nobody"

    await journal.accepted("one", id=1)
    with refused("state", "'accepted' as 1 already, so it cannot be 'sending'"):
        await journal.sending("one", CLAIM)
    await journal.accepted("one", id=1)
    with refused("state", "The job 2 is paid for and not in the journal: keep its id") as caught:
        await journal.accepted("one", id=2)
    assert caught.value.job == JobRef(2)

    await journal.sending("two", CLAIM)
    with refused("state", "what became of it is unknown"):  # at once or when it would have been written
        await journal.final("two", DONE)
        await journal.flush()
    for key in ("one", "two", "three"):
        with refused("state"):
            await journal.saved(key, "x", 1)
            await journal.flush()
    await journal.flush()
    assert await states(journal.unfinished()) == {"one": "accepted", "two": "sending", "three": "planned"}


async def test_a_key_given_twice_is_refused(journal: GroupedJournal) -> None:
    await journal.plan(entries("one"))
    for twice in (entries("one"), entries("two", "two")):
        with refused("duplicate", "given to two requests"):
            await journal.plan(twice)
    assert await states(journal.unfinished()) == {"one": "planned"}


@pytest.mark.parametrize("key", ["", "nul\0", "half \ud800", 7, None])
async def test_a_key_that_could_not_be_given_back_is_refused(journal: GroupedJournal, key: Any) -> None:
    with pytest.raises(ConfigurationError, match="key"):
        await journal.plan([PlannedRequest(key, {})])


@pytest.mark.parametrize("request_", [{"a": object()}, {"a": math.nan}, {1: 2, "a": 3}])
async def test_a_request_that_json_cannot_say_is_refused(journal: GroupedJournal, request_: Any) -> None:
    with pytest.raises(ConfigurationError, match="'one' cannot be written down as JSON"):
        await journal.plan([*entries("zero"), PlannedRequest("one", request_)])
    assert await states(journal.unfinished()) == {}


async def test_a_request_of_absurd_length_is_refused(journal: GroupedJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._journal.protocol._LONGEST", 10)
    with pytest.raises(ConfigurationError, match="too long"):
        await journal.plan(entries("one"))


async def test_time_on_record_never_runs_backwards(journal: GroupedJournal, clock: Clock) -> None:
    await journal.plan(entries("one"))
    started, clock.unix = clock.unix, clock.unix - 86_400
    await journal.accepted("one", id=1)
    assert await journal.ids(since=started) == [1]
    found = await journal.summary()
    assert (found.first_at, found.last_at) == (started, started)


async def test_closing_twice_is_nothing_and_use_after_it_is_refused(journal: GroupedJournal) -> None:
    await journal.plan(entries("one"))
    await journal.aclose()
    await journal.aclose()
    with refused("closed"):
        await journal.plan(entries("two"))
    with refused("closed"):
        await journal.final("one", DONE)
    with refused("closed"):
        [one async for one in journal.unfinished()]
    with refused("closed"):
        [one async for one in journal.finished()]
    with refused("closed") as caught:
        await journal.accepted("one", id=5, kind="video")
    assert caught.value.job == JobRef(5, "video")
    assert caught.value.unwritten == {"one": JobRef(5, "video")}


def test_records_hide_what_may_be_secret() -> None:
    record = JournalRecord(1, "one", {"prompt": "secret"}, "final", 5, outcome=DONE)
    assert repr(record) == "<JournalRecord 'one' final 5>"
    assert record.is_finished
    assert repr(JournalRecord(1, "two", {})) == "<JournalRecord 'two' planned>"


def test_an_empty_summary_is_all_zero() -> None:
    assert (JournalSummary().total, JournalSummary().failed) == (0, 0)


async def test_an_opening_finds_what_the_last_one_left(open_again: Opener) -> None:
    async with await open_again() as journal:
        await journal.plan(entries("planned", "sent", "taken", "ended", "kept"))
        await journal.sending("sent", CLAIM)
        await journal.accepted("taken", id="gen_1", kind="video", model="veo")
        for key, number in (("ended", 3), ("kept", 4)):
            await journal.accepted(key, id=number)
            await journal.final(key, DONE)
        await journal.saved("kept", "out/kept.png", 9)

    async with await open_again() as journal:
        found = await journal.plan([*entries("kept", "new", "sent"), *entries("taken")])
        assert [(one.key, one.state, one.position) for one in found] == [
            ("kept", "saved", 5),
            ("new", "planned", 6),
            ("sent", "sending", 2),
            ("taken", "accepted", 3),
        ]
        assert (found[0].path, found[0].size_bytes, found[0].outcome, found[0].tokens) == ("out/kept.png", 9, DONE, 5)
        told = found[2].claim or {}  # a journal that many share says as well when it was taken over
        assert {name: told.get(name) for name in CLAIM} == CLAIM
        assert found[3].job == JobRef("gen_1", "video", "veo")
        assert await states(journal.finished(after=4)) == {"kept": "saved"}
        assert list(await everything(journal)) == ["planned", "sent", "taken", "new", "ended", "kept"]
        with refused("duplicate"):
            await journal.plan(entries("fresh", "kept"))
        assert "fresh" not in await everything(journal)


async def test_a_failed_one_may_be_planned_again_and_a_completed_one_never(journal: GroupedJournal) -> None:
    await journal.plan(entries("one", "two"))
    for key, number, outcome in (("one", 1, FAILED), ("two", 2, DONE)):
        await journal.accepted(key, id=number, kind="image")
        await journal.final(key, outcome)
    await journal.planned_again("one")
    await journal.flush()
    (record,) = [one async for one in journal.unfinished()]
    assert (record.state, record.id, record.outcome, record.status) == ("planned", None, None, None)
    await journal.planned_again("two")
    with refused("state", "'final' as 2 already, so it cannot be 'planned'"):
        await journal.flush()
    await journal.accepted("one", id=3)
    await journal.final("one", DONE)
    assert [one.outcome async for one in journal.finished()] == [DONE, DONE]
    await journal.accepted("one", id=3)
    assert (await journal.summary()).final == 2


async def test_what_is_planned_again_knows_nothing_of_what_it_was(journal: GroupedJournal) -> None:
    before = await journal.plan(entries("one", "two"))
    await journal.sending("one", CLAIM)
    await journal.planned_again("one")
    await journal.accepted("two", id=2, kind="image", model="flux")
    await journal.final("two", {"status": None})  # whatever a service says: it is no result
    await journal.planned_again("two")
    await journal.flush()
    assert [record async for record in journal.unfinished()] == list(before)


async def test_an_id_that_comes_twice_leaves_what_was_known(journal: GroupedJournal, clock: Clock) -> None:
    await journal.plan(entries("one"))
    await journal.sending("one", CLAIM)
    sent = clock.unix
    clock.unix += 3
    await journal.accepted("one", id=1, kind="image", model="flux")
    clock.unix += 3
    await journal.accepted("one", id=1)
    (record,) = [one async for one in journal.unfinished()]
    assert record.job == JobRef(1, "image", "flux")
    assert (record.sent_at, record.accepted_at) == (sent, sent + 3)


async def test_an_end_that_does_not_follow_changes_no_outcome(journal: GroupedJournal, clock: Clock) -> None:
    await journal.plan(entries("one"))
    await journal.accepted("one", id=1)
    await journal.final("one", DONE)
    await journal.saved("one", "out/one.png", 1_234)
    clock.unix += 3  # at the same moment it would be the same change, written once more
    with refused("state"):
        await journal.final("one", FAILED)
        await journal.flush()
    (record,) = [one async for one in journal.finished()]
    assert (record.state, record.outcome, record.tokens) == ("saved", DONE, 5)


async def test_one_refused_change_disturbs_nobody_else(journal: GroupedJournal) -> None:
    await journal.plan(entries("one", "two", "three"))
    sizes = groups_of(journal)
    told: list[str] = []

    async def mark(key: str, number: int) -> None:
        try:
            await journal.accepted(key, id=number)
        except JournalError as error:
            told.append(str(error))

    async with anyio.create_task_group() as tasks:
        for key, number in (("one", 1), ("nobody", 2), ("two", 3), ("three", 2**70)):
            tasks.start_soon(mark, key, number)
    assert sizes == [4]
    assert len(told) == 1
    assert "'nobody' was never planned" in told[0]
    assert [one.id async for one in journal.unfinished()] == [1, 3, str(2**70)]


async def test_refusals_that_nobody_waited_for_are_told_once(open_again: Opener) -> None:
    journal = await open_again()
    for key in ("nobody", "noone"):
        await journal.final(key, DONE)
    with refused("state", "'nobody' was never planned"):
        await journal.flush()
    await journal.flush()
    await journal.saved("nobody", "x", 1)
    with refused("state", "'nobody' was never planned"):
        await journal.aclose()


async def test_a_value_that_sqlite_cannot_hold_fails_alone(file: GroupedJournal) -> None:
    await file.plan(entries("one"))
    await file.accepted("one", id=1)
    await file.final("one", DONE)
    await file.saved("one", "x", 2**70)
    with refused("unwritable", "too large"):
        await file.flush()
    assert await states(file.finished()) == {"one": "final"}


async def test_many_plans_at_once_are_one_group(journal: GroupedJournal) -> None:
    sizes = groups_of(journal)
    found: dict[str, Any] = {}

    async def plan(*keys: str) -> None:
        try:
            found[keys[0]] = [one.position for one in await journal.plan(entries(*keys))]
        except JournalError as error:
            found[keys[0]] = str(error)

    async with anyio.create_task_group() as tasks:
        for keys in (("a", "b"), ("c", "a"), ("d",)):
            tasks.start_soon(plan, *keys)
    assert sizes == [3]
    # Who came first is up to the event loop; nothing of the refused plan is there.
    planned = {key for keys in (("a", "b"), ("c", "a"), ("d",)) if isinstance(found[keys[0]], list) for key in keys}
    assert {*await everything(journal)} == planned
    assert sum(isinstance(one, str) for one in found.values()) == 1
    assert isinstance(found["d"], list)


async def test_a_changed_request_is_refused_with_its_differences(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    first = {"model": "flux", "prompt": "a secret cat", "options": {"seed": 1, "size": "1:1"}}
    async with await a_journal(path) as journal:
        await journal.plan([PlannedRequest("one", first), PlannedRequest("two", {"file": "a.png"}, "hash of a.png")])
    async with await a_journal(path) as journal:
        with refused("changed", "'one' as another one: it differs in options.seed, prompt") as caught:
            await journal.plan(
                [
                    *entries("new"),
                    PlannedRequest("one", {**first, "prompt": "a dog", "options": {"seed": 2, "size": "1:1"}}),
                ]
            )
        assert "secret" not in str(caught.value)
        assert "dog" not in str(caught.value)
        assert (caught.value.key, caught.value.path) == ("one", str(path))
        with refused("changed", "what it refers to has changed"):
            await journal.plan([PlannedRequest("two", {"file": "a.png"}, "another hash")])
        # The same request in another order is the same, and what was refused may be given right.
        same = {"options": {"size": "1:1", "seed": 1}, "prompt": "a secret cat", "model": "flux"}
        assert [one.state for one in await journal.plan([PlannedRequest("one", same), *entries("new")])] == [
            "planned"
        ] * 2


async def test_changes_that_wait_for_nobody_are_written_with_the_next_group(file: GroupedJournal, clock: Clock) -> None:
    path = Path(file.path)
    await file.plan(entries("one", "two", "three"))
    for number, key in enumerate(("one", "two", "three")):
        await file.accepted(key, id=number)
    sizes = groups_of(file)
    await file.final("one", DONE)
    assert sizes == []
    assert ask(path, "SELECT count(*) FROM records WHERE state = 'final'") == [(0,)]
    clock.seconds += 2
    await file.saved("one", "x", 1)  # what was held back has grown old
    assert sizes == [2]
    assert ask(path, "SELECT state FROM records WHERE key = 'one'") == [("saved",)]
    await file.final("two", DONE)
    await file.accepted("three", id=2)
    assert sizes == [2, 2]
    assert (await file.summary()).final == 1


async def test_no_more_than_a_few_changes_are_held_back(journal: GroupedJournal) -> None:
    keys = [str(number) for number in range(300)]
    await journal.plan(entries(*keys))
    sizes = groups_of(journal)
    for key in keys:
        await journal.final(key, FAILED)
    assert sizes == [257]


async def test_prompts_are_in_one_column_and_the_key_is_nowhere(file: GroupedJournal) -> None:
    path = Path(file.path)
    prompt = 'a "quoted" cät\n🐈 \ud800'
    talk = {"messages": [{"role": "user", "content": prompt}]}
    await file.plan(
        [PlannedRequest("one", {"prompt": prompt}), PlannedRequest("two", talk), PlannedRequest("three", {})]
    )
    for key in ("one", "two", "three"):
        await file.sending(key, {"prompt": prompt, "sent_at": 1.0})
    assert [one.claim async for one in file.unfinished()] == [{"prompt": prompt, "sent_at": 1.0}] * 3
    await file.plan([PlannedRequest("four", {"prompt": ""}), PlannedRequest("five", {"prompt": "x"})])
    await file.sending("four", {"prompt": None})
    await file.sending("five", {"prompt": "x"})
    assert [one.claim async for one in file.unfinished(after=3)] == [{"prompt": None}, {"prompt": "x"}]
    for column, count in (("claim LIKE '%quoted%'", 1), ("prompt_at > 0", 3)):  # 'three' has it nowhere else
        assert ask(path, f"SELECT count(*) FROM records WHERE {column}") == [(count,)]
    await file.accepted("three", id=3)
    assert ask(path, "SELECT count(*) FROM records WHERE claim LIKE '%quoted%'") == [(0,)]
    await file.aclose()
    assert KEY.encode() not in path.read_bytes()


async def test_odd_texts_are_kept(file: GroupedJournal) -> None:
    await file.plan(entries("kéy ☃ 🐈", "two"))
    await file.accepted("kéy ☃ 🐈", id="gen_\ud800", kind="im\ud800age", model=None)
    await file.final(
        "kéy ☃ 🐈", {"status": "completed", "tokens": 2**80, "ratio": math.inf, "raw": {"when": Path("x")}}
    )
    await file.saved("kéy ☃ 🐈", "out/caf\udce9.png", 3)
    await file.final("two", {"status": 7, "tokens": True})
    first, second = [one async for one in file.finished()]
    assert (first.id, first.kind, first.tokens) == ("gen_?", "im?age", None)
    assert first.outcome == {"status": "completed", "tokens": 2**80, "ratio": math.inf, "raw": {"when": "x"}}
    assert first.path == "out/caf\udce9.png"
    assert (second.status, second.tokens) == (None, None)


async def test_pages_are_bounded_in_number_and_in_size(file: GroupedJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"{number:03}" for number in range(250)]
    await file.plan(entries(*keys))
    sizes = groups_of(file)
    assert [one.key async for one in file.unfinished()] == keys
    assert len(sizes) == 3
    monkeypatch.setattr("neuralbox._journal.sqlite.rows._PAGE_CHARACTERS", 1)
    sizes.clear()
    assert [one.key async for one in file.unfinished(after=245)] == keys[245:]
    assert len(sizes) == 6


async def test_a_page_is_as_it_is_when_it_is_read(journal: GroupedJournal) -> None:
    await journal.plan(entries(*map(str, range(250))))
    seen = []
    async for record in journal.unfinished():
        seen.append(record.key)
        if record.key == "0":
            await journal.final("240", FAILED)
    assert "240" not in seen
    assert len(seen) == 249


async def test_full_sync_is_asked_of_sqlite(tmp_path: Path) -> None:
    for sync, level in (("normal", 1), ("full", 2)):
        async with await a_journal(tmp_path / sync, sync=sync) as journal:  # type: ignore[arg-type]  # a loop of words
            connection = store_of(journal)._connection
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA fullfsync").fetchone() == (level - 1,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
