"""Compare an item of the history with what is known of a paid request whose answer was lost. Pure.

A `Claim` holds what was asked for and when; `HistoryEntry` is an item of the listing, `Facts` what its own `GET` adds. An
item is a claim's by its prompt (`compare_prompts`) and by what of the options a result shows (`fit`). The service may name
another model than was asked for (C19, C20), so a model never excludes, it only counts. What follows from a whole walk
through the listing is decided in `_submissions.matching`.
"""

from __future__ import annotations

import hashlib
import html
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, Self

from .._api import vocabulary as words
from .._api.fields import as_id, as_int, as_number, as_object, as_text, as_time, pick
from .._api.request import Form, Request
from .._types import GenerationId

_CUT_FROM: Final = 16
"""A listing that cuts prompts shows at least so many characters; a shorter prompt that ours begins with is another."""
_PROMPTS: Final = ("prompt", "text", "input")
"""What the prompt is called in a request; speech calls it `text` (C17), GeminiGen's `input`."""
_SECONDS_OFF: Final = 1.0  # a clip of 5 s may have 5.04
_RATIO_OFF: Final = 0.05
_IN_FACTS: Final = frozenset({"seed", "duration", "size", "aspect_ratio"})  # options that `fit` reads


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of one paid request: enough to find its generation in the history.

    Attributes:
        key: Names the submission; unique.
        kind: `image`, `text`, ... or None where nobody knows it.
        model: The slug asked for, or None.
        prompt: What the history would show as its prompt; None where that cannot be known.
        predicted: The prompt is a prediction (the last turn of `messages`, the name of an upload): the documents do
            not say what the history shows of such a request.
        basis: The field that a prediction was made from: one that holds for it says nothing of another's.
        options: All else that was sent, the drawn seed aside.
        seed: The seed that was drawn for it, by which its generation is known from any other.
        twin: Of another process's claim: the digest of all that it asks for, since only a part of that is known here.
        sent_at: Unix seconds of this machine's clock just before the first byte left, or before it could.
        server_offset: Seconds the server's clock is ahead of this machine's, or None where no answer told.
        lost_at: Unix seconds when its outcome was given up, or None while it is awaited (or the process died first).
    """

    key: str
    kind: str | None = None
    model: str | None = None
    prompt: str | None = field(default=None, repr=False)
    predicted: bool = False
    basis: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sent_at: float | None = None
    server_offset: float | None = None
    lost_at: float | None = None
    seed: int | None = None
    twin: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what cannot be read from the request again, as plain JSON values; no prompt, no option is in it."""
        return {
            "key": self.key,
            "kind": self.kind,
            "model": self.model,
            "sent_at": self.sent_at,
            "server_offset": self.server_offset,
            "lost_at": self.lost_at,
            **({} if self.seed is None else {"seed": self.seed}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; what is missing or of another type is None."""
        return cls(
            key=as_text(values.get("key")) or "",
            kind=as_text(values.get("kind")),
            model=as_text(values.get("model")),
            sent_at=as_number(values.get("sent_at")),
            server_offset=as_number(values.get("server_offset")),
            lost_at=as_number(values.get("lost_at")),
            seed=as_int(values.get("seed")),
        )

    def to_shared_dict(self) -> dict[str, Any]:
        """Return what other processes need to tell its generation from theirs: its prompt, and the options that show."""
        shown = {name: value for name, value in self.options.items() if name in _IN_FACTS and _is_plain(value)}
        return {
            **self.to_dict(),
            "prompt": self.prompt,
            "predicted": self.predicted,
            **({"basis": self.basis} if self.basis else {}),
            "options": shown,
            "twin": self._digest(),
        }

    @classmethod
    def from_shared_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what another process's `to_shared_dict` wrote; what is missing or of another type is None."""
        return replace(
            cls.from_dict(values),
            prompt=as_text(values.get("prompt")),
            predicted=values.get("predicted") is True,
            basis=as_text(values.get("basis")) or "",
            options=as_object(values.get("options")) or {},
            twin=as_text(values.get("twin")) or "",
        )

    def is_same_request(self, other: Claim) -> bool:
        """Whether both ask for the same, so that either may have the other's generation."""
        if self.twin is None and other.twin is None:
            return self.model == other.model and self.prompt == other.prompt and self.options == other.options
        return self._digest() == other._digest()

    def _digest(self) -> str:
        if self.twin is not None:
            return self.twin
        asked = json.dumps([self.model, self.prompt, self.options], sort_keys=True, default=repr)
        return hashlib.blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


# From a request to its claim.


def claim_of(
    request: Request, extra_body: Mapping[str, Any] | None = None, *, key: str, kind: str | None, model: str | None
) -> Claim:
    """Read what the history would show of a paid request.

    Args:
        request: The request, in either form (C8).
        extra_body: What the call adds to its body.
        key: Names the submission.
        kind: What the resource knows; the catalogue is asked where it does not.
        model: The slug asked for.
    """
    options = _options_of(request, extra_body)
    slug = options.pop("model", None)
    model = model if model is not None else as_text(slug)
    options.pop("stream", None)  # how the answer comes, not what is made
    prompt, basis = _prompt_of(request.form, options)
    return Claim(key, kind or words.KIND_OF_MODEL.get(model or ""), model, prompt, bool(basis), basis, options)


def body_of(request: Request, extra_body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the body that was sent, a form's file left out."""
    return request.whole_body(extra_body)


def _options_of(request: Request, extra_body: Mapping[str, Any] | None) -> dict[str, Any]:
    body = body_of(request, extra_body)
    nested = as_object(body.pop("params", None)) or {}
    return {**nested, **body}


def _prompt_of(form: Form | None, options: dict[str, Any]) -> tuple[str | None, str]:
    """Take the prompt out of the options: what it is, and what that was predicted from, "" where it is no prediction."""
    for file in () if form is None else form.files:
        # Told apart by what is in it, since recordings are often called the same.
        mark = file.mark or file
        options[file.name] = (*options[file.name], mark) if file.name in options else (mark,)
    for name in _PROMPTS:
        value = options.get(name)
        if isinstance(value, str):
            return options.pop(name), name if form is not None and form.loses_text else ""
    if form is not None and form.files:
        return form.files[0].file_name, "files"
    blocks = options.get("blocks")  # of a dialogue
    if isinstance(blocks, list | tuple):
        said = [(as_object(block) or {}).get("input") for block in blocks]
        return "\n".join(text for text in said if isinstance(text, str)) or None, "blocks"
    scenes = _read_list(options.get("scenes"))  # of a storyboard, written as JSON into its form
    if scenes:
        said = [(as_object(scene) or {}).get("prompt") for scene in scenes]
        return "\n".join(text for text in said if isinstance(text, str)) or None, "scenes"
    turns = options.get("messages")
    for turn in reversed(turns) if isinstance(turns, list | tuple) else ():
        record = as_object(turn) or {}
        if record.get("role") == "user":
            return _said(record.get("content")), "messages"
    return None, ""


def _read_list(text: object) -> list[Any]:
    """Read a list that stands in a form's field as JSON; what is none is empty."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _said(content: object) -> str | None:
    if isinstance(content, str):
        return content
    parts = [as_object(part) or {} for part in content] if isinstance(content, list | tuple) else []
    return " ".join(part["text"] for part in parts if isinstance(part.get("text"), str)) or None


# What the service shows.


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An item of the history, of either dialect.

    Attributes:
        created: Unix seconds of the server's clock, or None where it does not say.
        record: The item as it came.
    """

    id: GenerationId
    kind: str | None
    model: str | None
    prompt: str
    created: float | None
    record: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any], said: Mapping[str, Any] | None = None) -> Self | None:
        """Read an item; None without an id, which nobody could ask for.

        Args:
            record: The item as it came.
            said: The same under the names of `vocabulary.ALIASES`, where it has others.
        """
        said = record if said is None else said
        identity = as_id(pick(said, words.ALIASES["id"]))
        if identity is None:
            return None
        created = as_time(said.get("created_at"))
        return cls(
            identity,
            as_text(pick(said, words.ALIASES["kind"])),
            as_text(pick(said, words.ALIASES["model"])),
            as_text(said.get("prompt")) or "",
            None if created is None else created.timestamp(),
            record,
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What a generation's own `GET` says; None is what it does not say."""

    seed: int | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    prompt: str | None = field(default=None, repr=False)


NO_FACTS: Final = Facts()


# Comparing.


class PromptMatch(IntEnum):
    """How much the prompt of an item is that of a claim."""

    OTHER = 0
    """Certainly another."""
    PERHAPS = 1
    """It cannot be told: the listing shows none, cuts it, or nobody knows what it shows of such a request."""
    ALIKE = 2
    """The same letters and digits: another prompt (`2+2` and `2-2`), or ours as a listing escapes or cleans it."""
    CUT = 3
    """Equal as far as the listing shows prompts."""
    SAME = 4
    """Equal, blanks at the ends aside."""


def compare_prompts(claim: Claim, shown: str, *, prediction_holds: bool = False) -> PromptMatch:
    """Compare the prompt that an item shows with a claim's.

    Args:
        claim: The claim.
        shown: The item's prompt, `""` where it has none.
        prediction_holds: The same listing shows a predicted prompt of ours as predicted.
    """
    ours = claim.prompt
    if ours is None or not shown.strip():
        return PromptMatch.PERHAPS
    if shown.strip() == ours.strip():
        return PromptMatch.SAME
    theirs, whole = _reduced(shown), _reduced(ours)
    if not theirs or not whole:
        return PromptMatch.PERHAPS  # signs alone, and a listing may show none of them
    if theirs == whole:
        return PromptMatch.ALIKE
    is_marked = shown.rstrip().endswith(("...", "…"))
    if whole.startswith(theirs) and (is_marked or len(shown) >= _CUT_FROM):
        return PromptMatch.PERHAPS
    return PromptMatch.PERHAPS if claim.predicted and not prediction_holds else PromptMatch.OTHER


def plain(text: str) -> str:
    """The text with every run of blanks and line ends as one blank: what a listing may have done to it."""
    return " ".join(text.split())


@lru_cache(maxsize=256)
def _reduced(text: str) -> str:
    folded = unicodedata.normalize("NFKD", html.unescape(text)).casefold()
    return "".join(character for character in folded if character.isalnum())


def mark_of(prompt: str | None) -> bytes | None:
    """A short digest by which a prompt is known again without keeping it."""
    if prompt is None:
        return None
    return hashlib.blake2b(plain(prompt).encode("utf-8", "surrogatepass"), digest_size=12).digest()


def kinds_fit(one: str | None, other: str | None) -> bool:
    """Whether both may be the same kind; a word we do not know may be any (`tools` is `tool`, C31)."""
    return one == other or one not in words.KINDS or other not in words.KINDS


def fit(claim: Claim, model: str | None, facts: Facts, *, spelled: str | None = None) -> int | None:
    """Count what confirms that a generation is the claim's; None when something contradicts it.

    Args:
        claim: The claim.
        model: The slug the item names; another than was asked for confirms nothing and contradicts nothing.
        facts: What the item's own answer says.
        spelled: How this service is known to spell the model asked for.
    """
    agreements = [
        _agrees(claim.options.get("seed"), facts.seed, 0),
        _agrees(claim.options.get("duration"), facts.duration, _SECONDS_OFF),
        _agrees_on_shape(claim.options, facts),
    ]
    if False in agreements:
        return None
    same_model = model is not None and model in (claim.model, spelled)
    return agreements.count(True) + same_model


def is_told_by_facts(claim: Claim) -> bool:
    """Whether a claim asked for something that `fit` finds in the facts of a generation."""
    return not claim.options.keys().isdisjoint(_IN_FACTS)


def _agrees(asked: object, got: float | None, tolerance: float) -> bool | None:
    wanted, told = as_number(asked), as_number(got)  # an integer of hundreds of digits is no number to reckon with
    return None if wanted is None or told is None else abs(wanted - told) <= tolerance


def _agrees_on_shape(options: Mapping[str, Any], facts: Facts) -> bool | None:
    """Compare `size` (pixels, or Midjourney's ratio, C18) or `aspect_ratio` with the pixels of the result."""
    asked = as_text(options.get("size")) or as_text(options.get("aspect_ratio")) or ""
    wide_told, high_told = as_number(facts.width), as_number(facts.height)
    if not wide_told or not high_told:
        return None
    for mark in ("x", ":"):
        wide, _, high = asked.partition(mark)
        width, height = as_number(wide), as_number(high)
        if width and height:
            if mark == "x":
                return (width, height) == (wide_told, high_told)
            return abs(width / height / (wide_told / high_told) - 1) <= _RATIO_OFF
    return None
