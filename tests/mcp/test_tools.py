"""What the tools do, seen by the official client in both eras of the protocol."""

from __future__ import annotations

import base64
from io import BytesIO

import anyio
import pytest
from mcp import Client, MCPError
from mcp_types import ImageContent, ResourceLink, TextContent, TextResourceContents
from PIL import Image

from neuralbox.mcp import _tools as tools

from .conftest import ERAS, FILM, PICTURE, PRICE, McpBox, values, words

pytestmark = pytest.mark.anyio
FREE = ["list_models", "price", "wait", "result", "download", "history", "balance"]
PAID = ["generate_image", "generate_video", "generate_speech", "generate_music", "generate_text", "generate_tool"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_picture_is_bought_saved_and_shown_scaled_down(era: str, box: McpBox) -> None:
    async with box.client(era, picture_pixels=256) as client:
        bought = await client.call_tool("generate_image", PICTURE)
        _, picture, link = bought.content
        told = values(bought)
        assert (told["status"], told["tokens"], told["path"]) == ("completed", PRICE, str(box.directory / box.files[0]))
        assert isinstance(picture, ImageContent)
        with Image.open(BytesIO(base64.b64decode(picture.data))) as shown:
            assert (max(shown.size), picture.mime_type) == (256, "image/webp")
        assert isinstance(link, ResourceLink)
        [listed] = (await client.list_resources()).resources
        [read] = (await client.read_resource(link.uri)).contents
        assert (listed.uri, base64.b64decode(read.blob)) == (  # type: ignore[union-attr]  # of a picture
            link.uri,
            (box.directory / box.files[0]).read_bytes(),
        )
        assert link.size == (box.directory / box.files[0]).stat().st_size
    assert box.spent == PRICE


@pytest.mark.parametrize(
    ("name", "given", "ending"),
    [
        ("generate_video", FILM, ".mp4"),
        ("generate_speech", {"model": "openai-tts", "text": "Good morning", "voice_id": "alloy"}, ".mp3"),
        ("generate_music", {"model": "musicgen", "prompt": "A slow waltz", "duration": 15}, ".mp3"),
        ("generate_tool", {"model": "upscale", "image_url": "https://example.org/a.png"}, ".png"),
    ],
)
async def test_each_kind_is_bought_and_saved(name: str, given: dict[str, object], ending: str, box: McpBox) -> None:
    async with box.client() as client:
        told = values(await client.call_tool(name, given))
        assert told["status"] == "completed"
        [file] = box.files
        assert file.startswith(str(told["id"]))
        assert file.endswith(ending) or name == "generate_tool"


async def test_a_text_is_told_and_can_be_read_again(box: McpBox) -> None:
    async with box.client() as client:
        bought = await client.call_tool(
            "generate_text", {"model": "gpt-5", "prompt": "Good morning", "temperature": 0.2}
        )
        told = bought.content[1]
        assert isinstance(told, TextContent)
        [read] = (await client.read_resource(f"neuralbox://results/{values(bought)['id']}")).contents
        assert isinstance(read, TextResourceContents)
        assert read.text == told.text != ""
        again = await client.call_tool("result", {"id": str(values(bought)["id"])})
        assert told.text in [one.text for one in again.content if isinstance(one, TextContent)]


async def test_what_is_free_costs_nothing(box: McpBox) -> None:
    async with box.client(budget=50) as client:
        models = values(await client.call_tool("list_models", {"kind": "image"}))["models"]
        assert "flux-1.1-pro" in [one["slug"] for one in models]
        assert values(await client.call_tool("list_models", {"slug": "gpt-5"}))["category"] == "text"
        price = values(await client.call_tool("price", {"model": "kling-v2.1", "options": {"duration": 10}}))
        assert price["token_cost"] == 52
        assert values(await client.call_tool("history"))["generations"] == []
        balance = values(await client.call_tool("balance"))
        assert (balance["token_balance"], balance["budget"]["left"]) == (100_000, 50)
    assert box.spent == 0


async def test_history_tells_prompts_and_no_addresses(box: McpBox) -> None:
    async with box.client() as client:
        await client.call_tool("generate_image", PICTURE)
        found = await client.call_tool("history", {"type": "image", "status": "completed", "limit": 1})
        [one] = values(found)["generations"]
        assert one["prompt"] == PICTURE["prompt"]
        assert "http" not in words(found)


@pytest.mark.covered_on_trio
@pytest.mark.parametrize("era", ERAS)
async def test_a_wait_reports_progress_that_only_grows(era: str, box: McpBox) -> None:
    buying: list[float] = []
    waiting: list[float] = []

    async def told(progress: float, total: float | None, message: str | None) -> None:
        buying.append(progress)

    async def told_again(progress: float, total: float | None, message: str | None) -> None:
        waiting.append(progress)

    async with box.client(era) as client:
        bought = await client.call_tool("generate_video", {**FILM, "wait": 0})
        job = values(bought)
        if job["status"] == "pending":  # the service may have been quicker
            assert str(job["id"]) in job["next"]
        waited = await client.call_tool("wait", {"ids": [job["id"], job["id"]]}, progress_callback=told_again)
        assert [one["status"] for one in values(waited)["generations"]] == ["completed"] * 2
    for seen in (buying, waiting):  # each call has its own; a quick second one begins where the first was
        assert seen == sorted(set(seen))
    assert buying + waiting != []


async def test_a_long_wait_shows_that_it_is_alive(slow_box: McpBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "BEAT", 0.01)
    seen: list[float] = []
    enough = anyio.Event()

    async def told(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)
        if len(seen) == 5:
            enough.set()

    async def buy(client: Client) -> None:
        await client.call_tool("generate_video", {**FILM, "wait": 600}, progress_callback=told)

    async with slow_box.client() as client, anyio.create_task_group() as group:
        group.start_soon(buy, client)
        await enough.wait()
        group.cancel_scope.cancel()
    assert seen == sorted(set(seen))


@pytest.mark.covered_on_trio
async def test_what_goes_wrong_while_progress_is_told_is_answered(box: McpBox) -> None:
    async def told(progress: float, total: float | None, message: str | None) -> None:
        raise AssertionError("there is none")

    async with box.client() as client:
        refused = await client.call_tool("generate_image", {**PICTURE, "model": "flux-9"}, progress_callback=told)
    assert "no model 'flux-9'" in words(refused)


async def test_a_wait_that_ends_first_is_no_error(slow_box: McpBox) -> None:
    async with slow_box.client() as client:
        bought = values(await client.call_tool("generate_video", {**FILM, "wait": 0}))
        assert bought["status"] == "pending"
        waited = values(await client.call_tool("wait", {"ids": [bought["id"]], "timeout": 0}))
        assert [(one["id"], one["status"]) for one in waited["generations"]] == [(bought["id"], "pending")]
        early = await client.call_tool("download", {"id": bought["id"]})
        assert "is not finished: `wait`" in words(early)
        with pytest.raises(MCPError, match="there is no result"):
            await client.read_resource(f"neuralbox://results/{bought['id']}")
    assert slow_box.files == []


async def test_read_only_leaves_out_what_costs_tokens(box: McpBox) -> None:
    async with box.client() as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == FREE + PAID
        assert [one.uri_template for one in (await client.list_resource_templates()).resource_templates] == [
            "neuralbox://results/{id}"
        ]
    async with box.client(read_only=True) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == FREE
        with pytest.raises(MCPError, match="no tool 'generate_image'"):
            await client.call_tool("generate_image", PICTURE)
    assert box.spent == 0
