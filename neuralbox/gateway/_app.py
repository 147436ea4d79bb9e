"""The application: openai's paths in, answers of the client out.

Thin: a handler reads a body (`_bodies`), has it translated (`_orders`), finds or begins the purchase (`_joins`,
`_purchases`), and says what came of it in openai's words (`_answers`, `_error_answers`). Who may do what is `_callers`'
business. Nothing here waits for the service but through these.
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from secrets import token_hex
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import anyio
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from .._base_client import core_of
from .._errors import ConfigurationError, NeuralBoxError, NotFoundError
from .._models.generation import Generation
from .._types import GenerationId
from . import _answers as answers
from ._bodies import has_left, header_of, read_form, read_json
from ._callers import Caller, CallerRegistry, GatewayAccount
from ._error_answers import (
    BUG,
    CUT_SHORT,
    MISCONFIGURED,
    NO_JOURNAL,
    STOPPING,
    ErrorAnswer,
    RefusedCallError,
    error_answer,
    no_model,
    no_video,
    refuse,
)
from ._joins import CallIdentity
from ._orders import Order, Translator
from ._purchases import Purchase, PurchaseRun

logger = logging.getLogger("neuralbox.gateway")
access = logging.getLogger("neuralbox.gateway.access")

POLL_AFTER_MS: Final = 5_000
"""What openai's clients are told to wait between two polls; their own pause is one second, and brings no more."""
_MODELS_AGE: Final = 300.0
_PAGE: Final = 20
_MOST_LISTED: Final = 100
_READ_AT_ONCE: Final = 100
"""Items of a page of the account's history."""

Read: TypeAlias = Callable[[Request, int], Awaitable[tuple[Mapping[str, Any], str]]]
Translate: TypeAlias = Callable[[Mapping[str, Any]], Order]
Handle: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]
Say: TypeAlias = Callable[["PaidCall", Sequence[Generation]], Awaitable[Response]]


class PaidCall:
    """One call that buys something, on its way to its answer.

    Attributes:
        request: The HTTP request.
        caller: Whose it is.
        order: What it asks for.
        purchase: What it buys, or joins.
        run: The go at it whose result it gets.
    """

    def __init__(self, request: Request, caller: Caller, order: Order, purchase: Purchase, run: PurchaseRun) -> None:
        self.request = request
        self.caller = caller
        self.order = order
        self.purchase = purchase
        self.run = run

    @property
    def short_name(self) -> str:
        """What ids of openai's kind are made of."""
        return self.purchase.name.replace(".", "")[-32:].replace("#", "")

    def problem(self) -> ErrorAnswer | None:
        """Return what to answer where the purchase has no result."""
        if self.run.error is not None:
            return _said(self.run.error, is_own_key=self.caller.key is not None, model=self.order.model)
        return None if self.run.generations else self.run.answer or STOPPING

    def cut_short(self) -> ErrorAnswer:
        """Return what to answer where a stop came before the answer was made, say while its file was fetched."""
        return self.problem() or self.caller.account.cashier.left_behind

    async def told(self) -> None:
        """Take note that its answer has gone out: it may be repeated for as long from here on."""
        self.purchase.is_delivered = not await has_left(self.request)
        if self.purchase.is_delivered:
            self.purchase.has_left = None  # nobody asks any more, and the request need not be kept with it
        self.caller.account.cashier.joins.touch(self.purchase, core_of(self.caller.client).clock())


class Gateway:
    """An ASGI application that speaks openai's API and buys from NeuralBox; made by `neuralbox.gateway.app`.

    It starts with the server's lifespan, or with its first request where it is mounted in another application, which
    calls `aclose` at its own end.

    Attributes:
        callers: Who may call.
        grace: Seconds that stopping waits for what is on its way to the service.
    """

    def __init__(self, callers: CallerRegistry, *, translator: Translator, max_body_bytes: int, grace: float) -> None:
        self.callers = callers
        self._translator = translator
        self._max_body_bytes = max_body_bytes
        self.grace = grace
        self._is_started = self._is_stopping = False
        self._starting = anyio.Lock()
        self._answering: set[anyio.CancelScope] = set()
        self._models: dict[str, tuple[float, Sequence[Mapping[str, Any]]]] = {}
        chat = self._paid(translator.chat, self._say_chat, read_json)
        response = self._paid(translator.response, self._say_response, read_json)
        image = self._paid(translator.image, self._say_images, read_json)
        speech = self._paid(translator.speech, self._say_speech, read_json)
        transcription = self._paid(translator.transcription, self._say_transcript, read_form)
        video = self._paid(translator.video, self._say_video, read_form)
        # A path by itself is found at once; the others, which have a name in them, are tried in turn.
        self._paths: Mapping[tuple[str, str], Handle] = {
            ("POST", "/v1/chat/completions"): chat,
            ("POST", "/v1/responses"): response,
            ("POST", "/v1/images/generations"): image,
            ("POST", "/v1/audio/speech"): speech,
            ("POST", "/v1/audio/transcriptions"): transcription,
            ("POST", "/v1/videos"): video,
            ("GET", "/v1/videos"): self._list_videos,
            ("GET", "/v1/models"): self._list_models,
        }
        self._patterns: Sequence[tuple[str, re.Pattern[str], Handle]] = (
            ("GET", re.compile(r"/v1/models/(.+)"), self._get_model),
            ("GET", re.compile(r"/v1/videos/([^/]+)"), self._get_video),
            ("DELETE", re.compile(r"/v1/videos/([^/]+)"), self._delete_video),
            ("GET", re.compile(r"/v1/videos/([^/]+)/content"), self._get_content),
        )

    # Its life.

    async def start(self) -> None:
        """Open the journal; done by the first request where nobody else does it. After `aclose` it begins anew.

        Raises:
            JournalError: It cannot be opened.
        """
        async with self._starting:
            self._is_stopping = False
            await self._begin()

    async def _begin_by_request(self) -> None:
        async with self._starting:
            if self._is_stopping:  # meanwhile; only whoever starts it begins anew
                raise RefusedCallError(STOPPING)
            await self._begin()

    async def _begin(self) -> None:
        if not self._is_started:
            await self.callers.start()
            self._is_started = True

    @property
    def is_sending(self) -> bool:
        """Whether something is on its way to the service."""
        return any(account.cashier.is_sending for account in self.callers.accounts())

    async def aclose(self, *, grace: float | None = None) -> None:
        """Stop in good order: refuse new calls, wait for what is on its way to the service, close the journal.

        Whoever is not answered then (an upload, a file that does not come) is told that it stops.

        Args:
            grace: Seconds to wait; None for the gateway's own.

        Raises:
            JournalError: It could not be closed as it should be; all else is stopped.
        """
        self._is_stopping = True
        async with self._starting:
            self._is_stopping = True
            try:
                if self._is_started:
                    self._is_started = False
                    await self.callers.aclose(self.grace if grace is None else grace)
            finally:
                for scope in self._answering:
                    scope.cancel()

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and stop with the server."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.start()
                except NeuralBoxError as error:
                    await send({"type": "lifespan.startup.failed", "message": error.message})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                try:
                    await self.aclose()
                except NeuralBoxError as error:
                    await send({"type": "lifespan.shutdown.failed", "message": error.message})
                    return
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and log it: neither its query nor anything of its body."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"The gateway speaks HTTP, not {scope['type']}.")
        began, request = time.perf_counter(), Request(scope, receive)
        facts = scope["neuralbox.facts"] = {}
        visited: list[GatewayAccount] = []
        try:
            response = await self._respond(request, visited)
            request_id = f"req_{token_hex(12)}"
            response.raw_headers.append((b"x-request-id", request_id.encode()))
            try:
                await response(scope, receive, send)
            finally:
                if access.isEnabledFor(logging.INFO):
                    told = " ".join(f"{name}={value}" for name, value in facts.items())
                    path = scope["path"].encode("unicode_escape").decode()[:200]
                    spent = (time.perf_counter() - began) * 1000
                    access.info(
                        "%s %s %d %.1fms %s %s", scope["method"], path, response.status_code, spent, request_id, told
                    )
        finally:
            for account in visited:
                account.visitors -= 1

    # Handlers, and what goes wrong in all of them.

    def _paid(self, translate: Translate, say: Say, read: Read) -> Handle:
        return partial(self._buy, translate, say, read)

    def _find(self, request: Request) -> Handle | None:
        """Return what answers a path; the name in it goes where starlette has it. `HEAD` is `GET`, whose body the server drops."""
        method = "GET" if request.method == "HEAD" else request.method
        # Where it is mounted in another application, its own path begins behind that one's.
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        handle = self._paths.get((method, path))
        if handle is not None:
            return handle
        for expected, pattern, named in self._patterns:
            found = pattern.fullmatch(path)
            if found is not None and method == expected:
                request.scope["path_params"] = {"name": found[1]}
                return named
        return None

    async def _respond(self, request: Request, visited: list[GatewayAccount]) -> Response:
        handle = self._find(request)
        if handle is None and request.scope["path"].endswith("/healthz") and request.method in {"GET", "HEAD"}:
            return self._say_health()
        if handle is None:
            message = f"Unknown request URL: {request.method} {request.url.path[:200]}."
            return _failed(ErrorAnswer(404, message, code="unknown_url"))
        if self._is_stopping:
            return _failed(STOPPING)
        with anyio.CancelScope() as scope:
            self._answering.add(scope)
            try:
                return await self._answer(request, handle, visited)
            finally:
                self._answering.discard(scope)
        call: PaidCall | None = request.scope.get("neuralbox.call")
        if call is not None:
            return _failed(call.cut_short())
        return _failed(CUT_SHORT if request.method == "DELETE" else STOPPING)

    async def _answer(self, request: Request, handle: Handle, visited: list[GatewayAccount]) -> Response:
        try:
            caller = await self._caller(request)
            caller.account.visitors += 1  # nobody closes it before it is answered
            visited.append(caller.account)
            request.scope["neuralbox.facts"]["caller"] = caller.id
            return await handle(request, caller)
        except RefusedCallError as error:
            return _failed(error.answer)
        except NeuralBoxError as error:
            return _failed(_said(error, is_own_key=self.callers.is_own))
        except Exception:  # whatever it is, the caller gets openai's shape, and the log the traceback
            logger.exception("A request to %s failed", request.url.path)
            return _failed(BUG)

    async def _caller(self, request: Request) -> Caller:
        try:
            if not self._is_started:
                await self._begin_by_request()
            return await self.callers.of(header_of(request, b"authorization"))
        except ConfigurationError as error:  # of nothing that a caller could change
            logger.error("%s", error.message)  # noqa: TRY400 - its words say it
            raise RefusedCallError(MISCONFIGURED) from error

    def _say_health(self) -> Response:
        """Say that it runs: no key is needed, and nothing is told of anybody."""
        running = sum(account.cashier.running for account in self.callers.accounts())
        said = {"status": "stopping" if self._is_stopping else "ok", "purchases": running}
        return _json(said, status=503 if self._is_stopping else 200)

    # Buying.

    async def _buy(self, translate: Translate, say: Say, read: Read, request: Request, caller: Caller) -> Response:
        body, digest = await read(request, self._max_body_bytes)
        order = translate(body)
        facts = request.scope["neuralbox.facts"]
        facts["model"] = order.model.encode("unicode_escape").decode()[:100]
        if not caller.may_use(order.model):
            raise RefusedCallError(no_model(order.model))
        dialect = core_of(caller.client).options.dialect
        if order.is_streamed:
            wire = order.request.build_stream(dialect)  # type: ignore[attr-defined]  # only texts are
        else:
            wire = await order.request.prepare(dialect)
        identity = _identity(request, caller, digest)
        purchase, is_joined = await self._purchase(caller, identity, order.count)
        if self._is_stopping:
            raise RefusedCallError(STOPPING)
        if is_joined:
            facts["joined"] = "yes"
        cashier, clock = caller.account.cashier, core_of(caller.client).clock
        purchase.has_left, purchase.is_delivered = partial(has_left, request), False
        run = cashier.buy(purchase, order, wire, caller.client)
        cashier.joins.touch(purchase, clock())
        call = request.scope["neuralbox.call"] = PaidCall(request, caller, order, purchase, run)
        if order.is_streamed:
            return await self._streamed(call)
        await run.ended()
        problem = call.problem()
        if problem is not None:
            return _failed(problem)
        response = await say(call, run.generations)
        _tell_cost(response.raw_headers, facts, run.generations)
        await call.told()
        return response

    async def _purchase(self, caller: Caller, identity: CallIdentity, requests: int) -> tuple[Purchase, bool]:
        """Return what a call repeats, or a new purchase."""
        joins, now = caller.account.cashier.joins, core_of(caller.client).clock()
        found: Purchase | None = None
        for each in joins.candidates(identity, now):
            if identity.key is not None and each.digest not in {None, identity.digest}:
                message = "This Idempotency-Key was used with another request. Nothing was sent."
                raise refuse(None, message, code="idempotency_key_reused")
            found = found or each
            if not each.is_delivered and (each.has_left is None or await each.has_left()):
                found = each
                break
        if found is not None:
            found.count = max(found.count or 0, identity.count)
            return found, True
        caller.count(now, requests)
        name = identity.name(f"{time.time_ns() // 1_000_000:x}-{token_hex(4)}")
        made = Purchase(name, digest=identity.digest, count=identity.count, touched=now, created=time.time())
        joins.add(made, now)
        return made, False

    async def _say_chat(self, call: PaidCall, generations: Sequence[Generation]) -> Response:
        return _json(answers.chat_completion(call.order, generations, call.short_name, call.purchase.created))

    async def _say_response(self, call: PaidCall, generations: Sequence[Generation]) -> Response:
        return _json(answers.response(call.order, generations[0], call.short_name, call.purchase.created))

    async def _say_images(self, call: PaidCall, generations: Sequence[Generation]) -> Response:
        files: list[bytes] = []
        if call.order.answer_format == "b64_json":
            files = [await call.caller.client.files.read(each) for each in generations]
        return _json(answers.images(call.order, generations, files, call.purchase.created))

    async def _say_speech(self, call: PaidCall, generations: Sequence[Generation]) -> Response:
        sound = await call.caller.client.files.read(generations[0])
        return Response(sound, media_type=answers.SOUND_TYPES[call.order.answer_format])

    async def _say_transcript(self, call: PaidCall, generations: Sequence[Generation]) -> Response:
        text = generations[0].text or ""
        if call.order.answer_format == "text":
            return Response(f"{text}\n", media_type="text/plain")
        return _json({"text": text})

    async def _say_video(self, call: PaidCall, generations: Sequence[Generation]) -> Response:
        (made,), account = generations, call.caller.account
        asked = {**call.order.asked, "model": call.order.model, "created_at": time.time()}
        account.follow(call.purchase.name, made, asked)
        return await self._video(call.caller, made.id)

    async def _streamed(self, call: PaidCall) -> Response:
        """Answer while it is written; what is refused before its first piece is refused with its status."""
        run = call.run
        while run.is_running and not run.pieces:
            await run.changed.wait()
        problem = call.problem() if not run.pieces and not run.is_running else None
        return _failed(problem) if problem is not None else EventsResponse(call)

    # Videos.

    async def _video(self, caller: Caller, job_id: GenerationId) -> Response:
        jobs = caller.account.jobs
        made = await jobs.state(job_id)
        body = answers.video(made, caller.public_id(job_id), jobs.asked(job_id), time.time())
        headers = {} if made.is_final else {"openai-poll-after-ms": str(POLL_AFTER_MS)}
        return _json(body, headers=headers)

    def _job_id(self, request: Request, caller: Caller) -> GenerationId:
        video_id = request.path_params["name"]
        job_id = caller.job_id(video_id)
        if job_id is None:
            raise RefusedCallError(no_video(video_id))
        return job_id

    async def _get_video(self, request: Request, caller: Caller) -> Response:
        job_id = self._job_id(request, caller)
        try:
            return await self._video(caller, job_id)
        except (NotFoundError, ConfigurationError):
            raise RefusedCallError(no_video(request.path_params["name"])) from None

    async def _get_content(self, request: Request, caller: Caller) -> Response:
        job_id = self._job_id(request, caller)
        variant = request.query_params.get("variant", "video")
        if variant not in {"video", "thumbnail"}:
            message = "Invalid value for 'variant'. Supported values are: 'video', 'thumbnail'."
            raise refuse("variant", message, code="invalid_value")
        try:
            made = await caller.account.jobs.state(job_id)
        except NotFoundError:
            raise RefusedCallError(no_video(request.path_params["name"])) from None
        if not made.is_completed:
            message = f"The video is not ready: its status is {made.status!r}."
            raise refuse("video_id", message, code="video_not_ready")
        source: Generation | str = made
        if variant == "thumbnail":
            if made.thumbnail_url is None:
                raise refuse("variant", "This video has no thumbnail.", code="invalid_value")
            source = made.thumbnail_url
        directory = tempfile.TemporaryDirectory(prefix="neuralbox-gateway-", ignore_cleanup_errors=True)
        try:
            path = await caller.client.files.download(source, f"{directory.name}/")
        except BaseException:
            directory.cleanup()
            raise
        kind = "video/mp4" if variant == "video" else None
        return FileResponse(path, media_type=kind, background=BackgroundTask(directory.cleanup))

    async def _delete_video(self, request: Request, caller: Caller) -> Response:
        job_id = self._job_id(request, caller)
        video_id = request.path_params["name"]
        try:
            await caller.client.history.delete(job_id)
        except (NotFoundError, ConfigurationError):
            raise RefusedCallError(no_video(video_id)) from None
        caller.account.forget(caller, job_id)
        return _json({"id": video_id, "object": "video.deleted", "deleted": True})

    async def _list_videos(self, request: Request, caller: Caller) -> Response:
        query = request.query_params
        limit = _limit(query.get("limit"))
        order = query.get("order", "desc")
        if order not in {"asc", "desc"}:
            raise refuse("order", "Invalid value for 'order'. Supported values are: 'asc', 'desc'.")
        after = query.get("after")
        job_id = None if after is None else caller.job_id(after)
        if after is not None and job_id is None:
            raise RefusedCallError(no_video(after))
        found: list[Generation] = []
        is_behind = after is None
        async with aclosing(_videos_of(caller, is_rising=order == "asc")) as walk:
            async for item in walk:
                if is_behind:
                    found.append(item)
                    if len(found) > limit:
                        break
                is_behind = is_behind or str(item.id) == str(job_id)
        now, jobs = time.time(), caller.account.jobs
        shown = [answers.video(each, caller.public_id(each.id), jobs.asked(each.id), now) for each in found[:limit]]
        return _json(answers.videos(shown, has_more=len(found) > limit))

    # Models.

    async def _list_models(self, _request: Request, caller: Caller) -> Response:
        return _json({"object": "list", "data": await self._catalogue(caller)})

    async def _get_model(self, request: Request, caller: Caller) -> Response:
        name = request.path_params["name"]
        slug = self._translator.slug(name)
        known = {each["id"]: each for each in await self._catalogue(caller)}
        found = known.get(name) or known.get(slug)
        if found is None:
            raise RefusedCallError(no_model(name))
        return _json(found)

    async def _catalogue(self, caller: Caller) -> Sequence[Mapping[str, Any]]:
        """Return the models that a caller may use, under the operator's names too; asked for every five minutes."""
        clock = core_of(caller.client).clock
        known = self._models.get(caller.id)
        if known is None or clock() - known[0] > _MODELS_AGE:
            listed = [answers.model(info) for info in await caller.client.models.list()]
            known = self._models[caller.id] = (clock(), listed)
            if len(self._models) > _MOST_LISTED:
                del self._models[next(iter(self._models))]
        # What a key may use is asked for each time: its limits may have been changed.
        by_slug = {each["id"]: each for each in known[1] if caller.may_use(each["id"])}
        under_other_names = (
            {**by_slug[slug], "id": name}
            for name, slug in self._translator.model_names.items()
            if slug in by_slug and name not in by_slug
        )
        return [*by_slug.values(), *under_other_names]


class EventsResponse(Response):
    """The events of a stream: those that have come, and each that comes, until the end."""

    media_type = "text/event-stream"

    def __init__(self, call: PaidCall) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._call = call
        job = call.purchase.jobs.get(0)
        if job is not None:
            self.raw_headers.append((b"x-neuralbox-id", _header(job.id)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        call, run = self._call, self._call.run
        write = answers.ResponseStream if scope["path"].endswith("/responses") else answers.ChatStream
        events = write(call.order, call.short_name, call.order.model, call.purchase.created)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _send_piece(send, events.begin())
        told = 0
        while True:
            pieces = run.pieces[told:]
            told += len(pieces)
            if pieces:
                await _send_piece(send, b"".join(map(events.piece, pieces)))
            elif run.is_running:
                await run.changed.wait()
            else:
                break
        problem = call.problem()
        if problem is None:
            last = events.end(run.generations[0])
            _tell_cost([], scope["neuralbox.facts"], run.generations)
            await call.told()
        else:
            last = events.failed(problem.body())
        await send({"type": "http.response.body", "body": last, "more_body": False})


async def _send_piece(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


def _identity(request: Request, caller: Caller, digest: str) -> CallIdentity:
    count = header_of(request, b"x-stainless-retry-count") or ""
    key = header_of(request, b"idempotency-key")
    if key is not None and not 0 < len(key) <= 255:
        raise refuse(None, "An Idempotency-Key has 1 to 255 characters.", code="invalid_value")
    known = int(count) if count.isascii() and count.isdigit() and len(count) < 6 else 0
    return CallIdentity(caller.id, digest, key, known)


def _limit(text: str | None) -> int:
    if text is None:
        return _PAGE
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MOST_LISTED):
        raise refuse("limit", f"'limit' must be a whole number from 1 to {_MOST_LISTED}.", code="invalid_value")
    return int(text)


def _said(error: NeuralBoxError, *, is_own_key: bool, model: str | None = None) -> ErrorAnswer:
    """Say an error to the caller, and to the operator what the caller is not told."""
    answer = error_answer(error, is_own_key=is_own_key, model=model)
    if answer is NO_JOURNAL:
        logger.error("%s", error.message)
    return answer


async def _videos_of(caller: Caller, *, is_rising: bool) -> AsyncGenerator[Generation, None]:
    """Yield a caller's videos, the latest first unless `is_rising`; no page is asked for when no other can be in it."""
    if is_rising:
        for item in reversed([item async for item in _videos_of(caller, is_rising=False)]):
            yield item
        return
    others = caller.account.videos_of(caller)
    if others is not None and not others:
        return
    async for item in caller.client.history.list(type="video", page_size=_READ_AT_ONCE):
        if others is None:
            yield item
        elif str(item.id) in others:
            others.remove(str(item.id))
            yield item
            if not others:
                return


class JsonResponse(Response):
    """JSON, whose headers are written as they leave, without starlette's object for them."""

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        for name, value in headers.items():
            self.raw_headers.append((name.encode(), value.encode()))


def _json(value: object, *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    return JsonResponse(answers.to_bytes(value), status, headers)


def _failed(answer: ErrorAnswer) -> Response:
    return _json(answer.body(), status=answer.status, headers=answer.headers())


def _tell_cost(headers: list[tuple[bytes, bytes]], facts: dict[str, Any], generations: Sequence[Generation]) -> None:
    """Say in headers and in the log what the service charged, and for which generations."""
    known = [each.tokens for each in generations if each.tokens is not None]
    ids = b",".join([_header(each.id) for each in generations])
    facts["id"] = ids.decode()
    headers.append((b"x-neuralbox-id", ids))
    if known:
        facts["tokens"] = sum(known)
        headers.append((b"x-neuralbox-tokens", b"%d" % sum(known)))


def _header(value: object) -> bytes:
    return str(value).encode("ascii", "ignore").replace(b"\n", b"").replace(b"\r", b"")[:100]
