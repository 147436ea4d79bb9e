"""Decide what a walk through the history says about a claim: found, absent, or neither (at-most-one-charge.md). Pure.

`Walk` keeps what the pages showed and whether they are proof enough; a `MatchContext` is one claim, one walk and all that
is known beside them; `match` draws a `Conclusion`. The rules:

- Found is adopted only when its prompt is equal and it can be nobody else's: of equal claims any may have it, of
  differing ones the facts of the generation must tell, and a request still in flight may yet turn out to own it.
- A prompt that is only nearly equal may be another: such an item is a candidate that is told, never adopted.
- Absent needs everything at once: time to settle, no candidate, no equal request in flight, the whole window read in an order
  that was verified, and a generation of ours shown with its whole prompt.
- Anything less is undecided, with the reason in words.

Times are Unix seconds of the server's clock. They are worked out from `Date` headers, which are cut to whole seconds,
so an estimate is never late and up to some two seconds early.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Final

from .._api.pages import Envelope, walk_goes_on
from .claim import NO_FACTS, Claim, Facts, HistoryEntry, PromptMatch, compare_prompts, fit, is_told_by_facts, kinds_fit

EARLY: Final = 5.0
"""The window opens so many seconds before the time of sending."""
WHOLE_SECONDS: Final = 1.0
"""What cutting a time to whole seconds may take from it."""
LATE: Final = 3.0
"""What an estimate of the server's time may be behind it: whole seconds twice, and the way of an answer."""
SETTLE: Final = 10.0
"""A listing that lags shows everything after so many seconds, unless it was seen to take longer."""
LONGEST: Final = 60.0
"""Longest time of a kind that answers at once: it may be listed only when it is done. The documents give none; the
answers they show took 2 to 3 s."""
ANSWERS_LATER: Final = frozenset({"video"})
"""Kinds that are accepted at once as `pending` [nb:en/api-reference/generations/video]."""
_DISORDER: Final = 60.0  # seconds by which a listing may be out of order and still count as ordered
_ROUNDING: Final = 0.001  # seconds that sums of Unix times may be off
_ASKED: Final = 10  # so many details are asked for at once
_MOST_ASKED: Final = 200  # of more candidates nobody could say soon which is which, so none is adopted


def window_opens(sent: float) -> float:
    """The earliest time of creation of what was sent then."""
    return sent - EARLY - WHOLE_SECONDS


def longest_of(kind: str | None) -> float:
    """How long after its sending a generation of this kind may first be listed, apart from the listing's own lag."""
    return 0.0 if kind in ANSWERS_LATER else LONGEST


# A walk.


class Walk:
    """The pages of the history, newest first, as one walk saw them.

    Attributes:
        items: By id as text.
        is_whole: Every page was read.
        is_shaken: Something was removed from the listing meanwhile, or could not be told by its id, so an item may
            have slipped by.
    """

    def __init__(self) -> None:
        self.items: dict[str, HistoryEntry] = {}
        self.is_whole = self.is_shaken = False
        self._pages = 0
        self._total: int | None = None
        self._lowest: float | None = None
        self._disorder = 0.0
        self._is_dated = True

    def add(self, page: Envelope) -> bool:
        """Take the next page; whether there may be more."""
        self._pages += 1
        fresh = 0
        for record in page.records:
            item = HistoryEntry.read(record)
            if item is None:
                self.is_shaken = True
            elif str(item.id) not in self.items:
                fresh += 1
                self.items[str(item.id)] = item
                self._note_order(item)
        if page.total is not None:
            self.is_shaken = self.is_shaken or (self._total is not None and page.total < self._total)
            self._total = page.total
        goes_on = walk_goes_on(
            asked=self._pages, count=len(page.records), fresh=fresh, pages=page.pages, said=page.page
        )
        # A walk that ends because it gets nowhere (the same page again, another than was asked for) is not whole.
        is_last = not page.records if page.pages is None else self._pages >= page.pages
        self.is_whole = not goes_on and is_last and page.page == self._pages
        return goes_on

    def _note_order(self, item: HistoryEntry) -> None:
        if item.created is None:
            self._is_dated = False
            return
        if self._lowest is None or item.created < self._lowest:
            self._lowest = item.created
        else:
            self._disorder = max(self._disorder, item.created - self._lowest)

    def is_past(self, moment: float) -> bool:
        """Whether nothing created since this moment can be on a later page, by the order the items had so far."""
        ordered = self._is_dated and self._disorder <= _DISORDER
        return ordered and self._lowest is not None and self._lowest < moment - self._disorder

    def covers(self, moment: float) -> bool:
        """Whether everything created since this moment was seen."""
        return not self.is_shaken and (self.is_whole or self.is_past(moment))


# What is known of a claim, and what it comes to.


@dataclass(frozen=True, slots=True)
class CompetingRequest:
    """Another submission of ours that may own the same item.

    Attributes:
        in_flight: Its answer is still awaited; else it is unknown too.
    """

    claim: Claim
    sent: float
    in_flight: bool


@dataclass(frozen=True, slots=True)
class MatchContext:
    """One claim, one walk, and all that is known beside them.

    Attributes:
        claim: Whose generation is looked for.
        sent: When its first byte left; `-inf` where that is not known.
        lost: When its outcome was given up.
        looked: When the walk began.
        settle: Seconds after `lost` when whatever was accepted is listed.
        walk: What the history showed.
        owned: Ids, as text, that belong to other submissions.
        competitors: Submissions of ours that are unknown or in flight and may own the same item.
        facts: What asking for an item brought, by id as text; None where it brought nothing.
        has_control: The walk shows a generation of ours of this kind with its whole prompt.
        hides: The walk does not show a generation of ours of this kind that it should.
        spelled: How the service is known to spell the model that was asked for.
        left_until: Until when it may have left, where that is later than `lost`.
        guessed: When its first byte left if this machine's clock was not set since, where nothing else tells; `sent`
            is then `-inf`. An earlier run sent it that had not seen the service's clock.
    """

    claim: Claim
    sent: float
    lost: float
    looked: float
    settle: float
    walk: Walk = field(default_factory=Walk)
    owned: Container[str] = frozenset()
    competitors: Sequence[CompetingRequest] = ()
    facts: Mapping[str, Facts | None] = field(default_factory=dict)
    has_control: bool = False
    hides: bool = False
    spelled: str | None = None
    left_until: float = -inf
    guessed: float | None = None

    @property
    def opens(self) -> float:
        return window_opens(self.sent)


class Conclusion(Enum):
    """What a walk says about a claim."""

    FOUND = "found"
    """One item is the claim's."""
    ABSENT = "absent"
    """It was never accepted."""
    UNDECIDED = "undecided"
    """Neither is certain."""


class OpenReason(Enum):
    """Why neither is certain; the value is a sentence's end."""

    EARLY = "it may not be listed yet"
    ASK = "what the history shows must be looked at more closely"
    PERHAPS = "the history shows generations that may be this one"
    NOT_UNIQUE = "the history shows more than one generation that this may be, or one that may be another request's"
    EQUAL_IN_FLIGHT = "an equal request is still in flight"
    COVERAGE = "the history could not be read back to the time of sending"
    CONTROL = "the history shows no generation known to be ours, so that one is missing from it proves nothing"
    HIDES = "the history does not show another generation known to be ours"
    CLOCK = "the service's clock is not known"
    HISTORY = "the history could not be read"
    DEADLINE = "the deadline leaves no time to find out"


@dataclass(frozen=True, slots=True)
class Match:
    """A conclusion, and what it rests on.

    Attributes:
        conclusion: Which of the three.
        item: Of `FOUND`: the claim's generation.
        why: Of `UNDECIDED`: the reason.
        candidates: Of `UNDECIDED`: items that may be it.
        ask: Of `UNDECIDED`: ids, as text, of items whose details are needed first.
    """

    conclusion: Conclusion
    item: HistoryEntry | None = None
    why: OpenReason | None = None
    candidates: tuple[HistoryEntry, ...] = ()
    ask: tuple[str, ...] = ()


_ABSENT: Final = Match(Conclusion.ABSENT)


def undecided(why: OpenReason, candidates: Sequence[HistoryEntry] = (), ask: Sequence[str] = ()) -> Match:
    """Return the conclusion that neither is certain."""
    return Match(Conclusion.UNDECIDED, why=why, candidates=tuple(candidates), ask=tuple(ask))


def match(context: MatchContext) -> Match:
    """Decide what a walk says about a claim."""
    same, perhaps = _sort(context)
    if same:
        # All that may be it, before any is compared: whoever is asked alone would seem to be the only one.
        told_apart = is_told_by_facts(context.claim) or any(
            not context.claim.is_same_request(other.claim) for other in context.competitors
        )
        wanted = [*(same if told_apart else same[:1]), *perhaps]
        if len(wanted) > _MOST_ASKED:
            return undecided(OpenReason.NOT_UNIQUE, wanted)
    else:
        wanted = perhaps[:_ASKED]  # none of the others can make one of these less uncertain
    ask = [key for item in wanted if (key := str(item.id)) not in context.facts]
    if ask:
        return undecided(OpenReason.ASK, (*same, *perhaps), ask[:_ASKED])
    result = _adoption(context, same) or _absence(context, perhaps)
    if context.guessed is None or (result.item is not None and _is_proof(context, result.item, context.guessed)):
        return result
    return undecided(OpenReason.CLOCK, (*same, *perhaps))


def _sort(context: MatchContext) -> tuple[list[HistoryEntry], list[HistoryEntry]]:
    """Pick the items whose prompt is the claim's, best and oldest first, and those of which it cannot be told."""
    same: list[tuple[bool, int, float, HistoryEntry]] = []
    perhaps: list[HistoryEntry] = []
    until = None if context.guessed is not None else max(context.lost, context.left_until) + context.settle
    for key, item in context.walk.items.items():
        if key in context.owned or not _fits(context.claim, item, context.sent, until):
            continue
        like = _likeness(context, context.claim, item)
        confirmed = _fit(context, context.claim, item)
        if like is PromptMatch.SAME and confirmed is not None and item.created is not None:
            same.append((not _is_named(context, item), -confirmed, item.created, item))
        elif like is not PromptMatch.OTHER:
            perhaps.append(item)
    same.sort(key=lambda each: each[:3])
    return [each[3] for each in same], perhaps


def _fits(claim: Claim, item: HistoryEntry, sent: float, until: float | None) -> bool:
    """Whether an item has a claim's kind and was created inside its window, or does not say when."""
    if not kinds_fit(claim.kind, item.kind):
        return False
    if item.created is None:
        return True
    return window_opens(sent) <= item.created and (until is None or item.created <= until + LATE)


def _likeness(context: MatchContext, claim: Claim, item: HistoryEntry) -> PromptMatch:
    like = compare_prompts(claim, item.prompt, prediction_holds=context.has_control)
    whole = _facts(context, item).prompt  # undocumented, but it settles what a listing cuts
    if not whole or like is PromptMatch.SAME:
        return like
    closer = compare_prompts(claim, whole, prediction_holds=context.has_control)
    return closer if like is PromptMatch.PERHAPS else max(like, closer)


def _fit(context: MatchContext, claim: Claim, item: HistoryEntry) -> int | None:
    spelled = context.spelled if claim.model == context.claim.model else None
    return fit(claim, item.model, _facts(context, item), spelled=spelled)


def _is_named(context: MatchContext, item: HistoryEntry) -> bool:
    """Whether an item names the model that was asked for."""
    return item.model is not None and item.model in (context.claim.model, context.spelled)


def _facts(context: MatchContext, item: HistoryEntry) -> Facts:
    return context.facts.get(str(item.id)) or NO_FACTS


# Whose it is...


class _Owner(Enum):
    """Who of our own submissions an item may belong to."""

    OURS = "the claim"
    THEIRS = "a competitor"
    IN_FLIGHT = "perhaps a competitor in flight"
    UNCLEAR = "one of several"


def _adoption(context: MatchContext, same: Sequence[HistoryEntry]) -> Match | None:
    """Find the item that can be nobody else's; None when none of them is the claim's.

    Facts exclude an item that contradicts them. What they confirm gives it no rank above another that does not tell:
    that one may only be unfinished.
    """
    ours: list[HistoryEntry] = []
    for item in same:
        if ours and _is_named(context, item) != _is_named(context, ours[0]):
            break  # the rest is of other models
        owner = _owner(context, item, _fit(context, context.claim, item) or 0)
        if owner is _Owner.IN_FLIGHT:
            return undecided(OpenReason.EQUAL_IN_FLIGHT, same)
        if owner is _Owner.UNCLEAR:
            return undecided(OpenReason.NOT_UNIQUE, same)
        if owner is _Owner.OURS:
            ours.append(item)
    if not ours:
        return None
    equals = sum(
        not other.in_flight
        and other.sent > -inf  # what was sent nobody knows when explains nothing
        and context.claim.is_same_request(other.claim)
        and _fits(other.claim, ours[0], other.sent, None)
        for other in context.competitors
    )
    if len(ours) > 1 + equals:
        return undecided(OpenReason.NOT_UNIQUE, ours)
    if _is_weak(context, ours[0]) and context.looked < context.lost + min(SETTLE, context.settle):
        return undecided(OpenReason.EARLY, ours)  # a better one may still appear
    return Match(Conclusion.FOUND, ours[0])


def _owner(context: MatchContext, item: HistoryEntry, confirmed: int) -> _Owner:
    """Tell whose an item may be, by what confirms it for this claim and for each competitor."""
    owner = _Owner.OURS
    for other in context.competitors:
        if not _fits(other.claim, item, other.sent, None):
            continue
        theirs = _fit(context, other.claim, item)
        if theirs is None or theirs < confirmed or _likeness(context, other.claim, item) < PromptMatch.ALIKE:
            continue
        if other.in_flight:
            return _Owner.IN_FLIGHT
        if theirs > confirmed:
            owner = _Owner.THEIRS
        elif not context.claim.is_same_request(other.claim) and owner is _Owner.OURS:
            owner = _Owner.UNCLEAR
    return owner


def _is_weak(context: MatchContext, item: HistoryEntry) -> bool:
    """Whether a foreign generation could look the same: another model, or a prompt that says little."""
    claim = context.claim
    other_model = claim.model is not None and item.model not in (None, claim.model, context.spelled)
    return claim.predicted or other_model


def _is_proof(context: MatchContext, item: HistoryEntry, guessed: float) -> bool:
    """Whether an item is the claim's although nobody knows when that was sent: the only one there is, and not older.

    The guess only ever speaks against an item here. It proves nothing absent: the clock may have been set since.
    """
    is_older = item.created is None or item.created < window_opens(guessed)
    return not is_older and not context.competitors and context.walk.covers(-inf)


# ... or that there is none.


def _absence(context: MatchContext, perhaps: Sequence[HistoryEntry]) -> Match:
    if context.looked < context.lost + context.settle - _ROUNDING:
        return undecided(OpenReason.EARLY, perhaps)
    if perhaps:
        return undecided(OpenReason.PERHAPS, perhaps)
    if any(other.in_flight and other.sent <= context.lost for other in context.competitors):
        return undecided(OpenReason.EQUAL_IN_FLIGHT)
    if not context.walk.covers(context.opens):
        return undecided(OpenReason.COVERAGE)
    if context.hides:
        return undecided(OpenReason.HIDES)
    if not context.has_control:
        return undecided(OpenReason.CONTROL)
    return _ABSENT
