"""Secrets and prompts are planted in every kind of call, and nothing that is logged, raised, shown or written has them.

Everything that was planted has one word in common, so one search finds any of it; each scenario also says what must have
reached the service, or the search would prove nothing. What the service itself says in a refusal is passed on, without
what looks like a credential or a signed address: a service that repeats a prompt there is quoted.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typer.testing import CliRunner

from neuralbox import Generation
from neuralbox import _errors as errors
from neuralbox._cli.app import app
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Polling
from neuralbox._core.credentials import Session
from neuralbox._requests.requests import ImageRequest, TextRequest, TranscriptionRequest, VideoRequest
from neuralbox._types import JobRef
from neuralbox.geminigen import AsyncGeminiGen
from neuralbox.otel import tracing
from tests.helpers import VirtualTime, hooks_telling, make_client

pytestmark = pytest.mark.anyio

WORD = "planted"
KEY = f"nb_{WORD}-key"
GEMINI_KEY = f"geminiai-{WORD}-key"
PROMPT = f"A {WORD} fox"
SYSTEM = f"You are a {WORD} poet"
MESSAGE = f"My {WORD} question"
NEGATIVE = f"no {WORD} dogs"
HEADER = f"{WORD}-header"
QUERY = f"{WORD}-query"
FIELD = f"{WORD}-field"
PASSWORD = f"{WORD}-password"
TOKEN = f"eyJ{WORD}-token"
COOKIE = f"{WORD}-cookie"
SIGNED = f"https://store.test/a.png?sig={WORD}-signature"
GONE = f"https://store.test/gone.png?sig={WORD}-signature"
BROKEN = f"https://store.test/broken.png?sig={WORD}-signature"
MOVED = f"https://store.test/moved.png?sig={WORD}-signature"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
AUDIO = b"ID3" + f"{WORD} recording".encode()

CALL: dict[str, Any] = {"extra_headers": {"X-Own": HEADER}, "extra_query": {"q": QUERY}, "extra_body": {"f": FIELD}}


class Cut(httpx.AsyncByteStream):
    """A body that breaks off after two megabytes."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield PNG + bytes(2 * 1024 * 1024)
        raise httpx.ReadError("Connection reset by peer")


class Service:
    """Answers everything, and says all it was told where it refuses.

    Attributes:
        heard: All that was sent to it.
        refuses: The status with which paid requests are refused, or 0.
        loses: Whether the answers to paid requests are lost.
    """

    def __init__(self) -> None:
        self.heard = ""
        self.refuses = 0
        self.loses = False
        self.made = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.heard += f"{request.method} {request.url}\n{dict(request.headers)}\n{request.content!r}\n"
        path = request.url.path.removeprefix("/api/v2").removeprefix("/uapi/v1")
        if path.startswith("/web/"):
            return httpx.Response(200, text=f"<html>Bearer {KEY} {SIGNED}</html>")
        if request.url.host == "store.test":
            return self._file(path)
        if path in ("/generate", "/stt"):
            return self._generate(request)
        if path.startswith("/auth/"):
            body = {"access_token": TOKEN, "expires_in": 3600, "user": {"id": 1}}
            return httpx.Response(200, json=body, headers={"set-cookie": f"refresh_token={COOKIE}; Path=/"})
        if path == "/user/history":
            return httpx.Response(200, json={"items": [self._item(7)], "total": 1})
        if path == "/keys":
            return httpx.Response(200, json={"id": 1, "name": "n", "key": KEY})
        if path == "/histories":
            return httpx.Response(
                200, json={"result": [{"uuid": "0199", "status": 2, "input_text": PROMPT}], "total": 1}
            )
        if path.startswith("/generate/"):
            asked = path.rpartition("/")[2]
            return httpx.Response(
                200, json={**self._item(int(asked) if asked.isdecimal() else 7), "result_url": SIGNED}
            )
        if path.startswith(("/refused", "/history/")):
            return self._refusal(request, 403)
        return httpx.Response(200, json={"token_balance": 5, "id": 1, "items": [], "token_cost": 4})

    def _item(self, number: int) -> dict[str, Any]:
        urls = {"result_url": SIGNED, "thumbnail_url": SIGNED}
        return {"id": number, "type": "image", "status": "completed", "prompt": PROMPT, "model": "flux-1.1-pro", **urls}

    def _generate(self, request: httpx.Request) -> httpx.Response:
        if self.refuses:
            return self._refusal(request, self.refuses)
        if self.loses:
            raise httpx.ReadError("Connection reset by peer", request=request)
        body = json.loads(request.content) if request.content.startswith(b"{") else {}
        self.made += 1
        if body.get("stream"):
            lines: list[dict[str, Any]] = [
                {"type": "generation_start", "id": self.made},
                {"type": "content_delta", "delta": "Hi"},
            ]
            if body["model"] != "broken":
                lines.append({"type": "generation_end", "id": self.made})
            content = b"".join(b"data: " + json.dumps(line).encode() + b"\n\n" for line in lines)
            return httpx.Response(200, content=content, headers={"content-type": "text/event-stream"})
        if body.get("model") == "kling-v2.1":
            return httpx.Response(200, json={"id": self.made, "status": "pending", "prompt": PROMPT})
        return httpx.Response(200, json={"id": self.made, "status": "completed", "prompt": PROMPT, "url": SIGNED})

    def _refusal(self, request: httpx.Request, status: int) -> httpx.Response:
        """Repeat whatever identified the caller."""
        said = f"{request.headers.get('authorization')} asked for {SIGNED}"
        details = {"authorization": KEY, "cookie": COOKIE, "seen": said}
        body = {"error": "refused", "message": said, "details": details}
        return httpx.Response(status, json=body, headers={"x-request-id": KEY, "set-cookie": f"s={COOKIE}"})

    def _file(self, path: str) -> httpx.Response:
        if path == "/gone.png":
            return httpx.Response(404, text=f"{SIGNED} is gone")
        if path == "/moved.png":
            return httpx.Response(302, headers={"location": SIGNED})
        if path == "/broken.png":
            headers = {"content-length": "9000000", "etag": '"1"', "content-type": "image/png"}
            return httpx.Response(200, stream=Cut(), headers=headers)
        return httpx.Response(200, content=PNG, headers={"content-type": "image/png"})


class Seen:
    """What could have told: logs, errors, representations, events, spans."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hooks = [hooks_telling(self.show), tracing(provider)]

    def show(self, *things: object) -> None:
        for one in things:
            # `print(generation)` is where a person wants the address; whatever else may end in a log.
            self.texts += [repr(one)] if isinstance(one, Generation) else [repr(one), str(one)]

    async def error(self, call: Awaitable[object], kind: type[BaseException] = errors.NeuralBoxError) -> Any:
        """Await what fails, and look at its error: its text, and all a program that ends with it would print."""
        with pytest.raises(kind) as caught:
            await call
        error = caught.value
        self.show(error)
        self.texts += traceback.format_exception(error)
        return error

    @property
    def everything(self) -> str:
        spans = [span.to_json() for span in self.exporter.get_finished_spans()]
        return "\n".join([*self.texts, *spans])


Scenario = Callable[[AsyncNeuralBox, Service, Seen, Path], Awaitable[list[str]]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Add one; it returns what must have reached the service."""
    SCENARIOS[getattr(function, "__name__", "")] = function
    return function


@scenario
async def making(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    messages: Any = [{"role": "user", "content": MESSAGE}]
    text = await nb.text.create(model="gpt-5", prompt=PROMPT, messages=messages, system=SYSTEM, **CALL)
    image = await nb.images.create(model="flux-1.1-pro", prompt=PROMPT, negative_prompt=NEGATIVE, image_url=SIGNED)
    job = await nb.videos.submit(model="kling-v2.1", prompt=PROMPT, image_url=SIGNED)
    seen.show(text, image, job, job.ref, job.watch(), await job.wait(), job)
    seen.show(await nb.speech.create(model="openai-tts", text=PROMPT))
    seen.show(await nb.music.create(model="suno", prompt=PROMPT))
    seen.show(await nb.tools.create(model="upscale", prompt=PROMPT, params={"image_url": SIGNED}))
    seen.show(await nb.transcriptions.create(audio=AUDIO, file_name="talk.mp3"))
    seen.show(await nb.generate.create(model="any", prompt=PROMPT, params={"system": SYSTEM}))
    return [KEY, PROMPT, MESSAGE, SYSTEM, NEGATIVE, HEADER, QUERY, FIELD, SIGNED, AUDIO.decode()]


@scenario
async def streaming(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    async with nb.text.stream(model="gpt-5", prompt=PROMPT, system=SYSTEM, **CALL) as stream:
        seen.show(stream)
        seen.show(*[event async for event in stream.events()])
    seen.show(stream, stream.result)

    async def read() -> None:
        async with nb.text.stream(model="broken", prompt=PROMPT) as stream:
            seen.show(stream)
            await stream.collect()

    await seen.error(read())
    return [KEY, PROMPT, SYSTEM, HEADER, QUERY, FIELD]


@scenario
async def asking(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    raw = await nb.with_raw_response.images.create(model="flux-1.1-pro", prompt=PROMPT)
    page = await nb.history.list()
    own = await nb.request("POST", f"/new/endpoint?code={QUERY}", body={"prompt": PROMPT}, extra_headers={"X": HEADER})
    seen.show(raw, own, page, page.items[0], await nb.generations.get(7), nb.job(7), nb.job(JobRef(7)))
    seen.show(await nb.account.balance(), await nb.models.price("flux-1.1-pro"), await nb.keys.create(name="n"))
    seen.show(nb, nb._core, nb._core.options, nb.with_options(default_headers={"X": HEADER})._core.options)
    return [KEY, PROMPT, HEADER, QUERY]


@scenario
async def being_refused(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    for status in (400, 401, 402, 403, 404, 422, 429, 500, 503, 302, 418):
        service.refuses = status
        await seen.error(nb.images.create(model="flux-1.1-pro", prompt=PROMPT, **CALL))
    service.refuses = 429
    await seen.error(nb.videos.submit(model="kling-v2.1", prompt=PROMPT))
    await seen.error(nb.text.stream(model="gpt-5", prompt=PROMPT).__aenter__())
    error = await seen.error(nb.request("GET", "/refused"))
    seen.show(error.details, error.request_id)
    error = await seen.error(nb.with_options(base_url="http://box.test/web").account.balance())
    seen.show(error.body)
    bad: Any = {"prompt": {PROMPT}}
    await seen.error(nb.request("POST", "/new", body=bad, extra_headers={"X": HEADER}))
    await seen.error(nb.images.create(model="flux-1.1-pro", prompt=PROMPT, extra_headers={"X": f"{HEADER}\n"}))
    turns: Any = [{"role": MESSAGE, "content": MESSAGE}]
    await seen.error(nb.text.create(model="gpt-5", messages=turns))
    return [KEY, PROMPT, HEADER, QUERY, FIELD]


@scenario
async def losing(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    service.loses = True
    error = await seen.error(nb.images.create(model="m", prompt=PROMPT, negative_prompt=NEGATIVE, **CALL))
    assert error.request["prompt"] == PROMPT  # the one way to it: by name
    await seen.error(nb.text.stream(model="gpt-5", prompt=PROMPT).__aenter__())
    [first, _] = nb.unresolved
    assert first.request["prompt"] == PROMPT
    seen.show(nb.unresolved, first, await nb.reconcile())
    return [KEY, PROMPT, NEGATIVE, HEADER, QUERY, FIELD]


@scenario
async def batching(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    (directory / "talk.mp3").write_bytes(AUDIO)
    requests = [
        ImageRequest(model="flux-1.1-pro", prompt=PROMPT, negative_prompt=NEGATIVE, image_url=SIGNED),
        TextRequest(model="gpt-5", messages=[{"role": "user", "content": MESSAGE}], system=SYSTEM),
        VideoRequest(model="kling-v2.1", prompt=PROMPT, extra_body={"f": FIELD}),
        TranscriptionRequest(audio=directory / "talk.mp3"),
    ]
    seen.show(requests)
    journal = directory / "run.sqlite"
    for refuses in (0, 402):
        service.refuses = refuses
        more = [ImageRequest(key="more", model="flux-1.1-pro", prompt=PROMPT)] if refuses else []
        async with nb.batch([*requests, *more], journal=journal, download_to=directory / "out") as run:
            seen.show(run)
            async for outcome in run:
                seen.show(outcome, outcome.error)
                seen.texts += [] if outcome.error is None else traceback.format_exception(outcome.error)
            seen.show(run.progress)
    seen.show(await nb.batch.estimate(requests))
    read_all_of(journal, seen)
    assert sorted(path.suffix for path in (directory / "out").iterdir()) == [".png"] * 4
    return [KEY, PROMPT, NEGATIVE, MESSAGE, SYSTEM, FIELD, SIGNED, AUDIO.decode()]


@scenario
async def losing_in_a_batch(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    service.loses = True
    journal = directory / "run.sqlite"
    async with nb.batch([ImageRequest(model="flux-1.1-pro", prompt=PROMPT)], journal=journal) as run:
        async for outcome in run:
            seen.show(outcome, outcome.error)
    read_all_of(journal, seen)
    return [KEY, PROMPT]


@scenario
async def buying_once(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    journal = directory / "jobs.sqlite"
    other: dict[str, Any]
    video: dict[str, Any] = {"model": "kling-v2.1", "prompt": PROMPT, "journal": journal, "key": "intro"}
    seen.show(await nb.videos.submit(**video), await nb.videos.submit(**video))
    other = {**video, "prompt": f"{PROMPT}, larger"}
    await seen.error(nb.videos.submit(**other), errors.JournalError)
    read_all_of(journal, seen)
    return [KEY, PROMPT]


def read_all_of(journal: Path, seen: Seen) -> None:
    """Look at all of a journal but the two columns that hold requests and results."""
    database = sqlite3.connect(journal)
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"journal", "owners", "records", "requests", "outcomes", "hints"}
    for table in tables - {"requests", "outcomes"}:
        rows = database.execute(f"SELECT * FROM {table}").fetchall()
        assert rows or table == "hints"  # of webhooks, of which there are none here
        seen.show(*rows)
    kept = repr([database.execute(f"SELECT * FROM {table}").fetchall() for table in ("requests", "outcomes")])
    database.close()
    assert PROMPT in kept  # which it must keep, to send it
    for secret in (KEY, HEADER, COOKIE, TOKEN):
        assert secret not in kept


@scenario
async def downloading(nb: AsyncNeuralBox, service: Service, seen: Seen, directory: Path) -> list[str]:
    told: list[object] = []
    seen.show(await nb.files.download(SIGNED, directory / "a.png", on_progress=lambda *given: told.append(given)))
    seen.show(await nb.files.download(MOVED, f"{directory}/out/"))
    seen.show(await nb.files.download(nb.job(7), directory / "b.png"))
    await seen.error(nb.files.download(GONE, directory / "c.png"), errors.ExpiredFileError)
    await seen.error(nb.files.download(BROKEN, directory / "d.png", keep_partial=True), errors.DownloadError)
    await seen.error(nb.files.read(BROKEN, max_bytes=10), errors.DownloadError)
    await seen.error(nb.files.download(SIGNED, directory / "a.png"))
    await seen.error(nb.files.download(SIGNED.replace("https", "ftp"), directory / "e"))
    archived = await nb.history.archive(directory / "mirror")
    seen.show(archived, told)
    left = contents_of(directory)
    assert [name for name in left if name.endswith(".part")]  # beside it stands what is needed to go on from there
    manifest = left.pop(
        str(Path("mirror", "manifest.jsonl"))
    )  # keeps the records whole: that is what an archive is for
    assert KEY.encode() not in manifest
    seen.show(left)
    return [KEY, SIGNED, GONE, BROKEN, MOVED]


def contents_of(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# All of it.


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The log as `NEURALBOX_LOG=debug` has it."""
    monkeypatch.setenv("NEURALBOX_LOG", "debug")
    return caplog


def nothing_planted_in(text: str) -> None:
    found = [line for line in text.splitlines() if WORD in line]
    assert found == []


@pytest.mark.parametrize("name", SCENARIOS)
async def test_no_log_error_repr_event_span_or_journal_tells_a_secret(
    name: str, log: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    service, seen = Service(), Seen()
    client = make_client(
        service,
        time=VirtualTime(),
        api_key=KEY,
        default_headers={"X-Default": HEADER},
        hooks=seen.hooks,
        polling=Polling(min_interval=1.0, max_interval=1.0),
        warn_duplicates=True,
    )
    async with client as nb:
        reached = await SCENARIOS[name](nb, service, seen, tmp_path)
    assert {record.name for record in log.records} <= {"neuralbox", "asyncio"}
    assert [record for record in log.records if record.levelno == logging.DEBUG]
    seen.texts += [log.handler.format(record) for record in log.records]
    nothing_planted_in(seen.everything)
    assert seen.exporter.get_finished_spans()
    for secret in reached:
        assert secret in service.heard or json.dumps(secret)[1:-1] in service.heard or quoted(secret) in service.heard


def quoted(secret: str) -> str:
    return str(httpx.URL(secret)) if secret.startswith("https") else secret


async def test_a_login_tells_nothing_of_what_it_was_made_with(log: pytest.LogCaptureFixture) -> None:
    service, seen, session = Service(), Seen(), Session()
    async with make_client(service, session=session, hooks=seen.hooks) as nb:
        seen.show(await nb.auth.login(email="ada@example.com", password=PASSWORD))
        seen.show(await nb.auth.google(code=FIELD, redirect_uri="http://box.test"), await nb.auth.refresh())
        seen.show(await nb.auth.telegram({"id": 1, "hash": FIELD}), session, nb, await nb.account.balance())
        seen.show(await nb.with_raw_response.auth.login(email="ada@example.com", password=PASSWORD))
        await seen.error(nb.request("GET", "/refused"))
    seen.texts += [log.handler.format(record) for record in log.records]
    nothing_planted_in(seen.everything)
    for secret in (PASSWORD, TOKEN, COOKIE, FIELD):
        assert secret in service.heard


async def test_the_other_service_tells_nothing_either(log: pytest.LogCaptureFixture) -> None:
    service, seen = Service(), Seen()
    async with AsyncGeminiGen(
        api_key=GEMINI_KEY, base_url="http://gem.test", transport=httpx.MockTransport(service), hooks=seen.hooks
    ) as gg:
        page = await gg.history.list()
        seen.show(gg, page, page.items[0], page.items[0].to_generation())
        await seen.error(gg.history.get("01990000-0000-7000-8000-000000000000"))
    seen.texts += [log.handler.format(record) for record in log.records]
    nothing_planted_in(seen.everything)
    assert GEMINI_KEY in service.heard


async def test_a_cancelled_call_tells_nothing(log: pytest.LogCaptureFixture) -> None:
    service, seen = Service(), Seen()

    async def silent(request: httpx.Request) -> httpx.Response:
        service(request)
        await anyio.sleep_forever()
        raise AssertionError

    transport = httpx.MockTransport(silent)
    async with AsyncNeuralBox(api_key=KEY, base_url="http://box.test", transport=transport, hooks=seen.hooks) as nb:
        with anyio.move_on_after(0.02):
            await nb.images.create(model="flux-1.1-pro", prompt=PROMPT)
        seen.show(nb.unresolved)
    seen.texts += [log.handler.format(record) for record in log.records]
    nothing_planted_in(seen.everything)
    assert PROMPT in service.heard


def test_the_command_line_tells_nothing(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = Service()
    service.refuses = 403

    def connect(self: Any, *given: Any, **options: Any) -> None:
        original(self, *given, **{**options, "transport": httpx.MockTransport(service)})

    original = AsyncNeuralBox.__init__
    monkeypatch.setattr(AsyncNeuralBox, "__init__", connect)
    monkeypatch.setenv("NEURALBOX_API_KEY", KEY)
    monkeypatch.setenv("NEURALBOX_BASE_URL", "http://box.test")
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["balance"],
        ["generate", "flux-1.1-pro", PROMPT],
        ["--debug", "generate", "flux-1.1-pro", PROMPT],
    ):
        left = CliRunner().invoke(app, arguments)
        nothing_planted_in(left.output)
        nothing_planted_in("".join(traceback.format_exception(left.exception)) if left.exception else "")
    nothing_planted_in("\n".join(log.handler.format(record) for record in log.records))
    assert KEY in service.heard
    assert PROMPT in service.heard
