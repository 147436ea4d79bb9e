"""What an actor of Ray does, and what Ray is told, without Ray: that has an environment of its own (`test_in_ray`)."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from neuralbox import ConfigurationError, JournalError, Polling
from neuralbox._batch.batch import Batch
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._journal import read_summary
from neuralbox._models.generation import Generation
from neuralbox._types import JobRef
from neuralbox.ray import generate
from neuralbox.ray._rows import RESULTS, with_outcomes
from neuralbox.ray._worker import GenerateRows
from neuralbox.sandbox import Sandbox, Server, serve

from ..postgres import PostgresServer

pa: Any = pytest.importorskip("pyarrow")

KEY = "nb_test_in_an_actor"
ADDRESS = "postgresql://db.test/box#summer"


class FakeDataset:
    """A dataset that keeps what it is told to do.

    Args:
        names: Its columns, where they are known.
    """

    def __init__(self, *names: str) -> None:
        self._schema = SimpleNamespace(names=list(names)) if names else None
        self.told: dict[str, Any] = {}

    def schema(self, *, fetch_if_missing: bool) -> Any:
        assert not fetch_if_missing, "that would run it, and buy what is in it"
        return self._schema

    def repartition(self, *, target_num_rows_per_block: int) -> FakeDataset:
        self.told["rows"] = target_num_rows_per_block
        return self

    def map_batches(self, fn: Any, **told: Any) -> FakeDataset:
        self.told |= {"fn": fn, **told}
        return self


@pytest.fixture(autouse=True)
def ray_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of Ray Data as `generate` speaks to, also where it is installed."""
    data: Any = ModuleType("ray.data")
    data.ActorPoolStrategy = lambda **sizes: sizes
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setitem(sys.modules, "ray.data", data)


def actor(**options: Any) -> GenerateRows:
    """Return an actor's callable as it arrives there: pickled and read again."""
    told = generate(FakeDataset(), **{"journal": ADDRESS, **options}).told
    fn, arguments = pickle.loads(pickle.dumps((told["fn"], told["fn_constructor_args"])))
    made: GenerateRows = fn(*arguments)
    return made


def table(*rows: dict[str, Any]) -> Any:
    return pa.Table.from_pylist([*rows])


# What Ray is told.


def test_the_work_is_cut_so_that_every_actor_has_some() -> None:
    told = generate(FakeDataset("key", "prompt"), journal=ADDRESS, workers=(2, 16), in_flight=500).told
    assert told["rows"] == told["fn_constructor_args"][0].batch["max_in_flight"] == 125
    assert told["compute"] == {"min_size": 2, "max_size": 16, "max_concurrent_calls_per_actor": 4}
    assert (told["num_cpus"], told["batch_size"], told["batch_format"]) == (0.25, None, "pyarrow")
    told = generate(FakeDataset(), journal="#summer", workers=3, in_flight=8_192, num_cpus=1, resources={"x": 1}).told
    assert (told["rows"], told["num_cpus"], told["resources"]) == (1_024, 1, {"x": 1})
    assert told["compute"] == {"min_size": 3, "max_size": 3, "max_concurrent_calls_per_actor": 8}


@pytest.mark.parametrize("name", ["NEURALBOX_API_KEY", "SUMMERS_KEY"])
def test_no_key_travels_with_the_work(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("NEURALBOX_JOURNAL", "postgresql://user:secret@db.test/box")
    told = generate(FakeDataset("key"), journal="#summer", api_key_variable=name, client={"max_retries": 1}).told
    for secret in (KEY, "secret"):
        assert secret.encode() not in pickle.dumps(told)
        assert secret not in repr(told)
    told = generate(FakeDataset("key"), journal="postgresql://user:secret@db.test/box#summer").told
    assert "secret" not in repr(told)  # Ray writes down what it was told to do


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"journal": "jobs.sqlite"}, "share a journal in PostgreSQL"),
        ({"journal": "postgresql://db.test/box"}, "names no run"),
        ({"journal": 7}, "not int"),
        ({"client": {"api_key": KEY}}, "written down with the work"),
        ({"client": {"default_headers": {}}}, "written down with the work"),
        ({"workers": 0}, "workers must be whole numbers"),
        ({"workers": (3, 2)}, "fewest, most"),
        ({"in_flight": True}, "in_flight must be"),
        ({"budget": -1}, "budget"),
        ({"download_to": ""}, "`download_to` is ''"),
        ({"keep": ["title"]}, "no column `title` to keep"),
    ],
)
def test_what_cannot_be_right_is_said_before_anything_is_started(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        generate(FakeDataset("key"), **{"journal": ADDRESS, **options})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "said"),
    [(["id", "prompt"], r"no column `key`.*rename_columns"), (["key", "url"], r"column `url` would replace")],
)
def test_a_dataset_without_keys_or_with_a_results_column_is_refused(names: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        generate(FakeDataset(*names), journal=ADDRESS)


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'neuralbox\[ray\]'"):
        generate(FakeDataset("key"), journal=ADDRESS)


# What an actor does.


@pytest.fixture
def service(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    postgres.empty()
    with serve(Sandbox(speed=2_000)) as server:
        monkeypatch.setenv("NEURALBOX_API_KEY", KEY)
        monkeypatch.setenv("NEURALBOX_BASE_URL", server.url)
        yield server


PATIENT = {"polling": Polling(min_interval=0.01, max_interval=0.05)}


@pytest.mark.anyio
async def test_each_row_comes_back_with_its_result_and_costs_nothing_again(
    service: Server, postgres: PostgresServer
) -> None:
    rows = [
        {"key": 7, "kind": "video", "model": "kling-v2.1", "prompt": "a boat", "seed": None, "title": "Boat"},
        {"key": 8, "kind": "text", "model": "gpt-5", "prompt": "words", "temperature": float("nan"), "title": None},
        {"key": 9, "kind": "image", "model": "flux-1.1-pro", "prompt": "a kite", "seed": 5, "title": "Kite"},
        {"key": 10, "kind": "picture", "model": "flux-1.1-pro", "prompt": "a kite", "title": "Bad"},
    ]
    place = postgres.url()
    work = actor(journal=place, keep=["title"], client=PATIENT)
    found = (await work(table(*rows))).to_pylist()
    assert [row["key"] for row in found] == [7, 8, 9, 10]
    assert [row["title"] for row in found] == ["Boat", None, "Kite", "Bad"]
    assert [row["ok"] for row in found] == [True, True, True, False]
    assert [bool(row["url"]) for row in found] == [True, False, True, False]
    assert [bool(row["content"]) for row in found] == [False, True, False, False]
    assert found[3]["error_type"] == "ConfigurationError"
    assert found[3]["error_message"]
    assert len({row["id"] for row in found[:3]}) == 3
    charged = service.sandbox.ledger.charged
    again = (await work(table(*rows[:3]))).to_pylist()
    assert [row["resumed"] for row in again] == [True] * 3
    assert [row["id"] for row in again] == [row["id"] for row in found[:3]]
    assert service.sandbox.ledger.charged == charged == sum(row["tokens"] for row in again)


@pytest.mark.anyio
async def test_a_part_without_rows_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await actor()(pa.table({"key": pa.array([], pa.string())}))
    assert found.column_names == ["key", *RESULTS]
    assert found.schema.field("tokens").type == pa.int64()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"prompt": "a"}], "no column `key`"),
        ([{"key": "a"}, {"key": None}], "row has no key"),
        ([{"key": "a"}, {"key": ""}], "row has no key"),
        ([{"key": 1.5}], "row has no key"),
        ([{"key": True}], "row has no key"),
        ([{"key": "a"}, {"key": "b"}, {"key": "a"}], "Two rows have the key 'a'"),
        ([{"key": "a", "prompt": "b"}], "No API key on this machine: set NEURALBOX_API_KEY"),
    ],
)
async def test_rows_without_keys_and_machines_without_one_are_a_clear_error(
    rows: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        await actor()(table(*rows))


@pytest.mark.anyio
async def test_each_actor_has_the_database_from_its_own_environment(
    service: Server, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table({"key": "a", "kind": "image", "model": "flux-1.1-pro", "prompt": "a boat"})
    work = actor(journal="#summer", client=PATIENT)
    with pytest.raises(ConfigurationError, match="NEURALBOX_JOURNAL in the environment"):
        await work(rows)
    monkeypatch.setenv("NEURALBOX_JOURNAL", postgres.url("winter"))
    assert (await work(rows)).to_pylist()[0]["ok"]
    assert read_summary(postgres.url("summer")).completed == 1


@pytest.mark.anyio
async def test_an_actor_that_lost_its_lease_does_its_part_once_more(
    service: Server, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would end the whole run with the error."""
    ends, enter = ["lease", "", "account"], Batch.__aenter__

    async def entered(batch: Batch) -> Batch:
        end = ends.pop(0)
        if end:
            raise JournalError(f"ended by its {end}", reason=end)
        return await enter(batch)

    monkeypatch.setattr(Batch, "__aenter__", entered)
    work = actor(journal=postgres.url(), client=PATIENT)
    rows = table({"key": "a", "kind": "image", "model": "flux-1.1-pro", "prompt": "a boat"})
    assert (await work(rows)).to_pylist()[0]["ok"]
    with pytest.raises(JournalError, match="ended by its account"):
        await work(rows)


def test_what_the_service_says_fits_into_the_columns() -> None:
    rich = Generation(id=7, status="completed", tokens=2**63)
    outcome = BatchOutcome("a", generation=rich, error=ValueError("half \ud83d"), job=JobRef(7, "image"))
    (row,) = with_outcomes(table({"key": "a"}), [outcome]).to_pylist()
    assert (row["error_type"], row["error_message"]) == ("ValueError", "half ?")
    assert (row["id"], row["tokens"]) == ("7", None)
