"""`login` and `logout`: a key is typed at a hidden prompt or read from a pipe, tried, kept, and never printed."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .._errors import ConfigurationError
from . import output
from .arguments import MARK, AsJson, BaseUrl
from .session import CommandSession, key_name, service_of

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from ..geminigen import AsyncGeminiGen

Which = Annotated[Literal["neuralbox", "geminigen"], typer.Option("--service", help="Whose key it is.")]


def login(
    service: Which = "neuralbox",
    file: Annotated[bool, typer.Option("--file", help="Keep it in a file, not in the system's keyring.")] = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Try the key before it is kept.")] = True,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Keep the API key in the system's keyring, or in a file that you alone can read."""
    session = CommandSession(json, base_url, may_be_new=True)
    with session.plain_words():
        from .._config import api_key_from_environment

        key = api_key_from_environment(_typed(service), service_of(service))
        where = session.base_url_of(service)

    async def ask(nb: AsyncNeuralBox, session: CommandSession) -> None:
        found = await nb.account.balance()
        left = "" if found.token_balance is None else f"; {found.token_balance} tokens are left"
        session.print_status(f"The key is right{left}.")

    async def ask_gemini(gg: AsyncGeminiGen, session: CommandSession) -> None:
        await gg.history.list(items_per_page=1)
        session.print_status("The key is right.")

    if check and service == "neuralbox":
        session.run(ask, key=key)
    elif check:
        session.run_gemini(ask_gemini, key=key)
    with session.plain_words():
        from .key_store import keep_key

        name = key_name(session.settings.profile, service)
        place = keep_key(name, key, where, in_file=file, login=session.login_command(service))
        session.write_record({"profile": session.settings.profile, "service": service, "base_url": where})
        session.print_text(output.joined(f"Kept for the profile {session.settings.profile!r} and {where}, {place}."))


def logout(service: Which = "neuralbox", json: AsJson = False) -> None:
    """Forget the API key of a profile."""
    session = CommandSession(json, may_be_new=True)
    with session.plain_words():
        from .key_store import forget_key

        profile = session.settings.profile
        was_there = forget_key(key_name(profile, service), session.login_command(service))
        session.write_record({"profile": profile, "service": service, "forgotten": was_there})
        session.print_text(
            output.joined(f"The key of the profile {profile!r} is {'forgotten' if was_there else 'not kept here'}.")
        )


def _typed(service: str) -> str:
    """Return the key that is typed at a hidden prompt, or the first line of a pipe.

    Raises:
        ConfigurationError: There is none.
    """
    if sys.stdin is None:
        raise ConfigurationError("There is no standard input to read the key from.")
    if sys.stdin.isatty():
        ask = partial(typer.prompt, hide_input=True, err=True)
        return str(ask(f"{'GeminiGen' if service == 'geminigen' else 'NeuralBox'} API key (not shown)"))
    try:
        line = sys.stdin.readline().removeprefix(MARK).strip()
    except UnicodeDecodeError:
        raise ConfigurationError("There is no text on standard input; the key is read from there.") from None
    if not line:
        raise ConfigurationError("There is no API key on standard input; its first line is read.")
    return line
