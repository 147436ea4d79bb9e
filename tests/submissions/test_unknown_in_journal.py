"""What a journal holds as unknown, settled by the history alone or as a person says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from neuralbox._batch.unknown import GIVEN_UP, reconcile_journal, settle
from neuralbox._core.exchange import Core
from neuralbox._errors import ConfigurationError, JournalError, NotFoundError, SubmissionUnknownError
from neuralbox._journal import PlannedRequest, open_account_journal, read_records
from neuralbox._submissions.claim import Claim
from neuralbox._submissions.registry import registry_of

from ..service import Service, a_shop
from .test_keyed import buy, states

pytestmark = pytest.mark.anyio
MODEL = "kling-v2.1"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


async def leave(shop: Service, core: Core, journal: Path, **prompts: str | None) -> None:
    """Leave a journal as a run does that was killed while it sent these."""
    claim = Claim("", "video", MODEL, sent_at=shop.time.now(), server_offset=shop.ahead, lost_at=shop.time.now())
    async with await open_account_journal(core, journal) as opened:
        await opened.plan([PlannedRequest(key, request(prompt)) for key, prompt in prompts.items()])
        for key in prompts:
            await opened.sending(key, {**claim.to_dict(), "key": f"of {key}"})


def request(prompt: str | None) -> Mapping[str, Any]:
    if prompt is None:
        return {"kind": "hologram"}
    return {"kind": "video", "model": MODEL, "prompt": prompt}


async def test_what_the_history_tells_of_a_journal_is_written_down_and_nothing_is_sent(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        bought = await buy(core, journal, "control", prompt="A heron")
        await leave(shop, core, journal, boat="A boat", tree="A tree", newer=None)
        made = shop.make({"model": MODEL, "prompt": "A boat"})
        found = {each.key: each for each in await reconcile_journal(shop.core(), journal)}
        assert [*found] == ["boat", "tree", "newer"]
        assert found["boat"].job is not None
        assert found["boat"].job.id == made.id != bought.id
        assert found["tree"].is_absent
        assert "hologram" in found["newer"].why
        assert states(journal) == {"control": "accepted", "boat": "accepted", "tree": "planned", "newer": "sending"}
        assert len(shop.posts) == 1
        assert not registry_of(core).unresolved


async def test_an_open_request_names_what_may_be_its_generation(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        await leave(shop, core, journal, boat="A boat")
        shop.listing.shown = lambda item: {**item, "prompt": None}
        made = shop.make({"model": MODEL, "prompt": "A boat"})
        core = shop.core()
        (request,) = await reconcile_journal(core, journal)
        assert (request.job, request.is_absent, bool(request.why)) == (None, False, True)
        assert [(each.id, each.model) for each in request.candidates] == [(made.id, MODEL)]
        assert states(journal) == {"boat": "sending"}
        assert not registry_of(core).unresolved


async def test_a_single_job_with_a_key_is_looked_for_too(journal: Path) -> None:
    async with a_shop() as shop:
        shop.listing.shown = lambda item: {**item, "prompt": None}
        shop.end_with("dropped after")
        with pytest.raises(SubmissionUnknownError):
            await buy(shop.core(), journal)
        shop.listing.shown = None
        (request,) = await reconcile_journal(shop.core(), journal)
        assert request.job is not None
        assert request.job.id == 18_000
        assert states(journal) == {"intro": "accepted"}


async def test_only_a_generation_that_can_be_its_own_is_adopted(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        other = await buy(core, journal, "other", prompt="A heron")
        await leave(shop, core, journal, boat="A boat")
        picture = shop.make({"model": "flux-1.1-pro", "prompt": "A boat"})
        shop.detail = lambda sold: {"type": "image"} if sold is picture else None
        with pytest.raises(NotFoundError):
            await settle(core, journal, "boat", adopt=7)
        with pytest.raises(ConfigurationError, match="is of kind image, and the request asks for video"):
            await settle(core, journal, "boat", adopt=picture.id)
        for name in (other.id, f"gen_{other.id}"):
            shop.listing.ids = "int" if name == other.id else "mixed"
            with pytest.raises(ConfigurationError, match="belongs to the request 'other'"):
                await settle(core, journal, "boat", adopt=name)
        shop.listing.ids = "int"
        assert states(journal)["boat"] == "sending"
        made = shop.make({"model": MODEL, "prompt": "A boat"})
        ref = await settle(core, journal, "boat", adopt=made.id)
        assert ref is not None
        assert (ref.id, ref.kind, ref.model) == (made.id, "video", MODEL)
        assert states(journal)["boat"] == "accepted"


async def test_what_cannot_be_decided_is_refused(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        with pytest.raises(JournalError) as caught:
            await settle(core, journal, "boat")
        assert (caught.value.reason, os.path.exists(journal)) == ("missing", False)  # noqa: ASYNC240, PTH110 - a test
        with pytest.raises(JournalError):
            await reconcile_journal(core, journal)
        await leave(shop, core, journal, boat="A boat")
        async with await open_account_journal(core, journal):
            with pytest.raises(JournalError) as caught:
                await settle(core, journal, "boat")
            assert caught.value.reason == "locked"
        with pytest.raises(ConfigurationError, match="knows no request 'tree'"):
            await settle(core, journal, "tree")
        await settle(core, journal, "boat")
        with pytest.raises(ConfigurationError, match="Nothing is unknown of the request 'boat': it is 'final'"):
            await settle(core, journal, "boat", resend=True)
        (record,) = read_records(journal)
        assert record.outcome is not None
        assert record.outcome["said"] == {"status": "failed", "error": GIVEN_UP}
