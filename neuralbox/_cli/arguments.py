"""What several commands take: the types of their arguments, how texts become values, and what a shell may complete."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .._errors import ConfigurationError
from .._types import OMIT, Omit

# Of one letter it is a drive of Windows.
_SCHEME = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.\-]+:", re.IGNORECASE)
_KINDS = ("text", "image", "video", "tts", "stt", "audio", "tool")


def _known_models(incomplete: str) -> list[str]:
    """Return the slugs this version knows; a shell asks at each press of a key, so the service is not asked."""
    from typing import get_args

    from .._api import vocabulary as words

    kinds = (words.TextModel, words.ImageModel, words.VideoModel, words.SpeechModel, words.MusicModel, words.ToolModel)
    return [slug for kind in kinds for slug in get_args(kind) if slug.startswith(incomplete)]


def _known_kinds(incomplete: str) -> list[str]:
    return [kind for kind in _KINDS if kind.startswith(incomplete)]


def read_path(text: str, option: str | None = None) -> Path:
    """Read a path, which is not empty: that would be the current directory, where a variable of a shell is not set.

    Args:
        text: It.
        option: Where it stands, unless that is known.

    Raises:
        BadParameter: It is empty.
    """
    if text == "":
        raise typer.BadParameter("It is empty, where a path belongs.", param_hint=option)
    return Path(text)


MARK = "\ufeff"
"""Of the byte order, with which programs of Windows begin a text."""

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
PollInterval = Annotated[
    float | None,
    typer.Option("--poll-interval", min=0.1, metavar="SECONDS", help="Shortest pause between two polls; default 5."),
]
Context = Annotated[
    str | None,
    typer.Option("--context", "-c", metavar="FILE", help="A text to put below the prompt; - reads standard input."),
]
OfKind = Annotated[
    str | None, typer.Option("--type", help="text, image, video, tts, stt, audio, tool.", autocompletion=_known_kinds)
]
OfModel = Annotated[str | None, typer.Option("--model", help="Slug of a model.", autocompletion=_known_models)]
Favorites = Annotated[bool, typer.Option("--favorites", help="Only those marked as favourites.")]


def read_params(texts: Sequence[str] | None) -> dict[str, Any]:
    """Read `NAME=VALUE` options; a value that is JSON (a number, `true`, a list) is read as such, else as text.

    Raises:
        ConfigurationError: One of them has no name or no `=`, or is a file where an address belongs.
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"An option of the model is written NAME=VALUE, not {text!r}.")
        try:
            found[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            found[name.strip()] = value
    problem = no_address(found)
    if problem is not None:
        raise ConfigurationError(problem)
    return found


def no_address(values: Any) -> str | None:
    """Say what is wrong with the first address among the options that is none, such as a file of this machine."""
    if isinstance(values, list):
        return next(filter(None, map(no_address, values)), None)
    if not isinstance(values, dict):
        return None
    for name, value in values.items():
        if str(name).endswith("url") and isinstance(value, str) and not _SCHEME.match(value):
            what = "is a file of this machine" if Path(value).is_file() else "does not begin with https://"
            return (
                f"`{name}` must be an address at which the service can fetch it, and {value!r} {what}. It takes no uploads "
                "there: put the file on the web, and pass its address."
            )
        if (inside := no_address(value)) is not None:
            return inside
    return None


def read_prompt(argument: str, context: str | None) -> str:
    """Return a prompt: the argument, or standard input where that is `-`, and below it the text of `--context`.

    Standard input is read where it is asked for only: a loop over the lines of a file has the rest of them there.

    Raises:
        ConfigurationError: Standard input is closed, there is no text, or it is wanted twice.
    """
    if context is None:
        return _piped() if argument == "-" else argument
    if context == argument == "-":
        raise ConfigurationError("Standard input can be the prompt or the context, not both.")
    text = _piped() if context == "-" else _text_of(read_path(context, "'--context'"))
    if not text:
        raise ConfigurationError(f"There is no text in {'standard input' if context == '-' else context}.")
    return f"{_piped() if argument == '-' else argument}\n\n{text}"


def _piped() -> str:
    try:
        return sys.stdin.read().removeprefix(MARK).strip()
    except (AttributeError, UnicodeDecodeError):
        raise ConfigurationError("There is no text on standard input; - reads it from there.") from None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ConfigurationError(f"The context {str(path)!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is no text in UTF-8, so it cannot be the context of a prompt.") from None


def limit_of(timeout: float | None) -> float | Omit:
    """Return the limit of a wait: left out, the client's."""
    return OMIT if timeout is None else timeout
