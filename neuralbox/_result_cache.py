"""`ResultCache`: what was bought once, by what was asked; so that the same thing is not bought twice on purpose either.

A request is named by a hash of all that decides its result: the service and its address, the kind, the model, the options,
the prompt, and the bytes of the files that go along. What is hashed is what is sent: a file is read once. The results are
kept in one SQLite file, which programs may share. Reading it comes before anything is paid for, so what is wrong with the
file is an error there; writing comes after, so what goes wrong then is a line in the log, and the result is delivered.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakSet

from anyio import CapacityLimiter
from pydantic_core import from_json, to_json

from ._api import vocabulary as words
from ._api.checks import require_path, require_plan, require_seconds
from ._api.request import Request, query
from ._concurrency.worker_thread import run_to_end
from ._errors import ConfigurationError
from ._models.generation import Generation
from ._types import BoundToProcess, GenerationId

if TYPE_CHECKING:
    import sqlite3
else:

    class _LateSQLite:
        """The module `sqlite3`, imported by the first cache: a client without one does without it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("sqlite3"), name)

    sqlite3 = _LateSQLite()

logger = logging.getLogger("neuralbox")

_VERSION: Final = 1
_APPLICATION: Final = 0x4E42_5243  # "NBRC"
_DAY: Final = 86_400.0
_PATIENCE: Final = 5.0  # seconds for another program that writes
_PARTIAL: Final = "neuralbox:partial"
"""In a record that may lack something: what the service does not say itself."""
_SCHEMA: Final = (
    """
    CREATE TABLE results (
        key TEXT PRIMARY KEY, id TEXT NOT NULL, kind TEXT, model TEXT, record BLOB NOT NULL, expires_at REAL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX results_by_id ON results (id)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)


class CachedGeneration(Generation):
    """A generation that was bought before and cost nothing this time: `tokens` is 0, `is_cached` true."""

    @property
    def is_cached(self) -> bool:
        """Whether it comes from a cache: it was neither made nor charged again."""
        return True


def as_cached(generation: Generation, model: str | None = None) -> CachedGeneration:
    """Return a generation as one that was bought before; `model` is what was asked for, where its record does not say."""
    counted = None if generation.credits is None else 0
    free = {
        "tokens": 0 if counted is None else None,
        "credits": counted,
        "balance": None,
        "model": generation.model or model,
    }
    return CachedGeneration.model_construct(**(vars(generation) | free))


class ResultCache(BoundToProcess):
    """Results by what was asked for, in a SQLite file; pass it, or its path, as `cache=`.

        nb = AsyncNeuralBox(cache="results.sqlite")
        first = await nb.images.create(model="flux-1.1-pro", prompt="A fox")    # made and charged
        again = await nb.images.create(model="flux-1.1-pro", prompt="A fox")    # no request; again.is_cached

    What `submit` gives is a finished job then, and a stream has one piece. Only completed results are kept, until the
    service drops their files. One whose file turns out to be gone is forgotten by the download that found out. It may be
    used by any number of clients, threads and programs. Its file is closed with each client, and at the end of each batch,
    that it was given to; the next use opens it again.

    Args:
        path: The file; made at the first use, for its owner alone.
        plan: The account's plan, by which the service keeps results: `free` 7 days, `basic` 30, `pro` and `vip` 90,
            `elite` without limit. Left out, the shortest of them.
        max_age: Keep results for so many seconds at most; None for as long as the service does.

    Raises:
        ConfigurationError: The path or the plan is none, or `max_age` no number of seconds above 0.
    """

    _WHY_NOT_COPIED: ClassVar[str] = (
        "A cache cannot be copied or pickled: it holds its file open. Pass on its path, and make a `ResultCache` of it where it "
        "is needed: programs may share the file."
    )

    def __init__(self, path: str | os.PathLike[str], *, plan: str | None = None, max_age: float | None = None) -> None:
        require_seconds("`max_age`", max_age)
        require_plan("`plan`", plan)
        require_path("A cache's file", path)
        days = words.RETENTION_DAYS["free" if plan is None else plan.strip().lower()]
        ages = [age for age in (max_age, None if days is None else days * _DAY) if age is not None]
        self._age = min(ages, default=None)
        self.path: Path = Path(path)
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        _caches.add(self)

    def __del__(self) -> None:
        # Nobody has it any more, so no lock is needed; and one whose arguments were refused has no file.
        if getattr(self, "_database", None) is not None:
            self._close()

    def __repr__(self) -> str:
        return f"<ResultCache {str(self.path)!r}>"

    def get(self, key: str, now: float, read: Callable[..., Generation] = Generation.read) -> Generation | None:
        """Return the result of a request, or None; it blocks for the time of a look into the file.

        Args:
            key: As `content_key` makes it.
            now: Unix seconds.
            read: Reads a record of the service.

        Raises:
            ConfigurationError: The file cannot be used: it is another's, of another version, or broken.
        """
        try:
            with self._lock:
                row = (
                    self._open()
                    .execute(
                        "SELECT record, kind, model FROM results WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)",
                        (key, now),
                    )
                    .fetchone()
                )
            if row is None:
                return None
            said = from_json(row[0])
            is_partial = said.pop(_PARTIAL, False)
            found = read(said, kind=row[1])
            if is_partial:
                found = found.model_copy(update={"is_partial": True})
        except (sqlite3.Error, OSError, ValueError, TypeError, AttributeError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(f"The cache {str(self.path)!r} cannot be read: {error}.") from error
        return as_cached(found, row[2])

    def put(self, key: str, generation: Generation, now: float) -> None:
        """Keep a completed result; what goes wrong is logged, since the result is paid for either way."""
        expires = generation.expires_at()
        ends = [] if expires is None else [expires.timestamp()]
        ends += [] if self._age is None else [now + self._age]
        try:
            marks = {_PARTIAL: True} if generation.is_partial else {}
            record = to_json({**generation.raw, **marks}, inf_nan_mode="null")
            values = (key, str(generation.id), generation.kind, generation.model, record, min(ends, default=None))
            with self._lock, self._open() as database:
                database.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?)", values)
        except (sqlite3.Error, OSError, ValueError) as error:
            logger.warning("A result was not kept in the cache %s: %s", self.path, error)

    def forget(self, generation_id: GenerationId, address: str = "") -> None:
        """Forget a result, by its generation's id: it is gone, or no good.

        Args:
            generation_id: Of the generation.
            address: Only where the record names this address of a file, its query left out. Ids are those of one service,
                and a cache may be of several; "" for whatever has the id.
        """
        try:
            named = (str(generation_id), to_json(address)[1:-1])
            with self._lock, self._open() as database:
                database.execute("DELETE FROM results WHERE id = ? AND instr(record, ?)", named)
        except (sqlite3.Error, OSError, ValueError) as error:
            logger.warning("A result was not removed from the cache %s: %s", self.path, error)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            with suppress(FileExistsError):  # closed here again, one that is there would lose every lock we have on it
                os.close(os.open(os.path.realpath(self.path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            database = sqlite3.connect(self.path, timeout=_PATIENCE, check_same_thread=False)
            try:
                self._prepare(database)
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _close_for_fork(self) -> bool:
        """Close the file and keep the lock; False where a thread needs it for too long."""
        is_ours = self._lock.acquire(timeout=_PATIENCE)
        if is_ours:
            self._close()
        return is_ours

    def _begin_in_child(self) -> None:
        """Begin anew after a fork: the thread that may have the lock is not there, and a connection is the parent's."""
        if self._database is not None:
            _inherited.append(self._database)
        self._lock, self._database = threading.Lock(), None

    def _prepare(self, database: sqlite3.Connection) -> None:
        """See whose file it is, and fill a new one, in one step: others may open it at the same moment, or this one be killed."""
        database.execute("BEGIN IMMEDIATE")
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise ConfigurationError(
                f"{str(self.path)!r} is a database of something else; name another file for the cache."
            )
        if application == _APPLICATION and version != _VERSION:
            raise ConfigurationError(
                f"The cache {str(self.path)!r} is of version {version}, and this is version {_VERSION}; "
                "delete it, or name another file."
            )
        if tables:
            database.rollback()  # a commit, even of nothing, would wait for those who read
        else:
            for statement in _SCHEMA:
                database.execute(statement)
            database.commit()
        # Where others are at it, they do the same; without it, those who read and write only wait for one another.
        with suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")


_caches: WeakSet[ResultCache] = WeakSet()
_closed: list[ResultCache] = []
"""Those whose file is closed for a fork."""
_inherited: list[sqlite3.Connection] = []
"""SQLite wants a connection of before a fork neither used nor closed in the child; what could not be closed is kept."""


def _before_fork() -> None:
    """Close the files: SQLite in a child takes the locks of a connection of before for its own, and others do not see them."""
    _closed.extend(cache for cache in [*_caches] if cache._close_for_fork())


def _after_fork_in_parent() -> None:
    while _closed:
        _closed.pop()._lock.release()


def _after_fork() -> None:
    _closed.clear()
    for cache in [*_caches]:
        cache._begin_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - everywhere but on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)


def cache_of(cache: str | os.PathLike[str] | ResultCache | None) -> ResultCache | None:
    """Return the cache that is meant by an argument."""
    return cache if cache is None or isinstance(cache, ResultCache) else ResultCache(cache)


async def close_cache(cache: ResultCache) -> None:
    """Close a cache's file in a thread, whoever cancels: the last to close it writes what the log beside it still has."""
    # A limiter of its own: where all threads are busy with something else, an end does not wait for them.
    await run_to_end(cache.close, limiter=CapacityLimiter(1))


def content_key(
    request: Request,
    extra_body: Mapping[str, Any] | None,
    extra_query: Mapping[str, Any] | None,
    *,
    service: str,
    server: str,
    kind: str | None,
) -> str | None:
    """Return what names a request's result; None where it cannot be told, since a file is read while it is sent."""
    files = [] if request.form is None else [(one.name, one.file_name, one.mark) for one in request.form.files]
    if not all(mark for _, _, mark in files):
        return None
    asked = [*request.query, *query(**(extra_query or {}))]
    told = [_VERSION, service, server, kind, request.path, asked, request.whole_body(extra_body), files]
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
