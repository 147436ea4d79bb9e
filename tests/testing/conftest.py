"""The kit's fixtures, as a test module sees them that did not load the kit as a plugin (see `markers` in pyproject.toml)."""

from __future__ import annotations

from neuralbox.testing._fixtures import neuralbox_in_memory, neuralbox_mock, neuralbox_sandbox

__all__ = ["neuralbox_in_memory", "neuralbox_mock", "neuralbox_sandbox"]
