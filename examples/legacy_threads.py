"""A synchronous script with threads, as they were before asyncio: one client, shared by all threads.

    export NEURALBOX_API_KEY=nb_...
    python examples/legacy_threads.py subjects.txt pictures/

Reads one subject per line and makes a picture of each. All threads share one client, its connections and its one
poller; Ctrl-C cancels what is under way and names what was paid for.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from neuralbox import NeuralBox, NeuralBoxError


def draw(nb: NeuralBox, directory: Path, subject: str) -> str:
    """Make one picture; say where it is, or why there is none."""
    try:
        image = nb.images.create(model="flux-1.1-pro", prompt=f"{subject}, woodcut, two colours", size="1024x1024")
        path = nb.files.download(image, directory)
    except NeuralBoxError as error:
        return f"{subject}: {error}"
    return f"{subject}: {path} ({image.tokens} tokens)"


def main(subjects: Path, directory: Path) -> None:
    lines = [line.strip() for line in subjects.read_text(encoding="utf-8").splitlines() if line.strip()]
    directory.mkdir(parents=True, exist_ok=True)
    with NeuralBox() as nb, ThreadPoolExecutor(max_workers=8) as threads:
        for said in threads.map(partial(draw, nb, directory), lines):
            print(said)
        print(f"{nb.account.balance().token_balance} tokens left")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
