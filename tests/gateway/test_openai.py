"""openai's own client against the gateway, on sockets: its models validate every answer, and it pays once."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import openai
import pytest

from benchmarks import bench_gateway
from benchmarks.bench_gateway import in_thread
from neuralbox import AsyncNeuralBox
from neuralbox._api.vocabulary import MAX_PAGE_SIZE
from neuralbox.gateway import KeyFile, app
from neuralbox.testing import RunningSandbox, served

HELLO: Any = [{"role": "user", "content": "Good morning"}]


@pytest.fixture(scope="module")
def service() -> Iterator[RunningSandbox]:
    with served(pace=400.0, balance=10_000_000) as running:
        yield running


@pytest.fixture(scope="module")
def strict(service: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """A client that refuses every answer which its models do not fit."""
    keys = KeyFile(tmp_path_factory.mktemp("gateway") / "keys.json")
    key, _ = keys.make("strict")
    client = service.client()
    with (
        in_thread(app(client, keys=keys), client) as url,
        openai.OpenAI(api_key=key, base_url=url, _strict_response_validation=True) as caller,
    ):
        yield caller


CALLS: Mapping[str, Callable[[openai.OpenAI], object]] = {
    "POST /v1/chat/completions": lambda client: client.chat.completions.create(model="gpt-5", messages=HELLO),
    "POST /v1/chat/completions streamed": lambda client: list(
        client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)
    ),
    "POST /v1/responses": lambda client: client.responses.create(model="gpt-5", input="Hello"),
    "POST /v1/responses streamed": lambda client: list(
        client.responses.create(model="gpt-5", input="Hello", stream=True)
    ),
    "POST /v1/images/generations": lambda client: client.images.generate(model="flux-1.1-pro", prompt="A fox", n=2),
    "POST /v1/audio/speech": lambda client: spoken(client).read(),
    "POST /v1/audio/transcriptions": lambda client: client.audio.transcriptions.create(
        model="whisper-1", file=("talk.mp3", spoken(client).read())
    ),
    "POST /v1/videos": lambda client: client.videos.create(model="sora-2", prompt="A boat"),
    "GET /v1/videos": lambda client: list(client.videos.list(limit=2)),
    "GET /v1/videos/{}": lambda client: client.videos.retrieve(filmed(client).id),
    "GET /v1/videos/{}/content": lambda client: client.videos.download_content(filmed(client).id).read(),
    "DELETE /v1/videos/{}": lambda client: client.videos.delete(filmed(client).id),
    "GET /v1/models": lambda client: list(client.models.list()),
    "GET /v1/models/{}": lambda client: client.models.retrieve("gpt-5"),
}
"""A call of each endpoint; openai's client validates what comes back, piece by piece where it is streamed."""


def spoken(client: openai.OpenAI) -> Any:
    return client.audio.speech.create(model="tts-1", voice="alloy", input="Hello there")


def filmed(client: openai.OpenAI) -> Any:
    return client.videos.create_and_poll(model="sora-2", prompt="A boat", poll_interval_ms=20)


@pytest.mark.uncovered
@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
@pytest.mark.parametrize("endpoint", CALLS)
def test_openais_models_fit_the_answers_of_each_endpoint(strict: openai.OpenAI, endpoint: str) -> None:
    assert CALLS[endpoint](strict)


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
def test_openais_models_fit_what_is_said_of_a_video_that_failed(service: RunningSandbox, strict: openai.OpenAI) -> None:
    service.faults.set("fail-generation", 1.0, times=1)
    video = filmed(strict)
    assert (video.status, video.error.code) == ("failed", "generation_failed")


def test_each_endpoint_of_the_gateway_is_called_by_openais_client() -> None:
    gateway = app(connect=lambda key: AsyncNeuralBox(api_key=key))
    served = {f"{method} {path}" for method, path in gateway._paths}
    served |= {f"{method} {re.sub('[(].*?[)]', '{}', named.pattern)}" for method, named, _ in gateway._patterns}
    assert {endpoint.removesuffix(" streamed") for endpoint in CALLS} == served


def test_texts_whole_and_streamed(strict: openai.OpenAI) -> None:
    whole = strict.chat.completions.create(model="gpt-5", messages=HELLO, n=2)
    assert [choice.index for choice in whole.choices] == [0, 1]
    options: Any = {"include_usage": True}
    chunks = list(strict.chat.completions.create(model="gpt-5", messages=HELLO, stream=True, stream_options=options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert text.startswith("A made-up answer")
    with strict.chat.completions.stream(model="gpt-5", messages=HELLO) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].finish_reason == "stop"
    said = strict.responses.create(model="gpt-5", input="Hello", instructions="Be brief", metadata={"a": "b"})
    assert (said.status, said.instructions, said.metadata) == ("completed", "Be brief", {"a": "b"})
    with strict.responses.stream(model="gpt-5", input="Hello") as events:
        kinds = [event.type for event in events]
        assert events.get_final_response().output_text == said.output_text
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


def test_pictures_sounds_and_transcripts(strict: openai.OpenAI) -> None:
    by_address = strict.images.generate(model="flux-1.1-pro", prompt="A fox", size="1536x1024")
    by_value = strict.images.generate(model="gpt-image-1.5", prompt="A fox", output_format="png")
    assert by_address.data
    assert by_address.data[0].url
    assert by_address.size == "1536x1024"
    assert by_value.data
    assert by_value.data[0].b64_json
    assert by_value.output_format == "png"
    sound = strict.audio.speech.create(model="tts-1", voice="alloy", input="Hello there")
    assert sound.response.headers["content-type"] == "audio/mpeg"
    file = ("talk.mp3", sound.content)
    written = strict.audio.transcriptions.create(model="whisper-1", file=file)
    assert written.text
    plain: Any = strict.audio.transcriptions.create(model="whisper-1", file=file, response_format="text")
    assert plain.strip() == written.text


def test_videos_from_their_making_to_their_end(strict: openai.OpenAI) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # openai's own service for them has ended
        made = strict.videos.create_and_poll(
            model="sora-2", prompt="A boat", seconds="4", size="720x1280", poll_interval_ms=20
        )
        assert (made.status, made.seconds, made.size) == ("completed", "5", "720x1280")
        assert made.id in {video.id for video in strict.videos.list(limit=1)}
        assert strict.videos.download_content(made.id).read()[4:8] == b"ftyp"
        assert strict.videos.delete(made.id).deleted


def test_models_and_errors(strict: openai.OpenAI) -> None:
    assert strict.models.retrieve("gpt-5").owned_by == "OpenAI"
    assert len(list(strict.models.list())) > 40
    with pytest.raises(openai.NotFoundError) as unknown:
        strict.chat.completions.create(model="nope", messages=HELLO)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    tool: Any = {"type": "function", "function": {"name": "f"}}
    with pytest.raises(openai.BadRequestError) as refused:
        strict.chat.completions.create(model="gpt-5", messages=HELLO, tools=[tool])
    assert refused.value.param == "tools"
    with pytest.raises(openai.AuthenticationError):
        strict.with_options(api_key="nbgw_wrong").models.list()
    assert refused.value.request_id is not None


# The small version of the benchmark: what it counts, not how long it takes.


def test_under_a_fault_openais_client_pays_once_for_each() -> None:
    came = bench_gateway.under_fault("reset-after-accept", 12, seed=1)
    assert (came.charges, came.twice, came.results, came.exceptions) == (12, 0, 12, 0)


@pytest.mark.uncovered
def test_a_gateway_that_is_killed_and_started_again_pays_once_for_each() -> None:
    count = MAX_PAGE_SIZE + 20  # so that the history has a second page
    came = bench_gateway.under_kills(count, 1, seed=1)
    assert (came.charges, came.twice, came.results, came.exceptions) == (count, 0, count, 0)


@pytest.mark.uncovered
def test_many_pollers_cost_the_service_what_one_waiter_does() -> None:
    row = bench_gateway.polls_row(100, 5.0, seed=1)
    assert row.value <= bench_gateway.POLLS_BOUND


def test_what_the_benchmark_says_of_cpu_has_its_bounds_and_what_was_measured() -> None:
    (row,) = asyncio.run(bench_gateway.cpu_of_chat(3, 1, 1, journal=True))
    queued, single = asyncio.run(bench_gateway.cpu_of_pieces(20, 1))
    assert (row.what, row.against) == ("chat request through the gateway, with a journal", "sdk")
    assert (row.bound, queued.bound, single.bound) == (bench_gateway.CPU_BOUND, *[bench_gateway.PIECE_BOUND] * 2)
    assert row.ratio is not None
    assert 0.2 < row.ratio < 20  # of one round, warm or not: a figure of another unit or process is far off
    assert 1 < row.value < 1e5
    assert all(1 < each.value < 1e4 for each in (queued, single))
