"""An address where the service takes one: any text is sent, of every kind alike, and a file gets a sentence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neuralbox._api.builders import ImagePart
from neuralbox._config import Dialect
from neuralbox._errors import ConfigurationError
from neuralbox._requests.json_lines import check
from neuralbox._requests.requests import (
    BatchRequest,
    GenerateRequest,
    ImageRequest,
    TextRequest,
    ToolRequest,
    VideoRequest,
)
from neuralbox._resources.generate import Generate
from neuralbox._types import OMIT

from ..helpers import make_core, reply


def seen(url: Any) -> TextRequest:
    part: ImagePart = {"type": "image_url", "image_url": {"url": url}}
    return TextRequest(model="gpt-5", messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, part]}])


MAKERS: dict[str, tuple[Callable[[Any], BatchRequest], str]] = {
    "image": (lambda url: ImageRequest(model="m", prompt="x", image_url=url), "image_url"),
    "video": (lambda url: VideoRequest(model="m", prompt="x", image_url=url), "image_url"),
    "tool": (lambda url: ToolRequest(model="m", image_url=url), "image_url"),
    "text": (seen, r"messages\[0\].content\[1\].image_url"),
}
SHARED = [1]
FILES: dict[str, Any] = {"a path": Path("fox.png"), "bytes": b"\x89PNG", "an open file": io.BytesIO(b"\x89PNG")}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("url", ["https://a.test/fox.png", "data:image/png;base64,iVBORw0K", "fox.png"])
def test_any_text_is_sent_as_it_is(kind: str, url: str) -> None:
    make, _ = MAKERS[kind]
    request = make(url)
    check(request, Dialect())
    assert url in str(request.build(Dialect()).body)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("file", FILES)
def test_a_file_where_an_address_belongs_gets_a_sentence(kind: str, file: str) -> None:
    make, name = MAKERS[kind]
    with pytest.raises(
        ConfigurationError, match=rf"^`{name}` is a file \(\w+\), and the service takes no uploads here"
    ):
        check(make(FILES[file]), Dialect())


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_no_address_is_refused(kind: str) -> None:
    make, name = MAKERS[kind]
    with pytest.raises(ConfigurationError, match=f"^`{name}` is empty"):
        check(make(" "), Dialect())
    with pytest.raises(ConfigurationError, match=f"^`{name}` must be an address, not int"):
        check(make(7), Dialect())
    check(make(None), Dialect())  # sent as null
    if kind != "text":
        check(make(OMIT), Dialect())


@pytest.mark.parametrize("parts", [[{"type": "image_url", "image_url": "https://a.test/b.png"}], [{"type": "audio"}]])
def test_a_part_in_another_shape_is_left_to_the_service(parts: Any) -> None:
    check(TextRequest(model="gpt-5", messages=[{"role": "user", "content": parts}]), Dialect())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        (
            {"image": Path("fox.png")},
            r"`params\.image` is a file \(PosixPath|WindowsPath\), and the service takes no up",
        ),
        ({"images": ["https://a.test", b"\x89PNG"]}, r"`params\.images\.1` is a file \(bytes\)"),
        ({"mask": {"a": 1, "b": object()}}, r"`params\.mask\.b` is of the type object, which JSON has no form for"),
        ({"a": [SHARED, SHARED], "b": {(1, 2): 3}}, "keys must be str"),
    ],
)
async def test_an_option_that_json_cannot_hold_is_named(params: Any, complaint: str) -> None:
    bench = make_core([reply(200, {})])
    with pytest.raises(ConfigurationError, match=f"cannot be written as JSON: {complaint}"):
        await Generate(bench.core).create(model="m", prompt="x", params=params)
    assert bench.sent == []


@pytest.mark.anyio
async def test_what_refers_to_itself_does_not_hang_the_search_for_what_json_cannot_hold() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for params in ({"a": loop, "b": object()}, {"b": [object(), loop]}):
        request = GenerateRequest(model="m", prompt="x", params=params)
        with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
            await Generate(make_core([]).core).create(model="m", prompt="x", params=request.params)
