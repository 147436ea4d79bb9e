"""The program: its own options, and which module has which command.

A command's module is imported, and its arguments are built, when the command is called: so `--help` is quick, and an
installation without the extra of one command can name it. Help is typer's plain one; drawn by rich it takes twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from .._version import __version__
from .exit_codes import MEANINGS

if TYPE_CHECKING:
    from typer._click import Command, Context

# Where each command is, and the first line of its help.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "generate": ("generate", "Generate text, an image, a video or audio."),
    "stream": ("generate", "Generate a text and print it while it is written."),
    "wait": ("generate", "Wait for generations that were submitted earlier."),
    "download": ("generate", "Download the files of generations."),
    "batch": ("batch", "Many requests at once, with a journal."),
    "reconcile": ("unknown", "Look for a batch's requests whose answers were lost."),
    "history": ("history", "List, export or report what was generated."),
    "archive": ("history", "Mirror all results into a directory."),
    "balance": ("queries", "Show how many tokens are left."),
    "stats": ("queries", "Show what was generated and what it cost."),
    "models": ("queries", "List the models, or show one."),
    "price": ("queries", "Show what a generation would cost."),
    "demo": ("local", "See it work on a local sandbox; needs no key."),
    "sandbox": ("local", "Serve a local sandbox of the whole API."),
}


class _Commands(TyperGroup):
    """Knows its commands by name and first line, and builds the one that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, summary) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=summary)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else _built(str(command.name)), rest


def _built(name: str) -> Command:
    found: typer.Typer | Callable[..., None] = getattr(import_module(f".{COMMANDS[name][0]}", __package__), name)
    if isinstance(found, typer.Typer):
        return get_command(found)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(found)
    return get_command(alone)


app = typer.Typer(
    name="neuralbox",
    cls=_Commands,
    help="Text, images, video, speech and music from the NeuralBox API.",
    epilog=MEANINGS,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # a bug shows Python's own traceback, without the values of local variables
)

FIRST_STEPS = """\
neuralbox demo                       see it work, on a local sandbox of the service; no key needed
export NEURALBOX_API_KEY=nb_...      your key: dashboard, Profile, API Keys (needs the VIP or Elite plan)
neuralbox balance                    is the key right?
neuralbox stream gpt-5 "Good morning"
neuralbox generate flux-1.1-pro "A lighthouse" --to images

neuralbox --help lists all commands."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neuralbox {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if debug:
        from .errors import debugging

        debugging.is_on = True
    if context.invoked_subcommand is None:
        typer.echo(FIRST_STEPS)
