"""Every resource of the blocking client against the sandbox on a real socket: one call each, results as users get them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neuralbox import Generation, NeuralBox, Polling, Session
from neuralbox import _errors as errors
from neuralbox.sandbox import Sandbox, Server, serve
from neuralbox.sync import Items, Job, Pager, TextStream

FAST = Polling(timeout=20, min_interval=0.01, max_interval=0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Sandbox(speed=2_000)) as served:
        yield served


@pytest.fixture
def nb(server: Server) -> Iterator[NeuralBox]:
    """A client of an account of its own."""
    key = f"nb_test_{uuid.uuid4().hex}"
    with NeuralBox(api_key=key, base_url=server.url, polling=FAST, max_retries=0) as client:
        yield client


def test_every_way_to_generate_ends_with_a_result(nb: NeuralBox) -> None:
    made = [
        nb.generate.create(model="dall-e-3", prompt="A tea house", params={"size": "1024x1024"}),
        nb.text.create(model="gpt-5", prompt="Hi"),
        nb.images.create(model="dall-e-3", prompt="A cat"),
        nb.videos.create(model="kling-v2.1", prompt="A boat", duration=5),
        nb.speech.create(model="openai-tts", text="Hello there"),
        nb.music.create(model="musicgen", prompt="slow jazz", duration=15),
        nb.tools.create(model="upscale", image_url="https://example.com/a.png"),
        nb.transcriptions.create(audio=b"ID3" + bytes(1_000), file_name="talk.mp3", language="en"),
    ]
    assert all(type(one) is Generation and one.is_completed for one in made)
    assert {str(item.id) for item in nb.history.list(page_size=3)} == {str(one.id) for one in made}


def test_jobs_are_submitted_waited_for_watched_and_attached_to_again(nb: NeuralBox) -> None:
    jobs = [
        nb.videos.submit(model="kling-v2.1", prompt="A boat"),
        nb.generate.submit(model="luma-ray2", prompt="A boat"),
        nb.images.submit(model="midjourney-turbo", prompt="A boat"),
        nb.music.submit(model="musicgen", prompt="slow jazz"),
        nb.tools.submit(model="upscale", image_url="https://example.com/a.png"),
    ]
    assert {type(job) for job in jobs} == {Job}
    told: list[tuple[str, int]] = []

    def tell(seen: Generation) -> None:
        told.append((seen.status, threading.get_ident()))

    video = jobs[0].wait(on_progress=tell)
    assert told[-1] == (video.status, threading.get_ident())
    assert jobs[0].generation == video
    assert (jobs[0].id, jobs[0].ref.id) == (video.id, video.id)
    finished = nb.generations.wait([jobs[0], jobs[1].id, jobs[2].ref, *jobs[3:]])
    assert [str(one.id) for one in finished] == [str(job.id) for job in jobs]
    again = nb.job(jobs[1].ref)
    assert again.refresh().is_completed
    watched = nb.job(jobs[2].id).watch()
    assert isinstance(watched, Items)
    assert [seen.status for seen in watched][-1] == "completed"
    assert nb.generations.get(jobs[0].id).url == video.url


def test_a_text_is_read_while_it_is_written(nb: NeuralBox) -> None:
    with nb.text.stream(model="gpt-5", prompt="Tell me a story", max_tokens=40) as stream:
        assert isinstance(stream, TextStream)
        pieces = [*stream]
    assert len(pieces) > 1
    assert stream.result.text == stream.text == "".join(pieces)
    with nb.text.stream(model="gpt-5", prompt="Tell me a story", max_tokens=40) as stream:
        assert stream.collect().text == stream.text
    with nb.text.stream(model="gpt-5", prompt="Tell me a story", max_tokens=40) as stream:
        kinds = [type(event).__name__ for event in stream.events()]
    assert (kinds[0], kinds[-1]) == ("GenerationStart", "GenerationEnd")
    with nb.text.stream(model="gpt-5", prompt="Tell me a story", max_tokens=40) as stream:
        first = next(stream)
        assert first
        with pytest.raises(errors.ConfigurationError, match="half read"):
            stream.collect()
        rest = [*stream]
    assert stream.result.text == first + "".join(rest)


def test_the_history_is_listed_marked_rated_and_deleted(nb: NeuralBox) -> None:
    for number in range(3):
        nb.images.create(model="dall-e-3", prompt=f"Cat {number}")
    pager = nb.history.list(type="image", page_size=2)
    assert isinstance(pager, Pager)
    page = pager.first_page()
    assert [item.prompt for item in page] == ["Cat 2", "Cat 1"]
    assert [len(one.items) for one in pager.pages()] == [2, 1]
    assert [item.prompt for item in nb.history.list(max_items=1)] == ["Cat 2"]
    first = page.items[0].id
    assert nb.history.favorite(first) is True
    assert nb.history.favorite(first) is False
    nb.history.rate(first, 4)
    nb.history.delete(first)
    assert [item.prompt for item in pager] == ["Cat 1", "Cat 0"]
    with pytest.raises(errors.NotFoundError):
        nb.generations.get(first)


def test_the_account_and_the_catalogue(nb: NeuralBox) -> None:
    assert nb.account.balance().token_balance == 100_000
    assert nb.account.update(name="Ada").name == nb.account.me().name == "Ada"
    assert nb.account.stats().total_generations == 0
    assert "gpt-5" in {model.slug for model in nb.models.list()}
    assert nb.models.get("dall-e-3").category == "image"
    assert nb.models.price("dall-e-3", size="1024x1792", quality="hd").token_cost == 13


def test_keys_assistants_and_copies(nb: NeuralBox) -> None:
    key = nb.keys.create(name="build")
    assert key.key is not None
    assert key.id is not None
    copy = nb.with_options(api_key=key.key)
    assert type(copy) is NeuralBox
    assert copy.account.balance().token_balance == 100_000
    assert nb.keys.rename(key.id, name="new").name == "new"
    nb.keys.revoke(key.id)
    with pytest.raises(errors.AuthenticationError):
        copy.account.balance()
    assistant = nb.assistants.create(name="Ed", model="gpt-5", instructions="Edit.")
    assert nb.text.create(assistant_id=str(assistant.id), prompt="Hello").text
    assert nb.assistants.marketplace(limit=2)


def test_files_come_from_generations_jobs_and_addresses(nb: NeuralBox, tmp_path: Path) -> None:
    job = nb.images.submit(model="dall-e-3", prompt="A cat")
    image = job.wait()
    told: list[Any] = []
    path = nb.files.download(job, tmp_path, on_progress=lambda *counts: told.append((*counts, threading.get_ident())))
    assert told[-1] == (path.stat().st_size, path.stat().st_size, threading.get_ident())
    assert image.url is not None
    assert nb.files.read(image) == nb.files.read(image.url) == path.read_bytes()


def test_end_users_log_in(server: Server) -> None:
    session = Session()
    with NeuralBox(session=session, base_url=server.url) as nb:
        login = nb.auth.login(email="ada@example.com", password="x")
        assert login.user is not None
        assert nb.account.me().id == login.user.id
        nb.auth.refresh()
        assert nb.auth.login_phone(phone="+79001234567", password="x").user is not None
        data = {"id": 5, "first_name": "Ada", "auth_date": 1_772_971_200, "hash": "h"}
        assert nb.auth.telegram(data).user is not None
        assert nb.auth.google(code="c", redirect_uri="https://app.test/back").user is not None


def test_raw_responses_carry_the_reply_and_the_blocking_value(nb: NeuralBox) -> None:
    raw = nb.with_raw_response.videos.submit(model="kling-v2.1", prompt="A boat")
    assert raw.status_code in (200, 201, 202)
    assert type(raw.value) is Job
    assert raw.value.wait().is_completed
    assert nb.with_raw_response.history.list(page_size=5).value.total == 1
    assert nb.with_raw_response.account.balance().headers["X-RateLimit-Limit-Hour"]
    assert nb.request("GET", "/user/history", params={"limit": 1}).json()["total"] == 1


def test_a_raw_stream_is_left_as_one_that_was_entered_by_itself(nb: NeuralBox) -> None:
    with nb.with_raw_response.text.stream(model="gpt-5", prompt="Hello") as raw:
        assert (raw.status_code, raw.content, raw.attempts) == (200, b"", 1)
        assert type(raw.value) is TextStream
        text = "".join(raw.value)
    assert raw.value.result.text == text
    with nb.with_raw_response.text.stream(model="gpt-5", prompt="Hello") as raw:
        assert next(iter(raw.value))  # and left half read
    stream = nb.with_raw_response.text.stream(model="gpt-5", prompt="Hello")
    with pytest.raises(ZeroDivisionError), stream as raw:
        raise ZeroDivisionError
    with pytest.raises(errors.NotFoundError), nb.with_raw_response.text.stream(model="no-such-model", prompt="x"):
        pass


def test_errors_are_those_of_the_async_client(nb: NeuralBox) -> None:
    with pytest.raises(errors.NotFoundError):
        nb.text.create(model="no-such-model", prompt="x")
    with pytest.raises(errors.ConfigurationError):
        nb.text.create(model="gpt-5", prompt="")
