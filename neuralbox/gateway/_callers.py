"""Who calls: which account pays, with which budget, what may be used, and whose videos may be seen.

Two ways. With the operator's client inside, callers bring keys of the gateway's own (`_keys`); each has a copy of that
client with its own budget, and sees only what was made with its key: the ids of videos are sealed with it. Without,
callers bring their own keys of the service, which are passed on; each has a client of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from anyio import create_task_group, move_on_after, to_thread

from .._api.vocabulary import KEY_PREFIX as SERVICE_PREFIX
from .._base_client import core_of
from .._budget import NO_LIMIT, Budget, reserve_spent, resize
from .._client import AsyncNeuralBox
from .._concurrency.single_flight import SingleFlight
from .._costs.charges import charges_of
from .._costs.prices import PriceQuery
from .._errors import ConfigurationError, NeuralBoxError
from .._journal import ACCEPTED, SENDING, JournalRecord, read_records
from .._models.generation import Generation
from .._plain_text import without_code
from .._submissions.claim import Claim
from .._submissions.keyed import price_query_of_planned
from .._submissions.registry import registry_of
from .._types import GenerationId, JobRef, read_id
from ._error_answers import NO_KEY, STOPPING, WRONG_KEY, RefusedCallError, refuse, too_often
from ._followed import FollowedJobs
from ._joins import JOINED_FOR, caller_in, whole_name
from ._keys import GatewayKey, KeyFile, digest_of_key
from ._purchases import Cashier, Purchase

logger = logging.getLogger("neuralbox.gateway")

MOST_CALLERS: Final = 256
"""Callers with keys of their own whose clients are kept, unless more than these are needed."""
PRICES_ASKED_FOR: Final = 10.0
"""Seconds that a start waits for the prices of what an earlier run left."""
SETTLED_EVERY: Final = 60.0
"""Seconds at least from the end of a search for what is unknown to the next."""
VIDEO: Final = "video"
_VIDEO: Final = "video_"
_MINUTE: Final = 60.0


class Caller:
    """One key and what it may do.

    Attributes:
        id: A short name, for logs and the journal.
        client: The client that buys for it.
        account: The account that pays.
        key: What the gateway knows of its key; None for a key of the service.
    """

    def __init__(self, id: str, client: AsyncNeuralBox, account: GatewayAccount, key: GatewayKey | None) -> None:
        self.id = id
        self.client = client
        self.account = account
        self.key = key
        self._sent: list[float] = []

    def may_use(self, model: str) -> bool:
        """Whether it may use a model."""
        return self.key is None or self.key.may_use(model)

    def count(self, now: float, requests: int) -> None:
        """Count what one call buys, in paid requests.

        Raises:
            RefusedCallError: With those of the last minute there were too many, or they are more than any minute has.
        """
        limit = None if self.key is None else self.key.per_minute
        if limit is None:
            return
        if requests > limit:
            raise refuse("n", f"This key may send {limit} paid requests a minute; 'n' asks for {requests}.")
        self._sent = [each for each in self._sent if now - each < _MINUTE]
        surplus = len(self._sent) + requests - limit
        if surplus > 0:
            raise RefusedCallError(too_often(limit, self._sent[surplus - 1] + _MINUTE - now))
        self._sent += [now] * requests

    # Whose videos.

    def public_id(self, job_id: GenerationId) -> str:
        """Return a job's id for this caller."""
        return f"{_VIDEO}{job_id}{self._seal(str(job_id))}"

    def job_id(self, public_id: str) -> GenerationId | None:
        """Return the job that an id stands for; None where it is none, or another caller's."""
        if not public_id.startswith(_VIDEO):
            return None
        text = public_id.removeprefix(_VIDEO)
        if self.key is not None:
            text, mark, seal = text.rpartition("_")
            if not hmac.compare_digest((mark + seal).encode("utf-8", "replace"), self._seal(text).encode()):
                return None
        return read_id(text) if text else None

    def _seal(self, text: str) -> str:
        if self.key is None:
            return ""
        secret = bytes.fromhex(self.key.digest)
        return "_" + hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]


class GatewayAccount:
    """One account of the service: what is bought for it, and which of its jobs are followed.

    Args:
        client: The account's client.
        journal: The journal's file, or None.
        join_equal: As `Cashier` has it.
        is_counted: Whether its client's budget, if it has one, counts already what the journal says was spent.

    Attributes:
        visitors: How many calls are being answered; nobody closes it meanwhile.
        limits_callers: Whether some of its callers have budgets of their own.
    """

    def __init__(
        self,
        client: AsyncNeuralBox,
        *,
        journal: str | None,
        join_equal: float,
        is_counted: bool = False,
    ) -> None:
        self.client = client
        self.cashier = Cashier(client, journal=journal, join_equal=join_equal)
        self.cashier.on_refusal = self.settle_what_is_unknown
        self.jobs = FollowedJobs(client, self.cashier.spawn)
        self._videos: dict[str, set[str]] = {}
        self._budgets: dict[str, Budget] = {}
        self._journal = journal
        self._is_counted = is_counted
        self._settles_from = -math.inf
        self.visitors = 0
        self.limits_callers = False

    def is_needed(self) -> bool:
        """Whether something is being bought or answered, or a call may be repeated that nothing but this remembers."""
        if self.cashier.running or self.visitors:
            return True
        return self._journal is None and self.cashier.joins.may_be_repeated(core_of(self.client).clock())

    async def start(self) -> None:
        """Open the journal, and take up what it knows. It may be done again after `aclose`.

        Raises:
            JournalError: It cannot be used.
        """
        await self.cashier.start()
        self._settles_from = -math.inf
        self.jobs.begin_anew()
        if self._journal is not None:
            try:
                # Now that nobody else writes to it: what another run bought up to its last moment is repeated here.
                kept = await to_thread.run_sync(_kept, self._journal)
                await self._ask_prices(kept)
            except BaseException:
                await self.cashier.aclose()
                raise
            self._take_up(kept)
            if any(each.is_open and each.job is None for each in kept):
                self.settle_what_is_unknown()

    async def _ask_prices(self, kept: Sequence[KeptPurchase]) -> None:
        """Learn what is to be set aside for what has not ended, where that may keep something else from being bought."""
        core = core_of(self.client)
        if self.client.budget is not None or self.limits_callers:
            with move_on_after(PRICES_ASKED_FOR):
                for each in kept:
                    if each.question is not None:
                        await charges_of(core).prices.of(core, each.question)

    def _take_up(self, kept: Sequence[KeptPurchase]) -> None:
        core = core_of(self.client)
        now, clock = core.now(), core.clock()
        recent: dict[str, float] = {}
        for each in kept:
            if not self._is_counted:
                self._budget(caller_in(each.name)).charge(each.tokens)
            if each.question is not None:
                self._set_aside(each, each.question)
            if each.job is not None:
                if each.job.kind == VIDEO:
                    self.own(caller_in(each.name), each.job.id)
                if each.question is not None:
                    self.jobs.follow(each.job, on_end=partial(self._write_end, each.name, each.question))
            if each.is_open or now - each.touched <= JOINED_FOR:
                name, touched = whole_name(each.name), now if each.is_open else each.touched
                recent[name] = max(touched, recent.get(name, 0.0))
        joins = self.cashier.joins
        for name, touched in sorted(recent.items(), key=lambda item: item[1]):
            if name not in joins:
                joins.add(Purchase(name, touched=clock - (now - touched), created=touched), clock)
        self._is_counted = True

    def _set_aside(self, each: KeptPurchase, question: PriceQuery) -> None:
        """Set the tokens of one aside that was sent, until its end is seen; they may exceed the budget."""
        core, budget = core_of(self.client), self._budget(caller_in(each.name))
        charges, registry = charges_of(core), registry_of(core)
        if registry.pending(each.mark) or registry.owned.job_of(each.mark):
            return  # this process sent it and lost its answer, and has its tokens
        reservation = next((bill.reservation for bill in charges.bills.pop(each.mark)), None)
        if reservation is None or reservation.budget is not budget:
            if reservation is not None:
                reservation.release()  # of a gateway that had the journal before
            reservation = reserve_spent(budget, charges.prices.known(question))
            reservation.leave()
        charges.bills.add(each.mark, reservation, question)

    def settle_what_is_unknown(self) -> None:
        """Have it found out what became of what nobody repeats, for whose sake tokens stay set aside; nothing is sent."""
        core = core_of(self.client)
        if core.options.submission == "reconcile" and core.clock() >= self._settles_from:
            self._settles_from = math.inf  # until this search is over
            self.cashier.spawn(self._settle_all)

    async def _settle_all(self) -> None:
        try:
            unknown = await self.cashier.book.unknown()
            async with create_task_group() as tasks:
                for record in unknown:
                    tasks.start_soon(self._settle, record)
        except Exception:  # whatever it is, the account's purchases and waits go on
            logger.exception("What is unknown could not be looked for")
        finally:
            self._settles_from = core_of(self.client).clock() + SETTLED_EVERY

    async def _settle(self, record: JournalRecord) -> None:
        core = core_of(self.client)
        try:
            found = await self.cashier.book.settle(core, record)
        except NeuralBoxError as error:
            logger.warning("What became of %s is not known yet: %s", record.key, without_code(error.message))
            return
        if found is not None:
            logger.info("The lost answer of %s was found: the %s.", record.key, found.ref)
            if found.kind == VIDEO:
                self.own(caller_in(record.key), found.id)
            question = price_query_of_planned(record.request, model=record.model)
            self.jobs.follow(found, on_end=partial(self._write_end, record.key, question))
        if whole_name(record.key) not in self.cashier.joins:
            self.cashier.book.forget(record.key)

    def budget_of(self, key: GatewayKey) -> Budget:
        """Return a key's budget, less what was spent with it and is on its way; it counts in the account's too.

        One without a limit counts as well: it may be given one.

        Raises:
            ConfigurationError: What the file of keys says is no budget.
        """
        known = self._budget(key.id)
        resize(known, key.budget)
        return known

    async def count_what_is_open(self, key: GatewayKey) -> None:
        """Count at its price what is on its way with a key that has its first limit: until then nobody asked for one."""
        core, budget = core_of(self.client), self._budget(key.id)
        charges, admitted = charges_of(core), [each.admission for each in registry_of(core).entries if each.admission]
        unsettled = [bill for each in admitted if (bill := each.bill) and bill.reservation.budget is budget]
        with move_on_after(PRICES_ASKED_FOR):
            for bill in [*charges.bills.in_budget(budget), *unsettled]:
                if bill.question is not None and not bill.reservation.price:
                    price = await charges.prices.of(core, bill.question)
                    if price is not None and bill.reservation.is_open:  # not meanwhile
                        bill.reservation.estimate(price)

    def _budget(self, caller: str) -> Budget:
        known = self._budgets.get(caller)
        if known is None:
            known = self._budgets[caller] = Budget(NO_LIMIT, within=self.client.budget)
        return known

    # Videos.

    def own(self, caller: str, job_id: GenerationId) -> None:
        """Take note of whose a video is."""
        self._videos.setdefault(caller, set()).add(str(job_id))

    def videos_of(self, caller: Caller) -> set[str] | None:
        """Return the ids of a caller's videos, for the caller to keep; None where all of the account's history are."""
        return None if caller.key is None else {*self._videos.get(caller.id, ())}

    def forget(self, caller: Caller, job_id: GenerationId) -> None:
        """Forget a video that was deleted."""
        self._videos.get(caller.id, set()).discard(str(job_id))
        self.jobs.forget(job_id)

    def follow(self, name: str, generation: Generation, asked: Mapping[str, Any]) -> None:
        """Follow what was just bought, and write down how it ends."""
        self.own(caller_in(name), generation.id)
        self.jobs.follow(generation, asked, partial(self.cashier.write_end, name))

    async def _write_end(self, name: str, question: PriceQuery, generation: Generation) -> None:
        """Write down how a job of an earlier run ended, and what it cost."""
        core = core_of(self.client)
        charges = charges_of(core)
        tokens = charges.cost(generation, question)
        if tokens is None:
            tokens = await charges.prices.of(core, question)
        await self.cashier.write_end(name, generation, tokens=tokens)

    async def aclose(self, grace: float = 0.0) -> None:
        """Stop; see `Cashier.aclose`."""
        await self.cashier.aclose(grace)


# What an earlier run left.


@dataclass(frozen=True, slots=True)
class KeptPurchase:
    """What a journal says of one purchase, without the request.

    Attributes:
        name: Its name.
        job: Its job, where it was accepted.
        mark: Under which its tokens are set aside: its job's id, or the key of its claim where nobody knows whether there is one.
        question: What its price depends on, where it was sent, and its end is not written down.
        tokens: What it cost.
        touched: Unix seconds of its last change.
    """

    name: str
    job: JobRef | None
    mark: str
    question: PriceQuery | None
    tokens: int
    touched: float

    @property
    def is_open(self) -> bool:
        """Whether it was sent, and its end is not written down."""
        return self.question is not None


def _kept(path: str) -> list[KeptPurchase]:
    """Read what a journal knows, less what a batch has written into it: that is another's to finish, and its tokens no caller's."""
    return [_purchase(record) for record in read_records(path) if "path" in record.request]


def _purchase(record: JournalRecord) -> KeptPurchase:
    touched = max(record.final_at or 0.0, record.accepted_at or 0.0, record.sent_at or 0.0)
    is_open = record.state in {SENDING, ACCEPTED}
    return KeptPurchase(
        record.key,
        record.job,
        Claim.from_dict(record.claim or {}).key if record.id is None else str(record.id),
        price_query_of_planned(record.request, model=record.model) if is_open else None,
        max(0, record.tokens or 0),
        touched,
    )


# Both ways to call.


class CallerRegistry(ABC):
    """Knows the callers by their keys.

    Attributes:
        is_own: Whether the account is the operator's, so that its refusals are no fault of the callers'.
    """

    is_own: bool

    @abstractmethod
    async def start(self) -> None:
        """Make ready what does not wait for a caller."""

    @abstractmethod
    async def find(self, secret: str) -> Caller:
        """Return whose key it is.

        Raises:
            RefusedCallError: Nobody's.
            NeuralBoxError: It could not be found out.
        """

    @abstractmethod
    def accounts(self) -> Sequence[GatewayAccount]:
        """Return the accounts that are open."""

    async def aclose(self, grace: float) -> None:
        """Stop everything, as long as `grace` seconds in good order.

        Raises:
            JournalError: A journal could not be closed as it should be; everything is stopped all the same.
        """
        failed: list[NeuralBoxError] = []

        async def stop(account: GatewayAccount) -> None:
            try:
                await account.aclose(grace)
            except NeuralBoxError as error:
                failed.append(error)

        async with create_task_group() as tasks:
            for account in self.accounts():
                tasks.start_soon(stop, account)
        for error in failed[1:]:
            logger.error("%s", error.message)
        if failed:
            raise failed[0]

    async def of(self, authorization: str | None) -> Caller:
        """Return the caller that an `Authorization` header names.

        Raises:
            RefusedCallError: It names none.
        """
        scheme, _, secret = (authorization or "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise RefusedCallError(NO_KEY)
        return await self.find(secret)


class OwnKeyCallers(CallerRegistry):
    """Callers with keys of the gateway's own, on the operator's account."""

    is_own = True

    def __init__(self, account: GatewayAccount, keys: KeyFile) -> None:
        self._account = account
        self._keys = keys
        self._callers: dict[str, Caller] = {}

    async def start(self) -> None:
        self._account.limits_callers = any(key.budget is not None for key in self._keys.all())
        await self._account.start()

    async def find(self, secret: str) -> Caller:
        key = self._keys.find(secret)
        if key is None:
            raise RefusedCallError(WRONG_KEY)
        caller = self._callers.get(key.id)
        if caller is None or caller.key != key:
            budget = self._account.budget_of(key)
            before = None if caller is None else caller.key
            if key.budget is not None and (before is None or before.budget is None):
                await self._account.count_what_is_open(key)
                caller = self._callers.get(key.id)
            if caller is None:
                client = self._account.client.with_options(budget=budget)
                caller = self._callers[key.id] = Caller(key.id, client, self._account, key)
            caller.key = key  # it may have been changed; what was counted of it stays
        return caller

    def accounts(self) -> Sequence[GatewayAccount]:
        return [self._account]


class PassedOnCallers(CallerRegistry):
    """Callers with keys of the service, which are passed on; each has an account of its own.

    Args:
        connect: Makes the client of a key.
        journal: What the journals' names begin with: each account has its own, beside this path; None for none.
        join_equal: As `Cashier` has it.
    """

    is_own = False

    def __init__(self, connect: Callable[[str], AsyncNeuralBox], *, journal: str | None, join_equal: float) -> None:
        self._connect = connect
        self._journal = journal
        self._join_equal = join_equal
        self._callers: dict[str, Caller] = {}
        self._counted: dict[str, Budget | None] = {}
        self._is_closed = False
        self._opening = SingleFlight()

    async def start(self) -> None:
        """Let accounts be opened, each by its first call."""
        self._is_closed = False

    async def find(self, secret: str) -> Caller:
        if not secret.startswith(SERVICE_PREFIX):
            raise RefusedCallError(WRONG_KEY)
        digest = digest_of_key(secret)[:24]
        while (caller := self._callers.get(digest)) is None:
            await self._opening.run(digest, partial(self._open, secret, digest))
        self._callers[digest] = self._callers.pop(digest)  # the one that was used last stands last
        return caller

    async def _open(self, secret: str, digest: str) -> None:
        try:
            client = self._connect(secret)
        except ConfigurationError as error:
            raise RefusedCallError(WRONG_KEY) from error
        journal = None
        if self._journal is not None:
            path = Path(self._journal)
            journal = str(path.with_name(f"{path.stem}-{digest}{path.suffix}"))
        try:
            await client.account.balance()  # a place is taken by keys that the service knows, and by no others
            account = GatewayAccount(
                client,
                journal=journal,
                join_equal=self._join_equal,
                is_counted=self._counted.get(digest) is client.budget,
            )
            await account.start()
        except BaseException:
            await client.aclose()
            raise
        self._counted[digest] = client.budget
        if self._is_closed:  # meanwhile
            await _close(Caller(digest, client, account, None))
            raise RefusedCallError(STOPPING)
        self._callers[digest] = Caller(digest, client, account, None)
        await self._make_room()

    async def _make_room(self) -> None:
        """Close those that were used longest ago and that nothing is lost with, as far as there are too many."""
        surplus = len(self._callers) - MOST_CALLERS
        spare = [
            each for each in list(self._callers)[:-1] if surplus > 0 and not self._callers[each].account.is_needed()
        ]
        for caller in [self._callers.pop(digest) for digest in spare[: max(0, surplus)]]:
            try:
                await _close(caller)
            except NeuralBoxError as error:  # no fault of the call that needs the room
                logger.error("%s", error.message)  # noqa: TRY400 - its words say it

    def accounts(self) -> Sequence[GatewayAccount]:
        return [caller.account for caller in self._callers.values()]

    async def aclose(self, grace: float) -> None:
        self._is_closed = True
        try:
            await super().aclose(grace)
        finally:
            for caller in self._callers.values():
                await caller.client.aclose()
            self._callers.clear()


async def _close(caller: Caller) -> None:
    try:
        await caller.account.aclose()
    finally:
        await caller.client.aclose()
