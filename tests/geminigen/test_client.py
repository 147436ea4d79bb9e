"""Making a client of GeminiGen, copying it, closing it, waiting for its jobs, and keeping its key to itself."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from neuralbox import _errors as errors
from neuralbox._config import Polling, Timeout
from neuralbox._types import JobRef
from neuralbox.geminigen import AsyncGeminiGen, HistoryItem
from tests import samples
from tests.geminigen.support import KEY, client
from tests.helpers import VirtualTime, one_loop

UUID = "hist_abc123def456"


def serve(*answers: Any) -> Any:
    """A service that gives these answers in order, the last one for ever, and remembers what it was asked."""

    def handler(request: httpx.Request) -> httpx.Response:
        handler.seen.append(request)  # type: ignore[attr-defined]
        answer = answers[min(len(handler.seen), len(answers)) - 1]  # type: ignore[attr-defined]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    handler.seen = []  # type: ignore[attr-defined]
    return handler


def record(status: int, percent: int = 0, **more: Any) -> dict[str, Any]:
    return {"uuid": UUID, "status": status, "status_percentage": percent, "type": "image_generation", **more}


# Making one.


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_a_missing_key_says_where_keys_come_from(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALBOX_API_KEY", "nb_of_the_other_service")
    monkeypatch.delenv("GEMINIGEN_API_KEY", raising=False)
    with pytest.raises(errors.ConfigurationError, match=r"set GEMINIGEN_API_KEY\. .*Service Integration"):
        AsyncGeminiGen(api_key=key)


@pytest.mark.anyio
async def test_key_and_base_url_come_from_variables_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINIGEN_API_KEY", "from-the-environment")
    monkeypatch.setenv("GEMINIGEN_BASE_URL", "https://api.snapgen.ai/uapi/v1/")
    monkeypatch.setenv("NEURALBOX_BASE_URL", "http://other.test")
    handler = serve({"result": []})
    async with AsyncGeminiGen(transport=httpx.MockTransport(handler)) as gg:
        assert repr(gg) == "<AsyncGeminiGen https://api.snapgen.ai>"
        await gg.history.list()
    (seen,) = handler.seen
    assert str(seen.url).startswith("https://api.snapgen.ai/uapi/v1/histories?")
    assert seen.headers["x-api-key"] == "from-the-environment"


def test_the_documented_host_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINIGEN_BASE_URL", raising=False)
    assert repr(AsyncGeminiGen(api_key=KEY)) == "<AsyncGeminiGen https://api.geminigen.ai>"


@pytest.mark.parametrize(
    "options", [{"base_url": "api.geminigen.ai"}, {"timeout": 0}, {"max_retries": -1}, {"api_key": "two words"}]
)
def test_an_option_that_cannot_be_right_is_refused_with_this_services_words(options: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        AsyncGeminiGen(**{"api_key": KEY, **options})
    if "base_url" in options:
        assert "`https://api.geminigen.ai`" in str(caught.value)
        assert "GEMINIGEN_BASE_URL" in str(caught.value)


# Copies and closing.


@pytest.mark.anyio
async def test_a_copy_with_other_options_shares_the_connections() -> None:
    handler = serve({"result": []})
    async with client(handler, default_headers={"x-a": "1"}) as gg:
        copy = gg.with_options(
            timeout=5,
            deadline=9,
            max_retries=0,
            max_retry_wait=1,
            max_reply_bytes=100,
            default_headers={"x-b": "2"},
            polling=Polling(timeout=1),
        )
        assert copy._core.transport is gg._core.transport
        options = copy._core.options
        assert (options.timeout, options.deadline, options.max_retries) == (Timeout.of(5), 9, 0)
        assert (options.max_retry_wait, options.max_reply_bytes, options.polling.timeout) == (1, 100, 1)
        await copy.history.list()
        await gg.history.list()
    assert [("x-a" in seen.headers, "x-b" in seen.headers) for seen in handler.seen] == [(False, True), (True, False)]


@pytest.mark.anyio
async def test_a_copy_with_another_key_or_host_has_connections_of_its_own_and_is_closed_with_the_first() -> None:
    handler = serve({"result": []})
    async with client(handler) as gg:
        other, elsewhere = gg.with_options(api_key="another"), gg.with_options(base_url="http://else.test")
        assert len({one._core.transport for one in (gg, other, elsewhere)}) == 3
        assert gg.with_options(api_key=KEY)._core.transport is gg._core.transport
        await other.history.list()
        await elsewhere.history.list()
    assert [seen.headers["x-api-key"] for seen in handler.seen] == ["another", KEY]
    assert handler.seen[1].url.host == "else.test"
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await other.history.list()
    async with gg:
        await gg.history.list()
    assert len(handler.seen) == 3


@pytest.mark.anyio
async def test_raw_responses_have_status_headers_and_the_value() -> None:
    page = httpx.Response(200, json={"result": [record(2)], "total": 1}, headers={"x-seen": "list"})
    async with client(serve(page, record(1, 40))) as gg:
        listed = await gg.with_raw_response.history.list(items_per_page=1)
        got = await gg.with_raw_response.history.get(UUID)
    assert (listed.status_code, listed.headers["x-seen"], listed.value.items[0].uuid) == (200, "list", UUID)
    assert (got.value.progress, got.json()["status"]) == (40, 1)


# Jobs.


@pytest.mark.anyio
async def test_a_job_waits_through_the_detail_endpoint() -> None:
    handler = serve(record(0), record(1, 40), record(13, 90), record(2, 100, generate_result="http://cdn.test/a.jpg"))
    time = VirtualTime()
    states: list[tuple[str, float | None]] = []
    async with client(handler, time=time) as gg:
        job = gg.job(UUID)
        done = await job.wait(on_progress=lambda one: states.append((one.status, one.progress)))
    assert (done.id, done.status, done.kind, done.url) == (UUID, "completed", "image", "http://cdn.test/a.jpg")
    assert states == [("pending", 0), ("pending", 40), ("pending", 90), ("completed", 100)]
    assert {seen.url.path for seen in handler.seen} == {f"/uapi/v1/history/{UUID}"}
    assert all(seen.headers["x-api-key"] == KEY and "authorization" not in seen.headers for seen in handler.seen)
    assert HistoryItem.read(done.raw).status == 2
    assert time.elapsed >= 3 * 5


@pytest.mark.anyio
async def test_a_failed_job_says_why_and_nothing_of_tokens() -> None:
    handler = serve(samples.record("geminigen/failed_video"))
    async with client(handler) as gg:
        with pytest.raises(errors.GenerationFailedError) as caught:
            await gg.job("7a1f0c2e-0b54-4f0e-9a35-5d0c9b1e77aa").wait()
    assert "failed: blocked (GEMINI_RAI_MEDIA_FILTERED)." in str(caught.value)
    assert "token" not in str(caught.value)


@pytest.mark.anyio
async def test_an_unknown_key_ends_a_wait_at_once_although_it_is_a_404() -> None:
    handler = serve(httpx.Response(404, json=samples.record("geminigen/refusal_key", 404)))
    async with client(handler) as gg:
        with pytest.raises(errors.AuthenticationError) as caught:
            await gg.job(UUID).wait()
    assert caught.value.job == JobRef(UUID)
    assert len(handler.seen) == 1


@pytest.mark.anyio
async def test_a_missed_look_is_no_failed_job() -> None:
    busy = httpx.Response(429, json={"detail": {"error_code": "RATE_LIMIT_ERROR"}}, headers={"retry-after": "15"})
    handler = serve(httpx.Response(502), busy, {"success": False}, record(2))
    async with client(handler) as gg:
        assert (await gg.job(UUID).wait()).is_completed


@pytest.mark.anyio
async def test_a_job_knows_what_its_reference_or_record_knew() -> None:
    handler = serve({"status": 1})
    async with client(handler) as gg:
        seen = await gg.job(JobRef(UUID, "video", "veo-2")).refresh()
        assert (seen.id, seen.kind, seen.model, seen.status) == (UUID, "video", "veo-2", "pending")
        item = HistoryItem.read(record(1, model_name="imagen-4"))
        assert gg.job(item).ref == JobRef(UUID, "image", "imagen-4")
        finished = gg.job(HistoryItem.read(record(2)))
        assert (await finished.wait()).is_completed
    assert len(handler.seen) == 1


@pytest.mark.anyio
@one_loop
@pytest.mark.parametrize("detail", ["status", "listing"])
async def test_many_jobs_are_looked_for_in_the_list_of_everything_and_polled_when_they_have_ended(detail: Any) -> None:
    time, polls = VirtualTime(), Counter[str]()

    def item(number: int) -> dict[str, Any]:
        is_done = time.clock() - began > 30
        url = f"https://cdn.test/{number}.png" if is_done else None
        return {"uuid": f"u{number}", "status": 2 if is_done else 1, "generate_result": url, "used_credit": 3}

    def handler(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        polls["page" if name == "histories" else name] += 1
        if name != "histories":
            return httpx.Response(200, json=item(int(name[1:])))
        size, page = int(request.url.params["items_per_page"]), int(request.url.params["page"])
        strangers = [{"uuid": f"x{number}", "status": 2} for number in range(40)]
        items = [*strangers, *(item(number) for number in range(150)), {"status": 1}, *strangers]
        return httpx.Response(200, json={"result": items[(page - 1) * size : page * size], "total": len(items)})

    began = time.clock()
    async with client(handler, time=time, polling=Polling(detail=detail)) as gg:
        found = await gg.history.wait([f"u{number}" for number in range(150)])
    assert [item.uuid for item in found] == [f"u{number}" for number in range(150)]
    assert all(item.url for item in found)
    pages = polls.pop("page")
    assert 10 <= pages <= 40  # two for each turn
    assert sum(polls.values()) <= (150 if detail == "status" else 0)


@pytest.mark.anyio
async def test_a_list_of_everything_that_is_refused_or_filled_by_others_leaves_the_field_to_polls() -> None:
    polls: Counter[str] = Counter()

    def handler(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        polls["page" if name == "histories" else name] += 1
        if name != "histories":
            return httpx.Response(200, json={"uuid": name, "status": 2 if polls[name] > 3 else 1})
        if polls["page"] == 1:
            return httpx.Response(200, json={"result": [{"uuid": f"x{number}", "status": 1} for number in range(100)]})
        return httpx.Response(403, json={"detail": {"error_code": "FORBIDDEN", "error_message": "no"}})

    async with client(handler) as gg, anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(gg.job(f"u{number}").wait)
    assert 1 <= polls.pop("page") <= 4
    assert polls == {f"u{number}": 4 for number in range(60)}


@pytest.mark.anyio
async def test_many_are_waited_for_at_once_and_come_back_whole_in_the_order_given() -> None:
    polls: Counter[str] = Counter()
    video = {"video_url": "http://cdn.test/a.mp4", "duration": 5}

    def handler(request: httpx.Request) -> httpx.Response:
        uuid = request.url.path.rpartition("/")[2]
        polls[uuid] += 1
        status = 3 if uuid == "u3" else 2 if polls[uuid] > 2 else 1
        return httpx.Response(200, json={"uuid": uuid, "status": status, "generated_video": [video]})

    seen: list[str] = []
    async with client(handler) as gg:
        jobs: list[Any] = ["u2", JobRef("u1"), gg.job("u3"), HistoryItem.read({"uuid": "u2"})]
        found = await gg.history.wait(jobs, on_progress=lambda one: seen.append(one.status))
        with pytest.raises(errors.GenerationTimeoutError):
            await gg.history.wait(["u9"], timeout=0)
        with pytest.raises(errors.ConfigurationError, match="uuid"):
            await gg.history.wait([7])  # type: ignore[list-item]
        with pytest.raises(errors.ConfigurationError, match=r"Pass the ids as a list: \[None\]"):
            await gg.history.wait(None)  # type: ignore[arg-type]
    assert [(one.uuid, one.state) for one in found] == [
        ("u2", "completed"),
        ("u1", "completed"),
        ("u3", "failed"),
        ("u2", "completed"),
    ]
    assert found[0].generated_video[0].duration == 5
    assert {"completed", "failed"} <= set(seen)


@pytest.mark.parametrize("wrong", [1234, "", "..", JobRef(7), None])
def test_a_job_needs_a_uuid(wrong: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="uuid"):
        client(serve({})).job(wrong)


# Files.


@pytest.mark.anyio
async def test_a_records_file_is_downloaded_without_the_key(tmp_path: Path) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.host == "cdn.geminigen.ai":
            return httpx.Response(200, content=b"picture", headers={"content-type": "image/jpeg"})
        return httpx.Response(200, json=samples.record("geminigen/detail"))

    seen: list[httpx.Request] = []
    async with client(handler, default_headers={"x-mine": "secret"}) as gg:
        item = await gg.history.get(UUID)
        path = await gg.files.download(item.to_generation(), tmp_path)
        assert await gg.files.read(item.assets[1].url or "") == b"picture"
    assert (path.name, path.read_bytes()) == (f"{UUID}.jpg", b"picture")
    assert "x-api-key" in seen[0].headers
    for fetched in seen[1:]:
        assert KEY not in str(fetched.headers.raw)
        assert "x-mine" not in fetched.headers


# Secrets.


@pytest.mark.anyio
async def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    echo = {"detail": {"error_code": "API_KEY_NOT_FOUND", "message": f"no key {KEY}", "x-api-key": KEY}}
    with caplog.at_level(logging.DEBUG, logger="neuralbox"):
        async with client(serve(httpx.Response(503, json=echo)), max_retries=1) as gg:
            with pytest.raises(errors.APIStatusError) as caught:
                await gg.history.list()
            shown = [repr(gg), repr(gg._core), repr(gg._core.options), repr(gg._core.credential), repr(gg.job("u"))]
    for text in [*shown, caplog.text, repr(caught.value), str(vars(caught.value))]:
        assert "planted" not in text
