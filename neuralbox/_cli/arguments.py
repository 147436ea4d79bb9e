"""What several commands take: the types of their arguments, how texts become values, and what a shell may complete."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .._errors import ConfigurationError
from .._types import OMIT, GenerationId, Omit

_KINDS = ("text", "image", "video", "tts", "stt", "audio", "tool")


def _known_models(incomplete: str) -> list[str]:
    """Return the slugs this version knows; a shell asks at each press of a key, so the service is not asked."""
    from typing import get_args

    from .._api import vocabulary as words

    kinds = (words.TextModel, words.ImageModel, words.VideoModel, words.SpeechModel, words.MusicModel, words.ToolModel)
    return [slug for kind in kinds for slug in get_args(kind) if slug.startswith(incomplete)]


def _known_kinds(incomplete: str) -> list[str]:
    return [kind for kind in _KINDS if kind.startswith(incomplete)]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Where the service is; default: NEURALBOX_BASE_URL.")
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param", "-p", metavar="NAME=VALUE", help="Option of the model, e.g. -p size=1024x1024; repeatable."
    ),
]
Model = Annotated[
    str, typer.Argument(help="Slug of a model; `neuralbox models` lists them.", autocompletion=_known_models)
]
Prompt = Annotated[str, typer.Argument(help="What to make; - reads standard input.")]
Timeout = Annotated[float | None, typer.Option(min=0.0, help="Seconds to wait at most; default 600.")]
To = Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Directory to download into.")]
OfKind = Annotated[
    str | None, typer.Option("--type", help="text, image, video, tts, stt, audio, tool.", autocompletion=_known_kinds)
]
OfModel = Annotated[str | None, typer.Option("--model", help="Slug of a model.", autocompletion=_known_models)]
Favorites = Annotated[bool, typer.Option("--favorites", help="Only those marked as favourites.")]


def read_params(texts: Sequence[str] | None) -> dict[str, Any]:
    """Read `NAME=VALUE` options; a value that is JSON (a number, `true`, a list) is read as such, else as text.

    Raises:
        ConfigurationError: One of them has no name or no `=`.
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"An option of the model is written NAME=VALUE, not {text!r}.")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def read_text(argument: str) -> str:
    """Return a prompt: the argument, or standard input where that is `-`.

    Raises:
        ConfigurationError: Standard input is closed, or no text.
    """
    if argument != "-":
        return argument
    try:
        return sys.stdin.read().strip()
    except (AttributeError, UnicodeDecodeError):
        raise ConfigurationError("There is no text on standard input; - reads the prompt from there.") from None


def read_id(text: str) -> GenerationId:
    """Return an id as the service gave it: a number where it is made of digits."""
    return int(text) if text.isascii() and text.isdecimal() else text


def limit_of(timeout: float | None) -> float | Omit:
    """Return the limit of a wait: left out, the client's."""
    return OMIT if timeout is None else timeout
