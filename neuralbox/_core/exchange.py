"""The send loop: a request goes to the transport, its outcome is classified, and a pause or an error follows.

The only place that pauses between attempts. Whether another attempt follows is decided by `_core.retry`; how bytes
move is the transport's business. The clock, the pause and chance are injected, so that tests run in virtual time.
A paid request whose outcome is unknown ends here as `SubmissionUnknownError` and is never sent again.

One `Attempt` goes through a call; what happens to it is told to its listeners (`AttemptListener`): the client's hooks,
and the rate limits of a paid request.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, TypeAlias, TypeVar
from urllib.parse import urlencode

import anyio

from .. import _errors as errors
from .._api.checks import what_json_cannot_hold
from .._api.reply import read_json, read_object
from .._api.request import Request, RetrySafety, form_texts, query
from .._config import NO_CALL_OPTIONS, CallOptions, ClientOptions, Timeout
from .._transport import Prepared, Reply, StreamedReply, Timeouts, Transport
from .._transport.closing import pause
from .._types import BoundToProcess
from .._version import __version__
from .account import SharedAccountState, account_of
from .call_events import Answer, AttemptListener, CallObserver, describe_download, observer_of
from .credentials import Credential, Session
from .deadline import TimedReply, in_time
from .reply_capture import capture
from .retry import AttemptOutcome, RetryPolicy, StopReason, classify_attempt, decide, is_from_service
from .session_refresh import SessionRefresher, log_in

T = TypeVar("T")
A = TypeVar("A", bound=Answer)

logger = logging.getLogger("neuralbox")
USER_AGENT = f"neuralbox/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"
# An error body is read up to here; what a refusal says fits in far less.
_ERROR_BYTES = 256 * 1024


async def _wait_until(event: anyio.Event, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await event.wait()


@dataclass(frozen=True, slots=True)
class TimeSource:
    """Hold everything that depends on time or chance.

    Attributes:
        clock: Monotonic seconds.
        now: Unix seconds.
        random: A number in [0, 1).
        sleep: Pauses for seconds.
        wait_until: Waits for an event, but at most so many seconds; returns in both cases.
    """

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    wait_until: Callable[[anyio.Event, float], Awaitable[None]] = _wait_until


Patience: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Opens a block in which something is waited for, and which raises where that is not wanted any more."""


class Attempt:
    """The attempts of one call, kept up to date by the core; a paid call that is sent again keeps its own.

    Attributes:
        started: When the call began, by the monotonic clock: the deadline counts from there, over all sendings.
        listeners: Are told what happens, in this order.
        number: 1 for the first attempt of the present sending.
        sent: Whether the first byte of the present attempt has left (or was about to).
        sent_at: When that was, Unix seconds.
        sent_clock: The same by the monotonic clock.
        outcome: What the present attempt came to; None while it goes on, and after a 2xx.
        authorization: What the present attempt identifies itself with.
        has_renewed: The session was renewed already, since its token was refused.
        may_have_worked: An earlier attempt may have been carried out.
        patience: Where it waits until it may leave, which is no part of the deadline then: it is a batch's, which waits as long as
            the plan says, and ends that when it sends nothing more. None for any other.
    """

    __slots__ = (
        "authorization",
        "has_renewed",
        "listeners",
        "may_have_worked",
        "number",
        "outcome",
        "patience",
        "sent",
        "sent_at",
        "sent_clock",
        "started",
    )

    def __init__(self, started: float, listeners: tuple[AttemptListener, ...] = ()) -> None:
        self.started: float = started
        self.listeners: tuple[AttemptListener, ...] = listeners
        self.sent_at: float | None = None
        self.sent_clock: float | None = None
        self.number: int = 0
        self.sent: bool = False
        self.outcome: AttemptOutcome | None = None
        self.authorization: str | None = None
        self.has_renewed: bool = False
        self.may_have_worked: bool = False
        self.patience: Patience | None = None

    def restart(self) -> None:
        """Begin another sending, with as many attempts as the first."""
        self.number = 0
        self.sent = self.has_renewed = self.may_have_worked = False
        self.outcome = None


class _FirstByte:
    """What is called at the first byte of what must not be sent twice: the listeners may keep it from leaving."""

    __slots__ = ("_attempt", "_core")

    def __init__(self, core: Core, attempt: Attempt) -> None:
        self._core = core
        self._attempt = attempt

    def __call__(self) -> None:
        for listener in self._attempt.listeners:
            listener.leaving()
        self.note()

    def note(self) -> None:
        """Note that it has left, or may have, where nobody was asked before."""
        attempt = self._attempt
        attempt.sent, attempt.sent_at, attempt.sent_clock = True, self._core.now(), self._core.clock()


class Core(BoundToProcess):
    """Sends requests of one client: one account, one base URL, one set of options.

    Args:
        transport: Moves the bytes; shared by copies of the client with the same base URL and credential.
        options: The client's options.
        credential: Who is calling.
        time_source: Time and chance.
    """

    def __init__(
        self,
        transport: Transport,
        options: ClientOptions,
        credential: Credential,
        time_source: TimeSource = TimeSource(),
    ) -> None:
        self.transport = transport
        self.options = options
        self.credential = credential
        self.time_source = time_source
        self.clock: Callable[[], float] = time_source.clock
        self.now: Callable[[], float] = time_source.now
        self.random: Callable[[], float] = time_source.random
        self.sleep: Callable[[float], Awaitable[None]] = time_source.sleep
        self.wait_until: Callable[[anyio.Event, float], Awaitable[None]] = time_source.wait_until
        # A clock of a test's own makes an account of its own.
        self.account: SharedAccountState = account_of(
            options.service.name, options.base_url, credential.identity, time_source
        )
        self.policy: RetryPolicy = RetryPolicy(options.max_retries, options.max_retry_wait, options.deadline)
        self._renewal = self.account.state(SessionRefresher, SessionRefresher)
        self._hooks = options.hooks
        self._kept: object = None

    def __repr__(self) -> str:
        return f"<Core {self.options.base_url}>"

    def with_options(self, options: ClientOptions) -> Core:
        """Return a core with other options over the same connections and credential."""
        return Core(self.transport, options, self.credential, self.time_source)

    def keep_alive(self, owner: object) -> None:
        """Hold on to what owns the connections for as long as anything made of this core is in use."""
        self._kept = owner

    # A whole reply.

    async def send(
        self,
        request: Request,
        read: Callable[[Reply], T],
        call: CallOptions = NO_CALL_OPTIONS,
        attempt: Attempt | None = None,
    ) -> T:
        """Send a request, repeat it where that is safe, and read the answer.

        Args:
            request: What to ask.
            read: Turns a 2xx reply into the result; may raise `ProtocolError`.
            call: What this one call changes.
            attempt: Of a paid request, whose sender learns from it what its attempts come to.

        Raises:
            NeuralBoxError: Any branch of it, as `_errors` draws the tree.
        """
        observer = None
        if attempt is None:
            attempt = Attempt(self.clock())
            if self._hooks:
                observer = observer_of(self.options, self.clock, request)
                attempt.listeners = (observer,)
        try:
            prepared = await self._prepare(request, call, attempt)
            while True:
                reply = None
                try:
                    reply = await self._exchange(request, attempt, prepared)
                    # A DELETE that is sent again finds nothing where the attempt that was lost had deleted it.
                    is_deleted = request.method == "DELETE" and attempt.may_have_worked and self._is_gone(reply)
                    if is_deleted or 200 <= reply.status_code < 300:
                        value = read(Reply(204, reply.headers, b"") if is_deleted else reply)
                        self._note(request, attempt, reply)
                        if observer is not None:
                            observer.end()
                        return value
                    error: errors.NeuralBoxError = self._refusal(reply)
                except (errors.APIConnectionError, errors.ProtocolError) as caught:
                    error = caught
                if await self._after(request, call, attempt, error, reply):
                    prepared = await self._prepare(request, call, attempt)
        except BaseException as ended:
            if observer is not None:
                observer.end(ended)
            raise

    # A reply that is read as it comes.

    def open(
        self, request: Request, call: CallOptions = NO_CALL_OPTIONS, attempt: Attempt | None = None
    ) -> AbstractAsyncContextManager[StreamedReply]:
        """Send a request and return its 2xx reply unread; repeated like `send` until the headers have come."""
        return self._open(request, call, Attempt(self.clock()) if attempt is None else attempt)

    @asynccontextmanager
    async def _open(self, request: Request, call: CallOptions, attempt: Attempt) -> AsyncIterator[StreamedReply]:
        prepared = await self._prepare(request, call, attempt)
        while True:
            is_delivered, reply = False, None
            try:
                async with AsyncExitStack() as stack:
                    streamed = await self._enter(request, attempt, prepared, stack)
                    if 200 <= streamed.status_code < 300:
                        self._note(request, attempt, Reply(streamed.status_code, streamed.headers, b""))
                        is_delivered = True
                        yield streamed
                        return
                    content = await streamed.read(max_bytes=_ERROR_BYTES)
                    reply = Reply(streamed.status_code, streamed.headers, content)
                error: errors.NeuralBoxError = self._refusal(reply)
            except (errors.APIConnectionError, errors.ProtocolError) as caught:
                if is_delivered:  # an error of reading or of the caller's block: no second attempt from here
                    raise
                error = caught
            if await self._after(request, call, attempt, error, reply):
                prepared = await self._prepare(request, call, attempt)

    def fetch(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | Timeout | None = None,
        started: float | None = None,
    ) -> AbstractAsyncContextManager[StreamedReply]:
        """GET a foreign address: no credential, none of the client's headers, one attempt, any status returned.

        Args:
            url: The address.
            headers: More headers.
            timeout: Limits of the exchange, in seconds; the client's where left out.
            started: When the call began, by the monotonic clock: the deadline counts from there, else from now.

        Raises:
            ConfigurationError: The address is not http or https.
            APIConnectionError: No reply, or it broke off, or the deadline passed.
        """
        limits = self.options.timeout if timeout is None else Timeout.of(timeout)
        prepared = self.transport.prepare(
            "GET", url, headers={"user-agent": USER_AGENT, **(headers or {})}, timeouts=_timeouts(limits, slow=False)
        )
        download = self.transport.stream(prepared, download=True)
        if self.options.deadline is None and not self._hooks:
            return download
        return self._fetch(url, download, Attempt(self.clock() if started is None else started))

    @asynccontextmanager
    async def _fetch(
        self, url: str, download: AbstractAsyncContextManager[StreamedReply], attempt: Attempt
    ) -> AsyncIterator[StreamedReply]:
        if not self._hooks:
            async with AsyncExitStack() as stack:
                yield self._timed(attempt, await self._in_time(attempt, stack.enter_async_context(download)))
            return
        with CallObserver(self._hooks, self.clock, describe_download(self.options, url)) as observer:
            async with AsyncExitStack() as stack:
                attempt.listeners = (observer,)
                observer.sending()
                entering = self._in_time(attempt, stack.enter_async_context(download))
                yield self._timed(attempt, await _heard_by(attempt, entering))

    @staticmethod
    def as_json(reply: Reply) -> Any:
        """Parse a reply's body; `ProtocolError` when it is not JSON."""
        return read_json(reply.status_code, reply.content)

    @staticmethod
    def as_object(reply: Reply) -> Mapping[str, Any]:
        """Parse a reply's body that must be an object; `ProtocolError` when it is not."""
        return read_object(reply.status_code, reply.content)

    # One attempt...

    def _begin(self, request: Request, attempt: Attempt) -> Callable[[], None] | None:
        attempt.number += 1
        for listener in attempt.listeners:
            listener.sending()
        # Reading again is always safe, so nobody asks whether a GET had left; that keeps the hot path bare.
        if request.safety is RetrySafety.REPEATABLE:
            attempt.sent = True
            return None
        attempt.sent, attempt.outcome = False, None
        return _FirstByte(self, attempt)

    async def _exchange(self, request: Request, attempt: Attempt, prepared: Prepared) -> Reply:
        on_sent = self._begin(request, attempt)
        answering = self.transport.send(prepared, max_bytes=self.options.max_reply_bytes, on_sent=on_sent)
        answer: Awaitable[Reply] = self._in_time(attempt, answering)
        return await (_heard_by(attempt, answer) if attempt.listeners else answer)

    async def _enter(
        self, request: Request, attempt: Attempt, prepared: Prepared, stack: AsyncExitStack
    ) -> StreamedReply:
        """Begin a streamed attempt."""
        reply = self.transport.stream(prepared, on_sent=self._begin(request, attempt))
        return self._timed(attempt, await _heard_by(attempt, self._in_time(attempt, stack.enter_async_context(reply))))

    def _in_time(self, attempt: Attempt, answer: Awaitable[T]) -> Awaitable[T]:
        left = self._left(attempt)
        return answer if left is None else in_time(left, self.options.deadline, answer)

    def _timed(self, attempt: Attempt, reply: StreamedReply) -> StreamedReply:
        deadline = self.options.deadline
        return reply if deadline is None else TimedReply(reply, partial(self._left, attempt), deadline)

    def _left(self, attempt: Attempt) -> float | None:
        deadline = self.options.deadline
        return None if deadline is None else deadline - (self.clock() - attempt.started)

    def _is_gone(self, reply: Reply) -> bool:
        return reply.status_code == 404 and self.options.service.is_ours(reply.content)

    def _refusal(self, reply: Reply) -> errors.APIStatusError:
        content = reply.content[:_ERROR_BYTES]
        error = self.options.service.status_error(reply.status_code, reply.headers, content, now=self.now())
        error.is_from_service = self.options.service.is_ours(content)
        return error

    def _note(self, request: Request, attempt: Attempt, reply: Reply) -> None:
        logger.debug("%s %s: %d, attempt %d", request.method, request.path, reply.status_code, attempt.number)
        capture(reply, attempt.number)

    # ... and what follows it.

    async def _after(
        self, request: Request, call: CallOptions, attempt: Attempt, error: errors.NeuralBoxError, reply: Reply | None
    ) -> bool:
        """Pause before another attempt, or raise what the call ends with.

        Returns:
            Whether the other attempt has another credential.
        """
        # Whoever said it: reading again is safe. What may have been accepted is sent again only on the service's word.
        is_sure = request.safety is RetrySafety.REPEATABLE or is_from_service(error)
        is_stale = isinstance(error, errors.AuthenticationError) and is_sure
        is_free = self.options.service.failure_is_free
        outcome = attempt.outcome = classify_attempt(error, sent=attempt.sent, failure_is_free=is_free)
        if is_stale and not (attempt.has_renewed or request.anonymous):
            renewing = self._renewal.follow(self, self.credential, stale=attempt.authorization)
            attempt.has_renewed = await self._in_time(attempt, renewing)
            if attempt.has_renewed:
                for listener in attempt.listeners:
                    listener.repeating("session expired", error, 0.0)
                await self._let_go(attempt)
                return True
        if reply is not None:
            for listener in attempt.listeners:
                listener.refused(error, reply)
        step = decide(
            self.policy,
            safety=request.safety,
            outcome=outcome,
            error=error,
            attempt=attempt.number,
            elapsed=self.clock() - attempt.started,
            jitter=self.random(),
        )
        if isinstance(step, StopReason):
            self._raise(request, call, attempt, error, step)
        logger.info(
            "%s %s: %s (%s); attempt %d in %.2f s",
            request.method,
            request.path,
            type(error).__name__,
            outcome.value,
            attempt.number + 1,
            step,
        )
        for listener in attempt.listeners:
            listener.repeating(outcome.value, error, step)
        attempt.may_have_worked = attempt.may_have_worked or outcome is AttemptOutcome.UNKNOWN
        await self.pause(step)
        await self._let_go(attempt)
        return False

    async def pause(self, seconds: float) -> None:
        """Pause before something is sent.

        Raises:
            ConfigurationError: The client was closed meanwhile.
        """
        await pause(self.transport, self.sleep, seconds)

    async def _let_go(self, attempt: Attempt) -> None:
        """Wait until every listener lets the next attempt go."""
        for listener in attempt.listeners:
            await self.wait_to_leave(attempt, listener.before_repeat)

    async def wait_to_leave(self, attempt: Attempt, admit: Callable[[], Awaitable[T]]) -> T:
        """Await what lets an attempt go, within the deadline where that counts.

        Raises:
            APITimeoutError: The deadline passed before that.
        """
        if attempt.patience is None:
            return await self._in_time(attempt, admit())
        began = self.clock()
        try:
            with attempt.patience():
                return await admit()
        finally:
            attempt.started += self.clock() - began

    def _raise(
        self, request: Request, call: CallOptions, attempt: Attempt, error: errors.NeuralBoxError, stop: StopReason
    ) -> NoReturn:
        if attempt.outcome is AttemptOutcome.UNKNOWN and request.safety is RetrySafety.PAID:
            raise self.unknown(request, sent_at=attempt.sent_at, cause=error, call=call) from error
        why = stop.value.format(
            attempts=attempt.number,
            delay=getattr(error, "retry_after", None) or 0.0,
            max_wait=self.policy.max_wait,
            deadline=self.policy.deadline or 0.0,
        )
        if why and attempt.number + (stop is not StopReason.EXHAUSTED) > 1:
            error.args = (f"{error.message} {why}",)
        raise error

    def unknown(
        self,
        request: Request,
        *,
        sent_at: float | None,
        cause: errors.NeuralBoxError,
        call: CallOptions = NO_CALL_OPTIONS,
    ) -> errors.SubmissionUnknownError:
        """Build the error of a paid request that may have been accepted without our learning of it."""
        return errors.SubmissionUnknownError(
            f"A paid {request.method} {request.path} was sent and its outcome is unknown "
            f"({type(cause).__name__}: {cause.message.rstrip('.')}). It was not sent again, since it may already be "
            "accepted and charged; `client.history.list()` shows whether it was.",
            request=request.whole_body(call.extra_body),
            sent_at=sent_at,
            lost_at=self.now(),
        )

    # From a request to what the transport sends.

    async def _prepare(self, request: Request, call: CallOptions, attempt: Attempt) -> Prepared:
        options = self.options
        headers = {"accept": request.accept, "user-agent": USER_AGENT}
        if not request.anonymous:
            identifying = self._renewal.header(self, self.credential)
            attempt.authorization = await self._in_time(attempt, identifying)
            headers[self.credential.header_name] = attempt.authorization
        for extra in (options.default_headers, call.extra_headers):
            if extra:
                headers |= {name.lower(): value for name, value in extra.items()}
        content, form = None, request.form
        if form is not None and call.extra_body:
            form = replace(form, fields={**form.fields, **form_texts(call.extra_body)})
        elif request.body is not None or call.extra_body:
            content = _encode({**(request.body or {}), **(call.extra_body or {})})
            headers.setdefault("content-type", "application/json")
        url = (options.root if request.prefix is None else options.base_url + request.prefix) + request.path
        pairs = list(request.query)
        if call.extra_query:
            pairs += query(**call.extra_query)
        if pairs:
            url += "?" + _quote(pairs)
        limits = options.timeout if call.timeout is None else Timeout.of(call.timeout)
        return self.transport.prepare(
            request.method,
            url,
            headers=headers,
            timeouts=_timeouts(limits, slow=request.slow),
            content=content,
            form=form,
        )

    # The session of an end user.

    async def refresh(self, session: Session, call: CallOptions = NO_CALL_OPTIONS) -> Mapping[str, Any]:
        """Ask for a new access token with the session's cookie; see `_core.session_refresh`."""
        return await self._in_time(Attempt(self.clock()), self._renewal.refresh(self, session, call))

    async def log_in(
        self, session: Session, request: Request, call: CallOptions = NO_CALL_OPTIONS
    ) -> Mapping[str, Any]:
        """Send a login or refresh and let the session take over what it answers; see `_core.session_refresh`."""
        return await log_in(self, session, request, call)


async def _heard_by(attempt: Attempt, answer: Awaitable[A]) -> A:
    """Await an answer and tell the listeners of it, or of what came in its place."""
    try:
        reply = await answer
    except BaseException as error:
        for listener in attempt.listeners:
            listener.failed(error)
        raise
    for listener in attempt.listeners:
        listener.answered(reply)
    return reply


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        named = what_json_cannot_hold(body) if isinstance(error, TypeError) else None
        raise errors.ConfigurationError(f"The request cannot be written as JSON: {named or f'{error}.'}") from None


def _quote(pairs: list[tuple[str, str]]) -> str:
    try:
        return urlencode(pairs)
    except UnicodeEncodeError:
        raise errors.ConfigurationError("A query parameter holds half a character (a lone surrogate).") from None


def _timeouts(limits: Timeout, *, slow: bool) -> Timeouts:
    return Timeouts(limits.connect, limits.generation if slow else limits.read, limits.write, limits.total)
