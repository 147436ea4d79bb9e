"""`ListedFields`: what an item of the listing leaves out, and when it is enough. Learnt for each kind and model, pure.

A completed item that has a text or an address, and the charge, is a result; what else a job's own answer says (size, duration,
when it was completed, a still) an item may lack. Which of these fields the answers have, and which the items, is kept for the
latest models, so that where an item has all of them nobody asks once more.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from .._models.generation import Generation

Detail: TypeAlias = Literal["auto", "status", "listing"]

FIELDS = (
    "text",
    "url",
    "thumbnail_url",
    "tokens",
    "seed",
    "width",
    "height",
    "duration",
    "processing_ms",
    "usage",
    "created_at",
    "completed_at",
    "metadata",
)
"""What belongs to a result; a prompt, a mark or what is left of the tokens does not."""
_LISTS = ("generated_video", "generated_image", "generated_audio")
"""What was made one by one, with a still and a length each: GeminiGen's details have these, its listing has not."""
_KEPT = 256

KindAndModel: TypeAlias = tuple[str | None, str | None]
"""What a job is, as far as that is known."""


class ListedFields:
    """What was seen of answers and of items."""

    def __init__(self) -> None:
        self._answers: dict[KindAndModel, frozenset[str]] = {}
        self._items: dict[KindAndModel, frozenset[str]] = {}

    def saw_status(self, of: KindAndModel, answer: Generation) -> None:
        """Take note of a completed job's own answer."""
        _note(self._answers, of, answer)

    def saw_item(self, of: KindAndModel, item: Generation) -> None:
        """Take note of a completed item."""
        _note(self._items, of, item)

    def is_partial(self, of: KindAndModel, item: Generation) -> bool:
        """Whether an item lacks what such a job's own answer had, or may lack it since none was seen."""
        answers = self._answers.get(of)
        return answers is None or not answers <= fields_of(item)

    def may_be_whole(self, of: KindAndModel) -> bool:
        """Whether items of such jobs may have all that their own answers had; where no item was seen, one is worth a look."""
        answers, items = self._answers.get(of), self._items.get(of)
        return answers is not None and (items is None or answers <= items)


def fields_of(generation: Generation) -> frozenset[str]:
    """Return which fields of a result are there."""
    values, record = generation.__dict__, generation.raw
    return frozenset(
        [name for name in FIELDS if values[name] is not None] + [name for name in _LISTS if record.get(name)]
    )


def _note(seen: dict[KindAndModel, frozenset[str]], of: KindAndModel, generation: Generation) -> None:
    fields = fields_of(generation)
    before = seen.get(of)
    if before is None:
        seen[of] = fields
        if len(seen) > _KEPT:
            del seen[next(iter(seen))]
    elif not fields <= before:
        seen[of] = before | fields


def is_enough(item: Generation, *, detail: Detail, needs_result_only: bool, scarce: bool) -> bool:
    """Decide whether an item that is a result (it has an address or a text, and the charge) is handed out, or the job is asked.

    Args:
        item: It; whether it lacks anything is said by its `is_partial`.
        detail: What the client wants.
        needs_result_only: Whether its caller needs no more than the result itself.
        scarce: Whether a request more would be missed elsewhere.
    """
    if detail == "status":
        return False
    return detail == "listing" or scarce or needs_result_only or not item.is_partial
