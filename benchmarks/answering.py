"""The lean server, with every submission answered by a finished picture and forgotten: so a batch is all there is.

python -m benchmarks.answering --latency 0.05     prints its port; ends with end of input
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from benchmarks import server
from benchmarks.server import Site, answer, started


def finished(number: int) -> dict[str, object]:
    """Return a finished picture of about 300 bytes."""
    return {
        "id": number,
        "status": "completed",
        "model_slug": "flux-1.1-pro",
        "result_url": f"https://storage.neuralbox.top/generations/{number}.webp",
        "tokens_spent": 4,
        "result_metadata": {"width": 1024, "height": 1024},
        "created_at": "2026-11-21T06:00:00Z",
        "seed": 7,
    }


class AtOnce(Site):
    """Remembers nothing but how many there were."""

    def reply(self, method: str, target: str, body: bytes) -> bytes | list[bytes]:
        """Return a finished picture for a submission."""
        return answer(finished(self.requests)) if method == "POST" else super().reply(method, target, body)


def answering(latency: float = 0.0, lifetime: float = 3_600.0) -> AbstractContextManager[str]:
    """Run one in a process of its own on a free port, and end it with the block; its URL."""
    return started("benchmarks.answering", f"--latency={latency}", f"--lifetime={lifetime}")


if __name__ == "__main__":
    server.Site = AtOnce  # type: ignore[misc]  # what `server.serve` makes
    server.main()
