"""GeminiGen's jobs with a key and its batches with a journal: bought once, and continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from neuralbox import _errors as errors
from neuralbox._batch.unknown import reconcile_journal, settle
from neuralbox.geminigen._kinds import GEMINI_KINDS
from tests.geminigen.shop import GeminiShop
from tests.geminigen.support import PNG, SCENES, VOICES, opened
from tests.helpers import VirtualTime

pytestmark = pytest.mark.anyio


async def test_a_keyed_job_is_bought_once_and_another_picture_under_its_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    shop = GeminiShop(VirtualTime(), ends=["lost"])
    keyed: dict[str, Any] = {"model": "imagen-4", "prompt": "P", "journal": tmp_path / "jobs.sqlite", "key": "intro"}
    async with opened(shop, submission="raise") as gg:
        with pytest.raises(errors.SubmissionUnknownError):
            await gg.images.submit(files=[path], **keyed)
    async with opened(shop) as gg:  # the program runs again
        first = await gg.images.submit(files=[path], **keyed)
        again = await gg.images.submit(files=[path], **keyed)
        assert (await again.wait()).id == first.id == "u-1"
        path.write_bytes(PNG + b"another")
        with pytest.raises(errors.JournalError, match="files"):
            await gg.images.submit(files=[path], **keyed)
    assert shop.posts == 1


async def test_a_document_is_sent_with_its_name_and_its_password_is_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, journal = tmp_path / "Book.PDF", tmp_path / "jobs.sqlite"
    book.write_bytes(b"%PDF-1.7" * 1_000)
    shop = GeminiShop(VirtualTime(), ends=["answered", "lost"], estimates=True)
    options: dict[str, Any] = {"voices": VOICES, "speed": 2, "output_format": "wav", "file_password": "open sesame"}
    async with opened(shop, budget=100) as gg:
        said = await gg.speech.create_document(file=book, **options)
        assert (said.kind, said.prompt, said.is_completed) == ("audio", "Book.PDF", True)
        job = await gg.speech.submit_document(
            file=("notes.txt", b"Notes"), journal=journal, key="notes", extra_body={"later": 1}, **options
        )
        again = await gg.speech.submit_document(
            file=("notes.txt", b"Notes"), journal=journal, key="notes", extra_body={"later": 1}, **options
        )
        assert (job.id, again.id, shop.posts) == ("u-2", "u-2", 2)  # its answer was lost: it was found by its name
        with pytest.raises(errors.JournalError, match=r"as another one: it differs in .*"):
            await gg.speech.submit_document(file=("notes.txt", b"Other"), voices=VOICES, journal=journal, key="notes")
        assert gg.budget is not None
        assert gg.budget.spent == 8
        monkeypatch.setattr("neuralbox._api.gemini_vocabulary.MAX_DOCUMENT_BYTES", 7_999)
        with book.open("rb") as file:
            for each in (book, file):
                with pytest.raises(errors.ConfigurationError, match=r"has 8,000 bytes; .* at most 100 MB"):
                    await gg.speech.create_document(file=each, voices=VOICES)
    first, second = shop.orders
    texts = {"model": ["tts-flash"], "voices": [json.dumps(VOICES)], "speed": ["2"], "output_format": ["wav"]}
    secret = {"file_password": ["open sesame"]}
    assert (first.path, first.fields) == ("/document-to-speech", {**texts, **secret})
    assert first.files == [("file", "Book.PDF", "application/pdf", b"%PDF-1.7" * 1_000)]
    assert second.fields == {**texts, "later": ["1"], **secret}
    assert not [path for path in tmp_path.iterdir() if b"sesame" in path.read_bytes()]  # noqa: ASYNC240 - after all of it


async def test_a_batch_makes_documents_and_storyboards(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"A text")
    shop = GeminiShop(VirtualTime())
    requests = [
        {"kind": "document", "key": "a", "file": str(tmp_path / "a.txt"), "voices": VOICES},
        {"kind": "document", "key": "none", "file": str(tmp_path / "none.txt"), "voices": VOICES},
        {"kind": "storyboard", "key": "b", "scenes": SCENES},
    ]
    async with opened(shop) as gg, gg.batch(requests, journal=tmp_path / "run.sqlite") as run:
        found = {outcome.key: outcome async for outcome in run}
    assert (found["a"].error, found["b"].error) == (None, None)
    assert "none.txt' cannot be read" in str(found["none"].error)
    assert sorted(order.path for order in shop.orders) == ["/document-to-speech", "/video-storyboard/grok"]
    read = GEMINI_KINDS.read(requests[0])
    assert GEMINI_KINDS.read(read.to_dict()) == read


async def test_a_batch_goes_on_from_its_journal_and_pays_once(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    journal = tmp_path / "run.sqlite"
    requests: list[Any] = [
        {"kind": "image", "key": "a", "model": "imagen-4", "prompt": "One", "files": [picture]},
        {"kind": "video", "key": "b", "model": "veo-2", "prompt": "Two"},
        {"kind": "speech", "key": "c", "input": "Three", "voices": VOICES},
        {"kind": "image", "key": "d", "model": "imagen-4", "prompt": "Four", "files": [str(tmp_path / "gone.png")]},
    ]
    shop = GeminiShop(VirtualTime(), ends=["lost", "lost"])
    async with opened(shop, submission="raise") as gg, gg.batch(requests, journal=journal, max_sending=1) as run:
        first = {outcome.key: outcome async for outcome in run}
    assert {key for key, outcome in first.items() if isinstance(outcome.error, errors.SubmissionUnknownError)} == {
        "a",
        "b",
    }
    assert "gone.png" in str(first["d"].error)
    assert (first["c"].credits, first["c"].tokens, first["c"].to_dict()["credits"]) == (4, None, 4)
    async with opened(shop) as gg:
        (found, other) = await reconcile_journal(gg._core, journal, GEMINI_KINDS)
        assert found.job is not None
        assert other.job is not None
        async with gg.batch(requests, journal=journal) as run:
            second = {outcome.key: outcome async for outcome in run}
    assert {key: outcome.ok for key, outcome in second.items()} == {"a": True, "b": True, "c": True, "d": False}
    assert second["c"].resumed
    assert second["c"].generation is not None
    assert second["c"].generation.url == "https://cdn.test/u-3.bin"
    assert (second["c"].credits, shop.posts, len(shop.orders)) == (4, 3, 3)


async def test_a_request_that_a_person_gave_up_stays_failed(tmp_path: Path) -> None:
    journal, shop = tmp_path / "jobs.sqlite", GeminiShop(VirtualTime(), ends=["lost"])
    async with opened(shop, submission="raise") as gg:
        with pytest.raises(errors.SubmissionUnknownError):
            await gg.images.submit(model="imagen-4", prompt="P", journal=journal, key="k")
        await settle(gg._core, journal, "k")
        with pytest.raises(errors.GenerationFailedError, match="Given up by hand"):
            await gg.images.submit(model="imagen-4", prompt="P", journal=journal, key="k")
        assert len(shop.orders) == 1


async def test_what_no_journal_can_keep_stays_in_credits(tmp_path: Path) -> None:
    class Shop(GeminiShop):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            found = super().__call__(request)
            return httpx.Response(
                200, content=found.content.replace(b'"id":', b'"later":NaN,"id":'), headers=found.headers
            )

    shop, requests = Shop(VirtualTime()), [{"kind": "image", "key": "a", "model": "imagen-4", "prompt": "P"}]
    for is_resumed in (False, True):
        async with opened(shop) as gg, gg.batch(requests, journal=tmp_path / "run.sqlite") as run:
            (outcome,) = [each async for each in run]
        made = outcome.generation
        assert made is not None
        assert (outcome.resumed, made.url, made.credits, made.tokens, made.service) == (
            is_resumed, "https://cdn.test/u-1.bin", 4, None, "geminigen",
        )  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 2, "generate_result": "https://cdn.test/1", "used_credit": 4},
        {"status": "completed", "status_desc": "Done!", "generated_image": [{"image_url": "https://cdn.test/1"}]},
        {"status": 3, "error_message": "Blocked"},
    ],
)
async def test_a_result_without_a_uuid_is_had_again_by_its_key(tmp_path: Path, answer: dict[str, Any]) -> None:
    shop = GeminiShop(VirtualTime(), ends=[httpx.Response(200, json=answer)])
    said: list[object] = []
    async with opened(shop) as gg:
        for _ in range(2):
            try:
                job = await gg.images.submit(model="imagen-4", prompt="P", journal=tmp_path / "jobs.sqlite", key="k")
            except errors.GenerationFailedError as error:
                said.append(error.generation.error)
            else:
                made = await job.wait()
                said.append((made.url, made.credits, made.tokens, made.service))
    wanted = ("https://cdn.test/1", answer.get("used_credit"), None, "geminigen")
    assert said == [wanted if "error_message" not in answer else "Blocked"] * 2
    assert shop.posts == 1
