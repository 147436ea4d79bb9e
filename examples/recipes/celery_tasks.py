"""A Celery task that buys each picture once, however often the task is run.

    pip install celery
    celery --app celery_tasks worker

A task runs again when its worker was killed (`acks_late`) or the plan's limit was reached (`retry`). Its key and a journal tell
what was paid for already: the same picture is waited for, and not bought again. Workers of several machines share a journal in
PostgreSQL (NEURALBOX_JOURNAL, `postgresql://host/db#pictures`). In files each picture has one of its own, since a file has one
owner at a time and workers are many.
"""

import os
from functools import cache
from pathlib import Path

from celery import Celery, Task

from neuralbox import NeuralBox, RateLimitError

app = Celery(
    "pictures",
    broker=os.environ.get("CELERY_BROKER_URL", "memory://"),
    backend=os.environ.get("CELERY_RESULT_BACKEND", "cache+memory://"),
)


@cache
def client() -> NeuralBox:
    """Made at the first use, so by each worker process for itself."""
    return NeuralBox()


@app.task(bind=True, acks_late=True, max_retries=20)
def picture(self: Task, key: str, prompt: str) -> str:
    nb = client()
    Path("journals").mkdir(exist_ok=True)
    journal = os.environ.get("NEURALBOX_JOURNAL", f"journals/{key}.sqlite")
    try:
        job = nb.images.submit(model="flux-1.1-pro", prompt=prompt, journal=journal, key=key)
    except RateLimitError as error:
        raise self.retry(countdown=error.retry_after or 60, exc=error) from error
    return str(nb.files.download(job.wait(), "pictures/", overwrite=True))
