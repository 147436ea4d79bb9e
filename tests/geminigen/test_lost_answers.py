"""Answers that GeminiGen's client never had, or cannot read: looked for in the history, and paid once."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
import pytest

from neuralbox import _errors as errors
from tests.geminigen.shop import GeminiShop
from tests.geminigen.support import SCENES, VOICES, opened
from tests.helpers import VirtualTime

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("end", ["lost", "502"])
async def test_a_lost_answer_is_found_by_its_prompt_and_paid_once(end: str) -> None:
    shop = GeminiShop(VirtualTime(), ends=[end])
    async with opened(shop) as gg:
        made = await gg.images.create(model="nano-banana-pro", prompt="A quiet harbour")
    assert (shop.posts, made.id, made.is_completed, made.kind) == (1, "u-1", True, "image")


async def test_what_was_never_accepted_is_sent_again_once_the_history_proves_it() -> None:
    shop = GeminiShop(VirtualTime(), ends=["answered", "lost before"])
    async with opened(shop) as gg:
        await gg.images.create(model="nano-banana-pro", prompt="The control")
        made = await gg.images.create(model="nano-banana-pro", prompt="A quiet harbour")
    assert (shop.posts, len(shop.orders), made.prompt) == (3, 2, "A quiet harbour")


@pytest.mark.parametrize(
    "answer",
    [
        {"uuid": "..", "status": 1},
        {"uuid": 10**100, "status": 1},
        {"id": 51, "status": "processing"},
        {"success": True, "result": {"id": 51, "status": "completed"}},
        {"status": 2, "generate_result": ""},
        {"status": "success"},
    ],
)
async def test_an_answer_that_names_neither_a_record_nor_a_result_is_looked_for_like_a_lost_one(answer: Any) -> None:
    class Shop(GeminiShop):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            found = super().__call__(request)
            return httpx.Response(200, json=answer, headers=found.headers) if request.method == "POST" else found

    shop = Shop(VirtualTime())
    async with opened(shop) as gg:
        made = await gg.images.create(model="imagen-4", prompt="A quiet harbour")
    assert (made.id, made.is_completed, shop.posts) == ("u-1", True, 1)


def _shown(text: str, item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "input_text": text}


async def test_a_dialogue_is_found_where_the_history_shows_its_texts_and_else_stays_unknown() -> None:
    for shown, is_found in (("Hi\nHo", True), ("", False)):
        shop = GeminiShop(VirtualTime(), ends=["lost"], item=partial(_shown, shown))
        async with opened(shop) as gg:
            if is_found:
                assert (await gg.speech.create_dialogue(blocks=["Hi", "Ho"], voices=VOICES)).is_completed
            else:
                with pytest.raises(errors.SubmissionUnknownError) as caught:
                    await gg.speech.create_dialogue(blocks=["Hi", "Ho"], voices=VOICES)
                assert [each.id for each in caught.value.candidates] == ["u-1"]
                assert [each.adopt("u-1").id for each in gg.unresolved] == ["u-1"]
        assert shop.posts == 1


async def test_a_document_that_is_shown_as_predicted_proves_no_dialogue_absent() -> None:
    def shown(item: dict[str, Any]) -> dict[str, Any]:
        return item if item["type"] == "tts-document" else {**item, "input_text": "Reader: Hi\nReader: Ho"}

    shop = GeminiShop(VirtualTime(), ends=["answered", "lost"], item=shown)
    async with opened(shop) as gg:
        await gg.speech.create_document(file=("tale.txt", b"Once"), voices=VOICES)
        with pytest.raises(errors.SubmissionUnknownError):
            await gg.speech.create_dialogue(blocks=["Hi", "Ho"], voices=VOICES)
    assert (shop.posts, len(shop.orders)) == (2, 2)


@pytest.mark.parametrize("how", ["create", "extend"])
async def test_a_prompt_whose_end_grok_is_known_to_lose_is_not_proven_absent_by_others(how: str) -> None:
    def shown(item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "input_text": item["input_text"].partition(";")[0]}

    shop = GeminiShop(VirtualTime(), ends=["answered", "lost"], item=shown)
    asked = {"model": "grok-3"} if how == "create" else {"family": "grok", "ref_history": "u-1"}
    async with opened(shop) as gg:
        await gg.videos.create(model="grok-3", prompt="The control, which is longer")
        with pytest.raises(errors.SubmissionUnknownError) as caught:
            await getattr(gg.videos, how)(prompt="A cat; it jumps over the fence", **asked)
    assert [each.id for each in caught.value.candidates] == ["u-2"]
    assert (shop.posts, len(shop.orders)) == (2, 2)


async def test_a_storyboard_is_found_where_the_history_shows_its_prompts_and_else_stays_unknown() -> None:
    for shown, is_found in (("A boat\nIt sails", True), ("", False)):
        shop = GeminiShop(VirtualTime(), ends=["lost"], item=partial(_shown, shown))
        async with opened(shop) as gg:
            if is_found:
                assert (await gg.videos.create_storyboard(scenes=SCENES)).is_completed
            else:
                with pytest.raises(errors.SubmissionUnknownError):
                    await gg.videos.create_storyboard(scenes=SCENES)
        assert shop.posts == 1


CHANGED: list[dict[str, Any]] = [
    {"status": "completed", "used_credit": "4", "id": "x"},
    {"input_text": ["A quiet harbour"], "created_at": 7},
    {"uuid": None},
    {"type": 3, "inference_type": {}, "media_type": [], "model_name": 9, "status": 1.5},
    {"created_at": "yesterday", "media_files": 7},
]


@pytest.mark.parametrize("changed", CHANGED)
async def test_rows_whose_fields_changed_type_never_make_it_pay_twice(changed: dict[str, Any]) -> None:
    shop = GeminiShop(VirtualTime(), ends=["answered", "lost"])
    shop.item = lambda item: {**item, **changed} if item["uuid"] == "u-2" else item
    async with opened(shop) as gg:
        await gg.images.create(model="nano-banana-pro", prompt="The control")
        try:
            made = await gg.images.create(model="nano-banana-pro", prompt="A quiet harbour")
        except errors.SubmissionUnknownError:
            assert len(gg.unresolved) == 1
        else:
            assert made.id == "u-2"
    assert (shop.posts, len(shop.orders)) == (2, 2)


async def test_no_5xx_counts_as_free_whatever_its_code() -> None:
    class Shop(GeminiShop):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            found = super().__call__(request)
            busy = {"detail": {"error_code": "model_unavailable", "message": "Busy."}}
            return httpx.Response(503, json=busy, headers=found.headers) if request.method == "POST" else found

    shop = Shop(VirtualTime())
    async with opened(shop) as gg:
        assert (await gg.images.create(model="imagen-4", prompt="P")).id == "u-1"
    assert shop.posts == 1


async def test_errors_are_told_by_their_code_and_refusals_are_never_sent_again() -> None:
    def refused(status: int, code: str) -> httpx.Response:
        return httpx.Response(status, json={"detail": {"error_code": code, "error_message": "No."}})

    ends = [refused(400, "TOO_MANY_IMAGES"), refused(404, "API_KEY_NOT_FOUND"), refused(400, "NOT_ENOUGH_CREDIT")]
    shop = GeminiShop(VirtualTime(), ends=ends)
    kinds = [errors.BadRequestError, errors.AuthenticationError, errors.InsufficientTokensError]
    async with opened(shop) as gg:
        for kind in kinds:
            with pytest.raises(kind):
                await gg.images.create(model="nano-banana-pro", prompt="P")
        assert gg.unresolved == ()
        assert not (await gg.reconcile()).adopted
    assert (shop.posts, shop.orders) == (3, [])
