"""What each fault of the sandbox does to each kind of call: the expectation of `test_fault_matrix`, and the page made of it.

A cell says of the one call that is struck, while another one beside it is not: how often it was charged, how often its
result was delivered, and what was raised. Whatever is not named in `EXCEPTIONS` is `ONCE`; a fault that cannot meet a call
has no cell.

    python -m tests.client.fault_matrix            writes docs/promises/fault-matrix.md
    python -m tests.client.fault_matrix --check    exits with 1 where the page is not what it would write
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from neuralbox.sandbox._faults import NAMES, SECONDS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "promises" / "fault-matrix.md"


class Cell(NamedTuple):
    """What became of the call that was struck.

    Attributes:
        charged: How often it was paid for.
        delivered: How often its result came.
        raised: The name of the error its caller saw; "" for none.
    """

    charged: int
    delivered: int
    raised: str = ""

    def __str__(self) -> str:
        return f"{self.charged} / {self.delivered} / {f'`{self.raised}`' if self.raised else '-'}"


class Column(NamedTuple):
    """A kind of call.

    Attributes:
        name: As in the head of the table.
        route: Which of its requests is struck.
        batch: Whether it is an item of a batch.
    """

    name: str
    route: str
    batch: bool = False

    def __str__(self) -> str:
        return f"{self.name}{' in a batch' * self.batch}"

    @property
    def pays(self) -> bool:
        """Whether the request that is struck is the one that is charged."""
        return self.route.startswith("POST ")


_GENERATE, _UPLOAD = "POST /generate*", "POST /stt"
_LOOK, _LIST, _FILE = "GET /generate/*", "GET /user/history", "GET /storage/*"

SINGLE: Final = (
    Column("text.create", _GENERATE),
    Column("text.stream", _GENERATE),
    Column("images.create", _GENERATE),
    Column("videos.submit, wait", _GENERATE),
    Column("transcriptions.create", _UPLOAD),
    Column("speech.create", _GENERATE),
    Column("music.create", _GENERATE),
    Column("tools.create", _GENERATE),
    Column("job.wait", _LOOK),
    Column("history.list", _LIST),
    Column("files.download", _FILE),
)
BATCH: Final = (
    Column("text", _GENERATE, batch=True),
    Column("image", _GENERATE, batch=True),
    Column("video", _GENERATE, batch=True),
    Column("transcription", _UPLOAD, batch=True),
    Column("speech", _GENERATE, batch=True),
    Column("music", _GENERATE, batch=True),
    Column("tool", _GENERATE, batch=True),
    Column("its waiting", _LOOK, batch=True),
    Column("its files", _FILE, batch=True),
)
COLUMNS: Final = SINGLE + BATCH

ALONE: Final = "drop-before-accept, alone"
LAGGING: Final = "drop-after-accept, listing-lag"
FAULTS: Final[Mapping[str, str]] = {
    **{name: does for name, (_, does) in NAMES.items()},
    LAGGING: "the answer is lost, and the history shows the generation seconds later",
    ALONE: "the very first call of its kind is lost: nothing of this client is in the history to prove that it lists it",
}

ONCE: Final = Cell(1, 1)
_FAILED = Cell(0, 0, "GenerationFailedError")
_UNKNOWN = Cell(0, 0, "SubmissionUnknownError")
_PAYING = tuple(column for column in COLUMNS if column.pays)
EXCEPTIONS: Final[Mapping[str, Mapping[Column, Cell]]] = {
    "fail-generation": dict.fromkeys(_PAYING, _FAILED),
    "stream-error": {SINGLE[1]: _FAILED},
    ALONE: dict.fromkeys(_PAYING, _UNKNOWN),
}


def meets(fault: str, column: Column) -> bool:
    """Whether a fault can strike a call."""
    names = fault.split(", ")
    if names[-1] == "alone" or len(names) > 1:
        return column.pays
    scope = NAMES[fault][0]
    if column.route == _FILE:  # a file is no JSON, and has no list
        return scope == "file" or (scope == "api" and fault not in {"cut-answer", "garbled-json", "listing-lag"})
    if scope == "stream":
        return column == SINGLE[1]
    if scope == "file":
        return False
    if column == SINGLE[1] and fault in {"cut-answer", "garbled-json"}:  # `cut-stream` is that of a stream
        return False
    if fault == "listing-lag":
        return column.pays
    return scope == "api" or column.pays


def expected(fault: str, column: Column) -> Cell:
    """What is to become of the call that is struck."""
    return EXCEPTIONS.get(fault, {}).get(column, ONCE)


def settings_of(fault: str) -> dict[str, float]:
    """What the sandbox is told: fault to probability or seconds."""
    names = [name for name in fault.split(", ") if name in NAMES]
    return {name: (3.0 if name == "listing-lag" else 0.02) if name in SECONDS else 1.0 for name in names}


# The page.

_TOP = """\
# The fault matrix

What becomes of one call that a fault strikes, while another one beside it is not struck. Each cell says how often it was
**charged / delivered / what it raised**; a dot stands where that fault cannot meet that call. Every cell is a test over a
real socket (`tests/client/test_fault_matrix.py`), on asyncio or trio; this page is made of the table the test asserts.
"""
_END = """\
A call that fails for good is not charged: the service says so, and `GenerationFailedError` has its words. The last row is
where the promise ends: what was lost before anything of that kind was ever seen in the history may have been accepted by a
service that hides it, so `SubmissionUnknownError` says that it is not known, nothing is sent again, and `nb.reconcile()` can
still settle it later. Here it was not charged; where it was, the other rows hold.
"""
_HEADINGS = (
    ("Single calls: the submission is struck", tuple(column for column in SINGLE if column.pays)),
    ("Single calls: what follows is struck", tuple(column for column in SINGLE if not column.pays)),
    ("Items of a batch", BATCH),
)


def page() -> str:
    """The page as it has to be."""
    parts = [_TOP]
    for heading, columns in _HEADINGS:
        head = f"| fault | {' | '.join(column.name for column in columns)} |"
        rows = [
            f"| {fault} | {' | '.join(str(expected(fault, each)) if meets(fault, each) else '·' for each in columns)} |"
            for fault in FAULTS
            if any(meets(fault, each) for each in columns)
        ]
        parts.append("\n".join([f"## {heading}", "", head, f"|{'---|' * (len(columns) + 1)}", *rows, ""]))
    parts.append("\n".join(["## The faults", "", *(f"- `{fault}`: {does}." for fault, does in FAULTS.items()), ""]))
    return "\n".join([*parts, _END])


def main() -> int:
    """Write the page, or with `--check` compare it."""
    if sys.argv[1:] == ["--check"]:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
