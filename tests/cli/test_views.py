"""What is shown while a command runs, on a terminal and off it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import pytest

from neuralbox._cli.views import EVERY, Meter, open_meter, progress_view, show_table
from neuralbox._demo import DemoTally

from .test_output import Screen

COLUMNS = ("id", "status", "prompt")
ROWS = [("18500", "completed", "A lighthouse at dusk, painted \x1b[31min oil"), ("18501", "failed", "Маяк")]


def a_screen(monkeypatch: pytest.MonkeyPatch, columns: int | str = 100) -> Screen:
    """Make both streams a terminal."""
    found = Screen()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, found)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    return found


def plain(screen: Screen) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


# Meters.


def test_a_terminal_shows_a_bar_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = a_screen(monkeypatch)
    with open_meter("kling-v2.1") as meter:
        meter.show(40.0, 100.0, "pending, 40 %")
    assert re.search(r"kling-v2\.1 +━+.*0:00:0\d pending, 40 %", plain(screen))


def test_a_narrow_terminal_keeps_the_words_and_drops_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = a_screen(monkeypatch, 40)
    with open_meter("batch") as meter:
        phrases = ["1:02:10 left", "12 jobs/min", "26 of 5,000 tokens", "5 not sent (budget)", "x" * 50]
        meter.show(1, 3, "1 of 3, and more than there is room for", phrases)
    lines = re.split(r"[\r\n]+", plain(screen))
    assert "━" not in plain(screen)
    assert "batch 0:00:00 1 of 3, and more than ther" in lines
    assert lines[-4:-1] == ["1:02:10 left · 12 jobs/min", "26 of 5,000 tokens · 5 not sent (budget)", "x" * 39 + "…"]
    assert max(map(len, lines)) <= 40


def test_results_go_above_the_bar_where_both_are_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = a_screen(monkeypatch)
    with open_meter("batch") as meter:
        assert meter.prints("000001\tok\x07")
        assert meter.prints("a status", beside=True)
    assert "000001  ok\\x07" in plain(screen).replace("\t", "  ").replace("   ", "  ")


def test_nothing_the_service_says_steers_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = a_screen(monkeypatch)
    steering = "x\x1b]0;title\x07\x9b31m\n\u202ey"
    with open_meter(steering) as meter:
        meter.show(40.0, 100.0, f"{steering}, 40 %")
    for raw in ("\x1b]0;title", "\x9b31m", "\u202e", "\x07"):
        assert raw not in screen.getvalue()


def test_results_in_a_file_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    a_screen(monkeypatch)
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    with open_meter("batch") as meter:
        assert not meter.prints("000001")
        assert meter.prints("a status", beside=True)


def test_elsewhere_a_line_comes_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, EVERY, EVERY + 1, 2 * EVERY, 3 * EVERY])
    with open_meter("waiting", lambda: next(times)) as meter:
        meter.show(0, None)
        meter.show(1, 4, "1 of 4 done")
        meter.show(2, 4, "2 of 4 done")
        meter.show(5, 4)
        meter.show(0, None)
        assert not meter.prints("a result")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "waiting: 25%, 1 of 4 done (10 s)",
        "waiting: 100% (20 s)",
        "waiting: still at it (30 s)",
    ]


def test_the_plain_meter_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter()
    meter.show(1, 2, "words")
    assert not meter.prints("a result")
    assert capsys.readouterr() == ("", "")


# The demo.


def test_a_demo_on_a_terminal_has_three_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = a_screen(monkeypatch)
    with progress_view(4) as show:
        show(DemoTally(accepted=4, completed=2, downloaded=1))
    lines = plain(screen)
    assert re.search(r"submitted .*4/4", lines)
    assert re.search(r"completed .*2/4", lines)
    assert re.search(r"downloaded .*1/4", lines)


def test_a_demo_elsewhere_tells_of_each_tenth_once(capsys: pytest.CaptureFixture[str]) -> None:
    tally = DemoTally()
    with progress_view(20) as show:
        for _ in range(20):
            tally.accepted += 1
            show(tally)
        for _ in range(20):
            tally.completed += 1
            show(tally)
            tally.downloaded += 1
            show(tally)
    lines = [line.split("s  ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == "20 submitted"
    assert lines[1] == "2 completed, 2 of 20 downloaded"
    assert lines[-1] == "20 completed, 20 of 20 downloaded"
    assert len(lines) == 11


# Tables.


def test_a_table_off_a_terminal_is_one_line_with_tabs_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == ["\t".join(row) for row in ROWS]
    show_table(COLUMNS, [("1", "completed\n2\tfailed", "a prompt")])
    assert capsys.readouterr().out == "1\tcompleted 2 failed\ta prompt\n"


@pytest.mark.parametrize(
    ("columns", "dispensable", "expected"),
    [
        ("100", ("prompt",), ["id", "status", "prompt"]),
        ("40", ("status",), ["id", "status", "prompt"]),
        ("25", ("status", "prompt"), ["id", "prompt"]),
        ("12", ("status", "prompt"), ["id"]),
        ("12", ("rating", "prompt", "rated", "status"), ["id"]),  # a table shows some only where they say something
    ],
)
def test_a_table_on_a_terminal_drops_what_does_not_fit_and_keeps_the_ids(
    columns: str, dispensable: Sequence[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = a_screen(monkeypatch, columns)
    show_table(COLUMNS, ROWS, dispensable=dispensable)
    lines = plain(screen).splitlines()
    assert lines[0].split() == expected
    assert len(lines) == 1 + len(ROWS)
    assert max(map(len, lines)) <= int(columns)
    assert lines[1].startswith("18500")
    assert "\x1b[3" not in screen.getvalue()  # no colour: neither ours, nor the prompt's
