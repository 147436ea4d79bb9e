"""The exit codes. They are part of the public surface: scripts branch on them. `errors` says which error has which."""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
TOO_EXPENSIVE: Final = 4
RATE_LIMITED: Final = 5
NOT_FOUND: Final = 6
FAILED_GENERATION: Final = 7
STILL_RUNNING: Final = 8
UNKNOWN: Final = 9
NO_ANSWER: Final = 10
UNUSABLE_DISK: Final = 11
IN_USE: Final = 12
INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141
"""As a shell reports a program that SIGPIPE ended."""

MEANINGS: Final = (
    "Exit codes: 0 done, 1 something failed, 2 wrong usage, no key, or not this journal, 3 key refused or plan too low, "
    "4 not enough tokens or budget, 5 rate limit, 6 not found or expired, 7 the generation failed, 8 still running when "
    "the wait ended, 9 unknown whether a paid request was accepted, 10 no usable answer from the service, 11 disk or "
    "journal cannot be used, 12 another process has the journal, 130 Ctrl-C, 141 nobody reads the output any more. "
    "Several failures leave with the code they share, else with 1."
)
