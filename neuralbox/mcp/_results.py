"""What a generation is for a client: its values, its text, its picture scaled down, and its file in the directory.

Files stand in the operator's directory only. Their names come from ids, or from a caller who may name a file and no path;
what leads out of the directory by a link is refused, and nothing that stands there is replaced. A result that cannot be
saved or shown is still told: it was paid for.
"""

from __future__ import annotations

import base64
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import anyio
from anyio import to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ReadResourceResult,
    Resource,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic_core import to_json

from .._api.media_types import media_type
from .._errors import ConfigurationError, NeuralBoxError
from .._files.download import Overwrite
from .._files.names import clean_name
from .._models.generation import Generation
from .._plain_text import without_code
from .._thumbnails import DecodeBudget, thumbnail_of
from .._types import read_id

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from ._settings import McpSettings

SCHEME: Final = "neuralbox://results/"
MOST_RESOURCE_BYTES: Final = 16 * 1024**2
"""A longer file is not read into an answer; where it stands is told."""
MOST_PICTURE_BYTES: Final = 150_000
MOST_LISTED: Final = 1_000
# Addresses may be signed, and a prompt is what the caller said itself.
_NOT_TOLD: Final = frozenset({"raw", "url", "thumbnail_url", "prompt", "text", "metadata", "balance"})


def values_of(generation: Generation, *, prompt: bool = False) -> dict[str, Any]:
    """Return what is known of a generation as plain values: no address, no text, and its prompt only where it is wanted."""
    told = _NOT_TOLD - {"prompt"} if prompt else _NOT_TOLD
    return generation.model_dump(mode="json", exclude=set(told), exclude_none=True)


def answer(values: Any, *content: ContentBlock) -> CallToolResult:
    """Build an answer: its values for programs, the same as JSON for the model, and what else is shown."""
    told = TextContent(text=to_json(values).decode())
    return CallToolResult(content=[told, *content], structured_content=values)


class SavedResults:
    """The results of this run: saved, shown, and listed as resources.

    Args:
        nb: The client to fetch with.
        settings: Where files go, and how large a picture is shown.
    """

    def __init__(self, nb: AsyncNeuralBox, settings: McpSettings) -> None:
        self._nb = nb
        self._settings = settings
        self._found: OrderedDict[str, Generation] = OrderedDict()
        self._one_at_a_time = anyio.CapacityLimiter(1)  # pictures are decoded in memory

    async def told(self, generation: Generation) -> tuple[dict[str, Any], list[ContentBlock]]:
        """Return the values of a generation and what is shown of it; the file of a finished one is saved."""
        values = values_of(generation)
        if not generation.is_completed:
            return values, []
        self._remember(generation)
        shown: list[ContentBlock] = []
        if generation.text is not None:
            shown.append(TextContent(text=generation.text))
        if generation.url is not None:
            try:
                path = await self.save(generation)
            except (NeuralBoxError, OSError) as error:
                values["not_saved"] = f"{without_code(str(error))} It is paid for: `download` tries again."
                return values, shown
            values["path"] = str(path)
            picture = await self._picture(path)
            if picture is not None:
                shown.append(picture)
            shown.append(self._link(generation, path))
        return values, shown

    async def save(self, generation: Generation, name: str | None = None) -> Path:
        """Save the file of a generation in the directory and return where it is.

        Args:
            generation: A finished one.
            name: The file's name; default: its id, and then what stands there already is its file.

        Raises:
            ConfigurationError: It has no file, the name is none, something stands there already, or it leads out of the
                directory.
            DownloadError: It could not be fetched, or not be written.
        """
        directory = self._settings.directory
        target = await to_thread.run_sync(_target, directory, name)
        overwrite: Overwrite = "skip" if name is None else "error"
        path = await self._nb.files.download(generation, target, overwrite=overwrite)
        return await to_thread.run_sync(_inside, path, directory)

    async def _picture(self, path: Path) -> ImageContent | None:
        if not media_type(path.name).startswith("image/"):
            return None
        picture = await to_thread.run_sync(self._scaled, path, limiter=self._one_at_a_time)
        if picture is None:
            return None
        media, _, data = picture.removeprefix("data:").partition(";base64,")
        return ImageContent(data=data, mime_type=media)

    def _scaled(self, path: Path) -> str | None:
        with DecodeBudget() as budget:
            small = thumbnail_of(path, budget, longest=self._settings.picture_pixels, most_bytes=MOST_PICTURE_BYTES)
        return None if small is None else small.uri

    # Resources.

    def _remember(self, generation: Generation) -> None:
        self._found[str(generation.id)] = generation
        self._found.move_to_end(str(generation.id))
        if len(self._found) > MOST_LISTED:
            self._found.popitem(last=False)

    def _link(self, generation: Generation, path: Path) -> ResourceLink:
        return ResourceLink(
            uri=_uri(generation), name=path.name, mime_type=media_type(path.name), size=path.stat().st_size
        )

    def listed(self) -> list[Resource]:
        """Return the results of this run, newest first."""
        return [
            Resource(
                uri=_uri(one),
                name=str(one.id),
                description=" ".join(filter(None, (one.kind, one.model))) or None,
                mime_type="text/plain" if one.url is None else None,
            )
            for one in reversed(self._found.values())
        ]

    async def read(self, uri: str) -> ReadResourceResult:
        """Return a result as a resource: its text, or its file, which is saved first.

        Raises:
            MCPError: It is no address of a result, there is no such result, or its file is too long for an answer.
        """
        name = unquote(uri.removeprefix(SCHEME))
        if not uri.startswith(SCHEME) or not name:
            raise MCPError(code=INVALID_PARAMS, message=f"Results are at {SCHEME}ID.", data={"uri": uri})
        try:
            generation = self._found.get(name) or await self._nb.generations.get(read_id(name))
            if generation.url is None:
                contents = TextResourceContents(uri=uri, mime_type="text/plain", text=_text_of(generation))
                return ReadResourceResult(contents=[contents])
            path = await self.save(generation)
            blob = await to_thread.run_sync(_read, path)
        except (NeuralBoxError, OSError) as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error), data={"uri": uri}) from error
        return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type=media_type(path.name), blob=blob)])


def _target(directory: Path, name: str | None) -> Path:
    """Return what to download into, or to: nothing stands there, so no link can lead elsewhere."""
    directory.mkdir(parents=True, exist_ok=True)
    if name is None:
        return directory
    if clean_name(name) != name:
        raise ConfigurationError(
            f"A file is named without a path, and as every system takes it; {clean_name(name)!r} would do."
        )
    target = directory / name
    if os.path.lexists(target):
        raise ConfigurationError(f"{name!r} is there already, and nothing is replaced.")
    return target


def _inside(path: Path, directory: Path) -> Path:
    if not path.resolve().is_relative_to(directory.resolve()):
        raise ConfigurationError(f"{path.name!r} leads out of the directory.")
    return path


def _text_of(generation: Generation) -> str:
    if generation.text is None:
        raise ConfigurationError(
            f"The {generation.ref} is {generation.status or 'without a state'}: there is no result."
        )
    return generation.text


def _read(path: Path) -> str:
    size = path.stat().st_size
    if size > MOST_RESOURCE_BYTES:
        raise ConfigurationError(f"The file has {size} bytes, too many for an answer; it is at {path}.")
    return base64.b64encode(path.read_bytes()).decode()


def _uri(generation: Generation) -> str:
    return SCHEME + quote(str(generation.id), safe="")
