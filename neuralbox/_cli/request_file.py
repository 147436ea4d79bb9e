"""The requests of `batch run`: JSON lines or a table, checked to its end before anything of it is sent.

A file is read twice, so that a slip in its last line costs nothing, every slip is reported at once, and the number of
requests is known. Standard input is copied to a file of ours for that. What else can be read only once (a named pipe) is
taken as it comes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigurationError
from .arguments import no_address

if TYPE_CHECKING:
    from .._requests.requests import BatchRequest


@dataclass(frozen=True, slots=True)
class LineProblem:
    """Why a line's request cannot be sent.

    Attributes:
        line: Its number, from 1.
        message: What is wrong with it.
        is_missing_file: Whether it is only that a file of this machine is not there.
    """

    line: int
    message: str
    is_missing_file: bool = False


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A file of requests that has been checked.

    Attributes:
        path: The file, as it is called in messages.
        source: Where it is read from.
        is_table: Whether it is a table.
        count: How many there are, or None where that is not known.
        problems: What keeps some of them from being sent, in the order of the lines.
        is_shared: Whether each gets a key, by its place in the file where it has none.
    """

    path: Path
    source: Path
    is_table: bool
    count: int | None
    problems: tuple[LineProblem, ...] = ()
    is_shared: bool = False

    def __iter__(self) -> Iterator[BatchRequest]:
        for position, (line, found) in enumerate(self._lines(), 1):
            if isinstance(found, ConfigurationError):
                raise ConfigurationError(f"{self.path}, line {line}: {found.message}")
            is_named = found.key is not None or not self.is_shared
            yield found if is_named else replace(found, key=f"{position:06d}")

    def _lines(self) -> Iterator[tuple[int, BatchRequest | ConfigurationError]]:
        from .._requests.json_lines import read_lines

        return read_lines(self.source, is_table=self.is_table, called=self.path)

    def __length_hint__(self) -> int:
        """Say how many there are, as far as that is known."""
        return NotImplemented if self.count is None else self.count

    def digest(self) -> str:
        """Return what a file with other requests, or one that is read another way, has not."""
        with self.source.open("rb") as file:
            return f"{'csv' if self.is_table else 'jsonl'}:{hashlib.file_digest(file, 'sha256').hexdigest()[:32]}"

    def without_problems(self) -> Iterator[BatchRequest]:
        """Read the requests that can be sent."""
        refused = {problem.line for problem in self.problems}
        for line, found in self._lines():
            if line not in refused and not isinstance(found, ConfigurationError):
                yield found


def open_requests(path: Path, source: Path, *, is_table: bool, is_shared: bool = False) -> RequestFile:
    """Check a file of requests: their fields, their keys, and the files of this machine that they name.

    Args:
        path: What it is called.
        source: Where it is read from.
        is_table: Whether it is a table.
        is_shared: Whether they go into a journal that many share.

    Raises:
        ConfigurationError: There is no request in it, or no header.
        OSError: It cannot be read.
    """
    if not source.is_file() and source.exists() and not source.is_dir():
        return RequestFile(path, source, is_table, None, is_shared=is_shared)
    count, problems, keys = 0, [], dict[str, int]()
    for line, found in RequestFile(path, source, is_table, None)._lines():
        count += 1
        problem = _problem_of(line, found, is_shared=is_shared) or _repeated_key(line, count, found, keys)
        if problem is not None:
            problems.append(problem)
    if not count:
        raise ConfigurationError(f"There is no request in {path}.")
    return RequestFile(path, source, is_table, count, tuple(problems), is_shared)


@contextmanager
def copied_input() -> Iterator[Path]:
    """Copy standard input to a file of this user alone, for as long as the block lasts.

    Raises:
        ConfigurationError: Standard input is closed, or a terminal, where nobody types requests.
        OSError: There is no room for it.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigurationError("- reads the requests from standard input, and nothing is piped there.")
    with tempfile.TemporaryDirectory(prefix="neuralbox-") as directory:
        path = Path(directory) / "requests"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


def _problem_of(line: int, found: BatchRequest | ConfigurationError, *, is_shared: bool) -> LineProblem | None:
    from .._batch.reader import require_shared_key
    from .._config import Dialect
    from .._journal.protocol import require_key
    from .._requests.json_lines import check, require_writable
    from .._requests.requests import TranscriptionRequest

    if isinstance(found, ConfigurationError):
        return LineProblem(line, found.message)
    try:
        require_writable(check(found, Dialect()), found.extra_body)
        if found.key is not None:
            require_key(found.key)
            if is_shared:
                require_shared_key(found.key)
    except ConfigurationError as error:
        return LineProblem(line, error.message)
    misplaced = no_address(found.to_dict())
    if misplaced is not None:
        return LineProblem(line, misplaced)
    if isinstance(found, TranscriptionRequest) and isinstance(found.audio, str | os.PathLike):
        audio = Path(found.audio)
        if not audio.exists():
            return LineProblem(line, f"`audio`: there is no file {audio}.", is_missing_file=True)
        if not audio.is_file():
            return LineProblem(line, f"`audio`: {audio} is no regular file.")
    return None


def _repeated_key(
    line: int, position: int, found: BatchRequest | ConfigurationError, keys: dict[str, int]
) -> LineProblem | None:
    """Return what is wrong with a key that an earlier request has; a request without one is named by its position."""
    given = None if isinstance(found, ConfigurationError) else found.key
    key = f"{position:06d}" if given is None else given
    earlier = keys.setdefault(key, line)
    if earlier == line:
        return None
    return LineProblem(line, f"The key {key!r} is that of line {earlier}. Give each request its own key.")
