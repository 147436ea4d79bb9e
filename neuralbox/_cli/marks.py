"""What becomes of a generation in the history: `favorite`, `rate`, `delete`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import ConfigurationError, NeuralBoxError
from .._types import GenerationId, read_id
from . import output
from .arguments import AsJson, BaseUrl
from .errors import Failures
from .session import CommandSession

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of generations.")]


def favorite(ids: Ids, json: AsJson = False, base_url: BaseUrl = None) -> None:
    """Toggle the favourite mark: what has it loses it."""

    async def toggle(nb: AsyncNeuralBox, id: GenerationId) -> tuple[str, dict[str, object]]:
        is_favorite = await nb.history.favorite(id)
        said = {True: "is a favourite now", False: "is no favourite any more", None: "has its mark changed"}
        return said[is_favorite], {"is_favorite": is_favorite}

    _each(ids, toggle, CommandSession(json, base_url))


def rate(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of a generation.")],
    rating: Annotated[int, typer.Argument(metavar="N", help="A whole number, such as 5.")],
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Rate a generation."""

    async def give(nb: AsyncNeuralBox, id: GenerationId) -> tuple[str, dict[str, object]]:
        await nb.history.rate(id, rating)
        return f"is rated {rating}", {"rating": rating}

    _each([id], give, CommandSession(json, base_url))


def delete(
    ids: Ids,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where nobody could answer.")] = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Delete generations from the history; nothing brings them back."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        if not yes:
            if sys.stdin is None or not sys.stdin.isatty():
                raise ConfigurationError("Nothing brings back what is deleted: say --yes. Nothing was deleted.")
            typer.confirm(f"Delete {len(ids)} of the history for good?", abort=True, err=True)

    async def remove(nb: AsyncNeuralBox, id: GenerationId) -> tuple[str, dict[str, object]]:
        await nb.history.delete(id)
        return "is deleted", {"deleted": True}

    _each(ids, remove, session)


def _each(
    ids: list[str],
    act: Callable[[AsyncNeuralBox, GenerationId], Awaitable[tuple[str, dict[str, object]]]],
    session: CommandSession,
) -> None:
    async def work(nb: AsyncNeuralBox, session: CommandSession) -> int:
        failures = Failures(session.paid)
        for text in ids:
            try:
                said, values = await act(nb, read_id(text))
            except NeuralBoxError as error:
                why = failures.add(error)
                session.write_record({"id": read_id(text), "error": type(error).__name__, "message": why})
                session.print_problem(f"{text}: {why}")
                continue
            session.print_text(output.joined(f"{text} {said}"))
            session.write_record({"id": read_id(text)} | values)
        return failures.code

    session.run(work)
