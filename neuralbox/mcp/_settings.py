"""What the operator of the server decides: where files go, when a person is asked, what one session is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .._errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSettings:
    """What a server does for its clients.

    Attributes:
        directory: Where results are saved; made if it is missing. Nothing is written or read anywhere else.
        journal: Keeps what was bought, so that the same call again is not charged again, also after a crash; default:
            `mcp.sqlite` in the directory.
        session: Within one session and journal, equal calls are one purchase. Another name buys anew.
        ask_above: Tokens that one call may cost without a person's consent; 0 asks before each call that is not free.
            A call of which nobody knows the price is asked about in any case.
        read_only: Whether the tools that cost tokens are left out.
        wait: Seconds that a paid call waits for its result unless its caller says otherwise. Clients give up after a
            time of their own, often 60 s.
        picture_pixels: Longer side of the pictures that are shown to the model; the files are saved as they are.

    Raises:
        ConfigurationError: A value is out of range.
    """

    directory: Path
    journal: Path | None = None
    session: str = "default"
    ask_above: int = 0
    read_only: bool = False
    wait: float = 45.0
    picture_pixels: int = 768

    def __post_init__(self) -> None:
        if not self.session.strip() or "/" in self.session:
            raise ConfigurationError(f"`session` must be a name without a slash; it is {self.session!r}.")
        if self.ask_above < 0:
            raise ConfigurationError(f"`ask_above` must not be below 0; it is {self.ask_above}.")
        if not 0 <= self.wait <= LONGEST_WAIT:
            raise ConfigurationError(f"`wait` must be 0 to {LONGEST_WAIT:g} seconds; it is {self.wait:g}.")
        if not 64 <= self.picture_pixels <= 2048:
            raise ConfigurationError(f"`picture_pixels` must be 64 to 2048; it is {self.picture_pixels}.")

    @property
    def journal_path(self) -> Path:
        """Where the journal is."""
        return self.directory / "mcp.sqlite" if self.journal is None else self.journal


LONGEST_WAIT = 3_600.0
"""Seconds that one call may wait."""
