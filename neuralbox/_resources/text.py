"""Text: whole or streamed.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, Unpack, overload

from .. import _structured_text as structured_text
from .._api.builders import Message
from .._api.elsewhere import Guided
from .._api.vocabulary import TextModel
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._requests.text import TextRequest
from .._structured_text import SchemaT
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._text_stream.stream import TextStream
from .._types import OMIT, Omit


class Text(Guided):
    """Language models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @overload
    async def create(
        self,
        *,
        model: TextModel | str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        temperature: float | Omit = OMIT,
        max_tokens: int | Omit | None = OMIT,
        assistant_id: str | None = None,
        schema: None = None,
        repair: Literal[0] = 0,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation: ...

    @overload
    async def create(
        self,
        *,
        model: TextModel | str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        temperature: float | Omit = OMIT,
        max_tokens: int | Omit | None = OMIT,
        assistant_id: str | None = None,
        schema: type[SchemaT],
        repair: Literal[0, 1] = 0,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> SchemaT: ...

    async def create(
        self,
        *,
        model: TextModel | str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        temperature: float | Omit = OMIT,
        max_tokens: int | Omit | None = OMIT,
        assistant_id: str | None = None,
        schema: type[SchemaT] | None = None,
        repair: Literal[0, 1] = 0,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation | SchemaT:
        """Generate a text.

        The service keeps no conversation: pass all earlier turns in `messages` every time.

        Args:
            model: Slug of a text model; may be left out with `assistant_id`.
            prompt: The user's message.
            messages: Turns with `role` (`system`, `user`, `assistant`) and `content` (text, or a list of parts such as
                `{"type": "image_url", "image_url": {"url": ...}}` for models that see). With `prompt` too, the prompt
                is the new turn.
            system: The system prompt.
            temperature: 0.0 to 2.0; the service's default is 0.7.
            max_tokens: Most tokens of the language model to write; None asks for the model's own default.
            assistant_id: `asst_…`: an assistant's model and instructions in place of `model` and `system`.
            schema: A pydantic model, or another type that pydantic validates: the answer is asked to be JSON that fits
                it, and returned as one. The service has no JSON mode, so the JSON Schema goes along in words, where the
                system prompt is.
            repair: 1 asks once more, with what was wrong, where the answer does not fit: a further paid request, within
                the budget. The limits of a call hold for each of the two.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `text` holds the answer, `usage` the language model's own token counts. With
            `schema`, what the answer says.

        Raises:
            ConfigurationError: Something in the call cannot be right; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.
            SchemaMismatchError: The answer was paid for and does not fit `schema`; `.text` is what was answered.

        Source:
            NeuralBox API, "Text Generation", `POST /api/v2/generate` (SEED 003, SEED 001).
        """
        request = TextRequest(
            model=model,
            prompt=prompt,
            messages=messages,
            system=system,
            temperature=temperature,
            max_tokens=max_tokens,
            assistant_id=assistant_id,
        )
        if schema is not None:
            return await structured_text.create(
                self._core,
                request,
                CallOptions.of(call),
                schema=schema,
                repair=repair,
                wait_timeout=wait_timeout,
                on_accepted=on_accepted,
            )
        structured_text.require_no_repair(repair)
        wire = request.build(self._core.options.dialect)
        return await submission.create(
            self._core,
            wire,
            CallOptions.of(call),
            kind=request.result_kind,
            model=model,
            wait_timeout=wait_timeout,
            on_accepted=on_accepted,
        )

    async def submit(
        self,
        *,
        model: TextModel | str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        temperature: float | Omit = OMIT,
        max_tokens: int | Omit | None = OMIT,
        assistant_id: str | None = None,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Generate a text without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job, which is already finished: `await job.wait()` gives its text.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            NeuralBox API, "Text Generation", `POST /api/v2/generate` (SEED 003, SEED 001).
        """
        request = TextRequest(
            model=model,
            prompt=prompt,
            messages=messages,
            system=system,
            temperature=temperature,
            max_tokens=max_tokens,
            assistant_id=assistant_id,
        )
        wire = request.build(self._core.options.dialect)
        return await keyed.submit(
            self._core,
            wire,
            CallOptions.of(call),
            kind=request.result_kind,
            model=model,
            on_accepted=on_accepted,
            journal=journal,
            key=key,
        )

    def stream(
        self,
        *,
        model: TextModel | str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        temperature: float | Omit = OMIT,
        max_tokens: int | Omit | None = OMIT,
        assistant_id: str | None = None,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> TextStream:
        """Generate a text and read it while it is written; arguments as in `create`.

            async with nb.text.stream(model="gpt-5", prompt="...") as stream:
                async for delta in stream:
                    print(delta, end="")
            stream.result

        Returns:
            A context manager; nothing is sent before its block is entered, and leaving the block frees the connection.

        Raises:
            ConfigurationError: Something in the call cannot be right; nothing was sent.

        Source:
            NeuralBox API, "Streaming" [nb:en/guides/streaming], `"stream": true` (SEED 003), or
            `POST /api/v2/generate/stream` with `Dialect(stream="path")`.
        """
        request = TextRequest(
            model=model,
            prompt=prompt,
            messages=messages,
            system=system,
            temperature=temperature,
            max_tokens=max_tokens,
            assistant_id=assistant_id,
        )
        wire = request.build_stream(self._core.options.dialect)
        return TextStream(self._core, wire, CallOptions.of(call), on_accepted=on_accepted)
