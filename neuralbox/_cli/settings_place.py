"""Where the command line keeps its settings, and its keys beside them."""

from __future__ import annotations

from pathlib import Path

from .._config import config_file_from_environment


def settings_directory() -> Path:
    """Return the directory of the settings and of the keys."""
    return settings_file().parent


def settings_file() -> Path:
    """Return where the settings are, or would be."""
    named = config_file_from_environment()
    if named is not None:
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path("neuralbox", appauthor=False) / "config.toml"
