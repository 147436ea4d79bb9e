"""What was generated so far: `history` (list, export, report) and `archive`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from .arguments import AsJson, BaseUrl, Favorites, OfKind, OfModel, read_path
from .exit_codes import FAILED
from .session import CommandSession, plain_values

if TYPE_CHECKING:
    from typer._click import Context
    from typer._click.shell_completion import CompletionItem

    from .._archive.results import ArchiveProgress, ArchiveResult
    from .._client import AsyncNeuralBox
    from .._models.generation import Generation
    from .views import Meter

_PROMPT_SHOWN = 60
_SHOWN_FAILURES = 5

Status = Annotated[str | None, typer.Option("--status", help="completed, pending, failed.")]


class _ListByDefault(TyperGroup):
    """`neuralbox history --limit 5` is `neuralbox history list --limit 5`, also behind options that every command takes."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        found, rest, _ = self.make_parser(ctx).parse_args([*args])
        is_open = ctx.resilient_parsing and not rest  # a shell completes, and the next word may be another command
        if not is_open and "help" not in found and self.commands.keys().isdisjoint(rest[:1]):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        known = {item.value for item in found}
        return found + [
            each for each in self.commands["list"].shell_complete(ctx, incomplete) if each.value not in known
        ]


history = typer.Typer(
    cls=_ListByDefault,
    help="List, export or report what was generated.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"ignore_unknown_options": True},  # they are those of `list`
)


@history.command("list")
def listing(
    type: OfKind = None,
    model: OfModel = None,
    status: Status = None,
    favorites: Favorites = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """List what was generated, newest first; what `neuralbox history` does by itself."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        items: list[Generation] = []
        async for item in nb.history.list(
            type=type,
            model=model,
            status=status,
            favorites_only=True if favorites else None,
            page_size=min(limit, 100),
            max_items=limit,
        ):
            session.write_record(plain_values(item))
            items.append(item)
        show_rows(items, session)

    CommandSession(json, base_url).run(work)


def show_rows(items: Sequence[Generation], session: CommandSession) -> None:
    """Print generations as a table; nothing where JSON is wanted."""
    if not items:
        session.print_status("Nothing found.")
    elif not session.as_json:
        from .views import show_table

        show_table(
            ("id", "status", "kind", "model", "tokens", "created", "prompt"),
            [_row(item) for item in items],
            dispensable=("created", "kind", "tokens", "prompt", "model"),
        )


def _row(item: Generation) -> tuple[str, ...]:
    prompt = " ".join((item.prompt or "").split())
    shown = prompt if len(prompt) <= _PROMPT_SHOWN else prompt[: _PROMPT_SHOWN - 1] + "…"
    created = "" if item.created_at is None else f"{item.created_at:%Y-%m-%d %H:%M}"
    tokens = "" if item.tokens is None else str(item.tokens)
    return str(item.id), item.status, item.kind or "", item.model or "", tokens, created, shown


@history.command()
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl|FILE.csv", parser=read_path, help="Where to; the ending says how.")
    ],
    type: OfKind = None,
    model: OfModel = None,
    status: Status = None,
    favorites: Favorites = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; default: all.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    raw_text: Annotated[
        bool, typer.Option("--raw-text", help="In a table, leave as they are the texts that a spreadsheet would run.")
    ] = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Write the history into one file: JSON lines with every field, or a table for spreadsheets."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        with session.measured("exporting"):
            done = await nb.history.export(
                file,
                type=type,
                model=model,
                status=status,
                favorites_only=True if favorites else None,
                max_items=limit,
                overwrite=overwrite,
                escape_formulas=not raw_text,
            )
        session.print_text(str(done.path))
        session.write_record({"path": str(done.path), "items": done.items, "bytes": done.bytes})
        session.print_status(f"{done.items} generations, {done.bytes / 1e6:.1f} MB")

    CommandSession(json, base_url).run(work)


@history.command()
def report(
    target: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE.html", parser=read_path, help="The page; replaced if it is there."
        ),
    ] = Path("history.html"),
    type: OfKind = None,
    model: OfModel = None,
    status: Status = None,
    favorites: Favorites = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1_000,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Write one HTML page about what was generated: pictures, prompts, prices, tokens by model and day."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        from .._report import write_history_report

        with session.measured("reporting"):
            path = await write_history_report(
                nb,
                target,
                type=type,
                model=model,
                status=status,
                favorites_only=True if favorites else None,
                limit=limit,
            )
        session.print_text(str(path))
        session.write_record({"path": str(path), "bytes": path.stat().st_size})

    session = CommandSession(json, base_url)
    with session.plain_words("report"):
        session.run(work)


def archive(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", parser=read_path, help="Where to; run again to add what is new.")
    ],
    type: OfKind = None,
    model: OfModel = None,
    favorites: Favorites = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the hashes of the files that are there.")] = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Mirror all results of the history into a directory, those nearest to expiry first."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> int:
        with archived_on(session) as show:
            done = await nb.history.archive(
                directory,
                type=type,
                model=model,
                favorites_only=True if favorites else None,
                verify=verify,
                on_progress=show.step,
            )
        show.result(done)
        return FAILED if done.failed else 0

    CommandSession(json, base_url).run(work)


@contextmanager
def archived_on(session: CommandSession) -> Iterator[ArchiveView]:
    """Show how far an archive is for as long as the block lasts."""
    session.paid.advice = "What is saved stays; the same command goes on."
    with session.measured("archiving") as meter:
        yield ArchiveView(session, meter)


@dataclass(frozen=True, slots=True)
class ArchiveView:
    """What a command shows of an archive."""

    session: CommandSession
    meter: Meter

    def step(self, seen: ArchiveProgress) -> None:
        """Show how far it is."""
        words = f"{seen.saved} saved, {seen.kept} kept, {seen.failed} failed, {seen.bytes / 1e6:.1f} MB"
        self.meter.show(seen.done, seen.total, words)

    def result(self, done: ArchiveResult) -> None:
        """Print what it came to."""
        names = ("listed", "saved", "kept", "expired", "skipped", "failed", "bytes")
        counts = {name: getattr(done, name) for name in names}
        failures = [{"id": each.job.id, "error": each.error, "message": each.message} for each in done.failures]
        session = self.session
        session.print_text(str(done.manifest))
        session.write_record(
            {"directory": str(done.directory), "manifest": str(done.manifest), **counts, "failures": failures}
        )
        session.print_status(", ".join(f"{count} {name}" for name, count in counts.items()))
        for failure in done.failures[:_SHOWN_FAILURES]:
            session.print_problem(str(failure))
        if done.failed:
            session.print_status("Run it again to try those that failed once more.")
