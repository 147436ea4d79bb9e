"""The two streams of a command: results go to standard output, everything else to standard error.

A pipe gets results only, each as soon as it is there, and byte for byte; on a terminal, control characters in what the
service said are shown instead of obeyed, and no word of it begins a line. JSON is JSON whatever the encoding of the stream. A reader who leaves (`| head`) is no error worth a word; an output that cannot
be written for another reason is. What cannot be written to standard error is dropped: a status line ends nothing.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import re
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

from . import exit_codes

# Control characters but line ends and tabs, line separators, and marks that turn the direction of what follows.
_ACTS: Final = "\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069"
_CONTROLS: Final = re.compile(f"[\\x00-\\x08\\x0b-\\x1f{_ACTS}]")
_UNESCAPED_BY_JSON: Final = re.compile(f"[{_ACTS}]")
_BREAKS: Final = re.compile(r"[\t\n\r]+")


def prepare() -> TextIO | None:
    """Let both streams take any text, whatever the terminal's encoding; return the one for results."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return sys.stdout


def as_json(values: Any, stream: TextIO | None) -> str:
    """Return one line of JSON that a stream can hold.

    Args:
        values: What it says.
        stream: Where it goes: what its encoding may not have is escaped as JSON does it.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = json.dumps(values, ensure_ascii=codecs.lookup(encoding).name != "utf-8", default=str)
    return _UNESCAPED_BY_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


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
    """Write a line for people beside the results; a log of them has one line for each."""
    stream = sys.stderr
    with suppress(OSError, AttributeError):  # full, gone, or closed before we began
        stream.write(drawn(text) + "\n")
        stream.flush()


def visible(text: str) -> str:
    """Escape control characters but line ends and tabs, so that no text from elsewhere steers a terminal."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def joined(text: str) -> str:
    """Put words of others on one line: they begin none, and no column of a table."""
    return _BREAKS.sub(" ", text)


def drawn(text: str) -> str:
    """Return words of others as part of a line that a terminal or a log shows."""
    return visible(joined(text))


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
