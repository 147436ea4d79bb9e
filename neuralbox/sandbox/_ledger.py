"""The ledger: accounts, balances, limits, generations, charges; and what tests ask of them.

Everything goes through one lock, so a test may read while the server works. Time comes from the sandbox's clock and
completion is worked out from it whenever somebody asks: there is no task behind a pending job. Tokens are reserved when
a job is accepted and charged when it completes; a failed one costs nothing [SEED 000].
"""

from __future__ import annotations

import hashlib
import heapq
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, Literal

from .._api import vocabulary as words
from ._catalogue import PLAN_RANK
from ._generation_request import GenerationRequest
from ._records import Charge, Received, SandboxAccount, StoredGeneration
from ._replies import Refusal, too_many
from ._store import StateStore

BODY_KEPT: Final = 16_384
"""Bytes of a request's body that `Ledger.received` keeps."""
REQUESTS_KEPT: Final = 2_000
FIRST_NUMBER: Final = 18_473  # the quickstart's first id [SEED 001]
_HOUR: Final = 3_600
_DAY: Final = 86_400
_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def digest(credential: str) -> str:
    """Name a credential without keeping it."""
    return hashlib.sha256(credential.encode()).hexdigest()[:24]


class Ledger:
    """The sandbox's ledger. The public names are for assertions; each of them is safe from any thread."""

    def __init__(
        self, *, database: str | Path | None, plan: str, balance: int, seed: int, clock: Callable[[], float]
    ) -> None:
        self._lock = threading.RLock()
        self._store = StateStore(database)
        self._plan, self._balance, self._seed = plan, balance, seed
        self.clock: Callable[[], float] = clock
        self._accounts: dict[str, SandboxAccount] = {}
        self._generations: dict[str, StoredGeneration] = {}
        self._of_account: dict[str, list[StoredGeneration]] = {}
        self._pending: list[tuple[float, int, StoredGeneration]] = []
        self._charges: list[Charge] = []
        self._received: deque[Received] = deque(maxlen=REQUESTS_KEPT)
        self._routes: Counter[str] = Counter()
        self._entries: dict[str, dict[str, dict[str, Any]]] = {}
        self._load()

    # For assertions.

    @property
    def generations(self) -> dict[int | str, StoredGeneration]:
        """Return copies of all generations by id, as they are now, oldest first; deleted ones too."""
        with self._lock:
            self._advance()
            return {record.id: replace(record) for record in self._generations.values()}

    @property
    def charges(self) -> list[Charge]:
        """Return all withdrawals so far, in the order in which they were made."""
        with self._lock:
            self._advance()
            return list(self._charges)

    @property
    def charged(self) -> int:
        """Return the tokens withdrawn so far, all accounts together."""
        return sum(charge.tokens for charge in self.charges)

    @property
    def requests(self) -> int:
        """Return how many requests arrived, downloads included."""
        with self._lock:
            return sum(self._routes.values())

    @property
    def requests_by_route(self) -> dict[str, int]:
        """Return how many requests arrived for each `METHOD /path/{template}`."""
        with self._lock:
            return dict(self._routes)

    @property
    def received(self) -> list[Received]:
        """Return the latest requests (`REQUESTS_KEPT` of them) as they arrived, with headers and the start of the body."""
        with self._lock:
            return [replace(request) for request in self._received]

    def balance(self, credential: str) -> int:
        """Return the tokens left on the account of this API key."""
        with self._lock:
            self._advance()
            return self.account_of_key(credential).balance

    # Requests.

    def record_request(self, received: Received) -> None:
        """Count a request and keep it."""
        with self._lock:
            self._routes[received.route] += 1
            self._received.append(received)

    # Accounts.

    def account_of_key(self, key: str) -> SandboxAccount:
        """Return the account behind an API key; any key that nobody created has one of its own."""
        name = self.find_entry("keys", digest(key)).get("account", f"key-{digest(key)}")
        return self.account(name, plan=plan_in(key.removeprefix(words.KEY_PREFIX)))

    def account(self, name: str, *, plan: str | None = None) -> SandboxAccount:
        """Return the account of this name, opened at the first mention."""
        with self._lock:
            account = self._accounts.get(name)
            if account is None:
                number = 1_001 + len(self._accounts)
                account = SandboxAccount(name, number, plan or self._plan, self._balance, self._balance, self.clock())
                self._accounts[name] = account
                self._save(account)
            return account

    def up_to_date(self, account: SandboxAccount) -> SandboxAccount:
        """Return the same account, with whatever has completed by now charged."""
        with self._lock:
            self._advance()
            return account

    def spent(self, account: SandboxAccount) -> int:
        return account.granted - account.balance

    def update_profile(self, account: SandboxAccount, changes: dict[str, Any]) -> None:
        with self._lock:
            account.profile.update(changes)
            self._save(account)

    # Limits. Windows are the hours and days of the clock; accepted generations count, nothing else does.

    def limits_left(self, account: SandboxAccount) -> tuple[int, int]:
        """Return the generations left in this hour and this day; 0 and 0 where the plan has no limit."""
        with self._lock:
            self._turn_windows(account)
            per_hour, per_day = words.PLAN_LIMITS[account.plan]
            return max(0, per_hour - account.hour_count), max(0, per_day - account.day_count)

    def check_limits(self, account: SandboxAccount) -> None:
        """Refuse with 429 when the plan's window is used up."""
        limits = words.PLAN_LIMITS[account.plan]
        left = self.limits_left(account)
        now = self.clock()
        if limits[1] and not left[1]:
            wait = account.day + _DAY - now
            raise too_many(retry_after=max(1, round(wait)), plan=account.plan, limits=limits, window="Daily")
        if limits[0] and not left[0]:
            wait = account.hour + _HOUR - now
            raise too_many(retry_after=max(1, round(wait)), plan=account.plan, limits=limits)

    def _turn_windows(self, account: SandboxAccount) -> None:
        now = int(self.clock())
        if account.hour != (hour := now - now % _HOUR):
            account.hour, account.hour_count = hour, 0
        if account.day != (day := now - now % _DAY):
            account.day, account.day_count = day, 0

    # Generations.

    def accept(
        self,
        account: SandboxAccount,
        request: GenerationRequest,
        *,
        dialect: Literal["A", "B"],
        seconds: float,
        lag: float = 0.0,
        failure: str | None = None,
    ) -> StoredGeneration:
        """Take a generation on: reserve its price and give it an id.

        Args:
            account: Who pays.
            request: What is to be made.
            dialect: Which kind of id it gets.
            seconds: How long it takes by the sandbox's clock, from now; 0 completes it at once.
            lag: How long the history does not show it, seconds.
            failure: The sentence it fails with when its time has come.

        Raises:
            Refusal: 402, the balance does not cover the price.
        """
        with self._lock:
            self._advance()
            if request.price > account.free_tokens:
                raise Refusal(
                    words.INSUFFICIENT_TOKENS,
                    f"This costs {request.price} tokens and the balance has {max(0, account.free_tokens)}.",
                    details={"required": request.price, "available": max(0, account.free_tokens)},
                )
            self._turn_windows(account)
            account.hour_count += 1
            account.day_count += 1
            account.reserved += request.price
            now = self.clock()
            number = FIRST_NUMBER + len(self._generations)
            record = StoredGeneration(
                number=number,
                id=number if dialect == "A" else self._text_id(number),
                account=account.name,
                kind=request.model.kind,
                model=request.model.slug,
                answer_slug=request.model.answer_slug,
                prompt=request.prompt,
                price=request.price,
                created_at=now,
                ready_at=now + seconds,
                listed_at=now + lag,
                failure=failure,
                text=request.text,
                usage=request.usage,
                format=request.format,
                width=request.width,
                height=request.height,
                duration=request.duration,
                reference=request.reference,
                document_bytes=request.document_bytes,
                seed=request.seed if request.seed is not None else self.rng(f"seed/{number}").randrange(2**31),
            )
            self._insert(record)
            with self._store.together():
                self._save(account, record)
            self._advance()
            return record

    def finish(self, record: StoredGeneration) -> None:
        """End a generation now, as it was going to, whatever time it had left."""
        with self._lock:
            if record.status == words.PENDING:
                record.ready_at = min(record.ready_at, self.clock())
                self._settle(record)

    @property
    def generation_count(self) -> int:
        return len(self._generations)

    def find(self, key: object, account: SandboxAccount | None = None) -> StoredGeneration | None:
        """Return the generation of this id, of this account or of any; None if there is none or it was deleted."""
        with self._lock:
            self._advance()
            record = self._generations.get(str(key))
            if record is None or record.is_deleted or (account is not None and record.account != account.name):
                return None
            return record

    def of_account(self, account: SandboxAccount, *, listed: bool = True) -> list[StoredGeneration]:
        """Return the account's generations, newest first: those that the history shows, or all."""
        with self._lock:
            self._advance()
            now = self.clock()
            records: Iterable[StoredGeneration] = reversed(self._of_account.get(account.name, []))
            if not listed:
                return list(records)
            return [record for record in records if not record.is_deleted and record.listed_at <= now]

    def change(self, record: StoredGeneration, **changes: Any) -> None:
        with self._lock:
            for name, value in changes.items():
                setattr(record, name, value)
            self._save(record)

    # Whatever else is remembered by id: keys, sessions, assistants.

    def find_entry(self, kind: str, key: str) -> dict[str, Any]:
        """Return the entry of this kind and id; empty if there is none."""
        with self._lock:
            return self._entries.get(kind, {}).get(key, {})

    def put_entry(self, kind: str, key: str, entry: dict[str, Any]) -> None:
        with self._lock:
            self._entries.setdefault(kind, {})[key] = entry
            self._store.put(kind, key, {"_id": key, **entry})

    def count_entries(self, kind: str) -> int:
        """Return how many entries of this kind there are."""
        with self._lock:
            return len(self._entries.get(kind, {}))

    def entries_of(self, kind: str) -> dict[str, dict[str, Any]]:
        with self._lock:
            return dict(self._entries.get(kind, {}))

    def next_serial(self) -> int:
        """Return a number that was not used before, restarts included."""
        with self._lock:
            serial = int(self.find_entry("serials", "last").get("value", 0)) + 1
            self.put_entry("serials", "last", {"value": serial})
            return serial

    def remove_entry(self, kind: str, key: str) -> None:
        with self._lock:
            self._entries.get(kind, {}).pop(key, None)
            self._store.remove(kind, key)

    def rng(self, name: str) -> random.Random:
        """Return a random source that depends on the sandbox's seed and this name only."""
        return random.Random(f"{self._seed}/{name}")

    def close(self) -> None:
        """Close the database file; the next change opens it again."""
        with self._lock:
            self._store.close()

    # Inside.

    def _text_id(self, number: int) -> str:
        tail = self.rng(f"id/{number}").getrandbits(20)
        digits = "".join(_DIGITS[(number << 20 | tail) >> shift & 31] for shift in range(45, -1, -5))
        return f"gen_01k{digits}"

    def _insert(self, record: StoredGeneration) -> None:
        self._generations[str(record.id)] = record
        self._of_account.setdefault(record.account, []).append(record)
        if record.status == words.PENDING:
            heapq.heappush(self._pending, (record.ready_at, record.number, record))

    def _advance(self) -> None:
        """Settle whatever the clock says is done."""
        now = self.clock()
        while self._pending and self._pending[0][0] <= now:
            record = heapq.heappop(self._pending)[2]
            if record.status == words.PENDING:
                self._settle(record)

    def _settle(self, record: StoredGeneration) -> None:
        account = self._accounts[record.account]
        account.reserved -= record.price
        with self._store.together():
            if record.failure is not None:
                record.status = words.FAILED
            else:
                record.status = words.COMPLETED
                account.balance -= record.price
                record.balance_after = account.balance
                charge = Charge(record.id, account.name, record.price, record.ready_at)
                self._charges.append(charge)
                self._store.put("charge", record.number, asdict(charge))
            self._save(account, record)

    def _save(self, *records: SandboxAccount | StoredGeneration) -> None:
        for record in records:
            if isinstance(record, SandboxAccount):
                self._store.put("account", record.name, asdict(record))
            else:
                self._store.put("generation", record.number, asdict(record))

    def _load(self) -> None:
        with self._lock:
            for account in self._store.read("account"):
                self._accounts[account["name"]] = SandboxAccount(**account)
            for record in self._store.read("generation"):
                self._insert(StoredGeneration(**record))
            self._charges = [Charge(**charge) for charge in self._store.read("charge")]
            for kind in ("keys", "sessions", "assistants", "serials"):
                self._entries[kind] = {entry.pop("_id"): entry for entry in self._store.read(kind)}
            self._store.close()


def plan_in(name: str) -> str | None:
    """Return the plan that a made-up name chooses for its account: `plan_vip_...` is on VIP."""
    head, _, rest = name.partition("_")
    plan = rest.partition("_")[0]
    return plan if head == "plan" and plan in PLAN_RANK else None
