"""`neuralbox geminigen`: the history of the other service, with a key of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import NeuralBoxError
from .arguments import AsJson, read_path
from .errors import sentence_of
from .exit_codes import FAILED, FAILED_GENERATION
from .history import archived_on, show_rows
from .saving import NameBy, Output, Replace, Saving, To
from .session import CommandSession

if TYPE_CHECKING:
    from ..geminigen import AsyncGeminiGen, HistoryItem

geminigen = typer.Typer(
    no_args_is_help=True,
    help="The history of GeminiGen; its key is GEMINIGEN_API_KEY, or that of `login --service geminigen`.",
    add_completion=False,
    rich_markup_mode=None,
)

Which = Annotated[str, typer.Option("--filter", metavar="WORD", help="all, image, video, or another word it knows.")]
GeminiUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Where it is; default: GEMINIGEN_BASE_URL.")
]


@geminigen.command()
def history(
    filter: Which = "all",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    json: AsJson = False,
    base_url: GeminiUrl = None,
) -> None:
    """List what was generated."""

    async def work(gg: AsyncGeminiGen, session: CommandSession) -> None:
        items = []
        async for item in gg.history.list(filter_by=filter, items_per_page=min(limit, 100), max_items=limit):
            session.write_record(_values(item))
            items.append(item.to_generation())
        show_rows(items, session)

    CommandSession(json, base_url).run_gemini(work)


@geminigen.command()
def get(
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="A record's uuid, as `history` shows it.")],
    to: To = None,
    target: Output = None,
    name_by: NameBy = None,
    overwrite: Replace = False,
    json: AsJson = False,
    base_url: GeminiUrl = None,
) -> None:
    """Show one generation, and download its file if asked to."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        saving = Saving.of(session, to, target, name_by, replace=overwrite, otherwise="skip")

    async def work(gg: AsyncGeminiGen, session: CommandSession) -> int:
        item = await gg.history.get(uuid)
        generation = item.to_generation()
        path = None
        if saving.fetches(generation):
            try:
                path = str(await saving.save(gg, session, generation))
            except NeuralBoxError as error:
                session.write_record(_values(item) | {"not_saved": sentence_of(error, session.paid)})
                raise
        session.write_record(_values(item) | ({} if path is None else {"path": path}))
        if not session.as_json:
            names = ("id", "status", "kind", "model", "prompt", "url", "error", "created_at")
            session.print_fields({name: getattr(generation, name) for name in names} | {"path": path})
        return FAILED_GENERATION if generation.is_failed else 0

    session.paid.saving_options += saving.repeated
    session.run_gemini(work)


@geminigen.command()
def archive(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", parser=read_path, help="Where to; run again to add what is new.")
    ],
    filter: Which = "all",
    verify: Annotated[bool, typer.Option("--verify", help="Compare the hashes of the files that are there.")] = False,
    json: AsJson = False,
    base_url: GeminiUrl = None,
) -> None:
    """Mirror all results into a directory."""

    async def work(gg: AsyncGeminiGen, session: CommandSession) -> int:
        with archived_on(session) as show:
            done = await gg.history.archive(directory, filter_by=filter, verify=verify, on_progress=show.step)
        show.result(done)
        return FAILED if done.failed else 0

    CommandSession(json, base_url).run_gemini(work)


def _values(item: HistoryItem) -> dict[str, Any]:
    found: dict[str, Any] = _without_raw(item.model_dump(mode="json", exclude_none=True))
    return found


def _without_raw(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_raw(inner) for name, inner in value.items() if name != "raw"}
    return [_without_raw(inner) for inner in value] if isinstance(value, list) else value
