"""The protocol of paid requests as a small state model: programs, a service with a late history, strangers, kills.

Nothing waits and nothing is random: an action changes the state, time passes by an action of its own. What decides are the
functions of the package itself (`Registry`, `learn`, `match`); the model only moves what they ask for to where it
belongs. `violations` says what a state breaks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from math import floor
from types import SimpleNamespace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from neuralbox._api.builders import build_media
from neuralbox._api.pages import read_envelope
from neuralbox._api.request import Request
from neuralbox._core.exchange import Attempt
from neuralbox._costs.charges import OpenCharges
from neuralbox._submissions.claim import Claim, Facts
from neuralbox._submissions.match_context import context_of, note_walk
from neuralbox._submissions.matching import Conclusion, match
from neuralbox._submissions.pending import PendingSubmission
from neuralbox._submissions.registry import Registry
from neuralbox._submissions.walk import Walk
from neuralbox._types import JobRef

UNTOLD = "to one whose own was not accepted"
START = 1_772_971_200.0
State: TypeAlias = Literal["new", "in flight", "lost", "delivered"]


@dataclass(frozen=True)
class Setting:
    """What stays the same in one search.

    Attributes:
        prompts: The prompt of each request of each program.
        lag: Seconds until a generation is listed.
        offset: Seconds by which `created_at` is ahead of `Date`.
        has_seeds: Whether requests carry a drawn seed, which the details show.
        strangers: The prompts somebody else may ask for.
        ids: `int`, or `mixed`: another form in the history.
        kills: How many programs may be killed.
        ticks: By how many seconds time may pass.
    """

    prompts: tuple[tuple[str, ...], ...] = (("a", "a"),)
    lag: float = 0.0
    offset: float = 0.0
    has_seeds: bool = False
    strangers: tuple[str, ...] = ()
    ids: str = "int"
    kills: int = 0
    ticks: tuple[float, ...] = (3.0, 130.0)


class Action(NamedTuple):
    """One step: what happens, and to which request of which program."""

    what: str
    program: int = 0
    request: int = 0
    value: Any = None


@dataclass
class Made:
    """A generation; `owner` is the request it was made for, None for a stranger's."""

    number: int
    prompt: str
    seed: int
    owner: tuple[int, int] | None
    at: float


@dataclass
class Asked:
    """One request of a program."""

    prompt: str
    seed: int | None
    state: State = "new"
    sendings: int = 0
    is_accepted: bool = False
    got: int | None = None
    id: int | str = 0
    entry: PendingSubmission | None = None


@dataclass
class Model:
    """The whole state."""

    setting: Setting
    seconds: float = 0.0
    made: list[Made] = field(default_factory=list)
    strangers: int = 0
    kills: int = 0

    def __post_init__(self) -> None:
        self.programs = [
            [
                Asked(prompt, 1_000 * (number + 1) + at if self.setting.has_seeds else None)
                for at, prompt in enumerate(prompts)
            ]
            for number, prompts in enumerate(self.setting.prompts)
        ]
        self.registries = [self._registry() for _ in self.programs]

    def _registry(self) -> Registry:
        core: Any = SimpleNamespace(clock=lambda: self.seconds, now=lambda: START + self.seconds)
        return Registry(core, OpenCharges())

    # What may happen.

    def actions(self) -> Iterator[Action]:
        """Go through everything that may happen next."""
        for program, asked in enumerate(self.programs):
            for number, each in enumerate(asked):
                if each.state == "new":
                    if all(earlier.state != "new" for earlier in asked[:number]):
                        yield Action("send", program, number)
                elif each.state == "in flight":
                    yield Action("answer", program, number)
                    yield Action("lose before", program, number)
                    yield Action("lose after", program, number)
                elif each.state == "lost":
                    yield Action("look", program, number)
            if self.kills < self.setting.kills and any(each.state in ("in flight", "lost") for each in asked):
                yield Action("kill", program)
        for prompt in self.setting.strangers if self.strangers < 2 else ():
            yield Action("stranger", value=prompt)
        for seconds in self.setting.ticks:
            if not self.setting.kills or self._may_pass(seconds):
                yield Action("pass", value=seconds)

    def _may_pass(self, seconds: float) -> bool:
        """Whether no request would be under way for longer than one of an earlier run is taken to have been."""
        entries = [asked.entry for requests in self.programs for asked in requests if asked.state == "in flight"]
        return all(
            self.seconds + seconds - (entry.ending.sent_clock or 0.0) < 38.0 for entry in entries if entry is not None
        )

    def do(self, action: Action) -> None:
        """Let it happen."""
        self.seconds += 0.25  # nothing happens at quite the same time
        program, number = action.program, action.request
        registry, asked = self.registries[program], self.programs[program][number]
        if action.what == "pass":
            self.seconds += action.value
        elif action.what == "stranger":
            self.strangers += 1
            self._make(action.value, 77_000 + self.strangers, None)
        elif action.what == "kill":
            self._kill(program)
        elif action.what == "send":
            self._send(registry, asked, (program, number))
        elif action.what == "look":
            self._look(registry, asked)
        else:
            is_made = action.what != "lose before"
            made = self._make(asked.prompt, asked.seed or 0, (program, number)) if is_made else None
            self.seconds += 0.25
            asked.is_accepted = is_made
            assert asked.entry is not None
            if action.what == "answer":
                assert made is not None
                registry.note_clock(_date(floor(START + self.seconds)), asked=self.seconds)
                registry.accept(asked.entry, JobRef(made.number, "video", "m"))
                self._deliver(asked, made.number)
            else:
                registry.mark_unknown(asked.entry)
                asked.state = "lost"

    def _send(self, registry: Registry, asked: Asked, name: tuple[int, int]) -> None:
        claim = Claim(f"{name}/{asked.sendings}", "video", "m", asked.prompt, seed=asked.seed)
        ending = Attempt(self.seconds)
        asked.entry = PendingSubmission(claim, _request(asked.prompt), None, ending)
        asked.sendings, asked.is_accepted = asked.sendings + 1, False
        registry.begin(asked.entry)
        ending.sent, ending.sent_at, ending.sent_clock = True, START + self.seconds, self.seconds
        asked.state = "in flight"

    def _make(self, prompt: str, seed: int, owner: tuple[int, int] | None) -> Made:
        made = Made(100 + len(self.made), prompt, seed, owner, self.seconds)
        self.made.append(made)
        return made

    def _deliver(self, asked: Asked, identity: int | str) -> None:
        asked.state, asked.id, asked.got = "delivered", identity, int(str(identity).rpartition("_")[2])

    def _kill(self, program: int) -> None:
        """End a program and start it again with what its journal knows."""
        self.kills += 1
        before = self.registries[program]
        offset = before.server_offset()
        registry = self.registries[program] = self._registry()
        for asked in self.programs[program]:
            if asked.got is not None:
                registry.own(asked.id, kind="video", model="m", prompt=asked.prompt)
            elif asked.state in ("in flight", "lost"):
                assert asked.entry is not None
                old = asked.entry
                claim = Claim(
                    old.claim.key,
                    "video",
                    "m",
                    asked.prompt,
                    sent_at=old.ending.sent_at,
                    server_offset=offset,
                    seed=asked.seed,
                )
                asked.entry = PendingSubmission(claim, _request(asked.prompt), None, Attempt(self.seconds))
                registry.begin(asked.entry)
                registry.resume(asked.entry)
                asked.state = "lost"

    # Looking, as `reconcile` does.

    def _look(self, registry: Registry, asked: Asked) -> None:
        began, walk = self.seconds, Walk()
        registry.note_clock(_date(floor(START + self.seconds)), asked=began)
        listed = [each for each in reversed(self.made) if each.at + self.setting.lag <= began]
        page = read_envelope({"items": [self._item(each) for each in listed], "page": 1, "pages": 1}, page=1)
        assert page is not None
        walk.add(page)
        evidence = note_walk(registry, walk, began)
        facts: dict[str, Facts | None] = {}
        assert asked.entry is not None
        while True:
            result = match(context_of(registry, asked.entry, walk, began, facts, evidence))
            if not result.ask:
                break
            facts |= {key: self._facts(key) for key in result.ask}
        if result.item is not None:
            assert registry.adopt(asked.entry, result.item)
            self._deliver(asked, result.item.id)
        elif result.conclusion is Conclusion.ABSENT:
            registry.remove(asked.entry)
            asked.state = "new"

    def _item(self, made: Made) -> dict[str, Any]:
        created = datetime.fromtimestamp(floor(START + made.at + self.setting.offset), UTC)
        identity = made.number if self.setting.ids == "int" else f"gen_{made.number}"
        return {"id": identity, "type": "video", "model": "m", "prompt": made.prompt, "created_at": created.isoformat()}

    def _facts(self, key: str) -> Facts:
        made = next(each for each in self.made if str(each.number) == key.rpartition("_")[2])
        return Facts(seed=made.seed if self.setting.has_seeds else None)

    # What must hold.

    def violations(self) -> Iterator[str]:
        """Tell what is broken: it has to be nothing in every state."""
        by_number = {each.number: each for each in self.made}
        got = [
            (program, asked, by_number[asked.got])
            for program, requests in enumerate(self.programs)
            for asked in requests
            if asked.got is not None
        ]
        owners = Counter((program, made.number) for program, _, made in got)
        if any(times > 1 for times in owners.values()):
            yield "one generation was delivered twice"
        for program, asked, made in got:
            if made.owner is None or made.owner[0] != program or made.prompt != asked.prompt:
                yield f"another's generation was delivered {'in place of its own' if asked.is_accepted else UNTOLD}"
        for program, requests in enumerate(self.programs):
            ours = [each for each in self.made if each.owner is not None and each.owner[0] == program]
            if len(ours) > len(requests) - sum(asked.state == "new" for asked in requests):
                yield "more was charged than asked for"
            nowhere = {each.number for each in ours} - {made.number for *_, made in got}
            if len(nowhere) > sum(asked.state in ("in flight", "lost") for asked in requests):
                yield "a charge is neither delivered nor named"

    def signature(self) -> object:
        """Tell states apart as far as what follows may differ."""
        return (
            tuple(
                (asked.state, asked.sendings, asked.got, self._age(asked))
                for requests in self.programs
                for asked in requests
            ),
            tuple((each.prompt, each.owner, round(self.seconds - each.at, 2)) for each in self.made),
            self.kills,
        )

    def _age(self, asked: Asked) -> float | None:
        lost = None if asked.entry is None else asked.entry.lost
        return None if lost is None else round(self.seconds - lost, 2)


@lru_cache
def _request(prompt: str) -> Request:
    return build_media(model="m", prompt=prompt, options={}, nested=False)


@lru_cache(maxsize=4_096)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


_BREAKS_NOTHING: Final = frozenset({"pass", "stranger"})
"""Actions after which `violations` says what it said before: as the last of a path they show nothing."""


def search(setting: Setting, depth: int) -> tuple[int, list[tuple[tuple[Action, ...], str]]]:
    """Go through everything that may happen within so many actions; the number of states, and what is broken in them."""
    seen: set[object] = set()
    broken: list[tuple[tuple[Action, ...], str]] = []
    frontier: list[tuple[Action, ...]] = [()]
    model, done = Model(setting), tuple[Action, ...]()
    while frontier:
        path = frontier.pop()
        if path[:-1] != done:  # the model of the path before this one goes on where that is how this one begins
            model, done = Model(setting), ()
        for action in path[len(done) :]:
            model.do(action)
        done = path
        signature = (model.signature(), len(path))
        if signature in seen:
            continue
        seen.add(signature)
        wrong = list(model.violations())
        broken += [(path, each) for each in wrong]
        if len(path) < depth and not wrong:
            is_last = len(path) + 1 == depth
            frontier += [
                (*path, action) for action in model.actions() if not (is_last and action.what in _BREAKS_NOTHING)
            ]
    return len(seen), broken
