"""The states of a text stream; the table of `stream` has the transitions."""

from __future__ import annotations

from enum import Enum
from typing import Final


class StreamState(Enum):
    """Say how far a text stream has come."""

    NEW = "new"
    """Its block was not entered."""
    OPENING = "opening"
    """The request is being sent."""
    OPEN = "open"
    """There is a body to read, and nobody is reading."""
    READING = "reading"
    """A task waits for the next piece of the body."""
    BROKEN = "broken"
    """Nothing more comes from the connection, but the generation may go on."""
    RECOVERING = "recovering"
    """A task asks for the rest."""
    COMPLETE = "complete"
    """Everything there is has come, and is yet to be delivered."""
    ENDED = "ended"
    """The end was delivered."""
    FAILED = "failed"
    """It ended with an error."""
    LEFT = "left"
    """Its block was left."""


# The states by themselves: asking an Enum for a member costs more than a piece of the text should.
NEW: Final = StreamState.NEW
OPENING: Final = StreamState.OPENING
OPEN: Final = StreamState.OPEN
READING: Final = StreamState.READING
BROKEN: Final = StreamState.BROKEN
RECOVERING: Final = StreamState.RECOVERING
COMPLETE: Final = StreamState.COMPLETE
ENDED: Final = StreamState.ENDED
FAILED: Final = StreamState.FAILED
LEFT: Final = StreamState.LEFT
