"""Who is calling: keys and sessions as plain state, never shown."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._core.credentials import ApiKey, Session
from tests import samples

NOW = 1_772_971_200.0
TOKEN = samples.record("login")["access_token"]


def test_a_key_is_sent_as_bearer_and_told_apart_without_being_held_by_name() -> None:
    key = ApiKey("nb_live_0f1e2d")
    assert key.header == "Bearer nb_live_0f1e2d"
    assert key.identity == ApiKey("nb_live_0f1e2d").identity != ApiKey("nb_live_other").identity
    assert "0f1e2d" not in repr(key) + str(key) + key.identity


def test_a_session_before_the_login_has_nothing_to_send() -> None:
    session = Session()
    assert (session.header, session.cookie_header, session.runs_out(NOW)) == (None, None, False)
    assert session.identity != Session().identity
    assert repr(session) == "<Session logged out>"


def test_a_login_is_taken_over_with_its_cookies() -> None:
    session = Session()
    cookies = ["refresh=opaque; HttpOnly; Path=/api/v2/auth; Max-Age=2592000", "theme=dark"]
    assert session.accept(samples.record("login"), cookies, now=NOW)
    assert session.header == f"Bearer {TOKEN}"
    assert session.cookie_header == "refresh=opaque; theme=dark"
    assert session.expires_at == NOW + 900
    assert repr(session) == str(session) == "<Session logged in>"


@pytest.mark.parametrize(
    ("now", "expected"), [(NOW, False), (NOW + 869, False), (NOW + 870, True), (NOW + 900, True), (NOW + 9_999, True)]
)
def test_a_token_is_renewed_half_a_minute_early(now: float, expected: bool) -> None:
    session = Session()
    session.accept({"access_token": TOKEN, "expires_in": 900}, [], now=NOW)
    assert session.runs_out(now) is expected


def test_a_token_of_unknown_life_is_used_until_it_is_refused() -> None:
    kept = Session(TOKEN, {"refresh": "opaque"})
    assert not kept.runs_out(NOW)
    unknowns: list[object] = [None, "soon", [], float("nan")]
    for unknown in unknowns:
        session = Session()
        assert session.accept({"access_token": TOKEN, "expires_in": unknown}, [], now=NOW)
        assert (session.expires_at, session.runs_out(NOW + 9_999)) == (None, False)


@pytest.mark.parametrize("record", [{}, {"access_token": None}, {"access_token": ""}, {"access_token": ["x"]}])
def test_an_answer_without_a_token_changes_nothing(record: dict[str, Any]) -> None:
    session = Session("old", {"refresh": "opaque"})
    assert not session.accept(record, ["refresh=other"], now=NOW)
    assert (session.access_token, session.cookies) == ("old", {"refresh": "opaque"})


COOKIES = [
    ("refresh=rotated; HttpOnly", {"refresh": "rotated"}),
    (" refresh = rotated ;Secure;", {"refresh": "rotated"}),
    ("refresh=rotated; Max-Age=60; Expires=Sun, 08 Mar 2026 13:00:00 GMT", {"refresh": "rotated"}),
    ("refresh=rotated; Max-Age=nonsense", {"refresh": "rotated"}),
    ("refresh=rotated; Partitioned; Priority=High", {"refresh": "rotated"}),
    ("refresh=a=b==; Path=/", {"refresh": "a=b=="}),
    ('refresh="a b"', {"refresh": '"a b"'}),
    ("refresh=; Path=/", {}),
    ('refresh=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; MAX-AGE=0', {}),
    ("refresh=gone; Max-Age=0", {}),
    ("refresh=gone; Max-Age=-1", {}),
    ("other=; Max-Age=0", {"refresh": "old"}),
    ("", {"refresh": "old"}),
    ("refresh", {"refresh": "old"}),
    ("=rotated", {"refresh": "old"}),
    ("a@b=no name of a cookie", {"refresh": "old"}),
    ("refresh=rot\r\nated", {"refresh": "old"}),
    ("refresh=rot\u00e4ted", {"refresh": "old"}),
]


@pytest.mark.parametrize(("line", "kept"), COOKIES, ids=[repr(line) for line, _ in COOKIES])
def test_a_cookie_is_kept_replaced_or_dropped_as_it_says(line: str, kept: dict[str, str]) -> None:
    session = Session("old", {"refresh": "old"})
    assert session.accept({"access_token": TOKEN}, [line], now=NOW)
    assert session.cookies == kept


def test_forgetting_leaves_nothing() -> None:
    session = Session("old", {"refresh": "opaque"})
    session.accept({"access_token": TOKEN, "expires_in": 900}, [], now=NOW)
    session.clear()
    assert (session.header, session.cookie_header, session.expires_at) == (None, None, None)


def test_a_session_shows_no_secret_and_copies_the_cookies_it_is_given() -> None:
    cookies = {"refresh": "opaque"}
    session = Session(TOKEN, cookies)
    cookies.clear()
    assert session.cookies == {"refresh": "opaque"}
    assert TOKEN not in repr(session)
    assert "opaque" not in repr(session)
