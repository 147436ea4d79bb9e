"""Media types of uploads by their name's ending."""

from __future__ import annotations

import pytest

from neuralbox._api.media_types import audio_type
from neuralbox._api.vocabulary import AUDIO_UPLOADS


@pytest.mark.parametrize("ending", AUDIO_UPLOADS)
def test_every_documented_format_has_a_media_type(ending: str) -> None:
    assert audio_type(f"talk.{ending}").startswith("audio/")
    assert audio_type(f"a.b/TALK.{ending.upper()}") == audio_type(f"x.{ending}")


@pytest.mark.parametrize("name", ["talk", "talk.", "", "talk.mp3.gz", "talk.docx"])
def test_an_ending_nobody_knows_is_bytes(name: str) -> None:
    assert audio_type(name) == "application/octet-stream"
