"""`TextStream`: a text while it is written, and what follows when the connection breaks before its end.

One paid request, sent once. The answer is read as Server-Sent Events, or as one JSON object where the service ignores
the switch; the first sign of the body tells which, since the documents are silent about its content type. The end is
`generation_end` or `[DONE]`. Cut before that, the generation is asked for by the id of `generation_start`, and what
is missing is delivered as one more piece; without an id it is looked for in the history, as any lost submission, and
where it is proven never to have been accepted, the stream is begun again. The rules:

- A piece of the body is decoded whole, then handed out without waiting: no task and no cancel scope per delta.
- The connection is freed when the end was read, before anything is recovered, and when the block is left.
- What arrived before a break is handed out before the break counts.

Bytes become events in `_api.sse`, events become values in `_api.stream_events`; asking again is a `Job`'s business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import anyio

from .._api import vocabulary as words
from .._api.request import Request
from .._api.sse import SSEDecoder
from .._api.stream_events import (
    ContentDelta,
    GenerationEnd,
    GenerationStart,
    StreamDone,
    StreamEvent,
    StreamFailure,
    read_piece,
)
from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.exchange import Core
from .._errors import (
    APIConnectionError,
    ConfigurationError,
    ConnectionLostError,
    GenerationFailedError,
    NeuralBoxError,
    ProtocolError,
    StreamInterruptedError,
    SubmissionUnknownError,
)
from .._models.generation import Generation
from .._polling.job import Job
from .._submissions.submission import OnAccepted, Submission
from .._transport import Reply, StreamedReply
from .._types import JobRef

# What may stand before the first sign of a body: blanks, line ends, a byte-order mark.
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
# Seconds the rest after the last event ([DONE], the end of the body) may take: read to its end, the connection serves
# the next request; a service that holds it open is hung up on.
_GOODBYE: Final = 0.25


class TextStream:
    """A text generation while it is written; made by `text.stream(...)`.

        async with nb.text.stream(model="gpt-5", prompt="...") as stream:
            async for delta in stream:
                print(delta, end="")
        stream.result

    Entering the block sends the request and raises what refuses it; leaving the block, early or not, frees the
    connection. Iterating hands out the pieces of the text, `events()` the typed events; both read the same stream, so
    a loop may be left and another go on where it stopped. One task reads at a time.

    Raises:
        GenerationFailedError: The service reported a failure; `.generation.text` is what had arrived.
        SubmissionUnknownError: The stream broke before anything arrived, and the history does not tell for certain
            whether it was accepted and charged.
        StreamInterruptedError: The stream broke, and the rest could not be had; `.text` is what had arrived.

    Cancellation:
        Stops reading; the generation may go on and be charged, `job` attaches to it. A read that goes on after a
        cancelled one asks for the rest as after a break.

    Source:
        NeuralBox API, "Streaming" [nb:en/guides/streaming], "Stream generation" [nb:en/api-reference/generate/stream].
    """

    def __init__(
        self,
        core: Core,
        request: Request,
        call: CallOptions = NO_CALL_OPTIONS,
        *,
        on_accepted: OnAccepted | None = None,
    ) -> None:
        self._core = core
        self._request = request
        self._call = call
        model = (request.body or {}).get("model")
        self._model: str | None = model if isinstance(model, str) else None
        self._block: AbstractAsyncContextManager[StreamedReply] | None = None
        self._reply: StreamedReply  # this and the next from the moment the block is entered
        self._chunks: AsyncIterator[bytes]
        self._entered = self._inside = self._known_form = False
        self._readable = False  # inside, the body is not at its end, and nobody is reading
        self._recovering = False
        self._on_accepted = on_accepted
        self._submission: Submission  # from the moment the block is entered
        self._received, self._most_bytes = 0, core.options.max_reply_bytes
        self._decoder = SSEDecoder(read_piece)
        self._queue: deque[str | StreamEvent] = deque()
        self._parts: list[str] = []
        self._head: Mapping[str, Any] = {}
        self._job: JobRef | None = None
        self._cut: NeuralBoxError | None = None  # why nothing more comes from the connection
        self._failure: NeuralBoxError | None = None
        self._final: Generation | None = None  # the record, where it did not come as a stream
        self._result: Generation | None = None

    def __repr__(self) -> str:
        state = "ended" if self._result else "failed" if self._failure else "open" if self._inside else "closed"
        return f"<TextStream {self._model or ''} {state}>".replace("  ", " ")

    # What is known.

    @property
    def text(self) -> str:
        """The text handed out so far."""
        return "".join(self._parts)  # changes nothing: the blocking client asks from other threads

    @property
    def job(self) -> JobRef | None:
        """The generation, once its id has arrived; `client.job(stream.job)` attaches to it."""
        return self._job

    @property
    def result(self) -> Generation:
        """The same `Generation` a plain call returns: the whole text, and what it cost where the service said so.

        Raises:
            ConfigurationError: The end has not been reached.
            NeuralBoxError: The stream ended with this error.
        """
        if self._result is not None:
            return self._result
        if self._failure is not None:
            raise self._failure
        raise ConfigurationError(
            "The stream has not reached its end, so there is no result yet: iterate over it to the end, or use "
            "`await stream.collect()` inside its block."
        )

    # The block.

    async def __aenter__(self) -> Self:
        if self._entered:
            raise ConfigurationError(
                "A stream is entered once; `text.stream(...)` makes another, which is another paid request."
            )
        self._entered = True
        self._submission = Submission(
            self._core, self._request, self._call, kind="text", model=self._model, on_accepted=self._on_accepted
        )
        await self._begin()
        self._inside = True
        return self

    async def _begin(self) -> None:
        """Send the request, again if need be, until there is a reply to read or a generation to ask for."""
        one, found = self._submission, None
        while found is None:
            await one.begin()
            block = self._core.open(self._request, self._call, one.ending)
            try:
                reply = await block.__aenter__()
            except NeuralBoxError as error:
                found = await one.after(error)
                continue
            except BaseException:
                await one.abandon()
                raise
            one.heard(reply.headers)
            self._block, self._reply, self._chunks = block, reply, reply.chunks()
            self._readable = True
            return
        await self._adopt(found)

    async def _adopt(self, found: Generation) -> None:
        """Go on with a generation from the history: its text is asked for as after a break."""
        self._job = found.ref
        self._cut = ConnectionLostError("The answer was lost; the history shows that it was accepted.")
        await self._submission.accept_ref(self._job)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = self._readable = False
        ended = self._result or getattr(self._failure, "generation", None)
        if isinstance(ended, Generation):
            self._submission.finish(ended)
        self._submission.leave()
        await self._close(drain=kind is None and self._result is not None)

    async def _close(self, *, drain: bool = False) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        try:
            if drain:
                with anyio.move_on_after(_GOODBYE):
                    await self._drain()
        finally:
            try:
                aclose = getattr(self._chunks, "aclose", None)
                # Another task may still be reading; its read ends when the reply is closed.
                if aclose is not None and not getattr(self._chunks, "ag_running", False):
                    await aclose()
            finally:
                await block.__aexit__(None, None, None)

    async def _drain(self) -> None:
        with suppress(APIConnectionError, ProtocolError):  # everything that was waited for had come
            async for _ in self._chunks:
                pass

    # Iterating.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        queue = self._queue
        while True:
            if not (queue and self._inside):
                if not await self._more():
                    raise StopAsyncIteration
                continue
            piece = queue.popleft()
            if isinstance(piece, str):
                self._parts.append(piece)
                if piece:
                    return piece
            else:
                await self._take_note(piece)

    def events(self) -> AsyncIterator[StreamEvent]:
        """Iterate over the typed events instead of the pieces of the text, those we do not know included.

        The end is the last one. After a break, what could be recovered comes as one `ContentDelta` and an end; a
        whole answer in place of a stream comes as a start, one delta and an end.
        """
        return _Events(self)

    async def collect(self) -> Generation:
        """Read to the end and return the result.

        Raises:
            NeuralBoxError: As iterating does.
        """
        while await self._next() is not None:
            pass
        return self.result

    async def _next(self) -> StreamEvent | None:
        """Return the next event, or None after the end."""
        while not (self._queue and self._inside):
            if not await self._more():
                return None
        piece = self._queue.popleft()
        if isinstance(piece, str):
            self._parts.append(piece)
            return ContentDelta(piece)
        await self._take_note(piece)
        return piece

    async def _take_note(self, event: StreamEvent) -> None:
        """Let an event change what is known; once that is the id, or that there will be none, it is told."""
        try:
            self._note(event)
        finally:
            is_known = self._job is not None or self._result is not None or self._failure is not None
            if is_known and not self._submission.is_settled:
                await self._submission.accept_ref(self._job)

    async def _more(self) -> bool:
        """Take the next piece of the body into the queue, or find out why there is none; False after the end."""
        if not self._readable:
            return await self._more_otherwise()
        self._readable = False  # by another task, or after an error
        try:
            chunk = await anext(self._chunks)
            self._received += len(chunk)
            if self._received > self._most_bytes:
                self._refuse_more()
            if not self._known_form and self._is_whole(chunk):
                await self._take_whole(chunk)
            else:
                self._queue.extend(self._decoder.feed(chunk))
                self._cut = self._decoder.error
                self._readable = self._inside
        except StopAsyncIteration:
            self._cut = ConnectionLostError("The connection was closed before the end of the stream.")
            self._take_unfinished()
        except (APIConnectionError, ProtocolError) as error:
            self._cut = error
        except BaseException as error:
            if isinstance(error, NeuralBoxError):
                self._failure = error
            # Cancelled in the middle: the connection is not usable any more, but the generation may be.
            self._cut = ConnectionLostError("Reading the stream was cancelled.")
            raise
        return True

    async def _more_otherwise(self) -> bool:
        """Say what a stream that cannot be read has come to."""
        if not self._inside:
            self._refuse_outside()
        if self._failure is not None:
            raise self._failure
        if self._result is not None:
            await self._close(drain=True)
            return False
        if self._cut is None or self._recovering:
            raise ConfigurationError("Another task is reading this stream; one task reads at a time.")
        self._recovering = True
        try:
            await self._recover(self._cut)
        except NeuralBoxError as error:
            self._failure = error
            raise
        finally:
            self._recovering = False
        return True

    def _refuse_outside(self) -> NoReturn:
        raise ConfigurationError(
            "The stream's block was left, and its connection with it; read inside `async with`."
            if self._entered
            else "A stream is read inside its block: `async with nb.text.stream(...) as stream:`."
        )

    # What an event changes...

    def _note(self, event: StreamEvent) -> None:
        if isinstance(event, GenerationStart):
            self._head = event.raw
            if event.id is not None:
                self._job = JobRef(event.id, "text", event.model or self._model)
        elif isinstance(event, GenerationEnd | StreamDone):
            self._end(event.raw if isinstance(event, GenerationEnd) else {})
        elif isinstance(event, StreamFailure):
            self._fail(event)

    def _end(self, tail: Mapping[str, Any]) -> None:
        self._queue.clear()  # nothing counts after the end, [DONE] least of all
        self._readable = False
        generation = self._final or self._record(tail)
        self._result = generation.model_copy(update={"text": self.text, "status": words.COMPLETED})
        if self._job is None and generation.id != "":
            self._job = generation.ref

    def _fail(self, event: StreamFailure) -> NoReturn:
        self._queue.clear()
        self._readable = False
        why = event.message.rstrip(".") or "the service gave no reason"
        generation = self._record(event.raw).model_copy(
            update={"text": self.text, "status": words.FAILED, "error": event.message}
        )
        self._failure = GenerationFailedError(
            f"The {self._job or 'generation'} failed while its text was streamed: {why}. "
            "What had arrived is in `.generation.text`.",
            job=self._job,
            generation=generation,
        )
        raise self._failure

    def _record(self, tail: Mapping[str, Any]) -> Generation:
        """Read the first and the last event as one record."""
        record = {**self._head, **tail}
        record.pop("type", None)  # an event's type, which would be read as the generation's kind
        job = self._job
        generation = Generation.read(record, kind="text", asked_id=job.id if job is not None else None)
        return self._with_model(generation)

    def _with_model(self, generation: Generation) -> Generation:
        return generation if generation.model is not None else generation.model_copy(update={"model": self._model})

    # ... and what the body is.

    def _is_whole(self, chunk: bytes) -> bool:
        """Tell by the first sign of the body whether it is one JSON object: no line of an event stream begins like it."""
        start = chunk.lstrip(_BLANK)
        self._known_form = bool(start)
        return start[:1] == b"{"

    def _take_unfinished(self) -> None:
        """Take the last event, which may lack its empty line; it counts if it is whole, and JSON shows that."""
        with suppress(ProtocolError):
            self._queue.extend(self._decoder.end(keep_unfinished=True))

    def _refuse_more(self) -> NoReturn:
        raise ProtocolError(f"The stream is longer than `max_reply_bytes`={self._most_bytes}.")

    # A whole answer in place of a stream...

    async def _take_whole(self, chunk: bytes) -> None:
        pieces = [chunk]
        async for piece in self._chunks:
            self._received += len(piece)
            if self._received > self._most_bytes:
                self._refuse_more()
            pieces.append(piece)
        reply = Reply(self._reply.status_code, self._reply.headers, b"".join(pieces).lstrip(_BLANK))
        generation = self._with_model(Generation.read(self._core.as_object(reply), kind="text"))
        if generation.id == "" and not generation.is_final:
            raise ProtocolError("The service answered with neither an id nor a result.", status_code=reply.status_code)
        await self._close()
        job = Job(self._core, generation=generation, call=self._call)
        if generation.id != "":
            self._job = generation.ref
        await self._submission.accept(generation)
        self._deliver(await job.wait())

    # ... and a stream that broke.

    async def _recover(self, cut: NeuralBoxError) -> None:
        """Ask for the generation and queue what is missing; without its id it is looked for first."""
        await self._close()
        text = self.text
        why = f"The stream broke before its end ({cut.message.rstrip('.')})"
        if self._job is None and await self._find(cut, text, why) is None:
            return
        assert self._job is not None
        try:
            final = await Job(self._core, self._job, call=self._call).wait()
        except GenerationFailedError:
            raise
        except NeuralBoxError as error:
            raise StreamInterruptedError(
                f"{why}, and asking for the rest failed ({error.message.rstrip('.')}). "
                "`client.job(error.job)` asks again.",
                text=text,
                job=self._job,
            ) from error
        if final.text is None or not final.text.startswith(text):
            raise StreamInterruptedError(
                f"{why}, and the text of the {self._job} does not continue what had arrived.", text=text, job=self._job
            ) from cut
        self._deliver(final)

    async def _find(self, cut: NeuralBoxError, text: str, why: str) -> Generation | None:
        """Look for the generation of a stream that broke before its id had arrived; None when it was begun again."""
        one = self._submission
        unknown = self._core.unknown(self._request, sent_at=one.ending.sent_at, cause=cut, call=self._call)
        unknown.__cause__ = cut
        nobody = f"{why}, and no id had arrived to ask for the rest by."
        try:
            found = await one.lose(unknown)
        except SubmissionUnknownError as error:
            if not text:
                raise
            raise StreamInterruptedError(f"{nobody} {error.message}", text=text) from cut
        if found is not None:
            await self._adopt(found)
            return found
        if text:  # something did make it, whatever the history shows
            one.leave()
            raise StreamInterruptedError(nobody, text=text) from cut
        self._queue.clear()
        self._decoder, self._received, self._known_form, self._cut = SSEDecoder(read_piece), 0, False, None
        await self._begin()
        return None

    def _deliver(self, final: Generation) -> None:
        """Queue what is missing of a finished generation."""
        if not self._head:
            self._queue.append(GenerationStart(final.id if final.id != "" else None, final.model, final.raw))
        rest = (final.text or "")[len(self.text) :]
        if rest:
            self._queue.append(rest)
        self._queue.append(GenerationEnd(final.id if final.id != "" else None, final.tokens, final.balance, final.raw))
        self._final = self._with_model(final)


class _Events:
    """The iteration `TextStream.events` begins; a plain object, since a generator that is dropped must be closed."""

    __slots__ = ("_stream",)

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        event = await self._stream._next()
        if event is None:
            raise StopAsyncIteration
        return event
