"""Who is asking: API keys, and people who logged in with access tokens.

An API key is any string that starts with `nb_`; keys made by `POST /keys` open their creator's account, and one that
was revoked opens nothing. An access token looks like a JWT, is signed with a secret made from the sandbox's seed, and
lives 900 seconds by the sandbox's clock [nb:en/authentication]. API keys need VIP or Elite [SEED 001]; people do not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Final

from ..._api import vocabulary as words
from .._ledger import digest
from .._records import SandboxAccount
from .._replies import Refusal, not_authenticated
from .._state import SandboxState

TOKEN_SECONDS: Final = 900
_INVALID: Final = "Invalid or expired token"  # the authentication page's own sentence


def identify(sandbox: SandboxState, authorization: str | None) -> SandboxAccount:
    """Return the account behind an `Authorization` header.

    Raises:
        Refusal: 401 or 403.
    """
    scheme, _, credential = (authorization or "").partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential:
        raise not_authenticated()
    if not credential.startswith(words.KEY_PREFIX):
        return sandbox.ledger.account(_read_token(sandbox, credential))
    if len(credential) == len(words.KEY_PREFIX) or sandbox.ledger.find_entry("keys", digest(credential)).get("revoked"):
        raise not_authenticated(_INVALID)
    account = sandbox.ledger.account_of_key(credential)
    if account.plan not in words.API_PLANS:
        raise Refusal(
            words.INSUFFICIENT_PLAN,
            f"API access is included in VIP and Elite; this account is on {account.plan}.",
            details={"plan": account.plan, "required": list(words.API_PLANS)},
        )
    return account


# Access tokens.


def make_token(sandbox: SandboxState, account: SandboxAccount) -> str:
    """Sign an access token for this account, good for `TOKEN_SECONDS`."""
    head = _pack({"alg": "HS256", "typ": "JWT"})
    body = _pack({"sub": account.name, "exp": int(sandbox.clock()) + TOKEN_SECONDS})
    return f"{head}.{body}.{_sign(sandbox, f'{head}.{body}')}"


def _read_token(sandbox: SandboxState, token: str) -> str:
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _sign(sandbox, signed).encode()):
        raise not_authenticated(_INVALID)
    body = signed.rpartition(".")[2]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if claims["exp"] <= sandbox.clock():
        raise Refusal(words.TOKEN_EXPIRED, _INVALID)
    return str(claims["sub"])


def _pack(value: dict[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _sign(sandbox: SandboxState, text: str) -> str:
    secret = f"neuralbox sandbox {sandbox.seed}".encode()
    signature = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
