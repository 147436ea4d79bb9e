"""The session of an end user: logging in, the cookie, and the token that renews itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from neuralbox import _errors as errors
from neuralbox._api.request import Request, RetrySafety
from neuralbox._config import CallOptions
from neuralbox._core.call_events import AttemptListener
from neuralbox._core.credentials import Session
from neuralbox._core.exchange import Attempt, Core
from neuralbox._core.reply_capture import capture_replies
from neuralbox._resources.account import Account
from neuralbox._resources.auth import Auth
from neuralbox._submissions import submission
from neuralbox._transport.base import Reply
from tests.helpers import STALL, START, Bench, Play, Sent, Step, make_core, refusal, reply

from ..service import LOST

pytestmark = pytest.mark.anyio

BALANCE = reply(200, {"token_balance": 283, "plan": "vip"})
EXPIRED = refusal(401, "token_expired")
ASK = Request("GET", "/balance")
BUY = Request("POST", "/generate", RetrySafety.PAID, body={"prompt": "x"})


def token(name: str, *cookies: str, expires_in: object = 900, **more: object) -> Reply:
    body = reply(200, {"access_token": name, "token_type": "bearer", "expires_in": expires_in, **more})
    return Reply(200, httpx.Headers([("set-cookie", line) for line in cookies]), body.content)


def logged_in(*, left: float | None = 900.0, cookies: dict[str, str] | None = None) -> Session:
    session = Session("old", {"refresh": "r1"} if cookies is None else cookies)
    session.expires_at = None if left is None else START + left
    return session


def paths(bench: Bench) -> list[str]:
    return [one.path for one in bench.sent]


# Logging in.

LOGINS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "email": (
        lambda auth: auth.login(email="ada@example.com", password="secret"),
        "/auth/login",
        {"email": "ada@example.com", "password": "secret"},
    ),
    "phone": (
        lambda auth: auth.login_phone(phone="+70000000000", password="secret"),
        "/auth/login-phone",
        {"phone": "+70000000000", "password": "secret"},
    ),
    "telegram": (
        lambda auth: auth.telegram({"id": 5, "first_name": "Ada", "auth_date": 1_772_971_200, "hash": "h"}),
        "/auth/telegram",
        {"id": 5, "first_name": "Ada", "auth_date": 1_772_971_200, "hash": "h"},
    ),
    "google": (
        lambda auth: auth.google(code="c", redirect_uri="https://app.test/back"),
        "/auth/google",
        {"code": "c", "redirect_uri": "https://app.test/back"},
    ),
}


@pytest.mark.parametrize("way", LOGINS)
async def test_each_way_of_logging_in_gives_a_token_that_later_calls_carry(way: str) -> None:
    log_in, path, body = LOGINS[way]
    user = {"id": 7, "name": "Ada", "plan": "vip", "token_balance": 5}
    bench = make_core(
        [token("t1", "refresh_token=r1; HttpOnly; Secure; SameSite=Lax; Path=/", user=user), BALANCE],
        credential=Session(),
    )
    login = await log_in(Auth(bench.core))
    assert (login.expires_in, login.user.id, login.user.name, login.user.plan) == (900, 7, "Ada", "vip")
    assert (await Account(bench.core).balance()).token_balance == 283
    first, second = bench.sent
    assert (first.method, first.path, first.json) == ("POST", path, body)
    assert "authorization" not in first.headers
    assert "cookie" not in first.headers
    assert second.headers["authorization"] == "Bearer t1"
    assert "cookie" not in second.headers
    assert "t1" not in f"{login!r}{login.raw}"


async def test_before_a_login_a_call_says_what_to_do_and_sends_nothing() -> None:
    bench = make_core([], credential=Session())
    with pytest.raises(errors.ConfigurationError, match="login methods first"):
        await Account(bench.core).balance()


@pytest.mark.parametrize("way", [*LOGINS, "refresh"])
async def test_a_client_with_a_key_logs_nobody_in(way: str) -> None:
    bench = make_core([])
    call = LOGINS[way][0](Auth(bench.core)) if way in LOGINS else Auth(bench.core).refresh()
    with pytest.raises(errors.ConfigurationError, match=r"session=Session\(\)"):
        await call


@pytest.mark.parametrize(
    "call",
    [
        lambda auth: auth.login(email=" ", password="x"),
        lambda auth: auth.login(email="a@b", password=""),
        lambda auth: auth.login_phone(phone="", password="x"),
        lambda auth: auth.google(code="", redirect_uri="x"),
        lambda auth: auth.telegram({"first_name": "Ada"}),
    ],
)
async def test_a_login_that_cannot_be_right_is_not_sent(call: Any) -> None:
    bench = make_core([], credential=Session())
    with pytest.raises(errors.ConfigurationError, match=r"empty|lacks"):
        await call(Auth(bench.core))


async def test_a_login_that_is_refused_leaves_nobody_logged_in() -> None:
    bench = make_core([refusal(401, "not_authenticated", "Wrong password")], credential=Session())
    with pytest.raises(errors.AuthenticationError, match="Wrong password"):
        await Auth(bench.core).login(email="ada@example.com", password="x")
    assert paths(bench) == ["/auth/login"]
    with pytest.raises(errors.ConfigurationError):
        await Account(bench.core).balance()


async def test_a_login_without_a_token_in_its_answer_is_an_error_not_a_login() -> None:
    bench = make_core([reply(200, {"ok": True})], credential=Session())
    with pytest.raises(errors.ProtocolError, match="without an access token"):
        await Auth(bench.core).login(email="ada@example.com", password="x")


async def test_logging_in_as_somebody_else_replaces_token_and_cookie() -> None:
    session = logged_in()
    bench = make_core([token("new", "refresh=r2"), BALANCE], credential=session)
    await Auth(bench.core).login(email="eve@example.com", password="x")
    await Account(bench.core).balance()
    assert bench.sent[1].headers["authorization"] == "Bearer new"
    assert session.cookies == {"refresh": "r2"}


# The cookie.


async def test_the_cookie_goes_to_the_auth_endpoints_and_to_nobody_else() -> None:
    session = Session()
    bench = make_core(
        [token("t1", "refresh=r1; HttpOnly", "theme=dark"), BALANCE, token("t2", "refresh=r2"), BALANCE],
        credential=session,
    )
    auth, account = Auth(bench.core), Account(bench.core)
    await auth.login(email="ada@example.com", password="x")
    await account.balance()
    await auth.refresh(extra_headers={"X-Trace": "1"})
    await account.balance()
    assert [one.headers.get("cookie") for one in bench.sent] == [None, None, "refresh=r1; theme=dark", None]
    refresh = bench.sent[2]
    assert (refresh.method, refresh.path, refresh.content) == ("POST", "/auth/refresh", b"")
    assert "authorization" not in refresh.headers
    assert refresh.headers["x-trace"] == "1"
    assert bench.sent[3].headers["authorization"] == "Bearer t2"
    assert session.cookies == {"refresh": "r2", "theme": "dark"}


async def test_a_cookie_taken_back_by_the_service_is_forgotten() -> None:
    session = logged_in()
    bench = make_core([token("t2", "refresh=r1; Max-Age=0; Path=/")], credential=session)
    await Auth(bench.core).refresh()
    assert session.cookies == {}
    assert session.cookie_header is None


async def test_headers_that_are_a_plain_mapping_give_their_one_cookie() -> None:
    session = Session()
    answer = token("t1")
    bench = make_core([Reply(200, {"set-cookie": "refresh=r1; Expires=Wed, 01 Jan 2031 00:00:00 GMT"}, answer.content)])
    await bench.core.log_in(session, Request("POST", "/auth/login", body={}, anonymous=True))
    assert session.cookies == {"refresh": "r1"}
    bench = make_core([Reply(200, {}, answer.content)])
    await bench.core.log_in(session, Request("POST", "/auth/login", body={}, anonymous=True))
    assert session.cookies == {"refresh": "r1"}


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("refresh=r2", {"refresh": "r2"}),
        ("refresh=r2; HttpOnly; Secure; SameSite=None; Path=/api/v2/auth; Domain=box.test", {"refresh": "r2"}),
        ("refresh=eyJ.a/b+c==;HttpOnly", {"refresh": "eyJ.a/b+c=="}),
        ("other=1", {"refresh": "r1", "other": "1"}),
        ('refresh=""; expires=Thu, 01 Jan 1970 00:00:00 GMT', {}),
        ("refresh=; Max-Age=0", {}),
        ("gone=; Max-Age=0", {"refresh": "r1"}),
        ("", {"refresh": "r1"}),
        ("no cookie at all", {"refresh": "r1"}),
        ("a/b=1", {"refresh": "r1"}),
    ],
)
def test_cookies_are_kept_and_dropped_as_their_lines_say(line: str, kept: dict[str, str]) -> None:
    session = logged_in()
    assert session.accept({"access_token": "t"}, [line], now=START)
    assert session.cookies == kept


@pytest.mark.parametrize("record", [{}, {"access_token": None}, {"access_token": ""}, {"access_token": ["t"]}])
def test_an_answer_without_a_token_changes_nothing(record: dict[str, object]) -> None:
    session = logged_in()
    assert not session.accept(record, ["refresh=r2"], now=START)
    assert (session.access_token, session.cookies) == ("old", {"refresh": "r1"})


def test_an_answer_that_says_no_lifetime_has_none() -> None:
    session = logged_in()
    assert session.accept({"access_token": "t"}, [], now=START)
    assert session.expires_at is None
    assert not session.runs_out(START + 1e9)


# Renewal before the token runs out...


async def test_a_token_about_to_run_out_is_renewed_before_it_is_used() -> None:
    bench = make_core([token("new"), BALANCE, BALANCE], credential=logged_in(left=20.0))
    await Account(bench.core).balance()
    await Account(bench.core).balance()
    assert paths(bench) == ["/auth/refresh", "/balance", "/balance"]
    assert {one.headers["authorization"] for one in bench.sent[1:]} == {"Bearer new"}


async def test_a_token_that_still_lives_is_left_alone() -> None:
    bench = make_core([BALANCE], credential=logged_in(left=60.0))
    await Account(bench.core).balance()
    assert paths(bench) == ["/balance"]


async def test_renewal_comes_in_time_again_and_again() -> None:
    bench = make_core(
        lambda sent: token(f"t{len(bench.sent)}") if sent.path == "/auth/refresh" else BALANCE, credential=logged_in()
    )
    for _ in range(4):
        await Account(bench.core).balance()
        await bench.time.sleep(880.0)
    assert paths(bench) == ["/balance"] + ["/auth/refresh", "/balance"] * 3


async def test_without_a_cookie_the_token_is_used_to_its_end() -> None:
    bench = make_core([BALANCE, EXPIRED], credential=logged_in(left=10.0, cookies={}))
    await Account(bench.core).balance()
    with pytest.raises(errors.AuthenticationError) as caught:
        await Account(bench.core).balance()
    assert caught.value.code == "token_expired"
    assert paths(bench) == ["/balance", "/balance"]


# ... and after.


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        *((said, request) for said in (EXPIRED, reply(401, {"detail": "No"})) for request in (ASK, BUY)),
        (reply(401, b""), ASK),
    ],
)
async def test_a_token_that_ran_out_is_renewed_and_the_refused_call_sent_again(said: Reply, request_: Request) -> None:
    bench = make_core([said, token("new"), BALANCE], credential=logged_in(left=None), max_retries=0)
    await bench.core.send(request_, bench.core.as_json)
    assert paths(bench) == [request_.path, "/auth/refresh", request_.path]
    assert [one.headers.get("authorization") for one in bench.sent] == ["Bearer old", None, "Bearer new"]


async def test_a_paid_request_is_not_sent_again_because_of_a_401_of_somebody_else() -> None:
    bench = make_core([reply(401, b"<html>Sign in</html>")], credential=logged_in(left=None))
    with pytest.raises(errors.SubmissionUnknownError) as caught:
        await bench.core.send(BUY, bench.core.as_json)
    assert isinstance(caught.value.__cause__, errors.AuthenticationError)
    assert len(bench.sent) == 1


async def test_what_is_sent_once_more_after_a_lost_answer_may_renew_the_session_again() -> None:
    done = reply(200, {"id": 7, "status": "completed"})
    script: list[Step] = [EXPIRED, token("second"), LOST, EXPIRED, token("third"), done]
    bench = make_core(script, credential=logged_in(), submission="resend")
    generation = await submission.send(bench.core, BUY, CallOptions(), kind=None, model=None)
    assert generation.is_completed
    assert bench.sent[-1].headers["authorization"] == "Bearer third"


async def test_what_cannot_be_sent_once_more_for_want_of_a_token_is_not_taken_for_lost_again() -> None:
    def lose_late(_: Sent) -> Play:
        bench.time.elapsed += 890.0
        return LOST

    bench = make_core([lose_late, refusal(401, "not_authenticated")], credential=logged_in(), submission="resend")
    with pytest.raises(errors.AuthenticationError):
        await submission.send(bench.core, BUY, CallOptions(), kind=None, model=None)
    assert paths(bench) == ["/generate", "/auth/refresh"]


async def test_another_place_is_asked_for_before_a_call_is_sent_again_with_a_new_token() -> None:
    class Places(AttemptListener):
        async def before_repeat(self) -> None:
            heard.append([one.path for one in bench.sent])

    heard = list[list[str]]()
    bench = make_core([EXPIRED, token("new"), reply(200, {})], credential=logged_in())
    await bench.core.send(BUY, lambda _: None, attempt=Attempt(bench.core.clock(), (Places(),)))
    assert heard == [["/generate", "/auth/refresh"]]


async def test_a_stream_is_renewed_too() -> None:
    bench = make_core([EXPIRED, token("new"), reply(200, b"data: 1\n\n")], credential=logged_in(left=None))
    async with bench.core.open(BUY) as streamed:
        assert await streamed.read(max_bytes=100) == b"data: 1\n\n"


async def test_once_per_call_and_no_more() -> None:
    bench = make_core([EXPIRED, token("new"), EXPIRED], credential=logged_in(left=None))
    with pytest.raises(errors.AuthenticationError):
        await Account(bench.core).balance()
    assert paths(bench) == ["/balance", "/auth/refresh", "/balance"]


@pytest.mark.parametrize("label", ["not_authenticated", "Invalid or expired token"])
async def test_any_401_renews_a_session_since_the_documents_show_sentences_for_codes_too(label: str) -> None:
    bench = make_core([refusal(401, label), token("new"), BALANCE], credential=logged_in())
    await Account(bench.core).balance()
    assert paths(bench) == ["/balance", "/auth/refresh", "/balance"]


@pytest.mark.parametrize("script", [[EXPIRED], []])
async def test_a_refused_renewal_ends_the_call_with_an_authentication_error(script: list[Step]) -> None:
    session = logged_in(left=None if script else 0.0)
    bench = make_core([*script, refusal(401, "not_authenticated", "Refresh token revoked")], credential=session)
    with pytest.raises(errors.AuthenticationError, match="Refresh token revoked"):
        await bench.core.send(BUY, bench.core.as_json)
    assert paths(bench)[-1] == "/auth/refresh"


async def test_a_renewal_whose_answer_is_lost_is_not_repeated_and_never_an_unknown_purchase() -> None:
    # The cookie may have been used up; asking again with it could end the session.
    lost = errors.ConnectionLostError("The connection broke.")
    bench = make_core([lost], credential=logged_in(left=0.0))
    with pytest.raises(errors.ConnectionLostError):
        await bench.core.send(BUY, bench.core.as_json)
    assert paths(bench) == ["/auth/refresh"]


@pytest.mark.parametrize("left", [None, 0.0])
async def test_a_renewal_that_stalls_is_cut_at_the_deadline_of_each_call_that_waits_for_it(left: float | None) -> None:
    def answer(sent: Sent) -> Play:
        return STALL if sent.path == "/auth/refresh" else EXPIRED

    bench = make_core(answer, credential=logged_in(left=left), deadline=0.02)

    async def cut() -> None:
        with pytest.raises(errors.APITimeoutError, match=r"deadline of 0.02 s"):
            await bench.core.send(ASK, bench.core.as_json)

    with anyio.fail_after(5) as limit:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(cut)
        assert limit.deadline - anyio.current_time() > 4, "not one after another"


async def test_a_paid_request_whose_renewal_stalls_was_refused_and_is_not_unknown() -> None:
    bench = make_core([EXPIRED, STALL], credential=logged_in(left=None), deadline=0.01)
    with pytest.raises(errors.APITimeoutError, match=r"deadline of 0.01 s"):
        await bench.core.send(BUY, bench.core.as_json)
    assert paths(bench) == ["/generate", "/auth/refresh"]


async def test_a_renewal_that_is_asked_for_is_cut_at_the_deadline_too() -> None:
    bench = make_core([STALL], credential=logged_in(), deadline=0.01)
    with pytest.raises(errors.APITimeoutError, match=r"deadline of 0.01 s"):
        await Auth(bench.core).refresh()


# One renewal for all who need it.


async def crowd(bench: Bench, cores: list[Any]) -> None:
    async with anyio.create_task_group() as group:
        for core in cores:
            group.start_soon(core.send, ASK, bench.core.as_json)


@pytest.mark.parametrize("left", [None, 0.0])
async def test_twenty_calls_that_find_the_token_stale_renew_it_once(left: float | None) -> None:
    def answer(sent: Sent) -> Play:
        if sent.path == "/auth/refresh":
            return token("new")
        return BALANCE if sent.headers["authorization"] == "Bearer new" else EXPIRED

    bench = make_core(answer, credential=logged_in(left=left))
    # Copies of a client share its session, so they share the renewal.
    copies = [bench.core.with_options(bench.core.options.with_changes(max_retries=number % 3)) for number in range(20)]
    await crowd(bench, copies)
    assert paths(bench).count("/auth/refresh") == 1
    assert paths(bench).count("/balance") == (20 if left is not None else 40)


async def test_clients_of_one_session_renew_it_once() -> None:
    bench = make_core(
        lambda sent: token("new") if sent.path == "/auth/refresh" else BALANCE, credential=logged_in(left=0.0)
    )
    others = [
        Core(bench.transport, bench.core.options, bench.core.credential, bench.time.time_source) for _ in range(4)
    ]
    await crowd(bench, [bench.core, *others])
    assert paths(bench).count("/auth/refresh") == 1


async def test_renewals_that_are_asked_for_at_once_use_no_cookie_twice() -> None:
    bench = make_core(
        lambda _: token("new", f"refresh=r{len(bench.sent) + 1}; HttpOnly"), credential=(session := logged_in())
    )
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(bench.core.refresh, session)
    assert [one.headers["cookie"] for one in bench.sent] == ["refresh=r1", "refresh=r2", "refresh=r3"]


@pytest.mark.parametrize(
    "failure",
    [
        refusal(401, "not_authenticated", "Refresh token revoked"),
        reply(200, {}),
        errors.ConnectionLostError("The connection broke."),
    ],
)
async def test_a_renewal_that_fails_fails_for_all_who_wait_for_it_and_is_tried_again_by_later_calls(
    failure: Play,
) -> None:
    bench = make_core(lambda sent: failure if sent.path == "/auth/refresh" else EXPIRED, credential=logged_in(left=0.0))
    failures: list[errors.NeuralBoxError] = []

    async def fail() -> None:
        with pytest.raises(errors.NeuralBoxError) as caught:
            await bench.core.send(ASK, bench.core.as_json)
        failures.append(caught.value)

    for times in (1, 2):
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(fail)
        assert paths(bench) == ["/auth/refresh"] * times
    assert len({(type(error), str(error)) for error in failures}) == 1
    assert len({id(error) for error in failures}) == 40


async def test_a_renewal_that_ends_with_its_client_or_its_caller_is_done_by_the_next_who_waits() -> None:
    everybody_waits, impatient = anyio.Event(), anyio.CancelScope()

    async def answer(sent: Sent) -> Play:
        if sent.path != "/auth/refresh":
            return BALANCE
        tries = paths(bench).count("/auth/refresh")
        if tries == 1:
            await everybody_waits.wait()
            return errors.ConfigurationError("The client is closed.")
        if tries == 2:
            impatient.cancel()
        return STALL if tries == 2 else token("new")

    async def fail() -> None:
        with pytest.raises(errors.ConfigurationError):
            await bench.core.send(ASK, bench.core.as_json)

    async def give_up() -> None:
        with impatient:
            await bench.core.send(ASK, bench.core.as_json)

    bench = make_core(answer, credential=(session := logged_in(left=0.0)))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for call in (fail, give_up, partial(bench.core.send, ASK, bench.core.as_json)):
                group.start_soon(call)
                await anyio.wait_all_tasks_blocked()
            everybody_waits.set()
    assert (session.access_token, paths(bench).count("/auth/refresh")) == ("new", 3)


async def test_a_refusal_that_comes_after_the_renewal_does_not_renew_again() -> None:
    slow = anyio.Event()
    refreshed = anyio.Event()

    async def answer(sent: Sent) -> Play:
        if sent.path == "/auth/refresh":
            refreshed.set()
            return token("new")
        if sent.headers["authorization"] == "Bearer new":
            return BALANCE
        if not slow.is_set():
            slow.set()  # the first call's refusal is on its way until long after the second call has renewed
            await refreshed.wait()
            for _ in range(20):
                await checkpoint()
        return EXPIRED

    bench = make_core(answer, credential=logged_in(left=None))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(bench.core.send, ASK, bench.core.as_json)
            await slow.wait()
            group.start_soon(bench.core.send, ASK, bench.core.as_json)
    assert paths(bench).count("/auth/refresh") == 1
    assert paths(bench).count("/balance") == 4


async def test_what_is_watched_is_the_call_and_not_the_renewal_with_its_token() -> None:
    bench = make_core([token("new"), BALANCE], credential=logged_in(left=0.0))
    with capture_replies() as seen:
        await bench.core.send(ASK, bench.core.as_json)
    assert [one.reply for one in seen] == [BALANCE]


async def test_a_login_may_be_repeated_and_takes_what_its_call_says() -> None:
    lost = errors.ConnectionLostError("The connection broke.")
    bench = make_core([lost, token("t1")], credential=Session())
    call = CallOptions(extra_body={"captcha": "c"})
    await Auth(bench.core).login(email="ada@example.com", password="x", extra_body=call.extra_body)
    assert [one.json["captcha"] for one in bench.sent] == ["c", "c"]
