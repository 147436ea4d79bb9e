"""What the sandbox remembers: accounts, generations, charges, requests. Values only; `_ledger` keeps them.

Records that survive a restart turn themselves into a JSON-able dict and back (`asdict` and the constructor), so the
store needs one table. Times are Unix seconds of the sandbox's clock, money is whole tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._api import vocabulary as words


@dataclass(slots=True)
class SandboxAccount:
    """One account: a key of its own, the keys it created, or a person who logged in.

    Attributes:
        granted: Tokens it was opened with.
        balance: Tokens left, those reserved for pending jobs included.
        reserved: Tokens that pending jobs will cost.
        hour: Start of the window that `hour_count` counts, Unix seconds; `day` likewise.
    """

    name: str
    number: int
    plan: str
    granted: int
    balance: int
    opened_at: float
    reserved: int = 0
    hour: int = 0
    hour_count: int = 0
    day: int = 0
    day_count: int = 0
    profile: dict[str, Any] = field(default_factory=dict)

    @property
    def free_tokens(self) -> int:
        """Return what a new job may cost at most."""
        return self.balance - self.reserved


@dataclass(slots=True)
class StoredGeneration:
    """One accepted generation, as `ledger.generations` has it: what was asked for, and what became of it.

    Attributes:
        number: Counts the generations of the sandbox; in dialect A it is the id as well.
        id: As clients see it: an integer (dialect A) or `gen_...` (dialect B).
        account: Whose it is, by the ledger's name of the account.
        kind: `text`, `image`, `video`, ...
        prompt: What was asked for, where it has a prompt.
        model: The slug that was asked for; `answer_slug` is the one answers carry.
        price: Tokens it will cost when it completes; `tokens` is what it has cost by now.
        created_at: When it was accepted, Unix seconds of the sandbox's clock.
        ready_at: When it completes or fails.
        listed_at: When the history starts to show it.
        status: `pending`, `completed` or `failed`.
        failure: The sentence it ends with as failed, or None.
        balance_after: The account's balance right after it was charged.
        format: Ending of the result file; None where there is no file.
        reference: Address of the image that was given along.
        size_bytes: Of the result file; None until it is made.
        document_bytes: Of the document that was read aloud; None where none was.
    """

    number: int
    id: int | str
    account: str
    kind: words.Kind
    model: str
    answer_slug: str
    prompt: str | None
    price: int
    created_at: float
    ready_at: float
    listed_at: float
    status: str = words.PENDING
    failure: str | None = None
    balance_after: int | None = None
    text: str | None = None
    usage: dict[str, int] | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    duration: int | None = None
    seed: int | None = None
    reference: str | None = None
    size_bytes: int | None = None
    document_bytes: int | None = None
    is_favorited: bool = False
    rating: int | None = None
    is_deleted: bool = False

    @property
    def tokens(self) -> int:
        """Return the tokens charged so far: the price once it has completed."""
        return self.price if self.status == words.COMPLETED else 0

    @property
    def processing_ms(self) -> int:
        """Return the milliseconds from its acceptance to its end."""
        return max(1, round((self.ready_at - self.created_at) * 1000))


@dataclass(frozen=True, slots=True)
class Charge:
    """One withdrawal, as `ledger.charges` and `RunningSandbox.charged_once` have it.

    Attributes:
        generation: Id of the generation.
        account: Whose tokens, by the ledger's name of the account.
        tokens: How many.
        at: When, Unix seconds of the sandbox's clock.
    """

    generation: int | str
    account: str
    tokens: int
    at: float


@dataclass(slots=True)
class Received:
    """One request as it arrived, and how it was answered; `ledger.received` has the latest.

    Attributes:
        route: Method and path template, such as `GET /generate/{id}`.
        path: The path as it was asked for.
        query: What stood behind the question mark.
        at: When, Unix seconds of the sandbox's clock.
        headers: Names in lower case; a name sent twice keeps its last value.
        body: The first 16 KiB of the body.
        status: HTTP status of the answer; None while it is being answered, or where there was none.
    """

    route: str
    path: str
    query: str
    at: float
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    status: int | None = None
