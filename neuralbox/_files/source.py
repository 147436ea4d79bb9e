"""Which file is fetched: its address, the generation it belongs to, and the words about it in errors.

An address is checked before anything is sent to it, and shown without its query, which may be a signature.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

from .._api.reply import safe_words
from .._errors import ConfigurationError, DownloadError
from .._models.generation import Generation
from .._types import GenerationId, JobRef
from .names import name_for_id, name_for_url


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file's address, and the generation it belongs to.

    Attributes:
        url: Its address.
        generation: The generation it belongs to, where it is one's.
        stem: What its name begins with; None for the generation's id, or what its server says.
    """

    url: str
    generation: Generation | None
    stem: str | None = None

    @classmethod
    def of(cls, source: Generation | str) -> FileSource:
        """Read what a caller named.

        Raises:
            ConfigurationError: There is no file to fetch, or its URL is not absolute http(s).
        """
        if isinstance(source, str):
            problem = _problem_of(source)
            if problem:
                raise ConfigurationError(f"A file is fetched from an absolute http or https URL; {problem}.")
            return cls(source, None)
        ref = source.ref
        if source.url is None:
            if source.is_failed:
                why = f"failed, so there is no file ({safe_words(source.error) or 'no reason was given'})"
            elif not source.is_final:
                why = f"is {source.status or 'not finished'}: wait for it first, `client.job({ref.id!r}).wait()`"
            elif source.text is not None:
                why = "is a text: it is in `generation.text`, there is no file"
            else:
                why = "is completed, but the service gave no address of its file"
            raise ConfigurationError(f"The {ref} {why}.", job=ref)
        problem = _problem_of(source.url)
        if problem:
            raise ConfigurationError(f"The address of the {ref} is not one a file can be had from: {problem}.", job=ref)
        return cls(source.url, source)

    @property
    def job(self) -> JobRef | None:
        return None if self.generation is None or self.generation.id == "" else self.generation.ref

    @property
    def shown(self) -> str:
        """Return the address without its query."""
        return self.url.partition("#")[0].partition("?")[0]

    @property
    def key(self) -> str:
        """Name the file among those in a directory: 16 hexadecimal digits.

        A generation's address may be signed anew each time, so its query does not count; of any other address the
        query may be what tells one file from another.
        """
        name = f"{self.url}" if self.job is None else f"{self.job.id}\n{self.shown}"
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def __str__(self) -> str:
        return f"The file {self.shown}"

    def fail(self, why: str) -> NoReturn:
        raise DownloadError(f"{self} could not be fetched: {why}.", job=self.job)

    def path_in(self, directory: Path) -> Path | None:
        """Return where it goes in a directory, if that is known before its server was asked."""
        named_by = self._named_by
        if named_by is None:
            return None
        name = name_for_id(named_by, self.url)
        return None if name is None else directory / name

    def name(self, url: str, content_type: str, disposition: str | None) -> str:
        """Name it by what its server says, at the address where it was found."""
        named_by = self._named_by
        if named_by is not None:
            named = name_for_id(named_by, url, content_type)
            assert named is not None
            return named
        return name_for_url(url, content_type, disposition)

    @property
    def _named_by(self) -> GenerationId | None:
        if self.stem is not None:
            return self.stem
        return None if self.job is None else self.job.id

    def next_address(self, url: str, location: str) -> str:
        """Return where a redirect leads; `DownloadError` where nobody should go."""
        try:
            target = urljoin(url, location.strip())
        except ValueError:
            target = ""
        if _problem_of(target):
            self.fail("its server redirects to what is not an absolute http or https URL without a credential")
        if urlsplit(url).scheme.lower() == "https" and urlsplit(target).scheme.lower() != "https":
            self.fail("its server redirects from https to http, where anybody could change the file")
        return target


def _problem_of(url: str) -> str:
    """Say what is wrong with an address, without its query; "" where nothing is."""
    if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in url):
        return "this one holds control characters or half ones"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it raises for a port that is not a number
    except ValueError:
        return "this one is not well-formed"
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        shown = url.partition("#")[0].partition("?")[0]
        return f"`{shown}` is none" if len(url) <= 200 else "this one is none"
    if parts.username is not None or parts.password is not None:
        return "this one holds a user name or password, and no credential is ever sent to a storage"
    return ""
