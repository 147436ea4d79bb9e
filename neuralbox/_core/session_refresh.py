"""Keeping an end user's session good: renewing its token before it runs out, and after the service refused it.

One renewal at a time for each session and loop, however many calls, of one client or of several, find its token stale.
Logging in and refreshing are requests like any other; whoever sends them is the core, which is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Protocol, TypeVar

import anyio

from .._api import vocabulary as words
from .._api.reply import read_object
from .._api.request import Request, RetrySafety
from .._concurrency.per_loop import PerLoop
from .._config import NO_CALL_OPTIONS, CallOptions
from .._errors import APIConnectionError, APIStatusError, ConfigurationError, NeuralBoxError, ProtocolError
from .._transport import Reply
from .credentials import Credential, Session
from .reply_capture import without_capture

T = TypeVar("T")


class Sender(Protocol):
    """What sends a request and knows the time: the core."""

    @property
    def now(self) -> Callable[[], float]: ...

    async def send(self, request: Request, read: Callable[[Reply], T], call: CallOptions = ...) -> T: ...


class SessionRefresher:
    """Renews the token of a session; shared by all its clients."""

    def __init__(self) -> None:
        self._locks: PerLoop[anyio.Lock] = PerLoop()
        self._failed = 0  # renewals
        self._failure: NeuralBoxError | None = None  # of the last of them

    async def header(self, sender: Sender, credential: Credential) -> str:
        """Return what a request identifies itself with, renewed where it is about to run out.

        Raises:
            ConfigurationError: Nobody is logged in.
        """
        # Without a cookie nothing can be renewed, and the token is good until the service says that it is not.
        if isinstance(credential, Session) and credential.cookies and credential.runs_out(sender.now()):
            await self._renew(sender, credential, credential.header)
        header = credential.header
        if header is None:
            raise ConfigurationError("Nobody is logged in: call one of `client.auth`'s login methods first.")
        return header

    async def follow(self, sender: Sender, credential: Credential, *, stale: str | None) -> bool:
        """Renew a session whose token the service refused with 401; whether there is another token to try.

        A refused request was not executed. `token_expired` is the documented code, but the documents also show
        sentences in its place (C26), so any 401 counts.
        """
        if not isinstance(credential, Session) or not credential.cookies:
            return False
        await self._renew(sender, credential, stale)
        return True

    async def refresh(self, sender: Sender, session: Session, call: CallOptions) -> Mapping[str, Any]:
        """Refresh the token whatever it is, with the cookie that the renewal before it brought."""
        async with self._locks.get(anyio.Lock):
            return await refresh(sender, session, call)

    async def _renew(self, sender: Sender, session: Session, stale: str | None) -> None:
        """Refresh the token; of all calls that find it stale, one asks and the others share its answer, or that there is none."""
        failed = self._failed
        async with self._locks.get(anyio.Lock):
            if session.header != stale:
                return  # renewed by another call since
            if self._failure is not None and self._failed != failed:
                raise copy(self._failure)
            try:
                with without_capture():  # `with_raw_response` is about the call's own reply, not about this one's token
                    await refresh(sender, session)
            except (APIConnectionError, APIStatusError, ProtocolError) as error:
                self._failed, self._failure = self._failed + 1, copy(error)
                raise


async def refresh(sender: Sender, session: Session, call: CallOptions = NO_CALL_OPTIONS) -> Mapping[str, Any]:
    """Ask for a new access token with the session's cookie.

    Source:
        NeuralBox API, `POST /api/v2/auth/refresh` [nb:en/authentication].
    """
    return await log_in(sender, session, Request("POST", words.AUTH_REFRESH, RetrySafety.ONCE, anonymous=True), call)


async def log_in(
    sender: Sender, session: Session, request: Request, call: CallOptions = NO_CALL_OPTIONS
) -> Mapping[str, Any]:
    """Send a login or refresh and let the session take over what it answers.

    Raises:
        ProtocolError: The answer has no access token.
    """

    def read(reply: Reply) -> Mapping[str, Any]:
        record = read_object(reply.status_code, reply.content)
        if not session.accept(record, _set_cookies(reply), now=sender.now()):
            raise ProtocolError(
                f"The service answered {reply.status_code} without an access token.", status_code=reply.status_code
            )
        return record

    cookie = session.cookie_header
    if cookie is not None:
        extra = {**(call.extra_headers or {}), "cookie": cookie}
        call = CallOptions(call.timeout, extra, call.extra_query, call.extra_body)
    return await sender.send(request, read, call)


def _set_cookies(reply: Reply) -> list[str]:
    # A joined header cannot be split at commas (dates hold one), so the engine's list is used where it has one.
    get_list = getattr(reply.headers, "get_list", None)
    if get_list is not None:
        return list(get_list("set-cookie"))
    line = reply.headers.get("set-cookie")
    return [] if line is None else [line]
