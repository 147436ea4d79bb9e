"""The arguments of the tools: pydantic models that read them strictly, and the JSON schema that clients see. Pure.

The options of a paid tool are the fields of its request class (`_requests`), which stays their only definition; beside
them stand the arguments that every paid tool has. What is not given is not sent; null is read as not given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from .._errors import ConfigurationError
from .._requests.base import BatchRequest
from .._types import GenerationId, Omit
from ._settings import LONGEST_WAIT

# Not for agents: the key is made here, and what is not documented is nothing to guess at.
_LEFT_OUT: Final = frozenset({"key", "extra_body"})
# Slugs are the service's and change: `list_models` tells them, and a schema is paid for by every conversation.
_PLAIN: Final[Mapping[str, Any]] = {"model": str, "messages": list[dict[str, Any]]}
_ATTRIBUTE: Final = re.compile(r"^ {8}(\w+): (.+(?:\n {9,}.+)*)", re.MULTILINE)

ArgumentsT = TypeVar("ArgumentsT", bound="ToolArguments")
Seconds = Annotated[float, Field(ge=0, le=LONGEST_WAIT)]
Ids = Annotated[list[GenerationId], Field(min_length=1, max_length=100)]


class ToolArguments(BaseModel):
    """Base of all arguments: what a tool does not know, or of another type than its schema says, is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PaidArguments(ToolArguments):
    """Hold what every paid tool has beside the options of its kind."""

    variant: Annotated[
        int,
        Field(ge=1, description="The same arguments are bought once; another number here buys another result of them."),
    ] = 1
    wait: Annotated[
        Seconds | None,
        Field(description="Seconds to wait for the result; what takes longer goes on, and `wait` waits for it."),
    ] = None
    confirm: Annotated[
        int | None,
        Field(
            ge=0,
            description="Tokens that the user has agreed to spend on this call. Only after you were told the price and asked.",
        ),
    ] = None


@cache
def paid_arguments(made: type[BatchRequest]) -> type[PaidArguments]:
    """Return the arguments of the tool that makes such requests; made once for all servers of a process."""
    hints = get_type_hints(made)
    said = _attributes(made)
    options: dict[str, Any] = {}
    for option in fields(made):
        if option.name in _LEFT_OUT:
            continue
        kind = _without_omit(hints[option.name])
        kind = _PLAIN.get(option.name, kind)
        info = Field(description=said.get(option.name))
        required = option.default is MISSING
        options[option.name] = (
            Annotated[kind, info] if required else Annotated[kind | None, info],
            ... if required else None,
        )
    return create_model(f"{made.__name__}Arguments", __base__=PaidArguments, **options)


def request_of(made: type[BatchRequest], arguments: PaidArguments) -> BatchRequest:
    """Return the request that arguments ask for."""
    given = {name: value for name, value in arguments if name not in PaidArguments.model_fields and value is not None}
    return made(**given)


class ListModelsArguments(ToolArguments):
    """Hold the arguments of `list_models`."""

    kind: Annotated[
        str | None, Field(description="Only this kind: text, image, video, tts, stt, audio (music), tool.")
    ] = None
    slug: Annotated[str | None, Field(description="One model, with all its options.")] = None


class PriceArguments(ToolArguments):
    """Hold the arguments of `price`."""

    model: Annotated[str, Field(description="Slug of a model.")]
    options: Annotated[
        dict[str, Any] | None, Field(description='Options one would generate with, such as {"size": "1024x1024"}.')
    ] = None


class WaitArguments(ToolArguments):
    """Hold the arguments of `wait`."""

    ids: Annotated[Ids, Field(description="Ids of generations.")]
    timeout: Annotated[Seconds | None, Field(description="Seconds to wait at most.")] = None


class IdArguments(ToolArguments):
    """Hold the arguments of `result`."""

    id: Annotated[GenerationId, Field(description="Id of a generation.")]


class DownloadArguments(IdArguments):
    """Hold the arguments of `download`."""

    name: Annotated[
        str | None,
        Field(description="Name of the file, without any directory; left out, the id. Nothing is ever replaced."),
    ] = None


class HistoryArguments(ToolArguments):
    """Hold the arguments of `history`."""

    type: Annotated[str | None, Field(description="Only text, image, video, tts, stt, audio or tool.")] = None
    model: Annotated[str | None, Field(description="Only this model.")] = None
    status: Annotated[Literal["completed", "pending", "failed"] | None, Field(description="Only these.")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="At most so many, newest first.")] = 20


class NoArguments(ToolArguments):
    """Hold the arguments of `balance`: none."""


def read_arguments(made: type[ArgumentsT], values: Mapping[str, Any] | None) -> ArgumentsT:
    """Read what a client passed.

    Raises:
        ConfigurationError: Something is missing, unknown, or not what the schema says; the message names it all, and repeats
            no value.
    """
    try:
        return made.model_validate(dict(values or {}))
    except ValidationError as error:
        wrong = (f"`{_place(one['loc'])}`: {one['msg'].rstrip('.')}" for one in error.errors(include_url=False))
        raise ConfigurationError(f"{'; '.join(dict.fromkeys(wrong))}.") from None


@cache
def schema_of(made: type[ToolArguments]) -> dict[str, Any]:
    """Return the JSON schema of arguments, as short as it can be said: every conversation pays for it.

    All servers of a process share it, and none changes it.
    """
    schema = made.model_json_schema()
    names = sorted(made.model_fields, key=lambda name: name in PaidArguments.model_fields)  # what is asked stands first
    properties = {name: _short(schema["properties"][name]) for name in names}
    told = {"type": "object", "properties": properties, "additionalProperties": False}
    return told | ({"required": schema["required"]} if "required" in schema else {})


def _short(value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: one for name, one in value.items() if name != "title" and not (name == "default" and one is None)}
    choices = [one for one in kept.pop("anyOf", []) if one != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **kept}
    return kept | ({"anyOf": choices} if choices else {})


def _place(path: Sequence[int | str]) -> str:
    return str(path[0]) if path else "arguments"


def _without_omit(hint: Any) -> Any:
    """Return a type without the mark for "not given"."""
    if get_origin(hint) not in {Union, UnionType}:
        return hint
    return Union[tuple(part for part in get_args(hint) if part not in {Omit, type(None)})]  # noqa: UP007 - made of a list


def _attributes(made: type) -> Mapping[str, str]:
    """Return what a class says of its attributes; nothing where Python was told to drop docstrings."""
    text = (made.__doc__ or "").partition("Attributes:")[2].partition("\n    Source:")[0]
    return {name: " ".join(said.split()) for name, said in _ATTRIBUTE.findall(text)}
