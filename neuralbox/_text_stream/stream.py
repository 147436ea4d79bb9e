"""`TextStream`: a text while it is written, and what follows when the connection breaks before its end.

One paid request, sent once. The end is `generation_end` or `[DONE]`. Cut before that, the generation is asked for by the
id of `generation_start`, and what is missing is delivered as one more piece; without an id it is looked for in the
history, as any lost submission, and where it is proven never to have been accepted, the stream is begun again.

    | state      | event                                           | next       |
    | ---------- | ----------------------------------------------- | ---------- |
    | new        | its block is entered                            | opening    |
    | opening    | it was bought before                            | complete   |
    | opening    | the headers of the answer have come             | open       |
    | opening    | the answer is lost, and found in the history    | broken     |
    | opening    | refused, or cancelled                           | left       |
    | open       | a task reads a piece of the body                | reading    |
    | open       | the end was read                                | ended      |
    | open       | an end was read, and nothing of a text before   | broken     |
    | open       | a failure was read                              | failed     |
    | reading    | a piece has come                                | open       |
    | reading    | a whole answer has come instead                 | complete   |
    | reading    | the body is cut or garbled, or reading cancelled | broken    |
    | reading    | a whole answer tells of a failure               | failed     |
    | broken     | the events before the break tell the end        | ended      |
    | broken     | the events before the break tell a failure      | failed     |
    | broken     | a task asks for the rest                        | recovering |
    | recovering | the rest has come                               | complete   |
    | recovering | never accepted: sent again                      | open       |
    | recovering | sent again, lost again, and found               | broken     |
    | recovering | cancelled                                       | broken     |
    | recovering | the rest cannot be had                          | failed     |
    | complete   | its end was read                                | ended      |
    | any        | its block is left                               | left       |

The rules:

- A piece of the body is decoded whole, then delivered without waiting: no task and no cancel scope per delta.
- The connection is freed when the end was read, before anything is recovered, and when the block is left.
- What arrived before a break is delivered before the break counts.
- The client's `deadline` counts from the entering of the block to the last byte, recovering included.

`reader` turns the body into events, `recovery` gets what is missing, `record` makes the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from types import TracebackType
from typing import NoReturn, Self

from .._api.checks import require_callback
from .._api.request import Request
from .._api.stream_events import (
    ContentDelta,
    GenerationEnd,
    GenerationStart,
    Piece,
    StreamDone,
    StreamEvent,
    StreamFailure,
)
from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.call_events import CallObserver, observer_of
from .._core.deadline import in_time
from .._core.exchange import Core
from .._errors import (
    APIConnectionError,
    ConfigurationError,
    ConnectionLostError,
    NeuralBoxError,
    ProtocolError,
)
from .._models.generation import Generation
from .._polling.job import Job
from .._submissions.cached_call import CachedCall, cached_call
from .._submissions.claim import Claim
from .._submissions.shared_record import SharedRecord
from .._submissions.submission import OnAccepted, Submission, SubmissionRecorder
from .._types import BoundToProcess, JobRef
from .reader import BodyReader
from .record import StreamRecord
from .recovery import ask_for_rest, find_generation
from .state import BROKEN, COMPLETE, ENDED, FAILED, LEFT, NEW, OPEN, OPENING, READING, RECOVERING, StreamState


class TextStream(BoundToProcess):
    """A text generation while it is written; made by `text.stream(...)`.

        async with nb.text.stream(model="gpt-5", prompt="...") as stream:
            async for delta in stream:
                print(delta, end="")
        stream.result

    Entering the block sends the request and raises what refuses it; leaving the block, early or not, frees the
    connection. Iterating delivers the pieces of the text, `events()` the typed events; both read the same stream, so
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
        recorder: SubmissionRecorder | None = None,
        shared: SharedRecord | None = None,
        claim: Claim | None = None,
    ) -> None:
        require_callback("`on_accepted`", on_accepted)
        self._core = core
        self._request = request
        self._call = call
        self._on_accepted = on_accepted
        # As `submission.send` has them.
        self._recorder = recorder
        self._shared = shared
        self._claim = claim
        self._cached: CachedCall | None = None
        model = (request.body or {}).get("model")
        self._record = StreamRecord(model if isinstance(model, str) else None)
        self._parts = self._record.parts
        self._state: StreamState = NEW
        self._submission: Submission  # this and the observer from the moment the block is entered
        self._observer: CallObserver | None
        self._reader: BodyReader | None = None
        self._queue: deque[Piece] = deque()
        self._cut: NeuralBoxError | None = None  # why nothing more comes from the connection
        self._result: Generation | NeuralBoxError | None = None  # how it ended

    def __repr__(self) -> str:
        ended = {True: "ended", False: "failed"}.get(isinstance(self._result, Generation))
        is_inside = self._state not in (NEW, OPENING, LEFT)
        state = ended if self._result is not None else "open" if is_inside else "closed"
        return f"<TextStream {self._record.model or ''} {state}>".replace("  ", " ")

    # What is known.

    @property
    def text(self) -> str:
        """The text delivered so far."""
        return self._record.text

    @property
    def job(self) -> JobRef | None:
        """The generation, once its id has arrived; `client.job(stream.job)` attaches to it."""
        return self._record.job

    @property
    def result(self) -> Generation:
        """The same `Generation` a plain call returns: the whole text, and what it cost where the service said so.

        Raises:
            ConfigurationError: The end has not been reached.
            NeuralBoxError: The stream ended with this error.
        """
        if isinstance(self._result, Generation):
            return self._result
        if self._result is not None:
            raise self._result
        raise ConfigurationError(
            "The stream has not reached its end, so there is no result yet: iterate over it to the end, or use "
            "`stream.collect()` inside its block."
        )

    # The block.

    async def __aenter__(self) -> Self:
        if self._state is not NEW:
            raise ConfigurationError(
                "A stream is entered once; `text.stream(...)` makes another, which is another paid request."
            )
        self._state = OPENING
        core, model = self._core, self._record.model
        self._observer = observer = (
            observer_of(core.options, core.clock, self._request, "stream", kind="text", model=model)
            if core.options.hooks
            else None
        )
        self._submission = Submission(
            core,
            self._request,
            self._call,
            kind="text",
            model=model,
            recorder=self._recorder,
            shared=self._shared,
            on_accepted=self._on_accepted,
            observer=observer,
        )
        try:
            if not await self._replay():
                found = None if self._claim is None else await self._submission.resume(self._claim)
                await self._begin(found)
        except BaseException as error:
            self._state = LEFT
            await self._submission.close()
            if observer is not None:
                observer.end(error)
            raise
        return self

    async def _replay(self) -> bool:
        """Deliver what was bought before, where the cache has it; not what has a journal, which is to know of it."""
        if self._recorder is not None or self._claim is not None or self._core.options.cache is None:
            return False
        request = self._request
        body = {name: value for name, value in (request.body or {}).items() if name != "stream"}
        # The same text may be asked for whole, which makes no other of it.
        self._cached = cached_call(self._core, replace(request, body=body), self._call, kind="text")
        known = None if self._cached is None else await self._cached.find()
        if known is None:
            return False
        self._cached = None
        self._submission.spare()
        self._record.job = known.ref
        self._go_on(COMPLETE, self._record.rest_of(known))
        return True

    async def _begin(self, found: Generation | None = None) -> None:
        """Send the request, again if need be, until there is a reply to read or a generation to ask for."""
        submission = self._submission
        while found is None:
            await submission.begin()
            block = self._core.open(self._request, self._call, submission.attempt)
            try:
                reply = await block.__aenter__()
            except NeuralBoxError as error:
                found = await submission.after(error)
            else:
                submission.note_headers(reply.headers)
                self._reader = BodyReader(block, reply, max_bytes=self._core.options.max_reply_bytes)
                self._go_on(OPEN)
                return
        self._cut = ConnectionLostError("The answer was lost; the history shows that it was accepted.")
        self._go_on(BROKEN)
        await self._adopt(found)

    async def _adopt(self, found: Generation) -> None:
        """Go on with a generation from the history: its text is asked for as after a break."""
        self._record.job = found.ref
        await self._submission.accept_ref(found.ref)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = LEFT
        self._queue.clear()
        result = self._result
        failure = None if isinstance(result, Generation) else result
        try:
            ended = self._finish()
            if ended is not None:
                await self._submission.record(ended)
            if self._cached is not None and isinstance(result, Generation):
                # What was streamed stands in no record of the service.
                told = {**result.raw, "status": result.status, "result_text": result.text}
                await self._cached.keep(result.model_copy(update={"raw": told}))
        finally:
            await self._submission.close()
            if self._observer is not None:
                self._observer.end(failure)
            await self._close(drain=kind is None and isinstance(result, Generation))

    def _finish(self) -> Generation | None:
        """Book what it came to, where that is known, and return it; at its end, since a call inside the block may need its tokens."""
        result = self._result
        ended = result if isinstance(result, Generation) else getattr(result, "generation", None)
        if not isinstance(ended, Generation):
            return None
        self._submission.finish(ended)
        return ended

    async def _close(self, *, drain: bool = False) -> None:
        if self._reader is not None:
            await self._reader.close(drain=drain)

    # Iterating.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        queue = self._queue
        while True:
            if not queue:
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
        while True:
            if not self._queue:
                if not await self._more():
                    return None
                continue
            piece = self._queue.popleft()
            if isinstance(piece, str):
                self._parts.append(piece)
                return ContentDelta(piece)
            if await self._take_note(piece):
                return piece

    async def _take_note(self, event: StreamEvent) -> bool:
        """Let an event change what is known; once that is the id, or that there will be none, it is told.

        Returns:
            Whether the event counts.
        """
        try:
            return self._note(event)
        finally:
            job = self._record.job
            if (job is not None or self._result is not None) and not self._submission.is_settled:
                await self._submission.accept_ref(job)
            self._finish()

    def _note(self, event: StreamEvent) -> bool:
        if isinstance(event, GenerationStart):
            self._record.started(event)
        elif isinstance(event, GenerationEnd | StreamDone):
            self._queue.clear()  # nothing counts after the end, [DONE] least of all
            if not self._record.is_end(event):
                self._cut = ProtocolError("The stream ended without a word of its text.")
                self._state = BROKEN
                return False
            self._state = ENDED
            self._result = self._record.ended(event.raw if isinstance(event, GenerationEnd) else {})
        elif isinstance(event, StreamFailure):
            self._queue.clear()
            self._state = FAILED
            self._result = self._record.failed(event)
            raise self._result
        else:  # a kind of event that this version does not know: pieces of the text are bare strings
            self._record.has_unknown = True
        return True

    # Reading.

    async def _more(self) -> bool:
        """Take the next piece of the body into the queue, or find out why there is none; False after the end."""
        if self._state is not OPEN:
            return await self._more_otherwise()
        reader = self._reader
        assert reader is not None  # it is open
        self._state = READING
        try:
            chunk = await anext(reader.chunks)
            pieces = reader.take(chunk)
            if pieces is None:
                await self._take_whole(reader, chunk)
            elif self._state is READING:  # else another task has left the block
                self._queue.extend(pieces)
                self._cut = reader.decoder.error
                self._state = OPEN if self._cut is None else BROKEN
        except StopAsyncIteration:
            self._cut = ConnectionLostError("The connection was closed before the end of the stream.")
            self._go_on(BROKEN, reader.take_unfinished())
        except (APIConnectionError, ProtocolError) as error:
            self._cut = error
            self._go_on(BROKEN)
        except NeuralBoxError as error:
            self._result = error
            self._go_on(FAILED)
            raise
        except BaseException:
            # Cancelled in the middle: the connection is not usable any more, but the generation may be.
            self._cut = ConnectionLostError("Reading the stream was cancelled.")
            self._go_on(BROKEN)
            raise
        return True

    async def _take_whole(self, reader: BodyReader, chunk: bytes) -> None:
        """Read an answer that came whole, in place of a stream."""
        reply = await reader.read_whole(chunk)
        generation = self._record.with_model(Generation.read(self._core.as_object(reply), kind="text"))
        if generation.id == "" and not generation.is_final:
            raise ProtocolError("The service answered with neither an id nor a result.", status_code=reply.status_code)
        await reader.close()
        job = Job(self._core, generation=generation, call=self._call)
        if generation.id != "":
            self._record.job = generation.ref
        await self._submission.accept(generation)
        final = await in_time(self._left(), self._core.options.deadline, job.wait())
        self._go_on(COMPLETE, self._record.rest_of(final))

    async def _more_otherwise(self) -> bool:
        """Say what a stream that cannot be read has come to."""
        state = self._state
        if state in (NEW, OPENING, LEFT):
            self._refuse_outside()
        if isinstance(self._result, NeuralBoxError):
            raise self._result
        if state is ENDED:
            await self._close(drain=True)
            return False
        if state is not BROKEN:
            raise ConfigurationError("Another task is reading this stream; one task reads at a time.")
        assert self._cut is not None  # it is broken
        self._state = RECOVERING
        try:
            await self._recover(self._cut)
        except NeuralBoxError as error:
            self._result = error
            self._go_on(FAILED)
            raise
        except BaseException:
            self._go_on(BROKEN)
            raise
        return True

    async def _recover(self, cut: NeuralBoxError) -> None:
        """Ask for the generation and queue what is missing; without its id it is looked for first."""
        await self._close()
        record = self._record
        if record.job is None:
            found = await find_generation(self._submission, cut, text=record.text)
            if found is None:
                await self._begin()
                return
            await self._adopt(found)
        assert record.job is not None
        final = await ask_for_rest(self._core, record.job, self._call, cut, text=record.text, left=self._left())
        self._go_on(COMPLETE, record.rest_of(final))

    def _left(self) -> float | None:
        """Return what is left of the call's deadline, in seconds."""
        deadline = self._core.options.deadline
        return None if deadline is None else deadline - (self._core.clock() - self._submission.attempt.started)

    def _refuse_outside(self) -> NoReturn:
        raise ConfigurationError(
            "The stream's block was left, and its connection with it; read inside the block."
            if self._state is LEFT
            else "A stream is read inside its block: enter `nb.text.stream(...)` by `with` or `async with` first."
        )

    def _go_on(self, state: StreamState, pieces: Iterable[Piece] = ()) -> None:
        """Enter a state with more to deliver, unless another task has left the block meanwhile."""
        if self._state is not LEFT:
            self._state = state
            self._queue.extend(pieces)


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
