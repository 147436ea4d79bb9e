"""What does a cache hit cost?

A picture that is in the cache is asked for again and again; the client's address leads nowhere, so a request would be an
error. Units: microseconds of the wall's clock for one `create`, the median and the 99th of a hundred, and of the client's CPU.

    python -m benchmarks.bench_cache [--full]
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, Settings, main
from neuralbox import AsyncNeuralBox, Generation, ResultCache
from neuralbox._api.builders import build_media
from neuralbox._result_cache import content_key

BOUND = 300.0
NOWHERE = "http://127.0.0.1:9"
PROMPT = "A quiet harbour at dusk, oil on canvas"
MADE = {
    "id": 18491,
    "status": "completed",
    "url": "https://storage.neuralbox.top/generations/18491.webp",
    "tokens_used": 8,
}


async def measure(directory: str, count: int) -> tuple[list[float], float]:
    """Return the seconds of each hit, and the CPU seconds of one."""
    cache = ResultCache(Path(directory) / "cache.sqlite")
    for number in range(1_000):
        cache.put(f"{number:064x}", Generation.read(MADE, kind="image"), time.time())
    request = build_media(model="flux-1.1-pro", prompt=PROMPT, options={}, nested=False)
    key = content_key(request, None, None, service="neuralbox", server=NOWHERE, kind="image")
    assert key is not None
    cache.put(key, Generation.read(MADE, kind="image"), time.time())
    taken = []
    async with AsyncNeuralBox(api_key="nb_benchmark", base_url=NOWHERE, cache=cache, max_retries=0) as nb:
        for _ in range(100):
            await nb.images.create(model="flux-1.1-pro", prompt=PROMPT)
        worked = time.process_time()
        for _ in range(count):
            begun = time.perf_counter()
            found = await nb.images.create(model="flux-1.1-pro", prompt=PROMPT)
            taken.append(time.perf_counter() - begun)
            assert found.is_cached
    cache.close()
    return taken, (time.process_time() - worked) / count


def run(settings: Settings) -> list[Row]:
    """Ask for what is there, many times."""
    with tempfile.TemporaryDirectory() as directory:
        taken, cpu = asyncio.run(measure(directory, settings.pick(500, 20_000)))
    return [
        Row("a hit, of the wall's clock", statistics.median(taken) * 1e6, "us", bound=BOUND),
        Row("99 of 100 hits at most", statistics.quantiles(taken, n=100)[-1] * 1e6, "us"),
        Row("a hit, of CPU", cpu * 1e6, "us CPU"),
    ]


if __name__ == "__main__":
    main(run, __doc__)
