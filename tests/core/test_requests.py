"""What is sent: headers, query and body put together from client and call, without touching what the caller gave."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox import _errors as errors
from neuralbox._api.request import Form, FormFile, Request, RetrySafety
from neuralbox._config import NO_CALL_OPTIONS, CallOptions, Timeout
from neuralbox._core.exchange import USER_AGENT
from neuralbox._core.reply_capture import capture_replies
from neuralbox._types import OMIT
from neuralbox._version import __version__
from tests.helpers import KEY, Sent, make_core, reply

pytestmark = pytest.mark.anyio


async def sent_for(request: Request, call: CallOptions = NO_CALL_OPTIONS, **options: Any) -> Sent:
    bench = make_core([reply(200, {})], **options)
    await bench.core.send(request, bench.core.as_json, call)
    return bench.sent[0]


async def test_a_question_has_a_credential_and_names_us() -> None:
    sent = await sent_for(Request("GET", "/balance"))
    assert (sent.method, sent.url) == ("GET", "http://box.test/api/v2/balance")
    assert dict(sent.headers) == {
        "accept": "application/json",
        "authorization": f"Bearer {KEY}",
        "user-agent": USER_AGENT,
    }
    assert __version__ in USER_AGENT
    assert sent.content == b""


async def test_a_body_is_compact_json_in_utf_8() -> None:
    sent = await sent_for(Request("POST", "/generate", RetrySafety.PAID, body={"prompt": "Привет", "max_tokens": None}))
    assert sent.content == '{"prompt":"Привет","max_tokens":null}'.encode()
    assert sent.headers["content-type"] == "application/json"


async def test_extras_are_merged_and_the_callers_own_mappings_stay_as_they_were() -> None:
    default, headers = {"X-Tenant": "a", "X-Both": "client"}, {"x-both": "call", "Accept": "text/plain"}
    query, body = {"debug": True, "q": "a b&c", "none": None}, {"model": "other", "seed": 7}
    request = Request(
        "POST", "/generate", RetrySafety.PAID, query=(("page", "2"),), body={"model": "gpt-5", "prompt": "x"}
    )
    call = CallOptions(extra_headers=headers, extra_query=query, extra_body=body)
    sent = await sent_for(request, call, default_headers=default)
    assert sent.headers["x-tenant"] == "a"
    assert sent.headers["x-both"] == "call"
    assert sent.headers["accept"] == "text/plain"
    assert sent.url.endswith("?page=2&debug=true&q=a+b%26c")
    assert sent.json == {"model": "other", "prompt": "x", "seed": 7}
    assert default == {"X-Tenant": "a", "X-Both": "client"}
    assert headers == {"x-both": "call", "Accept": "text/plain"}
    assert query == {"debug": True, "q": "a b&c", "none": None}
    assert body == {"model": "other", "seed": 7}
    assert request.body == {"model": "gpt-5", "prompt": "x"}


async def test_changing_the_headers_one_gave_does_not_change_the_client() -> None:
    default = {"X-Tenant": "a"}
    bench = make_core([reply(200, {})], default_headers=default)
    default["X-Tenant"] = "b"
    await bench.core.send(Request("GET", "/balance"), bench.core.as_json)
    assert bench.sent[0].headers["x-tenant"] == "a"


async def test_an_extra_body_makes_a_body_where_there_was_none() -> None:
    sent = await sent_for(Request("POST", "/x", RetrySafety.ONCE), CallOptions(extra_body={"a": 1}))
    assert sent.json == {"a": 1}
    assert sent.headers["content-type"] == "application/json"


async def test_a_content_type_of_the_caller_stays() -> None:
    call = CallOptions(extra_headers={"Content-Type": "application/vnd.api+json"}, extra_body={"a": 1})
    sent = await sent_for(Request("POST", "/x", RetrySafety.ONCE), call)
    assert sent.headers["content-type"] == "application/vnd.api+json"


async def test_a_form_takes_extra_fields_as_text() -> None:
    form = Form({"model": "whisper"}, (FormFile("audio", "talk.mp3", b"ID3", "audio/mpeg"),))
    call = CallOptions(extra_body={"speakers": 2, "diarize": True, "left": OMIT, "none": None, "names": ["A", 1.5]})
    sent = await sent_for(Request("POST", "/stt", RetrySafety.PAID, form=form), call)
    texts = {"model": "whisper", "speakers": "2", "diarize": "true", "names": ["A", "1.5"]}
    assert sent.form == Form(texts, form.files)
    assert form.fields == {"model": "whisper"}
    assert "content-type" not in sent.headers  # its boundary is the transport's to choose
    assert (await sent_for(Request("POST", "/stt", RetrySafety.PAID, form=form))).form == form


@pytest.mark.parametrize("extra", [{"a": {"b": 1}}, {"a": [None]}, {"a": b"x"}, {1: "x"}])
async def test_what_no_form_can_say_is_refused_in_words(extra: Any) -> None:
    request = Request("POST", "/stt", RetrySafety.PAID, form=Form({"model": "whisper"}))
    with pytest.raises(errors.ConfigurationError, match="of a form takes texts, numbers and lists"):
        await sent_for(request, CallOptions(extra_body=extra))


async def test_an_anonymous_request_has_no_credential() -> None:
    sent = await sent_for(Request("POST", "/auth/login", anonymous=True, body={}))
    assert "authorization" not in sent.headers


@pytest.mark.parametrize(
    ("slow", "client", "call", "limits"),
    [
        (False, None, None, (10.0, 30.0, 30.0)),
        (True, None, None, (10.0, 300.0, 30.0)),
        (True, Timeout(generation=7.0), None, (10.0, 7.0, 30.0)),
        (False, None, 3.0, (3.0, 3.0, 3.0)),
        (True, None, Timeout(read=1.0, generation=None), (10.0, None, 30.0)),
    ],
)
async def test_time_limits_come_from_the_call_else_the_client(
    slow: bool,
    client: Timeout | None,
    call: float | Timeout | None,
    limits: tuple[float | None, ...],
) -> None:
    options = {} if client is None else {"timeout": client}
    sent = await sent_for(Request("GET", "/x", slow=slow), CallOptions(timeout=call), **options)
    assert (sent.timeouts.connect, sent.timeouts.read, sent.timeouts.write) == limits


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [float("nan"), {1, 2}, b"bytes", "\udc80", object(), nested(100_000)],
    ids=lambda value: type(value).__name__,
)
async def test_what_json_cannot_say_is_refused_before_anything_is_sent(value: object) -> None:
    bench = make_core([])
    with pytest.raises(errors.ConfigurationError, match="cannot be written as JSON"):
        await bench.core.send(Request("POST", "/x", RetrySafety.PAID, body={"a": value}), bench.core.as_json)
    assert bench.transport.prepared == []


async def test_what_a_query_cannot_say_is_refused_before_anything_is_sent() -> None:
    bench = make_core([])
    with pytest.raises(errors.ConfigurationError, match="half a character"):
        await bench.core.send(Request("GET", "/x", query=(("a", "\ud800"),)), bench.core.as_json)
    assert bench.transport.prepared == []


@pytest.mark.parametrize("base_url", ["http://box.test", "http://box.test/", "http://box.test/api/v2/"])
async def test_the_base_url_may_carry_the_prefix_or_not(base_url: str) -> None:
    assert (await sent_for(Request("GET", "/x"), base_url=base_url)).url == "http://box.test/api/v2/x"


# What was seen on the way.


async def test_replies_are_collected_for_whoever_watches_and_for_nobody_else() -> None:
    bench = make_core([errors.ConnectError("x"), reply(201, {"a": 1}, x_one="1"), reply(200, {}), reply(200, b"s")])
    ask = Request("GET", "/x")
    with capture_replies() as seen:
        await bench.core.send(ask, bench.core.as_json)
    await bench.core.send(ask, bench.core.as_json)
    assert [(one.reply.status_code, one.attempts, one.reply.headers["X-One"]) for one in seen] == [(201, 2, "1")]
    with capture_replies() as seen:
        async with bench.core.open(ask):
            pass
    assert [(one.reply.status_code, one.reply.content) for one in seen] == [(200, b"")]


async def test_a_delete_that_was_lost_is_seen_with_the_answer_that_came() -> None:
    bench = make_core([errors.ConnectionLostError("x"), reply(404, {"error": "not_found"})])
    with capture_replies() as seen:
        await bench.core.send(Request("DELETE", "/x"), lambda answer: None)
    assert [(one.reply.status_code, one.attempts) for one in seen] == [(404, 2)]


async def test_an_object_is_asked_for_and_a_list_is_not_one() -> None:
    bench = make_core([reply(200, [1])])
    with pytest.raises(errors.ProtocolError, match="list where an object was expected"):
        await bench.core.send(Request("GET", "/x"), bench.core.as_object)


async def test_a_core_with_other_options_keeps_connections_credential_and_time() -> None:
    bench = make_core([])
    other = bench.core.with_options(bench.core.options.with_changes(max_retries=9))
    assert other.options.max_retries == 9
    assert (other.transport, other.credential, other.time_source) == (
        bench.transport,
        bench.core.credential,
        bench.core.time_source,
    )
