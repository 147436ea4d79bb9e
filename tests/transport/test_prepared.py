from __future__ import annotations

import io
from typing import Any

import httpx
import pytest

from neuralbox._api.request import Form, FormFile
from neuralbox._errors import ConfigurationError
from neuralbox._transport import HttpxTransport, Limits, build_transport
from neuralbox._transport.prepared import prepare_request

from .support import KEY, PATIENT


def test_a_prepared_request_shows_its_host_only() -> None:
    prepared = prepare_request("GET", "https://neuralbox.top/x?key=1", headers={"authorization": KEY}, timeouts=PATIENT)
    assert repr(prepared) == "<PreparedRequest GET neuralbox.top>"
    assert prepared.request.extensions["timeout"] == {
        "connect": 5.0,
        "read": 5.0,
        "write": 5.0,
        "pool": None,
        "total": None,
    }


def test_the_callers_headers_are_copied_and_may_replace_ours() -> None:
    headers = {"Accept-Encoding": "identity", "A": ""}
    prepared = prepare_request("GET", "http://x/", headers=headers, timeouts=PATIENT)
    assert prepared.request.headers["accept-encoding"] == "identity"
    assert headers == {"Accept-Encoding": "identity", "A": ""}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://x/?secret", "not ftp"),
        ("/path?secret", "not a path"),
        ("http:///x?secret", "no host"),
        ("https://.example.com/?secret", "begins with a dot"),
        ("http://x:0/", "port"),
        ("http://x:70000/?secret", "port"),
        ("http://x\n/?secret", "well-formed"),
        ("http://x:y/?secret", "well-formed"),
        ("http://x/\ud800?secret", "well-formed"),
    ],
)
def test_a_url_that_cannot_be_sent_is_refused_without_being_shown(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        prepare_request("GET", url, headers={}, timeouts=PATIENT)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "form",
    [
        Form({"prompt": "\ud800"}),
        Form({"urls": ["a", "\ud800"]}),
        Form(secrets={"file_password": "\ud800"}),
        Form(files=(FormFile("file", "\udcff.png", b"x", "image/png"),)),
    ],
)
def test_half_a_character_in_a_form_is_refused_in_words(form: Form) -> None:
    with pytest.raises(ConfigurationError, match="half a character") as caught:
        prepare_request("POST", "http://x/", headers={}, timeouts=PATIENT, form=form)
    assert caught.value.__cause__ is None


def test_a_form_to_a_host_that_idna_refuses_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="begins with xn--"):
        prepare_request("POST", "http://xn--i-7iq.ws/", headers={}, timeouts=PATIENT, form=Form({}, ()))


@pytest.mark.parametrize("value", [f"{KEY}\n", f"{KEY}\r\nX: y", f" {KEY}", f"{KEY}\x00", f"{KEY}é", f"{KEY}\x7f"])
def test_a_header_that_cannot_be_sent_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ConfigurationError, match="Authorization") as caught:
        prepare_request("GET", "http://x/", headers={"Authorization": value}, timeouts=PATIENT)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "ä", "a:"])
def test_a_header_needs_a_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name of a header"):
        prepare_request("GET", "http://x/", headers={name: "v"}, timeouts=PATIENT)


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_a_file_must_be_open_and_rewindable() -> None:
    closed = io.BytesIO()
    closed.close()
    for file in (closed, Unseekable(b"x")):
        with pytest.raises(ConfigurationError, match="seek to its start"):
            prepare_request(
                "POST",
                "http://x/",
                headers={},
                timeouts=PATIENT,
                form=Form({}, (FormFile("file", "a.mp3", file, "audio/mpeg"),)),
            )


# What a client is made with.


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_connections": 0}, "max_connections"),
        ({"max_streams": 1.5}, "max_streams"),
        ({"max_streams": True}, "max_streams"),
        ({"keepalive_expiry": -1}, "keepalive_expiry"),
        ({"keepalive_expiry": float("nan")}, "keepalive_expiry"),
        ({"keepalive_expiry": None}, "keepalive_expiry"),
    ],
)
def test_limits_are_checked(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Limits(**options)


class Imposter:
    """As another library's client looks to us."""


Imposter.__module__ = "httpx2._client"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"http_client": httpx.Client()}, r"not httpx\.Client\. The synchronous one"),
        ({"http_client": httpx.AsyncClient}, r"not the class httpx\.AsyncClient"),
        ({"http_client": Imposter()}, r"must be an httpx\.AsyncClient, not httpx2\.Imposter"),
        ({"transport": httpx.HTTPTransport()}, r"not httpx\.HTTPTransport\. The synchronous one"),
        ({"transport": 7}, r"not builtins\.int"),
        ({"limits": 7}, r"`limits` must be a Limits, not builtins\.int"),
        ({"transport": "aiohtp"}, "no transport 'aiohtp'"),
        ({"transport": httpx.MockTransport(lambda request: httpx.Response(200)), "http_client": 7}, "not both"),
    ],
)
def test_what_cannot_move_requests_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        build_transport(**{"limits": Limits(), **options})


def test_the_default_is_our_engine() -> None:
    assert isinstance(build_transport(limits=Limits()), HttpxTransport)
