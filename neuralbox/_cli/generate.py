"""Commands that make something or wait for it: generate, stream, wait, download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import ConfigurationError, NeuralBoxError
from .._types import OMIT, GenerationId, JobRef
from . import output
from .arguments import AsJson, BaseUrl, Model, Params, Prompt, Timeout, To, limit_of, read_id, read_params, read_text
from .errors import Failures
from .exit_codes import FAILED_GENERATION
from .session import CommandSession, plain_values

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from .._files.target import Overwrite
    from .._models.generation import Generation
    from .._polling.job import Job


def generate(
    model: Model,
    prompt: Prompt,
    param: Params = None,
    to: To = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the result, or print the job's id.")] = True,
    timeout: Timeout = None,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Generate text, an image, a video or audio, and print it or its address."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        options, text = read_params(param), read_text(prompt)
        make_directory(to)

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        job = await _submit(nb, session, model, text, options)
        if not wait:
            _print_job(job, session)
            return
        finished = job.generation
        if finished is None or not finished.is_final:
            session.print_status(f"{_named(job)} accepted; waiting.")
            finished = await _wait_for(job, session, timeout)
        session.paid.jobs.clear()
        # Ids begin again in another account, or in a new sandbox: what is paid for must not fail on an old file.
        await _show(nb, session, finished, to, overwrite="rename")

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


async def _wait_for(job: Job, session: CommandSession, timeout: float | None) -> Generation:
    with session.measured(job.model or "waiting") as meter:

        def show(seen: Generation) -> None:
            percent = "" if seen.progress is None else f", {seen.progress:g} %"
            meter.show(seen.progress or 0.0, None if seen.progress is None else 100.0, f"{seen.status}{percent}")

        return await job.wait(timeout=limit_of(timeout), on_progress=show)


def stream(
    model: Model,
    prompt: Prompt,
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0.0 to 2.0; the service's default is 0.7.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of the language model to write.")] = None,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Generate a text and print it while it is written."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        text = read_text(prompt)

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        given = nb.text.stream(
            model=model,
            prompt=text,
            system=system,
            temperature=OMIT if temperature is None else temperature,
            max_tokens=OMIT if max_tokens is None else max_tokens,
            on_accepted=session.paid.jobs.append,
        )
        session.paid.is_sending = True
        try:
            async with given as running:
                async for delta in running:
                    session.write_record({"delta": delta})
                    session.print_text(delta, end="")
        finally:
            session.print_text(end="\n" if given.text else "")
        session.paid.jobs.clear()
        session.write_record(plain_values(given.result))
        session.print_status(_cost(given.result))

    session.run(work)


def wait(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of generations submitted earlier.")],
    to: To = None,
    timeout: Timeout = None,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Wait for generations that were submitted earlier, here or elsewhere."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        make_directory(to)

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> int:
        session.paid.is_ours = False
        session.paid.jobs += [JobRef(read_id(text)) for text in ids]
        try:
            found = await _wait_for_all(nb, session, timeout)
        except NeuralBoxError as error:
            for generation in error.generations:
                if generation is not None and generation.is_final:
                    await _show(nb, session, generation, to, overwrite="skip")
            raise
        session.paid.jobs.clear()
        for generation in found:
            await _show(nb, session, generation, to, overwrite="skip")
        return 0 if all(generation.is_completed for generation in found) else FAILED_GENERATION

    session.run(work)


async def _wait_for_all(nb: AsyncNeuralBox, session: CommandSession, timeout: float | None) -> list[Generation]:
    waited = [*session.paid.jobs]
    running = {str(job.id): job for job in waited}

    def show(seen: Generation) -> None:
        if seen.is_final:
            running.pop(str(seen.id), None)
            session.paid.jobs[:] = running.values()
        done = len(waited) - len(running)
        meter.show(done, len(waited), f"{done} of {len(waited)} done")

    with session.measured("waiting") as meter:
        return [*await nb.generations.wait(waited, timeout=limit_of(timeout), on_progress=show)]


def download(
    what: Annotated[list[str], typer.Argument(metavar="ID|URL...", help="Generations or addresses of files.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Directory to download into.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Download the files of generations."""
    session = CommandSession(json, base_url)
    with session.plain_words():
        make_directory(to)

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> int:
        failures = Failures()
        for named in what:
            try:
                source = named if "://" in named else await _finished(nb, read_id(named))
                path = await _fetch(nb, session, source, to, "replace" if overwrite else "error")
            except NeuralBoxError as error:
                said = failures.add(error)
                session.write_record({"source": named, "error": type(error).__name__, "message": said})
                session.print_status(f"{named}: {said}")
                continue
            session.print_text(str(path))
            session.write_record({"source": named, "path": str(path), "bytes": path.stat().st_size})
        return failures.code

    session.run(work)


async def _finished(nb: AsyncNeuralBox, id: GenerationId) -> Generation:
    """Find a generation that may have a file.

    Raises:
        ConfigurationError: It is not finished.
    """
    found = await nb.generations.get(id)
    if not found.is_final:
        state = found.status or "not finished"
        raise ConfigurationError(f"The {found.ref} is {state}, so it has no file yet: run `neuralbox wait {id}` first.")
    return found


async def _fetch(
    nb: AsyncNeuralBox, session: CommandSession, source: Generation | str, to: Path, overwrite: Overwrite
) -> Path:
    with session.measured("downloading") as meter:

        def show(received: int, total: int | None) -> None:
            of = "" if total is None else f" of {total / 1e6:.1f}"
            meter.show(received, total, f"{received / 1e6:.1f}{of} MB")

        return await nb.files.download(source, to, overwrite=overwrite, on_progress=show)


# What they share.


def make_directory(to: Path | None) -> None:
    """Make the directory of `--to` before anything is paid for that could not be put there."""
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)


def _print_job(job: Job, session: CommandSession) -> None:
    session.print_text(output.joined(str(job.id)))
    session.write_record({"id": job.id, "status": job.generation.status if job.generation is not None else None})
    session.print_status(f"{_named(job)} accepted; for its result:  neuralbox wait {job.id}")


async def _show(
    nb: AsyncNeuralBox, session: CommandSession, generation: Generation, to: Path | None, *, overwrite: Overwrite
) -> None:
    """Print one result: the text, the path of the downloaded file, or the address."""
    path = None
    if to is not None and generation.is_completed and generation.url is not None:
        path = await _fetch(nb, session, generation, to, overwrite)
    session.write_record(plain_values(generation) | ({} if path is None else {"path": str(path)}))
    if generation.is_failed:
        session.print_status(f"{generation.id} failed: {generation.error or 'the service gave no reason'}")
        return
    address = output.joined(str(path or generation.url or generation.id))
    session.print_text(address if generation.text is None else generation.text)
    session.print_status(_cost(generation))


def _cost(generation: Generation) -> str:
    parts = [] if generation.tokens is None else [f"{generation.tokens} token{'' if generation.tokens == 1 else 's'}"]
    if generation.balance is not None:
        parts.append(f"{generation.balance} left")
    return ", ".join(parts) or "price not said"


def _named(job: Job) -> str:
    text = str(job.ref)
    return text[:1].upper() + text[1:]
