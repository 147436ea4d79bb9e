"""What a call buys: in a task of its own, shared by all who ask for it, and kept by its name.

A purchase goes on when its caller leaves: it is paid for, and whoever repeats the call finds it. What the caller gets is
read from it, piece by piece where it is streamed. The charge is the core's business (`_submissions.keyed`): here a name
is given, and asking again under the same name continues what was begun.

    | state   | event                                              | next    |
    | ------- | -------------------------------------------------- | ------- |
    | new     | somebody asks for it                               | running |
    | running | its results are there                              | done    |
    | running | refused, unknown, or not waited for to the end     | ended   |
    | running | the gateway stops                                  | ended   |
    | ended   | the call is repeated                               | running |
    | done    | the call is repeated                               | done    |
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import anyio

from .._api.request import Request
from .._api.vocabulary import PENDING
from .._base_client import core_of
from .._client import AsyncNeuralBox
from .._concurrency.broadcast import Broadcast
from .._concurrency.detached import DetachedTaskGroup
from .._errors import (
    BudgetExceededError,
    GenerationFailedError,
    InsufficientTokensError,
    JournalError,
    NeuralBoxError,
)
from .._models.generation import Generation
from .._polling.job import Job
from .._submissions.keyed import KeyedBook, opened
from .._text_stream.stream import TextStream
from .._types import JobRef
from ._error_answers import BUG, LEFT_BEHIND, LOST_BEHIND, STOPPING, ErrorAnswer
from ._joins import Joins, part_name
from ._orders import Order

logger = logging.getLogger("neuralbox.gateway")


class PurchaseRun:
    """One go at a purchase; whoever joined reads from it, and it does not change any more when it has ended.

    Attributes:
        is_running: Whether something is being done.
        generations: The results, once they are there.
        pieces: Of a stream: the pieces that have come.
        changed: Rung with every piece, and at the end.
        error: Why it ended without a result.
        answer: What to say where that was no error of the client.
    """

    def __init__(self) -> None:
        self.is_running = True
        self.generations: Sequence[Generation] = ()
        self.pieces: list[str] = []
        self.changed = Broadcast()
        self.error: NeuralBoxError | None = None
        self.answer: ErrorAnswer | None = None

    async def ended(self) -> None:
        """Wait for its end."""
        while self.is_running:
            await self.changed.wait()


class Purchase:
    """One call's purchase.

    Attributes:
        name: Under which the journal keeps it.
        digest: Of the call's path and body; None where an earlier run made it.
        count: The highest `x-stainless-retry-count` it was asked with; None where that is not known any more.
        touched: When it was last heard of.
        created: Unix seconds, for answers whose time the service does not tell.
        is_delivered: Whether its answer was handed over.
        run: The last go at it.
        jobs: What is accepted of it, by its parts.
        parts: How many requests it takes.
        sending: How many of them are on their way to the service.
        awaited: How many of them are accepted, and waited for.
        has_left: Asks whether its last caller is gone; None where none is known, or it has its answer.
    """

    def __init__(
        self,
        name: str,
        *,
        digest: str | None = None,
        count: int | None = None,
        touched: float = 0.0,
        created: float = 0.0,
    ) -> None:
        self.name = name
        self.created = created
        self.digest = digest
        self.count = count
        self.touched = touched
        self.is_delivered = False
        self.run: PurchaseRun | None = None
        self.jobs: dict[int, JobRef] = {}
        self.parts = 1
        self.sending = self.awaited = 0
        self.has_left: Callable[[], Awaitable[bool]] | None = None

    def __repr__(self) -> str:
        return f"<Purchase {self.name}>"

    @property
    def is_done(self) -> bool:
        """Whether nothing is being done for it."""
        return self.run is None or not self.run.is_running

    @property
    def part_names(self) -> Sequence[str]:
        """Under which names its requests are kept."""
        return [part_name(self.name, index) for index in range(self.parts)]


class Cashier:
    """Buys for one account of the service, and remembers what was bought.

    Args:
        client: The account's client; a caller's own copy of it may buy, with a budget of its own.
        journal: The journal's file; None remembers for as long as this runs.
        join_equal: Seconds for which an equal call joins without any sign that it is a repetition.

    Attributes:
        joins: The calls that may be repeated.
        book: What the core knows by name.
        on_refusal: Called when a budget does not cover a purchase, or a part of one.
    """

    def __init__(self, client: AsyncNeuralBox, *, journal: str | None = None, join_equal: float = 0.0) -> None:
        self.client = client
        self.on_refusal: Callable[[], None] = lambda: None
        self.joins: Joins[Purchase] = Joins(join_equal=join_equal, on_drop=self._forget)
        self.book = KeyedBook()
        self._journal = journal
        self._stack = AsyncExitStack()
        self._tasks: anyio.abc.TaskGroup
        self._running: dict[str, Purchase] = {}
        self._changed = Broadcast()

    @property
    def running(self) -> int:
        """How many purchases something is being done for."""
        return len(self._running)

    @property
    def is_sending(self) -> bool:
        """Whether something is on its way to the service, or has come and is not handed over yet."""
        return any(each.sending or not each.awaited for each in self._running.values())

    @property
    def left_behind(self) -> ErrorAnswer:
        """What to say of what was sent and is not handed over before a stop."""
        return LOST_BEHIND if self._journal is None else LEFT_BEHIND

    async def start(self) -> None:
        """Open the journal; purchases may be made from here on. It may be done again after `aclose`.

        Raises:
            JournalError: It cannot be opened.
        """
        if self._journal is not None:
            self.book = await self._stack.enter_async_context(opened(core_of(self.client), self._journal))

        def begin(tasks: anyio.abc.TaskGroup) -> None:
            self._tasks = tasks

        group = DetachedTaskGroup()
        await group.start(begin)
        self._stack.push_async_callback(group.aclose)

    async def aclose(self, grace: float = 0.0) -> None:
        """Stop: wait for what is on its way to the service, as long as `grace` seconds, and close the journal.

        What is accepted goes on at the service, and the journal knows it; what is still on its way then is in the
        journal as such, and the next run looks for it.
        """
        try:
            with anyio.move_on_after(grace):
                while self.is_sending:
                    await self._changed.wait()
        finally:  # also where whoever stops it waits no longer
            for purchase in self._running.values():
                jobs = ", ".join(map(str, purchase.jobs.values()))
                logger.warning("%r is left behind: %s", purchase, jobs or "unknown")
            await self._stack.aclose()

    def spawn(self, work: Callable[..., object], *values: object) -> None:
        """Run something for as long as this runs, in a task of its own; not where it stops."""
        if not self._tasks.cancel_scope.cancel_called:  # asyncio may never cancel what begins later, and waits for it
            self._tasks.start_soon(work, *values)  # type: ignore[arg-type]  # whatever it is, it is awaited

    # Buying.

    def buy(self, purchase: Purchase, order: Order, request: Request, client: AsyncNeuralBox) -> PurchaseRun:
        """Begin a purchase, or go on with one that ended without a result; any other stays as it is.

        Args:
            purchase: Which.
            order: What was asked for.
            request: What is sent, as often as the order says.
            client: Who buys.

        Returns:
            The go at it that will have the result, or has it.
        """
        run = purchase.run
        if run is None or not (run.is_running or run.generations):
            run = PurchaseRun()
            # First: nobody waits for what cannot run.
            self._tasks.start_soon(self._carry_out, purchase, run, order, request, client)
            purchase.run, purchase.parts = run, order.count
            self._running[purchase.name] = purchase
        return run

    def _forget(self, purchase: Purchase) -> None:
        """Forget what is known by the names of a purchase that nobody repeats any more; a journal keeps what it has."""
        for name in purchase.part_names:
            self.book.forget(name)

    async def _carry_out(
        self, purchase: Purchase, run: PurchaseRun, order: Order, request: Request, client: AsyncNeuralBox
    ) -> None:
        try:
            if order.is_streamed:
                run.generations = [await self._stream(purchase, run, order, request, client)]
            elif order.count == 1:
                run.generations = [await self._one(purchase, order, request, client, 0)]
            else:
                run.generations = await self._several(purchase, order, request, client)
        except NeuralBoxError as error:
            run.error = error
            if isinstance(error, GenerationFailedError):
                self.joins.drop(purchase)  # it cost nothing, and the same again is another try
        except Exception:  # a bug of ours must not end everybody's purchases
            run.answer = BUG
            logger.exception("%r failed", purchase)
        except BaseException:
            run.answer = self._cut_short(purchase)
            raise
        finally:
            self._running.pop(purchase.name, None)
            run.is_running = False
            self.joins.touch(purchase, core_of(self.client).clock())
            run.changed.ring()
            self._changed.ring()

    def _cut_short(self, purchase: Purchase) -> ErrorAnswer:
        """Return what to say of a purchase that a stop cut short: without a journal the next run does not know it."""
        if not any(map(self.book.may_be_sent, purchase.part_names)):
            return STOPPING
        return self.left_behind

    async def _several(
        self, purchase: Purchase, order: Order, request: Request, client: AsyncNeuralBox
    ) -> Sequence[Generation]:
        """Buy several at once; those that cost nothing and that no repetition brings are left out where there are others."""
        found: dict[int, Generation] = {}
        failed: dict[int, NeuralBoxError] = {}

        async def one(index: int) -> None:
            try:
                found[index] = await self._one(purchase, order, request, client, index)
            except NeuralBoxError as error:
                failed[index] = error

        async with anyio.create_task_group() as tasks:
            for index in range(order.count):
                tasks.start_soon(one, index)
        serious = [each for each in failed.values() if not isinstance(each, _IN_VAIN)]
        if serious or not found:
            raise (serious or [*failed.values()])[0]
        return [found[index] for index in sorted(found)]

    async def _one(
        self, purchase: Purchase, order: Order, request: Request, client: AsyncNeuralBox, index: int
    ) -> Generation:
        name, bought, core = part_name(purchase.name, index), order.request, core_of(client)
        purchase.sending += 1
        is_sending = True

        def sent() -> None:
            nonlocal is_sending
            purchase.sending -= is_sending
            is_sending = False
            self._changed.ring()

        try:
            job = await self.book.submit(
                core, name, request, bought.options(), kind=bought.result_kind, model=order.model
            )
            purchase.jobs[index] = job.ref
            sent()
            if bought.kind == _ACCEPTED_IS_ENOUGH:
                job.raise_if_failed()
                pending = {"id": job.id, "status": PENDING, "model": job.model}
                return job.generation or Generation.read(pending, kind=job.kind)
            return await self._finished(purchase, name, job)
        except NeuralBoxError as error:
            await self._give_up(name, error)
            raise
        finally:
            sent()

    async def _give_up(self, name: str, error: NeuralBoxError) -> None:
        """Write down that nobody will send it, unless it was; and say where it is a budget that did not cover it."""
        await self.book.give_up(name)
        if isinstance(error, BudgetExceededError):
            self.on_refusal()

    async def _finished(self, purchase: Purchase, name: str, job: Job) -> Generation:
        """Wait for a job's end, and write down what was not known before, a failure too."""
        known = job.generation
        if known is not None and known.is_completed:  # as texts are, in the answer to their submission
            return known
        was_final = known is not None and known.is_final
        purchase.awaited += 1
        try:
            return await job.wait()
        finally:
            purchase.awaited -= 1
            if job.generation is not None and job.generation.is_final and not was_final:
                await self.write_end(name, job.generation)

    async def write_end(self, name: str, generation: Generation, *, tokens: int | None = None) -> None:
        """Write down how something ended that was bought; where that cannot be, the next run asks for it again."""
        try:
            await self.book.ended(core_of(self.client), name, generation, tokens=tokens)
        except JournalError as error:
            logger.warning("How %s ended is not written down: %s", name, error.message)

    async def _stream(
        self, purchase: Purchase, run: PurchaseRun, order: Order, request: Request, client: AsyncNeuralBox
    ) -> Generation:
        """Buy a text piece by piece; one that was bought before comes as one piece."""
        name, bought, core = purchase.name, order.request, core_of(client)
        call = bought.options()
        purchase.sending = 1
        try:
            turn = self.book.turn(core, name, request, call, kind=bought.result_kind, model=order.model)
            async with turn as (keyed, job, claim):
                if job is None:
                    stream = TextStream(core, request, call, recorder=keyed, shared=keyed.shared, claim=claim)
                    async with stream:
                        async for piece in stream:
                            if not run.pieces:
                                self._is_accepted(purchase, stream.job)
                            run.pieces.append(piece)
                            run.changed.ring()
                    return stream.result
            self._is_accepted(purchase, job.ref)
            generation = await self._finished(purchase, name, job)
            run.pieces.append(generation.text or "")
            return generation
        except NeuralBoxError as error:
            await self._give_up(name, error)
            raise
        finally:
            purchase.sending = purchase.awaited = 0
            self._changed.ring()

    def _is_accepted(self, purchase: Purchase, job: JobRef | None) -> None:
        if job is not None:
            purchase.jobs[0] = job
            purchase.sending, purchase.awaited = 0, 1
            self._changed.ring()


_IN_VAIN: Final = (GenerationFailedError, BudgetExceededError, InsufficientTokensError)
"""What a caller is told not to repeat: an answer that says it would keep the others that were paid for from it."""
_ACCEPTED_IS_ENOUGH: Final = "video"
