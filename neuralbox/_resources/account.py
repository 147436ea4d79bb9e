"""The account: balance, user, limits, statistics."""

from __future__ import annotations

from typing import Unpack

from .._api import vocabulary as words
from .._api.checks import require_address
from .._api.request import Request, given
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._errors import APIStatusError
from .._models.account import AccountLimits, Balance, Stats, User
from .._rate_limit.limiter import limiter_of
from .._transport import Reply
from .._types import OMIT, Omit


class _BalancePath:
    """The path at which an account's balance was last found."""

    path = words.BALANCE


class Account:
    """The account the credential belongs to."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def balance(self, **call: Unpack[CallArgs]) -> Balance:
        """Return the token balance and the plan.

        Args:
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Raises:
            APIStatusError: The service refused, by status.

        Source:
            NeuralBox API, quickstart, `GET /api/v2/balance` (SEED 001); where that path is not known,
            `GET /api/v2/user/balance` [nb:en/api-reference/user/me] (contradiction C12).
        """
        options = CallOptions.of(call)

        def read(reply: Reply) -> Balance:
            return Balance.read(self._core.as_object(reply))

        worked = self._core.account.state(_BalancePath, _BalancePath)
        first = worked.path
        try:
            return await self._core.send(Request("GET", first), read, options)
        except APIStatusError as error:
            if error.status_code not in (404, 405):
                raise
        other = words.USER_BALANCE if first == words.BALANCE else words.BALANCE
        balance = await self._core.send(Request("GET", other), read, options)
        worked.path = other
        return balance

    async def me(self, **call: Unpack[CallArgs]) -> User:
        """Return the user, plan limits included.

        Args:
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Raises:
            APIStatusError: The service refused, by status.

        Source:
            `GET /api/v2/user/me` [nb:en/api-reference/user/me].
        """

        def read(reply: Reply) -> User:
            return User.read(self._core.as_object(reply))

        return await self._core.send(Request("GET", words.ME), read, CallOptions.of(call))

    async def limits(self, **call: Unpack[CallArgs]) -> AccountLimits:
        """Return how many requests the plan still allows in this hour and this day.

        Every answer says it, so nothing is sent where one has told already. Only where nothing is known yet, and with
        `pace="off"`, which takes no account of answers, the service is asked.

        Args:
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Raises:
            APIStatusError: The service refused, by status.

        Source:
            `X-RateLimit-*` of any answer [elu:en/concepts/rate-limits], else `GET /api/v2/user/me`
            [nb:en/api-reference/user/me].
        """
        options, limiter = CallOptions.of(call), limiter_of(self._core)
        if not limiter.windows.known or self._core.options.pace == "off":
            await limiter.ask(self._core, options)
        return limiter.limits(self._core)

    async def update(
        self,
        *,
        name: str | Omit | None = OMIT,
        avatar_url: str | Omit | None = OMIT,
        username: str | Omit | None = OMIT,
        **call: Unpack[CallArgs],
    ) -> User:
        """Change the user; what is left out stays as it is.

        Args:
            name: Display name.
            avatar_url: Address of the picture.
            username: The name under which the renamed documents have it (C28).
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The user as answered; the answer is not documented, so its fields may all be None.

        Raises:
            UnprocessableEntityError: The service does not take a value.

        Source:
            `PATCH /api/v2/user/me` [nb:en/api-reference/user/me, elu:ru/api-reference/user/me].
        """

        def read(reply: Reply) -> User:
            return User.read(self._core.as_object(reply) if reply.content.strip() else {})

        require_address("avatar_url", avatar_url)
        body = given(name=name, avatar_url=avatar_url, username=username)
        return await self._core.send(Request("PATCH", words.ME, body=body), read, CallOptions.of(call))

    async def stats(self, **call: Unpack[CallArgs]) -> Stats:
        """Return what was generated and spent so far.

        Args:
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Raises:
            APIStatusError: The service refused, by status.

        Source:
            `GET /api/v2/user/stats` [nb:en/api-reference/user/stats].
        """

        def read(reply: Reply) -> Stats:
            return Stats.read(self._core.as_object(reply))

        return await self._core.send(Request("GET", words.STATS), read, CallOptions.of(call))
