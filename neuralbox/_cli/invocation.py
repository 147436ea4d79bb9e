"""How this run of the command line behaves: the options that every command takes, wherever they stand.

`app` begins a run and adds the options to each command; `errors`, `session` and `settings` read what was asked for.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer


class Invocation:
    """What was asked for of the whole run.

    Attributes:
        as_json: Whether the arguments ask for JSON, be they right or wrong.
        debug: Whether an error shows its traceback.
        quiet: Whether only results and errors are printed.
        verbosity: 1 for the log of what is sent, 2 for all of it.
        profile: The profile that `--profile` names.
    """

    __slots__ = ("as_json", "debug", "profile", "quiet", "verbosity")

    def __init__(self) -> None:
        self.begin()

    def begin(self, *, as_json: bool = False) -> None:
        """Forget an earlier run in this process."""
        self.as_json = as_json
        self.debug = False
        self.quiet = False
        self.verbosity = 0
        self.profile: str | None = None


current: Final = Invocation()


def _be_quiet(wanted: bool) -> None:
    current.quiet = current.quiet or wanted


def _be_verbose(count: int) -> None:
    if count > current.verbosity:
        from .._config import log_to_stderr

        current.verbosity = count
        log_to_stderr("INFO" if count == 1 else "DEBUG")


def _debug(wanted: bool) -> None:
    current.debug = current.debug or wanted


def _use_profile(name: str | None) -> None:
    current.profile = current.profile if name is None else name


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=_be_quiet,
        expose_value=False,
        help="Print results and errors only.",
        show_default=False,
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        callback=_be_verbose,
        expose_value=False,
        help="Log what is sent; twice for more.",
        show_default=False,
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", callback=_debug, expose_value=False, help="Show the traceback of an error.")
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="NAME", callback=_use_profile, expose_value=False, help="A profile of the settings' file."
    ),
]


def everywhere(quiet: Quiet = False, verbose: Verbose = 0, debug: Debug = False, profile: Profile = None) -> None:
    """Hold the options that every command takes."""
