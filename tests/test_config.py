"""Options: what is read from the environment, what is refused before any I/O, and what never shows."""

from __future__ import annotations

import dataclasses
import io
import logging
import math
from typing import Any

import pytest

from neuralbox._config import (
    NEURALBOX,
    NO_CALL_OPTIONS,
    CallOptions,
    ClientOptions,
    Dialect,
    Polling,
    Service,
    Timeout,
    api_key_from_environment,
    base_url_from_environment,
    log_from_environment,
    logger,
)
from neuralbox._errors import ConfigurationError
from neuralbox.geminigen._service import GEMINIGEN

# Limits.


def test_one_number_stands_for_reading_and_connecting_stays_short() -> None:
    assert Timeout.of(90) == Timeout(connect=10.0, read=90, write=90, generation=90)
    assert Timeout.of(2.5) == Timeout(connect=2.5, read=2.5, write=2.5, generation=2.5)
    assert Timeout.of(None) == Timeout(connect=10.0, read=None, write=None, generation=None, total=None)
    assert Timeout.of(7200).total == 7200
    own = Timeout(read=1)
    assert Timeout.of(own) is own


def test_the_default_limits_are_the_documented_ones() -> None:
    options = ClientOptions()
    assert (options.timeout.connect, options.timeout.read, options.timeout.generation) == (10, 30, 300)
    assert (options.polling.timeout, options.polling.min_interval) == (600, 5)
    assert (options.max_retries, options.base_url) == (2, "https://neuralbox.top")


NO_SECONDS = [0, -1, math.nan, True, "5", [], -math.inf]


@pytest.mark.parametrize("wrong", NO_SECONDS, ids=repr)
def test_a_limit_that_is_no_positive_number_is_refused_by_its_name(wrong: Any) -> None:
    for name in ("connect", "read", "write", "generation"):
        with pytest.raises(ConfigurationError, match=rf"timeout\.{name} must be a number of seconds above 0, or None"):
            Timeout(**{name: wrong})
    with pytest.raises(ConfigurationError, match="timeout must be"):
        Timeout.of(wrong)
    with pytest.raises(ConfigurationError, match="timeout must be"):
        ClientOptions(timeout=wrong)
    for name in ("timeout", "min_interval", "max_interval"):
        with pytest.raises(ConfigurationError, match=rf"polling\.{name} must be"):
            Polling(**{name: wrong})
    for name in ("max_retry_wait", "deadline"):
        with pytest.raises(ConfigurationError, match=f"{name} must be"):
            ClientOptions(**{name: wrong})


def test_only_a_limit_may_be_none() -> None:
    assert Timeout(None, None, None, None).read is None
    assert (Polling(timeout=None).timeout, ClientOptions(deadline=None).deadline) == (None, None)
    for make in (
        lambda: Polling(min_interval=None),  # type: ignore[arg-type] # on purpose
        lambda: Polling(max_interval=None),  # type: ignore[arg-type] # on purpose
        lambda: ClientOptions(max_retry_wait=None),  # type: ignore[arg-type] # on purpose
    ):
        with pytest.raises(ConfigurationError, match="above 0; it is None"):
            make()


def test_the_longest_interval_is_not_below_the_shortest() -> None:
    assert Polling(min_interval=5, max_interval=5).max_interval == 5
    with pytest.raises(ConfigurationError, match=r"polling\.max_interval"):
        Polling(min_interval=6, max_interval=5)


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("max_retries", [-1, 1.5, True, None, "2"], [0, 1, 1_000]),
        ("max_reply_bytes", [0, -1, 1.5, True, None], [1, 10**12]),
        ("submission", ["retry", "", None, [], 1], ["reconcile", "raise", "resend"]),
        ("warn_duplicates", ["no", "", 2], [True, False, 0]),
        ("draw_seed", ["false", []], [True, False, 1]),
    ],
)
def test_an_option_of_another_kind_is_refused_by_its_name(name: str, wrong: list[Any], right: list[Any]) -> None:
    for value in wrong:
        with pytest.raises(ConfigurationError, match=f"{name} must be"):
            ClientOptions(**{name: value})
    assert [getattr(ClientOptions(**{name: value}), name) for value in right] == right


@pytest.mark.parametrize(
    ("name", "words"),
    [("options", ("documented", "flat", "nested")), ("stream", ("switch", "path")), ("history", ("seed", "page"))],
)
def test_a_dialect_has_the_documented_ways_and_no_other(name: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert getattr(Dialect(**{name: word}), name) == word  # type: ignore[arg-type] # a name from the table
    with pytest.raises(ConfigurationError, match=rf"dialect\.{name} must be one of {', '.join(words)}"):
        Dialect(**{name: "morse"})  # type: ignore[arg-type] # on purpose


# Copies.


def test_a_copy_changes_what_it_is_told_and_is_checked_again() -> None:
    options = ClientOptions(base_url="https://elumenta.ru", max_retries=5)
    copy = options.with_changes(max_retries=0, timeout=3)
    assert (copy.base_url, copy.max_retries, copy.timeout.read) == ("https://elumenta.ru", 0, 3)
    assert options.max_retries == 5
    with pytest.raises(ConfigurationError):
        options.with_changes(base_url="nowhere")


def test_the_callers_headers_are_copied_and_never_shown() -> None:
    headers = {"proxy-authorization": "Basic c2VjcmV0"}
    options = ClientOptions(default_headers=headers)
    headers["x"] = "y"
    assert options.default_headers == {"proxy-authorization": "Basic c2VjcmV0"}
    assert "c2VjcmV0" not in repr(options)
    call = CallOptions(extra_headers=headers, extra_query={"q": "c2VjcmV0"}, extra_body={"prompt": "c2VjcmV0"})
    assert "c2VjcmV0" not in repr(call)


@pytest.mark.parametrize("wrong", [[("x-a", "b")], {"x-a": 1}, {1: "b"}, {"x-a": b"b"}, "x-a: b"], ids=repr)
def test_headers_that_are_no_text_are_refused_by_the_name_of_the_option(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="default_headers must"):
        ClientOptions(default_headers=wrong)
    with pytest.raises(ConfigurationError, match="extra_headers must"):
        CallOptions(extra_headers=wrong)


@pytest.mark.parametrize(
    ("kind", "name", "wrong", "why"),
    [
        (ClientOptions, "polling", {"timeout": 5}, "polling must be a Polling, not dict"),
        (ClientOptions, "dialect", "page", "dialect must be a Dialect, not str"),
        (CallOptions, "extra_query", "a=1", "extra_query must be a Mapping, not str"),
        (CallOptions, "extra_body", [1], "extra_body must be a Mapping, not list"),
    ],
)
def test_an_option_of_another_kind_is_refused_when_it_is_given(kind: Any, name: str, wrong: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        kind(**{name: wrong})


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ClientOptions().max_retries = 9  # type: ignore[misc] # on purpose
    assert CallOptions() == NO_CALL_OPTIONS


# The base URL.


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://neuralbox.top", "https://neuralbox.top"),
        ("https://neuralbox.top/", "https://neuralbox.top"),
        (" https://neuralbox.top/api/v2/ ", "https://neuralbox.top"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/api/v2", "http://[::1]:8000"),
        ("https://gateway.example/neuralbox", "https://gateway.example/neuralbox"),
        ("https://gateway.example/neuralbox/api/v2", "https://gateway.example/neuralbox"),
    ],
)
def test_a_base_url_with_or_without_the_prefix_is_the_same(given: str, origin: str) -> None:
    options = ClientOptions(base_url=given)
    assert options.base_url == origin
    assert options.root == f"{origin}/api/v2"


NO_ORIGINS: list[Any] = ["", " ", "neuralbox.top", "ftp://neuralbox.top", "https://", "https:///api", "//neuralbox.top"]
NO_ORIGINS += ["https://host:port", "https://host:99999", "https://[::1", "https://host?a=b", "https://host#top"]
NO_ORIGINS += ["https://ho st", "https://ho\nst", "https://host\x00", None, 5, b"https://neuralbox.top"]


@pytest.mark.parametrize("wrong", NO_ORIGINS, ids=repr)
def test_what_is_no_base_url_is_refused_with_an_example(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"base_url must look like `https://neuralbox\.top`"):
        ClientOptions(base_url=wrong)


@pytest.mark.parametrize(
    "leaky",
    [
        "https://ada:s3cret@neuralbox.top",
        "https://s3cret@neuralbox.top?x=1",
        "http://ada:s3cret@[::1",
        "https://neuralbox.top?api_key=s3cret",
        "nb_live_s3cret",
    ],
)
def test_a_secret_in_a_base_url_is_refused_and_not_repeated(leaky: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        ClientOptions(base_url=leaky)
    assert "s3cret" not in repr(caught.value)


# The environment.


def test_the_key_given_comes_before_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALBOX_API_KEY", " nb_live_0f1e\n")
    assert api_key_from_environment(None) == "nb_live_0f1e"
    assert api_key_from_environment(" nb_other ") == "nb_other"
    assert api_key_from_environment("eyJhbGci.e30.c2ln") == "eyJhbGci.e30.c2ln"


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_no_key_says_where_to_get_one(blank: str | None) -> None:
    with pytest.raises(ConfigurationError, match="pass `api_key=` or set NEURALBOX_API_KEY"):
        api_key_from_environment(blank)


def test_an_empty_key_is_not_replaced_by_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALBOX_API_KEY", "nb_live_0f1e")
    with pytest.raises(ConfigurationError, match="No API key"):
        api_key_from_environment("")


@pytest.mark.parametrize(
    "wrong", ["nb_s3cr et", "nb_s3cr\net", "nb_s3crët", '"nb_s3cret"', "'nb_s3cret'", "nb_\x00s3cr"]
)
def test_a_key_no_header_can_hold_is_refused_and_not_repeated(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="characters that no key has") as caught:
        api_key_from_environment(wrong)
    assert "s3cr" not in repr(caught.value)


@pytest.mark.parametrize("wrong", [b"nb_s3cret", 5, ["nb_s3cret"]])
def test_a_key_that_is_no_text_is_refused_and_not_repeated(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be text, not ") as caught:
        api_key_from_environment(wrong)
    assert "s3cret" not in repr(caught.value)


def test_the_base_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert base_url_from_environment(None) == "https://neuralbox.top"
    monkeypatch.setenv("NEURALBOX_BASE_URL", "https://elumenta.ru")
    assert base_url_from_environment(None) == "https://elumenta.ru"
    assert base_url_from_environment("http://127.0.0.1:1") == "http://127.0.0.1:1"
    assert base_url_from_environment("") == ""
    monkeypatch.setenv("NEURALBOX_BASE_URL", "")
    assert base_url_from_environment(None) == "https://neuralbox.top"


@pytest.mark.parametrize("level", ["", "warning", "yes", "0"])
def test_the_log_is_silent_unless_asked_for(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("NEURALBOX_LOG", level)
    before = logger.level
    log_from_environment()
    assert all(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
    assert logger.level == before


@pytest.mark.parametrize(("word", "level"), [("info", logging.INFO), (" DEBUG ", logging.DEBUG)])
def test_the_log_goes_to_standard_error_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, level: int
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setenv("NEURALBOX_LOG", word)
    log_from_environment()
    log_from_environment()
    assert logger.level == level
    logger.info("a line")
    assert capsys.readouterr().err.count("neuralbox INFO a line") == 1


@pytest.mark.parametrize(("level", "lines"), [(logging.NOTSET, 0), (logging.WARNING, 1)])
def test_what_the_root_logger_writes_is_not_written_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: int, lines: int
) -> None:
    monkeypatch.setenv("NEURALBOX_LOG", "info")
    log_from_environment()
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setLevel(level)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    logger.info("a line")
    assert capsys.readouterr().err.count("a line") == lines
    assert written.getvalue().count("a line") == 1 - lines


def test_a_handler_of_the_users_own_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    own = logging.Handler()
    logger.addHandler(own)
    monkeypatch.setenv("NEURALBOX_LOG", "info")
    log_from_environment()
    assert [handler for handler in logger.handlers if not isinstance(handler, logging.NullHandler)] == [own]


@pytest.mark.parametrize("service", [NEURALBOX, GEMINIGEN])
def test_the_key_of_another_service_is_refused_and_not_repeated(service: Service) -> None:
    with pytest.raises(ConfigurationError, match=r"begins with `sk-`.*it was not sent") as caught:
        api_key_from_environment(" sk-proj-secret", service)
    assert "secret" not in str(caught.value)
