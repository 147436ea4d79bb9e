"""`{numbers}`: rows of the tables in promises/figures.md, which is the only place where measured figures stand.

A page names rows by how their first cell begins; rows that go on under it (an empty first cell) come along:

    ```{numbers}
    one blocking GET
    a blocking stream
    ```

or, with `:table: jobs waited for together`, takes the whole table whose first column is headed so. What that page
does not have is a warning, which the build turns into an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docutils import nodes
    from sphinx.application import Sphinx

FIGURES = Path(__file__).resolve().parents[1] / "promises" / "figures.md"
_BEGIN, _END = "<!-- numbers: begin -->", "<!-- numbers: end -->"


class Table(NamedTuple):
    """A table: its first two lines, and its rows with those that go on under each."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(text: str) -> Iterator[Table]:
    """Find the tables between the two marks."""
    between = text.partition(_BEGIN)[2].partition(_END)[0]
    for found in re.finditer(r"(?:^\|.*\n)+", between, re.MULTILINE):
        header, ruler, *lines = found[0].splitlines()
        rows: list[list[str]] = []
        for line in lines:
            if rows and not first_cell(line):
                rows[-1].append(line)
            else:
                rows.append([line])
        yield Table((header, ruler), rows)


def first_cell(row: str) -> str:
    """What stands in the first column."""
    return row.split("|")[1].strip()


class Numbers(SphinxDirective):
    """The directive."""

    has_content = True
    option_spec: ClassVar[Any] = {"table": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Put the rows asked for into one table."""
        self.env.note_dependency(str(FIGURES))
        found = [*tables(FIGURES.read_text(encoding="utf-8"))]
        heading = self.options.get("table")
        if heading is not None:
            found = [table for table in found if first_cell(table.head[0]) == heading]
            chosen = [row for table in found for row in table.rows]
        else:
            chosen = []
            for wanted in filter(None, map(str.strip, self.content)):
                matching = [
                    (table, row) for table in found for row in table.rows if first_cell(row[0]).startswith(wanted)
                ]
                if not matching:
                    raise self.severe(f"promises/figures.md has no row that begins with {wanted!r}.")
                chosen += [row for _, row in matching]
                found = [matching[0][0]]  # rows of one directive come from one table
        if not found or not chosen:
            raise self.severe(f"promises/figures.md has no table headed {heading!r}.")
        return self.parse_text_to_nodes("\n".join([*found[0].head, *(line for row in chosen for line in row)]) + "\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directive known."""
    app.add_directive("numbers", Numbers)
    return {"parallel_read_safe": True}
