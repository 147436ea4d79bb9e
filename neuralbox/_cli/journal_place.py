"""Where a command's journal is: a file, or a run in a database that many processes share.

    jobs.sqlite                         a file
    postgresql://host/db#summer         a run in PostgreSQL
    '#summer'                           the run of that name in the database that NEURALBOX_JOURNAL names

A password stays out of what is printed: a command that names the journal again names it as it was found in the
environment, or without the password, which PGPASSWORD or ~/.pgpass gives as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from .._config import journal_from_environment
from .._errors import ConfigurationError
from .arguments import read_path

Place: TypeAlias = Path | str
"""A file, or the address of a run."""


def read_place(text: str) -> Place:
    """Read what names a journal.

    Raises:
        BadParameter: It is empty, or the address of no run.
    """
    from .._journal.postgres.address import is_address, read_address

    if text.startswith("#"):
        database = journal_from_environment().partition("#")[0]
        if not is_address(database):
            raise typer.BadParameter(
                f"{text!r} names a run in the database of NEURALBOX_JOURNAL, which names none: set it to postgresql://..."
            )
        text = f"{database}{text}"
    if not is_address(text):
        return read_path(text)
    try:
        read_address(text)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def shown(journal: Place) -> str:
    """Return a journal as a command may print it and its user may type it again."""
    if isinstance(journal, Path):
        return str(journal)
    from .._journal.postgres.address import read_address

    database, _, run = journal.partition("#")
    if database == journal_from_environment().partition("#")[0]:
        return f"#{run}"
    return read_address(journal).shown


def page_of(journal: Place) -> Path:
    """Return where a page about a journal is put unless its user says otherwise."""
    if isinstance(journal, Path):
        return journal.with_suffix(".html")
    from .._journal.postgres.address import read_address

    run = read_address(journal).run
    return Path("".join(each if each.isalnum() or each in "-_." else "_" for each in run) + ".html")


Journal = Annotated[
    Any,
    typer.Argument(
        metavar="JOURNAL",
        envvar="NEURALBOX_JOURNAL",
        parser=read_place,
        help="The journal of a batch: a file, or postgresql://host/db#run.",
    ),
]
JournalOption = Annotated[
    Any,
    typer.Option(
        "--journal",
        metavar="JOURNAL",
        envvar="NEURALBOX_JOURNAL",
        parser=read_place,
        help="A file, or postgresql://host/db#run. Default: the requests' name with .sqlite.",
    ),
]
