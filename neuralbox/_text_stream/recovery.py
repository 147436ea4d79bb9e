"""What follows when a stream breaks before its end: its generation is asked for, without an id it is looked for first.

Asking again is a `Job`'s business, looking that of `Submission`; this module says what a stream makes of the answers.
"""

from __future__ import annotations

from .._config import CallOptions
from .._core.deadline import in_time
from .._core.exchange import Core
from .._errors import GenerationFailedError, NeuralBoxError, StreamInterruptedError, SubmissionUnknownError
from .._models.generation import Generation
from .._polling.job import Job
from .._submissions.submission import Submission
from .._types import JobRef


async def find_generation(submission: Submission, cut: NeuralBoxError, *, text: str) -> Generation | None:
    """Look for the generation of a stream that broke before its id had arrived.

    Args:
        submission: What was sent.
        cut: Why nothing more comes from the connection.
        text: What had arrived.

    Returns:
        The generation; None where the request is to be sent again.

    Raises:
        SubmissionUnknownError: Nothing had arrived, and whether it was accepted is unknown.
        StreamInterruptedError: Something had arrived, and nothing tells of which generation.
    """
    nobody = f"{_broke(cut)}, and no id had arrived to ask for the rest by."
    try:
        found = await submission.lose(cut)
    except SubmissionUnknownError as error:
        if not text:
            raise
        raise StreamInterruptedError(f"{nobody} {error.message}", text=text) from cut
    if found is None and text:  # something did make it, whatever the history shows
        submission.leave_open("a part of its text had arrived, but the history does not show it")
        raise StreamInterruptedError(nobody, text=text) from cut
    return found


async def ask_for_rest(
    core: Core, ref: JobRef, call: CallOptions, cut: NeuralBoxError, *, text: str, left: float | None
) -> Generation:
    """Wait until the generation of a stream that broke is complete, and return it.

    Args:
        core: The client to ask with.
        ref: The generation.
        call: What this one call changes.
        cut: Why nothing more comes from the connection.
        text: What had arrived.
        left: Seconds that may still pass; None for as long as a wait takes.

    Raises:
        GenerationFailedError: It failed.
        StreamInterruptedError: The rest could not be had, or does not continue what had arrived.
    """
    try:
        final = await in_time(left, core.options.deadline, Job(core, ref, call=call).wait())
    except GenerationFailedError:
        raise
    except NeuralBoxError as error:
        raise StreamInterruptedError(
            f"{_broke(cut)}, and asking for the rest failed ({error.message.rstrip('.')}). "
            "`client.job(error.job)` asks again.",
            text=text,
            job=ref,
        ) from error
    if not (final.text or "").startswith(text):
        raise StreamInterruptedError(
            f"{_broke(cut)}, and the text of the {ref} does not continue what had arrived.", text=text, job=ref
        ) from cut
    return final


def _broke(cut: NeuralBoxError) -> str:
    return f"The stream broke before its end ({cut.message.rstrip('.')})"
