"""Replies as the documents print them: `<case>/<status>.<ending>`, and under `requests` the bodies they send.

The cases named after a seed are its text character for character; the others keep a page's shape with made-up values.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent


def content(case: str, status: int = 200) -> bytes:
    """Return the body of a sample as it goes over the wire."""
    (path,) = (_HERE / case).glob(f"{status}.*")
    return path.read_bytes()


def record(case: str, status: int = 200) -> dict[str, Any]:
    """Return a sample that is a JSON object, parsed by the standard library."""
    value: dict[str, Any] = json.loads(content(case, status))
    return value


def request_body(name: str) -> dict[str, Any]:
    """Return a request body of the documents."""
    value: dict[str, Any] = json.loads((_HERE / "requests" / f"{name}.json").read_bytes())
    return value


def every_reply() -> list[tuple[str, int]]:
    """Name every sampled reply, in a stable order."""
    files = (path for path in _HERE.glob("*/*.*") if path.stem.isdigit())
    return sorted((path.parent.name, int(path.stem)) for path in files)
