"""Batches of the blocking client on a real socket: the requests and callbacks are the caller's own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from neuralbox import BatchProgress, ConfigurationError, ImageRequest, JobRef, NeuralBox, Polling, VideoRequest
from neuralbox.sandbox import Sandbox, Server, serve

FAST = Polling(timeout=20, min_interval=0.01, max_interval=0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Sandbox(speed=2_000)) as served:
        yield served


@pytest.fixture
def nb(server: Server) -> Iterator[NeuralBox]:
    """A client of an account of its own."""
    with NeuralBox(api_key=f"nb_test_{uuid.uuid4().hex}", base_url=server.url, polling=FAST) as client:
        yield client


def test_a_batch_asks_the_calling_thread_for_its_requests_and_tells_it_what_happens(
    nb: NeuralBox, tmp_path: Path
) -> None:
    here = threading.get_ident()
    threads: set[int] = set()
    accepted: list[str] = []
    reports: list[BatchProgress] = []

    def requests() -> Iterator[ImageRequest | VideoRequest]:
        for number in range(6):
            threads.add(threading.get_ident())
            if number % 2:
                yield VideoRequest(key=f"v{number}", model="luma-flash2", prompt=f"Film {number}", duration=5)
            else:
                yield ImageRequest(key=f"i{number}", model="flux-1.1-pro", prompt=f"Picture {number}")

    def on_accepted(key: str, job: JobRef) -> None:
        threads.add(threading.get_ident())
        accepted.append(key)
        assert job.id

    with nb.batch(
        requests(),
        journal=tmp_path / "run.sqlite",
        download_to=tmp_path / "out",
        on_accepted=on_accepted,
        on_progress=reports.append,
    ) as run:
        outcomes = {outcome.key: outcome for outcome in run}
        assert run.progress.completed == 6
        assert run.unfinished == ()
    assert sorted(outcomes) == sorted(accepted) == ["i0", "i2", "i4", "v1", "v3", "v5"]
    assert threads == {here}
    assert reports
    assert all(outcome.ok and outcome.path is not None and outcome.path.exists() for outcome in outcomes.values())

    with nb.batch(None, journal=tmp_path / "run.sqlite") as run:
        assert [*run] == []  # nothing is left to do


def test_a_batch_that_is_left_early_names_what_was_paid_for(nb: NeuralBox, server: Server) -> None:
    before = len(server.sandbox.ledger.generations)
    with nb.batch(
        [ImageRequest(model="flux-1.1-pro", prompt=f"Left {number}") for number in range(30)], max_in_flight=4
    ) as run:
        first = next(run)
        assert first.ok
    made = len(server.sandbox.ledger.generations) - before
    assert 1 <= made <= 30
    assert len(run.unfinished) == made - 1


def test_what_is_no_list_of_requests_is_refused_as_on_the_other_side(nb: NeuralBox) -> None:
    with pytest.raises(ConfigurationError, match="as a list"):
        nb.batch("requests.jsonl")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="must be an iterable"):
        nb.batch(5)  # type: ignore[arg-type]


def test_an_estimate_reads_the_requests_in_the_calling_thread(nb: NeuralBox) -> None:
    estimate = nb.batch.estimate(ImageRequest(model="flux-1.1-pro", prompt=f"E {n}") for n in range(3))
    assert (estimate.requests, estimate.invalid) == (3, 0)
    assert estimate.tokens == 3 * estimate.by_model["flux-1.1-pro"] / 3


def test_a_display_of_a_batch_is_made_by_the_caller_s_thread_and_followed_to_the_end(
    nb: NeuralBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, str]] = []

    def display(bundle: dict[str, str], **_: object) -> SimpleNamespace:
        shown.append((threading.get_ident(), bundle["text/html"]))
        return SimpleNamespace(update=lambda bundle, raw: shown.append((threading.get_ident(), bundle["text/html"])))

    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: SimpleNamespace(kernel=True))
    monkeypatch.setattr("IPython.display.display", display)
    requests = [ImageRequest(model="flux-1.1-pro", prompt=f"Picture {number}") for number in range(3)]
    with nb.batch(requests) as run:
        run._ipython_display_()
        assert [outcome.ok for outcome in run] == [True] * 3
    assert shown[0][0] == threading.get_ident()
    assert {thread for thread, _ in shown[1:]} == {thread for thread, _ in shown[-1:]} != {threading.get_ident()}
    assert "3 of 3" in shown[-1][1]
    assert "3 of 3" in (run._repr_html_() or "")


def test_what_is_blocking_shows_itself_by_its_own_name(nb: NeuralBox) -> None:
    for thing, name in (
        (nb, "NeuralBox"),
        (nb.images, "Images"),
        (nb.batch([]), "Batch"),
        (nb.history.list(), "Pager"),
    ):
        assert repr(thing).startswith(f"<{name}")
        assert "sync" not in repr(thing)
    assert repr(iter(nb.history.list())) == "<PagedItems>"
    assert nb.images._repr_html_() is None
    with pytest.raises(NotImplementedError):  # IPython goes on with `repr`
        nb.images._ipython_display_()
