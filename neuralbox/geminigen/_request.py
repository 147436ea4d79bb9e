"""What requests to GeminiGen have in common: a form of texts and files, a family, and references that are counted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .._api import gemini_vocabulary as gemini
from .._api.builders import require_text
from .._api.gemini_families import Family, family_of
from .._api.request import Form, Request, RetrySafety
from .._errors import ConfigurationError
from .._requests.base import BatchRequest
from .._types import Omit
from ._local_files import LocalSource, load_files, path_of, sources_of


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiRequest(BatchRequest):
    """A request to GeminiGen: what all of them have. Make one of a kind, such as `GeminiImageRequest`."""

    service: ClassVar[str] = "geminigen"


def form_request(path: str, fields: Mapping[str, object], *, cuts_at: str = "") -> Request:
    """Make a paid request of a form's texts: numbers and truth values are written out, lists sent as repeated fields.

    What is `OMIT` or None is left out: a form has no null. `cuts_at` is the family's.
    """
    texts = {name: value for name, given in fields.items() if (value := _texts(name, given)) is not None}
    loses_text = bool(cuts_at) and cuts_at in texts["prompt"]
    return Request("POST", path, RetrySafety.PAID, form=Form(texts, loses_text=loses_text), slow=True)


async def with_files(request: Request, files: Mapping[str, object]) -> Request:
    """Return a request of a form with local files in it, which are measured now."""
    assert request.form is not None
    parts = await load_files(files)
    return replace(request, form=replace(request.form, files=parts)) if parts else request


def paths_in(*given: object) -> Sequence[str | os.PathLike[str]]:
    """Return the paths among the files that were given; what is no list of files is refused elsewhere."""
    found: list[str | os.PathLike[str]] = []
    for sources in given:
        try:
            found += [path for source in sources_of("files", sources) if (path := path_of(source)) is not None]
        except ConfigurationError:
            continue
    return found


def _texts(name: str, value: object) -> str | list[str] | None:
    if value is None or isinstance(value, Omit):
        return None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_text(name, each) for each in value] or None
    return _text(name, value)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise ConfigurationError(f"`{name}` must be text or a number, not {type(value).__name__}.")
    return require_text(name, value)


# Families.


def require_family(families: Mapping[str, Family], model: str, family: object) -> Family:
    """Return the family to ask: the one that was named, or the model's.

    Raises:
        ConfigurationError: There is none of this name, or the model's is not known.
    """
    require_text("model", model)
    names = ", ".join(families)
    if isinstance(family, Omit) or family is None:
        found = family_of(families, model)
        if found is None:
            raise ConfigurationError(f"The family of the model {model!r} is not known: pass `family`, one of {names}.")
        return found
    if not isinstance(family, str) or family not in families:
        raise ConfigurationError(f"`family` must be one of {names}; it is {family!r}.")
    return families[family]


def require_references(family: Family, given: Mapping[str, object], *, most: int | None = None) -> None:
    """Refuse more references than a family takes, or kinds of which it looks at one only.

    Args:
        family: Which.
        given: The references by field, as they were given.
        most: How many it takes, where that depends on more than the family.

    Raises:
        ConfigurationError: There are too many.
    """
    counts = {name: count_of(name, value) for name, value in given.items()}
    named = [name for name, count in counts.items() if count]
    total, most = sum(counts.values()), family.references if most is None else most
    if most is not None and total > most:
        raise ConfigurationError(
            f"{family.name} takes at most {most} reference{'s' if most > 1 else ''}; "
            f"there are {total} ({', '.join(f'`{name}`' for name in named)}). Source: {family.source}."
        )
    if family.one_kind and len(named) > 1:
        kinds = ", ".join(f"`{name}`" for name in given)
        raise ConfigurationError(f"{family.name} looks at one of {kinds} only, so the others would be lost: pass one.")


def count_of(name: str, value: object) -> int:
    """Count the references of a field.

    Raises:
        ConfigurationError: It is no list.
    """
    return len(sources_of(name, value))


def require_prompt(family: Family, prompt: Any) -> str:
    """Refuse an empty prompt, and one that the family calls too short."""
    text = require_text("prompt", prompt)
    if len(text) < family.shortest_prompt:
        raise ConfigurationError(
            f"`prompt` has {len(text)} characters, and {family.name} takes none under {family.shortest_prompt}. "
            f"Source: {family.source}."
        )
    return text


# References of which a text is an address or a uuid, and a file is given as such.


def file_references(name: str, given: object) -> Sequence[LocalSource]:
    """Return the local files among references."""
    return [source for source in sources_of(name, given) if not isinstance(source, str)]


def text_references(name: str, given: object) -> Sequence[str] | None:
    """Return the addresses and uuids among references; None where there are none."""
    return [source for source in sources_of(name, given) if isinstance(source, str)] or None


# What is written as JSON into a field of a form.


def json_text(value: object) -> str:
    """Write a value as a form's field has it.

    Raises:
        ConfigurationError: It holds something that JSON cannot say.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"What is sent cannot be written as JSON: {error}.") from None


def require_scenes(scenes: Any) -> Sequence[Mapping[str, Any]]:
    """Read the scenes of a storyboard: mappings with a `prompt`, and seconds that one source lists."""
    fewest, most = gemini.STORYBOARD_SCENES
    if (
        isinstance(scenes, str)
        or not isinstance(scenes, Sequence)
        or not all(isinstance(each, Mapping) for each in scenes)
    ):
        raise ConfigurationError('`scenes` must be a list of {"prompt": ..., "duration": 6}.')
    if not fewest <= len(scenes) <= most:
        raise ConfigurationError(
            f"A storyboard has {fewest} to {most} scenes; there are {len(scenes)}. Source: [gem:client 5]."
        )
    for number, scene in enumerate(scenes):
        require_text(f"scenes[{number}].prompt", scene.get("prompt"))
        seconds = scene.get("duration")
        if isinstance(seconds, bool) or seconds not in gemini.SCENE_SECONDS:
            raise ConfigurationError(
                f"`scenes[{number}].duration` must be 6 or 10 seconds; it is {seconds!r}. Source: [gem:client 5]."
            )
    total = sum(scene["duration"] for scene in scenes)
    if total > gemini.STORYBOARD_SECONDS:
        raise ConfigurationError(
            f"The scenes of a storyboard have at most {gemini.STORYBOARD_SECONDS} s together; these have {total}. "
            "Source: [gem:client 5]."
        )
    return scenes


# Speech.


def json_request(path: str, body: Mapping[str, Any]) -> Request:
    """Make a paid request of JSON."""
    return Request("POST", path, RetrySafety.PAID, body=body, slow=True)


def require_said(name: str, value: Any) -> str:
    """Refuse what is no text, or longer than the service speaks."""
    text = require_text(name, value)
    if len(text) > gemini.MAX_SPEECH_CHARACTERS:
        raise ConfigurationError(
            f"`{name}` has {len(text):,} characters; the service speaks at most {gemini.MAX_SPEECH_CHARACTERS:,}."
        )
    return text


def require_blocks(blocks: Any) -> Sequence[Mapping[str, Any]]:
    """Read the blocks of a dialogue: texts, or mappings with an `input`."""
    if isinstance(blocks, str | Mapping) or not isinstance(blocks, Sequence) or not blocks:
        raise ConfigurationError('`blocks` must be a list of texts, or of {"input": ...}, with one at least.')
    return [_block(f"blocks[{number}]", block) for number, block in enumerate(blocks)]


def _block(place: str, block: object) -> Mapping[str, Any]:
    if isinstance(block, str):
        return {"input": require_said(place, block)}
    if not isinstance(block, Mapping):
        raise ConfigurationError(f"`{place}` must be a text, or a mapping with `input`.")
    require_said(f"{place}.input", block.get("input"))
    return block


def require_voices(voices: Any) -> Sequence[Mapping[str, Any]]:
    """Refuse what is no list of mappings."""
    is_list = isinstance(voices, Sequence) and not isinstance(voices, str) and bool(voices)
    if not is_list or not all(isinstance(voice, Mapping) for voice in voices):
        raise ConfigurationError('`voices` must be a list of {"name": ..., "voice": {"id": ..., "name": ...}}.')
    return list(voices)


def require_speed(speed: object, bounds: tuple[float, float]) -> None:
    """Refuse a speed outside its bounds; `OMIT` and None pass."""
    if speed is None or isinstance(speed, Omit):
        return
    lowest, highest = bounds
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not lowest <= speed <= highest:
        raise ConfigurationError(f"`speed` must be a number from {lowest:g} to {highest:g}; it is {speed!r}.")
