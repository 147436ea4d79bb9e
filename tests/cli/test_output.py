"""The two streams: what is written to them, and what happens when they cannot be written."""

from __future__ import annotations

import errno
import io
import json
import os
import sys

import pytest

from neuralbox._cli import exit_codes, output


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Failing(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


def test_a_pipe_gets_results_as_they_are_and_a_terminal_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "red \x1b[31m\x9b tab\t line\nend"
    for stream, expected in ((io.StringIO(), text), (Screen(), "red \\x1b[31m\\x9b tab\t line\nend")):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        output.write_result(text, end="")
        output.write_status("")
        assert stream.getvalue() == expected + "\n"


def test_a_stream_that_was_closed_before_we_began_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output.write_result("nobody")
    output.write_status("hears this")
    assert output.prepare() is None
    assert output.settle(None, 7) == 7
    output.forget(None)
    assert not output.is_terminal(None)


def test_an_output_that_cannot_be_written_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))
    with pytest.raises(OSError, match="The output cannot be written: No space left on device"):
        output.write_result("result")
    monkeypatch.setattr(sys, "stdout", Failing(errno.EPIPE))
    with pytest.raises(BrokenPipeError):
        output.write_result("result")


def test_a_remark_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Failing(errno.ENOSPC))
    output.write_status("still going on")


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        (errno.EPIPE, 0, exit_codes.CLOSED_PIPE),
        (errno.ENOSPC, 0, exit_codes.UNUSABLE_DISK),
        (errno.ENOSPC, 7, 7),
    ],
)
def test_what_was_held_back_decides_the_code_too(
    number: int, before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Failing(number)
    monkeypatch.setattr(sys, "stdout", stream)
    assert output.settle(stream, before) == after


def test_all_written_leaves_the_code_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert output.settle(stream, 8) == 8
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert output.settle(stream, 1) == exit_codes.CLOSED_PIPE  # typer has put something else there


def test_any_text_can_be_written_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    output.prepare()
    output.write_result("Маяк")
    assert raw.getvalue() == b"\\u041c\\u0430\\u044f\\u043a\n"


def test_forgetting_lets_later_writes_go_nowhere() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        os.close(reading)
        output.forget(stream)
        stream.write("nobody reads this")
        stream.flush()


def test_only_the_stream_itself_makes_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert not output.is_terminal(io.StringIO())
    assert output.is_terminal(Screen())
    monkeypatch.setenv("TERM", "dumb")
    assert not output.is_terminal(Screen())


# Words of others.

STEERING = "run\x1b]0;title\x07\x1b[2J\x9b31m\u202edrawkcab\u2066\u2028next"


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "cp1252", "ascii", "utf-16", "shift_jis", None])
def test_json_is_json_whatever_the_encoding_of_the_stream(encoding: str | None) -> None:
    values = {"prompt": "café \U0001f600 — привет", "path": "half \udce9", "status": STEERING}
    stream = io.StringIO() if encoding is None else io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    line = output.as_json(values, stream)
    written = line.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")
    assert json.loads(written) == values
    assert output.visible(line) == line, "nothing is left that a terminal would obey"
    assert ("привет" in line) == (encoding in {None, "utf-8", "UTF8"})


def test_json_for_a_stream_that_was_closed_is_json() -> None:
    assert json.loads(output.as_json({"a": "é"}, None)) == {"a": "é"}


def test_words_of_others_are_drawn_on_their_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert output.drawn("a\r\nb\tc") == "a b c"
    assert output.drawn(STEERING) == (r"run\x1b]0;title\x07\x1b[2J\x9b31m\u202edrawkcab\u2066\u2028next")
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    output.write_status("7 failed: no\nJob 8 accepted\x1b[2J")
    assert log.getvalue() == "7 failed: no Job 8 accepted\\x1b[2J\n"
