"""What a sandbox is to its endpoints: settings, clock, ledger, faults and result files; `_sandbox` puts an application on top."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ._faults import Faults
from ._ledger import Ledger

if TYPE_CHECKING:
    from ._media.library import MediaLibrary


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How a sandbox behaves; the fields are explained at `Sandbox`."""

    speed: float
    dialect: Literal["A", "B"]
    history: Literal["seed", "page"]
    enforce_limits: bool
    strict_paths: bool
    balance_path: str | None
    slow_music: bool
    service_seconds: float
    stream_delay: float


class SandboxState:
    """What the endpoints of one sandbox share; the attributes are explained at `Sandbox`."""

    def __init__(
        self, settings: SandboxSettings, *, seed: int, clock: Callable[[], float], faults: Faults, ledger: Ledger
    ) -> None:
        self.settings: SandboxSettings = settings
        self.seed = seed
        self.clock = clock
        self.faults: Faults = faults
        self.ledger: Ledger = ledger

    @cached_property
    def media(self) -> MediaLibrary:
        """Return where the result files are made, at their first download."""
        from ._media.library import MediaLibrary

        return MediaLibrary()
