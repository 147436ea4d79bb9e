"""The frozen options of a client, and the one place that reads the environment.

`NEURALBOX_API_KEY`, `NEURALBOX_BASE_URL` and `NEURALBOX_LOG` are read when a client is made, never at import;
`NEURALBOX_CONFIG` and `NEURALBOX_PROFILE` by the command line alone. The library reads no file of settings.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias, TypedDict
from urllib.parse import urlsplit

from ._api import vocabulary as words
from ._api.checks import require_flag, require_instance, require_one_of, require_query, require_seconds, require_whole
from ._api.elsewhere import unexpected_argument
from ._api.pages import Envelope, read_envelope
from ._api.reply import ErrorBody, status_error, without_secrets
from ._api.request import Query, Request, query
from ._budget import Budget
from ._errors import APIStatusError, ConfigurationError, ProtocolError
from ._hooks import Hooks, hooks_of
from ._models.generation import Generation
from ._result_cache import ResultCache
from ._types import GenerationId, JobRef

OptionStyle: TypeAlias = Literal["documented", "flat", "nested"]
logger = logging.getLogger("neuralbox")
logger.addHandler(logging.NullHandler())  # silent until the user's program or NEURALBOX_LOG says otherwise


class StatusError(Protocol):
    """Builds the error of a status that is not 2xx; see `_api.reply.status_error`."""

    def __call__(
        self, status_code: int, headers: Mapping[str, str], content: bytes, *, now: float
    ) -> APIStatusError: ...


@dataclass(frozen=True, slots=True)
class Detail:
    """How a service is asked for one generation, where one path is all there is.

    Attributes:
        path: The path, with `{id}` for the id.
        read: Reads the answer; the reference tells what was asked for. May raise `ProtocolError`.
    """

    path: str
    read: Callable[[Mapping[str, Any], JobRef], Generation]


class ReadGeneration(Protocol):
    """Reads what a service says of a generation, wherever it says it; see `Generation.read`. Never raises."""

    def __call__(
        self, record: Mapping[str, Any], *, kind: str | None = None, asked_id: GenerationId | None = None
    ) -> Generation: ...


@dataclass(frozen=True, slots=True)
class Listing:
    """How a service is asked for what it made, the newest first.

    Attributes:
        path: Where.
        query: Makes the query of a page: its number from 1, how many items, and of which state (None for all).
        read: Reads the parsed answer to a page; takes its number and how many items were asked for. None is no list.
        rewrite: Says an item under the names of `vocabulary.ALIASES`; None where it is said so.
        has_states: Whether it can be asked for one state alone.
    """

    path: str
    query: Callable[[int, int, str | None], Query]
    read: Callable[[Any, int, int], Envelope | None]
    rewrite: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    has_states: bool = True

    def request(self, page: int, state: str | None = None) -> Request:
        """Make the request of a page."""
        return Request("GET", self.path, query=self.query(page, words.MAX_PAGE_SIZE, state))

    def read_page(self, value: Any, page: int, status_code: int) -> Envelope:
        """Read the parsed answer to it.

        Raises:
            ProtocolError: There is no list in it.
        """
        envelope = self.read(value, page, words.MAX_PAGE_SIZE)
        if envelope is None:
            raise ProtocolError(f"The service answered {status_code} without a list of items.", status_code=status_code)
        return envelope


@dataclass(frozen=True, slots=True)
class Service:
    """Which service a client speaks to: all in which one differs from another below the resources.

    Attributes:
        base_url: Its documented scheme and host.
        prefix: What stands between the base URL and every path.
        key_variable: The environment variable of its key.
        base_url_variable: The environment variable of its base URL.
        key_help: Where its keys come from, a sentence.
        status_error: Builds the error of a refusal.
        is_ours: Whether the body of a refusal is the service's own, not a proxy's.
        listing: How it is asked for all of them.
        read: Reads an answer to a submission, an item of the listing, a kept record.
        charge: Tells from a final generation what it cost, in what the service counts by; None where it is not said.
        estimate: Tells from an accepted one what it is going to cost, in the same way.
        unit: What it counts by: `tokens`, or `credits`, which are never added to them.
        announces_prices: Whether it can be asked beforehand what a request costs.
        not_kept: Fields of a record that a journal leaves out: the prompt, which it has elsewhere, and secrets.
        detail: How it is asked for one generation; None for the two paths of `_polling.status`.
        failure_is_free: Whether it documents that a failed generation costs nothing.
        retention: How long it keeps the files of results, a sentence; "" where that is not documented as a rule.
        name: What hooks and traces call it.
    """

    base_url: str
    prefix: str
    key_variable: str
    base_url_variable: str
    key_help: str
    status_error: StatusError
    is_ours: Callable[[bytes], bool]
    listing: Listing
    read: ReadGeneration
    charge: Callable[[Generation], int | None]
    estimate: Callable[[Generation], int | None] = lambda _: None
    unit: Literal["tokens", "credits"] = "tokens"
    announces_prices: bool = True
    not_kept: frozenset[str] = frozenset({"prompt"})
    detail: Detail | None = None
    failure_is_free: bool = False
    retention: str = ""
    name: str = "neuralbox"


NEURALBOX = Service(
    base_url=words.BASE_URL,
    prefix=words.PREFIX,
    key_variable="NEURALBOX_API_KEY",
    base_url_variable="NEURALBOX_BASE_URL",
    key_help="Keys start with `nb_` and are made in the dashboard under Profile, API Keys.",
    status_error=status_error,
    is_ours=lambda content: ErrorBody(content).ours,
    # Page, limit and state are called the same in both dialects (C14).
    listing=Listing(
        words.HISTORY,
        lambda page, size, state: query(page=page, limit=size, status=state),
        lambda value, page, size: read_envelope(value, page=page, page_size=size),
    ),
    read=Generation.read,
    charge=lambda generation: generation.tokens,
    failure_is_free=True,
    retention="Files are kept by plan: {}.".format(
        ", ".join(
            f"{plan} {days} days" if days is not None else f"{plan} without limit"
            for plan, days in words.RETENTION_DAYS.items()
            if plan != "starter"  # another name of free
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits of one HTTP exchange, in seconds; None waits without limit. Waiting for a job has its own limit.

    Attributes:
        connect: Opening a connection, TLS included.
        read: Each wait for the next bytes of an ordinary answer.
        write: Each wait for room to send.
        generation: Each wait for the next bytes of an answer that takes as long as a generation.
        total: One whole answer, however slowly it trickles in; of a stream or a file, until its headers are there.
    """

    connect: float | None = 10.0
    read: float | None = 30.0
    write: float | None = 30.0
    generation: float | None = 300.0
    total: float | None = 3600.0

    def __post_init__(self) -> None:
        for name in ("connect", "read", "write", "generation", "total"):
            require_seconds(f"timeout.{name}", getattr(self, name))

    @classmethod
    def of(cls, value: float | Timeout | None) -> Timeout:
        """Read what a caller passes as `timeout=`: one number stands for reading, generations included."""
        if isinstance(value, Timeout):
            return value
        require_seconds("timeout", value)
        if value is None:
            return cls(read=None, write=None, generation=None, total=None)
        return cls(connect=min(10.0, value), read=value, write=value, generation=value, total=max(3600.0, value))


@dataclass(frozen=True, slots=True)
class Polling:
    """How long waits go on, and how often they poll.

    Attributes:
        timeout: Default limit of a wait, in seconds; None waits without limit.
        min_interval: Shortest pause between two polls of one job, in seconds; below 5 is more than 12 polls a minute.
        max_interval: Longest pause between two polls of one job, in seconds.
        detail: What is asked when a listing shows that a job has ended. `status` asks for the job itself; `listing`
            takes the history's item for the result where it has a url or text and tokens, and saves that request.
            `auto` takes it where it lacks nothing that such a job's own answer has said, where the caller needs no more (a
            batch with `download_to`), or where the plan's requests are scarce; a result that may lack something has
            `is_partial`.
    """

    timeout: float | None = 600.0
    min_interval: float = 5.0
    max_interval: float = 30.0
    detail: Literal["auto", "status", "listing"] = "auto"

    def __post_init__(self) -> None:
        require_seconds("polling.timeout", self.timeout)
        require_seconds("polling.min_interval", self.min_interval, optional=False)
        require_seconds("polling.max_interval", self.max_interval, optional=False)
        if self.max_interval < self.min_interval:
            raise ConfigurationError("polling.max_interval must not be below polling.min_interval.")
        require_one_of("polling.detail", self.detail, ("auto", "status", "listing"))


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which of the documented ways to speak is used where the documents disagree; all are understood in answers.

    Attributes:
        options: Where the options of a request go: `documented` (flat on the typed resources, inside `params` on
            `generate`), `flat` or `nested` everywhere (contradiction C8).
        stream: `switch` sends `"stream": true` to `/generate`, `path` uses `/generate/stream` (C11).
        history: Names of the history's filters: `seed` (`type`, `model`) or `page` (`category`, `model_slug`) (C14).
    """

    options: OptionStyle = "documented"
    stream: Literal["switch", "path"] = "switch"
    history: Literal["seed", "page"] = "seed"

    def __post_init__(self) -> None:
        require_one_of("dialect.options", self.options, ("documented", "flat", "nested"))
        require_one_of("dialect.stream", self.stream, ("switch", "path"))
        require_one_of("dialect.history", self.history, ("seed", "page"))


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Everything `with_options` can change.

    Attributes:
        base_url: Scheme and host, with or without `/api/v2`.
        timeout: Limits of one HTTP exchange.
        max_retries: How often a call is repeated after its first attempt, where repeating is safe.
        max_retry_wait: A service that asks for a longer pause than this many seconds raises instead.
        deadline: Limit of one call, in seconds from its beginning to the last byte: attempts, pauses, and the body
            of a stream or download. None for none; waiting for a job has a limit of its own.
        max_reply_bytes: A longer answer than this is refused; files are not concerned.
        default_headers: Sent with every request to the service, never to the storage.
        polling: How waits poll.
        submission: What follows a paid request whose outcome is unknown: `reconcile` searches the history for what
            it may have made, `raise` raises `SubmissionUnknownError` at once, `resend` sends it again and may pay twice.
        warn_duplicates: Whether two equal paid requests within seconds, outside a batch, are worth a line in the log.
        draw_seed: Whether a picture that is asked for without a seed gets a drawn one, by which it is known as yours.
        dialect: How to speak where the documents disagree.
        budget: Tokens that the paid calls of this client and its copies may spend together; None without limit.
        cache: Results that were bought before; None for none.
        pace: What a paid call does when the plan's hour or day is used up. `burst` waits for the next window up to
            `max_retry_wait` and else raises `RateLimitError` with the time; `spread` also spreads the last fifth of a
            window over what remains of it; `off` sends and sees.
        hooks: Who is told what calls do; see `Hooks`.
        service: Which service it is; no copy of a client changes that.
    """

    base_url: str = words.BASE_URL
    timeout: Timeout = field(default_factory=Timeout)
    max_retries: int = 2
    max_retry_wait: float = 60.0
    deadline: float | None = None
    max_reply_bytes: int = 64 * 1024 * 1024
    default_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    polling: Polling = field(default_factory=Polling)
    submission: Literal["reconcile", "raise", "resend"] = "reconcile"
    warn_duplicates: bool = True
    draw_seed: bool = True
    dialect: Dialect = field(default_factory=Dialect)
    budget: Budget | None = None
    cache: ResultCache | None = None
    pace: Literal["burst", "spread", "off"] = "burst"
    hooks: tuple[Hooks, ...] = field(default=(), repr=False)
    service: Service = field(default=NEURALBOX, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _clean_base_url(self.base_url, self.service))
        object.__setattr__(self, "timeout", Timeout.of(self.timeout))
        _require_headers("default_headers", self.default_headers)
        object.__setattr__(self, "default_headers", dict(self.default_headers))
        object.__setattr__(self, "hooks", hooks_of(self.hooks))
        require_seconds("max_retry_wait", self.max_retry_wait, optional=False)
        require_seconds("deadline", self.deadline)
        require_instance("polling", self.polling, Polling)
        require_instance("dialect", self.dialect, Dialect)
        require_one_of("submission", self.submission, ("reconcile", "raise", "resend"))
        require_flag("warn_duplicates", self.warn_duplicates)
        require_flag("draw_seed", self.draw_seed)
        require_one_of("pace", self.pace, ("burst", "spread", "off"))
        if self.budget is not None:
            require_instance("budget", self.budget, Budget)
        require_whole("max_retries", self.max_retries, lowest=0)
        require_whole("max_reply_bytes", self.max_reply_bytes, lowest=1)

    def with_changes(self, **changes: Any) -> ClientOptions:
        """Return a copy with some options changed."""
        return replace(self, **changes)

    @property
    def root(self) -> str:
        """Where every path of the service hangs: base URL and prefix."""
        return self.base_url + self.service.prefix


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What one call may change: every method's `timeout`, `extra_headers`, `extra_query` and `extra_body`."""

    timeout: float | Timeout | None = None
    extra_headers: Mapping[str, str] | None = field(default=None, repr=False)
    extra_query: Mapping[str, object] | None = field(default=None, repr=False)
    extra_body: Mapping[str, object] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, call: CallArgs) -> CallOptions:
        """Read a method's further keyword arguments.

        Raises:
            TypeError: One of them is none of ours: a misspelt option, or one this version does not know.
        """
        unknown = sorted(set(call) - set(CallArgs.__annotations__))
        if unknown:
            raise unexpected_argument(unknown[0])
        return cls(**call)

    def __post_init__(self) -> None:
        if self.extra_headers is not None:
            _require_headers("extra_headers", self.extra_headers)
        if self.extra_query is not None:
            require_query("extra_query", self.extra_query)
        if self.extra_body is not None:
            require_instance("extra_body", self.extra_body, Mapping)


NO_CALL_OPTIONS = CallOptions()


class CallArgs(TypedDict, total=False):
    """The keyword arguments every call of the service takes beside its own.

    Attributes:
        timeout: Limits of the HTTP exchange: seconds, or a `Timeout`. Not the limit of waiting for a job.
        extra_headers: Headers to add or replace.
        extra_query: Query parameters to add.
        extra_body: Fields to add to the body's top level: the way for options this version does not know.
    """

    timeout: float | Timeout | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, object] | None
    extra_body: Mapping[str, object] | None


# What the environment says.


def api_key_from_environment(given: str | None, service: Service = NEURALBOX) -> str:
    """Return the key given or that of the environment (`NEURALBOX_API_KEY`), without surrounding blanks.

    Raises:
        ConfigurationError: There is none, or it could not be sent as a header.
    """
    key = os.environ.get(service.key_variable, "") if given is None else given
    if not isinstance(key, str):
        raise ConfigurationError(f"The API key must be text, not {type(key).__name__}.")
    key = key.strip()
    if not key:
        raise ConfigurationError(f"No API key: pass `api_key=` or set {service.key_variable}. {service.key_help}")
    if key.startswith("sk-"):
        raise ConfigurationError(
            f"The API key begins with `sk-`, as those of other services do; it was not sent. {service.key_help}"
        )
    if not key.isascii() or not key.isprintable() or any(character in key for character in " '\""):
        del key, given  # error reporters write down the variables of this frame
        raise ConfigurationError("The API key holds characters that no key has (a blank, a line end, a quote?).")
    return key


def journal_from_environment() -> str:
    """Return the journal that the environment names (`NEURALBOX_JOURNAL`), or an empty text."""
    return os.environ.get("NEURALBOX_JOURNAL", "")


def base_url_from_environment(given: str | None, service: Service = NEURALBOX) -> str:
    """Return the base URL given, or that of the environment (`NEURALBOX_BASE_URL`), or the documented one."""
    return given if given is not None else os.environ.get(service.base_url_variable) or service.base_url


def has_environment_base_url(service: Service = NEURALBOX) -> bool:
    """Return whether the environment says where this service is."""
    return bool(os.environ.get(service.base_url_variable))


def has_environment_key(service: Service = NEURALBOX) -> bool:
    """Return whether the environment has a key of this service."""
    return bool(os.environ.get(service.key_variable, "").strip())


def profile_from_environment() -> str | None:
    """Return the command line's profile that the environment names (`NEURALBOX_PROFILE`)."""
    return os.environ.get("NEURALBOX_PROFILE", "").strip() or None


def config_file_from_environment() -> str | None:
    """Return the path of the command line's settings that the environment names (`NEURALBOX_CONFIG`)."""
    return os.environ.get("NEURALBOX_CONFIG", "").strip() or None


def log_from_environment() -> None:
    """Send this package's log to standard error when `NEURALBOX_LOG` is `info` or `debug`; otherwise it is silent."""
    level = os.environ.get("NEURALBOX_LOG", "").strip().upper()
    if level in ("INFO", "DEBUG"):
        log_to_stderr(level)


def log_to_stderr(level: str) -> None:
    """Send this package's log to standard error.

    Args:
        level: `INFO` or `DEBUG`.
    """
    if all(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        handler = logging.StreamHandler()
        handler.addFilter(_is_written_nowhere_else)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(level)


def _is_written_nowhere_else(record: logging.LogRecord) -> bool:
    # The program may have given the root logger a handler since, which gets the record as well.
    return not any(record.levelno >= handler.level for handler in logging.getLogger().handlers)


# What cannot be right.


def _require_headers(name: str, value: object) -> None:
    require_instance(name, value, Mapping)
    assert isinstance(value, Mapping)
    for header, content in value.items():
        if not isinstance(header, str) or not isinstance(content, str):  # what they hold is not repeated
            raise ConfigurationError(f"{name} must map text to text; write numbers as text.")


def _clean_base_url(value: object, service: Service) -> str:
    text = value.strip().rstrip("/") if isinstance(value, str) else ""
    if "@" in text:  # before anything else, so that no message below can show a password
        raise ConfigurationError("base_url must not hold a user name or password.")
    if not _is_origin(text):
        raise ConfigurationError(
            f"base_url must look like `{service.base_url}`; it is {without_secrets(repr(value))}. "
            f"Check `base_url=` and {service.base_url_variable}."
        )
    return text.removesuffix(service.prefix)


def _is_origin(text: str) -> bool:
    if " " in text or not text.isprintable():  # `urlsplit` drops line ends without a word
        return False
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it raises for a port that is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
