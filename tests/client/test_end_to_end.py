"""Every endpoint (2.1 to 2.27), client and sandbox on a real socket, in both dialects; and that nothing is paid twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from neuralbox import Message
from neuralbox import _errors as errors
from neuralbox._api import vocabulary as words
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Dialect, Polling
from neuralbox._core.credentials import Session
from neuralbox.sandbox import Sandbox, Server, serve
from neuralbox.testing import FastTime, using

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]

FAST = Polling(timeout=20, min_interval=0.01, max_interval=0.05)
# What the two sides speak: the sandbox's vocabulary and layout of the history, the client's way to write requests.
TONGUES: dict[str, tuple[Any, Any, Dialect]] = {
    "A, as documented": ("A", "page", Dialect(history="page")),
    "A, nested": ("A", "page", Dialect(options="nested", history="page", stream="path")),
    "B, as documented": ("B", "seed", Dialect()),
    "B, flat": ("B", "seed", Dialect(options="flat")),
}


@pytest.fixture(scope="module", params=TONGUES)
def tongue(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server(tongue: str) -> Iterator[Server]:
    vocabulary, history, _ = TONGUES[tongue]
    with serve(Sandbox(speed=2_000, dialect=vocabulary, history=history)) as served:
        yield served


@pytest.fixture
def nb(server: Server, tongue: str) -> AsyncNeuralBox:
    """A client of an account of its own."""
    return make_client(server, tongue)


def make_client(server: Server, tongue: str) -> AsyncNeuralBox:
    key = f"nb_test_{uuid.uuid4().hex}"
    return AsyncNeuralBox(api_key=key, base_url=server.url, polling=FAST, dialect=TONGUES[tongue][2], max_retries=0)


def is_text_id(server: Server) -> bool:
    return server.sandbox.settings.dialect == "B"


async def test_every_way_to_generate_ends_with_a_result_that_is_charged_once(
    nb: AsyncNeuralBox, server: Server
) -> None:
    turns: list[Message] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Go"},
    ]
    async with nb:
        before = (await nb.account.balance()).token_balance
        assert before is not None
        made = [
            await nb.generate.create(model="gpt-5", prompt="Explain quantum computing"),
            await nb.text.create(model="claude-sonnet-4.5", messages=turns, system="Be brief.", temperature=0.5),
            await nb.images.create(model="dall-e-3", prompt="A city", size="1792x1024", format="png", quality="hd"),
            await nb.images.create(model="midjourney-v6", prompt="A city", size="16:9"),
            await nb.videos.create(model="kling-v2.1", prompt="A boat", duration=5, aspect_ratio="9:16"),
            await nb.speech.create(model="openai-tts", text="Hello there", voice_id="nova", speed=1.5, format="wav"),
            await nb.music.create(model="musicgen", prompt="slow jazz", duration=15),
            await nb.tools.create(model="upscale", prompt="sharper", image_url="https://example.com/a.png"),
            await nb.transcriptions.create(audio=b"ID3" + bytes(1_000), file_name="talk.mp3", language="en"),
        ]
        assert [one.kind for one in made] == [
            None,
            "text",
            "image",
            "image",
            "video",
            "tts",
            "audio",
            "tool",
            "stt",
        ] or (made[6].kind == "audio")
        assert all(one.is_completed for one in made)
        assert all(isinstance(one.id, str) is is_text_id(server) for one in made)
        assert made[0].text
        assert made[1].text
        assert (made[2].width, made[2].height) == (1792, 1024)
        assert made[4].duration == 5
        assert all(one.url for one in made[2:8])
        assert made[8].text
        after = (await nb.account.balance()).token_balance
        assert after is not None
        charges = {str(one.generation): one.tokens for one in server.sandbox.ledger.charges}
        spent = [charges[str(one.id)] for one in made]
        assert before - after == sum(spent)
        assert [one.tokens for one in made] == spent
        # Each of them can be asked for again, and stands in the history.
        for one in made:
            assert (await nb.generations.get(one.id)).is_completed
        listed = {str(item.id) async for item in nb.history.list(page_size=4)}
        assert listed == {str(one.id) for one in made}


async def test_jobs_are_submitted_waited_for_and_attached_to_again(nb: AsyncNeuralBox, server: Server) -> None:
    async with nb:
        jobs = [await nb.videos.submit(model="kling-v2.1", prompt=f"Boat {number}") for number in range(3)]
        jobs.append(await nb.generate.submit(model="luma-ray2", prompt="A boat"))
        jobs.append(await nb.images.submit(model="midjourney-turbo", prompt="A boat"))
        jobs.append(await nb.music.submit(model="musicgen", prompt="slow jazz"))
        jobs.append(await nb.tools.submit(model="upscale", image_url="https://example.com/a.png"))
        finished = await nb.generations.wait([jobs[0], jobs[1].id, jobs[2].ref, *jobs[3:]])
        assert [str(one.id) for one in finished] == [str(job.id) for job in jobs]
        assert all(one.is_completed for one in finished)
        assert (await nb.job(jobs[0].id).wait()).url == finished[0].url


async def test_a_text_is_read_while_it_is_written(nb: AsyncNeuralBox) -> None:
    async with nb:
        async with nb.text.stream(model="gpt-5", prompt="Tell me a story", max_tokens=40) as stream:
            pieces = [piece async for piece in stream]
        assert len(pieces) > 1
        assert stream.result.text == "".join(pieces)
        assert stream.result.tokens
        assert (await nb.generations.get(stream.result.id)).text == stream.result.text


async def test_the_history_is_filtered_marked_rated_and_deleted(nb: AsyncNeuralBox, tongue: str) -> None:
    async with nb:
        for number in range(3):
            await nb.images.create(model="dall-e-3", prompt=f"Cat {number}")
        await nb.text.create(model="gpt-5", prompt="Hi")
        page = await nb.history.list(type="image", model="dall-e-3", status="completed", page_size=2)
        assert (len(page), page.total, page.pages) == (2, 3, 2)
        assert {item.kind for item in page} == {"image"}
        assert page.items[0].prompt == "Cat 2"
        first = page.items[0].id
        await nb.history.favorite(first)
        await nb.history.rate(first, 4)
        if "A" in tongue.partition(",")[0]:
            marked = await nb.history.list(favorites_only=True)
            assert [(str(item.id), item.is_favorited, item.rating) for item in marked] == [(str(first), True, 4)]
        await nb.history.delete(first)
        assert [item.prompt async for item in nb.history.list(type="image")] == ["Cat 1", "Cat 0"]
        with pytest.raises(errors.NotFoundError):
            await nb.generations.get(first)
        with pytest.raises(errors.NotFoundError):
            await nb.history.delete(first)


async def test_the_account_and_the_catalogue(nb: AsyncNeuralBox) -> None:
    async with nb:
        balance = await nb.account.balance()
        assert (balance.plan, balance.token_balance) == ("elite", 100_000)
        assert (await nb.account.update(name="Ada")).name == "Ada"
        user = await nb.account.me()
        assert (user.name, user.plan) == ("Ada", "elite")
        await nb.text.create(model="gpt-5", prompt="Hi")
        limits = await nb.account.limits()
        assert (limits.hour.limit, limits.day.limit) == (user.rate_limit_hourly or None, user.rate_limit_daily or None)
        stats = await nb.account.stats()
        assert (stats.total_generations, stats.breakdown["text"].count) == (1, 1)
        slugs = {model.slug for model in await nb.models.list()}
        assert {"gpt-5", "dall-e-3", "kling-v2.1"} <= slugs
        model = await nb.models.get("dall-e-3")
        assert (model.category, model.supports_streaming) == ("image", False)
        price = await nb.models.price("dall-e-3", size="1024x1792", quality="hd")
        made = await nb.images.create(model="dall-e-3", prompt="A cat", size="1024x1792", quality="hd")
        assert made.tokens == price.token_cost == 13
        raw = await nb.with_raw_response.account.me()
        assert raw.headers["x-ratelimit-limit-hour"] == raw.headers["X-RateLimit-Limit-Hour"]


async def test_keys_and_assistants(nb: AsyncNeuralBox, tongue: str) -> None:
    async with nb:
        key = await nb.keys.create(name="build")
        assert key.key is not None
        assert key.id is not None
        copy = nb.with_options(api_key=key.key)
        assert (await copy.account.balance()).token_balance == 100_000
        assert (await nb.keys.rename(key.id, name="new")).name == "new"
        await nb.keys.revoke(key.id)
        with pytest.raises(errors.AuthenticationError):
            await copy.account.balance()
        assistant = await nb.assistants.create(name="Ed", model="gpt-5", instructions="Edit.", description="An editor")
        assert str(assistant.id).startswith("asst_")
        assert await nb.assistants.marketplace(limit=2)
        reply = await nb.text.create(assistant_id=str(assistant.id), prompt="Hello")
        assert reply.text


@pytest.mark.parametrize("way", ["email", "phone", "telegram", "google"])
async def test_end_users_log_in_and_stay_logged_in(way: str) -> None:
    later = 0.0
    session = Session()
    with serve(Sandbox(clock=lambda: time.time() + later)) as served:
        routes = served.sandbox.ledger
        async with AsyncNeuralBox(session=session, base_url=served.url) as nb:
            if way == "email":
                login = await nb.auth.login(email="ada@example.com", password="x")
            elif way == "phone":
                login = await nb.auth.login_phone(phone="+79001234567", password="x")
            elif way == "telegram":
                data = {"id": 5, "first_name": "Ada", "auth_date": 1_772_971_200, "hash": "h"}
                login = await nb.auth.telegram(data)
            else:
                login = await nb.auth.google(code="c", redirect_uri="https://app.test/back")
            assert login.user is not None
            assert login.expires_in == 900
            assert (await nb.account.me()).id == login.user.id
            first, later = session.access_token, 5.0
            await nb.auth.refresh()
            assert session.access_token != first
            # By the service's clock the token has run out: twenty calls at once, one renewal (a cookie works once).
            later = 1_000.0
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(nb.account.me)
            assert routes.requests_by_route["POST /auth/refresh"] == 2
            assert routes.requests_by_route["GET /user/me"] == 41
        assert {one.route for one in routes.received if "cookie" in one.headers} == {"POST /auth/refresh"}
        with_key = {one.route for one in routes.received if "authorization" in one.headers}
        assert with_key == {"GET /user/me"}


async def test_a_wrong_password_and_a_lost_cookie_end_with_authentication_errors(server: Server) -> None:
    session = Session()
    async with AsyncNeuralBox(session=session, base_url=server.url) as nb:
        with pytest.raises(errors.AuthenticationError):
            await nb.auth.login(email="ada@example.com", password="wrong")
        with pytest.raises(errors.AuthenticationError):
            await nb.auth.refresh()
        await nb.auth.login(email="ada@example.com", password="x")
        session.cookies, session.expires_at = {"refresh_token": "gone"}, 0.0
        with pytest.raises(errors.AuthenticationError):
            await nb.account.me()


# Refused before money is spent.


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda nb: nb.text.create(model="no-such-model", prompt="x"), errors.NotFoundError),
        (lambda nb: nb.images.create(model="recraft-v3", prompt="x", size="1x1"), errors.UnprocessableEntityError),
        (lambda nb: nb.images.create(model="dall-e-3", prompt="x", size="1x1"), errors.ConfigurationError),
        (lambda nb: nb.text.create(model="gpt-5", prompt=""), errors.ConfigurationError),
        (lambda nb: nb.text.create(model="gpt-5", prompt="x", temperature=3), errors.ConfigurationError),
        (lambda nb: nb.transcriptions.create(audio="/nowhere.mp3"), errors.ConfigurationError),
        (
            lambda nb: nb.text.create(model="gpt-5", prompt="x", extra_body={"model": "no-such-model"}),
            errors.NotFoundError,
        ),
    ],
)
async def test_what_is_refused_costs_nothing(nb: AsyncNeuralBox, server: Server, call: Any, kind: type) -> None:
    charged = server.sandbox.ledger.charged
    async with nb:
        with pytest.raises(errors.NeuralBoxError) as caught:
            await call(nb)
    assert type(caught.value) is kind
    assert server.sandbox.ledger.charged == charged


async def test_a_key_of_a_plan_without_the_api_is_refused(server: Server) -> None:
    async with AsyncNeuralBox(api_key=f"nb_plan_pro_{uuid.uuid4().hex}", base_url=server.url) as nb:
        with pytest.raises(errors.PermissionDeniedError) as caught:
            await nb.text.create(model="gpt-5", prompt="x")
        assert caught.value.code == words.INSUFFICIENT_PLAN
    async with AsyncNeuralBox(api_key="not-a-key", base_url=server.url) as nb:
        with pytest.raises(errors.AuthenticationError):
            await nb.account.balance()


# Faults: at most one charge, whatever the network does.


@pytest.fixture
def flaky(server: Server) -> Iterator[Server]:
    """The server, its faults gone afterwards."""
    yield server
    server.sandbox.faults.clear()


@pytest.mark.parametrize(
    "fault",
    [
        "drop-after-accept",
        "reset-after-accept",
        "cut-answer",
        "garbled-json",
        "error-502-after-accept",
        "error-504-after-accept",
        "drop-before-accept",
        "html-502",
        "error-500",
        "error-500-after-accept",
    ],
)
async def test_a_purchase_nobody_reconciles_is_posted_once_whatever_breaks(
    nb: AsyncNeuralBox, flaky: Server, fault: str
) -> None:
    flaky.sandbox.faults.set(f"{fault}@POST /generate", 1)
    posts = flaky.sandbox.ledger.requests_by_route.get("POST /generate", 0)
    async with nb:
        copy = nb.with_options(max_retries=5, submission="raise")
        with pytest.raises(errors.SubmissionUnknownError) as caught:
            await copy.text.create(model="gpt-5", prompt=f"the planted prompt {uuid.uuid4()}")
        assert flaky.sandbox.ledger.requests_by_route["POST /generate"] == posts + 1
        assert "planted" not in f"{caught.value}{caught.value!r}"
        flaky.sandbox.faults.clear()
        # What the error points at tells whether it was accepted.
        if isinstance(caught.value, errors.SubmissionUnknownError):
            bought = [item.prompt async for item in nb.history.list()]
            sent = caught.value.request["prompt"]
            assert (sent in bought) is (fault.endswith("after-accept") or fault in ("cut-answer", "garbled-json"))


@pytest.mark.parametrize("fault", ["rate-limit", "error-503"])
async def test_a_service_that_is_busy_is_asked_again_and_charges_once(flaky: Server, tongue: str, fault: str) -> None:
    flaky.sandbox.faults.set(f"{fault}@POST /generate", 1, times=1)
    charges = len(flaky.sandbox.ledger.charges)
    with using(FastTime()):  # it is told to come back in a second
        nb = make_client(flaky, tongue)
    async with nb:
        raw = await nb.with_options(max_retries=2).with_raw_response.text.create(model="gpt-5", prompt="x")
    assert raw.attempts == 2
    assert len(flaky.sandbox.ledger.charges) == charges + 1


async def test_questions_are_repeated_until_they_are_answered(nb: AsyncNeuralBox, flaky: Server) -> None:
    async with nb:
        copy = nb.with_options(max_retries=2)
        copy._core.sleep = lambda seconds: anyio.sleep(0)  # noqa: ASYNC115 - the pause between the attempts
        for fault in ("drop-before-accept", "html-502", "error-500"):
            flaky.sandbox.faults.set(f"{fault}@GET /user/me", 1, times=2)
            raw = await copy.with_raw_response.account.me()
            assert raw.attempts == 3
            flaky.sandbox.faults.clear()


# Balance paths (C12), and that nothing was forgotten.


@pytest.mark.parametrize("path", [words.BALANCE, words.USER_BALANCE])
async def test_the_balance_is_found_at_either_path(path: str) -> None:
    with serve(Sandbox(balance_path=path)) as served:
        async with AsyncNeuralBox(api_key="nb_test", base_url=served.url) as nb:
            assert (await nb.account.balance()).token_balance == 100_000


@pytest.mark.parametrize("vocabulary", ["A", "B"])
async def test_a_strict_service_is_asked_at_the_right_path_first(vocabulary: Any) -> None:
    with serve(Sandbox(dialect=vocabulary, strict_paths=True)) as served:
        async with AsyncNeuralBox(api_key="nb_test", base_url=served.url) as nb:
            made = await nb.text.create(model="gpt-5", prompt="x")
            assert (await nb.generations.get(str(made.id))).is_completed
        by_path = served.sandbox.ledger.requests_by_route
    wanted = "GET /generate/{id}" if vocabulary == "A" else "GET /generate/status/{id}"
    assert {route for route in by_path if route.startswith("GET")} == {wanted}
