"""Where results go: a directory (`--to`), or one file (`-o`), and what files in a directory are called (`--name-by`).

What cannot be is found before anything is paid for. What was paid for is never lost for a name: a file that came to stand
there meanwhile stays, and the new one gets a name beside it.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import ConfigurationError
from .arguments import read_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._base_client import BaseClient
    from .._files.naming import FileNaming
    from .._files.target import Overwrite
    from .._models.generation import Generation
    from .._types import JobRef
    from .session import CommandSession

To = Annotated[Path | None, typer.Option("--to", metavar="DIR", parser=read_path, help="Directory to download into.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", parser=read_path, help="Write the result to this file."),
]
NameBy = Annotated[
    str | None,
    typer.Option("--name-by", metavar="key|id|TEMPLATE", help="Names of files in --to, e.g. '{model}/{date}-{id}'."),
]
Replace = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]


@dataclass(frozen=True, slots=True)
class Saving:
    """Where the results of a command go.

    Attributes:
        to: A directory for their files, or None.
        output: One file for the one result, or None.
        naming: What files in the directory are called.
        overwrite: What happens where something stands under the name.
        repeated: The caller's own words for all that, to be said again in a command.
    """

    to: Path | None
    output: Path | None
    naming: FileNaming
    overwrite: Overwrite
    repeated: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls,
        session: CommandSession,
        to: Path | None,
        output: Path | None = None,
        name_by: str | None = None,
        *,
        replace: bool = False,
        otherwise: Overwrite = "rename",
        results: int = 1,
        is_file: bool = False,
    ) -> Saving:
        """Read what a command was told, and make the directory.

        Args:
            session: The command; its settings say what the caller left out.
            to: `--to`.
            output: `-o`.
            name_by: `--name-by`.
            replace: `--overwrite`.
            otherwise: What happens where something stands under the name, unless it is replaced.
            results: How many results there may be.
            is_file: Whether the command takes no `--to`.

        Raises:
            ConfigurationError: It contradicts itself, or the file is there already.
            OSError: The directory cannot be made.
        """
        from .._files.naming import FileNaming

        if to is not None and output is not None:
            raise ConfigurationError("Give one of --to DIR and -o FILE.")
        if output is not None and results > 1:
            raise ConfigurationError("-o names the file of one result; --to DIR takes several.")
        said = (("--to", to), ("-o", output), ("--name-by", name_by))
        repeated = [part for option, value in said if value is not None for part in (option, str(value))]
        if output is None and to is None:
            to = session.settings.to
        naming = FileNaming.of((session.settings.name_by or "key") if name_by is None else name_by)
        if output is not None:
            _require_new(output, replace=replace, is_file=is_file)
        directory = to if output is None else output.parent
        if directory is not None:
            if to is not None:
                require_directory(to, f": write -o {shlex.quote(str(to))}")
            directory.mkdir(parents=True, exist_ok=True)
        if replace:
            repeated.append("--overwrite")
        return cls(to, output, naming, "replace" if replace else otherwise, tuple(repeated))

    @property
    def is_wanted(self) -> bool:
        """Whether files are saved at all."""
        return self.to is not None or self.output is not None

    def fetches(self, generation: Generation) -> bool:
        """Tell whether the file of a generation is to be saved; a text has none."""
        is_text = generation.url is None and generation.text is not None
        return self.is_wanted and generation.is_completed and not is_text

    def files_of(self, found: Iterable[Generation]) -> list[JobRef]:
        """Return the jobs among them whose files are to be saved."""
        return [generation.ref for generation in found if self.fetches(generation)]

    async def save(self, nb: BaseClient, session: CommandSession, source: Generation | str) -> Path:
        """Fetch the file of a generation, or of an address, to where it goes."""
        from .._base_client import core_of
        from .._files.download import save

        stem = None
        if self.output is not None:
            target, overwrite = str(self.output), self.overwrite
        else:
            assert self.to is not None
            target, overwrite = f"{self.to}{os.sep}", self.overwrite
            if not isinstance(source, str):
                folder, stem = self.naming.place(source)
                target += folder
        with session.measured("downloading") as meter:

            def show(received: int, total: int | None) -> None:
                of = "" if total is None else f" of {total / 1e6:.1f}"
                meter.show(received, total, f"{received / 1e6:.1f}{of} MB")

            saved = await save(core_of(nb), source, target, overwrite=overwrite, on_progress=show, stem=stem)
        if self.output is not None:
            _tell_ending(session, source, saved.path)
        return saved.path

    def write_text(self, session: CommandSession, generation: Generation, *, is_shown: bool = False) -> Path:
        """Write a text to the file, whole or not at all; where that fails the result is printed, since it is paid for.

        Args:
            session: Prints it.
            generation: The text.
            is_shown: Whether it was printed while it was written.

        Returns:
            Where it is: beside the name, where something came to stand there meanwhile.

        Raises:
            OSError: It cannot be written.
        """
        from .._files.partial_file import write_whole
        from .session import plain_values

        assert self.output is not None
        assert generation.text is not None
        try:
            path = write_whole(self.output, (generation.text, "\n"), self.overwrite)
        except (OSError, ConfigurationError):
            if not is_shown:
                session.print_text(generation.text)
            session.write_record(plain_values(generation))
            raise
        return path or self.output

    def keep_part(self, text: str) -> Path | None:
        """Write what came of a text that was cut short beside the file, which only a whole one gets.

        Returns:
            Where it is; None where no file is wanted, nothing came, or it cannot be written: it was printed.
        """
        from .._files.partial_file import write_whole

        if self.output is None or not text:
            return None
        try:
            return write_whole(self.output.with_name(f"{self.output.name}.part"), (text,), "rename")
        except OSError:
            return None


def require_directory(to: Path, instead: str = "; its files are named by --name-by.") -> None:
    """Refuse the name of a file where that of a directory belongs.

    Args:
        to: The name.
        instead: How the sentence about it ends.

    Raises:
        ConfigurationError: It ends like a picture, a sound or a film, and there is no such directory.
    """
    from .._api.content import expected_content

    if to.suffix and expected_content(to.name, None) and not to.is_dir():
        raise ConfigurationError(f"--to names a directory, and {to} looks like a file{instead}")


def _require_new(path: Path, *, replace: bool, is_file: bool) -> None:
    from .._files.target import locate_target

    located = locate_target(str(path))
    if located.path is None:
        instead = "name a file in it." if is_file else f"write --to {shlex.quote(str(path))}"
        raise ConfigurationError(f"-o names a file, and {path} is a directory: {instead}")
    if os.path.lexists(path) and not (replace and path.is_file()):
        advice = "; --overwrite replaces it." if path.is_file() else " and is no regular file."
        raise ConfigurationError(f"{path} is there already{advice} Nothing was sent.")


def _tell_ending(session: CommandSession, source: Generation | str, path: Path) -> None:
    from .._files.names import ending_of

    ending = ending_of(source if isinstance(source, str) else source.url or "")
    same = {".jpeg": ".jpg"}
    named = path.suffix.lower()
    if ending and same.get(ending, ending) != same.get(named, named):
        session.print_status(
            f"The file is {ending[1:]}, whatever its name says; `-p format=...` asks for another where the model has one."
        )
