"""An Airflow task that buys a video once, however often it is retried, and holds no worker while it is made.

`execute` submits under the task instance's own name and defers; the trigger waits in the triggerer, where all tasks of
an account share one poller; `finish` downloads. The journal must be on a disk that all workers of the queue share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from neuralbox import AsyncNeuralBox, NeuralBox


class VideoOperator(BaseOperator):
    """Generate a video and return the path of its file."""

    template_fields = ("prompt", "directory")

    def __init__(self, *, model: str, prompt: str, directory: str, journal: str, **options: Any) -> None:
        super().__init__(**options)
        self.model, self.prompt, self.directory, self.journal = model, prompt, directory, journal

    def execute(self, context: Any) -> None:
        task = context["ti"]
        key = f"{task.dag_id}/{task.task_id}/{task.run_id}/{task.map_index}"  # the same for each try
        with NeuralBox() as nb:
            job = nb.videos.submit(model=self.model, prompt=self.prompt, journal=self.journal, key=key)
        self.defer(trigger=GenerationTrigger(job.id), method_name="finish", timeout=timedelta(hours=2))

    def finish(self, context: Any, event: dict[str, Any]) -> str:  # noqa: ARG002 - as Airflow calls it
        with NeuralBox() as nb:
            video = nb.generations.get(event["id"])
            if video.is_failed:
                raise AirflowFailException(video.error)  # another try would find the same job; free of charge
            return str(nb.files.download(video, self.directory, overwrite="skip"))


class GenerationTrigger(BaseTrigger):
    """Wait for a generation."""

    def __init__(self, id: int | str) -> None:
        super().__init__()
        self.id = id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"id": self.id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        async with AsyncNeuralBox() as nb:
            [generation] = await nb.generations.wait([self.id], timeout=None)
        yield TriggerEvent({"id": generation.id, "status": generation.status})
