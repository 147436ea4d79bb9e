"""Pictures of what was done: one self-contained HTML page of a batch, or of the history.

A page holds thumbnails, not originals: those are linked, or played, where they are. It needs no script and no network,
and its own rules (a content security policy) keep it from reaching for either: nothing leaves until somebody follows a
link or presses play. Prompts, texts, reasons and addresses come from outside and are escaped; an address is linked only
where it is http or https.

`batch` reads a journal and `history` asks the service; both make `card`s and count them in `totals`, `charts` says what
is drawn, `_thumbnails` shrinks pictures (where pillow is installed) and `page` writes the file.
"""

from __future__ import annotations

from .batch import write_batch_report
from .history import write_history_report

__all__ = ["write_batch_report", "write_history_report"]
