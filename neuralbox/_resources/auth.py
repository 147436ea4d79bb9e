"""End-user login; the token then renews itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from .._api import vocabulary as words
from .._api.builders import require_mapping, require_text
from .._api.request import Request, RetrySafety
from .._config import CallArgs, CallOptions
from .._core.credentials import Session
from .._core.exchange import Core
from .._errors import ConfigurationError
from .._models.account import Login


class Auth:
    """Logging end users in, on a client made with `session=Session()`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def login(self, *, email: str, password: str, **call: Unpack[CallArgs]) -> Login:
        """Log in with email and password.

        Args:
            email: The user's address.
            password: The user's password; never logged or kept.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            Who logged in. The client's session holds the token from now on.

        Raises:
            AuthenticationError: The service does not accept them.
            ConfigurationError: The client was made with an API key.

        Source:
            `POST /api/v2/auth/login` [nb:en/authentication].
        """
        body = {"email": require_text("email", email), "password": require_text("password", password)}
        return await self._log_in(words.AUTH_LOGIN, body, call)

    async def login_phone(self, *, phone: str, password: str, **call: Unpack[CallArgs]) -> Login:
        """Log in with a phone number in E.164 form (`+7...`) and a password.

        The names of the fields are not documented; `phone` and `password` are sent, `extra_body` can add others.

        Args:
            phone: The number.
            password: The user's password.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Raises:
            AuthenticationError: The service does not accept them.
            ConfigurationError: The client was made with an API key.

        Source:
            `POST /api/v2/auth/login-phone` [elu:en/authentication].
        """
        body = {"phone": require_text("phone", phone), "password": require_text("password", password)}
        return await self._log_in(words.AUTH_PHONE, body, call)

    async def telegram(self, data: Mapping[str, Any], **call: Unpack[CallArgs]) -> Login:
        """Log in with what the Telegram login widget returned.

        Args:
            data: `id`, `first_name`, `username`, `auth_date` (Unix seconds), `hash`, as the widget gave them.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Raises:
            AuthenticationError: The service does not accept them.
            ConfigurationError: The client was made with an API key, or `id` or `hash` is missing.

        Source:
            `POST /api/v2/auth/telegram` [nb:en/authentication].
        """
        body = require_mapping("data", data)
        missing = [name for name in ("id", "hash") if name not in body]
        if missing:
            raise ConfigurationError(f"The Telegram data lacks {' and '.join(missing)}.")
        return await self._log_in(words.AUTH_TELEGRAM, dict(body), call)

    async def google(self, *, code: str, redirect_uri: str, **call: Unpack[CallArgs]) -> Login:
        """Log in with the code Google's consent page returned.

        Args:
            code: The code.
            redirect_uri: The address it was handed to.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Raises:
            AuthenticationError: The service does not accept them.
            ConfigurationError: The client was made with an API key.

        Source:
            `POST /api/v2/auth/google` [nb:en/authentication].
        """
        body = {"code": require_text("code", code), "redirect_uri": require_text("redirect_uri", redirect_uri)}
        return await self._log_in(words.AUTH_GOOGLE, body, call)

    async def refresh(self, **call: Unpack[CallArgs]) -> Login:
        """Renew the access token now; it is otherwise renewed by itself before it runs out.

        Args:
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Raises:
            AuthenticationError: The refresh cookie is missing or no longer accepted: log in again.
            ConfigurationError: The client was made with an API key.

        Source:
            `POST /api/v2/auth/refresh` [nb:en/authentication].
        """
        return Login.read(await self._core.refresh(self._session(), CallOptions.of(call)))

    async def _log_in(self, path: str, body: Mapping[str, Any], call: CallArgs) -> Login:
        # Logging in twice is harmless, so a lost answer is asked for again.
        request = Request("POST", path, RetrySafety.REPEATABLE, body=body, anonymous=True)
        return Login.read(await self._core.log_in(self._session(), request, CallOptions.of(call)))

    def _session(self) -> Session:
        if not isinstance(self._core.credential, Session):
            raise ConfigurationError("Logins need a client of their own, made with `session=Session()`.")
        return self._core.credential
