"""The send loop: a request goes to the transport, its ending is classified, and a pause or an error follows.

The only place that pauses between attempts. Whether another attempt follows is decided by `_wire.outcome`; how bytes
move is the transport's business. The clock, the pause and the dice are injected, so that tests run in virtual time.
A paid request whose outcome is unknown ends here as `SubmissionUnknownError` and is never sent again.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import anyio

from . import _errors as errors
from ._config import NO_CALL_OPTIONS, CallOptions, ClientOptions, Timeout
from ._credentials import Credential, Session
from ._transport import PerLoop, Prepared, Reply, StreamedReply, Timeouts, Transport
from ._version import __version__
from ._wire import vocabulary as words
from ._wire.outcome import Fate, RetryPolicy, Stop, decide, fate_of
from ._wire.reply import read_json, read_object
from ._wire.request import Form, Request, Safety, query

T = TypeVar("T")

logger = logging.getLogger("neuralbox")
USER_AGENT = f"neuralbox/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"
# An error body is read up to here; what a refusal says fits in far less.
_ERROR_BYTES = 256 * 1024


async def _wait_until(event: anyio.Event, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await event.wait()


@dataclass(frozen=True, slots=True)
class Clockwork:
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


@dataclass(frozen=True, slots=True)
class Seen:
    """The reply a call ended with, for `with_raw_response`.

    Attributes:
        reply: The reply.
        attempts: How many were made, 1 for the first.
    """

    reply: Reply
    attempts: int


_seen: ContextVar[list[Seen] | None] = ContextVar("neuralbox_seen", default=None)


@contextmanager
def watching() -> Iterator[list[Seen]]:
    """Collect the replies of the calls made inside the block by this task."""
    seen: list[Seen] = []
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


class _Exchange:
    """One call on its way: which attempt, since when, and whether the present one has left."""

    __slots__ = ("attempt", "authorization", "call", "renewed", "request", "sent", "sent_at", "started", "unsure")

    def __init__(self, request: Request, call: CallOptions, started: float) -> None:
        self.request = request
        self.call = call
        self.started = started
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
        clockwork: Time and chance.
    """

    def __init__(
        self,
        transport: Transport,
        options: ClientOptions,
        credential: Credential,
        clockwork: Clockwork = Clockwork(),
    ) -> None:
        self.transport = transport
        self.options = options
        self.credential = credential
        self.clockwork = clockwork
        self.clock = clockwork.clock
        self.now = clockwork.now
        self.random = clockwork.random
        self.sleep = clockwork.sleep
        self.wait_until = clockwork.wait_until
        self._policy = RetryPolicy(options.max_retries, options.max_retry_wait, options.deadline)
        self._renewing: PerLoop[anyio.Lock] = PerLoop()

    def __repr__(self) -> str:
        return f"<Core {self.options.base_url}>"

    def changed(self, options: ClientOptions) -> Core:
        """Return a core with other options over the same connections and credential."""
        core = Core(self.transport, options, self.credential, self.clockwork)
        core._renewing = self._renewing  # one session, one renewal at a time, whichever copy finds it stale
        return core

    # A whole reply.

    async def send(self, request: Request, read: Callable[[Reply], T], call: CallOptions = NO_CALL_OPTIONS) -> T:
        """Send a request, repeat it where that is safe, and read the answer.

        Args:
            request: What to ask.
            read: Turns a 2xx reply into the result; may raise `ProtocolError`.
            call: What this one call changes.

        Raises:
            NeuralBoxError: Any branch of it, as `_errors` draws the tree.
        """
        exchange = _Exchange(request, call, self.clock())
        prepared = await self._prepare(exchange)
        while True:
            reply = None
            try:
                reply = await self._attempt(exchange, prepared)
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

    # A reply that is read as it comes.

    def open(self, request: Request, call: CallOptions = NO_CALL_OPTIONS) -> AbstractAsyncContextManager[StreamedReply]:
        """Send a request and hand out its 2xx reply unread; repeated like `send` until the headers have come."""
        return self._open(request, call)

    @asynccontextmanager
    async def _open(self, request: Request, call: CallOptions) -> AsyncIterator[StreamedReply]:
        exchange = _Exchange(request, call, self.clock())
        prepared = await self._prepare(exchange)
        while True:
            handed_out, reply = False, None
            try:
                async with AsyncExitStack() as stack:
                    streamed = await self._enter(exchange, prepared, stack)
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
        return self.transport.stream(prepared)

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
        exchange.sent = exchange.request.safety is Safety.REPEATABLE
        exchange.sent_at = None
        if exchange.sent:
            return None

        def on_sent() -> None:
            exchange.sent, exchange.sent_at = True, self.now()

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
        seen = _seen.get()
        if seen is not None:
            seen.append(Seen(reply, exchange.attempt))

    # ... and what follows it.

    async def _after(
        self,
        exchange: _Exchange,
        prepared: Prepared,
        error: errors.NeuralBoxError,
        reply: Reply | None,
    ) -> Prepared:
        """Pause before another attempt and return what it sends, or raise what the call ends with."""
        if await self._renewed(exchange, error):
            return await self._prepare(exchange)
        ours = reply is not None and self.options.service.is_ours(reply.content)
        fate = fate_of(error, sent=exchange.sent, ours=ours)
        step = decide(
            self._policy,
            safety=exchange.request.safety,
            fate=fate,
            error=error,
            attempt=exchange.attempt,
            elapsed=self.clock() - exchange.started,
            jitter=self.random(),
        )
        if isinstance(step, Stop):
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
        exchange.unsure = exchange.unsure or fate is Fate.UNKNOWN
        await self.sleep(step)
        return prepared

    def _raise(self, exchange: _Exchange, fate: Fate, error: errors.NeuralBoxError, stop: Stop) -> NoReturn:
        request = exchange.request
        if fate is Fate.UNKNOWN and request.safety is Safety.PAID:
            raise self.unknown(request, sent_at=exchange.sent_at, cause=error, call=exchange.call) from error
        why = stop.value.format(
            attempts=exchange.attempt,
            delay=getattr(error, "retry_after", None) or 0.0,
            max_wait=self._policy.max_wait,
            deadline=self._policy.deadline or 0.0,
        )
        if why and exchange.attempt + (stop is not Stop.EXHAUSTED) > 1:
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
        body = {**(request.form.fields if request.form else request.body or {}), **(call.extra_body or {})}
        return errors.SubmissionUnknownError(
            f"A paid {request.method} {request.path} was sent and its outcome is unknown "
            f"({type(cause).__name__}: {cause.message.rstrip('.')}). It was not sent again, since it may already be "
            "accepted and charged; `client.history.list()` shows whether it was.",
            request=body,
            sent_at=sent_at,
            lost_at=self.now(),
        )

    # From a request to what the transport sends.

    async def _prepare(self, exchange: _Exchange) -> Prepared:
        options, request, call = self.options, exchange.request, exchange.call
        headers = {"accept": request.accept, "user-agent": USER_AGENT}
        if not request.anonymous:
            headers[self.credential.header_name] = exchange.authorization = await self._authorization()
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

    async def _authorization(self) -> str:
        credential = self.credential
        # Without a cookie nothing can be renewed, and the token is good until the service says that it is not.
        if isinstance(credential, Session) and credential.cookies and credential.runs_out(self.now()):
            await self._renew(credential, credential.header)
        header = credential.header
        if header is None:
            raise errors.ConfigurationError("Nobody is logged in: call one of `client.auth`'s login methods first.")
        return header

    async def _renewed(self, exchange: _Exchange, error: errors.NeuralBoxError) -> bool:
        """Renew a session whose token the service refuses, once per call; a refused request was not executed.

        `token_expired` is the documented code, but the documents also show sentences in its place (C26), so any 401 counts.
        """
        credential = self.credential
        if (
            exchange.renewed
            or exchange.request.anonymous
            or not isinstance(credential, Session)
            or not isinstance(error, errors.AuthenticationError)
            or not credential.cookies
        ):
            return False
        exchange.renewed = True
        await self._renew(credential, exchange.authorization)
        return True

    async def _renew(self, session: Session, stale: str | None) -> None:
        """Refresh the token; of all calls that find it stale, one asks and the others share its answer."""
        async with self._renewing.get(anyio.Lock):
            if session.header != stale:
                return  # renewed by another call since
            unseen = _seen.set(None)  # `with_raw_response` is about the call's own reply, not about this one's token
            try:
                await self.refresh(session)
            finally:
                _seen.reset(unseen)

    async def refresh(self, session: Session, call: CallOptions = NO_CALL_OPTIONS) -> Mapping[str, Any]:
        """Ask for a new access token with the session's cookie.

        Source:
            NeuralBox API, `POST /api/v2/auth/refresh` [nb:en/authentication].
        """
        return await self.log_in(session, Request("POST", words.AUTH_REFRESH, Safety.ONCE, anonymous=True), call)

    async def log_in(
        self, session: Session, request: Request, call: CallOptions = NO_CALL_OPTIONS
    ) -> Mapping[str, Any]:
        """Send a login or refresh and let the session take over what it answers.

        Raises:
            ProtocolError: The answer has no access token.
        """

        def read(reply: Reply) -> Mapping[str, Any]:
            record = read_object(reply.status_code, reply.content)
            if not session.accept(record, _set_cookies(reply), now=self.now()):
                raise errors.ProtocolError(
                    f"The service answered {reply.status_code} without an access token.", status_code=reply.status_code
                )
            return record

        cookie = session.cookie_header
        if cookie is not None:
            extra = {**(call.extra_headers or {}), "cookie": cookie}
            call = CallOptions(call.timeout, extra, call.extra_query, call.extra_body)
        return await self.send(request, read, call)


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


def _set_cookies(reply: Reply) -> list[str]:
    # A joined header cannot be split at commas (dates hold one), so the engine's list is used where it has one.
    get_list = getattr(reply.headers, "get_list", None)
    if get_list is not None:
        return list(get_list("set-cookie"))
    line = reply.headers.get("set-cookie")
    return [] if line is None else [line]
