"""The program: its own options, and which module has which command.

A command's module is imported, and its arguments are built, when the command is called: so `--help` is quick, and an
installation without the extra of one command can name it. Help is typer's plain one; drawn by rich it takes twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from .._version import __version__
from .errors import wrong_usage
from .exit_codes import MEANINGS
from .invocation import current, everywhere

if TYPE_CHECKING:
    from typer._click import Command, Context, Parameter

# Where each command is, and the first line of its help.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "generate": ("generate", "Generate text, an image, a video or audio."),
    "stream": ("generate", "Generate a text and print it while it is written."),
    "transcribe": ("generate", "Write down what is said in a recording."),
    "wait": ("generate", "Wait for generations that were submitted earlier."),
    "download": ("generate", "Download the files of generations."),
    "batch": ("batch", "Many requests at once, with a journal."),
    "watch": ("watch", "Show a batch live, from its journal."),
    "keep": ("unknown", "Wait for all jobs of a shared journal's account."),
    "reconcile": ("unknown", "Look for a batch's requests whose answers were lost."),
    "history": ("history", "List, export or report what was generated."),
    "archive": ("history", "Mirror all results into a directory."),
    "favorite": ("marks", "Mark generations as favourites, or take the mark away."),
    "rate": ("marks", "Rate a generation."),
    "delete": ("marks", "Delete generations from the history."),
    "geminigen": ("gemini", "List, show or mirror the history of GeminiGen."),
    "balance": ("queries", "Show how many tokens are left."),
    "costs": ("costs", "Show what was generated and what it cost, in rows."),
    "stats": ("queries", "Show what was generated and what it cost."),
    "models": ("queries", "List the models, or show one."),
    "price": ("queries", "Show what a generation would cost."),
    "login": ("login", "Keep the API key, for this command line only."),
    "logout": ("login", "Forget the API key that is kept."),
    "mcp": ("mcp", "Serve the models as tools for agents (MCP)."),
    "gateway": ("gateway", "Serve programs written for openai's API."),
    "demo": ("local", "See it work on a local sandbox; needs no key."),
    "sandbox": ("local", "Serve a local sandbox of the whole API."),
}


class _Commands(TyperGroup):
    """Knows its commands by name and first line, and builds the one that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, summary) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=summary)
        self.params += _shared()

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        current.begin(as_json="--json" in args)
        with wrong_usage():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Context) -> Any:
        with wrong_usage():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else _built(str(command.name)), rest


def _built(name: str) -> Command:
    return _command_of(name, getattr(import_module(f".{COMMANDS[name][0]}", __package__), name))


@cache
def _command_of(name: str, found: typer.Typer | Callable[..., None]) -> Command:
    command = get_command(found) if isinstance(found, typer.Typer) else _alone(name, found)
    for each in (command, *(command.commands.values() if isinstance(command, TyperGroup) else ())):
        each.params += _shared()
    return command


@cache
def _shared() -> list[Parameter]:
    return _alone("neuralbox", everywhere).params


def _alone(name: str, function: Callable[..., None]) -> Command:
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(function)
    return get_command(alone)


app = typer.Typer(
    name="neuralbox",
    cls=_Commands,
    help="Text, images, video, speech and music from the NeuralBox API.",
    epilog=MEANINGS,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # a bug shows Python's own traceback, without the values of local variables
)

FIRST_STEPS = """\
neuralbox demo                       see it work, on a local sandbox of the service; no key needed
neuralbox login                      keep your key: dashboard, Profile, API Keys (needs the VIP or Elite plan)
export NEURALBOX_API_KEY=nb_...      or name it for this shell only
neuralbox balance
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
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(FIRST_STEPS)
