"""Five hundred videos within a budget, with a journal: stop it at any time, run it again, and nothing is bought twice.

    export NEURALBOX_API_KEY=nb_...
    python examples/fan_out.py --count 500 --budget 20000 --journal videos.sqlite --to videos/

Prints a line per result and what was spent. After Ctrl-C, a crash or a power cut the same command goes on where it was:
what was accepted is waited for, what may have been is looked up in the history, the rest is sent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import anyio

from neuralbox import AsyncNeuralBox, VideoRequest

WHO = (
    "a fox",
    "a heron",
    "two children",
    "a paper boat",
    "a red tram",
    "a lighthouse keeper",
    "a brass robot",
    "a kite",
)
WHERE = ("a flooded square", "the last bridge", "a field of rye", "an empty station", "a pier", "a snowed-in valley")
HOW = ("at dawn", "in the rain", "under neon light", "in slow motion", "seen from above", "on grainy film")


def videos(count: int) -> Iterator[VideoRequest]:
    """Requests as they are needed; a thousand are never in memory at once. The key tells them apart for ever."""
    takes = product(range(1, 3), WHO, WHERE, HOW)
    for number, (take, who, where, how) in enumerate(islice(takes, count), 1):
        prompt = f"{who} crosses {where}, {how}. Take {take}."
        yield VideoRequest(
            key=f"video-{number:04d}", model="luma-flash2", prompt=prompt, duration=5, aspect_ratio="16:9"
        )


async def main(count: int, budget: int, journal: Path, to: Path) -> None:
    async with AsyncNeuralBox() as nb:
        estimate = await nb.batch.estimate(videos(count))
        print(f"{estimate.requests} videos for about {estimate.tokens} tokens")
        async with nb.batch(videos(count), journal=journal, download_to=to, budget=budget) as run:
            async for outcome in run:
                print(outcome.key, outcome.path or outcome.error)
            done = run.progress
        print(f"{done.completed} completed, {done.failed} failed, {done.tokens_spent} tokens spent")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=500)
    options.add_argument("--budget", type=int, default=20_000)
    options.add_argument("--journal", type=Path, default=Path("videos.sqlite"))
    options.add_argument("--to", type=Path, default=Path("videos"))
    try:
        anyio.run(main, *vars(options.parse_args()).values())
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.")
