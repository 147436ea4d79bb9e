"""What the tests of lost answers buy."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._api.builders import build_media
from neuralbox._api.request import Request
from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._core.exchange import Core
from neuralbox._errors import JournalError, SubmissionUnknownError
from neuralbox._models.generation import Generation
from neuralbox._resources.images import Images
from neuralbox._resources.videos import Videos
from neuralbox._submissions import submission
from neuralbox._submissions.claim import Claim
from neuralbox._types import GenerationId

FOX = {"model": "dall-e-3", "prompt": "A fox"}


def image(prompt: str = "A fox", **options: Any) -> Request:
    return build_media(model="dall-e-3", prompt=prompt, options=options, nested=False)


async def draw(core: Core, prompt: str = "A fox", **options: Any) -> Generation:
    return await Images(core).create(model="dall-e-3", prompt=prompt, **options)


async def film(core: Core, prompt: str = "A fox") -> GenerationId:
    return (await Videos(core).submit(model="kling-v2.1", prompt=prompt)).id


async def unknown(core: Core, prompt: str = "A fox", **options: Any) -> SubmissionUnknownError:
    with pytest.raises(SubmissionUnknownError) as caught:
        await draw(core, prompt, **options)
    return caught.value


class Notes:
    """A recorder that keeps what it is told, and fails as it is told to."""

    def __init__(self, fails: str = "", core: Core | None = None) -> None:
        self.notes: list[str] = []
        self.claims: list[Claim] = []
        self.fails = fails
        self.core = core

    async def sending(self, claim: Claim) -> None:
        self.claims.append(claim)
        await self._note("sending")

    async def accepted(self, generation: Generation) -> None:
        await self._note(f"accepted {generation.id}")

    async def refused(self) -> None:
        await self._note("refused")

    async def _note(self, what: str) -> None:
        if self.core is not None:
            await self.core.sleep(0.5)
        if self.fails and what.startswith(self.fails):
            raise JournalError("The disk is full.")
        self.notes.append(what)


async def buy(core: Core, recorder: Notes, **options: Any) -> Generation:
    return await submission.send(
        core, image(), NO_CALL_OPTIONS, kind="image", model="dall-e-3", recorder=recorder, **options
    )
