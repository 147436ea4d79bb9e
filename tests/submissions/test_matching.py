"""What a walk through the history says about a claim, as tables: window, order, equal requests, control, and what is missing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neuralbox._api.pages import read_envelope
from neuralbox._submissions.claim import Claim, Facts, HistoryEntry
from neuralbox._submissions.evidence import Evidence
from neuralbox._submissions.matching import (
    LONGEST,
    SETTLE,
    CompetingRequest,
    Conclusion,
    Match,
    MatchContext,
    OpenReason,
    longest_of,
    match,
    window_opens,
)
from neuralbox._submissions.walk import Walk

SENT, LOST = 1_000.0, 1_002.0
CLAIM = Claim("mine", "image", "dall-e-3", "A fox")

CHECKED = Evidence(skew=(0.0, 1.0))
"""A generation of ours told the clock of `created_at`."""


def item(id: int, created: float | None = SENT, **fields: Any) -> dict[str, Any]:
    record = {"id": id, "type": "image", "model": "dall-e-3", "prompt": "A fox", "created_at": created}
    return {**record, **fields}


OLD = item(1, SENT - 600, prompt="A hen")
OURS = item(2, SENT - 60, prompt="A cock")


def walk(*pages: Sequence[dict[str, Any]], whole: bool = True, **envelope: Any) -> Walk:
    made = Walk()
    count = len(pages) if whole else len(pages) + 1
    for number, items in enumerate(pages, 1):
        page = read_envelope({"items": items, "page": number, "pages": count, **envelope}, page=number)
        assert page is not None
        made.add(page)
    return made


def case(*items: dict[str, Any], **changes: Any) -> MatchContext:
    """A case in which nothing is missing: settled, a walk to the end, a control; details are known to say nothing."""
    made = MatchContext(
        CLAIM,
        SENT,
        LOST,
        looked=LOST + 20,
        settle=SETTLE,
        walk=walk([*items, OURS, OLD]),
        has_control=True,
        has_caught_up=True,
        evidence=CHECKED,
        owned={"2"},
    )
    made = replace(made, **changes)
    return replace(made, facts={**dict.fromkeys(made.walk.items), **made.facts})


def competitor(sent: float = SENT, *, in_flight: bool = False, **changes: Any) -> CompetingRequest:
    return CompetingRequest(replace(CLAIM, key="theirs", **changes), sent, in_flight)


def found(result: Match) -> int | str | None:
    return None if result.item is None else result.item.id


def why(result: Match) -> OpenReason | None:
    return result.why


# The window.


@pytest.mark.parametrize(
    ("created", "inside"),
    [
        (SENT, True),
        (SENT - 6, True),  # 5 s early, and the second that cutting takes
        (SENT - 6.1, False),
        (LOST + SETTLE + 3, True),
        (LOST + SETTLE + 3.1, False),
    ],
)
def test_a_candidate_was_created_inside_the_window(created: float, inside: bool) -> None:
    result = match(case(item(5, created)))
    assert (found(result) == 5) is inside
    assert (result.conclusion is Conclusion.ABSENT) is not inside


def test_what_does_not_say_when_it_was_created_is_neither_adopted_nor_forgotten() -> None:
    result = match(case(item(5, None)))
    assert why(result) is OpenReason.PERHAPS
    assert [each.id for each in result.candidates] == [5]


def test_kinds_that_answer_at_once_take_their_longest_time_to_settle() -> None:
    assert (longest_of("image"), longest_of("text"), longest_of(None), longest_of("video")) == (LONGEST,) * 3 + (0.0,)
    assert window_opens(SENT) == SENT - 6


# Candidates.


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Conclusion.FOUND),
        ({"type": None}, Conclusion.FOUND),
        ({"type": "picture"}, Conclusion.FOUND),
        ({"model": "dall-e"}, Conclusion.FOUND),
        ({"model": None}, Conclusion.FOUND),
        ({"prompt": " A fox\n"}, Conclusion.FOUND),
        ({"prompt": "A  fox"}, OpenReason.PERHAPS),
        ({"prompt": "A «fox»"}, OpenReason.PERHAPS),
        ({"prompt": "a fox"}, OpenReason.PERHAPS),
        ({"type": "video"}, Conclusion.ABSENT),
        ({"prompt": "A hen"}, Conclusion.ABSENT),
        ({"prompt": None}, OpenReason.PERHAPS),
        ({"prompt": "A…"}, OpenReason.PERHAPS),
    ],
)
def test_a_candidate_has_the_kind_and_the_prompt(fields: dict[str, Any], expected: object) -> None:
    result = match(case(item(5, **fields)))
    assert (result.why or result.conclusion) is expected


def test_what_belongs_to_another_submission_is_no_candidate() -> None:
    assert match(case(item(5), owned={"5", "2"})).conclusion is Conclusion.ABSENT


def test_the_model_asked_for_goes_before_another() -> None:
    assert found(match(case(item(6, SENT, model="dall-e"), item(5, SENT + 1)))) == 5


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, {"model": "dall-e"}),
        ({"claim": replace(CLAIM, predicted=True)}, {}),
    ],
)
def test_what_a_foreign_program_could_have_made_too_is_adopted_only_when_a_better_one_had_time_to_appear(
    changes: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert why(match(case(item(5, **fields), looked=LOST + SETTLE - 0.1, **changes))) is OpenReason.EARLY
    assert found(match(case(item(5, **fields), looked=LOST + SETTLE, **changes))) == 5


def test_a_model_known_to_be_spelled_otherwise_is_as_good_as_the_one_asked_for() -> None:
    spelled = case(item(5, model="dall-e"), looked=LOST, spelled="dall-e")
    assert found(match(spelled)) == 5


@pytest.mark.parametrize("prompt", [None, "A fox and a hen"])
def test_a_prompt_the_listing_lacks_is_read_from_the_details(prompt: str | None) -> None:
    claim = replace(CLAIM, prompt="A fox and a hen and a cock")
    shown = item(5, prompt=prompt or "A fox and a hen…")
    facts = {"5": Facts(prompt="A fox and a hen and a cock")}
    assert found(match(case(shown, claim=claim, facts=facts))) == 5
    assert (
        match(case(shown, claim=claim, facts={"5": Facts(prompt="A fox and a hen and a dog")})).conclusion
        is Conclusion.ABSENT
    )


@pytest.mark.parametrize(("ours", "another"), [("therapist", "the rapist"), ("2-2=?", "2+2=?"), ("A fox", "A fox?")])
def test_a_prompt_that_is_nearly_equal_is_told_and_never_adopted(ours: str, another: str) -> None:
    claim = replace(CLAIM, prompt=ours)
    result = match(case(item(5, prompt=another), claim=claim))
    assert result.why is OpenReason.PERHAPS
    assert [each.id for each in result.candidates] == [5]
    # Ours beside it is ours.
    assert found(match(case(item(5, prompt=another), item(6, prompt=ours), claim=claim))) == 6
    # The details tell what the listing only cleaned.
    assert found(match(case(item(5, prompt=another), claim=claim, facts={"5": Facts(prompt=ours)}))) == 5
    assert (
        why(match(case(item(5, prompt=another), claim=claim, facts={"5": Facts(prompt=another)}))) is OpenReason.PERHAPS
    )


def test_details_are_asked_for_before_anything_is_concluded() -> None:
    made = replace(case(item(5), item(6, prompt=None)), facts={})
    result = match(made)
    assert (result.why, result.ask) == (OpenReason.ASK, ("5", "6"))


@pytest.mark.parametrize("number", [11, 40])
def test_details_are_asked_for_ten_at_a_time_at_most(number: int) -> None:
    made = case(*[item(10 + each, prompt=None) for each in range(number)])
    result = match(replace(made, facts={}))
    assert len(result.ask) == 10
    # The rest is not asked for at all: what ten did not tell is not certain.
    assert why(match(replace(made, facts=dict.fromkeys(result.ask)))) is OpenReason.PERHAPS


def test_the_details_of_equals_are_all_asked_for_where_one_of_them_was_asked_for_by_others_too() -> None:
    made = case(item(5), item(6, SENT + 1), evidence=replace(CHECKED, shared=frozenset({"5"})))
    assert set(match(replace(made, facts={})).ask) == {"5", "6"}


def test_an_item_outside_the_window_is_asked_for_the_seed_that_was_drawn() -> None:
    made = case(item(5, SENT - 30), claim=replace(CLAIM, seed=77), nearby=(SENT - 150, SENT + 150))
    assert match(replace(made, facts={})).ask == ("5",)
    assert found(match(replace(made, facts={"5": Facts(seed=77)}))) == 5


def test_of_two_that_show_the_seed_that_was_drawn_none_is_adopted() -> None:
    seeds = {"5": Facts(seed=77), "6": Facts(seed=77)}
    result = match(case(item(5), item(6), claim=replace(CLAIM, seed=77), facts=seeds))
    assert (found(result), why(result)) == (None, OpenReason.NOT_UNIQUE)


@pytest.mark.parametrize(
    ("shows_seed", "expected"), [(None, OpenReason.PERHAPS), (True, Conclusion.ABSENT), (False, Conclusion.FOUND)]
)
def test_another_seed_makes_absent_only_where_the_model_is_known_to_show_what_was_sent(
    shows_seed: bool | None, expected: object
) -> None:
    made = case(item(5), claim=replace(CLAIM, seed=77), shows_seed=shows_seed, facts={"5": Facts(seed=3)})
    result = match(made)
    assert (result.why or result.conclusion) is expected


def test_what_the_walk_itself_shows_to_be_ours_is_no_candidate() -> None:
    result = match(case(item(5), evidence=replace(CHECKED, ours=frozenset({"5"}))))
    assert result.conclusion is Conclusion.ABSENT


@pytest.mark.parametrize(
    ("before", "expected"), [(7.0, OpenReason.NOT_UNIQUE), (25.0, OpenReason.NOT_UNIQUE), (25.1, Conclusion.FOUND)]
)
def test_one_outside_the_window_may_be_it_as_long_as_the_one_inside_could_have_been_made_by_its_clock(
    before: float, expected: object
) -> None:
    """The walk began 22 s after the request was sent, and a clock is up to 3 s late."""
    result = match(case(item(5), item(6, SENT - before), nearby=(SENT - 150, SENT + 150)))
    assert (result.why or result.conclusion) is expected


@pytest.mark.parametrize(("created", "expected"), [(SENT - 1, Conclusion.FOUND), (SENT - 1.1, OpenReason.LAG)])
def test_one_that_is_older_than_the_request_is_adopted_only_when_the_listing_has_caught_up(
    created: float, expected: object
) -> None:
    result = match(case(item(5, created), has_caught_up=False))
    assert (result.why or result.conclusion) is expected
    assert found(match(case(item(5, created)))) == 5


@pytest.mark.parametrize(("kind", "expected"), [("image", Conclusion.FOUND), ("video", OpenReason.LAG)])
def test_one_that_was_made_after_the_loss_is_late_only_for_a_kind_that_is_accepted_at_once(
    kind: str, expected: object
) -> None:
    made = case(item(5, LOST + 3.1, type=kind), claim=replace(CLAIM, kind=kind), has_caught_up=False)
    result = match(made)
    assert (result.why or result.conclusion) is expected


def test_a_time_that_sums_have_rounded_is_the_end_of_settling() -> None:
    assert match(case(looked=LOST + SETTLE - 0.0005)).conclusion is Conclusion.ABSENT
    assert why(match(case(looked=LOST + SETTLE - 0.002))) is OpenReason.EARLY


def test_what_may_have_left_late_may_have_been_created_as_late() -> None:
    late = item(5, LOST + SETTLE + 33)
    assert found(match(case(late, looked=LOST + 100))) is None
    assert found(match(case(late, looked=LOST + 100, left_until=LOST + 30))) == 5


def test_what_contradicts_the_request_is_not_adopted_and_still_may_be_it() -> None:
    claim = replace(CLAIM, options={"seed": 7})
    assert why(match(case(item(5), claim=claim, facts={"5": Facts(seed=8)}))) is OpenReason.PERHAPS
    assert found(match(case(item(5), claim=claim, facts={"5": Facts(seed=7)}))) == 5


# How much was asked of them.


def driven(made: MatchContext, answers: dict[str, Facts | None]) -> tuple[Match, int]:
    """Ask for what is wanted until there is a result, and return it with the number of details that took."""
    facts: dict[str, Facts | None] = {}
    result = match(replace(made, facts=facts))
    while result.ask:
        assert len(result.ask) <= 10
        assert facts.keys().isdisjoint(result.ask)
        facts |= {key: answers[key] for key in result.ask}
        result = match(replace(made, facts=facts))
    return result, len(facts)


TOLD = st.one_of(
    st.none(),
    st.builds(
        Facts, duration=st.sampled_from([None, 5.0, 5.04, 10.0]), prompt=st.sampled_from([None, "A fox", "A hen"])
    ),
)
CANDIDATES = st.lists(st.tuples(st.sampled_from(["A fox", None]), TOLD), min_size=1, max_size=30)


@pytest.mark.uncovered
@example([("A fox", Facts(duration=5)), ("A fox", Facts(duration=5))], 0)
@example([("A fox", Facts(duration=5)), ("A fox", None)], 0)
@example([("A fox", Facts(duration=5)), ("A fox", Facts())], 0)
@example([(None, Facts(prompt="A fox"))] * 11, 0)
@given(CANDIDATES, st.integers())
def test_neither_the_order_nor_the_number_of_facts_asked_for_makes_an_item_unique(
    candidates: list[tuple[str | None, Facts | None]], order: int
) -> None:
    claim = replace(CLAIM, options={"duration": 5})
    answers = {str(100 + at): facts for at, (_, facts) in enumerate(candidates)}
    items = [item(100 + at, prompt=prompt) for at, (prompt, _) in enumerate(candidates)]
    result, asked = driven(case(*items, claim=claim), answers)
    assert asked <= len(items)
    may_be_ours = {
        100 + at
        for at, (prompt, facts) in enumerate(candidates)
        if "A fox" in (prompt, facts and facts.prompt) and (facts is None or facts.duration != 10)
    }
    assert found(result) == (min(may_be_ours) if len(may_be_ours) == 1 else None)
    assert result.conclusion is not Conclusion.ABSENT or not may_be_ours
    random.Random(order).shuffle(items)
    again, _ = driven(case(*items, claim=claim), answers)
    assert (again.conclusion, found(again), why(again)) == (result.conclusion, found(result), why(result))


@pytest.mark.parametrize("number", [40, 200])
def test_the_one_that_nothing_contradicts_is_found_among_many_equals(number: int) -> None:
    claim = replace(CLAIM, options={"seed": 7})
    items = [item(100 + at, SENT + at / 100) for at in range(number)]
    answers: dict[str, Facts | None] = {str(100 + at): Facts(seed=at) for at in range(number)}
    result, asked = driven(case(*items, claim=claim), answers)
    assert (found(result), asked) == (107, number)


@pytest.mark.parametrize("prompt", ["A fox", None])
def test_of_more_equals_than_can_be_asked_for_none_is_adopted(prompt: str | None) -> None:
    claim = replace(CLAIM, options={"seed": 7})
    items = [item(100 + at, prompt="A fox" if at == 0 else prompt) for at in range(201)]
    answers: dict[str, Facts | None] = {str(100 + at): Facts(seed=at) for at in range(201)}
    result, asked = driven(case(*items, claim=claim), answers)
    assert (why(result), asked) == (OpenReason.NOT_UNIQUE, 0)


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"is_copied": True}, OpenReason.COPIED),
        ({"is_crowded": True}, OpenReason.CROWDED),
        ({"is_copied": True, "is_crowded": True}, OpenReason.COPIED),
    ],
)
def test_where_others_are_on_the_account_the_only_one_may_be_theirs(others: dict[str, Any], reason: OpenReason) -> None:
    assert found(match(case(item(5)))) == 5
    assert why(match(case(item(5), evidence=Evidence(skew=(0.0, 1.0), **others)))) is reason


# Equal requests.


def test_equal_requests_are_matched_as_a_multiset() -> None:
    two = (item(5), item(6, SENT + 1))
    assert found(match(case(*two, competitors=[competitor()]))) == 5
    assert found(match(case(*two, competitors=[competitor()], owned={"2", "5"}))) == 6
    assert match(case(*two, competitors=[competitor()], owned={"2", "5", "6"})).conclusion is Conclusion.ABSENT


def test_more_candidates_than_there_are_equal_requests_of_ours_are_somebody_elses_and_nobody_knows_which() -> None:
    result = match(case(item(5), item(6)))
    assert result.why is OpenReason.NOT_UNIQUE
    assert {each.id for each in result.candidates} == {5, 6}
    # An equal request whose window the candidates are not in explains none of them.
    assert why(match(case(item(5), item(6), competitors=[competitor(SENT + 60)]))) is OpenReason.NOT_UNIQUE


@pytest.mark.parametrize(
    ("ours", "theirs", "facts", "expected"),
    [
        ({"seed": 1}, {"seed": 2}, Facts(seed=1), Conclusion.FOUND),
        ({"seed": 1}, {"seed": 2}, Facts(seed=2), OpenReason.PERHAPS),  # until the other has adopted it
        ({"seed": 1}, {"seed": 2}, Facts(), OpenReason.NOT_UNIQUE),
        ({}, {"seed": 2}, Facts(seed=2), Conclusion.ABSENT),
        ({}, {"seed": 2}, Facts(seed=9), Conclusion.FOUND),
        ({"temperature": 0.1}, {"temperature": 0.9}, Facts(), OpenReason.NOT_UNIQUE),
    ],
)
def test_differing_requests_of_one_prompt_are_told_apart_by_the_facts(
    ours: dict[str, Any], theirs: dict[str, Any], facts: Facts, expected: object
) -> None:
    claim = replace(CLAIM, options=ours)
    result = match(case(item(5), claim=claim, competitors=[competitor(options=theirs)], facts={"5": facts}))
    assert (result.why or result.conclusion) is expected


def test_equal_prompts_of_several_models_are_told_apart_by_the_listing() -> None:
    other = competitor(model="flux-1.1-pro")
    assert found(match(case(item(5), competitors=[other]))) == 5
    assert match(case(item(5, model="flux-1.1-pro"), competitors=[other])).conclusion is Conclusion.ABSENT
    assert found(match(case(item(6, model="flux-1.1-pro"), item(5), competitors=[other]))) == 5


def test_the_details_of_all_candidates_are_asked_for_where_equal_prompts_differ() -> None:
    made = replace(case(item(5), item(6), competitors=[competitor(options={"seed": 2})]), facts={})
    result = match(made)
    assert set(result.ask) == {"5", "6"}


def test_what_an_equal_request_in_flight_may_own_is_left_to_it() -> None:
    equal = competitor(in_flight=True)
    assert why(match(case(item(5), competitors=[equal]))) is OpenReason.EQUAL_IN_FLIGHT
    # One that was sent long after it was created cannot own it.
    assert found(match(case(item(5), competitors=[competitor(SENT + 60, in_flight=True)]))) == 5
    # Nor can one that asks for something the facts contradict.
    differing = competitor(in_flight=True, options={"seed": 2})
    assert found(match(case(item(5), competitors=[differing], facts={"5": Facts(seed=9)}))) == 5


def test_nothing_is_absent_while_an_equal_request_is_in_flight() -> None:
    assert why(match(case(competitors=[competitor(in_flight=True)]))) is OpenReason.EQUAL_IN_FLIGHT
    assert match(case(competitors=[competitor(LOST + 1, in_flight=True)])).conclusion is Conclusion.ABSENT


def test_a_request_of_another_kind_does_not_compete_for_an_item() -> None:
    other = competitor(kind="video", in_flight=True)
    assert found(match(case(item(5), claim=replace(CLAIM, kind=None), competitors=[other]))) == 5


# Absence.


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Conclusion.ABSENT),
        ({"looked": LOST + SETTLE}, Conclusion.ABSENT),
        ({"looked": LOST + SETTLE - 0.1}, OpenReason.EARLY),
        ({"looked": LOST + 20, "settle": 30.0}, OpenReason.EARLY),
        ({"has_control": False}, OpenReason.CONTROL),
        ({"hides": True}, OpenReason.HIDES),
        ({"walk": walk([OURS], whole=False)}, Conclusion.ABSENT),  # it read past the start in order
        ({"walk": walk([item(9, SENT + 1, prompt="A hen")], whole=False)}, OpenReason.COVERAGE),
        ({"walk": walk([])}, Conclusion.ABSENT),  # nothing at all, to the end
        ({"walk": Walk()}, OpenReason.COVERAGE),
    ],
)
def test_absent_takes_everything_at_once(changes: dict[str, Any], expected: object) -> None:
    result = match(case(**changes))
    assert (result.why or result.conclusion) is expected


# Sent nobody knows when.


@pytest.mark.parametrize(
    ("changes", "items", "expected"),
    [
        ({}, [item(5)], Conclusion.FOUND),
        ({}, [item(5, SENT + 86_400)], Conclusion.FOUND),
        ({}, [], OpenReason.CLOCK),  # never absent
        ({}, [item(5, SENT - 7)], OpenReason.CLOCK),  # older, unless the clock was set since
        ({"guessed": float("inf")}, [item(5)], OpenReason.CLOCK),
        ({}, [item(5), item(6, SENT - 86_400)], OpenReason.CLOCK),
        ({}, [item(5), item(6, SENT + 86_400)], OpenReason.CLOCK),
        ({}, [item(5, None)], OpenReason.CLOCK),
        ({"competitors": [competitor(SENT)]}, [item(5)], OpenReason.CLOCK),
        ({"walk": walk([item(5), OLD], whole=False)}, [], OpenReason.CLOCK),
    ],
)
def test_what_was_sent_nobody_knows_when_is_never_absent_and_found_only_where_there_is_one(
    changes: dict[str, Any], items: list[dict[str, Any]], expected: object
) -> None:
    made = {"sent": float("-inf"), "guessed": SENT, **changes}
    result = match(case(*items, **made))
    assert (result.why or result.conclusion) is expected
    if result.conclusion is Conclusion.UNDECIDED and items:
        assert {each.id for each in result.candidates} == {each["id"] for each in items}


def test_an_equal_request_that_was_sent_nobody_knows_when_explains_no_second_candidate() -> None:
    two = (item(5), item(6, SENT + 1))
    assert why(match(case(*two, competitors=[competitor(float("-inf"))]))) is OpenReason.NOT_UNIQUE


# Walks.

NEW = [item(30 - number, SENT + 10 - number) for number in range(5)]


@pytest.mark.parametrize(
    ("made", "covered"),
    [
        (walk(NEW, [OURS, OLD]), True),
        (walk(NEW, [OURS], whole=False), True),
        (walk(NEW, whole=False), False),
        # Two that came in at once may be out of order by a little...
        (walk([item(8, SENT), item(9, SENT + 3), OURS], whole=False), True),
        # ... and then it must be read a little further...
        (walk([item(8, SENT - 62), item(9, SENT - 30)], whole=False), True),
        (walk([item(8, SENT - 30), item(9, SENT - 2)], whole=False), False),
        # ... but a listing in another order is read to its end.
        (walk([OLD, OURS, *NEW], whole=False), False),
        (walk([OLD, OURS, *NEW]), True),
        # Without times there is no order.
        (walk([OLD, item(9, None)], whole=False), False),
        (walk([OLD, item(9, None)]), True),
        # What has no id could be anything.
        (walk([{"type": "image", "prompt": "A fox"}, OLD]), False),
    ],
)
def test_a_walk_covers_the_window_when_its_order_shows_it_or_when_it_is_whole(made: Walk, covered: bool) -> None:
    assert made.covers(SENT - 6) is covered


def pages_of(*totals: int | None) -> Walk:
    made = Walk()
    for number, total in enumerate(totals, 1):
        page = read_envelope({"items": [item(100 - number, SENT)], "page": number, "total": total, "limit": 1})
        assert page is not None
        made.add(page)
    return made


def test_a_listing_that_grows_shorter_while_it_is_read_may_have_let_one_slip_by() -> None:
    assert pages_of(3, 3, 3).is_whole
    assert not pages_of(3, 3, 3).is_shaken
    assert not pages_of(3, 4, 4, 4).is_shaken
    assert pages_of(4, 4, 3).is_shaken
    assert not pages_of(None, None).is_shaken


def test_items_that_move_to_the_next_page_are_kept_once() -> None:
    made = walk([item(9), item(8)], [item(8), item(7)])
    assert [*made.items] == ["9", "8", "7"]
    assert made.items["8"] == HistoryEntry.read(item(8))


def test_a_service_that_ignores_the_page_number_is_not_walked_for_ever_nor_believed() -> None:
    made = Walk()
    first = read_envelope({"items": [item(9)]}, page=1)
    second = read_envelope({"items": [item(9)]}, page=2)
    third = read_envelope({"items": []}, page=2)
    assert first is not None
    assert second is not None
    assert third is not None
    assert made.add(first)
    assert not made.add(second)
    assert not made.is_whole
    other = Walk()
    assert other.add(first)
    assert not other.add(third)
    assert other.is_whole
