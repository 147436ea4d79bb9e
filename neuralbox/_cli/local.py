"""Commands that need no service: the demo, and the local sandbox of the API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import output
from .arguments import AsJson, read_path
from .errors import plain_words, sentence_of
from .exit_codes import FAILED
from .session import CommandSession

if TYPE_CHECKING:
    from .._demo import DemoTally


def demo(
    videos: Annotated[int, typer.Option(min=1, help="How many videos to generate at once.")] = 200,
    speed: Annotated[
        float, typer.Option(min=0.1, max=1e6, help="How much faster than the real service jobs finish.")
    ] = 20.0,
    directory: Annotated[Path, typer.Option(metavar="DIR", parser=read_path, help="Where the files go.")] = Path(
        "neuralbox-demo"
    ),
    seed: Annotated[int, typer.Option(help="Same seed, same prompts and same jobs.")] = 0,
    json: AsJson = False,
) -> None:
    """Generate many videos on a local sandbox, download them, and show what was charged. Needs no key."""
    session = CommandSession(json)
    with session.plain_words("demo"):
        from .._demo import DemoPlan, run_demo
        from .views import progress_view, report_lines, report_values

        plan = DemoPlan(videos=videos, speed=speed, directory=directory, seed=seed)
        if json:
            report = run_demo(plan, _unseen)
        else:
            with progress_view(plan.videos) as view:
                report = run_demo(plan, view)
        session.write_record(report_values(report))
        for line in report_lines(report):
            session.print_text(line)
        if not report.is_whole:
            raise typer.Exit(FAILED)


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
    database: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=read_path, help="SQLite file that keeps the state; memory if left out."),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen on an address that is not loopback.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also answer requests to this host; else this machine only. Repeatable."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Serve a local sandbox of the whole API until Ctrl-C."""

    def announce(line: str) -> None:
        url = next((word for word in line.split() if "://" in word), None)
        output.write_result(output.as_json({"url": url}, sys.stdout) if json else line)

    with plain_words("sandbox", as_json=json):
        from ..sandbox import Faults, Sandbox, run

        try:
            faults = Faults.parse(*(fault or []))
            served = Sandbox(database=database, speed=speed, plan=plan, balance=balance, dialect=dialect, faults=faults)
            run(
                served,
                host=host,
                port=port,
                allow_remote=allow_remote,
                allowed_hosts=allow_host or (),
                announce=announce,
            )
        except ValueError as error:
            raise typer.BadParameter(sentence_of(error)) from error


def _unseen(tally: DemoTally) -> None:
    """Show nothing."""
