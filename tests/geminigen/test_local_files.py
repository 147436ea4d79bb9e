"""Local files in a request to GeminiGen: what is sent of them, and what becomes of one that changes meanwhile."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuralbox import _errors as errors
from neuralbox._api.request import digest_of
from neuralbox.geminigen import GeminiExtensionRequest, GeminiImageRequest, GeminiVideoRequest
from neuralbox.geminigen import _local_files as local_files
from neuralbox.geminigen._kinds import GEMINI_KINDS
from tests.geminigen.shop import GeminiShop
from tests.geminigen.support import PNG, opened
from tests.helpers import VirtualTime

pytestmark = pytest.mark.anyio


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
