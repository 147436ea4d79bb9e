"""Media types by a name's ending."""

from __future__ import annotations

import pytest

from neuralbox._api.gemini_vocabulary import DOCUMENT_ENDINGS
from neuralbox._api.media_types import audio_type, media_type
from neuralbox._api.vocabulary import AUDIO_UPLOADS


@pytest.mark.parametrize("ending", AUDIO_UPLOADS)
def test_every_documented_format_has_a_media_type(ending: str) -> None:
    assert audio_type(f"talk.{ending}").startswith("audio/")
    assert audio_type(f"a.b/TALK.{ending.upper()}") == audio_type(f"x.{ending}")


@pytest.mark.parametrize("ending", DOCUMENT_ENDINGS)
def test_every_document_that_is_read_aloud_has_a_media_type(ending: str) -> None:
    assert media_type(f"Book.{ending.upper()}") == media_type(f"a.b/x.{ending}") != "application/octet-stream"


@pytest.mark.parametrize("name", ["talk", "talk.", "", "talk.mp3.gz", "talk.docx"])
def test_an_ending_nobody_knows_is_bytes(name: str) -> None:
    assert audio_type(name) == "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fox.AVIF", "image/avif"),
        ("fox.jpg", "image/jpeg"),
        ("boat.mp4", "video/mp4"),  # as a recording it is a sound
        ("boat.webm", "video/webm"),
        ("talk.mp3", "audio/mpeg"),
        ("fox", "application/octet-stream"),
    ],
)
def test_results_and_references_are_pictures_and_films_first(name: str, expected: str) -> None:
    assert media_type(name) == expected
