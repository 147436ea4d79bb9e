"""The requests of `batch run`: a file of JSON lines, checked to its end before anything of it is sent.

A file is read twice, so that a slip in its last line costs nothing and the number of requests is known. What can be read
only once (a pipe) is taken as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigurationError

if TYPE_CHECKING:
    from .._requests.requests import BatchRequest


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A file of requests that has been checked.

    Attributes:
        path: The file.
        count: How many there are, or None where that is not known.
    """

    path: Path
    count: int | None

    def __iter__(self) -> Iterator[BatchRequest]:
        from .._requests.json_lines import read_requests

        return read_requests(self.path)


def open_requests(path: Path) -> RequestFile:
    """Check a file of requests.

    Raises:
        ConfigurationError: A line holds no request that could be sent; the message names line and field. Or the file
            is empty.
        OSError: It cannot be read.
    """
    if not path.is_file() and path.exists() and not path.is_dir():
        return RequestFile(path, None)
    from .._config import Dialect
    from .._requests.json_lines import check, read_requests

    count = 0
    for request in read_requests(path):
        count += 1
        try:
            check(request, Dialect())
        except ConfigurationError as error:
            name = f"{count}" if request.key is None else repr(request.key)
            raise ConfigurationError(f"{path}, request {name}: {error.message} Nothing was sent.") from error
    if not count:
        raise ConfigurationError(f"There is no request in {path}.")
    return RequestFile(path, count)
