"""The report of a batch: what each record of a journal becomes, and what of it the page may hold."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from neuralbox._errors import ConfigurationError, DownloadError, JournalError
from neuralbox._files.partial_file import PartFile
from neuralbox._journal import read_records, remember
from neuralbox._report import batch as batch_module
from neuralbox._report import write_batch_report
from neuralbox._report.batch import Finder, card_of, prompt_of
from neuralbox._report.card import Card

from .journals import START, Kept, journal, picture


def cards_of(path: Path, page: Path, files: Path | None = None) -> dict[str, Card]:
    find = Finder(path, page, files)
    return {record.key: card_of(record, find) for record in read_records(path)}


def test_each_state_of_a_record_is_said(tmp_path: Path) -> None:
    file = tmp_path / "out" / "1.png"
    file.parent.mkdir()
    file.write_bytes(picture())
    path = journal(
        tmp_path / "run.sqlite",
        [
            Kept("planned", reaches="planned"),
            Kept("sending", reaches="sending"),
            Kept("accepted", reaches="accepted"),
            Kept("failed", reaches="final", said={"status": "failed", "error": "content  policy"}, tokens=None),
            Kept("mute", reaches="final", said={"status": "failed"}, tokens=0),
            Kept("strange", reaches="final", said={"status": "cancelled"}),
            Kept("linked", reaches="final", said={"status": "completed", "result_url": "https://s.test/1.webp"}),
            Kept(
                "text",
                {"kind": "text", "model": "gpt-5", "prompt": "Hi"},
                "final",
                {"status": "completed", "result_text": "Ho"},
            ),
            Kept("saved", path=file, said={"status": "completed", "result_url": "https://s.test/1.png"}),
        ],
    )
    cards = cards_of(path, tmp_path / "report.html")
    assert [(card.state, card.word) for card in cards.values()] == [
        ("open", "not sent"),
        ("open", "sent, outcome unknown"),
        ("open", "still running"),
        ("failed", "failed"),
        ("failed", "failed"),
        ("failed", "cancelled"),
        ("completed", "completed"),
        ("completed", "completed"),
        ("completed", "completed"),
    ]
    assert cards["failed"].reason == "content policy"
    assert cards["mute"].reason == "The service did not say why."
    assert (cards["failed"].tokens, cards["saved"].tokens, cards["planned"].tokens) == (0, 4, None)
    assert (cards["saved"].at, cards["saved"].seconds, cards["planned"].at) == (START + 80, 3.0, None)
    assert (cards["saved"].address, cards["saved"].source, cards["saved"].size_bytes) == ("out/1.png", file, 1_234)
    assert (cards["linked"].address, cards["linked"].source) == ("https://s.test/1.webp", None)
    assert cards["text"].text is not None
    assert [cards[key].sort for key in ("text", "saved", "planned", "linked")] == [
        "text",
        "picture",
        "picture",
        "picture",
    ]
    assert Card("k", "open", "?").sort == "other"


def test_files_are_found_where_they_are_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, page = tmp_path / "old", tmp_path / "neu: #1", tmp_path / "pages" / "report.html"
    for folder in (old, new, page.parent):
        folder.mkdir()
    (new / "1.png").write_bytes(picture())
    (tmp_path / "2.png").write_bytes(picture())
    find = Finder(tmp_path / "run.sqlite", page, new)
    assert find(str(old / "1.png")) == new / "1.png"
    assert find.address(new / "1.png") == "../neu%3A%20%231/1.png"
    monkeypatch.chdir(old)
    assert find("2.png") == tmp_path / "2.png"  # beside the journal
    monkeypatch.chdir(tmp_path)
    assert Finder(Path("run.sqlite"), Path("report.html"), None).address(Path("2.png").absolute()) == "2.png"
    assert find("3.png") is None
    assert find("a\0b") is None
    assert find("x" * 5_000) is None  # longer than a name may be
    assert find(None) is None


def test_a_file_on_another_drive_has_a_whole_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr(os.path, "relpath", refuse)
    find = Finder(tmp_path / "run.sqlite", tmp_path / "report.html", None)
    assert find.address(tmp_path / "1.png") == (tmp_path / "1.png").as_uri()


@pytest.mark.parametrize(
    ("request_", "prompt"),
    [
        ({"prompt": "A lake"}, "A lake"),
        ({"text": "Say this"}, "Say this"),
        ({"audio": "talk.mp3"}, "talk.mp3"),
        ({"messages": [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]}, "two"),
        ({"messages": [{"role": "system", "content": "no"}, "strange", {"role": "user", "content": []}]}, None),
        ({"messages": "strange"}, None),
        ({"path": "/generate", "body": {"prompt": "Of a single job"}}, "Of a single job"),
        ({"body": "strange"}, None),
        ({"prompt": ""}, None),
    ],
)
def test_what_was_asked_for_is_found(request_: dict[str, Any], prompt: str | None) -> None:
    assert prompt_of(request_) == prompt


def test_a_model_of_a_single_job_is_found(tmp_path: Path) -> None:
    path = journal(tmp_path / "jobs.sqlite", [Kept("k", {"body": {"model": "flux", "prompt": "x"}}, "planned")])
    assert cards_of(path, tmp_path / "report.html")["k"].model == "flux"


def test_what_comes_from_outside_is_text_and_nothing_else(tmp_path: Path) -> None:
    evil = "</style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\ud800\u202e"
    request = {"kind": evil, "model": evil, "prompt": evil}
    said = {"status": "failed", "error": evil}
    name = evil.replace("\ud800", "")
    records = [
        Kept(name, request, "final", said),
        Kept("url", request, "final", {"status": "completed", "result_url": "javascript:alert(1)"}),
        Kept("text", request, "final", {"status": evil, "result_text": evil}),
    ]
    page = write_batch_report(
        journal(tmp_path / "run.sqlite", records, service=f"https://{name}/"), tmp_path / "r.html"
    )
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img" not in html
    assert "javascript:" not in html
    assert html.count("</style>") == 1
    assert "&lt;script&gt;alert(1)" in html


def test_no_key_is_in_a_page(tmp_path: Path) -> None:
    key = "nb_live_0123456789abcdef0123456789abcdef"
    said = {"status": "failed", "error": f"no such key: {key}"}
    service = "https://user:secret@box.test/x"
    page = write_batch_report(
        journal(tmp_path / "run.sqlite", [Kept("k", reaches="final", said=said)], service=service), tmp_path / "r.html"
    )
    html = page.read_text(encoding="utf-8")
    assert key not in html
    assert "secret" not in html
    assert "box.test" in html


def test_long_texts_are_cut(tmp_path: Path) -> None:
    request = {"kind": "text", "model": "m" * 10, "prompt": "p" * 100_000}
    said = {"status": "completed", "result_text": "t" * 100_000}
    path = journal(tmp_path / "run.sqlite", [Kept("k" * 5_000, request, "final", said)])
    page = write_batch_report(path, tmp_path / "r.html")
    html = page.read_text(encoding="utf-8")
    assert len(html) < 25_000
    assert "99,200 characters more" in html
    assert "97,000 characters more" in html


def test_what_is_too_much_to_show_is_counted(tmp_path: Path) -> None:
    failed = {"status": "failed", "error": "policy"}
    path = journal(tmp_path / "run.sqlite", [Kept(f"k{n}", reaches="final", said=failed, tokens=0) for n in range(9)])
    html = write_batch_report(path, tmp_path, limit=2).read_text(encoding="utf-8")
    assert (tmp_path / "run.html").is_file()
    assert html.count("<article") == 2
    assert "2 of 9 requests are shown one by one; all are counted." in html
    assert re.findall(r'<a href="#r(\d+)"><bdi>(k\d)</bdi>', html) == [("1", "k0"), ("2", "k1")]
    assert "<bdi>k4</bdi> …" in html
    assert "<article" not in write_batch_report(path, tmp_path, limit=0).read_text(encoding="utf-8")


def test_a_price_that_is_not_known_is_said(tmp_path: Path) -> None:
    path = journal(tmp_path / "run.sqlite", [Kept("k", reaches="final", tokens=None)])
    assert "Of 1 results the price is not known." in write_batch_report(path, tmp_path / "r.html").read_text()


def test_an_empty_journal_has_a_page(tmp_path: Path) -> None:
    html = write_batch_report(journal(tmp_path / "run.sqlite", []), tmp_path / "r.html").read_text()
    assert "There is nothing in it yet." in html
    assert "Timeline" not in html


def test_a_batch_that_runs_can_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from neuralbox._journal import JournalOwner, read_summary

    path = journal(tmp_path / "run.sqlite", [Kept("k", reaches="accepted")])
    summary = dataclasses.replace(read_summary(path), owner=JournalOwner(1, "here", START), service="https://[")
    monkeypatch.setattr(batch_module, "read_summary", lambda _: summary)
    assert "The batch was running when this page was made." in write_batch_report(path, tmp_path / "r.html").read_text()


def test_without_pillow_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "are_possible", lambda: False)
    file = tmp_path / "1.png"
    file.write_bytes(picture())
    html = write_batch_report(journal(tmp_path / "run.sqlite", [Kept("k", path=file)]), tmp_path / "r.html").read_text()
    assert "pip install &#39;neuralbox[report]&#39;" in html
    assert 'href="1.png"' in html
    assert "data:image" not in html


# Bad targets.


@pytest.mark.parametrize("target", ["run.sqlite", "report", "report.pdf"])
def test_a_target_that_is_no_page_is_refused(tmp_path: Path, target: str) -> None:
    path = journal(tmp_path / "run.sqlite", [Kept("k", reaches="planned")])
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"must end in \.html"):
        write_batch_report(path, tmp_path / target)
    assert path.read_bytes() == before


def test_a_folder_in_the_place_of_the_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.html").mkdir()
    with pytest.raises(ConfigurationError, match="is a directory"):
        write_batch_report(journal(tmp_path / "run.sqlite", []), tmp_path)


@pytest.mark.parametrize("limit", [-1, True, 1.5])
def test_a_limit_that_is_no_number_is_refused(tmp_path: Path, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="`limit`"):
        write_batch_report(tmp_path / "run.sqlite", tmp_path / "r.html", limit=limit)


def test_without_a_journal_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="There is no journal"):
        write_batch_report(tmp_path / "run.sqlite", tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = journal(tmp_path / "run.sqlite", [Kept("k", reaches="planned")])
    page = write_batch_report(path, tmp_path / "r.html")
    before, names = page.read_bytes(), sorted(tmp_path.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartFile, "write", full)
    with pytest.raises(DownloadError, match="cannot be written: No space left on device"):
        write_batch_report(path, page)
    assert page.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == names


def test_a_page_says_how_to_settle_what_is_unknown(tmp_path: Path) -> None:
    path = journal(tmp_path / "run.sqlite", [Kept("boat", reaches="sending"), Kept("tree")])
    page = write_batch_report(path, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Of 1 requests it is unknown whether they were accepted." in page
    assert f"neuralbox reconcile {path}" in page
    assert f"neuralbox batch settle {path} KEY --adopt ID" in page


def test_a_page_says_what_the_budget_kept_from_being_sent(tmp_path: Path) -> None:
    made = journal(tmp_path / "run.sqlite", [Kept("a", reaches="planned"), Kept("b")])
    remember(made, "command_line", {"budget": 5, "not_sent_budget": 3})
    page = write_batch_report(made, tmp_path / "run.html").read_text()
    assert f"1 not sent (budget); to raise it:  neuralbox batch resume {made} --budget TOKENS." in page
    remember(made, "command_line", "of another version")
    assert "budget" not in write_batch_report(made, tmp_path / "run.html").read_text()


def test_what_has_not_ended_says_what_to_do(tmp_path: Path) -> None:
    path = journal(
        tmp_path / "my run.sqlite",
        [Kept("-a", reaches="sending"), Kept("b c", reaches="sending"), Kept("c", reaches="accepted"), Kept("d")],
    )
    page = re.sub(r"&#39;", "'", write_batch_report(path, tmp_path / "r.html").read_text())
    assert (
        f"To look for it: neuralbox reconcile '{path}'; to decide: <code>neuralbox batch settle '{path}' --adopt ID -- -a</code>"
        in page
    )
    assert f"<code>neuralbox batch settle '{path}' 'b c' --adopt ID</code>" in page
    assert f"To continue: <code>neuralbox batch resume '{path}'</code>" in page
    assert page.count("<code>") == 3
