"""One run from its entry to its exit: every key once, bounded, in the order of the ends, and nothing left behind."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._batch.item import BatchItem
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.progress import BatchProgress
from neuralbox._batch.resource import Batches
from neuralbox._config import Polling
from neuralbox._errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    DownloadError,
    GenerationFailedError,
    GenerationTimeoutError,
    InsufficientTokensError,
)
from neuralbox._polling.account_pollers import poller_of
from neuralbox._requests.requests import GenerateRequest, ImageRequest, TextRequest, TranscriptionRequest, VideoRequest
from neuralbox._types import JobRef

from ..helpers import refusal
from .support import a_service, batches, core_of, images, outcomes_of, run_through, videos

pytestmark = pytest.mark.anyio


# Outcomes.


async def test_a_batch_that_has_nothing_yet_polls_for_another_of_its_account() -> None:
    """It waits as whoever else does, so it may be the one that asks for all."""
    world, is_over = a_service(), anyio.Event()
    core = core_of(world)
    other = core.with_options(core.options.with_changes(max_retries=1))

    async def late() -> AsyncIterator[VideoRequest]:
        await is_over.wait()
        for request in videos(2):
            yield request

    async with Batches(core)(late()) as run:
        await world.time.sleep(1.0)
        assert len(await outcomes_of(Batches(other)(videos(60)))) == 60
        is_over.set()
        assert [outcome.error async for outcome in run] == [None, None]


async def test_a_record_that_is_no_request_is_named_by_its_key() -> None:
    wrong = [{"key": "a", "kind": "picture"}, {"key": "", "kind": "picture"}, {"kind": "picture"}]
    found = await outcomes_of(batches(a_service())(wrong))
    assert sorted(found) == ["000002", "000003", "a"]
    assert all(isinstance(outcome.error, ConfigurationError) for outcome in found.values())


async def test_every_request_has_one_outcome_and_one_charge() -> None:
    world = a_service()
    requests: list[Any] = [*images(5), *videos(5), {"kind": "text", "model": "gpt-5", "prompt": "words"}]
    found = await outcomes_of(batches(world)(requests))
    assert sorted(found) == [f"{number:06d}" for number in range(1, 12)]
    assert all(outcome.ok for outcome in found.values())
    assert found["000011"].generation is not None
    assert found["000011"].generation.text == "An answer to words"
    assert found["000001"].request == requests[0]
    job = found["000006"].job
    assert job is not None
    assert (job.kind, job.model) == ("video", "kling-v2.1")
    assert next(made.prompt for made in world.ledger if made.id == job.id) == "film 1"
    assert set(world.charges.values()) == {1}
    assert sum(world.charges.values()) == 11


async def test_outcomes_come_as_they_end() -> None:
    world = a_service()
    order = []
    async with batches(world)([*videos(2), *images(2)]) as run:
        async for outcome in run:
            order.append(outcome.key)
            assert run.progress.done == len(order)
    assert set(order[:2]) == {"000003", "000004"}


async def test_a_request_that_fails_is_an_outcome_and_the_others_go_on() -> None:
    fates: dict[int, Any] = {1: "failed", 2: refusal(400, "bad_request"), 3: "answered"}
    world = a_service(ends=lambda number, body: fates[number])
    found = await outcomes_of(batches(world, max_retries=0)(images(3), max_sending=1))
    failed, refused, fine = found["000001"], found["000002"], found["000003"]
    assert isinstance(failed.error, GenerationFailedError)
    assert failed.generation is not None
    assert failed.tokens == 0
    assert isinstance(refused.error, BadRequestError)
    assert (refused.job, refused.generation) == (None, None)
    assert fine.ok


async def test_what_cannot_be_valid_is_an_outcome_that_names_the_field_and_sends_nothing() -> None:
    world = a_service()
    requests: list[Any] = [
        ImageRequest(model="flux-1.1-pro", prompt=" ", key="blank"),
        {"kind": "image", "model": "flux-1.1-pro"},
        7,
        GenerateRequest(model="x", prompt="y", params={"z": object()}),
        *images(1),
    ]
    found = await outcomes_of(batches(world)(requests))
    assert "`prompt` is empty" in str(found["blank"].error)
    assert "`prompt` is missing" in str(found["000002"].error)
    assert found["000002"].request == {"kind": "image", "model": "flux-1.1-pro"}
    assert "not int" in str(found["000003"].error)
    assert "cannot be written as JSON" in str(found["000004"].error)
    assert found["000005"].ok
    assert len(world.posts) == 1


async def test_a_key_given_twice_is_sent_once() -> None:
    world = a_service()
    found: list[BatchOutcome] = []
    keys = ["a", "b", "a", "000005", "e"]
    requests = [ImageRequest(model="flux-1.1-pro", prompt=f"{key} {at}", key=key) for at, key in enumerate(keys)]
    await run_through(batches(world)(requests, max_in_flight=1), found)
    assert [(outcome.key, outcome.ok) for outcome in found if outcome.key == "a"] == [("a", True), ("a", False)]
    assert isinstance(found[2].error, ConfigurationError)
    assert len(world.posts) == 4


async def test_only_so_many_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._batch.reader.REMEMBERED", 2)
    world = a_service()
    keys = ["a", "b", "c", "a"]
    requests = [ImageRequest(model="flux-1.1-pro", prompt=f"{key} {at}", key=key) for at, key in enumerate(keys)]
    async with batches(world)(requests, max_in_flight=1) as run:
        assert [outcome.ok async for outcome in run] == [True] * 4


async def test_a_recording_is_read_when_its_turn_comes(tmp_path: Path) -> None:
    world = a_service()
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"sound")
    requests = [TranscriptionRequest(audio=path), TranscriptionRequest(audio=tmp_path / "none.mp3")]
    found = await outcomes_of(batches(world)(requests))
    assert found["000001"].ok
    assert "cannot be read" in str(found["000002"].error)
    assert len(world.posts) == 1


async def test_a_list_is_checked_before_the_first_of_it_is_bought(tmp_path: Path) -> None:
    world = a_service()
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"sound")
    requests: list[Any] = [
        *images(100),
        ImageRequest(model="flux-1.1-pro", prompt="", key="blank"),
        ImageRequest(model="flux-1.1-pro", prompt="x", key="000001"),
        TranscriptionRequest(audio=tmp_path / "none.mp3", key="lost"),
        TranscriptionRequest(audio=path),
        TranscriptionRequest(audio=b"sound", file_name="talk.mp3"),
    ]
    estimate = await batches(world).estimate(requests)
    assert (estimate.requests, estimate.invalid) == (102, 3)
    assert sorted(estimate.problems) == ["000001", "blank", "lost"]
    assert "given to two requests" in estimate.problems["000001"]
    assert "none.mp3' cannot be read" in estimate.problems["lost"]
    read: list[int] = []

    def ends(_number: int, _body: object) -> str:
        read.append(batch.progress.read)
        return "answered"

    world.ends = ends
    batch = batches(world)(requests)
    found: list[BatchOutcome] = []
    await run_through(batch, found)
    assert read[0] == len(requests)
    assert sum(isinstance(outcome.error, ConfigurationError) for outcome in found) == 3
    assert len(world.posts) == 102


async def test_what_is_beyond_the_places_does_not_keep_a_list_waiting() -> None:
    world = a_service()
    found = await outcomes_of(batches(world)(images(20), max_in_flight=3))
    assert len(found) == 20


# Where requests come from.


async def test_an_async_iterable_is_read_and_closed() -> None:
    world, closed = a_service(), False

    async def requests() -> AsyncIterator[ImageRequest]:
        nonlocal closed
        try:
            for request in images(100):
                await anyio.lowlevel.checkpoint()
                yield request
        finally:
            closed = True

    async with batches(world)(requests(), max_in_flight=3) as run:
        async for outcome in run:
            if outcome.key == "000010":
                break
    assert closed
    assert len(world.posts) <= 13


async def test_reading_is_lazy_and_a_slow_consumer_slows_it_down() -> None:
    world, read = a_service(), 0

    def requests() -> Iterator[ImageRequest]:
        nonlocal read
        for request in images(1_000):
            read += 1
            yield request

    async with batches(world)(requests(), max_in_flight=10, max_sending=4) as run:
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert (read, len(world.posts)) == (10, 10)
        assert run.progress.ready == 10
        handed_out = 0
        async for _ in run:
            handed_out += 1
            assert read <= handed_out + 10
    assert handed_out == 1_000
    assert world.most_selling <= 4


@pytest.mark.parametrize("colour", ["plain", "async"])
async def test_an_iterable_that_raises_loses_nothing_that_came_before(colour: str) -> None:
    world = a_service()

    def plain() -> Iterator[VideoRequest]:
        yield from videos(5)
        raise LookupError("the list broke")

    async def coloured() -> AsyncIterator[VideoRequest]:
        for request in plain():
            yield request

    found: list[BatchOutcome] = []
    with pytest.raises(LookupError, match="the list broke"):
        await run_through(batches(world)(plain() if colour == "plain" else coloured()), found)
    assert len(found) == 5
    assert all(outcome.ok for outcome in found)


async def test_an_error_is_raised_once_and_then_the_iteration_is_over() -> None:
    def broken() -> Iterator[ImageRequest]:
        yield from ()
        raise LookupError("at once")

    async with batches(a_service())(broken()) as run:
        with pytest.raises(LookupError):
            await anext(run)
        with pytest.raises(StopAsyncIteration):
            await anext(run)


async def test_iterables_that_cannot_be_closed_in_peace_end_the_run_all_the_same() -> None:
    class Stubborn:
        def __init__(self) -> None:
            self.items = iter(images(3))

        def __aiter__(self) -> Stubborn:
            return self

        async def __anext__(self) -> ImageRequest:
            try:
                return next(self.items)
            except StopIteration:
                raise StopAsyncIteration from None

        async def aclose(self) -> None:
            raise RuntimeError("no")

    class Bare:
        def __init__(self) -> None:
            self.items = Stubborn()

        def __aiter__(self) -> Bare:
            return self

        async def __anext__(self) -> ImageRequest:
            return await anext(self.items)

    class Plain:
        def __iter__(self) -> Plain:
            return self

        def __next__(self) -> ImageRequest:
            raise StopIteration

        def close(self) -> None:
            raise RuntimeError("no")

    assert len(await outcomes_of(batches(a_service())(Stubborn()))) == 3
    assert len(await outcomes_of(batches(a_service())(Bare()))) == 3
    assert await outcomes_of(batches(a_service())(Plain())) == {}


# Callbacks.


@pytest.mark.parametrize("colour", ["plain", "async"])
async def test_ids_are_told_as_soon_as_they_are_known(colour: str) -> None:
    world = a_service()
    told: dict[str, JobRef] = {}

    async def tell(key: str, job: JobRef) -> None:
        await anyio.lowlevel.checkpoint()
        told[key] = job

    on_accepted: Any = tell if colour == "async" else told.__setitem__
    async with batches(world)(videos(3), on_accepted=on_accepted) as run:
        async for outcome in run:
            assert told[outcome.key] == outcome.job
    assert len(told) == 3


async def test_a_callback_that_raises_ends_the_run_after_what_was_paid_for() -> None:
    world = a_service()
    found: list[BatchOutcome] = []

    def on_accepted(key: str, job: JobRef) -> None:
        if job.id == 18_002:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await run_through(batches(world)(videos(50), max_sending=1, on_accepted=on_accepted), found)
    assert len(found) == len(world.ledger) == 3
    assert all(outcome.ok for outcome in found)


async def test_the_last_report_comes_also_where_the_loop_is_slower_than_the_reports() -> None:
    world, seen = a_service(), list[BatchProgress]()
    with anyio.fail_after(5):
        async with batches(world)(images(2), on_progress=seen.append) as run:
            async for _ in run:
                await world.time.sleep(5.0)
    assert seen[-1].completed == 2


async def test_progress_is_reported_as_it_changes_and_at_the_end() -> None:
    world = a_service()
    seen: list[BatchProgress] = []
    async with batches(world)(videos(20), on_progress=seen.append) as run:
        async for _ in run:
            pass
        assert seen[-1].completed == 20
        assert run.progress == seen[-1]
    assert any(progress.waiting == 20 for progress in seen)
    assert all(progress.total == 20 for progress in seen)
    assert len(seen) < 100


async def test_a_report_that_raises_ends_the_run_after_what_was_paid_for() -> None:
    world = a_service()
    found: list[BatchOutcome] = []

    def on_progress(progress: BatchProgress) -> None:
        if progress.waiting:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await run_through(batches(world)(videos(50), on_progress=on_progress, max_in_flight=5), found)
    assert len(found) == len(world.ledger)
    assert all(outcome.ok for outcome in found)


async def test_a_last_report_that_raises_is_raised() -> None:
    def on_progress(progress: BatchProgress) -> None:
        if progress.completed:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await outcomes_of(batches(a_service())(images(1), on_progress=on_progress))


# Ends that stop the sending.


async def test_402_stops_new_submissions_and_lets_the_accepted_finish() -> None:
    world = a_service(ends=lambda number, body: refusal(402, "insufficient_tokens") if number > 3 else "answered")
    found = await outcomes_of(batches(world)(videos(40), max_sending=2))
    assert sum(outcome.ok for outcome in found.values()) == 3
    assert len(found) == 40
    assert all(isinstance(outcome.error, InsufficientTokensError) for outcome in found.values() if not outcome.ok)
    assert len(world.posts) <= 5


async def test_a_refused_key_stops_new_submissions() -> None:
    world = a_service(ends=lambda number, body: refusal(401, "not_authenticated"))
    found = await outcomes_of(batches(world)(images(40), max_sending=1))
    assert len(found) == 40
    assert all(isinstance(outcome.error, AuthenticationError) for outcome in found.values())
    assert len(world.posts) == 1


# Waiting.


async def test_a_job_that_takes_too_long_is_an_outcome_with_its_job() -> None:
    world = a_service(seconds=1e6)
    found = await outcomes_of(batches(world)([*videos(1), *images(1)], wait_timeout=30))
    late = found["000001"]
    assert isinstance(late.error, GenerationTimeoutError)
    assert late.job is not None
    assert late.job.model == "kling-v2.1"
    assert late.tokens is None
    assert 29 <= world.time.elapsed <= 40


async def test_without_a_word_the_clients_limit_counts() -> None:
    world = a_service(seconds=1e6)
    polling = Polling(timeout=12, min_interval=1.0)
    found = await outcomes_of(batches(world, polling=polling)(videos(1)))
    assert isinstance(found["000001"].error, GenerationTimeoutError)
    assert world.time.elapsed <= 20


# Files.


async def test_files_are_saved_as_results_come(tmp_path: Path) -> None:
    world = a_service()
    requests = [*images(20), TextRequest(model="gpt-5", prompt="words")]
    found = await outcomes_of(batches(world)(requests, download_to=tmp_path / "out", max_downloads=2))
    for key, outcome in found.items():
        if key == "000021":
            assert outcome.path is None
        else:
            assert outcome.path is not None
            assert outcome.path.parent == tmp_path / "out"
            assert outcome.path.read_bytes().startswith(b"bytes of")
    assert len({outcome.path for outcome in found.values()}) == 21


async def test_a_file_that_cannot_be_saved_is_an_outcome_with_generation_and_error(tmp_path: Path) -> None:
    run = batches(a_service())(images(2), download_to=tmp_path / "out")
    (tmp_path / "out").write_text("in the way by now")
    found = await outcomes_of(run)
    for outcome in found.values():
        assert outcome.generation is not None
        assert outcome.generation.is_completed
        assert isinstance(outcome.error, DownloadError | ConfigurationError)
        assert (outcome.path, outcome.tokens) == (None, 4)


async def test_a_file_that_stands_under_the_name_stays_and_the_new_one_gets_another(tmp_path: Path) -> None:
    (tmp_path / "18000.webp").write_bytes(b"mine")
    found = await outcomes_of(batches(a_service())(images(2), download_to=tmp_path))
    saved = {outcome.path for outcome in found.values()}
    assert saved == {tmp_path / "18000 (2).webp", tmp_path / "18001.webp"}
    assert (tmp_path / "18000.webp").read_bytes() == b"mine"
    assert (tmp_path / "18000 (2).webp").read_bytes() == b"bytes of 18000.webp"


async def test_files_are_named_by_the_callers_keys_and_no_two_share_a_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "film.webp").write_bytes(b"mine")
    keys = ["a/1", "b/1", "../../up", "Makefile", "film", "dot.ted", None]
    requests = [ImageRequest(model="flux-1.1-pro", prompt=f"{at}", key=key) for at, key in enumerate(keys)]
    found = await outcomes_of(batches(a_service())(requests, download_to=tmp_path, max_sending=1))
    names = {key: outcome.path.name for key, outcome in found.items() if outcome.path is not None}
    assert names == {
        "a/1": "a_1.webp",
        "b/1": "b_1.webp",
        "../../up": "up.webp",
        "Makefile": "Makefile.webp",
        "film": "film (2).webp",
        "dot.ted": "dot.ted.webp",
        "000007": "18006.webp",
    }
    assert (tmp_path / "film.webp").read_bytes() == b"mine"
    assert [record.getMessage() for record in caplog.records if "stood" in record.message] == [
        "A file stood under the name 'film', so the result is 'film (2).webp'."
    ]


async def test_an_empty_file_is_asked_for_again_and_then_is_an_outcome_with_an_error(tmp_path: Path) -> None:
    world = a_service(files={"18000.webp": b""})
    outcome = (await outcomes_of(batches(world)(images(1), download_to=tmp_path / "out")))["000001"]
    assert isinstance(outcome.error, DownloadError)
    assert "after 3 attempts: It came empty." in str(outcome.error)
    assert outcome.path is None
    assert not (tmp_path / "out").exists()


async def test_a_bug_while_saving_ends_the_run_and_hides_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def save(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("neuralbox._batch.collector.save", save)
    found: list[BatchOutcome] = []
    with pytest.raises(ZeroDivisionError):
        await run_through(batches(a_service())(images(3), download_to=tmp_path), found)
    assert all(outcome.generation is not None for outcome in found)
    assert len(found) == 3


# The block.


async def test_a_batch_outside_its_block_says_how_to_use_it() -> None:
    batch = batches(a_service())(images(1))
    assert repr(batch) == "<Batch: not begun>"
    assert batch.unfinished == ()
    with pytest.raises(ConfigurationError, match="async with"):
        async for _ in batch:
            pass
    with pytest.raises(ConfigurationError, match="async with"):
        batch.progress  # noqa: B018
    async with batch:
        assert repr(batch).endswith(" read, 0 delivered>")
        with pytest.raises(ConfigurationError, match="runs once"):
            await batch.__aenter__()


async def test_leaving_early_keeps_the_jobs_that_were_paid_for() -> None:
    world = a_service(seconds=60)
    core_batches = batches(world)
    async with core_batches(videos(20), max_in_flight=10) as run:
        async for _ in run:
            break
    delivered = 1
    refs = run.unfinished
    assert len(refs) == len(world.ledger) - delivered
    assert {ref.id for ref in refs} <= {made.id for made in world.ledger}
    assert world.selling == 0
    assert not poller_of(core_batches._core).jobs


async def test_leaving_early_waits_for_the_ids_of_what_is_on_its_way() -> None:
    world = a_service(holds=2.0)
    async with batches(world)(videos(4), max_sending=2) as run:
        while world.selling < 2:
            await anyio.lowlevel.checkpoint()
    assert len(run.unfinished) == len(world.ledger) == 2
    assert world.time.elapsed == pytest.approx(2.0, abs=0.01)


async def test_what_takes_longer_than_a_goodbye_is_cancelled() -> None:
    world = a_service(holds=100.0)
    core_batches = batches(world)
    async with core_batches(videos(2)) as run:
        while world.selling < 2:
            await anyio.lowlevel.checkpoint()
    assert world.time.elapsed == pytest.approx(5.0, abs=0.01)
    assert run.unfinished == ()
    from neuralbox._submissions.registry import registry_of

    assert len(registry_of(core_batches._core).unresolved) == 2


async def test_an_error_in_the_block_is_raised_as_it_is() -> None:
    world = a_service()

    async def block() -> None:
        async with batches(world)(videos(3)) as run:
            async for _ in run:
                raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await block()
    assert world.selling == 0


async def test_a_cancelled_block_leaves_nothing_running() -> None:
    world = a_service(holds=100.0)
    found: list[BatchOutcome] = []
    async with anyio.create_task_group() as group:
        group.start_soon(run_through, batches(world)(videos(5)), found)
        while world.selling < 5:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert found == []
    assert world.selling == 0
    assert world.time.elapsed == 0


async def test_what_kills_a_worker_kills_the_block() -> None:
    class Enough(BaseException):
        pass

    def broken() -> Iterator[ImageRequest]:
        yield from images(1)
        raise Enough

    with pytest.raises(BaseExceptionGroup) as caught:
        await run_through(batches(a_service())(broken()), [])
    assert caught.group_contains(Enough)


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"requests": "requests.jsonl"}, "Pass the requests as a list, or `read_requests"),
        ({"requests": {"kind": "text"}}, "Pass the requests as a list"),
        ({"requests": 7}, "`requests` must be an iterable of requests, not int"),
        ({"requests": None}, "Pass requests, or the journal"),
        ({"requests": [], "max_in_flight": 0}, "max_in_flight must be a whole number from 1"),
        ({"requests": [], "max_sending": 1.5}, "max_sending must be"),
        ({"requests": [], "max_downloads": True}, "max_downloads must be"),
        ({"requests": [], "retry_failed": "no"}, "`retry_failed` must be True or False; it is 'no'"),
        ({"requests": [], "max_throttle_wait": 0}, "max_throttle_wait must be a number of seconds above 0"),
        ({"requests": [], "journal_sync": "never"}, "journal_sync must be normal or full"),
        ({"requests": [], "wait_timeout": "1"}, "timeout must be a number"),
        ({"requests": [], "budget": 0}, "`budget` must be a whole number"),
        ({"requests": [], "journal": 5}, "`journal` must be a path"),
        ({"requests": [], "cache": 5}, "A cache's file must be a path"),
        ({"requests": [], "on_accepted": 5}, "`on_accepted` must be a function, not int"),
        ({"requests": [], "on_progress": "tell"}, "`on_progress` must be a function, not str"),
        ({"requests": [], "download_to": ""}, "`download_to` is ''"),  # not the root of the disk
        ({"requests": [], "download_to": 5}, r"`download_to` must be a path \(text or a `Path`\), not int"),
        ({"requests": [], "download_to": b"out"}, "`download_to` must be a path"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused_at_once(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        batches(a_service())(**arguments)


@pytest.mark.parametrize("requests", [None, 5, "requests.jsonl", ImageRequest(model="flux-1.1-pro", prompt="x")])
async def test_an_estimate_is_of_an_iterable_of_requests(requests: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"requests` must be an iterable|Pass the requests as a list"):
        await batches(a_service()).estimate(requests)


@pytest.mark.parametrize("below", ["", "deeper", "deeper/yet"])
def test_a_file_in_the_place_of_the_directory_is_found_before_anything_is_paid_for(tmp_path: Path, below: str) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="out` is not a directory, so nothing can be put into it"):
        batches(a_service())(images(1), journal=tmp_path / "run.sqlite", download_to=tmp_path / "out" / below)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


async def test_nothing_of_a_prompt_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "neuralbox")
    fates: dict[int, Any] = {1: "failed", 2: "dropped after", 3: refusal(402, "insufficient_tokens")}
    world = a_service(ends=lambda number, body: fates.get(number, "answered"))
    requests = [ImageRequest(model="flux-1.1-pro", prompt=f"secret {number}") for number in range(6)]
    found = await outcomes_of(batches(world)(requests))
    assert "secret" not in caplog.text
    assert "secret" not in repr(found.values())


async def test_what_is_accepted_after_another_worker_took_over_is_let_go() -> None:
    world = a_service()
    async with batches(world)(videos(2)) as run:
        while len(run.unfinished) < 2:
            await world.time.sleep(0.1)
        assert run._collector is not None
        run._collector.abandon()
        item = BatchItem("late", videos(1)[0])
        assert run._state is not None
        run._state.enter(item)
        item.job = JobRef(18_009, "video", "kling-v2.1")
        run._collector.attend(item, age=0.0)
        assert item.stage is None
        assert [outcome async for outcome in run] == []


async def test_progress_tells_which_of_the_plans_windows_holds_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._rate_limit.limiter.RateLimiter.throttled", lambda _self, _core: (1_800.0, "hour"))
    async with batches(a_service())(images(1)) as run:
        assert run.progress.throttled_until == 1_800.0
