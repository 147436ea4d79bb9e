"""`neuralbox batch`: many requests from a file, with a journal that any later run continues.

There is always a journal: a batch that is stopped, by Ctrl-C or by the machine, has paid for things. Ctrl-C once ends
it in good order - what is on its way gets some seconds to be written down - and twice at once.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .._batch.progress_words import NOT_SENT, not_sent_line, phrases, worker_phrases
from .._errors import ConfigurationError, SubmissionUnknownError
from . import output
from .arguments import AsJson, BaseUrl, PollInterval, limit_of, read_path
from .batch_settings import BatchSettings, recall, remember
from .errors import Failures
from .exit_codes import INTERRUPTED, USAGE
from .journal_place import Journal, JournalOption, Place, page_of, shown
from .request_file import RequestFile, copied_input, open_requests
from .saving import NameBy, To
from .session import CommandSession
from .unknown import decision_lines, decision_values, resume_command, settle, unknown_records

if TYPE_CHECKING:
    from .._batch.outcome import BatchEstimate, BatchOutcome
    from .._batch.progress import BatchProgress
    from .._client import AsyncNeuralBox
    from .views import Meter

batch = typer.Typer(
    no_args_is_help=True,
    help="Many requests at once, with a journal that survives everything.",
    add_completion=False,
    rich_markup_mode=None,
)

batch.command()(settle)

_LONG = 10_000  # requests that take more than a moment to be written down

Budget = Annotated[int | None, typer.Option("--budget", min=0, metavar="TOKENS", help="Most tokens to spend in all.")]
JobTimeout = Annotated[float | None, typer.Option("--timeout", min=0.0, help="Seconds for each job; default 600.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Send again what failed in an earlier run.")]


MaxSending = Annotated[
    int | None, typer.Option("--max-sending", min=1, metavar="N", help="Submissions at once; default 64.")
]
MaxDownloads = Annotated[
    int | None, typer.Option("--max-downloads", min=1, metavar="N", help="Downloads at once; default 8.")
]
MaxInFlight = Annotated[
    int | None,
    typer.Option("--max-in-flight", min=1, metavar="N", help="Requests read and not yet printed; default 1000."),
]


@dataclass(frozen=True, slots=True)
class _RunArguments:
    """What one run was told.

    Attributes:
        requests: What to send; None for what the journal has left.
        journal: The journal: its file or its address.
        settings: Where the files go, and what may be spent.
        timeout: Seconds for each job, or None for the client's.
        retry_failed: Whether what failed is sent again.
        bounds: `max_sending`, `max_downloads` and `max_in_flight`, those that were told.
        repeated: The caller's own options that a command which goes on repeats.
    """

    requests: RequestFile | None
    journal: Place
    settings: BatchSettings
    timeout: float | None
    retry_failed: bool
    bounds: Mapping[str, Any]
    repeated: Sequence[str]

    @property
    def resume(self) -> str:
        """The command that continues this run as it was told."""
        return resume_command(self.journal, self.repeated)

    @property
    def unread(self) -> str:
        """What to do about requests that are not in the journal."""
        return _unread(self.journal, self.repeated)


@dataclass(frozen=True, slots=True)
class _RunOptions:
    """The options of `run` and `resume` as they were given; see there."""

    to: Path | None
    name_by: str | None
    budget: int | None
    timeout: float | None
    retry_failed: bool
    bounds: tuple[int | None, int | None, int | None]

    def arguments(self, session: CommandSession, requests: RequestFile | None, journal: Place) -> _RunArguments:
        """Complete them by what the journal remembers, and then by the user's settings.

        Raises:
            ConfigurationError: The files would go, or be called, as they may not.
        """
        known = session.settings
        settings = recall(journal).changed(self.to, self.name_by, self.budget)
        if settings.to is None and known.to is not None:
            settings = replace(settings, to=os.path.abspath(known.to))  # noqa: PTH100 - as in `changed`
        if settings.name_by is None:
            settings = replace(settings, name_by=known.name_by)
        if isinstance(journal, str):
            settings.require_unicode()
        names = ("max_sending", "max_downloads", "max_in_flight")
        bounds = {
            name: bound
            for name, given in zip(names, self.bounds, strict=True)
            if (bound := getattr(known, name) if given is None else given) is not None
        }
        said: list[tuple[str, object]] = [("--to", self.to), ("--name-by", self.name_by), ("--budget", self.budget)]
        said += [(f"--{name.replace('_', '-')}", given) for name, given in zip(names, self.bounds, strict=True)]
        repeated = [part for option, value in said if value is not None for part in (option, str(value))]
        repeated += ["--retry-failed"] if self.retry_failed else []
        limit = session.limit(self.timeout)
        repeated += [*session.paid.wait_options, *session.paid.options]
        return _RunArguments(requests, journal, settings, limit, self.retry_failed, bounds, repeated)


@batch.command()
def run(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            parser=read_path,
            help="Requests, one JSON object a line, or a table (.csv); - reads standard input.",
        ),
    ],
    format: Annotated[
        Literal["jsonl", "csv"] | None, typer.Option("--format", help="Default: by the name's ending, else jsonl.")
    ] = None,
    journal: JournalOption = None,
    to: To = None,
    name_by: NameBy = None,
    budget: Budget = None,
    timeout: JobTimeout = None,
    poll_interval: PollInterval = None,
    max_sending: MaxSending = None,
    max_downloads: MaxDownloads = None,
    max_in_flight: MaxInFlight = None,
    retry_failed: RetryFailed = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "--estimate", help="Check all requests and show what they would cost.")
    ] = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Send the requests of a file, wait for all, download them; the same command again continues."""
    session = CommandSession(json, base_url, poll_interval)
    told = _RunOptions(to, name_by, budget, timeout, retry_failed, (max_sending, max_downloads, max_in_flight))
    is_input = str(file) == "-"
    with session.plain_words(), copied_input() if is_input else nullcontext(file) as source:
        called = Path("standard input") if is_input else file
        if not is_input:
            _require_file(file)
        is_table = file.suffix.lower() == ".csv" if format is None else format == "csv"
        requests = open_requests(called, source, is_table=is_table, is_shared=isinstance(journal, str))
        if journal is None and not dry_run and (is_input or requests.count is None):
            raise ConfigurationError(f"{called} is no regular file: name the journal with --journal.")
        place: Place = journal or file.with_suffix(".sqlite")
        is_file = isinstance(place, Path)
        _report_problems(requests, session, is_fatal=not dry_run, is_resumed=not is_file or Path(place).exists())
        if dry_run:
            session.run(partial(_estimate, requests=requests, budget=budget))
        else:
            arguments = told.arguments(session, requests, place)
            session.run(partial(_carry_out, arguments=arguments))


@batch.command()
def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", parser=read_path, help="Requests, as for `run`.")],
    journal: JournalOption = None,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Write a file's requests into a shared journal; each `batch resume` of it then takes its part. Needs no key."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        from time import time

        from .._batch.planning import plan as plan_requests
        from .._config import ClientOptions

        if journal is None or isinstance(journal, Path):
            raise ConfigurationError("Name a journal that many can share: --journal postgresql://host/db#run")
        _require_file(file)
        requests = open_requests(file, file, is_table=file.suffix.lower() == ".csv", is_shared=True)
        _report_problems(requests, session, is_fatal=True, is_resumed=False)
        service = ClientOptions(base_url=session.base_url_of("neuralbox")).base_url
        new, known = plan_requests(journal, requests, service=service, now=time())
        session.write_record({"planned": new, "known": known})
        session.print_text(f"{new} planned, {known} known already.")
        session.print_status(
            f"To work on them, here and on any machine:  {resume_command(journal, session.paid.options)}"
        )


@batch.command("accept-restored")
def accept_restored(journal: Journal, json: AsJson = False) -> None:
    """Go on with a database that was restored from a backup: what was sent since that backup may be paid for again."""
    session = CommandSession(json)
    with session.plain_words():
        from .._journal.reading import accept_restored as accept

        if isinstance(journal, Path):
            raise ConfigurationError("Only a journal in a database is ever asked this.")
        accept(journal)
        session.write_record({"accepted": True})
        session.print_text("Accepted. What it holds as planned and was sent since the backup is paid for again.")


@batch.command()
def resume(
    journal: Journal,
    to: To = None,
    name_by: NameBy = None,
    budget: Budget = None,
    timeout: JobTimeout = None,
    poll_interval: PollInterval = None,
    max_sending: MaxSending = None,
    max_downloads: MaxDownloads = None,
    max_in_flight: MaxInFlight = None,
    retry_failed: RetryFailed = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Continue a batch from its journal alone: what it was told is in there, --to and --budget change it."""
    from .._journal import require_journal

    session = CommandSession(json, base_url, poll_interval)
    told = _RunOptions(to, name_by, budget, timeout, retry_failed, (max_sending, max_downloads, max_in_flight))
    with session.plain_words():
        require_journal(journal)  # a file that is none is not touched
        arguments = told.arguments(session, None, journal)
    session.run(partial(_carry_out, arguments=arguments))


@batch.command()
def status(journal: Journal, json: AsJson = False) -> None:
    """Show how far a batch is, also while other processes run it. Needs no key."""
    from time import time

    from .._journal import read_summary, read_workers

    session = CommandSession(json)
    with session.plain_words():
        found = read_summary(journal)
        owner, workers = found.owner, read_workers(journal, time())
        counts = {name: getattr(found, name) for name in ("total", "planned", "sending", "accepted")}
        ended = {"completed": found.completed, "failed": found.failed, "saved": found.saved, "tokens": found.tokens}
        unknown, lines = unknown_records(journal, session.paid.options) if owner is None else ([], [])
        told = recall(journal)
        # What a run did not send is planned; a later one may have sent it without this command line.
        not_sent = 0 if owner is not None else min(told.not_sent_budget, found.planned)
        if json:
            running = None if owner is None else {"pid": owner.pid, "host": owner.host, "since": owner.since}
            times = {"first_at": found.first_at, "last_at": found.last_at}
            more = {"unknown": unknown, "not_sent_budget": not_sent, "workers": [asdict(worker) for worker in workers]}
            session.write_record(counts | ended | times | {"service": found.service, "running": running} | more)
            return
        session.print_fields(counts | ended | {"service": found.service})
        if not_sent:
            lines.append(not_sent_line(shown(journal), not_sent, session.paid.options))
        if told.is_partial and owner is None:
            lines.append(_unread(journal, session.paid.options))
        for line in lines:
            session.print_text(line)
        if workers:
            session.print_text(f"Running now: {len(workers)} {'workers' if len(workers) > 1 else 'worker'}")
            for worker in workers:
                session.print_text(", ".join(worker_phrases(worker)))
        elif owner is not None:
            session.print_text(f"Running now: process {owner.pid} on {owner.host}.")
        elif found.unfinished:
            session.print_text(f"Stopped; to continue:  {resume_command(journal, session.paid.options)}")


@batch.command()
def report(
    journal: Journal,
    target: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.html", parser=read_path, help="Default: the journal's name with .html."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Write one HTML page about a batch: pictures, prompts, prices, times, failures. Needs no key."""
    session = CommandSession(json)
    with session.plain_words("report"):
        from .._report import write_batch_report

        path = write_batch_report(journal, target or page_of(journal))
        session.print_text(str(path))
        session.write_record({"path": str(path), "bytes": path.stat().st_size})


def _require_file(file: Path) -> None:
    if file.is_dir() or not file.exists():
        raise ConfigurationError(f"{file} is a directory." if file.is_dir() else f"There is no file {file}.")


def _report_problems(requests: RequestFile, session: CommandSession, *, is_fatal: bool, is_resumed: bool) -> None:
    """Print every request that cannot be sent.

    Args:
        requests: The file.
        session: Prints them.
        is_fatal: Whether nothing is done where there is one.
        is_resumed: Whether there is a journal: what is done needs its recording no more.

    Raises:
        ConfigurationError: There is one, and that is fatal.
    """
    problems = [problem for problem in requests.problems if not (problem.is_missing_file and is_resumed)]
    if len(problems) == 1 and is_fatal and not session.as_json:
        raise ConfigurationError(f"{requests.path}, line {problems[0].line}: {problems[0].message} Nothing was sent.")
    for problem in problems:
        session.print_problem(f"{requests.path}, line {problem.line}: {problem.message}")
        session.write_record({"line": problem.line, "message": problem.message})
    if problems and is_fatal:
        raise ConfigurationError(
            f"{len(problems)} of {requests.count} requests in {requests.path} cannot be sent. Nothing was sent."
        )


# One run.


async def _carry_out(nb: AsyncNeuralBox, session: CommandSession, *, arguments: _RunArguments) -> int:
    import anyio
    from anyio import to_thread

    from .._journal import read_summary

    failures, taking = Failures(session.paid), anyio.CancelScope()

    def stop() -> None:
        session.print_status("Stopping; what is on its way is being written down. Ctrl-C again stops at once.")
        taking.cancel()

    settings = arguments.settings
    with session.measured("batch") as meter, ExitStack() as stack:
        running = nb.batch(  # refuses what it cannot do before anything is written down
            arguments.requests,
            journal=arguments.journal,
            download_to=settings.to,
            name_by=settings.name_by or "key",
            budget=settings.budget,
            wait_timeout=limit_of(arguments.timeout),
            retry_failed=arguments.retry_failed,
            **arguments.bounds,
            on_progress=partial(_show_progress, meter),
        )
        settings = await _written_down(nb, session, arguments)
        stack.enter_context(_interrupted_gently(stop))
        async with running:  # left without a cancellation: then it waits for the ids of what is on its way
            session.paid.advice = f"Nothing that was paid for is lost; to continue:  {arguments.resume}"
            await to_thread.run_sync(remember, arguments.journal, settings)
            with taking:
                async for outcome in running:
                    _show_outcome(outcome, failures, session, arguments.journal)
            was_stopped = taking.cancelled_caught
            for _ in range(running.progress.ready if was_stopped else 0):  # ended before; `resume` would not tell them
                _show_outcome(await anext(running), failures, session, arguments.journal)
            seen = running.progress
            is_partial = settings.is_partial and (was_stopped or arguments.requests is None)
            if seen.not_sent_budget or is_partial != settings.is_partial:
                settings = replace(settings, not_sent_budget=seen.not_sent_budget, is_partial=is_partial)
                await to_thread.run_sync(remember, arguments.journal, settings)
    if seen.not_sent_budget:
        session.print_problem(not_sent_line(shown(arguments.journal), seen.not_sent_budget, session.paid.options))
    if settings.is_partial:
        session.print_problem(arguments.unread)
    if was_stopped:
        # What ended while the block was left, no outcome was yielded; the journal knows.
        found = await to_thread.run_sync(read_summary, arguments.journal)
        session.print_status(f"{found.completed} completed, {found.failed} failed, {found.unfinished} left.")
        session.print_problem(session.paid.advice)
        return INTERRUPTED
    session.print_status(_ended_line(seen))
    session.print_status(f"For a page with all results:  {_report(arguments.journal)}")
    return failures.code


async def _written_down(nb: AsyncNeuralBox, session: CommandSession, arguments: _RunArguments) -> BatchSettings:
    """Write all requests into the journal before any is sent, so that it needs their file no more.

    A batch reads them no further ahead than it has places. Returns what the journal is to remember.
    """
    from anyio import to_thread

    from .._base_client import core_of
    from .._batch.planning import plan_all, require_same
    from .._journal import open_account_journal

    requests, journal, settings = arguments.requests, arguments.journal, arguments.settings
    if requests is None:
        return settings
    partial_settings = replace(settings, planned="", is_partial=True)
    if requests.count is None:  # what can be read only once is taken as it comes
        return partial_settings
    digest = await to_thread.run_sync(requests.digest)
    if digest != settings.planned:
        async with await open_account_journal(core_of(nb), journal):
            await require_same(journal, requests)  # nothing of a file is written down of which one request is refused
            await to_thread.run_sync(remember, journal, partial_settings)
        if requests.count >= _LONG:
            session.print_status(f"Writing {requests.count:,} requests into the journal.")
        await plan_all(core_of(nb), journal, requests)
    return replace(settings, planned=digest, is_partial=False)


def _unread(journal: Place, options: Sequence[str]) -> str:
    again = shlex.join(["neuralbox", "batch", "run", "FILE", "--journal", shown(journal), *options])
    return f"Not all requests of its file are in this journal; to send the rest, give the file again:  {again}"


def _ended_line(seen: BatchProgress) -> str:
    """Say what a run came to; what an earlier one had ended is no doing of it."""
    done = seen.done_now - seen.failed_now - seen.not_sent_budget
    parts = [f"{done} done", f"{seen.failed_now} failed"]
    parts += [
        f"{count} {name}" for count, name in ((seen.not_sent_budget, NOT_SENT), (seen.resumed, "from before")) if count
    ]
    nothing = "" if seen.done_now else "Nothing was left to do: "
    return f"{nothing}{', '.join(parts)}, {seen.tokens_spent} tokens spent by this run."


def _show_outcome(outcome: BatchOutcome, failures: Failures, session: CommandSession, journal: Place) -> None:
    error = outcome.error
    unknown = error if isinstance(error, SubmissionUnknownError) else None
    more = {} if unknown is None else decision_values(journal, outcome.key, unknown.candidates, session.paid.options)
    session.write_record(outcome.to_dict() | more)
    if error is not None:
        result = failures.add(error)
    else:
        generation = outcome.generation
        assert generation is not None  # there is one where there is no error
        result = str(outcome.path or generation.url or " ".join((generation.text or "").split()) or generation.id)
    state = "ok" if outcome.ok else "failed"
    session.print_text("\t".join(map(output.joined, (outcome.key, state, result))))
    if unknown is not None:
        for line in decision_lines(journal, outcome.key, unknown.candidates, session.paid.options):
            session.print_problem(line)


@contextmanager
def _interrupted_gently(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C of the block; the second one is treated as ever."""
    import asyncio

    loop = asyncio.get_running_loop()
    former = signal.getsignal(signal.SIGINT)

    def first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, former)
        loop.call_soon_threadsafe(stop)

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _show_progress(meter: Meter, seen: BatchProgress) -> None:
    done, total = seen.done_now, seen.total_now
    count = f"{done:,} done" if total is None else f"{done:,} of {total:,}"
    meter.show(done, total, count, phrases(seen))


async def _estimate(nb: AsyncNeuralBox, session: CommandSession, *, requests: RequestFile, budget: int | None) -> int:
    balance = (await nb.account.balance()).token_balance
    found: BatchEstimate = await nb.batch.estimate(requests if requests.count is None else requests.without_problems())
    counts = {"requests": found.requests, "tokens": found.tokens, "unknown": found.unknown, "balance": balance}
    session.write_record(counts | {"by_model": dict(found.by_model)})
    left = "" if balance is None else f"; {balance} are left"
    session.print_text(f"{found.requests} requests, {found.tokens} tokens{left}")
    for model, tokens in found.by_model.items():
        session.print_text(output.joined(f"{model}: {tokens} tokens"))
    if budget is not None and found.tokens > budget:
        session.print_text(f"The budget of {budget} does not cover them: {found.tokens - budget} tokens are missing.")
    if found.unknown:
        session.print_text(f"{found.unknown} requests have no known price.")
    for key, problem in found.problems.items():  # of a pipe, which was not checked before
        session.print_problem(f"{key}: {problem}")
    return USAGE if requests.problems or found.invalid else 0


def _report(journal: Place) -> str:
    return f"neuralbox batch report {shlex.quote(shown(journal))}"
