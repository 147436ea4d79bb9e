"""What an agent is told of what went wrong names tools, and nothing of the library that only a program could call."""

from __future__ import annotations

import pytest

from neuralbox import Generation, JobRef
from neuralbox import _errors as errors
from neuralbox.mcp._failures import failure_answer
from neuralbox.testing import in_memory

JOB = JobRef(7, "image", "flux-1.1-pro")
UNKNOWN = "It may be accepted. It stays in `client.unresolved`, and `client.reconcile()` looks for it again."

SAME_CALL = "The same call again looks for it, and buys it only where it is proven not to be there."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            errors.SubmissionUnknownError(UNKNOWN),
            f"It may be accepted. {SAME_CALL}",
        ),
        (
            errors.SubmissionUnknownError(
                f"{UNKNOWN} It may be 7: `client.unresolved[i].adopt(id)` decides.",
                candidates=[Generation.read({"id": number, "status": "completed"}) for number in range(7, 12)],
            ),
            f"It may be accepted. It may be 7 or 8 or 9: `result` shows it. {SAME_CALL}",
        ),
        (
            errors.GenerationTimeoutError("It goes on; `client.job(error.job)` attaches again.", job=JOB),
            "It goes on. Call `wait` with ids=[7] to go on.",
        ),
        (errors.ConnectError("Nobody there.").with_job(JOB), "Nobody there. Call `wait` with ids=[7] to go on."),
        (errors.DownloadError("Cut.", job=JobRef("a")), "Cut. Call `download` with id='a' to try again."),
        (errors.ExpiredFileError("It is gone.", job=JOB), "It is gone."),
        (errors.GenerationFailedError("It failed.", job=JOB), "It failed."),
        (errors.ConfigurationError("No."), "No."),
        (errors.NeuralBoxError("`client.job(error.job)` asks again."), "`client.job(error.job)` asks again."),
        (FileExistsError(17, "File exists"), "[Errno 17] File exists"),
    ],
)
def test_what_an_agent_can_do_is_said_in_its_tools(error: errors.NeuralBoxError | OSError, said: str) -> None:
    answer = failure_answer(error)
    assert answer.structured_content is not None
    assert answer.structured_content["error"] == said
    assert answer.structured_content["type"] == type(error).__name__


@pytest.mark.anyio
async def test_what_the_library_says_of_an_unknown_outcome_and_of_a_wait_is_what_is_left_out() -> None:
    """Its own words, as they are: where they change, this says so."""
    with in_memory(speed=0.001) as running:
        async with running.client(submission="raise") as nb:
            running.fault("drop-after-accept", times=1, on="POST /generate")
            with pytest.raises(errors.SubmissionUnknownError) as unknown:
                await nb.images.create(model="flux-1.1-pro", prompt="A fox")
            with pytest.raises(errors.GenerationTimeoutError) as waited:
                await nb.images.create(model="midjourney-v6", prompt="A fox", wait_timeout=1.0)
    for error in (unknown.value, waited.value):
        assert "`client." in error.message
        told = failure_answer(error).structured_content
        assert told is not None
        assert "client" not in told["error"]
