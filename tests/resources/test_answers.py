"""What the resources make of answers: both paths where there are two, every envelope, and a clear error for another shape."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from neuralbox import AccountLimits, LimitWindow
from neuralbox import _errors as errors
from neuralbox._core.exchange import Core
from neuralbox._resources.account import Account
from neuralbox._resources.assistants import Assistants
from neuralbox._resources.generate import Generate
from neuralbox._resources.generations import Generations
from neuralbox._resources.history import History
from neuralbox._resources.images import Images
from neuralbox._resources.keys import Keys
from neuralbox._resources.models import Models
from neuralbox._resources.text import Text
from neuralbox._resources.videos import Videos
from neuralbox._transport.base import Reply
from tests.helpers import Bench, Play, Sent, make_core, refusal, reply

pytestmark = pytest.mark.anyio

UNKNOWN = refusal(404, "not_found")
NO_METHOD = reply(405, {"detail": "Method Not Allowed"})


def paths(bench: Bench) -> list[str]:
    return [one.path for one in bench.sent]


# The limits are what the last answer said.

LIMITS = {
    "date": "Thu, 01 Jan 2026 12:00:00 GMT",
    "x-ratelimit-limit-hour": "100",
    "x-ratelimit-remaining-hour": "73",
    "x-ratelimit-reset-hour": "1767270600",
    "x-ratelimit-limit-day": "1000",
    "x-ratelimit-remaining-day": "640",
}


async def test_the_limits_are_asked_for_once_and_then_known_until_the_hour_is_over() -> None:
    bench = make_core([reply(200, {"id": 1}, **LIMITS)])
    account = Account(bench.core)
    begun_at = bench.core.now()
    first = await account.limits(extra_headers={"X-Trace": "1"})
    assert (first.hour.limit, first.hour.remaining) == (100, 73)
    assert first.hour.resets_at is not None
    assert first.hour.resets_at.timestamp() == pytest.approx(begun_at + 1_800, abs=1)
    assert first.day == LimitWindow(1000, 640, None)
    again = await account.limits()
    assert (again.hour.remaining, again.day) == (73, first.day)
    assert (paths(bench), bench.sent[0].headers["x-trace"]) == (["/user/me"], "1")
    await bench.time.sleep(1_802)
    assert (await account.limits()).hour == LimitWindow(100, 100, None)


async def test_with_the_pace_off_the_limits_are_asked_for_each_time() -> None:
    fewer = {**LIMITS, "x-ratelimit-remaining-hour": "70"}
    bench = make_core([reply(200, {"id": 1}, **LIMITS), reply(200, {"id": 1}, **fewer)], pace="off")
    assert [(await Account(bench.core).limits()).hour.remaining for _ in range(2)] == [73, 70]


async def test_of_limits_that_only_the_user_names_nobody_says_what_is_left() -> None:
    bench = make_core([reply(200, {"id": 1, "rate_limit_hourly": 30, "rate_limit_daily": 0})])
    assert await Account(bench.core).limits() == AccountLimits(LimitWindow(30), LimitWindow())
    assert await Account(bench.core).limits() == AccountLimits(LimitWindow(30), LimitWindow())
    assert paths(bench) == ["/user/me"]


async def test_limits_that_are_refused_raise() -> None:
    with pytest.raises(errors.AuthenticationError):
        await Account(make_core([refusal(401, "unauthorized")]).core).limits()


# The balance has two paths (C12).


async def test_the_balance_is_asked_for_at_the_other_path_where_the_first_is_not_known() -> None:
    bench = make_core([UNKNOWN, reply(200, {"token_balance": 900, "plan": "vip", "bonus_tokens": 0})])
    balance = await Account(bench.core).balance(extra_headers={"X-Trace": "1"})
    assert (balance.token_balance, balance.plan, balance.bonus_tokens) == (900, "vip", 0)
    assert paths(bench) == ["/balance", "/user/balance"]
    assert [one.headers["x-trace"] for one in bench.sent] == ["1", "1"]


async def test_a_balance_at_neither_path_is_not_found() -> None:
    bench = make_core([UNKNOWN, UNKNOWN])
    with pytest.raises(errors.NotFoundError):
        await Account(bench.core).balance()


@pytest.mark.parametrize("unknown", [404, 405])
async def test_the_path_at_which_the_balance_was_found_is_asked_first_from_then_on(unknown: int) -> None:
    found = reply(200, {"token_balance": 900})
    bench = make_core([reply(unknown, {"error": "not_found"}), found, found, UNKNOWN, found, found])
    for _ in range(2):
        assert (await Account(bench.core).balance()).token_balance == 900
    assert (await Account(bench.core.with_options(bench.core.options)).balance()).token_balance == 900  # it has moved
    await Account(bench.core).balance()
    assert paths(bench) == ["/balance", *["/user/balance"] * 3, "/balance", "/balance"]


async def test_another_refusal_of_the_balance_stands() -> None:
    bench = make_core([refusal(403, "insufficient_plan")])
    with pytest.raises(errors.PermissionDeniedError):
        await Account(bench.core).balance()
    assert paths(bench) == ["/balance"]


# A generation has two paths (C2).


@pytest.mark.parametrize("first", [UNKNOWN, NO_METHOD])
@pytest.mark.parametrize(
    ("identity", "asked"),
    [(7, ["/generate/7", "/generate/status/7"]), ("gen_7", ["/generate/status/gen_7", "/generate/gen_7"])],
)
async def test_a_generation_is_asked_for_at_the_other_path_and_the_one_that_worked_is_remembered(
    first: Reply, identity: int | str, asked: list[str]
) -> None:
    done = reply(200, {"status": "completed", "url": "https://s.test/a.webp"})
    bench = make_core([first, done, done])
    generations = Generations(bench.core)
    generation = await generations.get(identity)
    assert (generation.id, generation.url) == (identity, "https://s.test/a.webp")
    await generations.get(identity)
    assert paths(bench) == [*asked, asked[1]]


async def test_a_generation_known_to_neither_path_is_not_found() -> None:
    bench = make_core([UNKNOWN, UNKNOWN])
    with pytest.raises(errors.NotFoundError):
        await Generations(bench.core).get(7)


async def test_a_failed_generation_is_returned_not_raised() -> None:
    bench = make_core([reply(200, {"id": 7, "status": "failed", "error": "content policy violation"})])
    generation = await Generations(bench.core).get(7)
    assert (generation.is_failed, generation.error) == (True, "content policy violation")


# Submitting.


async def test_a_finished_answer_needs_no_look() -> None:
    bench = make_core([reply(200, {"id": 7, "status": "completed", "result_url": "https://s.test/7.webp"})])
    job = await Images(bench.core).submit(model="dall-e-3", prompt="x")
    assert (job.id, job.kind, job.model) == (7, "image", "dall-e-3")
    generation = await job.wait()
    assert generation.url == "https://s.test/7.webp"
    assert paths(bench) == ["/generate"]


async def test_create_waits_where_the_service_answers_pending() -> None:
    def answer(sent: Sent) -> Play:
        if sent.method == "POST":
            return reply(200, {"id": "gen_7", "status": "pending", "eta_seconds": 8})
        if bench.time.elapsed < 20:
            return reply(200, {"id": "gen_7", "status": "pending", "progress": 45})
        return reply(200, {"id": "gen_7", "status": "completed", "url": "https://s.test/7.mp4"})

    bench = make_core(answer)
    video = await Videos(bench.core).create(model="kling-v2.1", prompt="x", extra_headers={"X-Trace": "1"})
    assert (video.url, video.kind, video.model) == ("https://s.test/7.mp4", "video", "kling-v2.1")
    assert paths(bench).count("/generate") == 1
    assert set(paths(bench)[1:]) == {"/generate/status/gen_7"}
    assert {one.headers["x-trace"] for one in bench.sent} == {"1"}


async def test_create_whose_wait_ends_hands_out_the_job() -> None:
    bench = make_core(lambda sent: reply(200, {"id": 7, "status": "pending"}))
    with pytest.raises(errors.GenerationTimeoutError) as caught:
        await Videos(bench.core).create(model="kling-v2.1", prompt="x", wait_timeout=20)
    assert caught.value.job is not None
    assert (caught.value.job.id, caught.value.job.kind, caught.value.job.model) == (7, "video", "kling-v2.1")
    assert [one.method for one in bench.sent].count("POST") == 1


@pytest.mark.parametrize("how", ["create", "submit"])
async def test_an_answer_that_failed_at_once_raises_with_its_reason(how: str) -> None:
    bench = make_core([reply(200, {"id": 7, "status": "failed", "error": "content policy", "tokens_spent": 0})])
    with pytest.raises(errors.GenerationFailedError, match="content policy") as caught:
        await getattr(Images(bench.core), how)(model="dall-e-3", prompt="x")
    assert caught.value.generation.tokens == 0
    assert caught.value.job is not None
    assert caught.value.job.id == 7
    assert len(bench.sent) == 1


async def test_a_result_without_an_id_is_a_result() -> None:
    bench = make_core([reply(200, {"content": "Hello"})])
    assert (await Text(bench.core).create(model="gpt-5", prompt="x")).text == "Hello"


async def test_an_answer_that_is_completed_with_neither_an_id_nor_a_result_is_not_taken_for_one() -> None:
    bench = make_core([reply(200, {"status": "completed", "url": ""})], submission="raise")
    with pytest.raises(errors.SubmissionUnknownError, match="neither an id nor a result"):
        await Images(bench.core).create(model="dall-e-3", prompt="x")
    assert len(bench.sent) == 1


@pytest.mark.parametrize(
    "body",
    [
        rb'{"id":7,"status":"completed","result_text":"Party \ud83d","tokens_spent":3}',
        b'\xef\xbb\xbf{"id":7.0,"status":"completed","result_text":"Party \xff","tokens_spent":3}',
    ],
    ids=["half a character", "a mark and bytes that are none"],
)
async def test_a_paid_text_is_not_lost_to_damage_in_its_letters(body: bytes) -> None:
    bench = make_core([reply(200, body)])
    text = await Text(bench.core).create(model="gpt-5", prompt="x")
    assert (text.id, text.text, text.tokens, text.raw["result_text"]) == (7, "Party \ufffd", 3, "Party \ufffd")
    assert len(bench.sent) == 1


@pytest.mark.parametrize("body", [{}, {"status": "pending"}, {"ok": True}, [], "done", 5, None])
@pytest.mark.parametrize("how", ["create", "submit"])
async def test_an_accepted_request_nobody_could_ask_for_is_an_unknown_outcome(body: object, how: str) -> None:
    content = reply(200, b"null") if body is None else reply(200, body)
    bench = make_core([content], submission="raise")
    with pytest.raises(errors.SubmissionUnknownError):
        await getattr(Generate(bench.core), how)(model="m", prompt="x")
    assert len(bench.sent) == 1


# Listings in any envelope.

MODEL = {"slug": "dall-e-3", "name": "DALL-E 3", "description_ru": "Картинки", "config": {"sizes": ["1024x1024"]}}


@pytest.mark.parametrize(
    "wrap", [list, *(lambda rows, name=name: {name: rows} for name in ("items", "models", "data"))]
)
async def test_the_catalogue_is_read_in_every_envelope(wrap: Callable[[list[Any]], object]) -> None:
    bench = make_core([reply(200, wrap([MODEL, "not a record", {"slug": "gpt-5"}]))])
    models = await Models(bench.core).list()
    assert [model.slug for model in models] == ["dall-e-3", "gpt-5"]
    assert (models[0].description, models[0].config) == ("Картинки", {"sizes": ["1024x1024"]})


async def test_one_model_and_its_price() -> None:
    price = {"token_cost": 13, "min_token_cost": 5, "max_token_cost": 13, "pricing_type": "matrix"}
    bench = make_core([reply(200, MODEL), reply(200, price), UNKNOWN])
    models = Models(bench.core)
    assert (await models.get("dall-e-3")).name == "DALL-E 3"
    asked = await models.price("dall-e-3", size="1024x1792", quality="hd")
    assert (asked.token_cost, asked.min_token_cost, asked.max_token_cost, asked.pricing_type) == (13, 5, 13, "matrix")
    with pytest.raises(errors.NotFoundError):
        await models.price("no-such-model")


async def test_the_marketplace_is_a_list() -> None:
    bench = make_core([reply(200, {"items": [{"name": "Ed", "description": "Edits", "id": "asst_1"}]})])
    (assistant,) = await Assistants(bench.core).marketplace()
    assert (assistant.id, assistant.name, assistant.description) == ("asst_1", "Ed", "Edits")


# Small answers.


async def test_an_assistant_and_a_key_are_read_and_the_key_is_not_shown() -> None:
    key = {"id": 41, "name": "build", "key": "nb_live_secret", "created_at": "2026-04-02T08:00:00Z"}
    bench = make_core([reply(200, {"id": "asst_9"}), reply(200, key), reply(200, {"id": 41, "name": "new"})])
    assert (await Assistants(bench.core).create(name="Ed")).id == "asst_9"
    made = await Keys(bench.core).create(name="build")
    assert (made.id, made.key, made.created_at) == (41, "nb_live_secret", datetime(2026, 4, 2, 8, tzinfo=UTC))
    assert "secret" not in f"{made!r}{made.raw}"
    assert (await Keys(bench.core).rename(41, name="new")).name == "new"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"id": 7, "is_favorited": True}, True),
        ({"is_favorited": False}, False),
        ({"favorite": 1}, True),
        ({"ok": True}, None),
        ({"is_favorited": "perhaps"}, None),
        ([7], None),
    ],
)
async def test_a_favourite_answers_its_new_state_where_the_service_says_it(answer: Any, state: bool | None) -> None:
    assert await History(make_core([reply(200, answer)]).core).favorite(7) is state


@pytest.mark.parametrize("status", [200, 204])
async def test_undocumented_answers_may_be_empty(status: int) -> None:
    bench = make_core(lambda sent: reply(status))
    assert (await Account(bench.core).update(name="Ada")).name is None
    assert (await Keys(bench.core).rename(41, name="new")).id is None
    for call in (
        Keys(bench.core).revoke(41),
        History(bench.core).favorite(7),
        History(bench.core).rate(7, 5),
        History(bench.core).delete(7),
    ):
        assert await call is None


async def test_the_user_in_either_shape() -> None:
    bench = make_core(
        [reply(200, {"id": 1, "name": "Ada", "rate_limit_hourly": 0}), reply(200, {"id": 1, "username": "ada"})]
    )
    user = await Account(bench.core).me()
    assert (user.name, user.rate_limit_hourly) == ("Ada", 0)
    assert (await Account(bench.core).update(username="ada")).name == "ada"


async def test_the_statistics() -> None:
    stats = {
        "total_generations": 12,
        "tokens_spent_total": 58,
        "breakdown": {"text": {"count": 8, "tokens": 16}, "video": {"count": 0, "tokens": 0}},
        "recent_30d": {"generations": 5, "tokens_spent": 21},
    }
    bench = make_core([reply(200, stats)])
    read = await Account(bench.core).stats()
    assert (read.total_generations, read.breakdown["text"].tokens, read.recent_tokens) == (12, 16, 21)


# Another shape, at every question.

QUESTIONS: dict[str, Callable[[Core], Any]] = {
    "balance": lambda core: Account(core).balance(),
    "me": lambda core: Account(core).me(),
    "update": lambda core: Account(core).update(name="x"),
    "stats": lambda core: Account(core).stats(),
    "models": lambda core: Models(core).list(),
    "model": lambda core: Models(core).get("x"),
    "price": lambda core: Models(core).price("x"),
    "history": lambda core: History(core).list(),
    "generation": lambda core: Generations(core).get(7),
    "marketplace": lambda core: Assistants(core).marketplace(),
    "assistant": lambda core: Assistants(core).create(name="x"),
    "key": lambda core: Keys(core).create(name="x"),
    "renamed key": lambda core: Keys(core).rename(1, name="x"),
}


@pytest.mark.parametrize("content", [b"<html>x</html>", b'{"token_balance": 28', b'"text"', b"5", b"null", b"true"])
@pytest.mark.parametrize("question", QUESTIONS)
async def test_another_shape_is_a_protocol_error(question: str, content: bytes) -> None:
    bench = make_core([reply(200, content)], max_retries=0)
    with pytest.raises(errors.ProtocolError) as caught:
        await QUESTIONS[question](bench.core)
    assert caught.value.status_code == 200
    assert len(bench.sent) == 1


@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_object_with_other_fields_never_crashes(question: str) -> None:
    bench = make_core([reply(200, {"unexpected": {"deep": [1]}, "id": None, "token_balance": "many"})])
    if question in ("models", "history", "marketplace"):
        with pytest.raises(errors.ProtocolError, match="without a list"):
            await QUESTIONS[question](bench.core)
    else:
        assert (await QUESTIONS[question](bench.core)).raw["unexpected"] == {"deep": [1]}
