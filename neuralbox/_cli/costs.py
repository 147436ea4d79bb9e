"""`neuralbox costs`: what the history comes to, in rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import ConfigurationError
from . import output
from .arguments import AsJson, BaseUrl, OfKind, OfModel
from .session import CommandSession

if TYPE_CHECKING:
    from .._archive.summary import HistorySummary, SummaryRow
    from .._client import AsyncNeuralBox

_GROUPS = "model,day,kind,status"
_ALWAYS = ("count", "tokens")
_WHERE_ANY = ("failed", "pending", "unpriced", "credits", "rated", "rating")


def costs(
    by: Annotated[str, typer.Option("--by", metavar="GROUPS", help="Some of service,model,day,kind,status.")] = _GROUPS,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Only from then on, such as 2026-03-01 (UTC).")
    ] = None,
    type: OfKind = None,
    model: OfModel = None,
    gemini: Annotated[
        bool,
        typer.Option(
            "--geminigen", help="GeminiGen's history as well; the key is GEMINIGEN_API_KEY, or the one that is kept."
        ),
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print a table for spreadsheets.")] = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Show what was generated and what it cost, by model, day, kind and state; failed and rated ones included."""
    groups = [word.strip() for word in by.split(",") if word.strip()]

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        if csv and json:
            raise ConfigurationError("Pass --json or --csv, not both.")
        start = _time(since)
        if gemini:
            found = await _of_both(nb, session, groups, start, filtered=bool(type or model))
        else:
            found = await nb.history.summary(by=groups, since=start, type=type, model=model)
        for row in found:
            session.write_record({name: value for name, value in row.to_dict().items() if value is not None})
        if csv:
            output.write_result(found.to_csv(), end="")
        elif not json:
            _show(found, session)

    CommandSession(json, base_url).run(work)


async def _of_both(
    nb: AsyncNeuralBox, session: CommandSession, groups: list[str], start: datetime | None, *, filtered: bool
) -> HistorySummary:
    from .._merged_history import history_of
    from ..geminigen import AsyncGeminiGen

    if filtered:
        raise ConfigurationError("--geminigen shows all of both services: leave --type and --model out.")
    other = CommandSession(session.as_json)  # `--base-url` says where NeuralBox is
    where = other.base_url_of("geminigen")
    async with AsyncGeminiGen(api_key=other.key_for("geminigen", where), base_url=where) as gg:
        return await history_of(nb, gg, since=start, prefetch=4).summary(by=groups)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--since must be a date such as 2026-03-01; it is {text!r}.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _show(found: HistorySummary, session: CommandSession) -> None:
    from .views import show_table

    if not found.rows:
        session.print_status("Nothing found.")
        return
    shown = [name for name in _WHERE_ANY if getattr(found.total, name)]
    names = (*found.by, _ALWAYS[0], *(name for name in shown if name in ("failed", "pending")), "tokens")
    names += tuple(name for name in shown if name not in names)
    # What it cost is the last thing to go, and what a row is at all stays.
    dispensable = [
        name for name in ("rating", "rated", "unpriced", "pending", "kind", "status", "day") if name != names[0]
    ]
    show_table(names, [_cells(row, names) for row in found.rows], dispensable=dispensable)
    total = found.total
    charged = f"{total.tokens:,} tokens" + (f", {total.credits:,g} credits" if total.credits else "")
    session.print_status(f"{total.count:,} generations, {total.failed:,} failed, {charged}")


def _cells(row: SummaryRow, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_cell(getattr(row, name)) for name in names)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value or "")
