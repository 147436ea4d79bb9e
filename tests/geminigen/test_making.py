"""Making things at GeminiGen: what is sent for each kind, and what is refused before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from neuralbox import _errors as errors
from neuralbox import request_from_dict
from neuralbox._requests.image import ImageRequest
from neuralbox.geminigen import HistoryItem
from neuralbox.geminigen._kinds import GEMINI_KINDS
from tests.geminigen.shop import GeminiShop
from tests.geminigen.support import PNG, SCENES, VOICES, opened
from tests.helpers import VirtualTime

pytestmark = pytest.mark.anyio


# What is sent.

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
