"""What the generated classes stand on, and every function their one-line bodies call."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self, TypeVar, cast

from .._api.elsewhere import no_attribute
from .._base_client import core_of, transports_of
from .._errors import ConfigurationError
from .._models.generation import Model
from .._models.raw import RawResponse
from .._paging import Pager
from .._types import BoundToProcess
from ._call import BlockingCall, call, callback, feed
from ._iteration import Items, PagedItems, iterate
from ._loop import thread
from ._manager import Entered, manage

__all__ = [
    "Facade",
    "Items",
    "Root",
    "Streaming",
    "call",
    "callback",
    "feed",
    "iterate",
    "iterate_pages",
    "manage",
    "manage_raw",
    "unwrap",
    "unwrap_all",
    "with_view",
]

A = TypeVar("A")
T = TypeVar("T")
V = TypeVar("V")
S = TypeVar("S", bound="Streaming[Any, Any]")


class Facade(BoundToProcess, Generic[A]):
    """A blocking view of one async object; it owns nothing."""

    _async: A

    @classmethod
    def of(cls, obj: A) -> Self:
        """Return the blocking view of an async object."""
        view = cls.__new__(cls)
        view._async = obj
        return view

    def __repr__(self) -> str:
        name, shown = type(self._async).__name__, repr(self._async)
        state = shown.removeprefix(f"<{name}")
        return f"<{type(self).__name__}{'>' if state == shown else state}"

    def _repr_html_(self) -> str | None:
        """Show in a notebook what the async object shows; None lets IPython take `repr`."""
        show = getattr(type(self._async), "_repr_html_", None)
        return None if show is None else cast("str", show(self._async))

    def _ipython_display_(self) -> None:
        """Show it in a notebook and keep that up to date, where the async object can."""
        show = getattr(type(self._async), "_ipython_display_", None)
        if show is None:
            raise NotImplementedError
        show(self._async, thread.post)

    # To a type checker a name that is not there stays an error.
    if not TYPE_CHECKING:  # pragma: no branch

        def __getattr__(self, name: str) -> NoReturn:
            raise no_attribute(self, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Facade) and self._async is other._async

    def __hash__(self) -> int:
        return hash(id(self._async))


class Lease:
    """Keeps a client's connections open for as long as anything of it is in use, and closes them after.

    The client holds it, and so does whatever it returned (through the core they share): a resource or a job may outlive
    the client it came from, as in `NeuralBox().text.create(...)`.
    """

    is_held = False  # also of one whose making was interrupted

    def __init__(self, client: Any) -> None:
        self.name = type(client).__name__.removeprefix("Async")
        self.connections = transports_of(client)
        self.connections.own(self)
        thread.open.add(self.connections)
        self.is_held = True

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # May run in any thread, the loop's own included, so it never waits. At exit it may run after everything else
        # in this module is gone, so what tells that is bound here.
        if self.is_held and not is_finalizing() and thread.loop is not None:
            # Posted first: where warnings are errors, the next line ends here.
            thread.post(BlockingCall(self.connections.aclose).start)
            warnings.warn(f"A {self.name} was not closed; use `with`.", ResourceWarning, source=self, stacklevel=2)


class Root(Facade[A]):
    """A client: it owns connections, and says so when it is dropped without being closed."""

    def __init__(self, obj: A) -> None:
        self._async = obj
        self._lease = Lease(obj)
        core_of(cast("Any", obj)).keep_alive(self._lease)

    _lease: Lease | None  # None for the view of an async client that was not made here

    @classmethod
    def of(cls, obj: A) -> Self:
        """Return the blocking view of an async client: of a copy, or of one that is closed by whoever made it."""
        view = super().of(obj)
        client = cast("Any", obj)
        view._lease = cast("Lease | None", transports_of(client).owner)
        core_of(client).keep_alive(view._lease)
        return view

    def __enter__(self) -> Self:
        call(cast("Any", self._async).__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, those of copies included; a closed client sends nothing more.

        Entering `with` again opens it again. A user's own `http_client` is left open.
        """
        if self._lease is not None:
            self._lease.is_held = False
        if thread.is_current:  # nobody can wait there
            thread.post(BlockingCall(cast("Any", self._async).aclose).start)
        elif not thread.exiting or thread.loop is not None:  # else the exit has closed it
            call(cast("Any", self._async).aclose)


class Streaming(Facade[A], Generic[A, T]):
    """A view that is entered, iterated, and holds a connection until it is left."""

    # How far it is read in front of its reader; 1 where what is taken and never handed on would be missed.
    _ahead: ClassVar[int] = 256
    _entered: Entered | None = None
    _items: Items[T] | None = None

    def __enter__(self) -> Self:
        if self._entered is not None:
            raise ConfigurationError("The stream's block has been entered already.")
        self._entered = Entered(cast("Any", self._async))
        try:
            self._entered.enter()
        except BaseException:
            self._entered = None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._items is not None:
                self._items.close()
        finally:
            if self._entered is not None:
                self._entered.exit(kind, error, trace)
            self._entered = None  # last: what an interrupt leaves here is left when this is dropped

    def __iter__(self) -> Items[T]:
        if self._items is None:
            self._items = Items(cast("Any", self._async), self._ahead)
            if self._entered is not None:
                self._entered.read_by(self._items.reader)
        return self._items

    def __next__(self) -> T:
        return next(iter(self))

    def _unread(self) -> A:
        """Return the async object, for calls that read it themselves: items that were read ahead would be missing there."""
        if self._items is not None and self._items.is_open:
            raise ConfigurationError("The stream is half read; go on iterating, or leave its block.")
        return self._async

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # Dropped inside its block: the task that holds it open is told to leave, without waiting for it.
        if self._entered is not None and not is_finalizing():
            self._entered.abandon()


# Between the two sides.


def unwrap(value: Any) -> Any:
    """Return the async object behind a view; anything else as it is."""
    return value._async if isinstance(value, Facade) else value


def unwrap_all(values: Iterable[Any]) -> list[Any]:
    """Do the same for each of several; the iterable is read here, in the caller's thread.

    What is no iterable, or one of letters or fields only, is left as it is: the async side says what is wrong with it.
    """
    if isinstance(values, str | bytes | Model) or not isinstance(values, Iterable):
        return cast("list[Any]", values)
    return [unwrap(value) for value in values]


def with_view(response: RawResponse[A], view: Callable[[A], V]) -> RawResponse[V]:
    """Return a raw response whose value is the blocking view of what it was."""
    return replace(cast("RawResponse[Any]", response), value=view(response.value))


@contextmanager
def manage_raw(
    manager: AbstractAsyncContextManager[RawResponse[A]], view: Callable[[A], S]
) -> Iterator[RawResponse[S]]:
    """Use a stream with its opening reply in a `with` block: the view is left as one that was entered by itself."""
    entered = Entered(manager)
    response = with_view(entered.enter(), view)
    response.value._entered = entered
    try:
        yield response
    finally:
        response.value.__exit__(*sys.exc_info())


def iterate_pages(pager: Pager[T]) -> Items[T]:
    """Iterate over all items of a listing."""
    return PagedItems(pager.pages(), pager.max_items)
