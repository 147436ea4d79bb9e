"""A Prefect flow that buys videos once, however often its tasks are retried, and waits for all of them in one task.

The tasks that buy are named by the flow's run, so that a retry finds what the first try bought; one task waits for all,
with one poller.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task
from prefect.runtime import flow_run

from neuralbox import AsyncNeuralBox


@task(retries=3, retry_delay_seconds=1)
async def buy(prompt: str, journal: str) -> int | str:
    """Buy one, or find it."""
    async with AsyncNeuralBox() as nb:
        key = f"{flow_run.id}/{prompt}"
        job = await nb.videos.submit(model="kling-v2.1", prompt=prompt, journal=journal, key=key)
        return job.id


@task(retries=3, retry_delay_seconds=1)
async def fetch(ids: list[int | str], directory: str) -> list[Path]:
    """Wait for all, and save what was made."""
    async with AsyncNeuralBox() as nb:
        videos = await nb.generations.wait(ids, timeout=3_600)
        done = [video for video in videos if video.is_completed]
        return [await nb.files.download(video, directory, overwrite="skip") for video in done]


@flow
async def trailers(prompts: list[str], directory: str) -> list[Path]:
    """Make a video of each prompt."""
    ids = [await buy(prompt, f"{directory}/jobs.sqlite") for prompt in prompts]
    return await fetch(ids, directory)
