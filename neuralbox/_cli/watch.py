"""`neuralbox watch`: a batch on the whole terminal, from its journal alone."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from .._errors import ConfigurationError
from . import output
from .arguments import AsJson
from .journal_place import read_place, shown
from .session import CommandSession


def watch(
    journal: Annotated[
        Any, typer.Argument(metavar="JOURNAL", parser=read_place, help="The journal of a batch, e.g. run.sqlite.")
    ],
    json: AsJson = False,
) -> None:
    """Show a batch while it runs, or what it came to; where there is no terminal, once. Needs no key."""
    session = CommandSession(json)
    with session.plain_words("watch"):
        if not isinstance(journal, Path):  # the view reads what changed by parts of the file
            raise ConfigurationError(
                f"The live view follows a journal that is a file; `neuralbox batch status {quote(shown(journal))}` shows this one."
            )
        from .._watch import JournalView, summary_lines, summary_values

        view = JournalView(str(journal))
        counts = view.refresh()  # a file that is no journal is told before the screen is taken
        if not json and output.is_terminal(sys.stdout) and output.is_terminal(sys.stdin):
            from .._watch.screen import WatchApp

            WatchApp(view).run()
            return
        while counts.unread:
            counts = view.refresh()
        session.write_record(summary_values(counts))
        for line in summary_lines(str(journal), counts):
            session.print_text(output.joined(line))
