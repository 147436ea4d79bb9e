"""Order and choice of cards without a script: rules of the page's own style, which its security policy allows by their hash.

A list of choices is a `select`; which option is chosen is asked by `:has`. Each card has its place in each order as the
number that CSS orders by, so the rules hold nothing but numbers. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from .card import Card

_ORDERS: Final[Mapping[str, Callable[[Card], float | None]]] = {
    "latest first": lambda card: card.at,
    "dearest first": lambda card: card.tokens,
    "slowest first": lambda card: card.seconds,
    "largest first": lambda card: card.size_bytes,
}


def orders_of(cards: Sequence[Card]) -> Sequence[str]:
    """Name the orders in which there is something to order."""
    return [name for name, value in _ORDERS.items() if len({value(card) for card in cards}) > 1]


def rules(cards: Sequence[Card], models: Sequence[str]) -> str:
    """Write the rules for the orders of `orders_of`, and for these models.

    Args:
        cards: As the page shows them: the n-th has the id `r<n>`.
        models: The choices of the list `of-model`, after the first, which is all.
    """
    lines = []
    numbers: list[list[int]] = [[] for _ in cards]
    for choice, name in enumerate(orders_of(cards), 2):
        value = _ORDERS[name]
        known = [value(card) for card in cards]
        # What has no value comes last; equals keep their places, since a sort is stable and `order` is too.
        ranks = {
            each: rank for rank, each in enumerate(sorted({one for one in known if one is not None}, reverse=True))
        }
        for place, each in enumerate(known):
            numbers[place].append(len(ranks) if each is None else ranks[each])
        lines.append(
            f"section:has(#in-order option:nth-child({choice}):checked) article {{ order: var(--o{choice - 2}); }}"
        )
    for place, ranked in enumerate(numbers, 1):
        if ranked:
            lines.append(f"#r{place} {{ {' '.join(f'--o{at}: {rank};' for at, rank in enumerate(ranked))} }}")
    of_model = {name: number for number, name in enumerate(models)}
    for name, number in of_model.items():
        shown = [f"#r{place}" for place, card in enumerate(cards, 1) if card.model == name]
        kept = ", ".join(shown)
        lines.append(
            f"section:has(#of-model option:nth-child({number + 2}):checked) article:not({kept}) {{ display: none; }}"
        )
    return "\n" + "\n".join(lines) + "\n"
