"""A small program: it makes a trailer of a text, and checks what it costs. Nothing in it knows that it is tested."""

from __future__ import annotations

from pathlib import Path

from neuralbox import AsyncNeuralBox, InsufficientTokensError, NeuralBox


async def trailer(title: str, folder: Path) -> Path:
    """Write a slogan, make a video of it, and return the file's path.

    Args:
        title: What the video is about.
        folder: Where it goes.

    Raises:
        NeuralBoxError: The service refused, or the video failed.
    """
    async with AsyncNeuralBox() as nb:
        slogan = await nb.text.create(model="gpt-5-nano", prompt=f"A slogan for {title}")
        job = await nb.videos.submit(model="kling-v2.1", prompt=f"{title}: {slogan.text}", duration=5)
        video = await job.wait(timeout=600)
        return Path(await nb.files.download(video, folder))


def can_afford(title: str) -> bool:
    """Try a picture of the title; False where the account is empty. Blocking."""
    with NeuralBox() as nb:
        try:
            nb.images.create(model="dall-e-3", prompt=title)
        except InsufficientTokensError:
            return False
        return True
