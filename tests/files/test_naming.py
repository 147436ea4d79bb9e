"""What a template makes of a generation's words."""

from __future__ import annotations

import pytest

from neuralbox import ConfigurationError, Generation
from neuralbox._files.naming import FileNaming

KNOWN = Generation.read(
    {"id": 7, "model_slug": "../evil", "type": "image", "seed": 3, "created_at": "2026-03-08T12:00:00Z"}
)
BARE = Generation.read({"id": "gen_a/b"})


@pytest.mark.parametrize(
    ("text", "key", "known", "bare"),
    [
        ("key", "heron", ("", "heron"), ("", "heron")),
        ("key", None, ("", "7"), ("", "gen_a_b")),
        ("id", "heron", ("", "7"), ("", "gen_a_b")),
        ("{model}/{date}/{id}", None, ("evil/2026-03-08/", "7"), ("unknown/undated/", "gen_a_b")),
        ("{kind}-{seed}-{key}", "../../x", ("", "image-3-x"), ("", "unknown-unseeded-x")),
        ("{key}/x", "..", ("_/", "x"), ("_/", "x")),
    ],
)
def test_names_stay_in_their_directory(
    text: str, key: str | None, known: tuple[str, str], bare: tuple[str, str]
) -> None:
    naming = FileNaming.of(text)
    assert naming.place(KNOWN, key) == known
    assert naming.place(BARE, key) == bare


@pytest.mark.parametrize(
    "text", ["", "heron", None, "{id}/", "/{id}", "../{id}", "a/../{id}", "{id", "{{id}}", "{prompt}", "C:{id}", "{}"]
)
def test_what_is_no_template_is_refused(text: object) -> None:
    with pytest.raises(ConfigurationError):
        FileNaming.of(text)
