"""A real browser: headless Chromium, asked over its own pipe (DevTools protocol), with nothing but the standard library.

One process serves a whole module of tests. Its profile is new and gone afterwards, and it is started so that it asks
nobody anything by itself.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless",
    "--no-sandbox",  # as root there is no other way; it opens pages that the tests have just written
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers have little of it
    "--remote-debugging-pipe",
)
PATIENCE = 100.0


def find() -> str:
    """Return the browser's command; without one a test is skipped here and fails in continuous integration."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None or sys.platform == "win32":
        if os.environ.get("CI"):
            pytest.fail("There is no Chromium: scripts/install_chromium.sh installs Debian's.")
        pytest.skip("There is no Chromium; scripts/install_chromium.sh installs Debian's.")
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, and end it."""
    command = find()
    to_it, ours = os.pipe()
    theirs, from_it = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # It reads from its descriptor 3 and writes to 4. The shell puts them there: in this process they may be taken.
        line = f'exec "$0" "$@" 3<&{to_it} 4>&{from_it}'
        process = subprocess.Popen(
            ["bash", "-c", line, command, *SWITCHES, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_it, from_it),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_it)
        os.close(from_it)
        # A browser that hangs must not hang the tests: its end of the pipe closes, and the reader sees that.
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            with open(ours, "wb", buffering=0) as sink, open(theirs, "rb") as source:  # noqa: PTH123 - descriptors
                yield Browser(sink, source)
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()


class Browser:
    """Commands to Chromium, and the one tab it has."""

    def __init__(self, sink: Any, source: Any) -> None:
        self._sink = sink
        self._source = source
        self._last = 0
        self._rest = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; what happens meanwhile goes to `events`."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._sink.write(json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._last:
                assert "error" not in said, said["error"]
                result: dict[str, Any] = said["result"]
                return result
            self.events.append(said)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._source.fileno(), 1 << 20)
            assert piece, "Chromium has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(message)
        return said

    def wait_for(self, method: str) -> dict[str, Any]:
        """Return the next event of this name, those that came already included."""
        while True:
            for place, event in enumerate(self.events):
                if event.get("method") == method:
                    del self.events[place]
                    found: dict[str, Any] = event["params"]
                    return found
            self.events.append(self._read())

    def open(self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file, and wait until all of it is loaded."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")

    def ask(self, expression: str) -> Any:
        """Evaluate JavaScript beside the page's own rules, and return its value."""
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def requests(self) -> list[str]:
        """What the page fetched since it was opened, or tried to; without what lies in it and what its rules forbade."""
        forbidden = {
            one["params"]["requestId"]
            for one in self.events
            if one.get("method") == "Network.loadingFailed" and one["params"].get("blockedReason") == "csp"
        }
        asked = [one["params"] for one in self.events if one.get("method") == "Network.requestWillBeSent"]
        addresses = [one["request"]["url"] for one in asked if one["requestId"] not in forbidden]
        return [url for url in addresses if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """What the browser holds against the page."""
        return [one["params"]["entry"]["text"] for one in self.events if one.get("method") == "Log.entryAdded"]

    def screenshot(self, to: Path) -> None:
        """Save what is seen."""
        to.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
