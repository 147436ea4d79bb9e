"""Orders and choices as rules of a style sheet: nothing but numbers, and only where there is something to choose."""

from __future__ import annotations

import re

from neuralbox._report.card import Card
from neuralbox._report.sorting import orders_of, rules

CARDS = [
    Card("a", "completed", "completed", model="flux", tokens=4, at=5.0),
    Card("b", "completed", "completed", model="</style>", tokens=4, at=9.0),
    Card("c", "open", "not sent", model="flux", tokens=4),
]


def test_only_what_differs_can_be_ordered_by() -> None:
    assert orders_of(CARDS) == ["latest first"]
    assert orders_of(CARDS[:1]) == []
    assert "--o" not in rules(CARDS[:1], ["flux"])


def test_rules_hold_places_and_no_words_of_others() -> None:
    text = rules(CARDS, ["</style>", "flux"])
    assert re.findall(r"#r(\d) \{ --o0: (\d); \}", text) == [("1", "1"), ("2", "0"), ("3", "2")]
    assert "option:nth-child(2):checked) article:not(#r2)" in text
    assert "option:nth-child(3):checked) article:not(#r1, #r3)" in text
    assert "</" not in text
