"""Endpoints for people: logging in four ways, and a new access token from the refresh cookie.

Nobody is registered here: any address, number or code is somebody with an account of their own, unless the password
is `wrong`. The refresh token is an httpOnly cookie, named `refresh_token` by this sandbox, and works once.
"""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from ..._api import vocabulary as words
from .._ledger import digest, plan_in
from .._records import SandboxAccount
from .._replies import bad_request, invalid, not_authenticated
from .._server.access import TOKEN_SECONDS, make_token
from .._server.endpoint import IncomingCall

COOKIE: Final = "refresh_token"
WRONG_PASSWORD: Final = "wrong"
_COOKIE_SECONDS: Final = 30 * 86_400
_PHONE: Final = re.compile(r"\+[1-9]\d{6,14}")


async def telegram(call: IncomingCall) -> Response:
    """Answer 2.23: the login widget's data; its hash must be there and is not verified."""
    body = call.json()
    number, auth_date = body.get("id"), body.get("auth_date")
    call.text_of(body, "hash", required=True)
    for name, value in (("id", number), ("auth_date", auth_date)):
        if value is None:
            raise bad_request(f"The parameter `{name}` is missing.")
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid({name: "must be an integer"})
    username = call.text_of(body, "username")
    profile = {
        "name": call.text_of(body, "first_name") or username or f"Telegram {number}",
        "telegram_username": username,
        "method": "telegram",
    }
    return _welcome(call, f"telegram-{number}", profile, plan=plan_in(username or ""))


async def login(call: IncomingCall) -> Response:
    """Answer 2.24: e-mail and password."""
    body = call.json()
    email = call.text_of(body, "email", required=True) or ""
    _check_password(call, body)
    if "@" not in email:
        raise invalid({"email": "must be an e-mail address"})
    name = email.partition("@")[0]
    return _welcome(call, f"email-{email}", {"name": name, "email": email, "method": "email"}, plan=plan_in(name))


async def phone(call: IncomingCall) -> Response:
    """Answer 2.25: phone number in E.164 and password."""
    body = call.json()
    number = call.text_of(body, "phone", required=True) or ""
    _check_password(call, body)
    if not _PHONE.fullmatch(number):
        raise invalid({"phone": "must be a number in E.164 form, such as +79001234567"})
    return _welcome(call, f"phone-{number}", {"name": number, "method": "phone"})


async def google(call: IncomingCall) -> Response:
    """Answer 2.26: an authorization code; any is good and stands for its own person."""
    body = call.json()
    code = call.text_of(body, "code", required=True) or ""
    call.text_of(body, "redirect_uri", required=True)
    email = f"{digest(code)[:8]}@gmail.example"
    return _welcome(call, f"google-{email}", {"name": "Google user", "email": email, "method": "google"})


async def refresh(call: IncomingCall) -> Response:
    """Answer 2.27: a new access token and a new cookie; the old cookie stops working."""
    token = call.request.cookies.get(COOKIE, "")
    session = call.sandbox.ledger.find_entry("sessions", digest(token))
    if not session or session["expires_at"] <= call.now:
        raise not_authenticated("Invalid or expired refresh token")
    call.sandbox.ledger.remove_entry("sessions", digest(token))
    account = call.sandbox.ledger.account(session["account"])
    response = JSONResponse({"access_token": make_token(call.sandbox, account), "expires_in": TOKEN_SECONDS})
    _give_cookie(call, account, response)
    return response


def _check_password(call: IncomingCall, body: dict[str, Any]) -> None:
    if call.text_of(body, "password", required=True) == WRONG_PASSWORD:
        raise not_authenticated("Wrong login or password")


def _welcome(call: IncomingCall, name: str, profile: dict[str, Any], *, plan: str | None = None) -> Response:
    account = call.sandbox.ledger.account(name, plan=plan)
    if not account.profile:
        call.sandbox.ledger.update_profile(account, profile)
    user = {
        "id": account.number,
        "name": account.profile["name"],
        "plan": "free" if account.plan == "starter" else account.plan,
        "token_balance": account.balance,
    }
    token = {"access_token": make_token(call.sandbox, account), "token_type": "bearer", "expires_in": TOKEN_SECONDS}
    response = JSONResponse({**token, "user": user})
    _give_cookie(call, account, response)
    return response


def _give_cookie(call: IncomingCall, account: SandboxAccount, response: Response) -> None:
    ledger = call.sandbox.ledger
    token = f"{ledger.rng(f'session/{ledger.next_serial()}/{account.name}').getrandbits(192):048x}"
    ledger.put_entry("sessions", digest(token), {"account": account.name, "expires_at": call.now + _COOKIE_SECONDS})
    path = f"{words.PREFIX}/auth"
    response.set_cookie(COOKIE, token, max_age=_COOKIE_SECONDS, path=path, httponly=True, samesite="lax")
