"""Decide what a walk through the history says about a claim: found, absent, or neither (at-most-one-charge.md). Pure.

A `MatchContext` is one claim, one walk and all that is known beside them; `match` draws a `Conclusion`. The rules:

- An item that shows the seed that was drawn for the claim is the claim's, whatever else is on the account.
- Else an item is adopted only when its prompt is equal, as this history is known to show prompts, and it can be nobody
  else's. Everything unowned that may be it counts, and order and time never choose among several: of equal claims of
  ours any may have any, of differing ones the facts of the generation must tell, a request still in flight may yet turn
  out to own it, and where somebody else on the account was seen to ask for what we ask for, nothing but a seed is
  proof.
- Where somebody else is on the account at all, the one item that is shown counts only when enough of ours is known to
  tell that they ask for other things, and when the listing has caught up: ours may still be to come.
- Absent needs everything at once: time to settle, no candidate, no equal request in flight, the whole window read in an
  order that was verified, a generation of ours shown as this one would be, and a listing that has caught up.
- Anything less is undecided, with the reason in words.

Times are Unix seconds of the clock that `created_at` follows. They are worked out from `Date` headers, which are cut to
whole seconds, so an estimate is never late and up to some two seconds early; or, where these disagree with it, from
generations of ours.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Final

from .claim import NO_FACTS, Claim, Facts, HistoryEntry, PromptMatch, compare_prompts, fit, is_told_by_facts, kinds_fit
from .evidence import NO_EVIDENCE, Evidence
from .walk import Walk

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
_STRANGERS_KNOWN: Final = 12
"""Where somebody else is on the account, so many of ours that they did not ask for tell that they ask for other things."""
_ROUNDING: Final = 0.001  # seconds that sums of Unix times may be off
_ASKED: Final = 10  # so many details are asked for at once
_MOST_ASKED: Final = 200  # of more candidates nobody could say soon which is which, so none is adopted


def window_opens(sent: float) -> float:
    """The earliest time of creation of what was sent then."""
    return sent - EARLY - WHOLE_SECONDS


def longest_of(kind: str | None) -> float:
    """How long after its sending a generation of this kind may first be listed, apart from the listing's own lag."""
    return 0.0 if kind in ANSWERS_LATER else LONGEST


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
            is then `-inf`. An earlier run sent it that had not seen the service's clock, or no answer tells that.
        nearby: Where nothing of ours tells the clock of `created_at` closely, an equal item that was created between these
            moments may be it, though it is outside the window; None where the clock is told.
        evidence: What the walk said of the service.
        has_caught_up: What was accepted of the claim would be listed by now, as others of ours were.
        shows_seed: Whether generations of this model show the seed that was sent; None where that is not known.
        is_new: This program began to submit so short a time ago that another that began with it would not show yet.
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
    nearby: tuple[float, float] | None = None
    evidence: Evidence = NO_EVIDENCE
    has_caught_up: bool = False
    shows_seed: bool | None = None
    is_new: bool = False

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
    NEW = "this program has only begun, so another one on this account that asks for the same would not show yet"
    PERHAPS = "the history shows generations that may be this one"
    COPIED = "somebody else on this account asks for the same, so it may be theirs"
    CROWDED = "somebody else is on this account, and too little of ours is known to tell what they ask for"
    NOT_UNIQUE = "the history shows more than one generation that this may be, or one that may be another request's"
    EQUAL_IN_FLIGHT = "an equal request is still in flight"
    COVERAGE = "the history could not be read back to the time of sending"
    CONTROL = "the history shows no generation known to be ours, so that one is missing from it proves nothing"
    HIDES = "the history does not show another generation known to be ours"
    LAG = "nothing of ours that was accepted later or lately shows how late the history lists, so it may be to come"
    CLOCK = "the service's clock is not known"
    HISTORY = "the history could not be read"
    UNFIT = "its generation was found, and the journal cannot hold an id as long"
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
    seen = _sort(context)
    candidates = (*seen.same, *seen.perhaps, *seen.nearby)
    if seen.same:
        # All that may be it, before any is compared: whoever is asked alone would seem to be the only one.
        told_apart = (
            _has_fingerprint(context)
            or is_told_by_facts(context.claim)
            or any(not context.claim.is_same_request(other.claim) for other in context.competitors)
            or any(str(item.id) in context.evidence.shared for item in seen.same)
        )
        wanted = [*(seen.same if told_apart else seen.same[:1]), *seen.perhaps]
        if len(wanted) > _MOST_ASKED:
            return undecided(OpenReason.NOT_UNIQUE, wanted)
    else:
        wanted = seen.perhaps[:_ASKED]  # none of the others can make one of these less uncertain
    ask = _unasked(context, wanted)
    if ask:
        return undecided(OpenReason.ASK, candidates, ask)
    proven = [item for item in candidates if _is_proven(context, item)]
    if not proven and _has_fingerprint(context):
        ask = _unasked(context, seen.nearby[:_ASKED])
        if ask:
            return undecided(OpenReason.ASK, candidates, ask)
    if proven:
        return Match(Conclusion.FOUND, proven[0]) if len(proven) == 1 else undecided(OpenReason.NOT_UNIQUE, proven)
    result = _adoption(context, seen) or _absence(context, (*seen.perhaps, *seen.nearby))
    if (
        context.guessed is None
        or result.why is OpenReason.NEW
        or (result.item is not None and _is_proof(context, result.item, context.guessed))
    ):
        return result
    return undecided(OpenReason.CLOCK, candidates)


def _unasked(context: MatchContext, items: Sequence[HistoryEntry]) -> list[str]:
    return [key for item in items if (key := str(item.id)) not in context.facts][:_ASKED]


# The drawn seed.


def _has_fingerprint(context: MatchContext) -> bool:
    return context.claim.seed is not None and context.shows_seed is not False


def _is_proven(context: MatchContext, item: HistoryEntry) -> bool:
    """Whether an item shows the seed that was drawn for the claim: one in two thousand million others would."""
    return _has_fingerprint(context) and _facts(context, item).seed == context.claim.seed


def _has_other_seed(context: MatchContext, claim: Claim, item: HistoryEntry) -> bool:
    """Whether an item shows another seed than was drawn for a claim."""
    if claim.seed is None or context.shows_seed is False:
        return False
    return _facts(context, item).seed not in (None, claim.seed)


# What may be it.


@dataclass(frozen=True, slots=True)
class _Seen:
    """The unowned items that may be a claim's.

    Attributes:
        same: Their prompt is the claim's; best and oldest first.
        perhaps: Of these it cannot be told.
        nearby: Their prompt is the claim's, but by a clock nobody has checked they are outside its window.
    """

    same: list[HistoryEntry]
    perhaps: list[HistoryEntry]
    nearby: list[HistoryEntry]


def _sort(context: MatchContext) -> _Seen:
    same: list[tuple[bool, int, float, HistoryEntry]] = []
    seen = _Seen([], [], [])
    until = None if context.guessed is not None else max(context.lost, context.left_until) + context.settle
    for key, item in context.walk.items.items():
        if key in context.owned or key in context.evidence.ours or not kinds_fit(context.claim.kind, item.kind):
            continue
        is_inside = _fits(context.claim, item, context.sent, until)
        if not is_inside and not _is_nearby(context, item):
            continue
        like = _likeness(context, context.claim, item)
        if not is_inside:
            if like is PromptMatch.SAME:
                seen.nearby.append(item)
            continue
        if context.shows_seed and _has_other_seed(context, context.claim, item):
            continue
        confirmed = _fit(context, context.claim, item)
        if like >= PromptMatch.CUT and confirmed is not None and item.created is not None:
            same.append((not _is_named(context, item), -confirmed, item.created, item))
        elif like is not PromptMatch.OTHER:
            seen.perhaps.append(item)
    same.sort(key=lambda each: each[:3])
    seen.same.extend(each[3] for each in same)
    return seen


def _is_nearby(context: MatchContext, item: HistoryEntry) -> bool:
    """Whether an item may be inside the window by a clock that no generation of ours has told."""
    if context.nearby is None or item.created is None:
        return False
    return context.nearby[0] <= item.created <= context.nearby[1]


def _fits(claim: Claim, item: HistoryEntry, sent: float, until: float | None) -> bool:
    """Whether an item has a claim's kind and was created inside its window, or does not say when."""
    if not kinds_fit(claim.kind, item.kind):
        return False
    if item.created is None:
        return True
    return window_opens(sent) <= item.created and (until is None or item.created <= until + LATE)


def _likeness(context: MatchContext, claim: Claim, item: HistoryEntry) -> PromptMatch:
    """Compare prompts as this history is known to show them, and by what the details say."""
    prompts = context.evidence.prompts
    if prompts.names and claim.prompt is not None and not claim.predicted:
        like = prompts.compare(claim.prompt, item.prompt)
    else:
        like = compare_prompts(claim, item.prompt, prediction_holds=context.has_control)
    whole = _facts(context, item).prompt  # undocumented, but it settles what a listing cuts
    if not whole or like is PromptMatch.SAME:
        return like
    closer = compare_prompts(claim, whole, prediction_holds=context.has_control)
    return closer if like in (PromptMatch.PERHAPS, PromptMatch.CUT) else max(like, closer)


def _fit(context: MatchContext, claim: Claim, item: HistoryEntry) -> int | None:
    """Count what confirms an item; None when something contradicts it."""
    if _has_other_seed(context, claim, item):
        return None
    spelled = context.spelled if claim.model == context.claim.model else None
    confirmed = fit(claim, item.model, _facts(context, item), spelled=spelled)
    has_seed = claim.seed is not None and _facts(context, item).seed == claim.seed
    return None if confirmed is None else confirmed + has_seed


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


def _adoption(context: MatchContext, seen: _Seen) -> Match | None:
    """Find the item that can be nobody else's; None when none of them is the claim's.

    Facts exclude an item that contradicts them. What they confirm gives it no rank above another that does not tell:
    that one may only be unfinished.
    """
    same, ours = seen.same, list[HistoryEntry]()
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
    is_ambiguous = len(ours) > 1 + equals or any(str(item.id) in context.evidence.shared for item in ours)
    nearby = [item for item in seen.nearby if _may_be_instead(context, item, ours[0])]
    if is_ambiguous or nearby:
        return undecided(OpenReason.NOT_UNIQUE, (*ours, *nearby))
    return _caution(context, ours) or Match(Conclusion.FOUND, ours[0])


def _may_be_instead(context: MatchContext, nearby: HistoryEntry, inside: HistoryEntry) -> bool:
    """Whether an item outside the window may be the claim's, and the one inside a stranger's.

    If it is, `created_at` is off by as much; then one inside was made as much later, which may still be to come.
    """
    assert nearby.created is not None
    assert inside.created is not None
    return inside.created + (context.sent - nearby.created) <= context.looked + LATE


def _caution(context: MatchContext, ours: Sequence[HistoryEntry]) -> Match | None:
    """Tell why the only item that may be the claim's may still be a stranger's; None where nothing speaks for one."""
    item, evidence = ours[0], context.evidence
    is_cut = _likeness(context, context.claim, item) is PromptMatch.CUT
    if evidence.is_copied:
        return undecided(OpenReason.COPIED, ours)
    if evidence.is_crowded and (is_cut or len(evidence.controls) < _STRANGERS_KNOWN):
        return undecided(OpenReason.CROWDED, ours)
    if context.is_new and len(evidence.controls) < _STRANGERS_KNOWN:
        return undecided(OpenReason.NEW, ours)
    if _is_weak(context, item) and context.looked < context.lost + min(SETTLE, context.settle):
        return undecided(OpenReason.EARLY, ours)  # a better one may still appear
    is_early = item.created is not None and item.created < context.sent - WHOLE_SECONDS
    is_late = item.created is not None and item.created > max(context.lost, context.left_until) + LATE
    if (
        is_early or (is_late and context.claim.kind in ANSWERS_LATER) or evidence.is_crowded
    ) and not context.has_caught_up:
        return undecided(OpenReason.LAG, ours)  # ours may still appear beside it
    return None


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
    if not context.has_caught_up:
        return undecided(OpenReason.LAG)
    return _ABSENT
