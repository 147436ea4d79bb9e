"""Programs beside the recipes, each in a process of its own against a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from neuralbox.sandbox import Server

RECIPES: Final = Path(__file__).resolve().parents[2] / "examples" / "recipes"
KEY: Final = "nb_test_recipes"


def run(
    server: Server,
    directory: Path,
    *command: str,
    patience: float = 180.0,
    stdin: str = "",
    more: Mapping[str, str] | None = None,
) -> str:
    """Run a program and return what it printed; it must end well within `patience` seconds."""
    environment = {
        "HOME": str(directory),
        "NEURALBOX_API_KEY": KEY,
        "NEURALBOX_BASE_URL": server.url,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(RECIPES),
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env={**environment, **(more or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
