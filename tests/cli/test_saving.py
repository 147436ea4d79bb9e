"""Where results go: one file, a directory, and the names there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from .conftest import Box

FLUX = ("generate", "flux-1.1-pro", "A lighthouse")


def test_a_result_is_written_to_the_file_that_is_named(box: Box) -> None:
    left = box(*FLUX, "-o", "pic/heron.webp")
    assert (left.code, left.lines) == (0, ["pic/heron.webp"])
    assert Path("pic/heron.webp").read_bytes()[8:12] == b"WEBP"
    left = box(*FLUX, "-o", "pic/heron.webp")
    assert (left.code, left.sentence) == (
        2,
        "pic/heron.webp is there already; --overwrite replaces it. Nothing was sent.",
    )
    spent = box.spent
    assert box(*FLUX, "-o", "pic/heron.webp", "--overwrite").lines == ["pic/heron.webp"]
    assert box.spent == 2 * spent


def test_an_ending_that_is_not_the_files_is_told(box: Box) -> None:
    left = box(*FLUX, "-o", "heron.png")
    assert left.lines == ["heron.png"]
    assert left.err.startswith("The file is webp, whatever its name says; `-p format=...` asks for another")
    [record] = box(*FLUX, "--json").records
    assert box("download", record["url"], "-o", "other.webp").err == ""


def test_a_text_is_written_to_a_file_and_printed_where_that_fails(box: Box, tmp_path: Path) -> None:
    left = box("generate", "gpt-5", "Good morning", "-o", "answer.txt")
    assert left.lines == ["answer.txt"]
    assert Path("answer.txt").read_text().startswith("A made-up answer")
    assert box("generate", "gpt-5", "Good morning", "-o", "answer.txt", "--overwrite").code == 0
    # Something comes to stand there while the text is made: it stays, and the text is told.
    Path("link.txt").symlink_to(tmp_path / "nowhere" / "at all")
    left = box("generate", "gpt-5", "Good morning", "-o", "link.txt")
    assert left.code == 2
    Path("link.txt").unlink()


def test_a_text_that_cannot_be_written_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    from neuralbox import Generation
    from neuralbox._cli.saving import Saving
    from neuralbox._cli.session import CommandSession
    from neuralbox._files.naming import FileNaming

    answer = Generation.read({"id": 1, "content": "paid for"})
    Path("taken.txt").write_text("mine")  # it came to stand there while the text was made
    saved = Saving(None, Path("taken.txt"), FileNaming(), "rename").write_text(CommandSession(), answer)
    assert (Path("taken.txt").read_text(), saved.read_text()) == ("mine", "paid for\n")
    for session in (CommandSession(), CommandSession(as_json=True)):
        saving = Saving(None, Path("full.txt"), FileNaming(), "rename")
        with (
            patch.object(os, "write", side_effect=OSError(28, "the disk is full")),
            pytest.raises(OSError, match="full"),
        ):
            saving.write_text(session, answer)
        assert "paid for" in capsys.readouterr().out
        assert not Path("full.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--to", "pic/heron.png"),
            "--to names a directory, and pic/heron.png looks like a file: write -o pic/heron.png",
        ),
        (("-o", "."), "-o names a file, and . is a directory: write --to ."),
        (("--to", "out", "-o", "x.webp"), "Give one of --to DIR and -o FILE."),
        (("--to", "out", "--name-by", "../{id}"), "must name a file below the directory"),
        (("--to", "out", "--name-by", "{prompt}"), "A template knows {key}, "),
        (("--to", "out", "--name-by", "heron"), "Files are named by `key`, by `id` or by a template"),
        (("-o", "pipe"), "pipe is there already and is no regular file. Nothing was sent."),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_sent(
    arguments: tuple[str, ...], said: str, box: Box
) -> None:
    os.mkfifo("pipe")
    left = box(*FLUX, *arguments)
    assert left.code == 2
    assert said in left.sentence
    assert box.spent == 0
    assert not Path("out").exists()


def test_a_command_without_the_other_option_does_not_name_it(box: Box) -> None:
    left = box("stream", "gpt-5", "Good morning", "-o", ".")
    assert (left.code, left.sentence) == (2, "-o names a file, and . is a directory: name a file in it.")
    Path("run.jsonl").write_text('{"kind": "image", "model": "flux-1.1-pro", "prompt": "A heron"}\n')
    left = box("batch", "run", "run.jsonl", "--to", "heron.png")
    said = "--to names a directory, and heron.png looks like a file; its files are named by --name-by."
    assert (left.code, left.sentence, box.spent) == (2, said, 0)


def test_a_directory_may_be_called_like_a_picture(box: Box) -> None:
    Path("png").mkdir()
    Path("new.png").mkdir()
    assert box(*FLUX, "--to", "png").lines[0].startswith("png/")
    assert box(*FLUX, "--to", "new.png").lines[0].startswith("new.png/")


def test_files_are_named_by_a_template_and_none_is_overwritten(box: Box) -> None:
    first = box(*FLUX, "--to", "out", "--name-by", "{model}/{kind}").lines
    second = box(*FLUX, "--to", "out", "--name-by", "{model}/{kind}").lines
    assert first == ["out/flux-1.1-pro/image.webp"]
    assert second == ["out/flux-1.1-pro/image (2).webp"]
    number = box("generate", "flux-1.1-pro", "A paper boat", "--no-wait").lines[0]
    assert box("wait", number, "--to", "out", "--name-by", "boat-{id}").lines == [f"out/boat-{number}.webp"]
    assert box("download", number, "--name-by", "{key}").lines == [f"{number}.webp"]


def test_one_file_is_for_one_result(box: Box) -> None:
    left = box("wait", "1", "2", "-o", "x.mp4")
    assert (left.code, left.sentence) == (2, "-o names the file of one result; --to DIR takes several.")


def test_the_advised_command_repeats_the_callers_options(slow_box: Box) -> None:
    url = slow_box.server.url
    left = slow_box(
        "generate", "kling-v2.1", "A boat", "--no-wait", "--to", "my videos", "--name-by", "{id}", "--base-url", url
    )
    assert left.sentence.endswith(
        f":  neuralbox wait {left.lines[0]} --to 'my videos' --name-by '{{id}}' --base-url {url}"
    )


def test_batch_files_are_named_as_the_caller_says_also_by_a_later_run(box: Box) -> None:
    line = {"kind": "image", "model": "flux-1.1-pro", "prompt": "A heron"}
    Path("run.jsonl").write_text("".join(json.dumps({**line, "key": key}) + "\n" for key in ("a/1", "b")))
    left = box("batch", "run", "run.jsonl", "--to", "out", "--name-by", "{kind}/{key}")
    assert left.code == 0
    assert sorted(str(path) for path in Path("out").rglob("*.webp")) == ["out/image/a_1.webp", "out/image/b.webp"]
    Path("out/image/b.webp").unlink()
    assert box("batch", "run", "run.jsonl", "--name-by", "same").code == 2
    assert box("batch", "run", "run.jsonl").code == 0
    assert Path("out/image/b.webp").exists()
    same = box("batch", "run", "run.jsonl", "--journal", "two.sqlite", "--to", "two", "--name-by", "{model}")
    assert same.code == 0
    assert sorted(path.name for path in Path("two").iterdir()) == ["flux-1.1-pro (2).webp", "flux-1.1-pro.webp"]
