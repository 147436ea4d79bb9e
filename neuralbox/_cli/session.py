"""What every command of the service needs: the key, a client for the length of the command, and its output."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from .._errors import ConfigurationError
from . import output
from .errors import Paid, plain_words
from .invocation import current

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from .._config import Service
    from .._models.generation import Generation
    from ..geminigen import AsyncGeminiGen
    from .key_store import KeptKey
    from .settings import Settings
    from .views import Meter

Client = TypeVar("Client", "AsyncNeuralBox", "AsyncGeminiGen")


@dataclass(slots=True)
class CommandSession:
    """One command on its way: how it speaks, and what it has paid for.

    Attributes:
        as_json: Whether results are printed as JSON.
        base_url: Where the service is, or None for what the settings and the environment say.
        poll_interval: Shortest pause between two polls of a job in seconds, or None.
        paid: Jobs to name when it is stopped.
        meter: What shows how far it is, while there is one.
        may_be_new: Whether its profile need not be known yet.
    """

    as_json: bool = False
    base_url: str | None = None
    poll_interval: float | None = None
    paid: Paid = field(default_factory=Paid)
    meter: Meter | None = None
    may_be_new: bool = False
    _settings: Settings | None = None

    def __post_init__(self) -> None:
        said = (("--base-url", self.base_url), ("--profile", current.profile))
        self.paid.options += [part for option, value in said if value is not None for part in (option, value)]
        if self.poll_interval is not None:
            self.paid.wait_options += ["--poll-interval", f"{self.poll_interval:g}"]

    @property
    def settings(self) -> Settings:
        """What the user's file says; read at first use.

        Raises:
            ConfigurationError: It cannot be used.
        """
        if self._settings is None:
            from .settings import read_settings

            self._settings = read_settings(may_be_new=self.may_be_new)
        return self._settings

    def limit(self, timeout: float | None) -> float | None:
        """Return the seconds of a wait: what the command was told, or the settings say; None for the client's."""
        if timeout is not None:
            self.paid.wait_options += ["--timeout", f"{timeout:g}"]
        return self.settings.timeout if timeout is None else timeout

    def plain_words(self, extra: str = "cli") -> AbstractContextManager[None]:
        """Leave with a sentence where the block fails."""
        return plain_words(extra, as_json=self.as_json, paid=self.paid)

    def run(
        self, work: Callable[[AsyncNeuralBox, CommandSession], Awaitable[int | None]], *, key: str | None = None
    ) -> None:
        """Do the command's work with a client, and leave with the code it returns, or with a sentence where it fails.

        Args:
            work: It.
            key: The key; None for that of the environment, of the profile, or of the prompt.
        """
        with self.plain_words():
            from .._client import AsyncNeuralBox
        self._go(AsyncNeuralBox, work, "neuralbox", key)

    def run_gemini(
        self, work: Callable[[AsyncGeminiGen, CommandSession], Awaitable[int | None]], *, key: str | None = None
    ) -> None:
        """Do likewise with a client of the other service."""
        with self.plain_words():
            from ..geminigen import AsyncGeminiGen
        self.paid.service = "geminigen"
        self._go(AsyncGeminiGen, work, "geminigen", key)

    def _go(
        self,
        client: Callable[..., AbstractAsyncContextManager[Client]],
        work: Callable[[Client, CommandSession], Awaitable[int | None]],
        service: str,
        key: str | None,
    ) -> None:
        with self.plain_words():
            import anyio

            where = self.base_url_of(service)
            found = self.key_for(service, where) if key is None else key
            pause = self.settings.poll_interval if self.poll_interval is None else self.poll_interval
            more: dict[str, Any] = {}
            if pause is not None:
                from .._config import Polling

                more["polling"] = Polling(min_interval=pause, max_interval=max(pause, Polling().max_interval))

            async def go() -> int | None:
                async with client(api_key=found, base_url=where, **more) as opened:
                    return await work(opened, self)

            code = anyio.run(go)
        if code:
            raise typer.Exit(code)

    def base_url_of(self, service: str) -> str:
        """Return where a service is: by the option, a named profile, the environment, the file, or the kept key.

        Raises:
            ConfigurationError: The settings or the keys cannot be read.
        """
        from .._config import base_url_from_environment, has_environment_base_url, has_environment_key

        known, settings = service_of(service), self.settings
        ours = settings.base_url if service == "neuralbox" else None
        if self.base_url is not None:
            return self.base_url
        if settings.is_named and ours is not None:
            return ours
        if not settings.is_named and has_environment_base_url(known):
            return base_url_from_environment(None, known)
        if ours is not None:
            return ours
        kept = None if has_environment_key(known) and not settings.is_named else self._kept(service)
        return base_url_from_environment(None, known) if kept is None else kept.base_url

    def _kept(self, service: str) -> KeptKey | None:
        from .key_store import find_key

        return find_key(key_name(self.settings.profile, service))

    def key_for(self, service: str, where: str) -> str:
        """Return the key of the environment or of the profile, else what is typed at a prompt; never an argument.

        Raises:
            ConfigurationError: There is none, and nobody to ask.
        """
        from .._config import api_key_from_environment, has_environment_key

        known = service_of(service)
        kept = self._kept(service) if self.settings.is_named or not has_environment_key(known) else None
        if kept is not None and _origin(kept.base_url, known) == _origin(where, known):
            return kept.read(self.login_command(service))
        if has_environment_key(known):
            return api_key_from_environment(None, known)
        if sys.stdin is None or not sys.stdin.isatty():
            elsewhere = (
                "" if kept is None else f" The one that is kept is for {kept.base_url}, and not sent to {where}."
            )
            demo = " `neuralbox demo` needs none." if service == "neuralbox" else ""
            raise ConfigurationError(
                f"There is no API key: set {known.key_variable} to yours, or run `{self.login_command(service)}`. {known.key_help}"
                f"{elsewhere}{demo}"
            )
        name = "NeuralBox" if service == "neuralbox" else "GeminiGen"
        typed: str = typer.prompt(f"{name} API key (not shown)", hide_input=True, err=True)
        return typed

    def login_command(self, service: str) -> str:
        """Return the command that keeps a key of a service for the profile."""
        return self.paid.command("login", *(() if service == "neuralbox" else ("--service", service)))

    def known_key(self, where: str) -> str | None:
        """Return the key of the environment or of the profile for a service at this address; None where there is none."""
        from .._config import has_environment_key

        is_known = has_environment_key(service_of("neuralbox")) or self._kept("neuralbox") is not None
        return self.key_for("neuralbox", where) if is_known else None

    # Output.

    def print_text(self, line: str = "", end: str = "\n") -> None:
        """Print a result for people; nothing where JSON is wanted."""
        if not self.as_json:
            self._print(line, end)

    def write_record(self, values: Mapping[str, Any]) -> None:
        """Print a result as JSON; nothing where it is for people."""
        if self.as_json:
            self._print(output.as_json(values, sys.stdout))

    def _print(self, line: str, end: str = "\n") -> None:
        if self.meter is None or not self.meter.prints(line):
            output.write_result(line, end)

    def print_status(self, line: str) -> None:
        """Print on standard error what is going on; nothing where JSON, or nothing but results, is wanted."""
        if not current.quiet:
            self.print_problem(line)

    def print_problem(self, line: str) -> None:
        """Print on standard error what went wrong, or what comes next; nothing where JSON is wanted."""
        if not self.as_json and not (self.meter is not None and self.meter.prints(line, beside=True)):
            output.write_status(line)

    def print_fields(self, values: Mapping[str, Any]) -> None:
        """Print a handful of named values, those that are known."""
        known = {name: value for name, value in values.items() if value is not None}
        self.write_record(known)
        width = max(map(len, known), default=0)
        for name, value in known.items():
            self.print_text(output.joined(f"{name.replace('_', ' '):<{width}}  {in_words(value)}"))

    @contextmanager
    def measured(self, label: str) -> Iterator[Meter]:
        """Show how far the block is: a bar on a terminal, a line now and then elsewhere, nothing beside JSON or with -q."""
        from .views import Meter, open_meter

        if self.as_json or current.quiet:
            yield Meter()
            return
        with open_meter(label) as meter:
            self.meter = meter
            try:
                yield meter
            finally:
                self.meter = None


def in_words(value: Any) -> str:
    """Return a value for people: no brackets, no quotes, none of Python's names."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={in_words(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(in_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def plain_values(generation: Generation) -> dict[str, Any]:
    """Return a generation as JSON: what is known of it, without the reply as it came, and whether that may not be all."""
    values = generation.model_dump(mode="json", exclude={"raw"}, exclude_none=True)
    return {**values, "is_partial": True} if generation.is_partial else values


def service_of(service: str) -> Service:
    """Return what there is to know of a service by its name."""
    if service == "neuralbox":
        from .._config import NEURALBOX

        return NEURALBOX
    from ..geminigen._service import GEMINIGEN

    return GEMINIGEN


def key_name(profile: str, service: str) -> str:
    """Return the name under which a profile's key of a service is kept."""
    return profile if service == "neuralbox" else f"{profile} ({service})"


def _origin(base_url: str, service: Service) -> str:
    return base_url.strip().rstrip("/").removesuffix(service.prefix).lower()
