"""Paid once for programs that are not: which POST is a repetition, and of what.

A call has a name, under which the journal keeps it; a repetition gets the name of what it repeats. How one is known:

- `Idempotency-Key`: the name is made of it, so every call with this key is the same.
- `x-stainless-retry-count` above 0, which openai's clients send: it repeats an equal call (same caller, same path, same
  body) of the last `JOINED_FOR` seconds whose count was one less.
- an equal body alone, where the operator asked for it (`join_equal`).

Of several equal calls a repetition belongs to one whose answer was not handed over, if there is one. Where it cannot be
told, it joins one all the same: paying twice is the worse mistake, and calls that differ in nothing may swap answers.

Pure: `now` comes as an argument, and who left is asked by the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

JOINED_FOR: Final = 900.0
"""Seconds after its last sign that a call may be repeated: openai's clients give up an answer after 600 s."""
MOST_KEPT: Final = 10_000
"""Calls that are kept, unless more than these have not got their answers."""
_SEPARATOR: Final = "."


class Joinable(Protocol):
    """What is joined.

    Attributes:
        name: Under which it is kept.
        count: The highest `x-stainless-retry-count` it was asked with; None where that is not known any more.
        is_delivered: Whether its answer was handed over.
        touched: When it was last heard of, by the clock of `now`.
    """

    name: str
    count: int | None
    is_delivered: bool
    touched: float

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        ...


T = TypeVar("T", bound=Joinable)


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """What tells a call from others.

    Attributes:
        caller: Who calls: a short name without a dot.
        digest: Of the path and the body.
        key: Its `Idempotency-Key`; None where it has none.
        count: Its `x-stainless-retry-count`; 0 where it has none.
    """

    caller: str
    digest: str
    key: str | None = None
    count: int = 0

    @property
    def family(self) -> str:
        """What the names of equal calls begin with."""
        return f"{self.caller}{_SEPARATOR}{self.digest}"

    def name(self, unique: str) -> str:
        """Return the name of this call: of its key where it has one, else of its body and something unique."""
        if self.key is not None:
            return f"{self.caller}{_SEPARATOR}key{_SEPARATOR}{digest_of(self.key.encode('utf-8', 'surrogatepass'))}"
        return f"{self.family}{_SEPARATOR}{unique}"


def digest_of(*parts: bytes) -> str:
    """Return a digest of parts, told apart by their lengths."""
    found = hashlib.blake2b(digest_size=15)
    for part in parts:
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.hexdigest()


def caller_in(name: str) -> str:
    """Return whose call a name is."""
    return name.partition(_SEPARATOR)[0]


def part_name(name: str, index: int) -> str:
    """Return under which name the journal keeps one of several that a call buys."""
    return name if index == 0 else f"{name}#{index}"


def whole_name(part: str) -> str:
    """Return the name of the call that a part belongs to."""
    return part.partition("#")[0]


class Joins(Generic[T]):
    """The calls that may be repeated.

    Args:
        join_equal: Seconds within which an equal call joins without any sign that it is a repetition.
        on_drop: Told of each call that is forgotten.
    """

    def __init__(self, *, join_equal: float = 0.0, on_drop: Callable[[T], None] = lambda _: None) -> None:
        self._join_equal = join_equal
        self._on_drop = on_drop
        self._calls: dict[str, T] = {}
        self._families: dict[str, dict[str, T]] = {}
        self._crowded_from = 0

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, name: object) -> bool:
        return name in self._calls

    def may_be_repeated(self, now: float) -> bool:
        """Whether any call may still be repeated."""
        return any(not each.is_done or now - each.touched <= JOINED_FOR for each in reversed(self._calls.values()))

    def add(self, call: T, now: float) -> None:
        """Take in a call; drop those that nobody repeats any more."""
        self._calls[call.name] = call
        self._families.setdefault(_family_of(call.name), {})[call.name] = call
        while self._calls:
            oldest = next(iter(self._calls.values()))
            if not oldest.is_done or now - oldest.touched <= JOINED_FOR:
                break
            self.drop(oldest)
        if len(self._calls) <= MOST_KEPT:
            self._crowded_from = MOST_KEPT
        elif len(self._calls) > self._crowded_from:
            # Whoever has its answer hardly repeats its call; whoever has not will, and would pay once more.
            surplus = len(self._calls) - MOST_KEPT * 7 // 8
            for each in [one for one in self._calls.values() if one.is_done and one.is_delivered][:surplus]:
                self.drop(each)
            # Where nobody could go, as after a restart, nobody is looked for with each call.
            self._crowded_from = max(MOST_KEPT, len(self._calls) + MOST_KEPT // 8)

    def drop(self, call: T) -> None:
        """Forget a call: another one like it is another purchase."""
        if self._calls.pop(call.name, None) is None:
            return
        family = self._families[_family_of(call.name)]
        del family[call.name]
        if not family:
            del self._families[_family_of(call.name)]
        self._on_drop(call)

    def touch(self, call: T, now: float) -> None:
        """Take note that a call was heard of; so the oldest stand first."""
        call.touched = now
        if self._calls.pop(call.name, None) is not None:
            self._calls[call.name] = call

    def candidates(self, identity: CallIdentity, now: float) -> list[T]:
        """Return what a call may repeat, the likeliest first; empty for one that is new."""
        if identity.key is not None:
            same = self._calls.get(identity.name(""))
            return [] if same is None else [same]
        if not identity.count and not self._join_equal:
            return []  # which most calls are
        family = self._families.get(identity.family, {}).values()
        equal = [each for each in family if not each.is_done or now - each.touched <= JOINED_FOR]
        if identity.count:
            before = [each for each in equal if each.count is None or each.count < identity.count]
            # The one that was asked with the count before this one, and was not answered; then the latest.
            return sorted(
                before,
                key=lambda each: (each.count not in {None, identity.count - 1}, each.is_delivered, -each.touched),
            )
        return [each for each in reversed(equal) if now - each.touched <= self._join_equal]


def _family_of(name: str) -> str:
    return name.rpartition(_SEPARATOR)[0]
