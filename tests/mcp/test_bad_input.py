"""Arguments that are none, and names that lead out of the directory: an answer that says so, nothing bought, nothing written."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError

from neuralbox import ConfigurationError
from neuralbox._requests.image import ImageRequest
from neuralbox.mcp import McpSettings, http_app
from neuralbox.mcp import _results as results
from neuralbox.mcp._arguments import (
    HistoryArguments,
    NoArguments,
    PriceArguments,
    ToolArguments,
    paid_arguments,
    read_arguments,
    schema_of,
)

from .conftest import FILM, PICTURE, McpBox, values, words

IMAGE = paid_arguments(ImageRequest)


@pytest.mark.parametrize(
    ("made", "given", "said"),
    [
        (IMAGE, {"model": "flux-1.1-pro"}, "`prompt`: Field required."),
        (IMAGE, {**PICTURE, "prompt": 5}, "`prompt`: Input should be a valid string."),
        (IMAGE, {**PICTURE, "seed": "7"}, "`seed`: Input should be a valid integer."),
        (IMAGE, {**PICTURE, "seed": True}, "`seed`: Input should be a valid integer."),
        (IMAGE, {**PICTURE, "variant": 0}, "`variant`: Input should be greater than or equal to 1."),
        (IMAGE, {**PICTURE, "key": "mine"}, "`key`: Extra inputs are not permitted."),
        (IMAGE, {**PICTURE, "wait": 1e9}, "`wait`: Input should be less than or equal to 3600."),
        (PriceArguments, {"model": "gpt-5", "options": []}, "`options`: Input should be a valid dictionary."),
        (
            HistoryArguments,
            {"limit": 101, "type": 1},
            "`type`: Input should be a valid string; `limit`: Input should be less",
        ),
        (NoArguments, {"a": 1}, "`a`: Extra inputs are not permitted."),
    ],
)
def test_an_argument_that_is_none_is_named(made: type[ToolArguments], given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_arguments(made, given)
    assert str(caught.value).startswith(said)


def test_the_schema_has_the_options_of_the_request_and_no_others() -> None:
    for made in (paid_arguments, schema_of):
        made.cache_clear()  # made here, where coverage counts it, whichever test came first
    schema = schema_of(paid_arguments(ImageRequest))
    options = [one.name for one in fields(ImageRequest) if one.name not in {"key", "extra_body"}]
    assert [*schema["properties"]] == [*options, "variant", "wait", "confirm"]
    assert schema["required"] == ["model", "prompt"]
    assert schema["properties"]["prompt"] == {"type": "string", "description": "What to draw."}
    assert "default" not in schema["properties"]["seed"]
    assert schema_of(NoArguments) == {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"session": " "}, "session"),
        ({"session": "a/b"}, "session"),
        ({"ask_above": -1}, "ask_above"),
        ({"wait": 4_000}, "wait"),
        ({"picture_pixels": 10}, "picture_pixels"),
        ({"journal": "postgresql://me:secret@box.test/db#tools"}, "`journal` is the address of a database"),
        ({"journal": 5}, "`journal` must be a path; it is 5"),
        ({"directory": ""}, "`directory` must be a path; it is ''"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], said: str, box: McpBox) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        McpSettings(**{"directory": box.directory, **given})
    assert "secret" not in str(caught.value)


def test_paths_may_be_texts() -> None:
    made = McpSettings(directory="results", journal="bought.sqlite")  # type: ignore[arg-type]
    assert made == McpSettings(directory=Path("results"), journal=Path("bought.sqlite"))


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "example.org"])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="NEURALBOX_MCP_TOKEN"):
        http_app(None, host=host)  # type: ignore[arg-type]  # it is not looked at


@pytest.mark.anyio
async def test_a_wrong_argument_is_answered_and_buys_nothing(box: McpBox) -> None:
    async with box.client() as client:
        for name, given in (
            ("generate_image", {**PICTURE, "seed": "7"}),
            ("generate_video", {**FILM, "duration": "long"}),
        ):
            refused = await client.call_tool(name, given)
            assert refused.is_error
            assert "Input should be" in words(refused)
        empty = await client.call_tool("generate_image", {**PICTURE, "prompt": " "})
        assert empty.structured_content["type"] == "ConfigurationError"
        with pytest.raises(MCPError, match="no tool 'rm'"):
            await client.call_tool("rm", {})
        unknown = await client.call_tool("wait", {"ids": [404], "timeout": 0})
        assert values(unknown)["generations"] == [{"id": 404, "status": "unknown"}]
        for wrong in (404, "..", "../../etc/passwd", "gen_x/../../y"):
            assert (await client.call_tool("result", {"id": wrong})).is_error
    assert box.spent == 0


# The directory.


@pytest.mark.anyio
async def test_a_file_is_saved_under_a_plain_name_and_nowhere_else(box: McpBox) -> None:
    async with box.client() as client:
        number = values(await client.call_tool("generate_image", PICTURE))["id"]
        before = sorted(box.directory.parent.rglob("*"))
        for name in ("../escaped.webp", "/etc/cron.d/x", "..", ".bashrc", "a/b.webp", "a\\b", "\0", "", "x" * 300):
            refused = await client.call_tool("download", {"id": number, "name": name})
            assert refused.is_error, name
            assert "without a path" in words(refused)
        assert sorted(box.directory.parent.rglob("*")) == before
        saved = values(await client.call_tool("download", {"id": number, "name": "lighthouse.webp"}))
        assert saved["path"] == str(box.directory / "lighthouse.webp")
        for name in ("lighthouse.webp", "mcp.sqlite", box.files[0]):
            assert "nothing is replaced" in words(await client.call_tool("download", {"id": number, "name": name}))


@pytest.mark.anyio
async def test_links_lead_nowhere(box: McpBox) -> None:
    secret = box.directory.parent / "secret"
    elsewhere = box.directory.parent / "elsewhere"
    secret.write_text("planted")
    elsewhere.mkdir()
    async with box.client() as client:
        bought = values(await client.call_tool("generate_image", PICTURE))
        file = box.directory / box.files[0]
        file.unlink()
        file.symlink_to(secret)
        (box.directory / "link").symlink_to(elsewhere)
        (box.directory / "dangling").symlink_to(box.directory.parent / "made")
        for name in ("link", "dangling"):
            assert "nothing is replaced" in words(
                await client.call_tool("download", {"id": bought["id"], "name": name})
            )
        told = await client.call_tool("result", {"id": bought["id"]})
        assert "leads out of the directory" in values(told)["not_saved"]
        with pytest.raises(MCPError, match="leads out of the directory"):
            await client.read_resource(f"neuralbox://results/{bought['id']}")
    assert (secret.read_text(), [*elsewhere.iterdir()], (box.directory.parent / "made").exists()) == (
        "planted",
        [],
        False,
    )


@pytest.mark.anyio
async def test_a_resource_is_a_result_and_nothing_else(box: McpBox, monkeypatch: pytest.MonkeyPatch) -> None:
    async with box.client() as client:
        for uri in (
            "file:///etc/passwd",
            "neuralbox://results/",
            "neuralbox://results/404",
            "neuralbox://results/..%2F..%2Fx",
        ):
            with pytest.raises(MCPError):
                await client.read_resource(uri)
        bought = values(await client.call_tool("generate_image", PICTURE))
        monkeypatch.setattr(results, "MOST_RESOURCE_BYTES", 10)
        with pytest.raises(MCPError, match="too many for an answer; it is at"):
            await client.read_resource(f"neuralbox://results/{bought['id']}")


@pytest.mark.anyio
async def test_a_result_that_cannot_be_saved_or_shown_is_told_all_the_same(box: McpBox) -> None:
    box.directory.mkdir()
    box.sandbox.faults.set("html-502@/storage/*", 1.0)
    async with box.client() as client:
        bought = values(await client.call_tool("generate_image", PICTURE))
        assert "It is paid for: `download` tries again." in bought["not_saved"]
        box.sandbox.faults.clear()
        file = box.directory / f"{bought['id']}.webp"
        file.write_bytes(b"no picture")
        told = await client.call_tool("result", {"id": bought["id"]})
        assert [one.type for one in told.content] == ["text", "resource_link"]


@pytest.mark.anyio
async def test_only_the_newest_results_are_listed(box: McpBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_LISTED", 1)
    async with box.client() as client:
        bought = [
            values(await client.call_tool("generate_text", {"model": "gpt-5", "prompt": prompt}))
            for prompt in ("Good morning", "Good evening")
        ]
        [listed] = (await client.list_resources()).resources
        assert (listed.name, listed.mime_type) == (str(bought[-1]["id"]), "text/plain")
