"""Result files are real: of the size, length and format that their record says; served as storage serves."""

from __future__ import annotations

import threading
import time
from io import BytesIO
from typing import Any

import anyio
import av
import httpx
import pytest
from av.container import InputContainer
from PIL import Image

from neuralbox._api import vocabulary as words
from neuralbox.sandbox import Sandbox

from .conftest import Api, Start

SIZES = sorted({size for model in ("dall-e-3", "flux-1.1-pro") for size in words.IMAGE_SIZES[model]})


@pytest.mark.parametrize("ending", words.IMAGE_FORMATS)
def test_a_picture_has_the_format_and_size_it_says(api: Api, ending: str) -> None:
    image = api.make("flux-1.1-pro", size="768x1344", format=ending)
    reply = api.get(image["result_url"], headers={"Authorization": ""})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == f"image/{ending}"
    assert int(reply.headers["content-length"]) == len(reply.content)
    with Image.open(BytesIO(reply.content)) as picture:
        assert (picture.format, picture.size) == (ending.upper(), (768, 1344))
        assert len(set(picture.convert("RGB").resize((8, 8)).tobytes())) > 8


@pytest.mark.parametrize("size", SIZES)
def test_every_documented_size_is_drawn(api: Api, size: str) -> None:
    model = "dall-e-3" if size in words.IMAGE_SIZES["dall-e-3"] else "flux-1.1-pro"
    image = api.make(model, size=size, format="jpeg")
    facts = image["result_metadata"]
    assert f"{facts['width']}x{facts['height']}" == size
    with Image.open(BytesIO(api.get(image["result_url"]).content)) as picture:
        assert picture.size == (facts["width"], facts["height"])


def test_the_same_prompt_and_seed_give_the_same_picture(api: Api) -> None:
    def draw(prompt: str, seed: int) -> bytes:
        return api.get(api.make("photon-flash", prompt, seed=seed)["result_url"]).content

    assert draw("A fox", 1) == draw("A fox", 1)
    assert len({draw("A fox", 1), draw("A fox", 2), draw("Rhododendron " * 9, 1)}) == 3


@pytest.mark.parametrize(
    ("model", "ratio", "duration", "size"),
    [
        ("kling-v2.1", "16:9", 5, (1920, 1080)),
        ("mj-video-480p", "9:16", 10, (480, 852)),
        ("mj-video-720p", "1:1", 5, (720, 720)),
    ],
)
def test_a_video_has_the_length_and_size_it_says(
    api: Api, model: str, ratio: str, duration: int, size: tuple[int, int]
) -> None:
    accepted = api.make(model, aspect_ratio=ratio, duration=duration)
    api.clock.advance(200)
    video = api.get(f"/generate/{accepted['id']}").json()
    assert video["result_metadata"] == {"duration": duration, "width": size[0], "height": size[1]}
    reply = api.get(video["result_url"])
    assert reply.headers["content-type"] == "video/mp4"
    with av.open(BytesIO(reply.content)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", *size)
        assert stream.duration is not None
        assert stream.time_base is not None
        assert float(stream.duration * stream.time_base) == duration
    thumbnail = api.get(video["thumbnail_url"])
    assert thumbnail.headers["content-type"] == "image/jpeg"
    with Image.open(BytesIO(thumbnail.content)) as picture:
        assert max(picture.size) == 480


@pytest.mark.parametrize(
    ("model", "options", "codec", "seconds", "media_type"),
    [
        ("openai-tts", {"text": "x" * 42, "format": "mp3"}, "mp3float", 3, "audio/mpeg"),
        ("openai-tts", {"text": "x" * 42, "format": "wav", "speed": 0.5}, "pcm_s16le", 6, "audio/wav"),
        ("openai-tts", {"text": "x" * 42, "format": "ogg", "speed": 1.5}, "opus", 2, "audio/ogg"),
        ("musicgen", {"duration": 15}, "mp3float", 15, "audio/mpeg"),
        ("elevenlabs-sfx", {}, "mp3float", 5, "audio/mpeg"),
    ],
)
def test_a_sound_has_the_format_and_length_it_says(
    api: Api, model: str, options: dict[str, Any], codec: str, seconds: int, media_type: str
) -> None:
    sound = api.make(model, **options)
    assert sound["result_metadata"] == {"duration": seconds}
    reply = api.get(sound["result_url"])
    assert reply.headers["content-type"] == media_type
    with av.open(BytesIO(reply.content)) as container:
        assert container.streams.audio[0].codec_context.name == codec
        assert isinstance(container, InputContainer)
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(seconds, abs=0.15)


def test_many_videos_need_few_encodings(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuralbox.sandbox._media import library, videos

    made: list[tuple[int, ...]] = []

    def encode(*facts: int) -> bytes:
        made.append(facts)
        return b"video %d" % len(made)

    monkeypatch.setattr(videos, "encode_video", encode)
    ids = [api.make("kling-v2.1", f"Take {number}")["id"] for number in range(40)]
    api.clock.advance(100)
    for one in ids:
        assert api.get(f"{api.url}/storage/generations/{one}.mp4").content.startswith(b"video")
    assert len(made) == len(set(made)) <= library.PALETTES


def test_the_media_library_keeps_a_bounded_number_of_bytes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuralbox.sandbox._media import library

    monkeypatch.setattr(library, "_KEPT_BYTES", 1)
    urls = [api.make("photon-flash", prompt)["result_url"] for prompt in ("one", "two")]
    first, second, again = (api.get(url).content for url in (*urls, urls[0]))
    assert first == again != second
    assert len(api.sandbox.media._kept) == 1


def test_two_first_downloads_at_once_draw_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuralbox.sandbox._media import images

    drawn: list[str] = []
    may_draw = threading.Event()

    def draw_image(prompt: str, *_: object) -> bytes:
        assert may_draw.wait(5)
        drawn.append(prompt)
        return b"image"

    monkeypatch.setattr(images, "draw_image", draw_image)
    url = api.make("photon-flash")["result_url"]
    threads = [threading.Thread(target=api.get, args=(url,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    while api.sandbox.ledger.requests_by_route.get("GET /storage/generations/{name}", 0) < 2:
        time.sleep(0.002)
    time.sleep(0.02)
    may_draw.set()
    for thread in threads:
        thread.join()
    assert len(drawn) == 1


# Serving.


@pytest.fixture
def picture(api: Api) -> tuple[str, bytes]:
    url = api.make("photon-flash")["result_url"]
    return url, api.get(url).content


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=10-", 10, None), ("bytes=-7", -7, None), ("bytes=5-999999999", 5, None)],
)
def test_a_range_is_answered_with_its_bytes(
    api: Api, picture: tuple[str, bytes], wanted: str, first: int, last: int | None
) -> None:
    url, whole = picture
    reply = api.get(url, headers={"Range": wanted})
    begin = first % len(whole)
    end = len(whole) - 1 if last is None else last
    assert reply.status_code == 206
    assert reply.content == whole[begin : end + 1]
    assert reply.headers["content-range"] == f"bytes {begin}-{end}/{len(whole)}"
    assert reply.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("wanted", ["bytes=999999999-", "bytes=9-3", "bytes=-0"])
def test_a_range_outside_the_file_is_416(api: Api, picture: tuple[str, bytes], wanted: str) -> None:
    reply = api.get(picture[0], headers={"Range": wanted})
    assert (reply.status_code, reply.headers["content-range"]) == (416, f"bytes */{len(picture[1])}")


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "lines=1-2", "bytes=-"])
def test_a_range_that_is_not_understood_gets_the_whole_file(api: Api, picture: tuple[str, bytes], wanted: str) -> None:
    reply = api.get(picture[0], headers={"Range": wanted})
    assert (reply.status_code, reply.content) == (200, picture[1])


def test_a_range_counts_only_for_the_file_it_was_meant_for(api: Api, picture: tuple[str, bytes]) -> None:
    url, whole = picture
    tag = api.http.head(url).headers["etag"]
    assert api.get(url, headers={"Range": "bytes=1-", "If-Range": tag}).content == whole[1:]
    assert api.get(url, headers={"Range": "bytes=1-", "If-Range": '"other"'}).content == whole


def test_head_tells_the_size_without_the_bytes(api: Api, picture: tuple[str, bytes]) -> None:
    reply = api.http.head(picture[0])
    assert (reply.status_code, int(reply.headers["content-length"]), reply.content) == (200, len(picture[1]), b"")


def test_there_is_no_file_before_completion_nor_of_another_kind(api: Api) -> None:
    video, text, image = (api.make(model) for model in ("kling-v2.1", "gpt-5", "photon-flash"))
    storage = f"{api.url}/storage"
    for place in (
        f"generations/{video['id']}.mp4",
        f"generations/{text['id']}.txt",
        f"generations/{image['id']}.png",
        f"thumbnails/{image['id']}.jpg",
        "generations/7.webp",
    ):
        reply = api.get(f"{storage}/{place}")
        assert (reply.status_code, reply.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize(("plan", "days"), [("vip", 90), ("elite", None)])
def test_files_are_kept_as_long_as_the_plan_says(start: Start, plan: str, days: int | None) -> None:
    api = start(plan=plan)
    url = api.make("photon-flash")["result_url"]
    api.clock.advance((days or 10_000) * 86_400 - 1)
    assert api.get(url).status_code == 200
    api.clock.advance(1)
    reply = api.get(url)
    assert reply.status_code == (410 if days else 200)
    if days:
        assert reply.json()["error"] == "file_expired"


def test_links_lead_to_the_host_that_was_asked(api: Api) -> None:
    url = api.http.post(
        "/generate", json={"model": "photon-flash", "prompt": "x"}, headers={"Host": "localhost:9"}
    ).json()["result_url"]
    assert url.startswith("http://localhost:9/storage/generations/")


@pytest.mark.anyio
async def test_the_application_also_runs_in_memory_on_both_event_loops() -> None:
    sandbox = Sandbox()
    transport = httpx.ASGITransport(sandbox.app)
    headers = {"Authorization": "Bearer nb_test"}
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox/api/v2", headers=headers) as client:
        image = (await client.post("/generate", json={"model": "photon-flash", "prompt": "x"})).json()
        with anyio.fail_after(5):
            assert (await client.get(image["result_url"])).content
