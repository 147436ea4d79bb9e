"""The ledger: what tests may ask of them, and that they survive a restart."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from neuralbox.sandbox import Sandbox

from .conftest import Clock, Start


def test_the_ledger_says_what_was_asked_made_and_charged(start: Start) -> None:
    api = start()
    text = api.make("gpt-5", "Hello")
    video = api.make("kling-v2.1")
    ledger = api.sandbox.ledger
    assert [(charge.generation, charge.tokens) for charge in ledger.charges] == [(text["id"], 2)]
    assert (ledger.charged, ledger.requests) == (2, 2)
    assert ledger.requests_by_route == {"POST /generate": 2}
    assert [record.status for record in ledger.generations.values()] == ["completed", "pending"]
    first = ledger.received[0]
    assert (first.route, first.path, first.status) == ("POST /generate", "/api/v2/generate", 200)
    assert first.headers["authorization"] == "Bearer nb_test"
    assert b'"Hello"' in first.body
    assert "nb_test" not in repr(first)
    api.clock.advance(90)
    assert ledger.generations[video["id"]].status == "completed"
    assert ledger.charged == 28


def test_what_tests_are_given_is_a_copy(start: Start) -> None:
    api = start()
    made = api.make("gpt-5")["id"]
    api.sandbox.ledger.generations[made].price = 1_000
    api.sandbox.ledger.charges.clear()
    assert api.sandbox.ledger.generations[made].price == 2
    assert api.sandbox.ledger.charged == 2


def test_two_runs_with_one_seed_are_equal_and_speed_divides_the_waits(start: Start) -> None:
    def wait(seed: int, speed: float) -> float:
        api = start(seed=seed, speed=speed)
        made = api.make("kling-v2.1")["id"]
        record = api.sandbox.ledger.generations[made]
        return record.ready_at - record.created_at

    assert wait(3, 1) == wait(3, 1) != wait(4, 1)
    assert wait(3, 20) == pytest.approx(wait(3, 1) / 20)


def test_everything_survives_a_restart(start: Start, tmp_path: Path) -> None:
    clock, database = Clock(), tmp_path / "sandbox.sqlite"
    before = start(database=database, clock=clock, dialect="B")
    text, image, video = (before.make(model) for model in ("gpt-5", "photon-flash", "kling-v2.1"))
    picture = before.get(image["url"]).content
    before.post(f"/user/history/{text['id']}/favorite")
    before.http.patch("/user/me", json={"name": "Ada"})
    key = before.post("/keys", {"name": "second"}).json()
    assistant = before.post("/assistants", {"name": "x", "model": "gpt-5"}).json()["id"]
    before.post("/auth/login", {"email": "a@example.com", "password": "x"})
    cookie = before.http.cookies["refresh_token"]

    clock.advance(60 * 60)
    after = start(database=database, clock=clock, dialect="B", balance=5)
    assert [item["id"] for item in after.get("/user/history").json()["items"]] == [
        video["id"],
        image["id"],
        text["id"],
    ]
    assert after.get("/user/history", params={"favorites_only": "true"}).json()["total"] == 1
    assert after.get("/balance").json()["token_balance"] == 100_000 - 2 - 1 - 26
    assert after.sandbox.ledger.charged == 29
    assert after.get("/user/me").json()["name"] == "Ada"
    assert after.get(f"{after.url}/storage/generations/{image['id']}.webp").content == picture
    assert after.get("/balance", headers=after.as_key(key["key"])).json()["token_balance"] == 99_971
    body = {"assistant_id": assistant, "prompt": "x"}
    assert after.post("/generate", body).json()["model"] == "gpt-5"
    assert after.http.post("/auth/refresh", headers={"Cookie": f"refresh_token={cookie}"}).status_code == 200
    assert after.make("gpt-5")["id"] not in {text["id"], image["id"], video["id"]}

    again = Sandbox(database=database, clock=clock)
    assert again.ledger.charged == 33
    again.close()


def test_a_fresh_sandbox_starts_empty(start: Start) -> None:
    assert start().get("/user/history").json() == {"items": [], "total": 0, "page": 1, "limit": 20, "pages": 0}


@pytest.mark.parametrize(
    "settings",
    [
        {"speed": 0},
        {"speed": float("inf")},
        {"plan": "gold"},
        {"dialect": "C"},
        {"history": "both"},
        {"balance_path": "/purse"},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_words(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Sandbox(**settings)  # type: ignore[arg-type]  # that is the point


def test_a_database_that_a_tool_has_looked_over_is_still_a_sandboxs(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.sqlite"
    Sandbox(database=path).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("ANALYZE")
    Sandbox(database=path).close()


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE jobs (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"cannot be used: it holds something else than a sandbox\."):
        Sandbox(database=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["in no directory", "no database"])
def test_a_database_that_cannot_be_used_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("nowhere/box.sqlite" if kind == "in no directory" else "box.sqlite")
    if kind == "no database":
        path.write_text("not a database " * 100, encoding="utf-8")
    with pytest.raises(OSError, match=r"The database `.*box\.sqlite` cannot be used: ") as caught:
        Sandbox(database=path)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
