"""What the operator of the server decides: where files go, when a person is asked, what one session is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .._errors import ConfigurationError
from .._journal import is_address


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSettings:
    """What a server does for its clients.

    Attributes:
        directory: Where results are saved; made if it is missing. Nothing is written or read anywhere else.
        journal: A file that keeps what was bought, so that the same call again is not charged again, also after a crash;
            default: `mcp.sqlite` in the directory.
        session: Within one session and journal, equal calls are one purchase. Another name buys anew.
        ask_above: Tokens that one call may cost without a person's consent; 0 asks before each call that is not free.
            A call of which nobody knows the price is asked about in any case.
        read_only: Whether the tools that cost tokens are left out.
        wait: Seconds that a paid call waits for its result unless its caller says otherwise. Clients give up after a
            time of their own, often 60 s.
        picture_pixels: Longer side of the pictures that are shown to the model; the files are saved as they are.

    Raises:
        ConfigurationError: A value is out of range, or `journal` is an address.
    """

    directory: Path
    journal: Path | None = None
    session: str = "default"
    ask_above: int = 0
    read_only: bool = False
    wait: float = 45.0
    picture_pixels: int = 768

    def __post_init__(self) -> None:
        if self.journal is not None and is_address(self.journal):
            raise ConfigurationError(
                "The journal of a server for agents is a file of its own, such as `mcp.sqlite`; `journal` is the address of a "
                "database."
            )
        object.__setattr__(self, "directory", _path("directory", self.directory))
        if self.journal is not None:
            object.__setattr__(self, "journal", _path("journal", self.journal))
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


def _path(name: str, value: str | os.PathLike[str]) -> Path:
    if not isinstance(value, str | os.PathLike) or not value:
        raise ConfigurationError(f"`{name}` must be a path; it is {value!r}.")
    return Path(value)


LONGEST_WAIT = 3_600.0
"""Seconds that one call may wait."""
