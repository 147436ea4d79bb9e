"""What every command of the service needs: the key, a client for the length of the command, and its output."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from .._errors import ConfigurationError
from . import output
from .errors import Paid, plain_words

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from .._models.generation import Generation
    from .views import Meter


@dataclass(slots=True)
class CommandSession:
    """One command on its way: how it speaks, and what it has paid for.

    Attributes:
        as_json: Whether results are printed as JSON.
        base_url: Where the service is, or None for the environment's.
        paid: Jobs to name when it is stopped.
        meter: What shows how far it is, while there is one.
    """

    as_json: bool = False
    base_url: str | None = None
    paid: Paid = field(default_factory=Paid)
    meter: Meter | None = None

    def plain_words(self, extra: str = "cli") -> AbstractContextManager[None]:
        """Leave with a sentence where the block fails."""
        return plain_words(extra, as_json=self.as_json, paid=self.paid)

    def run(self, work: Callable[[AsyncNeuralBox, CommandSession], Awaitable[int | None]]) -> None:
        """Do the command's work with a client, and leave with the code it returns, or with a sentence where it fails."""
        with self.plain_words():
            import anyio

            from .._client import AsyncNeuralBox

            key = _key()

            async def go() -> int | None:
                async with AsyncNeuralBox(api_key=key, base_url=self.base_url) as nb:
                    return await work(nb, self)

            code = anyio.run(go)
        if code:
            raise typer.Exit(code)

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
        """Print on standard error what is going on; nothing where JSON is wanted."""
        if not self.as_json and not (self.meter is not None and self.meter.prints(line, beside=True)):
            output.write_status(line)

    def print_fields(self, values: Mapping[str, Any]) -> None:
        """Print a handful of named values, those that are known."""
        known = {name: value for name, value in values.items() if value is not None}
        self.write_record(known)
        width = max(map(len, known), default=0)
        for name, value in known.items():
            self.print_text(output.joined(f"{name.replace('_', ' '):<{width}}  {value}"))

    @contextmanager
    def measured(self, label: str) -> Iterator[Meter]:
        """Show how far the block is: a bar on a terminal, a line now and then elsewhere, nothing beside JSON."""
        from .views import Meter, open_meter

        if self.as_json:
            yield Meter()
            return
        with open_meter(label) as meter:
            self.meter = meter
            try:
                yield meter
            finally:
                self.meter = None


def plain_values(generation: Generation) -> dict[str, Any]:
    """Return a generation as JSON: what is known of it, without the reply as it came."""
    return generation.model_dump(mode="json", exclude={"raw"}, exclude_none=True)


def _key() -> str | None:
    """Return the key of the environment, else what is typed at a prompt that does not show it; never an argument.

    Raises:
        ConfigurationError: There is none, and nobody to ask.
    """
    if os.environ.get("NEURALBOX_API_KEY", "").strip():
        return None  # the client reads it
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError(
            "There is no API key: set NEURALBOX_API_KEY to yours (nb_...; dashboard, Profile, API Keys). "
            "`neuralbox demo` needs none."
        )
    typed: str = typer.prompt("NeuralBox API key (not shown)", hide_input=True, err=True)
    return typed
