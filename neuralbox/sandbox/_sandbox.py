"""The sandbox as a whole: what its settings may be, and its application."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from starlette.routing import Route

from .._api import vocabulary as words
from ._catalogue import PLAN_RANK
from ._faults import Faults
from ._ledger import Ledger
from ._state import SandboxSettings, SandboxState

if TYPE_CHECKING:
    from starlette.applications import Starlette


class Sandbox(SandboxState):
    """A local service with the whole NeuralBox API: an ASGI application with a ledger of its own.

    Any API key that starts with `nb_` is accepted and has an account of its own; `nb_plan_<plan>_...` puts that
    account on another plan.

    Args:
        database: SQLite file for the state; None keeps it in memory.
        speed: How many times faster than the real service slow jobs finish; above 0.
        plan: Plan of an account: free, starter, basic, pro, vip, elite. API keys need vip or elite.
        balance: Tokens a new account has.
        dialect: A answers with integer ids (SEED 001, 002), B with `gen_` ids (SEED 000, 003).
        history: Layout of the history: as in SEED 000, or as in [nb:…/user/history].
        faults: What goes wrong (`Faults`), also as a mapping of name to value.
        seed: Decides whatever is random: durations, pictures' seeds, faults.
        enforce_limits: Whether the plans' hourly and daily limits end in 429.
        clock: Unix seconds.
        strict_paths: Answer 404 to an integer id on `/generate/status/{id}` and to a `gen_` id on `/generate/{id}`.
        balance_path: The one balance path that answers, `/balance` or `/user/balance`; None is both.
        slow_music: Music is pending at first, as one of the two pages says.
        service_seconds: Time that a synchronous generation takes, divided by `speed`; real seconds.
        stream_delay: Time between two deltas of a stream, divided by `speed`; real seconds.

    Attributes:
        ledger: Accounts, generations, charges and requests, for assertions.
        faults: Can be changed at any time.

    Raises:
        ValueError: A setting that makes no sense.
        OSError: The database cannot be opened, or is not one.
    """

    def __init__(
        self,
        *,
        database: str | Path | None = None,
        speed: float = 1.0,
        plan: str = "elite",
        balance: int = 100_000,
        dialect: Literal["A", "B"] = "A",
        history: Literal["seed", "page"] = "seed",
        faults: Faults | Mapping[str, float] | None = None,
        seed: int = 0,
        enforce_limits: bool = True,
        clock: Callable[[], float] = time.time,
        strict_paths: bool = False,
        balance_path: str | None = None,
        slow_music: bool = False,
        service_seconds: float = 0.0,
        stream_delay: float = 0.0,
    ) -> None:
        if not (speed > 0 and math.isfinite(speed)):
            raise ValueError(f"speed must be a number above 0, not {speed}.")
        _one_of("plan", plan, tuple(PLAN_RANK))
        _one_of("dialect", dialect, ("A", "B"))
        _one_of("history", history, ("seed", "page"))
        _one_of("balance_path", balance_path, (None, words.BALANCE, words.USER_BALANCE))
        settings = SandboxSettings(
            speed=speed,
            dialect=dialect,
            history=history,
            enforce_limits=enforce_limits,
            strict_paths=strict_paths,
            balance_path=balance_path,
            slow_music=slow_music,
            service_seconds=service_seconds,
            stream_delay=stream_delay,
        )
        faults = faults if isinstance(faults, Faults) else Faults(faults)
        faults.reseed(seed)
        ledger = Ledger(database=database, plan=plan, balance=balance, seed=seed, clock=clock)
        super().__init__(settings, seed=seed, clock=clock, faults=faults, ledger=ledger)
        try:
            faults.bind({route.name for route in self.app.routes if isinstance(route, Route)})
        except ValueError:
            self.close()
            raise

    @cached_property
    def app(self) -> Starlette:
        """Return the ASGI application."""
        from ._app import build_app

        return build_app(self)

    def close(self) -> None:
        """Close the database file. The sandbox stays usable: the next change opens it again."""
        self.ledger.close()


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, not {value!r}.")
