"""`neuralbox watch`: a batch on the whole terminal, from its journal alone."""

from __future__ import annotations

import sys

import typer

from . import output
from .arguments import AsJson
from .journal_place import Journal, shown
from .session import CommandSession


def watch(journal: Journal, json: AsJson = False) -> None:
    """Show a batch while it runs, or what it came to; where there is no terminal, once. Needs no key."""
    session = CommandSession(json)
    with session.plain_words("watch"):
        from .._watch import JournalView, summary_lines, summary_values

        view = JournalView(str(journal))
        counts = view.refresh()  # a file that is no journal is told before the screen is taken
        if not json and output.is_terminal(sys.stdout) and output.is_terminal(sys.stdin):
            from .._watch.screen import WatchApp

            app = WatchApp(view, options=session.paid.options)
            app.run()
            raise typer.Exit(app.return_code or 0)
        while counts.unread:
            counts = view.refresh()
        session.write_record(summary_values(counts))
        for line in summary_lines(shown(journal), counts, session.paid.options):
            session.print_text(output.joined(line))
