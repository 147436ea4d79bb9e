"""The command line: arguments in, text out; no logic of its own.

`main` is all this module holds, and it imports nothing of the extras before it runs, so that an installation without
them answers with a sentence instead of a traceback. The commands are in `app`; `errors` says how each one
ends, `output` owns the two streams, `views` what a terminal shows.
"""

from __future__ import annotations

import sys

from . import exit_codes, output
from ._extras import missing_extra


def main() -> None:
    """Run the command line and exit; `exit_codes.MEANINGS` lists the codes."""
    stdout = output.prepare()
    # httpx brings a command line of its own, with rich and pygments: half the time of its import, and nobody asks for it. Nor
    # for trio, which httpcore2 imports where it is installed: a fifth of the start of a command, and all of them run on asyncio.
    for unwanted in ("httpx._main", "trio"):
        sys.modules.setdefault(unwanted, None)  # type: ignore[arg-type]  # None is how the import is told that there is none
    try:
        from .app import app

        app()
    except ModuleNotFoundError as error:
        sentence = missing_extra(error, "cli")
        if sentence is None:
            raise
        output.write_status(sentence)
        sys.exit(exit_codes.USAGE)
    except KeyboardInterrupt:  # before a command has begun
        sys.exit(exit_codes.INTERRUPTED)
    except OSError as error:  # help and the like: commands report it themselves
        output.write_status(f"The output cannot be written: {error.strerror}.")
        output.forget(stdout)
        sys.exit(exit_codes.UNUSABLE_DISK)
    except SystemExit as left:
        sys.exit(output.settle(stdout, left.code))
    finally:
        # A Ctrl-C while a text is executed, as `dataclass` does when a module is imported, is remembered by `python -m` until
        # another text is: it would end by the signal, whatever code it leaves with.
        exec("")  # noqa: S102 - an empty one
