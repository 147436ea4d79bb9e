"""Reading records: SEED 004's field by field, each tolerance of docs/service/geminigen.md, and never an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._types import JobRef
from neuralbox.geminigen import GeneratedImage, HistoryItem, MediaFile, ReferenceItem, Thumbnail, Voice
from neuralbox.geminigen._reading import find_list, integer, number, objects, text, unwrap
from tests import samples
from tests.api import json_values

UUID = "hist_abc123def456"
CDN = "https://cdn.geminigen.ai"


def detail() -> HistoryItem:
    return HistoryItem.read(samples.record("geminigen/detail"))


def listed() -> HistoryItem:
    return HistoryItem.read(samples.record("geminigen/list")["result"][0])


def read(**record: Any) -> HistoryItem:
    return HistoryItem.read(record)


# The seed, field by field.


def test_every_scalar_of_the_seed_is_read_in_its_type() -> None:
    record = samples.record("geminigen/list")["result"][0]
    item = listed()
    moment = datetime(2025, 9, 27, 13, 30, 5, 89_000, UTC)
    expected = {name: None if value == "" else value for name, value in record.items() if name != "media_files"}
    expected |= {"created_at": moment, "updated_at": moment, "expired_at": moment.replace(month=10)}
    assert {name: getattr(item, name) for name in expected} == expected
    assert len(expected) == 26  # with media_files the 27 of the page
    assert item.raw is not record
    assert item.raw == record


def test_the_files_of_a_list_item_are_read() -> None:
    moment = datetime(2025, 9, 27, 13, 30, 5, 89_000, UTC)
    url = f"{CDN}/images/{UUID}.jpg"
    (file,) = listed().media_files
    assert (file.type, file.url, file.size, file.created_at, file.updated_at) == ("image", url, 2048576, moment, moment)


@pytest.mark.parametrize("array", ["generated_video", "generated_image", "generated_audio", "reference_item"])
def test_every_field_of_what_the_seed_nests_is_read(array: str) -> None:
    (record,) = samples.record("geminigen/detail")[array]
    (nested,) = getattr(detail(), array)
    for name, value in record.items():
        if name not in {"thumbnails", "voices"}:
            assert getattr(nested, name) == (None if value == "" else value), name
    assert nested.raw == record


def test_thumbnails_and_voices_are_records_of_their_own() -> None:
    item = detail()
    (thumbnail,) = item.generated_image[0].thumbnails
    record = samples.record("geminigen/detail")["generated_image"][0]["thumbnails"][0]
    assert {name: getattr(thumbnail, name) for name in record} == record
    (voice,) = item.generated_audio[0].voices
    assert (voice.name, voice.id, voice.speaker) == ("Gacrux", None, None)


def test_the_seed_in_neuralbox_words() -> None:
    generation = detail().to_generation()
    assert (generation.id, generation.status, generation.kind) == (UUID, "completed", "image")
    assert (generation.model, generation.prompt) == ("imagen-4", "A beautiful landscape with mountains")
    assert generation.url == f"{CDN}/images/{UUID}.jpg"
    assert generation.thumbnail_url == f"{CDN}/thumbnails/{UUID}_thumb.jpg"
    assert (generation.progress, generation.error, generation.tokens, generation.text) == (100, None, None, None)
    assert (generation.created_at, generation.completed_at) == (detail().created_at, None)
    assert generation.raw == samples.record("geminigen/detail")
    assert HistoryItem.read(generation.raw) == detail()
    assert generation.ref == detail().ref == JobRef(UUID, "image", "imagen-4")


def test_assets_are_of_the_own_kind_first_and_carry_what_their_record_has() -> None:
    image, video, audio = detail().assets
    assert (image.kind, video.kind, audio.kind) == ("image", "video", "audio")
    assert (image.id, image.storage_key) == ("img_ghi345jkl678", "images/img_ghi345jkl678.jpg")
    assert image.download_url == f"{CDN}/downloads/img_ghi345jkl678.jpg"
    assert (image.inline_data, image.error, image.size_bytes, image.status) == (None, None, None, 2)
    assert (video.id, video.duration, video.url) == ("vid_def789ghi012", 8, f"{CDN}/videos/vid_def789ghi012.mp4")
    assert (audio.id, audio.url) == ("aud_mno567pqr890", f"{CDN}/audio/aud_mno567pqr890.mp3")
    (only,) = listed().assets
    assert (only.kind, only.url, only.id, only.size_bytes) == ("image", f"{CDN}/images/{UUID}.jpg", None, 2048576)


# The captured style.


def test_a_failed_video_of_the_reference() -> None:
    item = HistoryItem.read(samples.record("geminigen/failed_video"))
    assert (item.state, item.is_failed, item.is_completed, item.is_final, item.kind) == (
        "failed",
        True,
        False,
        True,
        "video",
    )
    assert item.error == "blocked (GEMINI_RAI_MEDIA_FILTERED)"
    assert (item.url, item.expired_at, item.name, item.cost, item.size_bytes) == (None, None, None, 0, None)
    assert (item.assets, item.reference_item) == ([], ())
    assert item.created_at == datetime(2026, 1, 5, 8, 0, 11, tzinfo=UTC)
    assert item.to_generation().is_failed


def test_an_accepted_video_of_the_reference() -> None:
    item = HistoryItem.read(samples.record("geminigen/video_accepted"))
    assert (item.state, item.is_final, item.progress, item.estimated_credit, item.media_type) == (
        "pending",
        False,
        1,
        20,
        "video",
    )
    assert (item.cost, item.error, item.updated_at, item.generated_video) == (None, None, None, ())


def test_speech_and_dialogue_are_read_out_of_their_envelope() -> None:
    speech = HistoryItem.read(unwrap(samples.record("geminigen/speech")))
    assert (speech.kind, speech.state, speech.progress, speech.type) == ("audio", "pending", 1, "tts-text")
    assert speech.created_at == datetime(2025, 11, 24, 10, 3, 5, tzinfo=UTC)
    dialogue = HistoryItem.read(unwrap(samples.record("geminigen/dialogue")))
    assert (dialogue.state, dialogue.id, dialogue.type, dialogue.model_name) == ("pending", None, None, "tts-flash")
    assert (dialogue.kind, dialogue.input_text) == (None, None)


# Each rule of docs/service/geminigen.md.

STATES: list[tuple[Any, str | None, str]] = [
    (2, "processing", "completed"),
    (3, "completed", "failed"),
    (-2, None, "failed"),
    (-77, "completed", "failed"),
    *((status, "completed", "pending") for status in (0, 1, 11, 12, 13, 14)),
    (4, None, "pending"),
    (20, "failed", "pending"),
    (10**30, None, "pending"),
    ("2", None, "completed"),
    (2.0, None, "completed"),
    ("-2", None, "failed"),
    # Not a whole number, so the word counts.
    (None, "COMPLETED", "completed"),
    (None, " completed ", "completed"),
    ("", "Failed", "failed"),
    (True, "error", "failed"),
    (2.5, "Processing", "pending"),
    ("done", "completed", "completed"),
    ([2], "queued", "pending"),
    (None, None, "pending"),
    (None, "", "pending"),
    # A word in place of the number.
    ("Completed", None, "completed"),
    ("failed", "Processing", "failed"),
    ("waiting", "", "pending"),
    ("waiting", "completed", "completed"),
]


@pytest.mark.parametrize(("status", "description", "state"), STATES)
def test_a_status_is_compared_by_equality_and_its_word_is_the_last_resort(
    status: object, description: str | None, state: str
) -> None:
    item = read(status=status, status_desc=description)
    assert item.state == item.to_generation().status == state
    assert (item.is_completed, item.is_failed, item.is_final) == (
        state == "completed",
        state == "failed",
        state != "pending",
    )
    assert item.raw["status"] == status


KINDS: list[tuple[dict[str, Any], str | None]] = [
    ({"type": "image_generation"}, "image"),
    ({"type": "video_generation_sora"}, "video"),
    ({"type": "VIDEO"}, "video"),
    ({"type": "tts-text"}, "audio"),
    ({"type": "tts-document"}, "audio"),
    ({"type": "dialogue", "generated_audio": [{"uuid": "a"}]}, "audio"),
    ({"generated_video": [{}], "media_type": "audio"}, "video"),
    ({"type": "image_edit", "generated_video": [{}]}, "image"),
    ({"media_files": [{"type": "other"}, {"type": "video"}]}, "video"),
    ({"type": "storyboard", "media_type": "video/mp4"}, "video"),
    ({"media_type": "audio"}, "audio"),
    ({"inference_type": "text_to_image"}, "image"),
    ({"inference_type": "gemini_voice"}, "audio"),
    ({"type": "text_generation", "inference_type": "other", "generated_image": []}, None),
    ({}, None),
]


@pytest.mark.parametrize(("record", "kind"), KINDS)
def test_the_kind_is_read_from_the_first_that_tells(record: dict[str, Any], kind: str | None) -> None:
    assert HistoryItem.read(record).kind == kind


TIMES = [
    ("2025-09-27T13:30:05.089Z", datetime(2025, 9, 27, 13, 30, 5, 89_000, UTC)),
    ("2025-11-24T10:03:05", datetime(2025, 11, 24, 10, 3, 5, tzinfo=UTC)),
    ("2025-11-24T12:03:05+02:00", datetime(2025, 11, 24, 10, 3, 5, tzinfo=UTC)),
    ("", None),
    (None, None),
    ("soon", None),
]


@pytest.mark.parametrize(("written", "moment"), TIMES)
def test_both_time_formats_are_read_as_utc(written: object, moment: datetime | None) -> None:
    item = read(created_at=written, updated_at=written, expired_at=written)
    assert (item.created_at, item.updated_at, item.expired_at) == (moment, moment, moment)
    file = MediaFile.read({"created_at": written})
    assert file.created_at == moment


ERRORS: list[tuple[dict[str, Any], str | None]] = [
    ({"status": 2, "error_message": "old news"}, None),
    ({"status": 1, "error_code": "TIMEOUT"}, None),
    ({"status": 3, "error_message": "blocked"}, "blocked"),
    ({"status": 3, "error_code": "TIMEOUT", "error_message": ""}, "TIMEOUT"),
    ({"status": 3, "error_code": "TIMEOUT", "error_message": "TIMEOUT after 21 min"}, "TIMEOUT after 21 min"),
    ({"status": 3, "error_message": "", "generated_video": [{}, {"error_message": "no faces"}]}, "no faces"),
    ({"status": -2, "error_code": "X", "generated_image": [{"error_message": "nude"}]}, "nude (X)"),
    ({"status": 3, "generated_audio": [{"error_message": "no voice"}]}, "no voice"),
    ({"status": 3}, None),
]


@pytest.mark.parametrize(("record", "why"), ERRORS)
def test_an_error_is_told_only_of_a_failure_and_found_in_the_files_too(record: dict[str, Any], why: str | None) -> None:
    assert HistoryItem.read(record).error == why


@pytest.mark.parametrize(("percent", "progress"), [(0, 0), (50, 50), (-3, 0), (101, 100), ("25", 25), (None, None)])
def test_progress_stays_between_0_and_100(percent: object, progress: float | None) -> None:
    item = read(status=1, status_percentage=percent)
    assert item.progress == item.to_generation().progress == progress


@pytest.mark.parametrize(
    ("status", "credit", "cost"),
    [(1, 0, None), (1, 3, 3), (1, None, None), (2, 0, 0), (2, 10, 10), (3, 0, 0), (2, 2.5, 2.5), (2, "", None)],
)
def test_a_cost_of_zero_means_nothing_while_it_is_pending(status: int, credit: object, cost: float | None) -> None:
    assert read(status=status, used_credit=credit).cost == cost


URLS: list[tuple[dict[str, Any], str | None]] = [
    ({"status": 2, "generate_result": "http://a/x"}, "http://a/x"),
    ({"status": 1, "generate_result": "http://a/x"}, None),
    ({"status": 3, "generate_result": "http://a/x"}, None),
    (
        {
            "status": 2,
            "type": "video_generation",
            "generate_result": "",
            "generated_image": [{"image_url": "http://a/i"}],
            "generated_video": [{"video_url": ""}, {"video_url": "http://a/v"}],
        },
        "http://a/v",
    ),
    ({"status": 2, "generated_image": [{"image_url": None, "file_download_url": "http://a/d"}]}, "http://a/d"),
    ({"status": 2, "generated_audio": [{"audio_url": "", "file_download_url": "http://a/s"}]}, "http://a/s"),
    ({"status": 2, "media_files": [{"url": "http://a/m"}]}, "http://a/m"),
    ({"status": 2}, None),
]


@pytest.mark.parametrize(("record", "url"), URLS)
def test_the_file_is_the_result_else_the_first_of_its_kind_and_only_when_completed(
    record: dict[str, Any], url: str | None
) -> None:
    item = HistoryItem.read(record)
    assert item.url == item.to_generation().url == url


PREVIEWS: list[tuple[dict[str, Any], str | None]] = [
    ({"thumbnail_url": "http://a/t", "thumbnail_small": "http://a/s"}, "http://a/t"),
    ({"thumbnail_url": "", "thumbnail_small": "http://a/s"}, "http://a/s"),
    ({"generated_image": [{}, {"thumbnails": [{"url": ""}, {"url": "http://a/n"}]}]}, "http://a/n"),
    ({}, None),
]


@pytest.mark.parametrize(("record", "url"), PREVIEWS)
def test_the_preview_is_the_first_small_picture_there_is(record: dict[str, Any], url: str | None) -> None:
    assert HistoryItem.read(record).preview_url == url


SIZES: list[tuple[dict[str, Any], int | None]] = [
    ({"media_files": [{"size": 0}, {"size": 7}], "file_size": 9}, 7),
    ({"file_size": 9}, 9),
    ({"file_size": 0}, None),
    ({"file_size": 9, "type": "tts-document"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("record", "size"), SIZES)
def test_the_size_is_the_results_and_never_that_of_a_document_read_aloud(
    record: dict[str, Any], size: int | None
) -> None:
    assert HistoryItem.read(record).size_bytes == size


def test_the_duration_is_the_records_else_the_first_files() -> None:
    assert read(duration=4, generated_video=[{"duration": 8}]).to_generation().duration == 4
    assert read(generated_video=[{"duration": None}, {"duration": 8.5}]).to_generation().duration == 8.5
    assert read().to_generation().duration is None


def test_a_picture_has_no_duration_of_a_film_that_comes_with_it() -> None:
    image = read(type="image_generation", generated_image=[{"image_url": "i"}], generated_video=[{"duration": 8}])
    assert (image.kind, image.to_generation().duration) == ("image", None)
    assert [asset.duration for asset in image.assets] == [None, 8]


def test_a_voice_is_a_name_or_a_speaker_with_a_voice() -> None:
    ada, ben, plain, nobody = (
        Voice.read(value)
        for value in (
            {"name": "Ada", "voice": {"id": "GM013", "name": "Gacrux"}},
            {"name": "Puck", "id": "GM004"},
            "Gacrux",
            ["Gacrux"],
        )
    )
    assert (ada.speaker, ada.id, ada.name) == ("Ada", "GM013", "Gacrux")
    assert (ben.speaker, ben.id, ben.name) == (None, "GM004", "Puck")
    assert (plain.name, plain.raw) == ("Gacrux", {})
    assert nobody.name is None


@pytest.mark.parametrize("nothing", [None, [], {}, "", 5, [None, "x", 3]])
def test_arrays_that_are_missing_null_empty_or_something_else_are_empty(nothing: object) -> None:
    names = ("media_files", "generated_video", "generated_image", "generated_audio", "reference_item")
    item = HistoryItem.read(dict.fromkeys(names, nothing))
    assert [getattr(item, name) for name in names] == [()] * 5
    assert item.assets == []
    assert GeneratedImage.read({"thumbnails": nothing}).thumbnails == ()


def test_unknown_fields_and_words_are_kept() -> None:
    item = read(uuid="a", type="hologram", status=99, status_desc="rewinding", vibes=["good"])
    assert (item.type, item.status, item.status_desc, item.raw["vibes"]) == ("hologram", 99, "rewinding", ["good"])
    assert item.to_generation().raw["vibes"] == ["good"]


def test_a_record_without_a_uuid_takes_the_one_it_was_asked_for_by_and_never_its_number() -> None:
    assert read(id=7).uuid == read(id=7).to_generation().id == ""
    assert HistoryItem.read({"id": 7, "uuid": ""}, asked_uuid="u").uuid == "u"


def test_records_show_neither_prompts_nor_addresses() -> None:
    shown = repr(detail())
    for secret in ("landscape", "cdn.geminigen.ai/images", "Beautiful", "Generated successfully"):
        assert secret not in shown
    assert UUID in shown
    (asset, *_) = detail().assets
    assert "https://" not in repr(asset)


def test_records_are_frozen_and_equal_by_value() -> None:
    item = detail()
    assert item == detail()
    with pytest.raises(ValueError, match="frozen"):
        item.status = 3  # type: ignore[misc]  # it is the point


# Values and envelopes.


@pytest.mark.parametrize(
    ("value", "as_text", "as_number", "as_integer"),
    [
        ("", None, None, None),
        (None, None, None, None),
        ("8", "8", 8, 8),
        (8, "8", 8, 8),
        (8.5, "8.5", 8.5, None),
        ("8.5", "8.5", 8.5, None),
        (True, None, None, None),
        ([], None, None, None),
        (float("nan"), "nan", None, None),
        (10**400, str(10**400), None, 10**400),
        ("1e999", "1e999", None, None),
    ],
)
def test_single_values(value: object, as_text: object, as_number: object, as_integer: object) -> None:
    assert (text(value), number(value), integer(value)) == (as_text, as_number, as_integer)


RECORD = {"uuid": "u", "status": 2}
WRAPPED: list[tuple[dict[str, Any], Any]] = [
    (RECORD, RECORD),
    ({"success": True, "result": RECORD}, RECORD),
    ({"data": RECORD}, RECORD),
    ({**RECORD, "result": {"uuid": "other"}}, {**RECORD, "result": {"uuid": "other"}}),
    ({"result": [RECORD]}, {"result": [RECORD]}),
    ({}, {}),
]


@pytest.mark.parametrize(("reply", "record"), WRAPPED)
def test_a_record_is_found_in_each_envelope(reply: dict[str, Any], record: object) -> None:
    assert unwrap(reply) == record


LISTS: list[tuple[Any, Any]] = [
    ({"success": True, "total": 1, "result": [RECORD]}, [RECORD]),
    ({"data": [RECORD, None, 5]}, [RECORD]),
    ({"result": {"uuid": "u"}, "items": [RECORD]}, [RECORD]),
    ([RECORD], [RECORD]),
    ({"success": True, "total": 0, "result": None}, []),
    ({"result": []}, []),
    ({"result": "none"}, None),
    (RECORD, None),
    ("text", None),
    (None, None),
]


@pytest.mark.parametrize(("reply", "records"), LISTS)
def test_a_list_is_found_in_each_envelope(reply: object, records: object) -> None:
    assert find_list(reply) == records


# Whatever comes.

NAMES = sorted(
    {*HistoryItem.model_fields, *GeneratedImage.model_fields, *ReferenceItem.model_fields, *Thumbnail.model_fields}
    | {"voices", "voice", "video_url", "audio_url", "duration", "result", "data", "success", "total", "tts_input"}
)
names = st.sampled_from(NAMES)
nested = st.dictionaries(names, json_values.values, max_size=5)
records = st.dictionaries(names, json_values.values | nested | st.lists(json_values.values | nested, max_size=3))


@pytest.mark.uncovered
@given(records)
def test_no_record_raises_and_none_loses_what_it_was(record: dict[str, Any]) -> None:
    item = HistoryItem.read(unwrap(record))
    generation = item.to_generation()
    assert generation.status in {"completed", "failed", "pending"}
    assert item.raw is unwrap(record)
    assert item.is_final == generation.is_final
    assert item.cost is None or item.used_credit is not None
    assert isinstance(item.size_bytes, int | None)
    assert len(repr(item)) > 0
    assert item.preview_url is None or item.preview_url
    assert all(asset.url != "" for asset in item.assets)


@pytest.mark.uncovered
@given(json_values.values)
def test_no_value_makes_the_readers_raise(value: Any) -> None:
    assert text(value) != ""
    assert integer(value) is None or integer(value) == number(value)
    assert isinstance(objects(value), list)
    found = find_list(value)
    assert found is None or all(isinstance(one, dict) for one in found)
    Voice.read(value)
