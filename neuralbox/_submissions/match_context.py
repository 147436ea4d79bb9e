"""From a walk through the history to what a claim is judged by: who is known to be whose, and by which clock.

The registry holds what is known of an account; here it is put together with what a walk shows, for `matching` to conclude
from. Nothing waits, and nothing is settled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from .claim import Claim, Facts, kinds_fit, mark_of
from .evidence import Control, Evidence, learn
from .matching import EARLY, LATE, WHOLE_SECONDS, CompetingRequest, MatchContext, window_opens
from .owned import HIDDEN_FOR
from .pending import PendingSubmission
from .registry import MARGIN, Registry
from .walk import Walk

_STRANGERS_SINCE = 60.0
"""What nobody here knows and was made so many seconds before this program's first request counts as somebody else's."""
_CLOSE = 5.0
"""Seconds up to which two bounds of a clock tell it."""
_NEARBY = 150.0
"""Seconds by which a clock that nothing of ours tells is taken to be off at most."""


def note_walk(registry: Registry, walk: Walk, began: float) -> Evidence:
    """Learn from a walk what those of ours that it shows, and those it should, say of the service."""
    pending = [each for each in registry.entries if each.in_flight or each.lost is not None]
    # What an earlier run of ours made is not known to be ours, as long as its claims are taken up one by one.
    is_resuming = any(each.ending.sent_clock is None for each in pending)
    since = registry.began - (0.0 if is_resuming else _STRANGERS_SINCE)
    evidence = learn(walk, registry.owned, (each.claim for each in pending), since=since, skew=registry.skew)
    clock = _created_clock(registry, evidence)
    registry.created_ahead = clock[0] - registry.skew if clock is not None and registry.skew is not None else 0.0
    sent = [_sent_by(registry, each, clock) for each in pending if each.lost is not None]
    oldest = min((each for each in sent if each is not None), default=-math.inf) - HIDDEN_FOR
    registry.listing.note_walk(
        walk, began, owned=registry.owned, shown=evidence.shown, skew=clock and clock[0], oldest=oldest
    )
    return evidence


def context_of(
    registry: Registry,
    entry: PendingSubmission,
    walk: Walk,
    began: float,
    facts: Mapping[str, Facts | None],
    evidence: Evidence,
) -> MatchContext:
    """Put together what a submission is judged by."""
    assert entry.lost is not None
    claim, told = entry.claim, _created_clock(registry, evidence)
    sent, guessed = _sent_by(registry, entry, told), None
    clock = told or (registry.now() - registry.clock(),) * 2  # by this machine's own, which may be wrong
    if sent is None:
        sent = -math.inf
        guessed = math.inf if claim.sent_at is None else claim.sent_at + clock[0] + registry.clock() - registry.now()
    least, most = clock
    settle, left_until = registry.settle_seconds(claim.kind), max(entry.left_until, entry.lost)
    nearby = None
    if not _is_close(evidence.skew) and told is not None and sent > -math.inf:
        early, late = (-_NEARBY, _NEARBY) if evidence.skew is None else (each - least for each in evidence.skew)
        nearby = (window_opens(sent) + min(0.0, early), left_until + least + settle + LATE + max(0.0, late))
    return MatchContext(
        claim=claim,
        sent=sent,
        lost=max(sent, entry.lost + least),
        left_until=left_until + most + registry.service_clock.late,
        looked=began + least,
        settle=settle,
        walk=walk,
        owned=registry.owned,
        competitors=tuple(_competitors(registry, entry, evidence, told)),
        facts=facts,
        has_control=any(_is_control(claim, control, evidence) for control in evidence.controls),
        hides=registry.listing.hides(
            registry.owned, claim, evidence.shown, since=window_opens(sent) - least, began=began
        ),
        spelled=registry.observed.spelled.get(claim.model or ""),
        guessed=guessed,
        nearby=nearby,
        evidence=evidence,
        has_caught_up=_has_caught_up(registry, entry, evidence, began, lost=entry.lost + most + WHOLE_SECONDS),
        shows_seed=registry.observed.shows_seed.get(claim.model),
        # What an earlier run sent was made long ago: whoever made such things then shows already.
        is_new=(entry.ending.sent_clock is not None or entry.is_recent) and began < registry.known_from(),
    )


def _created_clock(registry: Registry, evidence: Evidence) -> tuple[float, float] | None:
    """Tell what added to the monotonic clock gives that of `created_at`, at least and at most.

    It is the service's own, unless generations of ours tell another one closely, or contradict it.
    """
    skew, told = registry.skew, evidence.skew
    if told is None or skew is None:
        return told if skew is None else (skew, skew)
    is_inside = skew - EARLY <= told[0] and told[1] <= skew + LATE
    may_be = told[0] <= skew + LATE and skew - EARLY <= told[1]
    return (skew, skew) if is_inside or (may_be and not _is_close(told)) else told


def _sent_by(registry: Registry, entry: PendingSubmission, clock: tuple[float, float] | None) -> float | None:
    """Tell when a submission left by the clock of `created_at`; None while that is unknown."""
    skew, sent = registry.skew, registry.sent(entry)
    if sent is not None and skew is not None and clock is not None:
        return sent + clock[0] - skew
    if clock is not None and entry.ending.sent_clock is not None:
        return entry.ending.sent_clock + clock[0] - entry.early
    return sent if clock is not None else None


def _has_caught_up(
    registry: Registry, entry: PendingSubmission, evidence: Evidence, began: float, *, lost: float
) -> bool:
    """Whether what was accepted of a lost submission would be listed by now.

    Proof is one of ours that was made after this one was lost, and is shown; or one of the last minutes that was
    shown at an age this one has passed, with a margin; or so long a time that no listing is taken to lag as much.
    """
    assert entry.lost is not None
    kind, age = entry.claim.kind, began - entry.lost
    if age >= registry.settling.listed_by:
        return True
    if any(
        each.item.created is not None and each.item.created > lost and kinds_fit(kind, each.owned.kind)
        for each in evidence.controls
    ):
        return True
    return age >= MARGIN * max(registry.listing.youngest(kind, began), registry.listing.longest)


def _competitors(
    registry: Registry, entry: PendingSubmission, evidence: Evidence, clock: tuple[float, float] | None
) -> Iterator[CompetingRequest]:
    shown = evidence.mark_of(entry.claim.prompt)
    for other in registry.entries:
        if other is entry or not (other.in_flight or other.lost is not None):
            continue
        if not kinds_fit(other.claim.kind, entry.claim.kind):
            continue
        if (
            other.claim.prompt == entry.claim.prompt
            or other.plain_prompt == entry.plain_prompt
            or (evidence.prompts.cut is not None and evidence.mark_of(other.claim.prompt) == shown)
        ):
            sent = _sent_by(registry, other, clock)
            yield CompetingRequest(other.claim, -math.inf if sent is None else sent, other.in_flight)


def _is_close(clock: tuple[float, float] | None) -> bool:
    """Whether generations of ours tell the clock of `created_at` closely: an answer that took long tells little."""
    return clock is not None and clock[1] - clock[0] <= _CLOSE


def _is_control(claim: Claim, control: Control, evidence: Evidence) -> bool:
    """Whether a generation of ours is shown as the history would show the claim's."""
    owned, item = control.owned, control.item
    if claim.predicted and not (owned.predicted and owned.basis == claim.basis):
        return False
    if (owned.kind or item.kind) != claim.kind if claim.kind else owned.model != claim.model:
        return False
    if claim.prompt is None:
        return owned.mark is None and not item.prompt
    if owned.mark is None:
        return False
    return owned.mark == mark_of(item.prompt) or (owned.prompt is not None and bool(evidence.prompts.names))
