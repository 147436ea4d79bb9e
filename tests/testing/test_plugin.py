"""The kit as its users load it: by one line in a conftest, in a program that knows nothing of it; or not at all."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import neuralbox.sandbox
import neuralbox.testing
from neuralbox.testing import _fixtures

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_example_that_documents_it_passes() -> None:
    # Of the plugins that are installed here it needs one, and importing the others takes as long as its tests.
    plugins = ["-p", "anyio.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "examples/testing_your_program"],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plugin_makes_its_mark_known(pytestconfig: pytest.Config) -> None:
    _fixtures.pytest_configure(pytestconfig)
    assert [line for line in pytestconfig.getini("markers") if line.startswith("neuralbox(**settings)")]
    assert neuralbox.testing.pytest_plugins == (_fixtures.__name__,)


def test_installing_the_package_loads_nothing_into_anybodys_pytest() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "pytest11" not in text


@pytest.mark.parametrize("missing", ["respx", "starlette", "uvicorn"])
def test_without_the_extra_one_sentence_names_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(missing, monkeypatch)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("neuralbox.testing")
    assert str(caught.value) == f"neuralbox.testing needs {missing}: pip install 'neuralbox[testing]'"


def test_another_missing_module_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    without("neuralbox.sandbox._ledger", monkeypatch)
    with pytest.raises(ModuleNotFoundError, match=r"neuralbox\.sandbox\._ledger") as caught:
        importlib.import_module("neuralbox.testing")
    assert "pip install" not in str(caught.value)


def without(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a module, and what is in it, be not installed; forget what was imported with it."""
    for name in [*sys.modules]:
        if name.startswith(("neuralbox.testing", "neuralbox.sandbox")):
            monkeypatch.delitem(sys.modules, name)
        elif name.startswith(f"{missing}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(neuralbox, "sandbox", neuralbox.sandbox)  # another import would replace it for good


@pytest.mark.neuralbox("vip")
def test_settings_without_a_name_are_refused(request: pytest.FixtureRequest) -> None:
    with pytest.raises(ValueError, match=r"takes settings by name, .* not 'vip'"):
        _fixtures._settings(request)
