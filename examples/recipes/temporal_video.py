"""A Temporal activity that buys a video once, however often it is tried, on whichever worker.

    pip install temporalio 'neuralbox[postgres]'

The id of the workflow is the key: a second try, and a workflow that is started again with that id, finds what was bought.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from neuralbox import AsyncNeuralBox

HEARTBEAT = 10.0


@activity.defn
async def buy_video(prompt: str) -> str:
    """Buy a video, or find it, and return its address."""
    async with AsyncNeuralBox() as nb:
        key = activity.info().workflow_id
        job = await nb.videos.submit(
            model="kling-v2.1", prompt=prompt, journal=os.environ["NEURALBOX_JOURNAL"], key=key
        )
        waiting = asyncio.ensure_future(job.wait(timeout=3_600))
        try:
            while not waiting.done():
                activity.heartbeat(job.id)  # else a worker that died is noticed after an hour
                await asyncio.wait([waiting], timeout=HEARTBEAT)
        finally:
            waiting.cancel()
        return str(waiting.result().url)


@workflow.defn
class Trailer:
    @workflow.run
    async def run(self, prompt: str) -> str:
        return await workflow.execute_activity(
            buy_video,
            prompt,
            start_to_close_timeout=timedelta(hours=1),
            heartbeat_timeout=timedelta(seconds=3 * HEARTBEAT),
        )
