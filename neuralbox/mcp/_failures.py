"""What went wrong, in words that an agent can follow: the library advises a program, here the tools are what there is."""

from __future__ import annotations

from typing import Final

from mcp_types import CallToolResult

from .. import _errors as errors
from .._plain_text import without_code
from ._consent import refusal

_MOST_CANDIDATES: Final = 3
# Errors after which nothing of their job is to be waited for.
_OVER: Final = (errors.ConfigurationError, errors.NotFoundError, errors.GenerationFailedError, errors.ExpiredFileError)


def failure_answer(error: errors.NeuralBoxError | OSError) -> CallToolResult:
    """Build the answer of a call that went wrong."""
    job = error.job if isinstance(error, errors.NeuralBoxError) else None
    said = " ".join(filter(None, (without_code(str(error)), _advice(error)))) or str(error)
    return refusal(said, type=type(error).__name__, id=None if job is None else job.id)


def _advice(error: errors.NeuralBoxError | OSError) -> str:
    """Return what an agent can do about an error, or nothing to add."""
    if isinstance(error, errors.SubmissionUnknownError):
        ids = " or ".join(repr(each.id) for each in error.candidates[:_MOST_CANDIDATES])
        shown = f"It may be {ids}: `result` shows it. " if ids else ""
        return f"{shown}The same call again looks for it, and buys it only where it is proven not to be there."
    job = error.job if isinstance(error, errors.NeuralBoxError) else None
    if job is None or isinstance(error, _OVER):
        return ""
    if isinstance(error, errors.DownloadError):
        return f"Call `download` with id={job.id!r} to try again."
    return f"Call `wait` with ids=[{job.id!r}] to go on."
