"""The writer of paid resources: a request class that does not say enough about its options is refused by name."""

from __future__ import annotations

import re
import textwrap

import pytest

from neuralbox._codegen.async_source import UnsupportedError
from neuralbox._codegen.paid_resources import PAID_RESOURCES, PaidResource, write_resource

RESOURCE = PaidResource(
    request="mood", module="moods", about="Moods.", doc="Models.", create="Make one.", returns="It."
)
SOURCE = '''
from dataclasses import dataclass, field
from typing import ClassVar

from .._types import OMIT, Omit
from .base import BatchRequest

@dataclass
class MoodRequest(BatchRequest):
    """A mood.

    Moods pass.

    Attributes:
        model: Slug of a model, with a description that is much too long to stand in one line of the method's own
            documentation and so is wrapped again.
        depth: How deep: 0 to 9.

    Source:
        Nobody knows.
    """

    kind: ClassVar[str] = "mood"
    model: str = field(repr=False)
    depth: int | Omit = OMIT

    def build(self, dialect): ...
'''


def write(source: str, resource: PaidResource = RESOURCE) -> str:
    return write_resource(resource, {"_requests/mood.py": textwrap.dedent(source)}.__getitem__)


def test_a_method_has_the_fields_of_its_request_class_and_their_words() -> None:
    text = write(SOURCE)
    assert "class Moods(Guided):\n" in text
    assert "        model: str,\n        depth: int | Omit = OMIT,\n        wait_timeout" in text
    assert "        Moods pass.\n\n        Args:\n            model: Slug of a model" in text
    assert "            depth: How deep: 0 to 9.\n            wait_timeout: " in text
    assert "        Source:\n            Nobody knows.\n" in text
    assert "request = MoodRequest(model=model, depth=depth)\n        wire = request.build(" in text
    assert "def submit" not in text
    assert "def stream" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_kind_that_reads_files_is_prepared() -> None:
    text = write(SOURCE + "\n    async def prepare(self, dialect): ...\n")
    assert "wire = await request.prepare(self._core.options.dialect)" in text


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("        depth: How deep: 0 to 9.\n", "", "MoodRequest.depth: has no line under `Attributes`"),
        ("    Source:\n        Nobody knows.\n", "", "MoodRequest: does not say its `Source`"),
        (
            "class MoodRequest",
            "class Other: ...\nclass MoodRequest",
            "must hold one request class; it holds Other, Mood",
        ),
        ("class MoodRequest", "class _MoodRequest", "must hold one request class; it holds none"),
    ],
)
def test_a_request_class_that_says_too_little_is_refused(before: str, after: str, complaint: str) -> None:
    source = SOURCE.replace("@dataclass\n", "").replace(before, after)
    with pytest.raises(UnsupportedError, match=re.escape(complaint)):
        write(source)


def test_every_kind_has_a_resource() -> None:
    assert {resource.request for resource in PAID_RESOURCES} == {
        "text", "image", "video", "speech", "music", "tool", "transcription", "generate",
        "image_request", "video_request", "speech_request",
    }  # fmt: skip
