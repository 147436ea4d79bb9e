"""What a result's file in a directory is called: by the caller's key, by the generation's id, or by a template of both.

A template is a path below the directory without its ending, such as `{model}/{key}`; the ending is the file's own. What a
generation says is put in as one plain name, so that no word of the service makes a directory or leaves one. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .._errors import ConfigurationError
from .._models.generation import Generation
from .names import clean_name

FIELDS: Final = ("key", "id", "model", "kind", "date", "seed")
"""What may stand in the braces; `date` is the day of its creation in UTC."""

_FIELD: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class FileNaming:
    """How files are called. Make one with `of`.

    Attributes:
        template: A path below the directory, with at least one field.
    """

    template: str = "{key}"

    @classmethod
    def of(cls, text: object) -> FileNaming:
        """Read what a caller named: `key`, `id`, or a template.

        Raises:
            ConfigurationError: It is no template, has a field that nothing is known of, or leaves the directory.
        """
        if text in {"key", "id"}:
            return cls(f"{{{text}}}")
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        if not isinstance(text, str) or not _FIELD.search(text):
            raise ConfigurationError(f"Files are named by `key`, by `id` or by a template of {known}; not {text!r}.")
        literal = _FIELD.sub("x", text)
        if "{" in literal or "}" in literal:
            raise ConfigurationError(f"The braces of the template {text!r} do not fit together.")
        for name in _FIELD.findall(text):
            if name not in FIELDS:
                raise ConfigurationError(f"A template knows {known}; not {{{name}}}.")
        parts = re.split(r"[/\\]", literal)
        if any(not part.strip(". ") for part in parts) or ":" in parts[0]:
            raise ConfigurationError(
                f"The template {text!r} must name a file below the directory: no `..`, and no `/` at either end."
            )
        return cls(text)

    def place(self, generation: Generation, key: str | None = None) -> tuple[str, str]:
        """Return the directories below the one of the files, with a slash after each, and the file's name less its ending.

        Args:
            generation: What the file is of.
            key: The caller's name for it; None where it has none: then the id stands for it.
        """
        created = generation.created_at
        values = {
            "key": str(generation.id) if key is None else key,
            "id": str(generation.id),
            "model": generation.model or "unknown",
            "kind": generation.kind or "unknown",
            "date": "undated" if created is None else f"{created:%Y-%m-%d}",
            "seed": "unseeded" if generation.seed is None else str(generation.seed),
        }
        *folders, name = re.split(r"[/\\]", _FIELD.sub(lambda found: _flat(values[found[1]]), self.template))
        return "".join(f"{clean_name(folder)}/" for folder in folders), clean_name(name)


def _flat(value: str) -> str:
    """Join the parts of what looks like a path: `a/1` and `b/1` are two, and neither makes a directory."""
    return "_".join(part for part in re.split(r"[/\\]", value) if part.strip(". ")) or "_"
