"""GeminiGen's two endpoints have the shapes of the seed, field by field, and refuse in that service's words."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from neuralbox._api import gemini_vocabulary as words
from neuralbox.sandbox import Sandbox
from neuralbox.sandbox import _gemini_paths as gemini_paths
from neuralbox.sandbox._endpoints import gemini, gemini_make
from neuralbox.sandbox._faults import PAID
from tests import samples

from .conftest import Api, Start

SEED = samples.record("geminigen/list")["result"][0]
DETAIL = samples.record("geminigen/detail")
PNG = {"size": "1792x1024"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def ask(api: Api, path: str, key: str | None = "nb_test", **query: Any) -> httpx.Response:
    headers = {} if key is None else {"x-api-key": key}
    return httpx.get(f"{api.url}/uapi/v1{path}", params=query, headers=headers, trust_env=False, timeout=5)


def listed(api: Api, **query: Any) -> dict[str, Any]:
    reply = ask(api, "/histories", **query)
    assert reply.status_code == 200
    body: dict[str, Any] = reply.json()
    return body


def detail(api: Api, uuid: str) -> dict[str, Any]:
    reply = ask(api, f"/history/{uuid}")
    assert reply.status_code == 200
    body: dict[str, Any] = reply.json()
    return body


def shape(value: Any) -> Any:
    """Names and types, in order; a text that may be empty counts as a text."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value).__name__


def test_its_words_are_the_clients() -> None:
    assert gemini.PREFIX == words.PREFIX
    assert gemini.HISTORIES == words.HISTORIES
    assert gemini.HISTORY.format(uuid="u") == words.HISTORY.format(id="u")
    assert gemini.KEY_HEADER == words.KEY_HEADER


def test_a_list_item_has_the_seeds_fields_in_the_seeds_types(api: Api) -> None:
    api.make("dall-e-3", **PNG)
    body = listed(api)
    assert list(body) == ["success", "total", "result"]
    assert (body["success"], body["total"]) == (True, 1)
    (item,) = body["result"]
    assert shape(item) == shape(SEED)
    assert list(item) == [*(name for name in DETAIL if name in SEED and name not in {"created_by", "thumbnail_url"}),
                          "media_files", "created_by", "thumbnail_url"]  # fmt: skip
    assert (item["status"], item["status_desc"], item["status_percentage"]) == (2, "completed", 100)
    assert (item["type"], item["inference_type"]) == ("image_generation", "text_to_image")
    assert item["media_files"][0]["url"] == item["generate_result"] == item["thumbnail_url"]
    assert all(MOMENT.fullmatch(item[name]) for name in ("created_at", "updated_at", "expired_at"))


NESTED = [
    ("dall-e-3", "A city", "generated_image", {}),
    ("kling-v2.1", "A boat", "generated_video", {"aspect_ratio": "9:16"}),
]


@pytest.mark.parametrize(("model", "prompt", "array", "options"), NESTED)
def test_a_detail_has_the_seeds_fields_and_files_of_its_kind(
    api: Api, model: str, prompt: str, array: str, options: dict[str, Any]
) -> None:
    api.make(model, prompt, **options)
    api.clock.advance(600)
    record = detail(api, listed(api)["result"][0]["uuid"])
    assert list(record) == list(DETAIL)
    assert shape(record[array]) == shape(DETAIL[array])
    others = {"generated_video", "generated_image", "generated_audio", "reference_item"} - {array}
    assert [record[other] for other in others] == [[]] * 3
    assert shape({name: one for name, one in record.items() if not isinstance(one, list)}) == shape(
        {name: one for name, one in DETAIL.items() if not isinstance(one, list)}
    )


def test_speech_is_told_as_a_sound(api: Api) -> None:
    made = api.post("/generate", {"model": "openai-tts", "text": "Hello there"}).json()
    (item,) = listed(api)["result"]
    assert (item["type"], item["inference_type"], item["media_files"][0]["type"]) == (
        "tts-text",
        "gemini_voice",
        "audio",
    )
    (sound,) = detail(api, item["uuid"])["generated_audio"]
    assert shape(sound) == shape(DETAIL["generated_audio"][0])
    assert sound["audio_url"] == made["result_url"]


def test_a_film_goes_from_processing_to_completed(api: Api) -> None:
    api.make("kling-v2.1", "A boat", aspect_ratio="1:1")
    (item,) = listed(api)["result"]
    assert (item["status"], item["status_desc"], item["status_percentage"]) == (1, "processing", 0)
    assert (item["generate_result"], item["media_files"], item["used_credit"]) == ("", [], 0)
    (video,) = detail(api, item["uuid"])["generated_video"]
    assert (video["video_url"], video["last_frame"], video["status"], video["aspect_ratio"]) == ("", "", 1, "1:1")
    api.clock.advance(20)
    assert 0 < detail(api, item["uuid"])["status_percentage"] < 100
    api.clock.advance(600)
    record = detail(api, item["uuid"])
    assert (record["status"], record["used_credit"] > 0) == (2, True)
    for url in (record["generate_result"], record["thumbnail_url"], record["generated_video"][0]["last_frame"]):
        assert httpx.head(url, trust_env=False).status_code == 200


def test_a_pending_picture_has_no_address_yet(api: Api) -> None:
    api.make("midjourney-v6", "A harbour", size="16:9")
    (item,) = listed(api)["result"]
    (picture,) = detail(api, item["uuid"])["generated_image"]
    assert (picture["image_url"], picture["thumbnails"], item["thumbnail_url"]) == ("", [], "")


def test_a_failed_film_says_why(start: Start) -> None:
    api = start(faults={"fail-generation": 1.0})
    api.make("kling-v2.1", "A boat")
    api.clock.advance(600)
    (item,) = listed(api)["result"]
    assert (item["status"], item["status_desc"], item["error_code"]) == (3, "failed", "SYSTEM_ERROR")
    assert item["error_message"]
    assert (item["generate_result"], item["media_files"], item["thumbnail_url"]) == ("", [], "")


def test_a_rating_is_a_text(api: Api) -> None:
    made = api.make("dall-e-3")
    api.post(f"/user/history/{made['id']}/rate", {"rating": 4})
    assert listed(api)["result"][0]["rating"] == "4"


def test_only_what_that_service_makes_is_listed_and_newest_first(api: Api) -> None:
    for number in range(3):
        api.make("dall-e-3", f"City {number}")
    api.make("gpt-5", "A text")
    api.make("musicgen", "slow jazz")
    api.make("kling-v2.1", "A boat")
    body = listed(api)
    assert [item["input_text"] for item in body["result"]] == ["A boat", "City 2", "City 1", "City 0"]
    assert len({item["uuid"] for item in body["result"]}) == 4
    text = next(record for record in api.sandbox.ledger.generations.values() if record.kind == "text")
    assert ask(api, f"/history/{gemini.uuid_of(text)}").status_code == 404


@pytest.mark.parametrize(
    ("wanted", "count"),
    [("all", 4), ("image", 2), ("video", 1), ("audio", 1), ("pending", 1), ("completed", 3), ("failed", 0), ("x", 0)],
)
def test_filters(api: Api, wanted: str, count: int) -> None:
    api.make("dall-e-3", "One")
    api.make("dall-e-3", "Two")
    api.post("/generate", {"model": "openai-tts", "text": "Hello"})
    api.make("kling-v2.1", "A boat")
    body = listed(api, filter_by=wanted)
    assert body["total"] == len(body["result"]) == count


def test_pages(api: Api) -> None:
    for number in range(12):
        api.make("dall-e-3", f"City {number}")
    assert [len(listed(api, page=page)["result"]) for page in (1, 2, 3)] == [10, 2, 0]
    assert [len(listed(api, page=page, items_per_page=5)["result"]) for page in (1, 3)] == [5, 2]
    assert listed(api, page=3)["total"] == 12
    assert len(listed(api, items_per_page=5_000)["result"]) == 12


@pytest.mark.parametrize("query", [{"page": 0}, {"page": "x"}, {"items_per_page": -1}, {"page": "²"}])
def test_a_page_that_is_no_number_is_422(api: Api, query: dict[str, Any]) -> None:
    reply = ask(api, "/histories", **query)
    assert reply.status_code == 422
    assert next(iter(query)) in reply.json()["detail"]


# Who is asking.


@pytest.mark.parametrize("path", ["/histories", "/history/u"])
def test_keys_are_refused_in_that_services_words(api: Api, path: str) -> None:
    missing, unknown = ask(api, path, None), ask(api, path, "nb_")
    assert ask(api, "/histories", "whatever-key-there-is").status_code == 200
    assert (missing.status_code, missing.json()["detail"]["error_code"]) == (401, "API_KEY_REQUIRED")
    assert (unknown.status_code, unknown.json()["detail"]["error_code"]) == (404, "API_KEY_NOT_FOUND")
    assert list(unknown.json()) == ["detail"]
    assert list(unknown.json()["detail"]) == ["error_code", "error_message"]


def test_an_account_sees_its_own_only_and_needs_no_plan(start: Start) -> None:
    api = start(plan="vip")
    api.make("dall-e-3")
    uuid = listed(api)["result"][0]["uuid"]
    assert ask(api, "/histories", "geminiai-else").json()["result"] == []
    assert ask(api, f"/history/{uuid}", "geminiai-else").json() == {"detail": "Not Found"}
    assert ask(api, "/histories", "nb_plan_free_x").status_code == 200


def test_text_ids_are_behind_uuids_too(start: Start) -> None:
    api = start(dialect="B")
    api.make("dall-e-3")
    (item,) = listed(api)["result"]
    assert detail(api, item["uuid"])["id"] == item["id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", item["uuid"])


def test_sizes_are_told_once_a_file_is_made(api: Api) -> None:
    made = api.make("dall-e-3", "A city")
    (item,) = listed(api)["result"]
    assert (item["file_size"], item["media_files"][0]["size"]) == (0, 0)
    size = len(api.http.get(made["result_url"]).content)
    (item,) = listed(api)["result"]
    assert (item["file_size"], item["media_files"][0]["size"]) == (size, size)
    api.make("dall-e-3", "Another city")
    newest = listed(api)["result"][0]
    size = detail(api, newest["uuid"])["file_size"]
    assert size == listed(api)["result"][0]["file_size"] == len(api.http.get(newest["generate_result"]).content)


@pytest.mark.parametrize("model", ["dall-e-3", "kling-v2.1"])
def test_an_image_that_was_given_along_is_the_reference(api: Api, model: str) -> None:
    api.make(model, "A city", image_url="https://images.example/a.jpg")
    (reference,) = detail(api, listed(api)["result"][0]["uuid"])["reference_item"]
    assert shape(reference) == shape(DETAIL["reference_item"][0])
    assert reference["thumbnail_url"] == "https://images.example/a.jpg"


# Making.


def make(api: Api, path: str, *, key: str | None = "nb_test", json: Any = None, **form: Any) -> httpx.Response:
    headers = {} if key is None else {"x-api-key": key}
    parts: Any = [(name, value if isinstance(value, tuple) else (None, value)) for name, value in form.items()]
    body: dict[str, Any] = {"files": parts} if json is None else {"json": json}
    return httpx.post(f"{api.url}/uapi/v1{path}", headers=headers, trust_env=False, timeout=5, **body)


def test_its_words_for_making_are_the_clients() -> None:
    pairs = [
        (gemini_paths.IMAGE, words.GENERATE_IMAGE), (gemini_paths.IMAGEN, words.IMAGEN),
        (gemini_paths.META_IMAGE, words.META_IMAGE), (gemini_paths.VIDEO, words.VIDEO),
        (gemini_paths.EXTEND, words.VIDEO_EXTEND), (gemini_paths.SPEECH, words.SPEECH),
        (gemini_paths.DIALOGUE, words.DIALOGUE), (gemini_make.ACCOUNT, words.ACCOUNT),
        (gemini_paths.STORYBOARD, words.STORYBOARD), (gemini_paths.DOCUMENT, words.DOCUMENT_SPEECH),
        (gemini_make.STATUS_PREFIX, words.STATUS_PREFIX), (gemini_make.STATUS, words.MODELS_STATUS),
    ]  # fmt: skip
    assert [ours for ours, _ in pairs] == [theirs for _, theirs in pairs]
    assert {f"POST {path}" for path in gemini_paths.MAKING} <= PAID
    making = {route.path for route in Sandbox().app.routes if isinstance(route, Route) and route.methods == {"POST"}}
    assert {path for path in making if path.startswith("/uapi/")} == {f"/uapi/v1{path}" for path in gemini_paths.MAKING}


VOICES = [{"name": "A", "voice": {"id": "v", "name": "V"}}]
PICTURE = ("a.png", b"png", "image/png")
TEXT = ("a.txt", b"A text", "text/plain")
SCENES = '[{"prompt": "A", "duration": 6}, {"prompt": "B", "duration": 6}]'
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("/generate_image", {}, 422, "'prompt'"),
    ("/generate_image", {"prompt": "P"}, 422, "'model'"),
    ("/generate_image", {"model": "m"}, 422, "'prompt'"),
    ("/generate_image", {"model": "m", "prompt": " "}, 400, "EMPTY_PROMPT"),
    ("/generate_image", {"model": "m", "prompt": "P", "aspect_ratio": "wide"}, 422, "'aspect_ratio'"),
    ("/generate_image", {"model": "m", "prompt": "P", "output_format": "gif"}, 422, "'output_format'"),
    ("/generate_image", {"model": "m", "prompt": "P", "files": ("a.exe", b"x", "image/png")}, 400, "FILE_TYPE_NOT_ALLOWED"),
    ("/imagen/other", {"prompt": "P"}, 404, "Not Found"),
    ("/video-gen/other", {"prompt": "P"}, 404, "Not Found"),
    ("/video-gen/sora", {"prompt": "P", "model": "m", "files": PICTURE, "file_urls": "u"}, 400, "TOO_MANY_IMAGES"),
    ("/video-gen/veo", {"prompt": "P", "model": "m", "duration": "long"}, 422, "'duration'"),
    ("/video-extend/sora", {"prompt": "P", "ref_history": "u"}, 404, "Not Found"),
    ("/video-extend/veo", {"prompt": "P", "ref_history": "u"}, 404, "Reference history"),
    ("/text-to-speech", {"json": {"voices": VOICES}}, 422, "'input'"),
    ("/document-to-speech", {"voices": "[1]"}, 422, "'file'"),
    ("/document-to-speech", {"file": "no upload", "voices": "[1]"}, 422, "'file'"),
    ("/document-to-speech", {"file": PICTURE, "voices": "[1]"}, 400, "FILE_TYPE_NOT_ALLOWED"),
    ("/document-to-speech", {"file": TEXT}, 422, "'voices'"),
    ("/document-to-speech", {"file": TEXT, "voices": "{"}, 422, "'voices'"),
    ("/document-to-speech", {"file": TEXT, "voices": "{}"}, 422, "'voices'"),
    ("/document-to-speech", {"file": TEXT, "voices": "[]"}, 404, "VOICE_NOT_FOUND"),
    ("/document-to-speech", {"file": TEXT, "voices": "[1]", "speed": "fast"}, 422, "'speed'"),
    ("/document-to-speech", {"file": TEXT, "voices": "[1]", "speed": "0.5"}, 422, "'speed'"),
    ("/video-storyboard/veo", {"scenes": SCENES}, 404, "Not Found"),
    ("/video-storyboard/grok", {"model": "grok-3"}, 422, "'scenes'"),
    ("/video-storyboard/grok", {"scenes": '[{"prompt": "P", "duration": 6}]'}, 422, "'scenes'"),
    ("/video-storyboard/grok", {"scenes": '[{"duration": 6}, {"duration": 6}]'}, 422, "'scenes'"),
    ("/video-storyboard/grok", {"scenes": SCENES.replace("6", "7")}, 422, "'scenes'"),
    ("/video-storyboard/grok", {"scenes": SCENES, "key": "nb_plan_free_1"}, 402, "GROK_PREMIUM_PLAN_REQUIRED"),
    ("/text-to-speech", {"json": {"input": "x" * 10_001, "voices": VOICES}}, 400, "TEXT_TOO_LONG"),
    ("/text-to-speech", {"json": {"input": "x", "voices": VOICES, "speed": 0.5}}, 422, "'speed'"),
    ("/text-to-speech", {"json": {"input": "x", "voices": VOICES, "output_format": "ogg"}}, 422, "'output_format'"),
    ("/text-to-speech", {"json": {"input": "x"}}, 404, "VOICE_NOT_FOUND"),
    ("/text-to-speech", {"json": [1]}, 422, "JSON object"),
    ("/tts-multi-speaker", {"json": {"voices": VOICES}}, 422, "'blocks'"),
    ("/meta_ai/generate", {"json": {}}, 422, "'prompt'"),
    ("/generate_image", {"key": None, "model": "m", "prompt": "P"}, 401, "API_KEY_REQUIRED"),
    ("/tts-multi-speaker", {"json": {"blocks": [{"input": "x" * 9_000}] * 90, "voices": VOICES}}, 402, "NOT_ENOUGH_CREDIT"),
]  # fmt: skip


def test_a_document_that_is_too_large_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini_make, "_MAX_DOCUMENT", 5)
    answer = make(api, "/document-to-speech", file=TEXT, voices="[1]")
    assert (answer.status_code, answer.json()["detail"]["error_code"]) == (400, "MAXIMUM_FILE_SIZE_EXCEED")


@pytest.mark.parametrize(("path", "arguments", "status", "says"), REFUSED)
def test_what_cannot_be_made_is_refused_in_its_words(
    api: Api, path: str, arguments: dict[str, Any], status: int, says: str
) -> None:
    reply = make(api, path, **arguments)
    assert reply.status_code == status
    assert says in str(reply.json()["detail"])
    assert api.sandbox.ledger.generation_count == 0


def test_a_picture_is_pending_then_charged_and_an_extension_names_its_source(api: Api) -> None:
    made = make(api, "/imagen/grok", prompt="P", orientation="portrait", files=PICTURE).json()
    assert (made["status"], made["used_credit"], made["model_name"]) == (1, 0, "grok")
    film = make(api, "/video-gen/veo", prompt="P", model="veo-2", aspect_ratio="9:16").json()
    assert film["estimated_credit"] == 20
    more = make(api, "/video-extend/veo", prompt="On", ref_history=film["uuid"]).json()
    assert more["model_name"] == "veo-2"
    assert make(api, "/video-extend/veo", prompt="Again", ref_history=film["uuid"]).json()["uuid"] != more["uuid"]
    assert detail(api, more["uuid"])["reference_item"][0]["thumbnail_url"] == f"history:{film['uuid']}"
