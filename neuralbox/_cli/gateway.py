"""`neuralbox gateway`: programs written for openai's API, served; and the keys that they call with."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import ConfigurationError
from . import output
from .arguments import AsJson, BaseUrl, read_path
from .invocation import current
from .journal_place import read_place
from .session import CommandSession

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from ..gateway import Gateway

gateway = typer.Typer(
    help="Serve programs written for openai's API until Ctrl-C; with a key of yours they call with keys made here, "
    "without it with their own.",
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)

Keys = Annotated[
    Path, typer.Option("--keys", metavar="FILE", parser=read_path, help="The file with the gateway's keys.")
]
KEYS = Path("gateway-keys.json")
Budget = Annotated[int | None, typer.Option("--budget", min=1, metavar="TOKENS", help="Most tokens to spend.")]


@gateway.callback()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8787,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    keys: Keys = KEYS,
    journal: Annotated[
        Any,
        typer.Option(
            metavar="FILE", parser=read_place, help="Keeps what is bought, so that a crash pays for nothing twice."
        ),
    ] = None,
    budget: Budget = None,
    join_equal: Annotated[
        float,
        typer.Option(min=0.0, metavar="SECONDS", help="Let equal calls join that do not say they are repetitions."),
    ] = 0.0,
    alias: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SLUG", help="Another name of a model; repeatable.")
    ] = None,
    grace: Annotated[float, typer.Option(min=0.0, max=1e6, help="Seconds a stop waits for what is under way.")] = 30.0,
    pass_keys_on: Annotated[
        bool, typer.Option("--pass-keys-on", help="Callers bring their own keys of the service.")
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Trace calls by OpenTelemetry, set up by its variables.")
    ] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen on an address that is not loopback.")
    ] = False,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Serve until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    session = CommandSession(json, base_url)
    with session.plain_words("gateway"):
        from .. import _budget
        from .._client import AsyncNeuralBox
        from ..gateway import KeyFile, app
        from ..gateway._serving import GatewayServer

        if not current.quiet:
            _log_accesses()
        where = session.base_url_of("neuralbox")
        operator = None if pass_keys_on else session.known_key(where)
        options: dict[str, object] = {"base_url": where}
        if budget is not None:
            options["budget"] = _budget.Budget(budget)
        if trace:
            with session.plain_words("otel"):
                from ..otel import tracing

                options["hooks"] = tracing()
        client: AsyncNeuralBox | None = None
        shared: dict[str, Any] = {
            "journal": journal,
            "join_equal": join_equal,
            "model_names": _names(alias),
            "grace": grace,
        }
        served: Gateway
        if operator is None:
            served = app(connect=lambda key: AsyncNeuralBox(api_key=key, **options), **shared)  # type: ignore[arg-type]
        else:
            if not KeyFile(keys).all():
                elsewhere = "" if keys == KEYS else f" --keys {shlex.quote(str(keys))}"
                raise ConfigurationError(
                    f"{keys} has no key to call with: `neuralbox gateway key NAME{elsewhere}` makes one."
                )
            client = AsyncNeuralBox(api_key=operator, **options)  # type: ignore[arg-type]
            served = app(client, keys=keys, **shared)

        def announce(url: str) -> None:
            line = f"Gateway on {url} (Ctrl-C stops)"
            output.write_result(output.as_json({"url": url}, sys.stdout) if json else line)

        server = GatewayServer(served, host=host, port=port, allow_remote=allow_remote)
        server.run(announce, close=None if client is None else client.aclose)


@gateway.command()
def key(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    keys: Keys = KEYS,
    budget: Budget = None,
    model: Annotated[list[str] | None, typer.Option(help="A model it may use; repeatable. Default: all.")] = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="Paid requests a minute.")] = None,
    json: AsJson = False,
) -> None:
    """Make a key for a caller; it is shown once."""
    session = CommandSession(json)
    with session.plain_words("gateway"):
        from ..gateway import KeyFile

        if sys.stdout is None:
            raise ConfigurationError("There is no standard output to show the key on, so none was made.")
        secret, made = KeyFile(keys).make(
            name, budget=budget, models=tuple(model or ()) or None, per_minute=per_minute, now=time.time()
        )
        try:
            session.write_record({"key": secret, "id": made.id, "name": made.name})
            session.print_text(secret)
        except OSError:
            KeyFile(keys).revoke(made.id)  # nobody has seen it, and its name is wanted again
            raise
        session.print_status(f"It is shown this once; {keys} keeps its hash.")


@gateway.command("keys")
def list_keys(keys: Keys = KEYS, json: AsJson = False) -> None:
    """List the keys: never the keys themselves."""
    session = CommandSession(json)
    with session.plain_words("gateway"):
        from ..gateway import KeyFile

        found = KeyFile(keys).all()
        if not found:
            session.print_status(f"There are no keys in {keys}.")
        for each in found:
            limits: dict[str, object] = {"budget": each.budget, "per_minute": each.per_minute, "models": each.models}
            session.write_record({"id": each.id, "name": each.name, "created_at": each.created_at, **limits})
            limits["models"] = ",".join(each.models or ())
            said = [f"{word}={value}" for word, value in limits.items() if value]
            session.print_text("\t".join(map(output.joined, (each.id, each.name, *said))))


@gateway.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The key's name or id.")], keys: Keys = KEYS, json: AsJson = False
) -> None:
    """Take a key away; a gateway that runs refuses it from its next request on."""
    session = CommandSession(json)
    with session.plain_words("gateway"):
        from ..gateway import KeyFile

        gone = KeyFile(keys).revoke(name)
        session.write_record({"id": gone.id, "name": gone.name})
        session.print_status(f"{gone.name} is revoked.")


def _names(aliases: list[str] | None) -> dict[str, str]:
    found = {}
    for alias in aliases or ():
        name, mark, slug = alias.partition("=")
        if not (mark and name.strip() and slug.strip()):
            raise ConfigurationError(f"`--alias` is NAME=SLUG; it is {alias!r}.")
        found[name.strip()] = slug.strip()
    return found


def _log_accesses() -> None:
    """Write the access log and warnings to standard error."""
    logger = logging.getLogger("neuralbox.gateway")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
