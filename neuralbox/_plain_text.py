"""Words of others as a message, a log, a terminal or a table may show them: without what acts instead of being read.

And messages of ours as those may read them who write no program.

A leaf of the import tree. `_api.reply.safe_words` also takes out what looks like a credential.
"""

from __future__ import annotations

import re
from typing import Final

# Escape sequences start with a control character, lines end with one (C0, C1, the two Unicode separators).
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CONTROL_BUT_LINES: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]+")
# Marks that turn the direction of text or show nothing, so that a word reads as another one; the two joiners are part of
# words and emoji, and stay.
_INVISIBLE: Final = re.compile(
    "[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
_HALF: Final = re.compile("[\ud800-\udfff]")

# Beginnings by which a spreadsheet takes a text for a formula, some of them in East Asian widths, and runs it.
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - they are meant

_SENTENCES: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_OF_THE_LIBRARY: Final = ("`client.", "error.job", "see `.", " of the client ", "`trust_env=")


def plain(text: str, *, keep_lines: bool = False) -> str:
    """Return text without control characters, invisible marks and halves of characters; one line unless `keep_lines`."""
    text = _HALF.sub("\ufffd", _INVISIBLE.sub("", text))
    if keep_lines:
        return _CONTROL_BUT_LINES.sub(" ", text)
    return " ".join(_CONTROL.sub(" ", text).split())


def without_formula(text: str) -> str:
    """Return text as a cell of a table, behind a `'` where a spreadsheet would run it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def clipped(text: str, most: int) -> str:
    """Return text of at most so many characters; three dots end what was cut."""
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def without_code(message: str) -> str:
    """Return a message of ours without the sentences and clauses that only a program can follow: `client.job(...)`."""
    if not any(word in message for word in _OF_THE_LIBRARY):
        return message
    return " ".join(filter(None, map(_without_code, _SENTENCES.split(message))))


def _without_code(sentence: str) -> str:
    if not any(word in sentence for word in _OF_THE_LIBRARY):
        return sentence
    clauses = [clause for clause in sentence.split("; ") if not any(word in clause for word in _OF_THE_LIBRARY)]
    return "; ".join(clauses).rstrip(".") + "." if clauses else ""
