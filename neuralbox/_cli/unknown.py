"""What became of paid requests that nobody knows: `neuralbox reconcile`, `keep`, `batch settle`, and what messages say of them.

A message names the generations that may be the request's (id, time, model) as far as they are known, and the command that
comes next.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .._config import journal_from_environment
from .._errors import ConfigurationError
from .._types import read_id
from . import output
from .arguments import AsJson, BaseUrl
from .errors import candidate_line, candidate_values
from .exit_codes import UNKNOWN
from .journal_place import Journal, Place, read_place, shown
from .session import CommandSession

if TYPE_CHECKING:
    from .._batch.unknown import UnknownRequest
    from .._client import AsyncNeuralBox
    from .._models.generation import Generation

_MOST_CANDIDATES: Final = 8
_MOST_REQUESTS: Final = 20


def reconcile(journal: Journal, json: AsJson = False, base_url: BaseUrl = None) -> None:
    """Look in the history for the requests of a journal whose answers were lost; sends nothing new."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> int:
        from .._base_client import core_of
        from .._batch.unknown import reconcile_journal

        found = await reconcile_journal(core_of(nb), journal)
        for request in found:
            session.write_record(_record_of(journal, request, session.paid.options))
            session.print_text("\t".join(map(output.joined, _row_of(request))))
        adopted, absent = sum(each.job is not None for each in found), sum(each.is_absent for each in found)
        still = [each for each in found if each.job is None and not each.is_absent]
        for request in still:
            for line in decision_lines(journal, request.key, request.candidates, session.paid.options):
                session.print_problem(line)
        session.print_status(f"{adopted} found, {absent} never accepted, {len(still)} open.")
        if adopted or absent:
            session.print_status(f"To continue:  {resume_command(journal, session.paid.options)}")
        return UNKNOWN if still else 0

    CommandSession(json, base_url).run(work)


def keep(journal: Journal, json: AsJson = False, base_url: BaseUrl = None) -> None:
    """Wait for all jobs of a shared journal's account, and look for its lost answers, whenever no worker does; until Ctrl-C."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        from .._base_client import core_of
        from .._batch.keeper import keep_account

        session.print_status(f"Keeping the account of {shown(journal)} whenever nobody else does (Ctrl-C stops).")
        await keep_account(core_of(nb), journal)

    CommandSession(json, base_url).run(work)


def settle(
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="[JOURNAL] KEY", help="The journal, else that of NEURALBOX_JOURNAL, and a request's key."
        ),
    ],
    adopt: Annotated[str | None, typer.Option("--adopt", metavar="ID", help="This generation is its own.")] = None,
    resend: Annotated[bool, typer.Option("--resend", help="Send it again; it may be paid twice.")] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="Let it end as failed.")] = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Decide about a request of which nobody knows whether it was accepted; sends nothing."""
    session = CommandSession(json, base_url)
    *journals, key = named
    place = journals or [journal_from_environment()]
    with session.plain_words():
        if len(place) != 1 or not place[0]:
            raise ConfigurationError("Name the journal, or set NEURALBOX_JOURNAL, and one request of it by its key.")
        journal = read_place(place[0])
        if (adopt is not None) + resend + give_up != 1:
            raise ConfigurationError("Decide on one of --adopt ID, --resend and --give-up.")

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        from .._base_client import core_of
        from .._batch.unknown import settle as settle_request

        chosen = None if adopt is None else read_id(adopt)
        ref = await settle_request(core_of(nb), journal, key, adopt=chosen, resend=resend)
        decision = "resend" if resend else "give up" if ref is None else "adopt"
        session.write_record({"key": key, "decision": decision, "id": None if ref is None else ref.id})
        if ref is not None:
            session.print_text(output.joined(f"{key} is {ref.id} from now on."))
        elif resend:
            session.print_text(output.joined(f"{key} is sent again by the next run."))
            session.print_problem("If it was accepted after all, it is paid twice.")
        else:
            session.print_text(output.joined(f"{key} is given up, and ends as failed; it may have been charged."))
        if not give_up:
            session.print_status(f"To continue:  {resume_command(journal, session.paid.options)}")

    session.run(work)


# What is said of open ones.


def decision_lines(journal: Place, key: str, candidates: Sequence[Generation], options: Sequence[str]) -> Iterator[str]:
    """Yield the lines that name what may be an open request's, and the commands that decide, with the caller's options."""
    for each in islice(candidates, _MOST_CANDIDATES):
        yield output.joined(f"{key} may be {candidate_line(each)}.")
    if len(candidates) > _MOST_CANDIDATES:
        yield output.joined(f"{key} may be one of {len(candidates) - _MOST_CANDIDATES} more; --json names all.")
    yield f"To decide:  {_settle_command(journal, key, candidates, options)}  (or --resend, or --give-up)"


def decision_values(
    journal: Place, key: str, candidates: Sequence[Generation], options: Sequence[str]
) -> dict[str, Any]:
    """Return the same as JSON."""
    return {"candidates": candidate_values(candidates), "next": _settle_command(journal, key, candidates, options)}


def _settle_command(journal: Place, key: str, candidates: Sequence[Generation], options: Sequence[str]) -> str:
    """Return the command that adopts; with its id where there is one candidate."""
    from .._batch.progress_words import settle_command

    only = str(candidates[0].id) if len(candidates) == 1 else None
    return output.joined(settle_command(shown(journal), key, only, options))


def resume_command(journal: Place, options: Sequence[str]) -> str:
    """Return the command that continues a batch, with the caller's own options."""
    return output.joined(f"neuralbox batch resume {shlex.join([shown(journal), *options])}")


def reconcile_command(journal: Place, options: Sequence[str]) -> str:
    """Return the command that looks for what is open."""
    return f"neuralbox reconcile {shlex.join([shown(journal), *options])}"


def unknown_records(journal: Place, options: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the open requests of a journal that nobody runs: as JSON, and the lines that name them."""
    from .._journal import SENDING, read_records

    records, lines = [], []
    for record in islice(read_records(journal, states=(SENDING,)), _MOST_REQUESTS):
        model = (record.claim or {}).get("model")
        at = None if record.sent_at is None else datetime.fromtimestamp(record.sent_at, UTC)
        command = _settle_command(journal, record.key, (), options)
        records.append({"key": record.key, "model": model, "sent_at": record.sent_at, "next": command})
        said = "" if at is None else f", sent {at:%Y-%m-%d %H:%M:%S} UTC"
        lines.append(output.joined(f"{record.key}: unknown whether it was accepted ({model}{said}):  {command}"))
    if records:
        lines.append(f"To look for them in the history:  {reconcile_command(journal, options)}")
    return records, lines


def _record_of(journal: Place, request: UnknownRequest, options: Sequence[str]) -> Mapping[str, Any]:
    state = "adopted" if request.job is not None else "absent" if request.is_absent else "open"
    known: dict[str, Any] = {"key": request.key, "state": state, "id": None if request.job is None else request.job.id}
    if state != "open":
        return known
    more = {"kind": request.kind, "model": request.model, "sent_at": request.sent_at, "why": request.why}
    return known | more | decision_values(journal, request.key, request.candidates, options)


def _row_of(request: UnknownRequest) -> tuple[str, str, str]:
    if request.job is not None:
        return request.key, "adopted", str(request.job.id)
    if request.is_absent:
        return request.key, "absent", "never accepted; the next run sends it"
    return request.key, "open", request.why
