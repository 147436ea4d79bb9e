"""What generations of ours tell of the service: how it shows prompts, by which clock, under which ids, and who else is there."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neuralbox._api.pages import read_envelope
from neuralbox._journal import open_journal
from neuralbox._submissions import owned as owned_module
from neuralbox._submissions.claim import Claim, PromptMatch, mark_of
from neuralbox._submissions.evidence import Evidence, learn
from neuralbox._submissions.journal_ids import register_journal_ids
from neuralbox._submissions.owned import OwnedGeneration, OwnedGenerations
from neuralbox._submissions.registry import registry_of
from neuralbox._submissions.shown_prompts import PromptRules
from neuralbox._submissions.walk import Walk

from ..service import a_shop

LONG = "Take a <b>heron</b> & nine boats, seen from afar on a day that never ends"
OTHER = "A <i>fox</i> & a hen"


# Prompts.


@pytest.mark.parametrize(
    "show",
    [
        str,
        html.escape,
        lambda text: html.escape(text, quote=False),
        str.lower,
        lambda text: text[:12],
        lambda text: f"{text[:12]}…",
    ],
)
def test_a_prompt_is_compared_exactly_as_ours_are_shown(show: Callable[[str], str]) -> None:
    rules = PromptRules.learn([(LONG, show(LONG)), (OTHER, show(OTHER))])
    mine = 'Some "boats" & the <u>SEA</u>, and more of it'
    is_cut = len(show(LONG)) < 20
    assert rules.compare(mine, show(mine)) in (PromptMatch.SAME, PromptMatch.CUT if is_cut else PromptMatch.PERHAPS)
    assert rules.compare(mine, show(f"Not {mine}")) is PromptMatch.OTHER
    assert rules.shown("plain") == "plain"


def test_what_no_rule_explains_is_another_request() -> None:
    rules = PromptRules.learn([("1+1=?", "1+1=?"), ("A Fox", "A Fox")])
    assert rules.compare("2-2=?", "2+2=?") is PromptMatch.OTHER
    assert rules.compare("therapist", "the rapist") is PromptMatch.OTHER
    assert rules.compare("Polish food", "polish food") is PromptMatch.OTHER
    assert rules.compare("2-2=?", "") is PromptMatch.PERHAPS
    # A cut that none of ours was long enough for.
    assert rules.compare(LONG, LONG[:30]) is PromptMatch.PERHAPS
    assert rules.compare(LONG, LONG[:3]) is PromptMatch.OTHER


def test_what_ours_do_not_tell_apart_is_not_decided() -> None:
    rules = PromptRules.learn([("plain", "plain")])
    assert rules.compare("A & B", "A &amp; B") is PromptMatch.PERHAPS
    assert rules.compare("A & B", "A & B") is PromptMatch.PERHAPS


@pytest.mark.parametrize(
    "controls",
    [
        [],
        [("A fox", "[conversation]")],
        [("A fox", "")],
        [(LONG, LONG[:20]), (LONG, LONG[:30])],
        [(LONG, LONG[:20]), (OTHER * 3, OTHER * 3)],
        [("A fox", "A fox"), ("A hen", "")],
    ],
)
def test_controls_that_contradict_a_rule_veto_it(controls: list[tuple[str, str]]) -> None:
    assert not PromptRules.learn(controls).names


# What is kept.


def test_only_so_many_prompts_are_kept_and_none_that_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owned_module, "_TEXTS_KEPT", 2)
    monkeypatch.setattr(owned_module, "_LONGEST_TEXT", 10)
    owned = OwnedGenerations()
    for number, prompt in enumerate(["one", "two", "three", "four", "a long prompt", None]):
        owned.add(str(number), ours(prompt), open_since=lambda: None)
        if prompt == "two":
            owned.discard("0")
    assert [owned.require(key).prompt for key in owned] == [None, "three", "four", None, None]
    assert "three" not in repr(owned.require("2"))
    owned.discard("4")
    owned.discard("5")
    owned.add("6", ours("four"), open_since=lambda: None)
    owned.discard("3")
    assert [*owned.with_prompt(mark_of("four"))] == ["6"]


# Clocks, ids, strangers.


def ours(prompt: str | None, sent: float | None = 10.0, at: float = 11.0) -> OwnedGeneration:
    return OwnedGeneration("video", "m", mark_of(prompt), predicted=False, at=at, sent=sent, prompt=prompt)


def learned(items: list[tuple[Any, str, float | None]], owned: dict[str, OwnedGeneration], *claims: Claim) -> Evidence:
    walk, known = Walk(), OwnedGenerations()
    records = [
        {"id": name, "type": "video", "prompt": prompt, "created_at": created} for name, prompt, created in items
    ]
    page = read_envelope({"items": records, "page": 1, "pages": 1})
    assert page is not None
    walk.add(page)
    for key, each in owned.items():
        known.add(key, each, open_since=lambda: None)
    return learn(walk, known, claims, since=0.0, skew=None)


def test_ours_tell_the_clock_between_their_sending_and_their_answer() -> None:
    assert learned([(1, "a", 1_010.0)], {"1": ours("a")}).skew == (999.0, 1_001.0)
    assert learned([(1, "a", None)], {"1": ours("a")}).skew is None
    assert learned([(1, "a", 1_010.0)], {"1": ours("a", None)}).skew is None
    several = {"1": ours("a"), "2": ours("b", 20.0, 50.0)}
    assert learned([(1, "a", 1_010.0), (2, "b", 1_030.0)], several).skew == (999.0, 1_001.0)
    # A clock that goes to and fro is only known to be between its furthest.
    assert learned([(1, "a", 1_010.0), (2, "b", 1_100.0)], several).skew == (999.0, 1_081.0)


def test_ours_are_known_again_under_other_ids_by_their_number() -> None:
    alone = learned([("gen_x", "a", 1_010.0)], {"1": ours("a")})
    assert (set(alone.ours), set(alone.shown), alone.skew) == ({"gen_x"}, {"1"}, (999.0, 1_001.0))
    two = learned([("gen_x", "a", 1_010.0), ("gen_y", "a", 1_010.0)], {"1": ours("a"), "2": ours("a")})
    assert (len(two.ours), two.skew) == (2, None)  # which is which is not known
    one_more = learned([("gen_x", "a", 1_010.0), ("gen_y", "a", 1_010.0)], {"1": ours("a")})
    assert (one_more.ours, one_more.shared) == (frozenset(), frozenset())
    lost = learned([("gen_x", "a", 1_010.0), ("gen_y", "a", 1_010.0)], {"1": ours("a")}, Claim("k", "video", "m", "a"))
    assert lost.shared == {"gen_x", "gen_y"}
    # Two integers are never one.
    assert not learned([(7, "a", 1_010.0)], {"1": ours("a")}).ours


def test_who_asks_for_what_we_ask_for_is_told_from_who_asks_for_other_things() -> None:
    base, known = [(1, "a", 1_010.0)], {"1": ours("a")}
    assert not learned([*base], known).is_crowded
    others = learned([*base, (2, "b", 1_020.0)], known)
    assert (others.is_crowded, others.is_copied) == (True, False)
    assert learned([*base, (2, "a", 1_020.0)], known).is_copied
    claim = Claim("k", "video", "m", "b")
    assert not learned([*base, (2, "b", 1_020.0)], known, claim).is_crowded
    assert learned([*base, (2, "b", 1_020.0), (3, "b", 1_020.0)], known, claim).is_copied
    assert not learned([*base, (2, "b", 900.0)], known).is_crowded  # before we began


# Journals.


@pytest.mark.anyio
async def test_a_journal_in_which_nothing_is_unknown_tells_nothing(tmp_path: Path) -> None:
    async with a_shop() as shop:
        registry = registry_of(shop.core())
        async with await open_journal(tmp_path / "jobs.sqlite", account="a", service="http://box.test") as journal:
            await register_journal_ids(registry, journal, lambda record: None)
        assert len(registry.owned) == 0
