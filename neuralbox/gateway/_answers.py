"""Generations in openai's words: bodies of whole answers, and the events of streams.

Pure: generations in, plain values or bytes out. Times are whole Unix seconds, as openai has them. What a body has no word
for (the tokens of the service that were charged, its id) goes into headers, which the application sets.

Source:
    openai-python 3.57.0, `openai.types` (`ChatCompletion`, `ChatCompletionChunk`, `Response`, `ImagesResponse`, `Video`,
    `Transcription`, `Model`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from .._models.catalogue import ModelInfo
from .._models.generation import Generation
from ._orders import Order
from ._parameters import OUTPUT_FORMATS

DONE: Final = b"data: [DONE]\n\n"
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def to_bytes(value: object) -> bytes:
    """Write a value as JSON: ASCII, so that any text survives, half surrogates included."""
    return _encode(value).encode()


def unix(moment: datetime | None, otherwise: float) -> int:
    """Return a time as whole Unix seconds."""
    return int(otherwise if moment is None else moment.timestamp())


# Chat.


def chat_completion(order: Order, generations: Sequence[Generation], name: str, now: float) -> dict[str, Any]:
    """Return a whole chat completion: one choice for each generation."""
    first = generations[0]
    body: dict[str, Any] = {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": unix(first.created_at, now),
        "model": first.model or order.model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": each.text or "", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
            for index, each in enumerate(generations)
        ],
    }
    usage = chat_usage(generations)
    return body if usage is None else {**body, "usage": usage}


def chat_usage(generations: Sequence[Generation]) -> dict[str, int] | None:
    """Return the language model's counts of all of them together; None where one has none."""
    read = written = 0
    for each in generations:
        if each.usage is None:
            return None
        read += each.usage.prompt_tokens or 0
        written += each.usage.completion_tokens or 0
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


class ChatStream:
    """The events of a streamed chat completion.

    What is the same in each is written once: a piece costs the quoting of its text.
    """

    def __init__(self, order: Order, name: str, model: str, now: float) -> None:
        self._order = order
        self._head = (
            f'data: {{"id":{quoted(f"chatcmpl-{name}")},"object":"chat.completion.chunk","created":{int(now)},'
            f'"model":{quoted(model)},"choices":['
        )
        self._usage = ',"usage":null' if order.includes_usage else ""
        self._delta = f'{self._head}{{"index":0,"delta":{{"content":'
        self._tail = f'}},"logprobs":null,"finish_reason":null}}]{self._usage}}}\n\n'

    def begin(self) -> bytes:
        """Return the event that says who speaks."""
        return f'{self._delta}"","role":"assistant","refusal":null{self._tail}'.encode()

    def piece(self, text: str) -> bytes:
        """Return the event of a piece."""
        return f"{self._delta}{quoted(text)}{self._tail}".encode()

    def end(self, generation: Generation) -> bytes:
        """Return the last events."""
        last = f'{self._head}{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}]{self._usage}}}\n\n'
        usage = chat_usage([generation]) if self._order.includes_usage else None
        counts = "" if usage is None else f'{self._head}],"usage":{json.dumps(usage)}}}\n\n'
        return f"{last}{counts}".encode() + DONE

    def failed(self, error: Mapping[str, Any]) -> bytes:
        """Return the event of an error on the way; openai's clients raise it."""
        return b"data: " + to_bytes(error) + b"\n\n"


# Responses.


def response(order: Order, generation: Generation, name: str, now: float) -> dict[str, Any]:
    """Return a whole response."""
    item = _message(name, [_output_text(generation.text or "")], "completed")
    return _response(order, name, generation, unix(generation.created_at, now), "completed", [item])


def _response(
    order: Order, name: str, generation: Generation | None, created: int, status: str, output: list[dict[str, Any]]
) -> dict[str, Any]:
    usage = None if generation is None else _response_usage(generation)
    return {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": order.asked["instructions"],
        "max_output_tokens": order.asked["max_output_tokens"],
        "metadata": order.asked["metadata"],
        "model": (None if generation is None else generation.model) or order.model,
        "output": output,
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "temperature": order.asked["temperature"],
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        **({} if usage is None else {"usage": usage}),
    }


def _response_usage(generation: Generation) -> dict[str, Any] | None:
    counted = chat_usage([generation])
    if counted is None:
        return None
    return {
        "input_tokens": counted["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": counted["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counted["total_tokens"],
    }


def _message(name: str, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
    return {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": status, "content": content}


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class ResponseStream:
    """The events of a streamed response."""

    def __init__(self, order: Order, name: str, model: str, now: float) -> None:  # noqa: ARG002 - as `ChatStream`
        self._order, self._name, self._created = order, name, int(now)
        self._number = -1
        self._place = {"item_id": f"msg_{name}", "output_index": 0, "content_index": 0}

    def begin(self) -> bytes:
        """Return the events before the first piece."""
        whole = _response(self._order, self._name, None, self._created, "in_progress", [])
        return b"".join(
            (
                self._event("response.created", response=whole),
                self._event("response.in_progress", response=whole),
                self._event("response.output_item.added", output_index=0, item=_message(self._name, [], "in_progress")),
                self._event("response.content_part.added", part=_output_text(""), **self._place),
            )
        )

    def piece(self, text: str) -> bytes:
        """Return the event of a piece."""
        return self._event("response.output_text.delta", delta=text, logprobs=[], **self._place)

    def end(self, generation: Generation) -> bytes:
        """Return the events after the last piece."""
        text = generation.text or ""
        item = _message(self._name, [_output_text(text)], "completed")
        whole = _response(self._order, self._name, generation, self._created, "completed", [item])
        return b"".join(
            (
                self._event("response.output_text.done", text=text, logprobs=[], **self._place),
                self._event("response.content_part.done", part=_output_text(text), **self._place),
                self._event("response.output_item.done", output_index=0, item=item),
                self._event("response.completed", response=whole),
            )
        )

    def failed(self, error: Mapping[str, Any]) -> bytes:
        """Return the event of an error on the way."""
        said = error["error"]
        return self._event("error", code=said["code"], message=said["message"], param=said["param"])

    def _event(self, kind: str, **values: Any) -> bytes:
        self._number += 1
        data = to_bytes({"type": kind, **values, "sequence_number": self._number})
        return f"event: {kind}\ndata: ".encode() + data + b"\n\n"


# Pictures, sounds, transcripts.


def images(order: Order, generations: Sequence[Generation], files: Sequence[bytes], now: float) -> dict[str, Any]:
    """Return pictures: their addresses, or the pictures themselves where they were fetched."""
    first = generations[0]
    data = (
        [{"b64_json": base64.b64encode(content).decode()} for content in files]
        if files
        else [{"url": each.url} for each in generations]
    )
    body: dict[str, Any] = {"created": unix(first.created_at, now), "data": data}
    if first.width and first.height:
        body["size"] = f"{first.width}x{first.height}"
    if order.asked["output_format"] in OUTPUT_FORMATS:
        body["output_format"] = order.asked["output_format"]
    return body


SOUND_TYPES: Final[Mapping[str, str]] = {"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg"}


# Videos.

_STATES: Final[Mapping[str, str]] = {"completed": "completed", "failed": "failed"}


def video(generation: Generation, video_id: str, asked: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return a video job as openai describes it.

    Args:
        generation: What is known of it.
        video_id: Its id for this caller.
        asked: What is remembered of the order: `prompt`, `seconds`, `size`; may be empty.
        now: Unix seconds, for one whose beginning nobody knows.
    """
    progress = generation.progress or 0
    state = _STATES.get(generation.status) or ("in_progress" if progress else "queued")
    error = None
    if generation.is_failed:
        error = {"code": "generation_failed", "message": generation.error or "The service gave no reason."}
    expires = generation.expires_at()
    seconds = asked.get("seconds") or ("5" if generation.duration is None else f"{generation.duration:g}")
    return {
        "id": video_id,
        "object": "video",
        "model": generation.model or asked.get("model") or "",
        "status": state,
        "progress": 100 if generation.is_completed else max(0, min(99, int(progress))),
        "created_at": unix(generation.created_at, asked.get("created_at") or now),
        "completed_at": None if generation.completed_at is None else unix(generation.completed_at, now),
        "expires_at": None if expires is None else unix(expires, now),
        "prompt": asked.get("prompt") or generation.prompt,
        "remixed_from_video_id": None,
        "seconds": seconds,
        "size": asked.get("size") or _video_size(generation),
        "error": error,
    }


def _video_size(generation: Generation) -> str:
    """Return the size of openai's four that a video is, by its shape; the service's default is wide."""
    wide, high = generation.width or 16, generation.height or 9
    return "1280x720" if wide >= high else "720x1280"


def videos(found: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page of videos."""
    return {
        "object": "list",
        "data": list(found),
        "first_id": found[0]["id"] if found else None,
        "last_id": found[-1]["id"] if found else None,
        "has_more": has_more,
    }


# Models.


def model(info: ModelInfo) -> dict[str, Any]:
    """Return a model; when it was made, the service does not say."""
    return {"id": info.slug, "object": "model", "created": 0, "owned_by": info.provider or "neuralbox"}
