"""Learn from a walk what the generations known to be ours say about this service. Pure.

The history is calibrated by what is ours and shown: how it writes prompts (`shown_prompts`), which clock `created_at`
follows, whether it names ids as the answers do, and whether somebody else on the account asks for the same as we do.
Nothing here says whose an item is; that is `matching`'s business.

Two ids of different forms (`18473` and `gen_01k2`) may name one generation, two of one form never do. So where the
history names ids in another form than the answers did, ours are known again by prompt and number: as many items as we
have generations of that prompt are ours. Where one of that prompt is unknown as well, any of the items may be either's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from .._types import GenerationId
from .claim import Claim, HistoryEntry, kinds_fit, mark_of
from .owned import OwnedGeneration, OwnedGenerations
from .shown_prompts import NO_RULES, PromptRules
from .walk import Walk

_UNSTEADY: Final = 2.0
"""Seconds by which generations of ours may contradict one another about a clock before it counts as unsteady."""
_WHOLE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Control:
    """A generation of ours, and the item that shows it."""

    item: HistoryEntry
    owned: OwnedGeneration


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one walk said of the service.

    Attributes:
        controls: Generations of ours that it shows.
        shown: Ids, as text, of generations of ours that it shows, by whatever name.
        ours: Keys of items that are ours by another name.
        shared: Keys of items that may be one of ours by another name, or an unknown one's.
        skew: What added to the monotonic clock gives the clock of `created_at`, at least and at most; None where no
            generation of ours tells.
        prompts: How it shows prompts.
        is_crowded: Somebody else makes generations on this account at the same time.
        is_copied: Somebody else asks for what we ask for.
    """

    controls: Sequence[Control] = ()
    shown: frozenset[str] = frozenset()
    ours: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    skew: tuple[float, float] | None = None
    prompts: PromptRules = NO_RULES
    is_crowded: bool = False
    is_copied: bool = False

    def mark_of(self, prompt: str | None) -> bytes | None:
        """Return the digest of what the history shows of a prompt."""
        return mark_of(prompt if prompt is None else self.prompts.shown(prompt))


NO_EVIDENCE: Final = Evidence()


def learn(
    walk: Walk, owned: OwnedGenerations, pending: Iterable[Claim], *, since: float, skew: float | None
) -> Evidence:
    """Read a walk by what is ours.

    Args:
        walk: What the history showed.
        owned: What is ours.
        pending: Claims that are unknown or in flight.
        since: When this program began to submit, by the monotonic clock: what else was made since is somebody else's.
        skew: What added to the monotonic clock gives the service's, by its `Date`.
    """
    controls: list[Control] = []
    unowned: dict[bytes | None, dict[str, HistoryEntry]] = {}
    for key, item in walk.items.items():
        known = owned.get(key)
        if known is not None:
            controls.append(Control(item, known))
        else:
            unowned.setdefault(mark_of(item.prompt or None), {})[key] = item
    prompts = _rules_of(controls)
    latest = (_clock_of(controls) or (skew, skew))[1]
    began_by_service = None if latest is None else since + latest + _WHOLE_SECONDS
    wanted: dict[bytes | None, list[Claim]] = {}
    for claim in pending:
        wanted.setdefault(mark_of(claim.prompt and prompts.shown(claim.prompt)), []).append(claim)
    shown, ours, shared = {str(each.item.id) for each in controls}, set[str](), set[str]()
    is_copied = is_crowded = False
    for mark, items in unowned.items():
        claims = wanted.get(mark, [])
        elsewhere = _named_elsewhere(owned, walk, mark, items.values())
        if elsewhere and len(items) >= len(elsewhere):
            shown.update(elsewhere)
        if elsewhere and claims:
            shared.update(items)
        elif len(elsewhere) == len(items):
            ours.update(items)
            equal = [owned.require(key) for key in elsewhere]
            if len(equal) > 1:  # which is which is not known, so their times tell no clock
                equal = [replace(each, sent=None) for each in equal]
            controls += [Control(item, each) for item, each in zip(items.values(), equal, strict=True)]
        if _has_unexplained(items.values(), claims, len(elsewhere), after=began_by_service):
            is_crowded = True
            is_copied = is_copied or bool(claims or owned.with_prompt(mark))
    return Evidence(
        tuple(controls),
        frozenset(shown),
        frozenset(ours),
        frozenset(shared),
        _clock_of(controls),
        prompts if prompts.names else _rules_of(controls),
        is_crowded,
        is_copied,
    )


def _has_unexplained(
    items: Iterable[HistoryEntry], claims: Sequence[Claim], elsewhere: int, *, after: float | None
) -> bool:
    """Whether of one prompt more was made than this program can have asked for.

    Args:
        items: What the history shows with this prompt and is not known to be ours.
        claims: Those of ours with this prompt that may be among them.
        elsewhere: How many of ours may be among them since they are known by ids of another form.
        after: When this program began, by the service's clock; None where that is unknown, and then nothing is.
    """
    recent = [item for item in items if item.created is not None and after is not None and item.created > after]
    explained = sum(any(kinds_fit(claim.kind, item.kind) for item in recent) for claim in claims)
    return len(recent) > explained + elsewhere


def _named_elsewhere(
    owned: OwnedGenerations, walk: Walk, mark: bytes | None, items: Iterable[HistoryEntry]
) -> list[str]:
    """Return the ids of ours with this prompt that a walk does not show, where an item's id has another form."""
    if mark is None:
        return []
    return [
        key
        for key in owned.with_prompt(mark)
        if key not in walk.items
        and any(
            is_number(item.id) is not is_number(key) and kinds_fit(owned.require(key).kind, item.kind) for item in items
        )
    ]


def is_number(generation_id: GenerationId) -> bool:
    """Whether an id is a whole number: one of the two forms the documents show."""
    return str(generation_id).lstrip("-").isdecimal()


def _rules_of(controls: Iterable[Control]) -> PromptRules:
    return PromptRules.learn(
        (each.owned.prompt, each.item.prompt)
        for each in controls
        if each.owned.prompt is not None and not each.owned.predicted
    )


def _clock_of(controls: Iterable[Control]) -> tuple[float, float] | None:
    """Tell the clock of `created_at`: each of ours was created between its sending and its answer."""
    least: list[float] = []
    most: list[float] = []
    for each in controls:
        if each.item.created is not None and each.owned.sent is not None:
            least.append(each.item.created - each.owned.at)
            most.append(each.item.created + _WHOLE_SECONDS - each.owned.sent)
    if not least:
        return None
    low, high = max(least), min(most)
    if low > high + _UNSTEADY:
        return min(least), max(most)
    return min(low, high), max(low, high)
