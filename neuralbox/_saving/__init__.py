"""A file on disk, whole under its name or not there at all: where it goes (`places`), and how it gets there (`parts`).

Everything here touches the disk and so runs in worker threads; where the bytes come from, and what to call the file,
are others' business.
"""

from __future__ import annotations

from .parts import Kept, PartFile
from .places import Overwrite, Place, find_place, read_overwrite, require_free, sha256_of

__all__ = [
    "Kept",
    "Overwrite",
    "PartFile",
    "Place",
    "find_place",
    "read_overwrite",
    "require_free",
    "sha256_of",
]
