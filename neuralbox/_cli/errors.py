"""How the command line ends: one sentence and an exit code for everything a user can mend.

The codes are part of the public surface: scripts branch on them. A bug of ours keeps its traceback. The library's
errors speak to programmers (`client.job(...)`); here such advice is replaced by the command that does the same.
"""

from __future__ import annotations

import errno
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer
import typer.exceptions

from .. import _errors as errors
from .._plain_text import without_code
from .._types import JobRef, ListenError
from . import exit_codes, output
from ._extras import missing_extra
from .invocation import current

if TYPE_CHECKING:
    from .._models.generation import Generation

_MOST_CANDIDATES: Final = 3
# The first class that fits counts, so the narrower ones stand first.
CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (errors.ConfigurationError, exit_codes.USAGE),
    (errors.AuthenticationError, exit_codes.REFUSED),
    (errors.PermissionDeniedError, exit_codes.REFUSED),
    (errors.InsufficientTokensError, exit_codes.TOO_EXPENSIVE),
    (errors.BudgetExceededError, exit_codes.TOO_EXPENSIVE),
    (errors.RateLimitError, exit_codes.RATE_LIMITED),
    (errors.NotFoundError, exit_codes.NOT_FOUND),
    (errors.ExpiredFileError, exit_codes.NOT_FOUND),
    (errors.GenerationFailedError, exit_codes.FAILED_GENERATION),
    (errors.GenerationTimeoutError, exit_codes.STILL_RUNNING),
    (errors.SubmissionUnknownError, exit_codes.UNKNOWN),
    (errors.StreamInterruptedError, exit_codes.NO_ANSWER),
    (errors.APIConnectionError, exit_codes.NO_ANSWER),
    (errors.InternalServerError, exit_codes.NO_ANSWER),
    (errors.ProtocolError, exit_codes.NO_ANSWER),
    (errors.JournalError, exit_codes.UNUSABLE_DISK),
    (errors.DownloadError, exit_codes.NO_ANSWER),
    (errors.NeuralBoxError, exit_codes.FAILED),
    (ListenError, exit_codes.FAILED),
    (OSError, exit_codes.UNUSABLE_DISK),
)
# A journal that fails is the disk's business, unless its reason says otherwise.
REASONS: Final = dict.fromkeys(("lease", "locked", "taken"), exit_codes.IN_USE) | dict.fromkeys(
    ("account", "changed", "duplicate", "foreign", "missing", "restored", "service", "version"), exit_codes.USAGE
)
# The disk's business, also where the file that met it counts as a setting.
_FAILING_DISK: Final = frozenset(getattr(errno, name, errno.EIO) for name in ("EIO", "ENOSPC", "EROFS", "EDQUOT"))
# What to do about it in words of the command line, where the library's own sentence does not say.
ADVICE: Final[tuple[tuple[type[Exception], str], ...]] = (
    (errors.InsufficientTokensError, "`neuralbox balance` shows what is left."),
    (errors.NotFoundError, "`neuralbox history` and `neuralbox models` list what there is."),
    (errors.ConnectError, "Check the network and NEURALBOX_BASE_URL."),
)
# Errors after which nothing of their job goes on.
_OVER: Final = (errors.NotFoundError, errors.GenerationFailedError, errors.ExpiredFileError)
_NAMES: Final = {
    "pass `api_key=` or ": "",
    "`api_key=` or ": "",
    "`base_url`": "NEURALBOX_BASE_URL",
    "`base_url=`": "--base-url",
    "`overwrite=True`": "--overwrite",
    "allow_remote=True": "--allow-remote",
}
_LOOKING: Final = re.compile(r"`neuralbox ((?:geminigen )?history|models|balance)`")

_OF_GEMINIGEN: Final = {
    "NEURALBOX_": "GEMINIGEN_",
    "`neuralbox history` and `neuralbox models` list": "`neuralbox geminigen history` lists",
}


@dataclass(slots=True)
class Paid:
    """What a command has paid for, to be named if it is stopped.

    Attributes:
        jobs: Accepted, and their results not yet shown.
        unsaved: Of them, those that are finished and whose files are still to be fetched.
        options: The caller's own options that every command takes; the command that goes on repeats them.
        saving_options: Those that a wait and a download take.
        wait_options: Those that only a wait takes.
        advice: What to print instead of how to wait for them, once there is a better way to go on.
        is_sending: Whether a paid request is on its way whose id is not known yet.
        service: Which service it speaks to.
        is_ours: Whether the jobs were seen to be accepted; ids that were typed may be anything.
    """

    jobs: list[JobRef] = field(default_factory=list)
    unsaved: list[JobRef] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    saving_options: list[str] = field(default_factory=list)
    wait_options: list[str] = field(default_factory=list)
    advice: str = ""
    is_sending: bool = False
    service: str = "neuralbox"
    is_ours: bool = True

    def how_to_go_on(self, error: BaseException | None = None) -> str:
        """Return one sentence, or nothing where nothing is left running.

        Args:
            error: What ended the command.
        """
        if isinstance(error, errors.ConfigurationError) and (self.advice or not self.is_ours):
            return ""  # the same command would be as wrong again
        if self.advice:
            return self.advice
        if isinstance(error, errors.SubmissionUnknownError) and error.candidates:
            found = [candidate_line(each) for each in error.candidates]
            rest = f"; or one of {len(found) - _MOST_CANDIDATES} more" if len(found) > _MOST_CANDIDATES else ""
            return f"It may be {'; or '.join(found[:_MOST_CANDIDATES])}{rest}. If it is:  {self.adopting(error)}"
        files = {str(job.id): None for job in self.unsaved}
        ids = {str(job.id): None for job in self.jobs} | files
        named = str(getattr(getattr(error, "job", None), "id", ""))
        if isinstance(error, _OVER):
            ids.pop(named, None)
            files.pop(named, None)
        elif named:
            ids[named] = None
            files |= {named: None} if isinstance(error, errors.DownloadError) else {}
        if files and files.keys() == ids.keys():
            fetching = ("geminigen", "get") if self.service == "geminigen" else ("download",)
            start = "They are paid for; to fetch them" if len(files) > 1 else "It is paid for; to fetch it"
            return f"{start} later:  {self.command(*fetching, *files, *self.saving_options)}"
        if ids:
            start = "Jobs go on; to" if len(ids) > 1 else "The job goes on; to"
            # Where the wait has ended by itself, the same limit would end the next one as well.
            more = self.wait_options if isinstance(error, KeyboardInterrupt) else ()
            going_on = self.command("wait", *ids, *self.saving_options, *more)
            return f"{start if self.is_ours else 'To'} continue:  {going_on}"
        if isinstance(error, errors.SubmissionUnknownError):
            return f"Whether it was shows:  {self.adopting(error)}"
        if self.is_sending and isinstance(error, KeyboardInterrupt):
            return f"A paid request may have left; whether it was accepted shows:  {self.command('history')}"
        return ""

    def drop(self, job: JobRef) -> None:
        """Forget a job: its result is shown, or there is none."""
        for jobs in (self.jobs, self.unsaved):
            jobs[:] = [each for each in jobs if str(each.id) != str(job.id)]

    def adopting(self, error: errors.SubmissionUnknownError) -> str:
        """Return the command that waits for what an unknown request may have made, or that shows whether it made something."""
        if not error.candidates:
            return self.command("history")
        named = str(error.candidates[0].id) if len(error.candidates) == 1 else "ID"
        return self.command("wait", named, *self.saving_options)

    def command(self, *words: str) -> str:
        """Return a command with the caller's own options."""
        return output.joined(f"neuralbox {shlex.join([*words, *self.options])}")


@dataclass(slots=True)
class Failures:
    """Failures of which each concerns one item of several.

    Attributes:
        paid: Has the caller's own options.
        by_code: How often which exit code.
    """

    paid: Paid = field(default_factory=Paid)
    by_code: Counter[int] = field(default_factory=Counter)

    def add(self, error: Exception) -> str:
        """Count an error, and return its sentence."""
        self.by_code[code_of(error)] += 1
        return sentence_of(error, self.paid)

    @property
    def code(self) -> int:
        """Return the exit code of all: the one they share."""
        return 0 if not self.by_code else exit_codes.FAILED if len(self.by_code) > 1 else next(iter(self.by_code))


def code_of(error: BaseException) -> int:
    """Return the exit code of an error."""
    if isinstance(error, errors.JournalError) and error.reason in REASONS:
        return REASONS[error.reason]
    if isinstance(error, errors.DownloadError) and isinstance(error.__cause__, OSError):
        return code_of(error.__cause__)  # the disk's; a time-out is an OSError too, and has the code of its class
    cause = error.__cause__
    if isinstance(error, errors.ConfigurationError) and isinstance(cause, OSError) and cause.errno in _FAILING_DISK:
        return exit_codes.UNUSABLE_DISK
    return next((code for kind, code in CODES if isinstance(error, kind)), exit_codes.FAILED)


@contextmanager
def plain_words(extra: str = "cli", *, as_json: bool = False, paid: Paid | None = None) -> Iterator[None]:
    """Turn what a user can mend into one sentence and an exit code.

    Args:
        extra: The extra the command needs.
        as_json: Whether the sentence is wanted as JSON.
        paid: Names what goes on when the command is stopped.
    """
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if current.debug or (described := _describe(error, extra, paid or Paid())) is None:
            raise
        _leave(*described, error, paid or Paid(), as_json=as_json)


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Say as JSON, where that is wanted, that the arguments are wrong; else typer says it, with how to write them."""
    try:
        yield
    except typer.exceptions.TyperException as error:
        if not current.as_json:
            raise
        record = {"error": "UsageError", "message": error.format_message(), "exit_code": error.exit_code}
        output.write_status(output.as_json(record, sys.stderr))
        raise typer.Exit(error.exit_code) from None


def _describe(error: BaseException, extra: str, paid: Paid) -> tuple[str, int] | None:
    """Return the sentence about an error and the exit code; None where it is a bug and must show."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):  # the second: at the prompt for the key
        return f"Stopped. {paid.how_to_go_on(KeyboardInterrupt())}".rstrip(), exit_codes.INTERRUPTED
    if isinstance(error, ModuleNotFoundError):
        missing = missing_extra(error, extra)
        return None if missing is None else (missing, exit_codes.USAGE)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return "", exit_codes.CLOSED_PIPE
    if isinstance(error, errors.NeuralBoxError | OSError):
        return " ".join(filter(None, (sentence_of(error, paid), paid.how_to_go_on(error)))), code_of(error)
    return None


def sentence_of(error: Exception, paid: Paid | None = None) -> str:
    """Return an error as one line in the command line's words.

    Args:
        error: It.
        paid: Has the caller's own options, which a command that is named repeats, and says which service it is.
    """
    paid = paid or Paid()
    if isinstance(error, OSError) and not isinstance(error, errors.NeuralBoxError) and error.strerror:
        return f"{error.strerror}: {error.filename}." if error.filename else f"{error.strerror.rstrip('.')}."
    text = " ".join(str(error).split())
    for ours, theirs in _NAMES.items():
        text = text.replace(ours, theirs)
    kept = [without_code(text)]
    if isinstance(error, errors.NotFoundError) and error.job is not None:
        kept.insert(0, f"The service does not know the {error.job}.")
    sentence = " ".join(filter(None, (*kept, _advice(error, paid)))) or text or type(error).__name__
    for ours, theirs in _OF_GEMINIGEN.items() if paid.service == "geminigen" else ():
        sentence = sentence.replace(ours, theirs)
    return _LOOKING.sub(lambda found: f"`{paid.command(*found[1].split())}`", sentence)


def _advice(error: Exception, paid: Paid) -> str:
    """Return what to do about an error, or nothing to add."""
    if isinstance(error, errors.RateLimitError) and error.retry_after is not None:
        return f"Try again in {error.retry_after:.0f} s."
    if isinstance(error, errors.UnprocessableEntityError):
        said = str(error)  # some refusals name the field in their own sentence
        complaints = [f"{name}: {why.rstrip('.')}" for name, why in error.fields.items()]
        return " ".join(f"{complaint}." for complaint in complaints if complaint not in said)
    if isinstance(error, errors.JournalError) and error.unwritten:
        ids = [str(job.id) for job in error.unwritten.values()]
        return f"Paid for, and not in the journal ({len(ids)}):  {paid.command('wait', *ids)}"
    return next((advice for kind, advice in ADVICE if isinstance(error, kind)), "")


def candidate_values(candidates: Sequence[Generation]) -> list[dict[str, Any]]:
    """Return what is known of each candidate, as JSON."""
    return [
        {
            "id": each.id,
            "created_at": None if each.created_at is None else each.created_at.isoformat(),
            "model": each.model,
        }
        for each in candidates
    ]


def candidate_line(each: Generation) -> str:
    """Return what is known of one candidate, in words."""
    created = "" if each.created_at is None else f", {each.created_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{each.id}{created}, {each.model or 'of an unknown model'}"


def _leave(sentence: str, code: int, error: BaseException, paid: Paid, *, as_json: bool) -> NoReturn:
    if code == exit_codes.CLOSED_PIPE:
        output.forget(sys.stdout)
    elif as_json:
        job = getattr(error, "job", None)
        record: dict[str, Any] = {"error": type(error).__name__, "message": sentence, "exit_code": code}
        if isinstance(error, errors.SubmissionUnknownError) and not paid.advice:
            record |= {"candidates": candidate_values(error.candidates), "next": paid.adopting(error)}
        output.write_status(output.as_json(record | ({} if job is None else {"job": job.id}), sys.stderr))
    else:
        output.write_status(sentence)
    raise typer.Exit(code) from None
