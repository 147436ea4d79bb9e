"""Commands that make something or wait for it: generate, stream, transcribe, wait, download."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import ConfigurationError, ExpiredFileError, NeuralBoxError
from .._types import OMIT, GenerationId, JobRef, read_id
from . import output
from .arguments import (
    AsJson,
    BaseUrl,
    Context,
    Model,
    Params,
    PollInterval,
    Prompt,
    Timeout,
    read_params,
    read_path,
    read_prompt,
)
from .errors import Failures, sentence_of
from .exit_codes import FAILED_GENERATION
from .saving import NameBy, Output, Replace, Saving, To
from .session import CommandSession, plain_values
from .waiting import PollVoice, wait_for, wait_for_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._client import AsyncNeuralBox
    from .._models.generation import Generation
    from .._polling.job import Job


def _transcribing(incomplete: str) -> list[str]:
    from typing import get_args

    from .._api.vocabulary import TranscriptionModel

    return [slug for slug in get_args(TranscriptionModel) if slug.startswith(incomplete)]


def generate(
    model: Model,
    prompt: Prompt,
    param: Params = None,
    context: Context = None,
    to: To = None,
    target: Output = None,
    name_by: NameBy = None,
    overwrite: Replace = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the result, or print the job's id.")] = True,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Generate text, an image, a video or audio, and print it or its address."""
    session = CommandSession(json, base_url, poll_interval)
    with session.plain_words():
        options, text = read_params(param), read_prompt(prompt, context)
        # Ids begin again in another account, or in a new sandbox: what is paid for must not fail on an old file.
        saving = Saving.of(session, to, target, name_by, replace=overwrite)
        limit = session.limit(timeout)

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        voice = PollVoice(session)
        nb = nb.with_options(hooks=voice.hooks())
        job = await _submit(nb, session, model, text, options)
        if not wait:
            _print_job(job, session)
            return
        finished = job.generation
        if finished is None or not finished.is_final:
            session.print_status(f"{_named(job)} accepted; waiting.")
            finished = await wait_for(job, session, limit, voice)
        session.paid.unsaved += saving.files_of([finished])
        await _show(nb, session, finished, saving)

    session.paid.saving_options += saving.repeated
    session.run(work)


async def _submit(
    nb: AsyncNeuralBox, session: CommandSession, model: str, prompt: str, options: dict[str, object]
) -> Job:
    session.paid.is_sending = True
    job = await nb.generate.submit(
        model=model, prompt=prompt, params=options or None, on_accepted=session.paid.jobs.append
    )
    session.paid.is_sending = False
    return job


def stream(
    model: Model,
    prompt: Prompt,
    context: Context = None,
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0.0 to 2.0; the service's default is 0.7.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of the language model to write.")] = None,
    target: Output = None,
    overwrite: Replace = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Generate a text and print it while it is written; with -o it goes to a file too."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        text = read_prompt(prompt, context)
        saving = Saving.of(session, None, target, replace=overwrite, is_file=True)

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        given = nb.text.stream(
            model=model,
            prompt=text,
            system=system,
            temperature=OMIT if temperature is None else temperature,
            max_tokens=OMIT if max_tokens is None else max_tokens,
            on_accepted=session.paid.jobs.append,
        )
        session.paid.is_sending, is_whole = True, False
        try:
            async with given as running:
                async for delta in running:
                    session.write_record({"delta": delta})
                    session.print_text(delta, end="")
            is_whole = True
        finally:
            # First, since nobody may read what is printed any more.
            kept = None if is_whole else saving.keep_part(given.text)
            session.print_text(end="\n" if given.text else "")
            if kept is not None:
                session.print_problem(output.joined(f"{kept} has what came of it."))
        session.paid.jobs.clear()
        path = None if saving.output is None else saving.write_text(session, given.result, is_shown=True)
        session.write_record(plain_values(given.result) | ({} if path is None else {"path": str(path)}))
        session.print_status(_cost(given.result) if path is None else output.joined(f"{path}: {_cost(given.result)}"))

    session.paid.saving_options += saving.repeated
    session.run(work)


def transcribe(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", parser=read_path, help="A recording: mp3, wav, m4a, ...; at most 25 MB."),
    ],
    model: Annotated[str, typer.Option(help="Slug of a model.", autocompletion=_transcribing)] = "whisper",
    language: Annotated[str | None, typer.Option(help="Such as en; left out, the service detects it.")] = None,
    diarize: Annotated[bool, typer.Option("--diarize", help="Label the speakers (elevenlabs-scribe).")] = False,
    target: Output = None,
    overwrite: Replace = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Write down what is said in a recording."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        saving = Saving.of(session, None, target, replace=overwrite, is_file=True)

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        session.paid.is_sending = True
        heard = await nb.transcriptions.create(
            audio=file,
            model=model,
            language=OMIT if language is None else language,
            diarize=True if diarize else OMIT,
            on_accepted=session.paid.jobs.append,
        )
        session.paid.is_sending = False
        await _show(nb, session, heard, saving)

    session.paid.saving_options += saving.repeated
    session.run(work)


def wait(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of generations submitted earlier.")],
    to: To = None,
    target: Output = None,
    name_by: NameBy = None,
    overwrite: Replace = False,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Wait for generations that were submitted earlier, here or elsewhere."""
    session = CommandSession(json, base_url, poll_interval)
    with session.plain_words():
        saving = Saving.of(session, to, target, name_by, replace=overwrite, otherwise="skip", results=len(ids))
        limit = session.limit(timeout)

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> int:
        session.paid.is_ours = False
        session.paid.jobs += [JobRef(read_id(text)) for text in ids]
        try:
            found = await wait_for_all(nb, session, limit)
        except NeuralBoxError as error:
            finished = [each for each in error.generations if each is not None and each.is_final]
            await _show_all(nb, session, finished, saving)
            raise
        failures = await _show_all(nb, session, found, saving)
        if session.paid.unsaved:
            session.print_problem(session.paid.how_to_go_on())
        return failures.code

    session.paid.saving_options += saving.repeated
    session.run(work)


def download(
    what: Annotated[list[str], typer.Argument(metavar="ID|URL...", help="Generations or addresses of files.")],
    to: To = None,
    target: Output = None,
    name_by: NameBy = None,
    overwrite: Replace = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Download the files of generations; into this directory, where no other is named."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        saving = Saving.of(session, to, target, name_by, replace=overwrite, otherwise="error", results=len(what))
        if not saving.is_wanted:
            saving = replace(saving, to=Path())

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> int:
        failures = Failures(session.paid)
        for named in what:
            try:
                source = named if "://" in named else await _finished(nb, session, read_id(named))
                path = await saving.save(nb, session, source)
            except NeuralBoxError as error:
                said = failures.add(error)
                session.write_record({"source": named, "error": type(error).__name__, "message": said})
                session.print_problem(f"{named}: {said}")
                continue
            session.print_text(str(path))
            session.write_record({"source": named, "path": str(path), "bytes": path.stat().st_size})
        return failures.code

    session.run(work)


async def _finished(nb: AsyncNeuralBox, session: CommandSession, id: GenerationId) -> Generation:
    """Find a generation that may have a file.

    Raises:
        ConfigurationError: It is not finished, or a text.
    """
    found = await nb.generations.get(id)
    waiting = session.paid.command("wait", str(id))
    if not found.is_final:
        state = found.status or "not finished"
        raise ConfigurationError(f"The {found.ref} is {state}, so it has no file yet: run `{waiting}` first.")
    if found.url is None and found.text is not None:
        raise ConfigurationError(f"The {found.ref} is a text, so it has no file: `{waiting}` prints it.")
    return found


# What they share.


def _print_job(job: Job, session: CommandSession) -> None:
    session.print_text(output.joined(str(job.id)))
    session.write_record({"id": job.id, "status": job.generation.status if job.generation is not None else None})
    going_on = session.paid.command("wait", str(job.id), *session.paid.saving_options)
    session.print_status(f"{_named(job)} accepted; for its result:  {going_on}")


async def _show_all(
    nb: AsyncNeuralBox, session: CommandSession, found: Sequence[Generation], saving: Saving
) -> Failures:
    """Print results; one that cannot be saved keeps no other from it."""
    failures = Failures(session.paid)
    session.paid.unsaved += saving.files_of(found)
    for generation in found:
        try:
            await _show(nb, session, generation, saving)
        except NeuralBoxError as error:
            session.print_problem(f"{generation.id}: {failures.add(error)}")
        if generation.is_failed:
            failures.by_code[FAILED_GENERATION] += 1
    return failures


async def _show(nb: AsyncNeuralBox, session: CommandSession, generation: Generation, saving: Saving) -> None:
    """Print one result: the text, the path of the file, or the address.

    Raises:
        NeuralBoxError: Its file cannot be saved; its record is printed all the same, and says why.
    """
    path = None
    if saving.fetches(generation):
        try:
            path = await saving.save(nb, session, generation)
        except NeuralBoxError as error:
            error.job = generation.ref
            if isinstance(error, ExpiredFileError):
                session.paid.drop(generation.ref)
            session.write_record(plain_values(generation) | {"not_saved": sentence_of(error, session.paid)})
            raise
    if path is None and generation.is_completed and generation.text is not None and saving.output is not None:
        session.paid.drop(generation.ref)  # where it cannot be written it is printed
        path = saving.write_text(session, generation)
    if path is not None or generation.is_failed:
        session.paid.drop(generation.ref)
    session.write_record(plain_values(generation) | ({} if path is None else {"path": str(path)}))
    if generation.is_failed:
        from .._api.reply import safe_words

        why = safe_words(generation.error) or "the service gave no reason"
        session.print_problem(f"{generation.id} failed: {why}")
        return
    address = output.joined(str(path or generation.url or generation.id))
    session.print_text(address if path is not None or generation.text is None else generation.text)
    session.paid.drop(generation.ref)  # an output that takes nothing more leaves the command that prints it again
    session.print_status(_cost(generation))


def _cost(generation: Generation) -> str:
    parts = [] if generation.tokens is None else [f"{generation.tokens} token{'' if generation.tokens == 1 else 's'}"]
    if generation.balance is not None:
        parts.append(f"{generation.balance} left")
    return ", ".join(parts) or "price not said"


def _named(job: Job) -> str:
    text = str(job.ref)
    return text[:1].upper() + text[1:]
