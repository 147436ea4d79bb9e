"""Names that other SDKs have for what is here: whoever types one is told where it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn

_TEXT: Final = "use `nb.text.create(model=..., messages=[...])`, or `nb.text.stream(...)`"
_OF_A_CLIENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "chat": _TEXT,
        "completions": _TEXT,
        "messages": _TEXT,
        "responses": _TEXT,
        "run": "use `nb.generate.create(model=..., prompt=...)`",
        "image": "use `nb.images.create(...)`",
        "video": "use `nb.videos.create(...)`",
        "audio": "use `nb.speech`, `nb.transcriptions` or `nb.music`",
        "tts": "use `nb.speech.create(...)`",
        "stt": "use `nb.transcriptions.create(...)`",
        "tool": "use `nb.tools.create(...)`",
        "jobs": "use `nb.job(id)`, or `nb.generations` for many",
        "batches": "use `nb.batch(requests)`",
        "balance": "use `nb.account.balance()`",
        "user": "use `nb.account.me()`",
        "embeddings": "the service makes none",
        "moderations": "the service makes none",
        "fine_tuning": "the service has none",
    }
)
_OF_A_CALL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "instructions": "it is `system` here",
        "limit": "a history has `page_size` (GeminiGen's `items_per_page`) and `max_items`",
        "max_completion_tokens": "it is `max_tokens` here",
        "max_output_tokens": "it is `max_tokens` here",
        "n": "a call makes one; `nb.batch(requests)` makes many",
        "seconds": "it is `duration` here",
        "stream": "use `nb.text.stream(...)`",
        "voice": "it is `voice_id` here",
    }
)
_CLIENTS: Final = frozenset({"AsyncNeuralBox", "NeuralBox"})
_PAID: Final = frozenset({"Generate", "Images", "Music", "Speech", "Text", "Tools", "Transcriptions", "Videos"})
_MAKING: Final = frozenset({"generate", "generations", "complete", "completions", "edit", "run"})


class Guided:
    """Base of what is looked for under other names: an attribute that is not there says where the thing is."""

    __slots__ = ()

    # To a type checker a name that is not there stays an error.
    if not TYPE_CHECKING:  # pragma: no branch

        def __getattr__(self, name: str) -> NoReturn:
            raise no_attribute(self, name)


def no_attribute(owner: object, name: str) -> AttributeError:
    """Return the error of an attribute that is not there, with where it is found if that is known."""
    kind, hint = type(owner).__name__, None
    if not _CLIENTS.isdisjoint(base.__name__ for base in type(owner).__mro__):
        hint = _OF_A_CLIENT.get(name)
    elif kind in _PAID and name in _MAKING:
        hint = f"use `nb.{kind.lower()}.create(...)`"
    return AttributeError(f"{kind!r} has no {name!r}{f': {hint}' if hint else ''}.", name=name, obj=owner)


def unexpected_argument(name: str) -> TypeError:
    """Return the error of a keyword argument that no call takes, with what it is called here if that is known."""
    hint = _OF_A_CALL.get(name, "an option this version does not know goes through `extra_body`")
    return TypeError(f"unexpected keyword argument {name!r}; {hint}")
