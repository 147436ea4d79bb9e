"""The server of the Model Context Protocol: `mcp`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import output
from .arguments import BaseUrl, read_path
from .journal_place import read_place
from .session import CommandSession

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from ..mcp import McpSettings


def mcp(
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="DIR", parser=read_path, help="Directory for results; nothing is written elsewhere."
        ),
    ] = Path("neuralbox-mcp"),
    budget: Annotated[
        int | None, typer.Option(min=1, help="Tokens that this server may spend; default: no limit.")
    ] = None,
    ask_above: Annotated[
        int, typer.Option(min=0, metavar="TOKENS", help="What one call may cost without the user being asked.")
    ] = 0,
    read_only: Annotated[bool, typer.Option("--read-only", help="Leave out the tools that cost tokens.")] = False,
    session: Annotated[
        str, typer.Option(metavar="NAME", help="Equal calls are one purchase within a session; another name buys anew.")
    ] = "default",
    journal: Annotated[
        Any,
        typer.Option(metavar="FILE", parser=read_place, help="What was bought; default: mcp.sqlite in the directory."),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0.0, max=3_600.0, help="Seconds a call waits for its result unless it says otherwise.")
    ] = 45.0,
    http: Annotated[
        bool, typer.Option("--http", help="Serve streamable HTTP instead of standard input and output.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on, with --http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port, with --http; 0 takes a free one.")] = 8766,
    token: Annotated[
        str | None,
        typer.Option(envvar="NEURALBOX_MCP_TOKEN", help="What HTTP clients must send as a bearer token.", hidden=True),
    ] = None,
    base_url: BaseUrl = None,
) -> None:
    """Serve the models as tools for agents, by the Model Context Protocol, until the client leaves or Ctrl-C."""
    command = CommandSession(base_url=base_url)
    with command.plain_words("mcp"):
        from ..mcp import McpSettings, build_server, serve_http, serve_stdio

        settings = McpSettings(
            directory=to.absolute(),
            journal=journal,
            session=session,
            ask_above=ask_above,
            read_only=read_only,
            wait=wait,
        )
        if not read_only:
            _require_usable(settings)

    async def work(nb: AsyncNeuralBox, _command: CommandSession) -> None:
        server = build_server(nb if budget is None else nb.with_options(budget=budget), settings)
        if http:
            await serve_http(server, host=host, port=port, token=token, announce=output.write_result)
        else:
            await serve_stdio(server)

    command.run(work)


def _require_usable(settings: McpSettings) -> None:
    """Refuse what the first purchase would fail on: whoever started the server does not see that.

    Raises:
        JournalError: The journal is none.
        OSError: A directory cannot be made.
    """
    from .._journal import require_journal

    for directory in (settings.directory, settings.journal_path.parent):
        directory.mkdir(parents=True, exist_ok=True)
    if settings.journal_path.exists():
        require_journal(settings.journal_path)
