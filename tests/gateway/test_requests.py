"""Paths, bodies and answers that are no purchase: videos and models, what is too long or garbled, the log, the health."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox import JournalError, NeuralBoxError
from neuralbox._models.generation import Generation
from neuralbox._polling.polled_job import JobSnapshot
from neuralbox.gateway import KeyFile, _app, _followed, app
from neuralbox.gateway._answers import images
from neuralbox.gateway._orders import Translator
from neuralbox.testing import in_memory

from .caller import Answered, Calls, calling, in_process

BOAT = {"model": "kling-v2.1", "prompt": "A boat", "seconds": "8", "size": "720x1280"}


async def finished(calls: Calls, video_id: str) -> Answered:
    came = await calls.get(f"videos/{video_id}")
    while came.body["status"] not in {"completed", "failed"}:
        await calls.running.time.sleep(5.0)
        came = await calls.get(f"videos/{video_id}")
    return came


# Videos.


@pytest.mark.anyio
async def test_a_video_is_followed_for_all_who_poll_and_their_polls_cost_nothing(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        made = await calls.post("videos", BOAT)
        assert (made.body["status"], made.body["seconds"], made.body["size"]) == ("queued", "10", "720x1280")
        assert (made.body["prompt"], made.headers["openai-poll-after-ms"]) == ("A boat", "5000")
        for _ in range(40):  # virtual time takes a hundred turns of the loop without a pause for a pause
            came = await calls.get(f"videos/{made.body['id']}")
            assert came.body["status"] in {"queued", "in_progress"}
        assert calls.running.ledger.requests < 4
        done = await finished(calls, made.body["id"])
        assert (done.body["status"], done.body["progress"], done.body["error"]) == ("completed", 100, None)
        assert "openai-poll-after-ms" not in done.headers
        before = calls.running.ledger.requests
        for _ in range(100):
            await calls.get(f"videos/{made.body['id']}")
        assert calls.running.ledger.requests == before


@pytest.mark.anyio
async def test_a_video_of_an_earlier_run_is_asked_for_once_and_its_file_is_handed_on(tmp_path: Path) -> None:
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running) as calls:
            video_id, key = (await calls.post("videos", BOAT)).body["id"], calls.key
        async with calling(tmp_path, running) as calls:
            before = running.ledger.requests
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(calls.get, f"videos/{video_id}")
                    calls.key = key
            assert running.ledger.requests == before + 1
            early = await calls.get(f"videos/{video_id}/content")
            assert (early.status, early.error["code"]) == (400, "video_not_ready")
            done = await finished(calls, video_id)
            assert (done.body["seconds"], done.body["size"]) == ("10", "720x1280")
            whole = await calls.get(f"videos/{video_id}/content")
            part = await calls.get(f"videos/{video_id}/content", range="bytes=0-9")
            still = await calls.get(f"videos/{video_id}/content?variant=thumbnail")
            assert (whole.status, whole.headers["content-type"], whole.content[4:8]) == (200, "video/mp4", b"ftyp")
            assert (part.status, part.content) == (206, whole.content[:10])
            assert still.headers["content-type"].startswith("image/")
            wrong = await calls.get(f"videos/{video_id}/content?variant=spritesheet")
            assert (wrong.status, wrong.error["param"]) == (400, "variant")


@pytest.mark.anyio
async def test_a_failed_video_says_why_and_has_no_file(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        calls.running.fault("fail-generation", times=1)
        video_id = (await calls.post("videos", BOAT)).body["id"]
        done = await finished(calls, video_id)
        assert (done.body["status"], done.body["error"]["code"]) == ("failed", "generation_failed")
        assert (await calls.get(f"videos/{video_id}/content")).error["code"] == "video_not_ready"


@pytest.mark.anyio
async def test_another_callers_video_is_not_there(tmp_path: Path) -> None:
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running) as calls:
            mine = (await calls.post("videos", BOAT)).body["id"]
            async with calling(tmp_path, running) as others:
                for path in (f"videos/{mine}", f"videos/{mine}/content"):
                    assert (await others.get(path)).error["code"] == "not_found"
                assert (await others("DELETE", f"/v1/videos/{mine}")).status == 404
                assert (await others.get("videos")).body["data"] == []
            for video_id in (
                "video_",
                "18000",
                "video_18000",
                f"{mine}0",
                mine.replace("18", "17"),
                "video_1_\N{SNOWMAN}",
            ):
                assert (await calls.get(f"videos/{video_id}")).status == 404
            assert (await calls("DELETE", f"/v1/videos/{mine}")).body["deleted"] is True
            assert (await calls.get(f"videos/{mine}")).status == 404
            assert (await calls.get(f"videos/{mine}/content")).status == 404
            assert (await calls("DELETE", f"/v1/videos/{mine}")).status == 404


@pytest.mark.anyio
async def test_videos_are_listed_page_by_page_in_either_order(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        made = [(await calls.post("videos", {**BOAT, "prompt": f"Boat {n}"})).body["id"] for n in range(5)]
        first = (await calls.get("videos?limit=2")).body
        second = (await calls.get(f"videos?limit=2&after={first['last_id']}")).body
        last = (await calls.get(f"videos?limit=2&after={second['last_id']}")).body
        listed = [each["id"] for page in (first, second, last) for each in page["data"]]
        assert listed == made[::-1]
        assert [page["has_more"] for page in (first, second, last)] == [True, True, False]
        rising = (await calls.get("videos?order=asc")).body
        assert [each["id"] for each in rising["data"]] == made
        for query, param in (("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order")):
            assert (await calls.get(f"videos?{query}")).error["param"] == param
        assert (await calls.get("videos?after=video_7")).status == 404


@pytest.mark.anyio
async def test_a_list_of_videos_asks_for_no_page_that_can_have_none_of_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account has others' as well: each list of a caller without any walked through its whole history."""
    monkeypatch.setattr(_app, "_READ_AT_ONCE", 2)
    async with in_process(tmp_path) as calls:
        other, _ = KeyFile(tmp_path / "keys.json").make("other")
        mine = [(await calls.post("videos", BOAT)).body["id"]]
        async with calls.running.client(api_key="nb_operator") as nb:
            await nb.videos.submit(model="kling-v2.1", prompt="Another's boat")
        mine += [(await calls.post("videos", BOAT)).body["id"] for _ in range(2)]
        before = calls.running.ledger.requests
        assert [each["id"] for each in (await calls.get("videos?order=asc")).body["data"]] == mine
        assert calls.running.ledger.requests == before + 2
        assert (await calls.get("videos", key=other)).body["data"] == []
        assert calls.running.ledger.requests == before + 2
        for each in mine:
            assert (await calls("DELETE", f"/v1/videos/{each}")).status == 200
        before = calls.running.ledger.requests
        assert (await calls.get("videos")).body["data"] == []
        assert calls.running.ledger.requests == before


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.anyio
async def test_a_caller_with_a_key_of_the_service_has_all_videos_of_its_account(order: str) -> None:
    with in_memory(balance=10_000_000) as running:
        gateway = app(connect=lambda key: running.client(api_key=key))
        calls = Calls(gateway, "nb_own", running)
        async with running.client(api_key="nb_own") as nb:
            job = await nb.videos.submit(model="kling-v2.1", prompt="A boat")
        listed = (await calls.get(f"videos?order={order}")).body["data"]
        assert [each["id"] for each in listed] == [f"video_{job.id}"]
        await gateway.aclose()


@pytest.mark.anyio
async def test_what_is_not_followed_to_its_end_is_asked_for_by_the_next_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_followed, "FOLLOWED_FOR", 1.0)
    monkeypatch.setattr(_followed, "MOST_FOLLOWED", 8)
    async with in_process(tmp_path) as calls:
        made = [(await calls.post("videos", BOAT)).body["id"] for _ in range(8)]
        await calls.running.time.sleep(30.0)
        made.append((await calls.post("videos", BOAT)).body["id"])
        for video_id in made:
            assert (await finished(calls, video_id)).body["status"] == "completed"
        calls.running.fault("error-500")
        (account,) = calls.gateway.callers.accounts()
        account.jobs._jobs.clear()
        assert (await calls.get(f"videos/{made[0]}")).status == 502
        calls.running.fault("error-500", 0)
        assert (await calls.get(f"videos/{made[0]}")).status == 200


@pytest.mark.anyio
async def test_jobs_that_are_asked_for_are_not_remembered_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_followed, "MOST_FOLLOWED", 8)
    async with in_process(tmp_path, client={"max_retries": 0}) as calls:
        await calls.chat()
        (account,) = calls.gateway.callers.accounts()
        calls.running.fault("error-500")
        for number in range(50):
            with pytest.raises(NeuralBoxError):
                await account.jobs.state(number)
        assert len(account.jobs._jobs) <= 8


@pytest.mark.parametrize("error", [RuntimeError("a bug"), JournalError("The disk is full.", reason="full")])
@pytest.mark.anyio
async def test_an_end_that_cannot_be_taken_in_ends_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """One that raised ended all waits and purchases of the account."""

    async def broken(*_: object, **__: object) -> None:
        raise error

    async with in_process(tmp_path, journal=tmp_path / "jobs.sqlite") as calls:
        first = (await calls.post("videos", BOAT)).body["id"]
        (account,) = calls.gateway.callers.accounts()
        with monkeypatch.context() as patched:
            patched.setattr(account.cashier.book, "ended", broken)
            assert (await finished(calls, first)).body["status"] == "completed"
            await calls.running.time.sleep(1.0)
        assert str(error) in caplog.text
        assert (await calls.chat()).status == 200
        second = (await calls.post("videos", {**BOAT, "prompt": "A ship"})).body["id"]
        assert (await finished(calls, second)).body["status"] == "completed"


# Models, and what is not there.


@pytest.mark.anyio
async def test_models_are_listed_under_the_operators_names_too_and_asked_for_once(tmp_path: Path) -> None:
    async with in_process(tmp_path, model_names={"gpt-4o": "gpt-5", "mine": "nowhere"}) as calls:
        listed = {each["id"] for each in (await calls.get("models")).body["data"]}
        assert {"gpt-5", "gpt-4o", "sora-2"} <= listed
        assert "mine" not in listed
        assert (await calls.get("models/gpt-4o")).body["id"] == "gpt-4o"
        assert (await calls.get("models/tts-1")).body["id"] == "openai-tts"
        gone = await calls.get("models/nope/v2")
        assert (gone.status, gone.error["code"]) == (404, "model_not_found")
        assert calls.running.ledger.requests == 1
        assert (
            await calls.post("chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]})
        ).status == 200


@pytest.mark.anyio
async def test_an_unknown_model_or_size_is_openais_error(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        model = await calls.chat(model="nope")
        assert (model.status, model.error["param"], model.error["code"]) == (404, "model", "model_not_found")
        size = await calls.post("images/generations", {"model": "dall-e-3", "prompt": "A fox", "size": "1x1"})
        assert (size.status, size.error["param"]) == (400, "size")
        assert (await calls.chat(max_tokens=0)).error["param"] == "max_tokens"
        assert calls.charges == 0


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nothing"), ("PUT", "/v1/videos"), ("GET", "/v1/responses")])
@pytest.mark.anyio
async def test_a_path_that_is_not_there_is_openais_error(tmp_path: Path, method: str, path: str) -> None:
    async with in_process(tmp_path) as calls:
        came = await calls(method, path)
        assert (came.status, came.error["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/models/gpt-5"])
@pytest.mark.anyio
async def test_what_is_read_by_get_answers_head(tmp_path: Path, path: str) -> None:
    """As `wget --spider` asks for the health; the server leaves the body out."""
    async with in_process(tmp_path) as calls:
        said, asked = await calls("GET", path), await calls("HEAD", path)
        assert asked.status == said.status == 200
        assert asked.headers["content-length"] == said.headers["content-length"]
        assert (await calls("HEAD", "/v1/responses")).status == 404


# Bodies.


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
@pytest.mark.anyio
async def test_a_body_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    async with in_process(tmp_path) as calls:
        came = await calls.post("chat/completions", None, pieces=[content])
        assert (came.status, came.error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "multipart/form-data", "text/plain"])
@pytest.mark.anyio
async def test_a_form_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    async with in_process(tmp_path) as calls:
        came = await calls.post("audio/transcriptions", None, pieces=[b"no form"], content_type=kind)
        assert (came.status, came.error["type"]) == (400, "invalid_request_error")


@pytest.mark.anyio
async def test_the_kind_of_a_body_may_be_written_in_capitals(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        body = {"model": "sora-2", "prompt": "A boat"}
        assert (await calls.post("videos", body, content_type="Application/JSON")).status == 200


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.anyio
async def test_a_body_of_200_mb_is_read_to_its_end_and_refused_without_being_kept(
    tmp_path: Path, declared: bool
) -> None:
    async with in_process(tmp_path) as calls:
        headers = {"content_length": str(200 * 2**20)} if declared else {}
        came = await calls.post("images/generations", None, pieces=[b" " * 2**20] * 200, **headers)
        assert (came.status, came.error["code"]) == (413, "request_too_large")
        assert not calls.running.ledger.requests_by_route


@pytest.mark.anyio
async def test_a_body_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox.gateway._bodies._DROPPED", 64)
    monkeypatch.setattr("neuralbox.gateway._bodies._DROPPED_SECONDS", 0.01)
    async with in_process(tmp_path, max_body_bytes=32) as calls:
        endless = await calls.post("images/generations", None, pieces=[b" " * 40] * 1_000)
        assert endless.status == 413
        gone = await calls.post("images/generations", None, pieces=[], leaves=lambda _: True)
        assert gone.status == 0


# The log, the health, and a bug of ours.


@pytest.mark.anyio
async def test_the_access_log_says_who_asked_for_what_and_nothing_of_the_prompt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "neuralbox.gateway")
    async with in_process(tmp_path) as calls:
        await calls.chat("my secret")
        await calls.chat("my secret", x_stainless_retry_count="1", stream=False)
        await calls.get("videos?after=secret")
        assert (await calls("GET", "/healthz")).body == {"status": "ok", "purchases": 0}
    lines = [record.message for record in caplog.records if record.name == "neuralbox.gateway.access"]
    assert len(lines) == 4
    assert lines[0].startswith("POST /v1/chat/completions 200 ")
    assert "model=gpt-5" in lines[0]
    assert "tokens=2" in lines[0]
    assert "caller=" in lines[0]
    assert "secret" not in caplog.text
    assert calls.key not in caplog.text


@pytest.mark.anyio
async def test_a_bug_of_ours_is_openais_error_and_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    async with in_process(tmp_path) as calls:
        with monkeypatch.context() as patched:
            patched.setattr("neuralbox.gateway._answers.chat_completion", broken)
            assert (await calls.chat()).error["code"] == "internal_error"
        (account,) = calls.gateway.callers.accounts()
        monkeypatch.setattr(account.cashier.book, "submit", broken)
        assert (await calls.chat()).error["code"] == "internal_error"
        assert not account.cashier.running
    assert caplog.text.count("RuntimeError: broken") == 2


@pytest.mark.anyio
async def test_what_the_service_refuses_has_openais_word(tmp_path: Path) -> None:
    async with in_process(tmp_path, sandbox={"plan": "free"}) as calls:
        assert (await calls.chat()).error["code"] == "upstream_refused"
        assert (await calls.get("models")).status == 500


@pytest.mark.anyio
async def test_counts_of_the_language_model_are_told_where_the_service_tells_them(tmp_path: Path) -> None:
    async with in_process(tmp_path, sandbox={"dialect": "B"}) as calls:
        whole = await calls.chat(n=2)
        usage = whole.body["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
        said = await calls.post("responses", {"model": "gpt-5", "input": "Hello"})
        assert said.body["usage"]["total_tokens"] > 0
        video = await calls.post("videos", BOAT)
        assert video.body["id"].startswith("video_gen_")
        assert (await finished(calls, video.body["id"])).status == 200


@pytest.mark.anyio
async def test_it_lives_and_ends_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with in_process(tmp_path) as calls:
        said: list[Any] = []

        async def live(*messages: str) -> None:
            left = [{"type": f"lifespan.{message}"} for message in messages]

            async def receive() -> Any:
                return left.pop(0)

            async def send(message: Any) -> None:
                said.append(message["type"])

            await calls.gateway({"type": "lifespan"}, receive, send)

        await live("startup", "shutdown")
        assert (await calls.chat()).status == 503
        (account,) = calls.gateway.callers.accounts()

        close = account.aclose

        async def refuse(grace: float) -> None:
            await close(grace)
            raise JournalError("The disk is full.", reason="full")

        with monkeypatch.context() as patched:
            patched.setattr(account, "aclose", refuse)
            await live("startup", "shutdown")
        (tmp_path / "keys.json").write_text("[]", encoding="utf-8")
        await live("startup")
        assert said == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
            "lifespan.startup.complete",
            "lifespan.shutdown.failed",
            "lifespan.startup.failed",
        ]
        with pytest.raises(RuntimeError, match="not websocket"):
            await calls.gateway({"type": "websocket"}, calls.get, calls.get)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_a_file_that_cannot_be_had_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with in_process(tmp_path, client={"max_retries": 0}) as calls:
        video_id = (await calls.post("videos", BOAT)).body["id"]
        await finished(calls, video_id)
        calls.running.fault("cut-file")
        assert (await calls.get(f"videos/{video_id}/content")).error["code"] == "download_failed"
        (account,) = calls.gateway.callers.accounts()
        (found,) = account.jobs._jobs.values()
        made = found.job.generation
        assert made is not None
        found.job._known = JobSnapshot(0.0, generation=made.model_copy(update={"thumbnail_url": None}))
        assert (await calls.get(f"videos/{video_id}/content?variant=thumbnail")).error["param"] == "variant"
    assert [each.name async for each in anyio.Path(tmp_path).glob("neuralbox-gateway-*")] == []


@pytest.mark.anyio
async def test_the_models_of_so_many_callers_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox.gateway._app._MOST_LISTED", 1)
    async with in_process(tmp_path) as calls:
        other, _ = KeyFile(tmp_path / "keys.json").make("other")
        for key in (calls.key, other, other):
            assert (await calls.get("models", key=key)).status == 200
        assert calls.running.ledger.requests == 2


@pytest.mark.anyio
async def test_two_first_requests_start_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    async with in_process(tmp_path, journal=tmp_path / "jobs.sqlite") as calls:
        (account,) = calls.gateway.callers.accounts()
        begin = account.start

        async def start() -> None:
            started.append(1)
            await anyio.lowlevel.checkpoint()
            await begin()

        monkeypatch.setattr(account, "start", start)
        came = [Answered(), Answered()]
        async with anyio.create_task_group() as tasks:
            for each in came:
                tasks.start_soon(partial(calls.chat, answer=each))
            tasks.start_soon(calls.gateway.start)
            await calls.gateway.start()
        assert [each.status for each in came] == [200, 200]
        assert started == [1]
        assert calls.charges == 2


@pytest.mark.anyio
async def test_in_another_application_it_has_a_path_of_its_own_in_front(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async with in_process(tmp_path) as calls:
        outer = Calls(Starlette(routes=[Mount("/ai", calls.gateway)]), calls.key, calls.running)  # type: ignore[arg-type]
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}
        assert (await outer("POST", "/ai/v1/chat/completions", body)).status == 200
        garbled = await outer("POST", "/ai/v1/videos", pieces=[b"x"], content_type="multipart/form-data")
        assert garbled.status == 400
        assert (await outer("GET", "/ai/healthz")).status == 200


def test_a_picture_of_unknown_size_has_none() -> None:
    order = Translator().image({"model": "new", "prompt": "A fox"})
    made = Generation.read({"id": 1, "status": "completed", "result_url": "https://x.test/1.png"})
    assert images(order, [made], [], 7.0) == {"created": 7, "data": [{"url": "https://x.test/1.png"}]}
