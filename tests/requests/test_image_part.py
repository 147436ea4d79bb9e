"""`image_part`: whatever a picture is, it becomes a part that JSON holds, or one clear error."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from neuralbox import AsyncNeuralBox, ConfigurationError, image_part
from neuralbox._requests import image_part as module
from neuralbox.sandbox import Sandbox, serve
from tests.helpers import KEY

STARTS = {
    "image/png": b"\x89PNG\r\n\x1a\n....",
    "image/jpeg": b"\xff\xd8\xff\xe0....",
    "image/gif": b"GIF89a....",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "image/avif": b"\x00\x00\x00\x20ftypavif",
    "image/heic": b"\x00\x00\x00\x20ftypheic",
}


@pytest.mark.parametrize("media_type", STARTS)
def test_bytes_and_files_become_data_addresses_of_what_they_are(media_type: str, tmp_path: Path) -> None:
    content = STARTS[media_type]
    file = tmp_path / "picture"
    file.write_bytes(content)
    address = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
    for source in (content, bytearray(content), file, str(file)):
        assert image_part(source) == {"type": "image_url", "image_url": {"url": address}}  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["https://a.test/x.png", "data:image/png;base64,AA=="])
def test_addresses_are_sent_as_they_are(address: str) -> None:
    assert image_part(address) == {"type": "image_url", "image_url": {"url": address}}
    assert image_part(address, detail="low")["image_url"] == {"url": address, "detail": "low"}


def decoded(part: Any) -> tuple[str, Image.Image]:
    head, _, body = part["image_url"]["url"].partition(";base64,")
    return head, Image.open(io.BytesIO(base64.b64decode(body)))


def test_a_picture_of_pillow_keeps_its_format_where_the_web_knows_it() -> None:
    made = Image.new("RGBA", (3, 2), "red")
    head, picture = decoded(image_part(made))
    assert (head, picture.size) == ("data:image/png", (3, 2))
    stored = io.BytesIO()
    Image.new("RGB", (3, 2)).save(stored, "JPEG")
    assert decoded(image_part(Image.open(stored)))[0] == "data:image/jpeg"
    Image.new("RGB", (3, 2)).save(stored := io.BytesIO(), "BMP")
    assert decoded(image_part(Image.open(stored)))[0] == "data:image/png"


def test_what_is_no_picture_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.png").write_bytes(b"<html>")
    bad: list[tuple[Any, str]] = [
        (b"", "The picture is empty"),
        (b"hello", "These bytes are no picture"),
        (tmp_path / "page.png", "These bytes are no picture"),
        (tmp_path / "missing.png", "cannot be read: No such file"),
        (tmp_path, "is no file"),
        ("a\0b", "cannot be read: "),
        (7, "`image_part` takes an address, a path, the bytes of a picture or a PIL.Image.Image, not int"),
        (Image.new("HSV", (1, 1)), "cannot be written as a file"),
    ]
    for source, problem in bad:
        with pytest.raises(ConfigurationError, match=problem):
            image_part(source)
    monkeypatch.setattr(module, "_MOST_BYTES", 5)
    with pytest.raises(ConfigurationError, match="more than 5 bytes"):
        image_part(STARTS["image/png"])


@pytest.mark.anyio
async def test_the_sandbox_takes_pictures_inside_messages_and_data_addresses() -> None:
    with serve(Sandbox(plan="vip")) as server:
        async with AsyncNeuralBox(api_key=KEY, base_url=server.url) as nb:
            part = image_part(Image.new("RGB", (2, 2)))
            asked = {"type": "text", "text": "What is this?"}
            answer = await nb.text.create(model="gpt-5", messages=[{"role": "user", "content": [part, asked]}])  # type: ignore[list-item]
            assert answer.is_completed
            edited = await nb.images.create(
                model="flux-kontext-pro", prompt="A fox", image_url=part["image_url"]["url"]
            )
            assert edited.is_completed
