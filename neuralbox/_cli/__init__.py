"""The command line: arguments in, words out; no logic of its own.

`main` is all this module holds, and it imports nothing of the extras before it runs, so that an installation without
them answers with a sentence instead of a traceback. The commands are in `app`, what a terminal shows in `views`.
"""

from __future__ import annotations

import sys

from ._extras import missing_extra


def main() -> None:
    """Run the command line and exit.

    Exit codes: 0 done, 1 something failed or is missing, 2 wrong usage or a missing extra, 130 stopped by Ctrl-C.
    """
    try:
        from .app import app
    except ModuleNotFoundError as error:
        sentence = missing_extra(error, "cli")
        if sentence is None:
            raise
        sys.stderr.write(f"{sentence}\n")
        sys.exit(2)
    app()
