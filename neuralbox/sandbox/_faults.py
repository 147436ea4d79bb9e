"""Faults on request: which there are, how often they strike, and where.

A fault is named with a value: a probability from 0 to 1, or seconds for those that are times. Each name has a random
sequence of its own, so a run with the same seed and the same order of requests meets the same faults. This module
decides; `endpoint`, the stream and the files carry it out.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, Literal

from .._api import vocabulary as words
from ._gemini_paths import MAKING

Scope = Literal["paid", "api", "stream", "file"]
PAID: Final = frozenset(f"POST {path}" for path in (words.GENERATE, words.GENERATE_STREAM, words.STT, *MAKING))

# Where a fault strikes unless `@METHOD /path` says otherwise, and what it does.
NAMES: Final[Mapping[str, tuple[Scope, str]]] = MappingProxyType(
    {
        "drop-before-accept": ("api", "the request is read, nothing happens, the connection is closed (FIN)"),
        "drop-after-accept": ("paid", "the request is carried out, the connection is closed without an answer (FIN)"),
        "reset-after-accept": ("paid", "the request is carried out, the connection is reset (RST)"),
        "cut-answer": ("api", "half of the JSON body, then the connection is closed"),
        "hang": ("paid", "the request is carried out, the answer never comes"),
        "latency": ("api", "seconds before every answer"),
        "latency-jitter": ("api", "up to so many seconds more, at random"),
        "rate-limit": ("api", "429 with the documented body and Retry-After; nothing happens"),
        "error-500": ("api", "500 provider_error; nothing happens"),
        "error-503": ("api", "503 model_unavailable; nothing happens"),
        "html-502": ("api", "a proxy's 502 page; nothing happens"),
        "error-500-after-accept": ("paid", "the request is carried out and answered 500 provider_error"),
        "error-502-after-accept": ("paid", "the request is carried out and a proxy answers 502"),
        "error-504-after-accept": ("paid", "the request is carried out and a proxy answers 504"),
        "garbled-json": ("api", "200 with a body that is not JSON"),
        "cut-stream": ("stream", "the stream is cut half-way; the generation completes"),
        "stream-error": ("stream", "an error event half-way; the generation fails"),
        "fail-generation": ("paid", "the generation is accepted and ends as failed"),
        "listing-lag": ("api", "seconds before a new generation is listed in the history"),
        "cut-file": ("file", "half of a result file, then the connection is closed"),
    }
)
SECONDS: Final = frozenset({"latency", "latency-jitter", "listing-lag"})


@dataclass(slots=True)
class _Rule:
    route: str | None
    value: float
    times: int | None

    def covers(self, route: str, scope: Scope) -> bool:
        if self.route is not None:
            return _is_meant(route, self.route)
        if scope == "paid":
            return route in PAID
        return scope == "stream" or route.partition(" ")[2].startswith("/storage/") == (scope == "file")


class Faults:
    """What goes wrong, how often.

    Args:
        rates: Name to value. A name may carry `@METHOD /path` or `@/path`, as templates below `/api/v2`
            (`drop-after-accept@POST /generate`, `error-500@GET /user/history*`), or below `/uapi/v1` of GeminiGen
            (`POST /video-gen/*`), which replaces where it strikes.
        seed: Decides the random sequences. A sandbox replaces it with its own.

    Raises:
        ValueError: An unknown name or a value out of range; the message lists what there is.
    """

    def __init__(self, rates: Mapping[str, float] | None = None, *, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._rules: dict[str, list[_Rule]] = {}
        self._random: dict[str, random.Random] = {}
        self._seed = seed
        self._routes: Collection[str] | None = None
        for name, value in (rates or {}).items():
            self.set(name, value)

    @classmethod
    def parse(cls, *texts: str, seed: int = 0) -> Faults:
        """Read texts such as `drop-after-accept=0.1` or `latency=0.05`."""
        rates: dict[str, float] = {}
        for text in texts:
            name, _, value = text.rpartition("=")
            try:
                rates[name.strip()] = float(value)
            except ValueError:
                name = ""
            if not name:
                raise ValueError(f"A fault is written NAME=VALUE with a number, not {text!r}.")
        return cls(rates, seed=seed)

    def reseed(self, seed: int) -> None:
        """Start all random sequences again from this seed."""
        with self._lock:
            self._seed = seed
            self._random.clear()

    def bind(self, routes: Collection[str]) -> None:
        """Take note of where a sandbox has endpoints: a fault that is meant for another place would never strike.

        Raises:
            ValueError: One that is on is.
        """
        self._routes = routes
        with self._lock:
            meant = [rule.route for rules in self._rules.values() for rule in rules]
        for route in meant:
            self._require_endpoint(route)

    def set(self, name: str, value: float, *, times: int | None = None) -> None:
        """Turn a fault on or change it; takes effect with the next request.

        Args:
            name: As in the constructor.
            value: Probability or seconds; 0 turns it off.
            times: Strike at most so often; None has no bound.

        Raises:
            ValueError: There is no such fault, the value is out of range, or the sandbox has no endpoint at that place.
        """
        fault, at, route = name.partition("@")
        if fault not in NAMES:
            raise ValueError(f"There is no fault {fault!r}. There are: {', '.join(sorted(NAMES))}.")
        if fault in SECONDS:
            if not 0 <= value < float("inf"):
                raise ValueError(f"{fault} takes seconds from 0, not {value}.")
        elif not 0 <= value <= 1:
            raise ValueError(f"{fault} takes a probability from 0 to 1, not {value}.")
        wanted = " ".join(route.split()) if at else None
        self._require_endpoint(wanted)
        with self._lock:
            rules = [rule for rule in self._rules.get(fault, ()) if rule.route != wanted]
            self._rules[fault] = [*rules, _Rule(wanted, float(value), times)]

    def clear(self) -> None:
        """Turn everything off."""
        with self._lock:
            self._rules.clear()

    def strikes(self, fault: str, route: str) -> bool:
        """Decide whether this fault strikes this request (`POST /generate`); each call draws anew."""
        if fault not in self._rules:
            return False
        with self._lock:
            rule = self._rule(fault, route)
            if rule is None or self._draw(fault) >= rule.value:
                return False
            if rule.times is not None:
                rule.times -= 1
            return True

    def seconds(self, fault: str, route: str) -> float:
        """Return how long this fault delays this request, in seconds."""
        if fault not in self._rules:
            return 0.0
        with self._lock:
            rule = self._rule(fault, route)
            if rule is None:
                return 0.0
            if rule.times is not None:
                rule.times -= 1
            return rule.value * (self._draw(fault) if fault == "latency-jitter" else 1.0)

    def _rule(self, fault: str, route: str) -> _Rule | None:
        scope = NAMES[fault][0]
        for rule in self._rules.get(fault, ()):
            if rule.covers(route, scope) and rule.times != 0:
                return rule
        return None

    def _require_endpoint(self, wanted: str | None) -> None:
        if wanted is None or self._routes is None or any(_is_meant(route, wanted) for route in self._routes):
            return
        raise ValueError(
            f"No endpoint is at {wanted!r}, so the fault would never strike. There are: {', '.join(sorted(self._routes))}."
        )

    def _draw(self, fault: str) -> float:
        source = self._random.setdefault(fault, random.Random(f"{self._seed}/{fault}"))
        return source.random()


def _is_meant(route: str, wanted: str) -> bool:
    method, _, path = route.partition(" ")
    wanted_method, _, wanted_path = wanted.rpartition(" ")
    return fnmatchcase(method, wanted_method or "*") and fnmatchcase(path, wanted_path)
