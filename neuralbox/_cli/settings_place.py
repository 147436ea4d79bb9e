"""Where the command line keeps its settings, and its keys beside them."""

from __future__ import annotations

from pathlib import Path

from .._config import config_file_from_environment
from .._errors import ConfigurationError


def settings_directory() -> Path:
    """Return the directory of the settings and of the keys."""
    return settings_file().parent


def expanded(text: str) -> Path:
    """Return a path whose `~` is replaced.

    Raises:
        ConfigurationError: There is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigurationError(f"The home directory in {text!r} is not known.") from None


def settings_file() -> Path:
    """Return where the settings are, or would be.

    Raises:
        ConfigurationError: The environment names the home directory of nobody.
    """
    named = config_file_from_environment()
    if named is not None:
        return expanded(named)
    from platformdirs import user_config_path

    return user_config_path("neuralbox", appauthor=False) / "config.toml"
