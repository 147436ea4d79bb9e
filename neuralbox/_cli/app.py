"""The commands: each reads its arguments, calls one function, and says what came of it.

Modules that belong to the extra of one command are imported inside that command, so that `--help` is quick and an
installation without the extra can say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from .._errors import NeuralBoxError
from .._version import __version__
from ._extras import missing_extra

app = typer.Typer(
    name="neuralbox",
    help="Text, images, video, speech and music from the NeuralBox API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a bug shows Python's own traceback, without the values of local variables
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neuralbox {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    videos: Annotated[int, typer.Option(min=1, help="How many videos to generate at once.")] = 200,
    speed: Annotated[float, typer.Option(min=0.1, help="How much faster than the real service jobs finish.")] = 20.0,
    directory: Annotated[Path, typer.Option(help="Where the files go.")] = Path("neuralbox-demo"),
    seed: Annotated[int, typer.Option(help="Same seed, same prompts and same jobs.")] = 0,
) -> None:
    """Generate many videos on a local sandbox, download them, and show what was charged. Needs no key."""
    with _plain_words("demo"):
        from .._demo import Plan, run_demo
        from .views import progress_view, show_report

        plan = Plan(videos=videos, speed=speed, directory=directory, seed=seed)
        with progress_view(plan.videos) as view:
            report = run_demo(plan, view)
        show_report(report)
        if not report.is_whole:
            raise typer.Exit(1)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0.001, help="How much faster than the real service jobs finish.")] = 1.0,
    plan: Annotated[str, typer.Option(help="Plan of the account: free, basic, pro, vip, elite.")] = "elite",
    balance: Annotated[int, typer.Option(min=0, help="Tokens on the account.")] = 100_000,
    dialect: Annotated[
        Literal["A", "B"], typer.Option(help="A: integer ids (quickstart); B: text ids (text guide).")
    ] = "A",
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Make something fail, e.g. drop-after-accept=0.1; repeatable."),
    ] = None,
    database: Annotated[Path | None, typer.Option(help="SQLite file that keeps the state; memory if left out.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen on an address that is not loopback.")
    ] = False,
) -> None:
    """Serve a local stand-in of the whole API until Ctrl-C."""
    with _plain_words("sandbox"):
        from ..sandbox import Faults, Sandbox, run

        try:
            faults = Faults.parse(*(fault or []))
            served = Sandbox(database=database, speed=speed, plan=plan, balance=balance, dialect=dialect, faults=faults)
            run(served, host=host, port=port, allow_remote=allow_remote)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error


# What went wrong, in words.


@contextmanager
def _plain_words(extra: str) -> Iterator[None]:
    """Turn what a user can mend into one sentence and an exit code; a bug of ours stays a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        sentence = missing_extra(error, extra)
        if sentence is None:
            raise
        _leave(sentence, 2)
    except KeyboardInterrupt:
        _leave("Stopped.", 130)
    except (NeuralBoxError, OSError) as error:
        _leave(str(error), 1)


def _leave(sentence: str, code: int) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)
