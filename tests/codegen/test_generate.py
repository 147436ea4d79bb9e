"""The command: what is in the tree is what the generator writes, on every Python; a refused shape writes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from neuralbox._codegen import generate
from neuralbox._codegen.__main__ import main


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's sources."""
    copy = tmp_path / "neuralbox"
    shutil.copytree(generate.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "sandbox", "_cli"))
    return copy


@pytest.mark.uncovered
def test_the_files_in_the_tree_are_what_the_generator_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_check_shows_what_differs_and_writing_mends_it(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (package / "_raw.py").unlink()
    images = package / "_resources" / "images.py"
    images.write_text(images.read_text(encoding="utf-8").replace("What to draw.", "What to paint."), encoding="utf-8")
    assert main(["--check"], package) == 1
    shown = capsys.readouterr().err
    assert "-            prompt: What to paint." in shown
    assert "+            prompt: What to draw." in shown
    assert "+class RawResources:" in shown
    assert shown.endswith("Run `python -m neuralbox._codegen`.\n")
    assert not (package / "_raw.py").exists()
    assert main([], package) == 0
    for name in ("_raw.py", "_resources/images.py"):
        assert (package / name).read_bytes() == (generate.PACKAGE / name).read_bytes()


@pytest.mark.uncovered
def test_an_option_of_a_request_class_is_an_option_everywhere(package: Path) -> None:
    image = package / "_requests" / "image.py"
    text = image.read_text(encoding="utf-8")
    text = text.replace(
        "        seed: For repeatable results.\n", "        seed: For repeatable results.\n        mood: New.\n"
    )
    text = text.replace("    seed: int | Omit = OMIT\n", "    seed: int | Omit = OMIT\n    mood: str | Omit = OMIT\n")
    image.write_text(text, encoding="utf-8")
    written = generate.generate_all(package)
    for path in ("_resources/images.py", generate.SYNC_TARGET):
        before = (package / path).read_text(encoding="utf-8")
        assert "mood: str" not in before
        assert written[path].count("mood: str | Omit = OMIT,") >= 2  # create and submit
        assert "            mood: New.\n" in written[path]


def test_nothing_is_written_when_a_shape_is_refused(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, files = package / "_resources" / "images.py", package / "_resources" / "files.py"
    images.write_text("", encoding="utf-8")
    text = files.read_text(encoding="utf-8")
    files.write_text(text.replace("    async def read(", "    def urls(self) -> list[str]: ...\n\n    async def read("))
    assert main([], package) == 2
    assert capsys.readouterr().err == "_resources/files.py: Files.urls: is neither awaited nor entered; see `WITHOUT`\n"
    assert images.read_text(encoding="utf-8") == ""
