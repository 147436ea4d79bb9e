"""The send loop: a request goes to the transport, its ending is classified, and a pause or an error follows.

The only place that pauses between attempts. Whether another attempt follows is decided by `_core.retry`; how bytes
move is the transport's business. The clock, the pause and the dice are injected, so that tests run in virtual time.
A paid request whose outcome is unknown ends here as `SubmissionUnknownError` and is never sent again.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import anyio

from .. import _errors as errors
from .._api.reply import read_json, read_object
from .._api.request import Form, Request, RetrySafety, query
from .._config import NO_CALL_OPTIONS, CallOptions, ClientOptions, Timeout
from .._transport import Prepared, Reply, StreamedReply, Timeouts, Transport
from .._version import __version__
from .account import SharedAccountState, account_of
from .call_events import CallObserver, describe_download, observe_call
from .credentials import Credential, Session
from .reply_capture import capture
from .retry import AttemptOutcome, RetryPolicy, StopReason, classify_attempt, decide
from .session_refresh import SessionRefresher, log_in, refresh

T = TypeVar("T")

logger = logging.getLogger("neuralbox")
USER_AGENT = f"neuralbox/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"
# An error body is read up to here; what a refusal says fits in far less.
_ERROR_BYTES = 256 * 1024


async def _wait_until(event: anyio.Event, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await event.wait()


@dataclass(frozen=True, slots=True)
class TimeSource:
    """Everything that depends on time or chance.

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


class AttemptState:
    """What a paid call's present attempt has come to, kept up to date by the core for whoever made it.

    Attributes:
        sent: Whether its first byte has left (or was about to).
        sent_at: When that was, Unix seconds.
        sent_clock: The same by the monotonic clock.
        fate: What it came to; None while it goes on, and after a 2xx.
        started: When the first attempt began, by the monotonic clock: the deadline counts from there, over all calls
            that are given the same `AttemptState`.
        heard: Called with the headers of each refusal, and its error.
        seen: Tells the client's hooks of the attempts.
    """

    __slots__ = ("fate", "heard", "seen", "sent", "sent_at", "sent_clock", "started")

    def __init__(self, started: float) -> None:
        self.started: float = started
        self.sent: bool = False
        self.sent_at: float | None = None
        self.sent_clock: float | None = None
        self.fate: AttemptOutcome | None = None
        self.heard: Callable[[Mapping[str, str], errors.NeuralBoxError], None] | None = None
        self.seen: CallObserver | None = None


class _Exchange:
    """One call on its way: which attempt, since when, and whether the present one has left."""

    __slots__ = (
        "attempt",
        "authorization",
        "call",
        "ending",
        "renewed",
        "request",
        "sent",
        "sent_at",
        "started",
        "unsure",
    )

    def __init__(self, request: Request, call: CallOptions, started: float, ending: AttemptState | None = None) -> None:
        self.request = request
        self.call = call
        self.started = started if ending is None else ending.started
        self.ending = ending
        self.authorization: str | None = None  # what the present attempt identifies itself with
        self.attempt = 0
        self.sent = False
        self.sent_at: float | None = None
        self.renewed = False
        self.unsure = False  # an earlier attempt may have been carried out


class Core:
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
        self.account: SharedAccountState = account_of(options.base_url, credential.identity, time_source)
        self.policy: RetryPolicy = RetryPolicy(options.max_retries, options.max_retry_wait, options.deadline)
        self._renewal = SessionRefresher()
        self._hooks = options.hooks
        self._kept: object = None

    def __repr__(self) -> str:
        return f"<Core {self.options.base_url}>"

    def with_options(self, options: ClientOptions) -> Core:
        """Return a core with other options over the same connections and credential."""
        core = Core(self.transport, options, self.credential, self.time_source)
        core._renewal = self._renewal  # one session, one renewal at a time, whichever copy finds it stale
        return core

    def keep_alive(self, owner: object) -> None:
        """Hold on to what owns the connections for as long as anything made of this core is in use."""
        self._kept = owner

    # A whole reply.

    async def send(
        self,
        request: Request,
        read: Callable[[Reply], T],
        call: CallOptions = NO_CALL_OPTIONS,
        ending: AttemptState | None = None,
    ) -> T:
        """Send a request, repeat it where that is safe, and read the answer.

        Args:
            request: What to ask.
            read: Turns a 2xx reply into the result; may raise `ProtocolError`.
            call: What this one call changes.
            ending: Is told what the attempts of a paid request come to.

        Raises:
            NeuralBoxError: Any branch of it, as `_errors` draws the tree.
        """
        seen = None if ending is None else ending.seen
        if self._hooks and seen is None:
            return await self._send_observed(request, read, call, ending)
        exchange = _Exchange(request, call, self.clock(), ending)
        prepared = await self._prepare(exchange)
        while True:
            reply = None
            try:
                answer = self._attempt(exchange, prepared)
                reply = await (answer if seen is None else seen.attempt(answer))
                if 200 <= reply.status_code < 300:
                    value = read(reply)
                    self._note(exchange, reply)
                    return value
                if reply.status_code == 404 and request.method == "DELETE" and exchange.unsure:
                    self._note(exchange, reply)
                    return read(Reply(204, reply.headers, b""))  # the attempt that was lost had deleted it
                error: errors.NeuralBoxError = self._refusal(reply)
            except (errors.APIConnectionError, errors.ProtocolError) as caught:
                error = caught
            prepared = await self._after(exchange, prepared, error, reply)

    async def _send_observed(
        self, request: Request, read: Callable[[Reply], T], call: CallOptions, ending: AttemptState | None
    ) -> T:
        with observe_call(self.options, self.clock, request) as seen:
            ending = ending or AttemptState(self.clock())
            ending.seen = seen
            return await self.send(request, read, call, ending)

    # A reply that is read as it comes.

    def open(
        self, request: Request, call: CallOptions = NO_CALL_OPTIONS, ending: AttemptState | None = None
    ) -> AbstractAsyncContextManager[StreamedReply]:
        """Send a request and hand out its 2xx reply unread; repeated like `send` until the headers have come."""
        return self._open(request, call, ending)

    @asynccontextmanager
    async def _open(
        self, request: Request, call: CallOptions, ending: AttemptState | None
    ) -> AsyncIterator[StreamedReply]:
        seen = None if ending is None else ending.seen
        exchange = _Exchange(request, call, self.clock(), ending)
        prepared = await self._prepare(exchange)
        while True:
            handed_out, reply = False, None
            try:
                async with AsyncExitStack() as stack:
                    entering = self._enter(exchange, prepared, stack)
                    streamed = await (entering if seen is None else seen.attempt(entering))
                    if 200 <= streamed.status_code < 300:
                        self._note(exchange, Reply(streamed.status_code, streamed.headers, b""))
                        handed_out = True
                        yield streamed
                        return
                    content = await streamed.read(max_bytes=_ERROR_BYTES)
                    reply = Reply(streamed.status_code, streamed.headers, content)
                error: errors.NeuralBoxError = self._refusal(reply)
            except (errors.APIConnectionError, errors.ProtocolError) as caught:
                if handed_out:  # an error of reading or of the caller's block: no second attempt from here
                    raise
                error = caught
            prepared = await self._after(exchange, prepared, error, reply)

    def fetch(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | Timeout | None = None,
    ) -> AbstractAsyncContextManager[StreamedReply]:
        """GET a foreign address: no credential, none of the client's headers, one attempt, any status handed out.

        Raises:
            ConfigurationError: The address is not http or https.
            APIConnectionError: No reply, or it broke off.
        """
        limits = self.options.timeout if timeout is None else Timeout.of(timeout)
        prepared = self.transport.prepare(
            "GET", url, headers={"user-agent": USER_AGENT, **(headers or {})}, timeouts=_timeouts(limits, slow=False)
        )
        download = self.transport.stream(prepared, download=True)
        return download if not self._hooks else self._fetch_observed(url, download)

    @asynccontextmanager
    async def _fetch_observed(
        self, url: str, download: AbstractAsyncContextManager[StreamedReply]
    ) -> AsyncIterator[StreamedReply]:
        with CallObserver(self._hooks, self.clock, describe_download(self.options, url)) as seen:
            async with AsyncExitStack() as stack:
                yield await seen.attempt(stack.enter_async_context(download))

    @staticmethod
    def as_json(reply: Reply) -> Any:
        """Parse a reply's body; `ProtocolError` when it is not JSON."""
        return read_json(reply.status_code, reply.content)

    @staticmethod
    def as_object(reply: Reply) -> Mapping[str, Any]:
        """Parse a reply's body that must be an object; `ProtocolError` when it is not."""
        return read_object(reply.status_code, reply.content)

    # One attempt...

    def _begin(self, exchange: _Exchange) -> Callable[[], None] | None:
        exchange.attempt += 1
        # Reading again is always safe, so nobody asks whether a GET had left; that keeps the hot path bare.
        exchange.sent = exchange.request.safety is RetrySafety.REPEATABLE
        exchange.sent_at = None
        if exchange.sent:
            return None

        ending = exchange.ending
        if ending is not None:
            ending.sent, ending.fate = False, None

        def on_sent() -> None:
            exchange.sent, exchange.sent_at = True, self.now()
            if ending is not None:
                ending.sent, ending.sent_at, ending.sent_clock = True, exchange.sent_at, self.clock()

        return on_sent

    async def _attempt(self, exchange: _Exchange, prepared: Prepared) -> Reply:
        on_sent = self._begin(exchange)
        most = self.options.max_reply_bytes
        if self.options.deadline is None:
            return await self.transport.send(prepared, max_bytes=most, on_sent=on_sent)
        with anyio.move_on_after(self._left(exchange)):
            return await self.transport.send(prepared, max_bytes=most, on_sent=on_sent)
        raise self._too_late()

    async def _enter(self, exchange: _Exchange, prepared: Prepared, stack: AsyncExitStack) -> StreamedReply:
        """Begin a streamed attempt; the deadline counts until its headers are there."""
        reply = self.transport.stream(prepared, on_sent=self._begin(exchange))
        with anyio.move_on_after(self._left(exchange)):
            return await stack.enter_async_context(reply)
        raise self._too_late()

    def _left(self, exchange: _Exchange) -> float | None:
        deadline = self.options.deadline
        return None if deadline is None else deadline - (self.clock() - exchange.started)

    def _too_late(self) -> errors.APITimeoutError:
        return errors.APITimeoutError(
            f"The deadline of {self.options.deadline:g} s over all attempts passed.", phase="deadline"
        )

    def _refusal(self, reply: Reply) -> errors.APIStatusError:
        content = reply.content[:_ERROR_BYTES]
        return self.options.service.status_error(reply.status_code, reply.headers, content, now=self.now())

    def _note(self, exchange: _Exchange, reply: Reply) -> None:
        logger.debug(
            "%s %s: %d, attempt %d", exchange.request.method, exchange.request.path, reply.status_code, exchange.attempt
        )
        capture(reply, exchange.attempt)

    # ... and what follows it.

    async def _after(
        self,
        exchange: _Exchange,
        prepared: Prepared,
        error: errors.NeuralBoxError,
        reply: Reply | None,
    ) -> Prepared:
        """Pause before another attempt and return what it sends, or raise what the call ends with."""
        if not (exchange.renewed or exchange.request.anonymous) and isinstance(error, errors.AuthenticationError):
            exchange.renewed = await self._renewal.follow(self, self.credential, stale=exchange.authorization)
            if exchange.renewed:
                if exchange.ending is not None and exchange.ending.seen is not None:
                    exchange.ending.seen.record_retry("session expired", error)
                return await self._prepare(exchange)
        ours = reply is not None and self.options.service.is_ours(reply.content)
        fate = classify_attempt(error, sent=exchange.sent, ours=ours)
        ending = exchange.ending
        if ending is not None:
            ending.fate = fate
            if ending.heard is not None and reply is not None:
                ending.heard(reply.headers, error)
        step = decide(
            self.policy,
            safety=exchange.request.safety,
            fate=fate,
            error=error,
            attempt=exchange.attempt,
            elapsed=self.clock() - exchange.started,
            jitter=self.random(),
        )
        if isinstance(step, StopReason):
            self._raise(exchange, fate, error, step)
        logger.info(
            "%s %s: %s (%s); attempt %d in %.2f s",
            exchange.request.method,
            exchange.request.path,
            type(error).__name__,
            fate.value,
            exchange.attempt + 1,
            step,
        )
        if ending is not None and ending.seen is not None:
            ending.seen.record_retry(fate.value, error, step)
        exchange.unsure = exchange.unsure or fate is AttemptOutcome.UNKNOWN
        await self.sleep(step)
        return prepared

    def _raise(
        self, exchange: _Exchange, fate: AttemptOutcome, error: errors.NeuralBoxError, stop: StopReason
    ) -> NoReturn:
        request = exchange.request
        if fate is AttemptOutcome.UNKNOWN and request.safety is RetrySafety.PAID:
            raise self.unknown(request, sent_at=exchange.sent_at, cause=error, call=exchange.call) from error
        why = stop.value.format(
            attempts=exchange.attempt,
            delay=getattr(error, "retry_after", None) or 0.0,
            max_wait=self.policy.max_wait,
            deadline=self.policy.deadline or 0.0,
        )
        if why and exchange.attempt + (stop is not StopReason.EXHAUSTED) > 1:
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

    async def _prepare(self, exchange: _Exchange) -> Prepared:
        options, request, call = self.options, exchange.request, exchange.call
        headers = {"accept": request.accept, "user-agent": USER_AGENT}
        if not request.anonymous:
            headers[self.credential.header_name] = exchange.authorization = await self._renewal.header(
                self, self.credential
            )
        for extra in (options.default_headers, call.extra_headers):
            if extra:
                headers |= {name.lower(): value for name, value in extra.items()}
        content, form = None, request.form
        if form is not None and call.extra_body:
            fields = {**form.fields, **dict(query(**call.extra_body))}
            form = Form(form.name, form.file_name, form.content, form.content_type, fields)
        elif request.body is not None or call.extra_body:
            content = _encode({**(request.body or {}), **(call.extra_body or {})})
            headers.setdefault("content-type", "application/json")
        url = options.root + request.path
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
        return await refresh(self, session, call)

    async def log_in(
        self, session: Session, request: Request, call: CallOptions = NO_CALL_OPTIONS
    ) -> Mapping[str, Any]:
        """Send a login or refresh and let the session take over what it answers; see `_core.session_refresh`."""
        return await log_in(self, session, request, call)


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.ConfigurationError(f"The request cannot be written as JSON: {error}.") from None


def _quote(pairs: list[tuple[str, str]]) -> str:
    try:
        return urlencode(pairs)
    except UnicodeEncodeError:
        raise errors.ConfigurationError("A query parameter holds half a character (a lone surrogate).") from None


def _timeouts(limits: Timeout, *, slow: bool) -> Timeouts:
    return Timeouts(limits.connect, limits.generation if slow else limits.read, limits.write)
