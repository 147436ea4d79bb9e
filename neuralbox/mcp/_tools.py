"""The tools: what each is called, what it says of itself, and what it does.

A tool that fails says so in its answer (`isError`), where the model can read it; what is no call of a tool at all is the
protocol's error (`_server`). Words of the service and of models are passed on as data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
from mcp.server.context import ServerRequestContext
from mcp_types import CallToolRequestParams, CallToolResult, ContentBlock, InputRequiredResult, Tool, ToolAnnotations

from .._base_client import core_of
from .._errors import ConfigurationError, GenerationTimeoutError, NeuralBoxError
from .._models.generation import Generation
from .._plain_text import clipped, plain
from .._requests.base import BatchRequest
from .._requests.image import ImageRequest
from .._requests.music import MusicRequest
from .._requests.speech import SpeechRequest
from .._requests.text import TextRequest
from .._requests.tool import ToolRequest
from .._requests.video import VideoRequest
from .._types import read_id
from . import _arguments as arguments
from ._consent import PaidOffer, ask_consent, refusal
from ._failures import failure_answer
from ._purchases import Bought, Purchases
from ._results import SavedResults, answer, values_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .._client import AsyncNeuralBox
    from ._settings import McpSettings

BEAT: Final = 5.0
"""Seconds between two signs of life of a wait; clients that count from the last one keep on."""
_PROMPT_SHOWN: Final = 200

ToolAnswer: TypeAlias = "CallToolResult | InputRequiredResult"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool.

    Attributes:
        ctx: The SDK's context of the request.
        params: What came with it.
    """

    ctx: ServerRequestContext[Any, Any]
    params: CallToolRequestParams


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool as it is listed and called.

    Attributes:
        shown: What clients see.
        reads: The class of its arguments.
        act: What it does with them.
    """

    shown: Tool
    reads: type[arguments.ToolArguments]
    act: Callable[[ToolCall, Any], Awaitable[ToolAnswer]]


PAID: Final[Mapping[str, tuple[type[BatchRequest], str]]] = {
    "generate_image": (ImageRequest, "Generate one image."),
    "generate_video": (VideoRequest, "Generate a video; takes minutes."),
    "generate_speech": (SpeechRequest, "Speak a text."),
    "generate_music": (MusicRequest, "Generate music."),
    "generate_text": (TextRequest, "Ask another language model; no conversation is kept."),
    "generate_tool": (ToolRequest, "Have a tool work on a picture or a sound: upscaling, background removal, dubbing."),
}


class Toolbox:
    """All tools over one client.

    Args:
        nb: The client.
        settings: What the operator decided.
    """

    def __init__(self, nb: AsyncNeuralBox, settings: McpSettings) -> None:
        self._nb = nb
        self._settings = settings
        self._purchases = Purchases(nb, settings)
        self.results = SavedResults(nb, settings)
        entries = [*self._free()] if settings.read_only else [*self._free(), *self._paid()]
        self.entries: Mapping[str, ToolEntry] = {entry.shown.name: entry for entry in entries}

    async def call(self, call: ToolCall) -> ToolAnswer:
        """Call a tool that there is; what goes wrong is told in the answer."""
        entry = self.entries[call.params.name]
        try:
            return await entry.act(call, arguments.read_arguments(entry.reads, call.params.arguments))
        except (NeuralBoxError, OSError) as error:
            return failure_answer(error)

    # What costs tokens.

    def _paid(self) -> Iterable[ToolEntry]:
        for name, (made, said) in PAID.items():
            about = f"{said} Costs tokens; equal arguments are bought once, `variant` buys another result."
            annotations = ToolAnnotations(
                read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
            )
            reads = arguments.paid_arguments(made)
            shown = Tool(name=name, description=about, input_schema=arguments.schema_of(reads), annotations=annotations)
            yield ToolEntry(shown, reads, self._buyer(name, made))

    def _buyer(self, name: str, made: type[BatchRequest]) -> Callable[[ToolCall, Any], Awaitable[ToolAnswer]]:
        async def buy(call: ToolCall, given: arguments.PaidArguments) -> ToolAnswer:
            request = arguments.request_of(made, given)

            async def ask(tokens: int | None) -> ToolAnswer | None:
                return await self._consent(call, request, tokens, given.confirm)

            wait = self._settings.wait if given.wait is None else given.wait
            async with self._telling(call) as tell:
                bought = await self._purchases.buy(
                    name, request, variant=given.variant, ask=ask, wait=wait, on_progress=tell
                )
            return await self._bought(bought) if isinstance(bought, Bought) else bought

        return buy

    async def _consent(
        self, call: ToolCall, request: BatchRequest, tokens: int | None, confirm: int | None
    ) -> ToolAnswer | None:
        """Return None where a call may cost so much, else what it is answered with."""
        budget = self._nb.budget
        if budget is not None and (budget.left == 0 or (tokens or 0) > budget.left):
            cost = "at a price that nobody knows" if tokens is None else f"for {tokens} tokens"
            return refusal(
                f"Nothing was bought {cost}: of this server's budget of {budget.tokens} tokens {budget.left} are left.",
                type="BudgetExceededError",
                tokens=tokens,
            )
        if tokens is not None and tokens <= self._settings.ask_above:
            return None
        said = getattr(request, "text", None) or getattr(request, "prompt", None)
        about = f": “{clipped(plain(str(said)), _PROMPT_SHOWN)}”" if said else ""
        offer = PaidOffer(f"{request.name} by {plain(str(request.model or 'an assistant'))}{about}", tokens)
        return await ask_consent(call.ctx, call.params, offer, confirm)

    async def _bought(self, bought: Bought) -> CallToolResult:
        if bought.generation is None:
            said = f"It is paid for and goes on: call `wait` with ids=[{bought.job.id!r}]."
            values: dict[str, Any] = {"id": bought.job.id, "status": "pending", "next": said}
            content: list[ContentBlock] = []
        else:
            values, content = await self.results.told(bought.generation)
        if bought.earlier:
            values["bought_before"] = "The same arguments were bought before, and were not charged again."
        return answer(values | self._budget(), *content)

    def _budget(self) -> dict[str, Any]:
        budget = self._nb.budget
        if budget is None:
            return {}
        return {"budget": {"tokens": budget.tokens, "spent": budget.spent, "left": budget.left}}

    # What is free.

    def _free(self) -> Iterable[ToolEntry]:
        table: tuple[
            tuple[str, str, type[arguments.ToolArguments], Callable[[ToolCall, Any], Awaitable[ToolAnswer]]], ...
        ] = (
            (
                "list_models",
                "List the models with their prices in tokens.",
                arguments.ListModelsArguments,
                self._models,
            ),
            ("price", "Say what a generation would cost; nothing is bought.", arguments.PriceArguments, self._price),
            ("wait", "Wait for generations that are not finished.", arguments.WaitArguments, self._wait),
            (
                "result",
                "Show a generation: its text or picture; its file is saved.",
                arguments.IdArguments,
                self._result,
            ),
            ("download", "Save the file of a generation under a name.", arguments.DownloadArguments, self._download),
            ("history", "List what was generated, newest first.", arguments.HistoryArguments, self._history),
            ("balance", "Say how many tokens are left.", arguments.NoArguments, self._balance),
        )
        for name, said, reads, act in table:
            annotations = ToolAnnotations(
                read_only_hint=name not in {"result", "download", "wait"},
                destructive_hint=False,
                idempotent_hint=True,
                open_world_hint=True,
            )
            shown = Tool(name=name, description=said, input_schema=arguments.schema_of(reads), annotations=annotations)
            yield ToolEntry(shown, reads, act)

    async def _models(self, _call: ToolCall, given: arguments.ListModelsArguments) -> CallToolResult:
        if given.slug is not None:
            found = await self._nb.models.get(given.slug)
            return answer(found.model_dump(mode="json", exclude={"raw"}, exclude_none=True))
        listed = [one for one in await self._nb.models.list() if given.kind in {None, one.category}]
        # A catalogue is read by a model, which pays for each word.
        brief = {"slug", "category", "min_token_cost", "max_token_cost", "token_cost", "min_plan"}
        return answer({"models": [one.model_dump(mode="json", include=brief, exclude_none=True) for one in listed]})

    async def _price(self, _call: ToolCall, given: arguments.PriceArguments) -> CallToolResult:
        found = await self._nb.models.price(given.model, extra_body={"params": given.options or {}})
        return answer(found.model_dump(mode="json", exclude={"raw"}, exclude_none=True))

    async def _wait(self, call: ToolCall, given: arguments.WaitArguments) -> CallToolResult:
        timeout = self._settings.wait if given.timeout is None else given.timeout
        ids = [read_id(one) for one in given.ids]
        async with self._telling(call) as tell:
            try:
                found: Iterable[Generation | None] = await self._nb.generations.wait(
                    ids, timeout=timeout, on_progress=tell
                )
            except GenerationTimeoutError as error:
                found = error.generations
        values, content = [], list[ContentBlock]()
        for wanted, one in zip(ids, found, strict=True):
            if one is None:
                values.append({"id": wanted, "status": "unknown"})
                continue
            told, shown = await self.results.told(one)
            values.append(told)
            content += shown
        return answer({"generations": values} | self._budget(), *content)

    async def _result(self, _call: ToolCall, given: arguments.IdArguments) -> CallToolResult:
        values, content = await self.results.told(await self._nb.generations.get(read_id(given.id)))
        return answer(values, *content)

    async def _download(self, _call: ToolCall, given: arguments.DownloadArguments) -> CallToolResult:
        found = await self._nb.generations.get(read_id(given.id))
        if not found.is_final:
            raise ConfigurationError(f"The {found.ref} is not finished: `wait` waits for it.")
        path = await self.results.save(found, given.name)
        return answer({"id": found.id, "path": str(path)})

    async def _history(self, _call: ToolCall, given: arguments.HistoryArguments) -> CallToolResult:
        found = self._nb.history.list(
            type=given.type, model=given.model, status=given.status, page_size=given.limit, max_items=given.limit
        )
        return answer({"generations": [values_of(one, prompt=True) async for one in found]})

    async def _balance(self, _call: ToolCall, _given: arguments.NoArguments) -> CallToolResult:
        found = await self._nb.account.balance()
        return answer(found.model_dump(mode="json", exclude={"raw"}, exclude_none=True) | self._budget())

    # Waiting.

    @asynccontextmanager
    async def _telling(self, call: ToolCall) -> AsyncIterator[Callable[[Generation], Awaitable[None]]]:
        """Tell the client how far a wait is, where it wants to know: each change, and a sign of life now and then."""
        teller = ProgressTeller(call.ctx)
        if not teller.is_wanted:
            yield teller.heard
            return
        failure: NeuralBoxError | OSError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(teller.beat, core_of(self._nb).sleep)
            try:
                yield teller.heard
            except (NeuralBoxError, OSError) as error:  # as itself, not as a group of one
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure


class ProgressTeller:
    """Send a client the progress of one call. Its number only grows, as the protocol wants it.

    Args:
        ctx: The call.
    """

    def __init__(self, ctx: ServerRequestContext[Any, Any]) -> None:
        self._session = ctx.session
        self.is_wanted = ctx.meta is not None and "progress_token" in ctx.meta
        self._percent = 0.0
        self._words = "waiting"

    async def heard(self, generation: Generation) -> None:
        """Tell of a changed state."""
        known = generation.progress
        self._words = plain(generation.status) + ("" if known is None else f", {known:g} %")
        await self._tell(known or 0.0)

    async def beat(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Tell every few seconds that the call is alive, until cancelled."""
        while True:
            await sleep(BEAT)
            await self._tell(0.0)

    async def _tell(self, percent: float) -> None:
        self._percent = max(percent, self._percent + 0.01)
        await self._session.report_progress(self._percent, 100.0, self._words)
