"""The two streams of a command: results go to standard output, everything else to standard error.

A pipe gets results only, each as soon as it is there, and byte for byte; on a terminal, control characters in what the
service said are shown instead of obeyed. A reader who leaves (`| head`) is no error worth a word; an output that cannot
be written for another reason is. What cannot be written to standard error is dropped: a status line ends nothing.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from contextlib import suppress
from typing import Final, TextIO

from . import exit_codes

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def prepare() -> TextIO | None:
    """Let both streams take any text, whatever the terminal's encoding; return the one for results."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return sys.stdout


def write_result(text: str, end: str = "\n") -> None:
    """Write a result.

    Raises:
        BrokenPipeError: Nobody reads any more.
        OSError: It cannot be written; the message names the output.
    """
    stream = sys.stdout
    if stream is None:  # closed before we began
        return
    try:
        stream.write((visible(text) if stream.isatty() else text) + end)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, f"The output cannot be written: {error.strerror}") from error


def write_status(text: str) -> None:
    """Write a line for people beside the results."""
    stream = sys.stderr
    with suppress(OSError, AttributeError):  # full, gone, or closed before we began
        stream.write((visible(text) if stream.isatty() else text) + "\n")
        stream.flush()


def visible(text: str) -> str:
    """Escape control characters but line ends and tabs, so that no text from elsewhere steers a terminal."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether somebody sees what is written there, and lines can be drawn over.

    Only the stream itself counts: FORCE_COLOR and its like must not put bars into a file.
    """
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def settle(stdout: TextIO | None, code: str | int | None) -> str | int | None:
    """Write out what is still held back, when all is done, and return the exit code that comes of it.

    Args:
        stdout: What `prepare` returned.
        code: What the command leaves with.
    """
    if stdout is None:
        return code
    if sys.stdout is not stdout:  # typer puts something else there when help meets a closed pipe
        forget(stdout)
        return exit_codes.CLOSED_PIPE
    try:
        stdout.flush()
    except OSError as error:
        forget(stdout)
        if error.errno == errno.EPIPE:
            return exit_codes.CLOSED_PIPE
        if not code:
            write_status(f"The output cannot be written: {error.strerror}.")
        return code or exit_codes.UNUSABLE_DISK
    return code


def forget(stream: TextIO | None) -> None:
    """Keep the interpreter from complaining at its exit about what it can write to nobody."""
    if stream is None:
        return
    with suppress(OSError, ValueError):  # not a real file: nothing would complain
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
