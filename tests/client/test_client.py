"""Making a client, copying it, closing it, opening it again, and using it in several event loops."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Iterator
from typing import Any, cast

import anyio
import httpx
import pytest
import trio

from neuralbox import _errors as errors
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Dialect, Polling, Timeout
from neuralbox._core.credentials import Session
from neuralbox._models.generation import Generation
from neuralbox._transport import Limits
from neuralbox._types import JobRef
from tests.helpers import KEY, make_client

BALANCE = {"token_balance": 283, "plan": "vip"}


def serve(**answers: Any) -> Any:
    """A service that answers everything with a balance and remembers what it was asked."""

    def handler(request: httpx.Request) -> httpx.Response:
        handler.seen.append(request)  # type: ignore[attr-defined]
        return httpx.Response(200, json=answers or BALANCE)

    handler.seen = []  # type: ignore[attr-defined]
    return handler


def keys(handler: Any) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in handler.seen]


# Making one.


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_a_missing_or_empty_key_says_where_keys_come_from(key: str | None) -> None:
    with pytest.raises(errors.ConfigurationError, match="pass `api_key=` or set NEURALBOX_API_KEY"):
        AsyncNeuralBox(api_key=key)


@pytest.mark.parametrize("key", ["nb_live\nx", "nb live", "nb_ключ", "nb_\x00"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="characters that no key has") as caught:
        AsyncNeuralBox(api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "neuralbox.top",
        "ftp://neuralbox.top",
        "http://",
        "https:///api/v2",
        "https://neuralbox.top:port",
        "https://neuralbox.top:99999",
        "https://neuralbox.top?key=1",
        "https://neuralbox.top/#x",
        "https://[::1",
        "/api/v2",
        "http://exa mple.test",
        5,
    ],
)
def test_a_wrong_base_url_shows_what_a_right_one_looks_like(base_url: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"base_url must look like `https://neuralbox.top`"):
        AsyncNeuralBox(api_key=KEY, base_url=base_url)


@pytest.mark.parametrize("name", ["trust_env", "private_files"])
def test_a_word_is_no_switch(name: str) -> None:
    """`"no"`, from the environment say, would count as true."""
    with pytest.raises(errors.ConfigurationError, match=f"{name} must be True or False; it is 'no'"):
        AsyncNeuralBox(api_key=KEY, **cast("Any", {name: "no"}))


def test_a_base_url_holds_no_password() -> None:
    with pytest.raises(errors.ConfigurationError, match="must not hold a user name or password") as caught:
        AsyncNeuralBox(api_key=KEY, base_url="https://ada:hunter2@neuralbox.top")
    assert "hunter2" not in str(caught.value)


def test_the_environment_is_read_when_a_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALBOX_API_KEY", " nb_from_environment ")
    monkeypatch.setenv("NEURALBOX_BASE_URL", "http://127.0.0.1:1/api/v2/")
    client = AsyncNeuralBox()
    assert repr(client) == "<AsyncNeuralBox http://127.0.0.1:1>"
    assert client._core.credential.header == "Bearer nb_from_environment"
    assert repr(AsyncNeuralBox(api_key=KEY, base_url="https://elumenta.ru")) == "<AsyncNeuralBox https://elumenta.ru>"
    monkeypatch.delenv("NEURALBOX_BASE_URL")
    assert repr(AsyncNeuralBox()) == "<AsyncNeuralBox https://neuralbox.top>"


def test_a_session_needs_no_key_and_goes_with_none() -> None:
    assert repr(AsyncNeuralBox(session=Session())) == "<AsyncNeuralBox https://neuralbox.top>"
    with pytest.raises(errors.ConfigurationError, match="not both"):
        AsyncNeuralBox(session=Session(), api_key=KEY)
    with pytest.raises(errors.ConfigurationError, match="`session` must be a Session, not str"):
        AsyncNeuralBox(session="eyJ")  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": "30"},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retry_wait": 0},
        {"deadline": -1},
        {"max_reply_bytes": 0},
        {"submission": "again"},
        {"transport": "carrier-pigeon"},
        {"transport": object()},
        {"http_client": object()},
        {"http_client": httpx.AsyncClient(), "transport": httpx.MockTransport(serve())},
    ],
)
def test_an_option_that_cannot_be_right_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        AsyncNeuralBox(api_key=KEY, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dialect(options="both"),  # type: ignore[arg-type]
        lambda: Polling(min_interval=10, max_interval=5),
        lambda: Timeout(read=0),
        lambda: Limits(max_connections=0),
    ],
)
def test_a_policy_that_cannot_be_right_is_refused(make: Any) -> None:
    with pytest.raises(errors.ConfigurationError):
        make()


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The package's logger, put back afterwards."""
    logger = logging.getLogger("neuralbox")
    handlers, level = [*logger.handlers], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level


def test_the_log_is_silent_unless_the_environment_asks_for_it(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        async with make_client(serve()) as client:
            await client.account.balance()

    asyncio.run(main())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's would do as a program's own
    monkeypatch.setenv("NEURALBOX_LOG", "debug")
    for _ in range(2):  # a second client does not write every line twice
        asyncio.run(main())
        assert capsys.readouterr().err.count("GET /balance: 200, attempt 1\n") == 1
        log.handlers[-1].setStream(sys.stderr)  # type: ignore[attr-defined]


# Copies.


@pytest.mark.anyio
async def test_a_copy_with_other_options_shares_the_connections_and_leaves_the_first_as_it_was() -> None:
    handler = serve()
    async with make_client(handler, default_headers={"X-Tenant": "a"}) as client:
        copy = client.with_options(
            timeout=3,
            max_retries=5,
            max_retry_wait=7.0,
            deadline=60.0,
            max_reply_bytes=1_000,
            default_headers={"X-Tenant": "b"},
            polling=Polling(timeout=9),
            submission="raise",
            dialect=Dialect(options="nested"),
        )
        assert copy._core.transport is client._core.transport
        await copy.account.balance()
        await client.account.balance()
        options = copy._core.options
        assert (options.max_retries, options.max_retry_wait, options.deadline) == (5, 7.0, 60.0)
        assert (options.timeout.read, options.polling.timeout, options.dialect.options) == (3, 9, "nested")
        assert copy.with_options(deadline=None, timeout=None)._core.options.deadline is None
    assert [request.headers["x-tenant"] for request in handler.seen] == ["b", "a"]
    assert keys(handler) == [KEY, KEY]
    assert type(copy) is type(client)


@pytest.mark.anyio
async def test_a_copy_with_another_key_or_base_url_has_connections_of_its_own() -> None:
    handler = serve()
    async with make_client(handler) as client:
        other = client.with_options(api_key="nb_other")
        there = client.with_options(base_url="http://other.test/api/v2")
        transports = {id(one._core.transport) for one in (client, other, there)}
        assert len(transports) == 3
        await other.account.balance()
        await there.account.balance()
        # One for each account and base URL, however many copies are made.
        again = [client.with_options(api_key="nb_other")._core.transport for _ in range(3)]
        assert {id(one) for one in again} == {id(other._core.transport)}
        assert other.with_options(api_key=KEY)._core.transport is client._core.transport
        assert client.with_options(base_url="http://box.test/")._core.transport is client._core.transport
    assert keys(handler) == ["nb_other", KEY]
    assert str(handler.seen[1].url) == "http://other.test/api/v2/balance"


@pytest.mark.anyio
async def test_copies_of_a_session_share_the_login() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization", ""))
        return httpx.Response(200, json={"access_token": "t1", "expires_in": 900, **BALANCE})

    seen: list[str] = []
    async with make_client(handler, session=Session()) as client:
        copy = client.with_options(max_retries=0)
        await client.auth.login(email="ada@example.com", password="x")
        await copy.account.balance()
        await client.with_options(api_key="nb_own").account.balance()
    assert seen == ["", "Bearer t1", "Bearer nb_own"]


def test_a_copy_is_cheap_and_leaves_nothing_behind() -> None:
    client = make_client(serve())
    client.with_options(max_retries=1)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(200):
        client.with_options(max_retries=1, api_key=KEY)
    gc.collect()
    assert len(gc.get_objects()) - before < 100


@pytest.mark.parametrize("change", [{"api_key": ""}, {"base_url": "nowhere"}, {"max_retries": -1}, {"timeout": 0}])
def test_a_copy_that_cannot_be_right_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        make_client(serve()).with_options(**change)


# Closing and opening.


@pytest.mark.anyio
async def test_a_closed_client_and_its_copies_say_so_until_one_enters_it_again() -> None:
    handler = serve()
    client = make_client(handler)
    copy, other = client.with_options(max_retries=0), client.with_options(api_key="nb_other")
    await client.account.balance()  # without `async with` too
    await client.aclose()
    await client.aclose()
    for closed in (client, copy, other):
        with pytest.raises(errors.ConfigurationError, match="client is closed") as caught:
            await closed.account.balance()
        assert caught.value.message.count(". ") == 0
    with pytest.raises(errors.ConfigurationError, match="client is closed"):
        client.with_options(api_key="nb_third")
    async with client:
        for opened in (client, copy, other):
            await opened.account.balance()
    assert len(handler.seen) == 4


@pytest.mark.anyio
async def test_closing_a_copy_closes_all() -> None:
    client = make_client(serve())
    async with client.with_options(max_retries=0) as copy:
        await copy.account.balance()
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await client.account.balance()


@pytest.mark.anyio
async def test_a_client_of_the_users_own_is_used_and_left_open() -> None:
    handler = serve()
    async with httpx.AsyncClient(transport=httpx.MockTransport(handler), headers={"X-Own": "1"}) as own:
        async with AsyncNeuralBox(api_key=KEY, base_url="http://box.test", http_client=own) as client:
            await client.account.balance()
            await client.with_options(api_key="nb_other").account.balance()
        assert not own.is_closed
    assert [request.headers["x-own"] for request in handler.seen] == ["1", "1"]
    assert keys(handler) == [KEY, "nb_other"]


@pytest.mark.anyio
async def test_leaving_by_an_error_or_a_cancellation_closes_too() -> None:
    client = make_client(serve())
    with pytest.raises(KeyError):
        async with client:
            raise KeyError("x")
    with anyio.CancelScope() as scope:
        async with client:
            scope.cancel()
            await anyio.sleep(1)
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await client.account.balance()


@pytest.mark.anyio
async def test_a_transport_that_does_not_close_holds_nobody_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._base_client._GOODBYE", 0.01)

    class Sticky:
        async def aclose(self) -> None:
            await anyio.sleep_forever()

    client = make_client(serve())
    client._connections._transports["other", "x"] = Sticky()  # type: ignore[assignment]
    with anyio.fail_after(5):
        await client.aclose()


# Event loops.


def test_one_client_serves_several_event_loops_one_after_the_other() -> None:
    handler = serve()
    client = make_client(handler)

    async def main() -> None:
        async with client:
            await client.account.balance()

    asyncio.run(main())
    asyncio.run(main())
    trio.run(main)
    asyncio.run(main())
    assert len(handler.seen) == 4


# Jobs and unknown endpoints.


@pytest.mark.anyio
async def test_a_handle_is_made_without_asking() -> None:
    handler = serve(id=7, status="completed", result_url="https://s.test/7.mp4")
    async with make_client(handler) as client:
        job = client.job(7)
        assert handler.seen == []
        assert (await job.wait()).url == "https://s.test/7.mp4"
        ref = JobRef("gen_7", "video", "kling-v2.1")
        assert client.job(ref).ref == ref
        with pytest.raises(errors.ConfigurationError):
            client.job("")


@pytest.mark.anyio
async def test_an_endpoint_we_do_not_know_can_be_reached() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, headers={"X-One": "1"}, json={"ok": True})

    seen: list[httpx.Request] = []
    async with make_client(handler) as client:
        raw = await client.request(
            "post", "/new/thing", body={"a": 1}, params={"q": "x y", "on": True}, extra_headers={"X-Trace": "1"}
        )
        await client.request("GET", "/new/thing", timeout=3)
    assert (raw.status_code, raw.headers["x-oNe"], raw.value, raw.json(), raw.attempts) == (
        201,
        "1",
        b'{"ok":true}',
        {"ok": True},
        1,
    )
    assert (seen[0].method, str(seen[0].url)) == ("POST", "http://box.test/api/v2/new/thing?q=x+y&on=true")
    assert (seen[0].content, seen[0].headers["x-trace"]) == (b'{"a":1}', "1")
    assert seen[0].extensions["timeout"]["read"] == 300.0  # it may be a generation
    assert seen[1].extensions["timeout"]["read"] == 3
    assert seen[1].content == b""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "repeatable", "attempts", "kind"),
    [
        ("GET", None, 3, errors.ConnectionLostError),
        ("HEAD", None, 3, errors.ConnectionLostError),
        ("POST", None, 1, errors.SubmissionUnknownError),
        ("POST", True, 3, errors.ConnectionLostError),
        ("GET", False, 1, errors.ConnectionLostError),
        ("DELETE", None, 1, errors.ConnectionLostError),
        ("PATCH", None, 1, errors.ConnectionLostError),
        ("PATCH", True, 3, errors.ConnectionLostError),
    ],
)
async def test_what_we_do_not_know_is_repeated_only_where_that_is_safe(
    method: str, repeatable: bool | None, attempts: int, kind: type[Exception]
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise httpx.ReadError("cut", request=request)

    seen: list[httpx.Request] = []
    async with make_client(handler) as client:
        with pytest.raises(errors.NeuralBoxError) as caught:
            await client.request(method, "/new", repeatable=repeatable)
    assert type(caught.value) is kind
    assert len(seen) == attempts


def test_what_has_a_reference_is_no_id_and_is_not_shown_whole() -> None:
    client = AsyncNeuralBox(api_key=KEY)
    with pytest.raises(errors.ConfigurationError, match=r"not a Job; pass its `ref`\.$"):
        client.job(cast("Any", client.job(7)))
    with pytest.raises(errors.ConfigurationError, match=r"not a Generation; pass its `ref`\.$"):
        client.job(cast("Any", Generation.read({"id": 7, "prompt": "x"})))


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["new", "", "https://elsewhere.test/x"])
async def test_a_path_starts_with_a_slash(path: str) -> None:
    async with make_client(serve()) as client:
        with pytest.raises(errors.ConfigurationError, match="must start with a slash"):
            await client.request("GET", path)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": 5}, "`method` must be text, not int"),
        ({"path": 5}, "`path` must be a str, not int"),
        ({"params": "page=1"}, "`params` must be a Mapping, not str"),
        ({"params": {5: "x"}}, "`params` must have text for its names"),
        ({"body": []}, "`body` must be a Mapping, not list"),
        ({"repeatable": "no"}, "`repeatable` must be True or False; it is 'no'"),
    ],
)
async def test_a_request_is_put_together_of_what_it_takes(arguments: dict[str, Any], said: str) -> None:
    handler = serve()
    async with make_client(handler) as client:
        with pytest.raises(errors.ConfigurationError, match=said):
            await client.request(**{"method": "GET", "path": "/new", **arguments})
    assert handler.seen == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "options",
    [{"default_headers": {"X-Bad": "a\r\nb"}}, {"default_headers": {"X Bad": "a"}}],
)
async def test_a_header_that_cannot_be_sent_is_refused_before_anything_is_sent(options: dict[str, Any]) -> None:
    handler = serve()
    async with make_client(handler, **options) as client:
        with pytest.raises(errors.ConfigurationError, match=r"[Hh]eader"):
            await client.generate.create(model="gpt-5", prompt="x")
    assert handler.seen == []


@pytest.mark.anyio
async def test_a_host_nobody_knows_is_one_clear_error() -> None:
    async with AsyncNeuralBox(api_key=KEY, base_url="http://no-such-host.invalid", max_retries=0) as client:
        with pytest.raises(errors.ConnectError):
            await client.account.balance()
