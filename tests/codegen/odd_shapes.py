"""Shapes the client does not have (yet): what the generator makes of them is imported and run by its tests."""

# ruff: noqa: PLR0402, PYI016, UP007, UP037, UP045 - odd is what they are

from __future__ import annotations

import collections.abc as abc
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from typing import (
    Any,
    Generic,
    Literal,
    Optional,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    overload,
)

import anyio

T = TypeVar("T")
V = TypeVar("V")
P = ParamSpec("P")
DEFAULT = 3

OnEvent: TypeAlias = Callable[[str, int], Union[Awaitable[None], None]]
Where: TypeAlias = "str | AsyncNode[str]"


class AsyncNode(Generic[T]):
    """A node.

    Args:
        label: Not for users of the blocking side.

    Cancellation:
        Nothing.
    """

    __slots__ = ("label", "value")
    label: str

    def __init__(self, label: str, value: T) -> None:
        self.label = label
        self.value: T = value

    def __repr__(self) -> str:
        return f"<node {self.label}>"

    async def both(self) -> tuple[AsyncNode[T], int]:
        return self, 1

    async def all(self) -> tuple[AsyncNode[T], ...]:
        return self, self

    async def parent(self) -> AsyncNode[T] | None:
        """Say \\n and `await node.parent()`, "quoted" """
        return None

    async def same(self) -> Self:
        return self

    async def join(self, other: Self, *more: AsyncNode[T]) -> str:
        """Join "them\""""
        return "".join([self.label, other.label, *(one.label for one in more)])

    @property
    def me(self) -> AsyncNode[T]:
        return self


class AsyncLeaf(AsyncNode[str]):
    async def text(self) -> str:
        return self.label


class Walk(AsyncIterator[T]):
    """Returned and iterated."""

    def __init__(self, items: list[T]) -> None:
        self.items = items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if not self.items:
            raise StopAsyncIteration
        return self.items.pop(0)


class Flow:
    """Iterated as it is."""

    def __aiter__(self) -> AsyncIterator[int]:
        return Walk([1, 2])


class Stream:
    """Entered, then read."""

    def __init__(self) -> None:
        self._items = ["a", "b", "c"]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._items.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop(0)

    async def rest(self) -> str:
        return "".join(self._items)

    def letters(self) -> AsyncIterator[str]:
        return Walk([*self._items])

    def left(self) -> int:
        return len(self._items)


class Run:
    """Held open by one task while another reads it, and asks the caller for more all the while."""

    def __init__(self, items: AsyncIterable[int] | Iterable[int], on_event: OnEvent | None) -> None:
        self._given = items
        self._on = on_event
        self._done: list[int] = []

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._send, self._receive = anyio.create_memory_object_stream[int](0)
        self._tasks.start_soon(self._work)
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._receive:
            self._tasks.cancel_scope.cancel()
            await self._tasks.__aexit__(None, None, None)

    async def _work(self) -> None:
        with self._send:
            async for item in self._given if isinstance(self._given, AsyncIterable) else Walk([*self._given]):
                if self._on is not None and (told := self._on("item", item)) is not None:
                    await told
                await self._send.send(item)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class Runs:
    """A resource that is called itself."""

    def __call__(self, items: Iterable[int] | AsyncIterable[int], *, on_event: OnEvent | None = None) -> Run:
        """Begin a run."""
        return Run(items, on_event)


class _Connections:
    """What the runtime closes."""

    owner: Any = None

    def own(self, owner: Any) -> None:
        """Take note of who closes it."""
        self.owner = owner

    def keep_alive(self, owner: Any) -> None:
        """Hold on to who closes it."""

    async def aclose(self) -> None: ...


class AsyncClient:
    """A client."""

    mode: Union[None, None] = None

    def __init__(self, *, on_event: OnEvent | None = None, level: int = DEFAULT) -> None:
        self._on = on_event
        self._level = level
        self._connections = self._core = _Connections()

    @cached_property
    def root(self) -> AsyncNode[str]:
        return AsyncNode("root", "r")

    @staticmethod
    def _private() -> None: ...

    async def find(
        self,
        label: str,
        /,
        under: "AsyncNode[str] | None" = None,
        *more: str,
        mode: Literal["AsyncNode", "x"] = "x",
        **extra: Any,
    ) -> Optional[AsyncLeaf]:
        if self._on is not None and (told := self._on(label, self._level)) is not None:
            await told
        return AsyncLeaf("/".join([under.label if under else "", label, *more, mode, *extra]), "v") if label else None

    async def which(self, leaf: bool) -> AsyncLeaf | Stream:
        return AsyncLeaf("l", "v") if leaf else Stream()

    async def link(self, nodes: list[AsyncNode[str]], on_event: OnEvent | None = None) -> Mapping[str, AsyncNode[str]]:
        return {node.label: node for node in nodes}

    async def listed(self, nodes: Sequence[AsyncNode[str] | str] | None = None) -> abc.Sequence[AsyncNode[str] | str]:
        return nodes or [AsyncNode("only", "v"), "a text"]

    async def at(self, where: Where) -> str:
        return where if isinstance(where, str) else where.label

    async def send(self, data: bytes | AsyncIterable[bytes] | None) -> int:
        if data is None:
            return -1
        return len(data) if isinstance(data, bytes) else sum([len(piece) async for piece in data])

    async def count(self, data: AsyncIterator[int]) -> int:
        return sum([one async for one in data])

    @asynccontextmanager
    async def lock(self) -> AsyncGenerator[AsyncNode[str], None]:
        yield AsyncNode("locked", "v")

    def open(self) -> AbstractAsyncContextManager[int]:
        @asynccontextmanager
        async def seven() -> AsyncIterator[int]:
            yield 7

        return seven()

    async def tail(self) -> AsyncGenerator[str, None]:
        """Lines as they come."""
        yield "a"

    async def late(self) -> AsyncIterator[int]:
        return Walk([1])

    def walk(self) -> Walk[bytes]:
        return Walk([b"w"])

    async def gather(self) -> list[int]:
        async def inner() -> AsyncIterator[int]:
            yield 1

        return [one async for one in inner()]

    async def retrying(self, call: Callable[P, Awaitable[V]], *args: P.args, **kwargs: P.kwargs) -> V:
        return await call(*args, **kwargs)

    @overload
    async def make(self, kind: Literal["int"]) -> int: ...
    @overload
    async def make(self, kind: Literal["node"]) -> AsyncNode[str]: ...
    async def make(self, kind: Literal["int", "node"]) -> int | AsyncNode[str]:
        """Make one."""
        return 1 if kind == "int" else AsyncNode("made", "v")

    def stream(self) -> Stream:
        return Stream()

    def flow(self) -> Flow:
        return Flow()

    @property
    def run(self) -> Runs:
        return Runs()

    async def forget(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None: ...
