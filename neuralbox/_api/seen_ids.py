"""Which ids a walk has met: exactly for as many as a program usually has, in 16 to 32 bytes for each beyond. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

EXACT: Final = 50_000
"""So many ids are kept as they are; a million of them would take some 100 MB."""


class SeenIds:
    """A set of ids that stays small.

    Beyond `EXACT` of them only 64 bits of each are kept, by a hash that is another one in each process. Two of a million
    ids are taken for one with a chance of 1 in 37 million.
    """

    __slots__ = ("_count", "_exact", "_mask", "_table")

    def __init__(self) -> None:
        self._exact: set[str] | None = set()
        self._table = array("Q")
        self._mask = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        if self._exact is not None:
            return key in self._exact
        mark = _mark(key)
        return self._table[self._place(mark)] == mark

    def add(self, key: str) -> bool:
        """Take note of an id; return whether it was new."""
        if self._exact is not None:
            if key in self._exact:
                return False
            self._exact.add(key)
            self._count += 1
            if self._count > EXACT:
                marks, self._exact = map(_mark, self._exact), None
                self._fill(marks)
            return True
        mark = _mark(key)
        place = self._place(mark)
        if self._table[place] == mark:
            return False
        self._table[place] = mark
        self._count += 1
        if 2 * self._count > self._mask:  # half full: further, and most look-ups would meet others on their way
            self._fill(filter(None, self._table))
        return True

    def _place(self, mark: int) -> int:
        """Return where a mark is, or the free place where it belongs."""
        table, mask = self._table, self._mask
        place = mark & mask
        while table[place] not in (0, mark):
            place = (place + 1) & mask
        return place

    def _fill(self, marks: Iterable[int]) -> None:
        """Put the marks into a new table, which is a quarter full then, or a little more."""
        size = 1 << (2 * self._count).bit_length()
        self._table, self._mask = array("Q", bytes(8 * size)), size - 1
        for mark in marks:
            self._table[self._place(mark)] = mark


def _mark(key: str) -> int:
    return (hash(key) & 0xFFFF_FFFF_FFFF_FFFF) or 1  # 0 is a free place
