"""Who is calling: an API key, or the session of an end user who logged in.

Plain state without I/O. The core reads the header from here and, for a session, does the refreshing. No credential is
ever shown by `repr`, `str` or an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from .._api.fields import as_number, as_text

# Refreshed this many seconds before it runs out, so that a request does not cross the border on its way.
_EARLY = 30.0
_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")  # a token of RFC 9110


class SecretText(str):
    """Text that is not shown where somebody prints variables: error reporters write down those of every frame."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[hidden]'"


class ApiKey:
    """A key of the dashboard (`nb_…`), sent as `Authorization: Bearer` unless its service wants it elsewhere.

    Args:
        key: The key.
        header_name: The header it is sent in.
        scheme: What stands before the key in that header.
    """

    __slots__ = ("_header", "header_name", "identity")

    def __init__(self, key: str, *, header_name: str = "authorization", scheme: str = "Bearer ") -> None:
        self._header = SecretText(f"{scheme}{key}")
        self.header_name: str = header_name
        """Which header carries it, in lower case."""
        self.identity: str = hashlib.sha256(key.encode()).hexdigest()
        """Equal for equal keys; tells accounts apart without holding the key."""

    @property
    def header(self) -> str:
        return self._header

    def __repr__(self) -> str:
        return "<ApiKey hidden>"


class Session:
    """An end user's login: an access token of some 15 minutes and the refresh cookie that renews it.

    Make one, give it to a client, and log in with one of the client's `auth` methods; from then on the client's
    requests are the user's, and the token is renewed before and, if need be, after it ran out.

        nb = AsyncNeuralBox(session=Session())
        await nb.auth.login(email="ada@example.com", password=...)

    Args:
        access_token: A token kept from an earlier login, or None.
        cookies: The cookies kept with it, or None; without the refresh cookie the token cannot be renewed.

    Attributes:
        access_token: The token now in use, or None before the login. Keep it secret.
        cookies: Cookies of the auth endpoints, the refresh cookie among them. Keep them secret.
        expires_at: Unix seconds when the token runs out, or None where that is unknown.

    Source:
        NeuralBox API, "Authentication" [nb:en/authentication]; the cookie's name is not documented.
    """

    __slots__ = ("access_token", "cookies", "expires_at", "identity")

    header_name: ClassVar[str] = "authorization"

    def __init__(self, access_token: str | None = None, cookies: Mapping[str, str] | None = None) -> None:
        self.access_token = access_token
        self.cookies: dict[str, str] = dict(cookies or {})
        self.expires_at: float | None = None
        self.identity: object = object()
        """One session is one account; sessions never share connections."""

    @property
    def header(self) -> str | None:
        """Return what is sent as `Authorization`, or None before the login. Keep it secret."""
        return None if self.access_token is None else SecretText(f"Bearer {self.access_token}")

    @property
    def cookie_header(self) -> str | None:
        """Return what the auth endpoints get as `Cookie`, and nobody else."""
        return SecretText("; ".join(f"{name}={value}" for name, value in self.cookies.items())) or None

    def runs_out(self, now: float) -> bool:
        """Tell whether the token should be renewed before it is used again."""
        return self.access_token is not None and self.expires_at is not None and now >= self.expires_at - _EARLY

    def accept(self, record: Mapping[str, Any], set_cookies: list[str], *, now: float) -> bool:
        """Take over what a login or refresh answered; False when there is no token in it."""
        token = as_text(record.get("access_token"))
        if not token:
            return False
        self.access_token = token
        seconds = as_number(record.get("expires_in"))
        self.expires_at = None if seconds is None else now + seconds
        for line in set_cookies:
            self._keep(line)
        return True

    def _keep(self, line: str) -> None:
        """Read one `Set-Cookie` by RFC 6265 5.2.

        Not `SimpleCookie`: it reads the other direction's header, drops a cookie with an attribute it does not know
        (`Partitioned`) and takes such an attribute for a cookie (`Priority=High`).
        """
        if not (line.isascii() and line.isprintable()):
            return  # could not be sent back
        pair, *rest = line.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (equals and _COOKIE_NAME.match(name)):
            return
        attributes = {key.strip().lower(): word.strip() for key, _, word in (part.partition("=") for part in rest)}
        age = as_number(attributes.get("max-age"))
        if value.strip('"') and (age is None or age > 0):
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)

    def clear(self) -> None:
        """Forget the login; the service has no logout endpoint, so the token itself lives on until it runs out."""
        self.access_token, self.expires_at = None, None
        self.cookies.clear()

    def __repr__(self) -> str:
        return f"<Session {'logged in' if self.access_token else 'logged out'}>"


Credential: TypeAlias = ApiKey | Session
