"""The demo: many videos at once on a local sandbox, from submission to file to bill.

It starts the sandbox on a loopback port and then does what a user's program does, with the public client: submit
all, wait for all, download each as it completes, walk the history, compare the four accounts of what was charged.
What is shown meanwhile is up to the caller: it is given the running `DemoTally` at each change.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import anyio

from ._client import AsyncNeuralBox
from ._config import Polling
from ._errors import NeuralBoxError

if TYPE_CHECKING:
    from .sandbox import Server

MODELS = ("luma-flash2", "kling-v2.1", "minimax-video", "luma-ray2", "kling-v2.1-pro")
RATIOS = ("16:9", "9:16", "1:1")
_WHO = ("a fox", "an old lighthouse keeper", "two children", "a paper boat", "a red tram", "a heron", "a brass robot")
_WHAT = ("crosses", "waits at", "dances around", "drifts past", "looks back at", "rebuilds")
_WHERE = ("a flooded square", "the last bridge", "a field of rye", "an empty station", "the northern pier")
_HOW = ("at dawn", "in the rain", "under neon light", "in slow motion", "seen from above", "on grainy film")


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to do.

    Attributes:
        videos: How many videos, from 1.
        speed: How many times faster than the real service the sandbox finishes a job.
        directory: Where the files go; made if it is not there.
        seed: Decides the prompts and the sandbox's own choices.
    """

    videos: int = 200
    speed: float = 20.0
    directory: Path = Path("neuralbox-demo")
    seed: int = 0


@dataclass(slots=True)
class DemoTally:
    """How far it is; one object that grows.

    Attributes:
        accepted: Jobs the service has taken on.
        completed: Generations that are done.
        downloaded: Files in place.
        size_bytes: All of them together.
        tokens: What the completed generations say they cost.
        problems: One sentence for each video that did not make it.
    """

    accepted: int = 0
    completed: int = 0
    downloaded: int = 0
    size_bytes: int = 0
    tokens: int = 0
    problems: list[str] = field(default_factory=list)


View: TypeAlias = Callable[[DemoTally], None]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What came of it.

    Attributes:
        plan: What was asked for.
        tally: The final count.
        listed: Videos found in the history.
        charged_by_history: Sum of the tokens in the history.
        charged_by_balance: Balance before minus balance after.
        charged_by_ledger: What the sandbox's own ledger says.
        requests: HTTP requests the sandbox answered, downloads included.
        seconds: From the first submission to the last page of the history.
    """

    plan: DemoPlan
    tally: DemoTally
    listed: int
    charged_by_history: int
    charged_by_balance: int
    charged_by_ledger: int
    requests: int
    seconds: float

    @property
    def is_paid_once(self) -> bool:
        """Return whether all four accounts of what was charged agree."""
        accounts = {self.charged_by_history, self.charged_by_balance, self.charged_by_ledger, self.tally.tokens}
        return len(accounts) == 1

    @property
    def is_whole(self) -> bool:
        """Return whether every video is a file and a history item, paid once."""
        return self.tally.downloaded == self.listed == self.plan.videos and self.is_paid_once


def run_demo(plan: DemoPlan, view: View) -> DemoReport:
    """Run the demo from start to end on a sandbox of its own.

    Raises:
        NeuralBoxError: The account or the history could not be read. A video that fails is in `tally.problems` instead.
        OSError: The directory cannot be made.
        KeyboardInterrupt: Ctrl-C; everything that was started has been stopped.
    """
    from .sandbox import Sandbox, serve

    plan.directory.mkdir(parents=True, exist_ok=True)
    with serve(Sandbox(speed=plan.speed, seed=plan.seed)) as server:
        return anyio.run(show_demo, plan, server, view)


async def show_demo(plan: DemoPlan, server: Server, view: View) -> DemoReport:
    """Do what a user's program does: submit, wait, download, list, count."""
    # The sandbox is faster than the service by `speed`, so polling is too: the same number of status requests per job.
    polling = Polling(min_interval=max(0.1, 5.0 / plan.speed), max_interval=max(0.2, 30.0 / plan.speed))
    tally = DemoTally()
    start = time.perf_counter()
    async with AsyncNeuralBox(api_key="nb_demo", base_url=server.url, polling=polling) as nb:
        before = await _balance(nb)
        async with anyio.create_task_group() as tasks:
            for number in range(plan.videos):
                tasks.start_soon(_one_video, nb, plan, number, tally, view)
        after = await _balance(nb)
        listed, charged = 0, 0
        async for item in nb.history.list(type="video", page_size=100):
            listed += 1
            charged += item.tokens or 0
    return DemoReport(
        plan=plan,
        tally=tally,
        listed=listed,
        charged_by_history=charged,
        charged_by_balance=before - after,
        charged_by_ledger=server.sandbox.ledger.charged,
        requests=server.sandbox.ledger.requests,
        seconds=time.perf_counter() - start,
    )


async def _balance(nb: AsyncNeuralBox) -> int:
    return (await nb.account.balance()).token_balance or 0


async def _one_video(nb: AsyncNeuralBox, plan: DemoPlan, number: int, tally: DemoTally, view: View) -> None:
    """See one video from prompt to file; what goes wrong with it is noted and ends nothing else."""
    choice = random.Random(f"{plan.seed}/{number}")
    try:
        job = await nb.videos.submit(
            model=MODELS[number % len(MODELS)],
            prompt=prompt_for(choice, number),
            duration=5,
            aspect_ratio=choice.choice(RATIOS),
        )
        tally.accepted += 1
        view(tally)
        generation = await job.wait()
        tally.completed += 1
        tally.tokens += generation.tokens or 0
        view(tally)
        # The sandbox counts its ids from the same number each time, so another run meets the files of the last.
        path = await nb.files.download(generation, plan.directory, overwrite=True)
    except (NeuralBoxError, OSError) as error:
        tally.problems.append(f"Video {number + 1}: {error}")
    else:
        tally.downloaded += 1
        tally.size_bytes += path.stat().st_size
    view(tally)


def prompt_for(choice: random.Random, number: int) -> str:
    """Make up a prompt; the number keeps any two apart."""
    who, what, where, how = (choice.choice(words) for words in (_WHO, _WHAT, _WHERE, _HOW))
    return f"{who.capitalize()} {what} {where}, {how}. Take {number + 1}."
