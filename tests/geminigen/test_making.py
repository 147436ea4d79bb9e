"""Making things at GeminiGen: what is sent, what is refused, local files, lost answers, journals, budgets and batches."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anyio
import httpx
import pytest

from neuralbox import Budget, request_from_dict
from neuralbox import _errors as errors
from neuralbox._api.request import digest_of
from neuralbox._batch.unknown import reconcile_journal, settle
from neuralbox._requests.image import ImageRequest
from neuralbox.geminigen import (
    AsyncGeminiGen,
    GeminiExtensionRequest,
    GeminiImageRequest,
    GeminiVideoRequest,
    HistoryItem,
)
from neuralbox.geminigen import _local_files as local_files
from neuralbox.geminigen._kinds import GEMINI_KINDS
from neuralbox.sandbox import Sandbox, serve
from neuralbox.testing import FastTime, using
from tests.batch.support import hold_for_journals
from tests.geminigen.shop import GeminiShop, Order
from tests.geminigen.support import KEY, client
from tests.helpers import VirtualTime

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n and so on"
VOICES = [{"name": "Reader", "voice": {"id": "GM1", "name": "Gacrux"}}]


def opened(shop: GeminiShop, **options: Any) -> AsyncGeminiGen:
    return client(shop, time=shop.time, **options)


# What is sent.

SCENES = [{"prompt": "A boat", "duration": 6}, {"prompt": "It sails", "duration": 10, "mode": "normal"}]
SENT: list[tuple[str, str, dict[str, Any], str, Mapping[str, Any]]] = [
    (
        "images",
        "create",
        {"model": "nano-banana-pro", "prompt": "P", "file_urls": ["https://x/a", "https://x/b"], "style": "Portrait"},
        "/generate_image",
        {"prompt": ["P"], "model": ["nano-banana-pro"], "file_urls": ["https://x/a", "https://x/b"], "style": ["Portrait"]},
    ),
    (
        "images",
        "create",
        {"model": "grok", "prompt": "P", "num_result": 8, "orientation": "portrait", "resolution": None},
        "/imagen/grok",
        {"prompt": ["P"], "num_result": ["8"], "orientation": ["portrait"]},
    ),
    ("images", "submit", {"model": "new", "family": "meta_ai", "prompt": "P"}, "/meta_ai/generate", {"prompt": ["P"]}),
    (
        "videos",
        "create",
        {"model": "veo-9", "prompt": "P", "duration": 8, "enhance_prompt": False, "extra_body": {"later": 1}},
        "/video-gen/veo",
        {"prompt": ["P"], "model": ["veo-9"], "duration": ["8"], "enhance_prompt": ["false"], "later": ["1"]},
    ),
    (
        "videos",
        "submit",
        {"model": "kling-video-1", "prompt": "Ten letters", "ref_images": ["https://x/a", "u-7"], "ref_history": "u-1"},
        "/video-gen/kling",
        {"prompt": ["Ten letters"], "model": ["kling-video-1"], "ref_images": ["https://x/a", "u-7"], "ref_history": ["u-1"]},
    ),
    (
        "videos",
        "extend",
        {"family": "seedance", "ref_history": "u-1", "prompt": "On", "duration": 4},
        "/video-extend/seedance",
        {"prompt": ["On"], "ref_history": ["u-1"], "duration": ["4"]},
    ),
    (
        "speech",
        "create",
        {"input": "Hello", "voices": VOICES, "speed": 1.5},
        "/text-to-speech",
        {"model": "tts-flash", "voices": VOICES, "input": "Hello", "speed": 1.5},
    ),
    (
        "speech",
        "create_dialogue",
        {"blocks": ["Hi", {"input": "Ho"}], "voices": VOICES, "title": "T", "output_channel": "stereo"},
        "/tts-multi-speaker",
        {"model": "tts-flash", "voices": VOICES, "blocks": [{"input": "Hi"}, {"input": "Ho"}], "name": "T", "output_channel": "stereo"},
    ),
    (
        "videos",
        "submit_extension",
        {"family": "veo", "ref_history": "u-1", "prompt": "On", "model": "veo-2"},
        "/video-extend/veo",
        {"prompt": ["On"], "ref_history": ["u-1"]},
    ),
    (
        "speech",
        "submit",
        {"input": "Hello", "voices": VOICES, "model": "tts-pro"},
        "/text-to-speech",
        {"model": "tts-pro", "voices": VOICES, "input": "Hello"},
    ),
    (
        "videos",
        "create_storyboard",
        {"scenes": SCENES, "aspect_ratio": "landscape"},
        "/video-storyboard/grok",
        {"scenes": [json.dumps(SCENES)], "model": ["grok-3"], "aspect_ratio": ["landscape"]},
    ),
    (
        "videos",
        "submit_storyboard",
        {"scenes": SCENES, "resolution": "720p", "model": "grok-4"},
        "/video-storyboard/grok",
        {"scenes": [json.dumps(SCENES)], "model": ["grok-4"], "resolution": ["720p"]},
    ),
    (
        "speech",
        "submit_dialogue",
        {"blocks": ["Hi"], "voices": VOICES},
        "/tts-multi-speaker",
        {"model": "tts-flash", "voices": VOICES, "blocks": [{"input": "Hi"}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "method", "arguments", "path", "fields"), SENT)
async def test_each_kind_is_asked_for_at_its_place_and_waited_for(
    resource: str, method: str, arguments: dict[str, Any], path: str, fields: Mapping[str, Any]
) -> None:
    shop = GeminiShop(VirtualTime())
    async with opened(shop) as gg:
        made = await getattr(getattr(gg, resource), method)(**arguments)
        if method.startswith("submit"):
            made = await made.wait()
    (order,) = shop.orders
    assert (order.path, order.fields, order.files) == (path, fields, [])
    assert (made.id, made.is_completed, made.url) == ("u-1", True, "https://cdn.test/u-1.bin")
    assert made.kind == {"images": "image", "videos": "video", "speech": "audio"}[resource]
    assert HistoryItem.read(made.raw).used_credit == 4
    assert made.tokens is None
    kinds = {"extend": "extension", "submit_extension": "extension"}
    kinds |= {"create_storyboard": "storyboard", "submit_storyboard": "storyboard"}
    kind = (
        kinds.get(method)
        or ("dialogue" if "dialogue" in method else "")
        or {"images": "image", "videos": "video", "speech": "speech"}[resource]
    )
    request = GEMINI_KINDS.read({"kind": kind, "key": "k", **arguments})
    assert GEMINI_KINDS.read(request.to_dict()) == request  # the same from a journal


# What is refused.

WRONG: list[tuple[str, str, dict[str, Any], str]] = [
    ("images", "create", {"model": "imagen-4", "prompt": " "}, "`prompt` is empty"),
    ("images", "create", {"model": "nobody", "prompt": "P"}, "pass `family`, one of generate_image, grok"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "family": "veo"}, "`family` must be one of generate_image"),
    ("images", "create", {"model": "grok", "prompt": "P", "num_result": 9}, "grok makes at most 8"),
    ("images", "create", {"model": "grok", "prompt": "P", "num_result": 0}, "whole number"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "files": 7}, "`files` must be a list of files, not int"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "files": [7]}, "`files` must be a path, bytes"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "files": [(1, 2)]}, "`files` must be a path, bytes"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "files": [b""]}, "is empty"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "files": ["/no/such.png"]}, "cannot be read: No such file"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "files": ["/dev/null"]}, "cannot be read: it is no file"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "files": ["a\0b"]}, "cannot be read"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "file_urls": [b"x"]}, "`file_urls` must be text"),
    ("images", "create", {"model": "imagen-4", "prompt": "P", "style": ""}, "`style` is empty"),
    ("videos", "create", {"model": "veo-2", "prompt": "P", "ref_images": ["u"] * 3}, "veo takes at most 2 references"),
    ("videos", "create", {"model": "veo-2", "prompt": "P", "ref_images": ["u"] * 4, "mode_image": "ingredient"}, "at most 3"),
    ("videos", "create", {"model": "sora-2", "prompt": "P", "file_urls": ["a"], "ref_history": "u"}, "at most 1 reference;"),
    ("videos", "create", {"model": "grok-3", "prompt": "P", "files": [PNG], "file_urls": ["a"]}, "would be lost: pass one"),
    ("videos", "create", {"model": "seedance-2-5-omni", "prompt": "P", "ref_images": ["u"] * 15}, "at most 14"),
    ("videos", "create", {"model": "kling-video-1", "prompt": "Short"}, "takes none under 10"),
    ("videos", "create", {"model": "veo-2", "prompt": "P", "duration": "8"}, "whole number of seconds"),
    ("videos", "create", {"model": "veo-2", "prompt": "P", "mode_image": []}, "`mode_image` must be a str, not list"),
    ("videos", "extend", {"family": "sora", "ref_history": "u", "prompt": "P"}, "`family` must be one of veo, grok"),
    ("videos", "extend", {"family": "veo", "ref_history": "", "prompt": "P"}, "`ref_history` is empty"),
    ("videos", "extend", {"family": "veo", "ref_history": "u", "prompt": "P", "duration": 0}, "whole number of seconds"),
    ("speech", "create", {"input": "x" * 10_001, "voices": VOICES}, "has 10,001 characters"),
    ("speech", "create", {"input": "x", "voices": VOICES, "model": [5]}, "`model` must be text, not list"),
    ("speech", "create", {"input": "x", "voices": []}, "`voices` must be a list"),
    ("speech", "create", {"input": "x", "voices": VOICES, "speed": 0.5}, "from 1 to 4"),
    ("speech", "create_dialogue", {"blocks": ["x"], "voices": VOICES, "model": ""}, "`model` is empty"),
    ("speech", "create_document", {"file": ("a.txt", b"x"), "voices": VOICES, "model": 5}, "`model` must be text"),
    ("speech", "create_dialogue", {"blocks": [], "voices": VOICES}, "`blocks` must be a list"),
    ("speech", "create_dialogue", {"blocks": [7], "voices": VOICES}, "must be a text, or a mapping"),
    ("speech", "create_dialogue", {"blocks": [{"input": " "}], "voices": VOICES}, "input` is empty"),
    ("videos", "create_storyboard", {"scenes": SCENES, "model": [5]}, "`model` must be text"),
    ("videos", "create_storyboard", {"scenes": SCENES, "family": "veo"}, "`family` must be"),
    ("videos", "create_storyboard", {"scenes": "A boat"}, "`scenes` must be a list"),
    ("videos", "create_storyboard", {"scenes": ["A boat", "A bay"]}, "`scenes` must be a list"),
    ("videos", "create_storyboard", {"scenes": SCENES[:1]}, "has 2 to 10 scenes; there are 1"),
    ("videos", "create_storyboard", {"scenes": SCENES * 6}, "has 2 to 10 scenes; there are 12"),
    ("videos", "create_storyboard", {"scenes": [{"duration": 6}] * 2}, "`scenes[0].prompt`"),
    ("videos", "create_storyboard", {"scenes": [SCENES[0], {"prompt": "P"}]}, "`scenes[1].duration` must be 6 or 10 seconds; it is None"),
    ("videos", "create_storyboard", {"scenes": [SCENES[1]] * 5}, "at most 45 s together; these have 50"),
    ("videos", "create_storyboard", {"scenes": [{**SCENES[0], "x": {1}}] * 2}, "cannot be written as JSON"),
    ("speech", "create_document", {"file": "/no/such.pdf", "voices": VOICES}, "cannot be read: No such file"),
    ("speech", "create_document", {"file": b"bytes", "voices": VOICES}, "reads no 'file-1.bin' aloud, only docx, xlsx"),
    ("speech", "create_document", {"file": ("a.exe", b"x"), "voices": VOICES}, "reads no 'a.exe' aloud"),
    ("speech", "create_document", {"file": ("a.txt", b""), "voices": VOICES}, "is empty"),
    ("speech", "create_document", {"file": [("a.txt", b"x")] * 2, "voices": VOICES}, "`file` must be one document"),
    ("speech", "create_document", {"file": ("a.txt", b"x"), "voices": []}, "`voices` must be a list"),
    ("speech", "create_document", {"file": ("a.txt", b"x"), "voices": VOICES, "speed": 5}, "from 1 to 4"),
    ("speech", "create_document", {"file": ("a.txt", b"x"), "voices": VOICES, "file_password": ""}, "`file_password` is empty"),
    ("models", "status", {"window": ""}, "`window` is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "method", "arguments", "says"), WRONG)
async def test_what_cannot_be_right_is_refused_before_anything_is_sent(
    resource: str, method: str, arguments: dict[str, Any], says: str
) -> None:
    shop = GeminiShop(VirtualTime())
    async with opened(shop) as gg:
        with pytest.raises(errors.ConfigurationError) as caught:
            await getattr(getattr(gg, resource), method)(**arguments)
    assert says in str(caught.value)
    assert shop.asked == []


async def test_a_request_to_another_service_is_refused_by_name() -> None:
    shop = GeminiShop(VirtualTime())
    async with opened(shop) as gg, gg.batch([ImageRequest(model="dall-e-3", prompt="P"), {"model": "x"}]) as run:
        said = [str(outcome.error) async for outcome in run]
    assert "ImageRequest is a request to neuralbox, and this client speaks to geminigen" in said[0]
    assert (
        "`kind` must be one of image, video, extension, storyboard, speech, dialogue, document; it is None" in said[1]
    )
    assert shop.asked == []
    with pytest.raises(errors.ConfigurationError, match="`kind` must be one of text"):
        request_from_dict({"kind": "extension"})


# Local files.


async def test_files_of_every_form_are_sent_with_their_names_types_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "first.jpg"
    path.write_bytes(b"f" * 200_000)
    open_file = io.BytesIO(b"passed" + b"rest")
    open_file.seek(6)
    shop = GeminiShop(VirtualTime())
    async with opened(shop) as gg:
        with path.open("rb") as file:
            file.seek(199_990)
            files: list[Any] = [path, str(path), PNG, ("named.webp", b"w"), open_file, file]
            await gg.images.create(model="imagen-4", prompt="P", files=files)
            assert not file.closed
        await gg.videos.create(model="veo-3", prompt="P", ref_images=[path, "u-1"])
        await gg.images.create(model="imagen-4", prompt="P", files=str(path))
    first, second, third = shop.orders
    assert [each[:3] for each in first.files] == [
        ("files", "first.jpg", "image/jpeg"),
        ("files", "first.jpg", "image/jpeg"),
        ("files", "files-3.png", "image/png"),
        ("files", "named.webp", "image/webp"),
        ("files", "files-5.bin", "application/octet-stream"),
        ("files", "first.jpg", "image/jpeg"),
    ]
    assert [each[3] for each in first.files] == [b"f" * 200_000] * 2 + [PNG, b"w", b"rest", b"f" * 10]
    assert [each[0] for each in second.files] == ["ref_images"]
    assert second.fields["ref_images"] == ["u-1"]
    assert len(third.files) == 1


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "files-1.jpg", "image/jpeg"),
        (b"GIF89a", "files-1.gif", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "files-1.webp", "image/webp"),
        (b"\0\0\0\x1cftypavif", "files-1.avif", "image/avif"),
        (b"\0\0\0\x1cftypheic", "files-1.heic", "image/heic"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "files-1.wav", "audio/wav"),
        (b"RIFF\x10\0\0\0AVI LIST", "files-1.bin", "application/octet-stream"),
    ],
)
async def test_what_has_no_name_is_called_by_how_it_begins(content: bytes, name: str, media_type: str) -> None:
    for source in (content, io.BytesIO(content)):
        (part,) = await local_files.load_files({"files": source})
        assert (part.file_name, part.content_type, part.mark) == (name, media_type, digest_of(content))


async def test_a_file_that_vanishes_or_changes_after_it_was_measured_is_an_error_and_nothing_is_bought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    shop, measure = GeminiShop(VirtualTime()), local_files._digest

    def measured(then: Any) -> Any:
        def digest(content: Any) -> str:
            found = measure(content)
            then()
            return found

        return digest

    async with opened(shop, budget=100) as gg:
        for then, why in ((path.unlink, "No such file"), (lambda: path.write_bytes(PNG * 2), "it has changed")):
            path.write_bytes(PNG)
            monkeypatch.setattr(local_files, "_digest", measured(then))
            with pytest.raises(errors.ConfigurationError, match=f"not what it was.*{why}.*nothing was sent"):
                await gg.images.create(model="imagen-4", prompt="P", files=[path])
        monkeypatch.undo()
        file = path.open("rb")
        job = GeminiImageRequest(model="imagen-4", prompt="P", files=[file])
        wire = await job.prepare(gg._core.options.dialect)
        file.close()
        with pytest.raises(errors.ConfigurationError, match="closed by now"):
            await gg._core.send(wire, lambda reply: reply)
        assert gg.budget is not None
        assert (gg.budget.left, gg.unresolved, shop.posts) == (100, (), 0)


async def test_a_file_that_changes_while_it_is_sent_breaks_the_request_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x" * 300_000)
    read, reads = local_files.FileOnDisk._read, [0]

    def changing(self: Any, at: int, size: int) -> bytes:
        reads[0] += 1
        if reads[0] == 3:  # it was measured in one piece, and the first of those that are sent has left
            path.write_bytes(b"y" * 300_000)
        return read(self, at, size)

    shop = GeminiShop(VirtualTime())
    async with opened(shop) as gg:
        await gg.images.create(model="imagen-4", prompt="The control")
        monkeypatch.setattr(local_files.FileOnDisk, "_read", changing)
        with pytest.raises(errors.ConfigurationError, match=r"it has changed.*nothing was sent"):
            await gg.images.create(model="imagen-4", prompt="P", files=[path])
        assert gg.unresolved == ()
    assert (reads[0], len(shop.orders)) == (3, 1)


async def test_an_open_file_that_cannot_be_sent_again_or_is_text_is_refused(tmp_path: Path) -> None:
    shop = GeminiShop(VirtualTime())
    reading, writing = os.pipe()
    text = tmp_path / "text.txt"
    text.write_text("words", encoding="utf-8")
    async with opened(shop) as gg:
        with open(reading, "rb") as pipe, text.open() as words:  # noqa: ASYNC230, PTH123
            os.close(writing)
            for file, why in ((pipe, "A pipe or socket"), (words, "must be a path, bytes"), (object(), "must be")):
                with pytest.raises(errors.ConfigurationError, match=why):
                    await gg.images.create(model="imagen-4", prompt="P", files=[file])  # type: ignore[list-item]
        with pytest.raises(errors.ConfigurationError, match="cannot be read"):
            await gg.images.create(model="imagen-4", prompt="P", files=[words])  # type: ignore[list-item]

        class Shrinking(io.BytesIO):
            def seek(self, offset: int, whence: int = 0) -> int:
                return super().seek(offset, whence) + (5 if whence == 2 else 0)

        with pytest.raises(errors.ConfigurationError, match="shorter than it was"):
            await gg.images.create(model="imagen-4", prompt="P", files=[Shrinking(b"abc")])


def test_what_reads_like_a_file_seeks_like_one(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    file = local_files.FileOnDisk(path)
    assert (file.seek(0, os.SEEK_END), file.read(), file.seek(-4, os.SEEK_CUR), file.tell()) == (10, b"", 6, 6)
    assert (file.read(2), file.read(0), file.read()) == (b"67", b"", b"89")


def test_a_request_says_which_files_it_names_and_a_path_stays_one_in_json() -> None:
    request = GeminiVideoRequest(
        model="veo-3", prompt="P", files=["a.png", PNG], ref_images=[Path("b.png"), "https://x", {"path": "c.png"}]
    )
    assert [os.fspath(path) for path in request.paths] == ["a.png", "b.png", "c.png"]
    written = replace(request, files=["a.png"]).to_dict()
    assert (written["files"], written["ref_images"]) == (["a.png"], [{"path": "b.png"}, "https://x", {"path": "c.png"}])
    assert [os.fspath(path) for path in GEMINI_KINDS.read(written).paths] == ["a.png", "b.png", "c.png"]
    with pytest.raises(errors.ConfigurationError, match="given as bytes"):
        request.to_dict()
    assert GeminiVideoRequest(model="veo-3", prompt="P", files=7).paths == []  # type: ignore[arg-type]
    assert GeminiExtensionRequest(family="veo", ref_history="u", prompt="P").paths == ()


# Lost answers.


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


# Journals, budgets, batches.


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


async def test_a_completed_record_that_says_no_credits_counts_as_the_answer_estimated_it(tmp_path: Path) -> None:
    class Late(GeminiShop):
        def record(self, order: Order) -> dict[str, Any]:
            return {**super().record(order), "used_credit": 0}

        def _order(self, path: str, request: httpx.Request, headers: dict[str, str]) -> httpx.Response:
            answer = super()._order(path, request, headers)
            return httpx.Response(200, json={**json.loads(answer.content), "estimated_credit": 6}, headers=headers)

    shop, orders = Late(VirtualTime()), [GeminiVideoRequest(model="veo-2", prompt=f"{n}", duration=4) for n in range(5)]
    for budget, made in ((10, 1), (15, 2)):
        async with opened(shop) as gg, gg.batch(orders, journal=tmp_path / "run", budget=budget, max_sending=1) as run:
            assert sum([outcome.ok async for outcome in run]) == made
            assert run.progress.budget_spent == 6 * made
    assert len(shop.orders) == 2


async def test_a_batch_that_is_continued_counts_what_is_on_its_way_as_it_was_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = GeminiShop(VirtualTime(), estimates=True)
    hold_for_journals(shop.time, monkeypatch)
    old, new = (
        [GeminiVideoRequest(model="veo-2", prompt=f"{age} {n}", duration=4) for n in range(10)]
        for age in ("old", "new")
    )
    async with opened(shop) as gg, gg.batch(old, journal=tmp_path / "run", budget=40, wait_timeout=3.0) as run:
        assert not any([outcome.ok async for outcome in run])
    monkeypatch.setattr("neuralbox._core.account._accounts", WeakValueDictionary())  # another process
    async with opened(shop) as gg, gg.batch([*old, *new], journal=tmp_path / "run", budget=40) as run:
        assert sum([outcome.ok async for outcome in run]) == 10
    assert len(shop.orders) == 10


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


@pytest.mark.parametrize("estimates", [True, False])
async def test_a_budget_counts_credits_by_what_the_service_estimates_or_charges(estimates: bool) -> None:
    shop = GeminiShop(VirtualTime(), estimates=estimates)
    async with opened(shop, budget=10) as gg:
        one = await gg.videos.submit(model="veo-2", prompt="One")
        assert gg.budget is not None
        assert gg.budget.spent == (4 if estimates else 0)
        if not estimates:
            await one.wait()
        two = await gg.videos.submit(model="veo-2", prompt="Two")
        with pytest.raises(errors.BudgetExceededError):
            await gg.videos.submit(model="veo-2", prompt="Three")
        assert [(await job.wait()).is_completed for job in (one, two)] == [True, True]
        assert (gg.budget.spent, gg.budget.reserved, len(shop.orders)) == (8, 0, 2)
        copy = gg.with_options(budget=100, submission="raise", warn_duplicates=False)
        assert copy.budget is not None
        assert copy.budget.tokens == 100
        await gg.job(one.ref).refresh()
    async with (
        opened(shop) as gg,
        gg.batch([{"kind": "video", "model": "veo-2", "prompt": p} for p in "abcd"], budget=12) as run,
    ):
        assert sorted([outcome.ok async for outcome in run]) == [False, True, True, True]
        assert run.progress.tokens_spent == 12


async def test_calls_that_run_together_wait_for_the_price_that_the_first_of_them_shows() -> None:
    shop = GeminiShop(VirtualTime())
    ends: list[str] = []

    async def make(gg: AsyncGeminiGen, prompt: str, **options: Any) -> None:
        try:
            ends.append(str((await gg.images.create(model="imagen-4", prompt=prompt, **options)).id))
        except errors.NeuralBoxError as error:
            ends.append(type(error).__name__)

    async with opened(shop, budget=12) as gg, anyio.create_task_group() as group:
        for prompt in "abcd":
            group.start_soon(make, gg, prompt)
    assert sorted(ends) == ["BudgetExceededError", "u-1", "u-2", "u-3"]
    assert gg.budget is not None
    assert (gg.budget.spent, gg.budget.reserved) == (12, 0)
    # Nobody waits for one that its own caller has left.
    ends.clear()
    async with opened(shop, budget=12) as gg, anyio.create_task_group() as group:
        group.start_soon(partial(make, gg, "e", wait_timeout=1, extra_body={"later": 1}))
        await gg._core.sleep(0.5)
        group.start_soon(partial(make, gg, "f", extra_body={"later": 1}))
    assert ends == ["GenerationTimeoutError", "BudgetExceededError"]
    assert gg.budget is not None
    assert gg.budget.reserved == 0


async def test_nobody_waits_for_a_call_that_was_cancelled_while_its_job_was_told() -> None:
    shop = GeminiShop(VirtualTime())
    async with opened(shop, budget=12) as gg:
        with anyio.CancelScope() as scope:
            await gg.images.create(model="imagen-4", prompt="a", on_accepted=lambda _: scope.cancel())
        assert scope.cancelled_caught
        with pytest.raises(errors.BudgetExceededError, match="wait for that one first"):
            await gg.images.create(model="imagen-4", prompt="b")
    assert shop.posts == 1


@pytest.mark.parametrize("how", ["create", "batch"])
async def test_a_call_in_on_accepted_waits_for_no_tokens_of_the_call_that_waits_for_it(how: str) -> None:
    shop, budget, refused = GeminiShop(VirtualTime()), Budget(12), list[BaseException]()

    async def make_another(*_: object) -> None:
        with anyio.CancelScope() as scope:
            group.start_soon(give_up, scope)
            with pytest.raises(errors.BudgetExceededError, match="wait for that one first") as caught:
                await gg.images.create(model="imagen-4", prompt="b")
            refused.append(caught.value)

    async def give_up(scope: anyio.CancelScope) -> None:
        await gg._core.sleep(600.0)
        scope.cancel()

    async with opened(shop, budget=budget) as gg, anyio.create_task_group() as group:
        if how == "create":
            await gg.images.create(model="imagen-4", prompt="a", on_accepted=make_another)
        else:
            requests = [GeminiImageRequest(model="imagen-4", prompt="a")]
            async with gg.batch(requests, budget=budget, on_accepted=make_another) as run:
                assert [outcome.ok async for outcome in run] == [True]
        group.cancel_scope.cancel()
    assert (shop.posts, len(refused)) == (1, 1)


async def test_a_task_that_on_accepted_began_waits_once_that_is_over() -> None:
    shop, made = GeminiShop(VirtualTime()), list[str]()

    async def go_on() -> None:
        await gg._core.sleep(1.0)
        made.append(str((await gg.images.create(model="imagen-4", prompt="b")).id))

    def begin(_: object) -> None:
        group.start_soon(go_on)

    async with opened(shop, budget=12) as gg, anyio.create_task_group() as group:
        await gg.images.create(model="imagen-4", prompt="a", on_accepted=begin)
    assert made == ["u-2"]


async def test_the_last_charge_is_learnt_from_a_poll_and_a_failed_one_costs_what_its_record_says() -> None:
    shop = GeminiShop(VirtualTime())
    async with opened(shop, budget=10) as gg:
        job = await gg.images.submit(model="imagen-4", prompt="One")
        await gg._core.sleep(20)
        await job.refresh()
        assert gg.budget is not None
        assert gg.budget.spent == 4
        service = gg._core.options.service
        for record, spent in (
            ({"status": 3, "used_credit": 2}, 2),
            ({"status": 3}, 0),
            ({"status": 2, "used_credit": 0}, 0),
        ):
            generation = service.read({"uuid": "u", **record}, kind="image")
            assert (generation.kind, service.charge(generation) or 0) == ("image", spent)
        assert service.charge(service.read({"uuid": "u", "status": 2, "used_credit": 0, "estimated_credit": 2.5})) == 3


# The account and the models.


async def test_the_account_and_the_status_are_read_as_far_as_they_say_anything() -> None:
    answers: dict[str, Any] = {
        "/uapi/v1/account": {"uuid": "a", "email": "e@x", "user_credit": {"available_credit": 7}, "user_benefits": [1]},
        "/api/v1/models/status": {"data": {"models": [{"group_key": "veo", "rate": "0.5", "name": "x"}, 7]}},
    }
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answers[request.url.path])

    async with client(handler) as gg:
        user = await gg.account.get()
        (group,) = await gg.models.status(window="6h")
        assert (user.credit.available, user.credit.locked, user.benefits, user.is_active) == (7, None, (1,), None)
        assert "e@x" not in repr(user)
        raw = gg.with_raw_response
        assert (await raw.account.get()).value == user
        assert [each.create.__name__ for each in (raw.images, raw.videos, raw.speech)] == ["create"] * 3
        assert (await raw.models.status()).status_code == 200
        assert (group.group_key, group.rates) == ("veo", {"rate": 0.5})
        answers["/uapi/v1/account"] = {"user_credit": 5, "user_benefits": None}
        assert (await gg.account.get()).credit.available is None
        answers["/api/v1/models/status"] = {"models": None}
        with pytest.raises(errors.ProtocolError, match="without a list of models"):
            await gg.models.status()
    assert seen[0].headers["x-api-key"] == KEY
    status = next(request for request in seen if request.url.path.endswith("/status"))
    assert "x-api-key" not in status.headers  # it is public, and not below the service's prefix
    assert str(status.url).endswith("/api/v1/models/status?window=6h")


# On a socket.


async def test_everything_is_made_with_real_bytes_on_a_socket(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG * 20_000)
    fast = FastTime(200.0)
    with (
        using(fast),
        serve(
            Sandbox(clock=fast.now, balance=10_000, faults={"drop-after-accept@POST /generate_image": 1.0})
        ) as server,
    ):
        async with AsyncGeminiGen(api_key=KEY, base_url=server.url, trust_env=False) as gg:
            image = await gg.images.create(model="nano-banana-pro", prompt="A harbour", files=[picture])
            film = await gg.videos.create(model="veo-3.1-fast", prompt="A kite", ref_images=[picture])
            longer = await gg.videos.extend(family="veo", ref_history=str(film.id), prompt="It lands")
            said = await gg.speech.create(input="Hello", voices=VOICES)
            talk = await gg.speech.create_dialogue(blocks=["Hi", "Ho"], voices=VOICES)
            read = await gg.speech.create_document(file=("a.txt", b"A text" * 100), voices=VOICES, speed=1.5)
            scenes = await gg.videos.create_storyboard(scenes=SCENES)
            shown = HistoryItem.read(read.raw)
            assert (shown.type, shown.input_text, shown.file_size) == ("tts-document", "a.txt", 600)
            mp4 = b"\x00\x00\x00"
            made_of = ((image, b"\xff\xd8\xff"), (longer, mp4), (said, b""), (talk, b""), (read, b""), (scenes, mp4))
            for made, start in made_of:
                path = await gg.files.download(made, f"{tmp_path}/out/")
                assert path.read_bytes().startswith(start)
                assert path.stat().st_size > 100
            credit = (await gg.account.get()).credit
            assert [group.group_key for group in await gg.models.status()]
        charges = server.sandbox.ledger.charges
    assert [charge.tokens for charge in charges] == [10, 4, 4, 10, 10, 6, 40]
    assert (credit.available, credit.locked) == (10_000 - 84, 0)
