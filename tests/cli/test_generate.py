"""Commands that make something or wait for it."""

from __future__ import annotations

import errno
import json
import resource
from pathlib import Path
from unittest.mock import patch

import pytest

from neuralbox import CallInfo, ExpiredFileError, FailureEvent
from neuralbox._cli import exit_codes, generate, output, waiting
from neuralbox._cli.session import CommandSession
from neuralbox._cli.waiting import PollVoice

from .conftest import Box, Left


def submitted(box: Box, model: str = "kling-v2.1") -> str:
    left = box("generate", model, "A paper boat", "--no-wait")
    assert left.code == 0
    return left.lines[0]


# generate.


def test_generate_prints_a_text_and_what_it_cost(box: Box) -> None:
    left = box("generate", "gpt-5", "Good morning")
    assert left.code == 0
    assert left.lines
    assert left.err == "2 tokens\n"
    assert box("generate", "gpt-5", "Good morning", "--to", "out").lines == left.lines


def test_generate_prints_an_address_or_a_file(box: Box, tmp_path: Path) -> None:
    assert box("generate", "flux-1.1-pro", "A lighthouse", "-p", "size=768x1344").out.startswith(box.server.url)
    left = box("generate", "flux-1.1-pro", "A lighthouse", "--to", "new/pictures", "--json")
    assert left.err == ""
    [record] = left.records
    assert Path(record["path"]).parent == Path("new/pictures")
    assert (tmp_path / record["path"]).stat().st_size > 0
    assert record["status"] == "completed"
    assert "raw" not in record


def test_generate_waits_for_what_takes_time(box: Box) -> None:
    left = box("generate", "kling-v2.1", "A paper boat", "--timeout", "20", "--to", "videos")
    assert left.code == 0
    assert left.lines[0].startswith("videos/")
    first, last = left.err.splitlines()
    assert first.startswith("Job ")
    assert first.endswith(" (video kling-v2.1) accepted; waiting.")
    assert last == "26 tokens"


def test_generate_reads_its_prompt_from_standard_input(box: Box) -> None:
    [record] = box("generate", "gpt-5", "-", "--json", stdin="Good morning from a pipe\n").records
    assert box.sandbox.ledger.generations[record["id"]].prompt == "Good morning from a pipe"


def test_a_file_that_stands_there_costs_nothing_that_was_paid_for(box: Box, tmp_path: Path) -> None:
    first = Path(box("generate", "flux-1.1-pro", "A lighthouse", "--to", ".").lines[0])
    following = tmp_path / f"{int(first.stem) + 1}.webp"
    following.write_bytes(b"of another account")
    left = box("generate", "flux-1.1-pro", "A lighthouse", "--to", ".")
    assert left.code == 0
    assert left.lines == [f"{following.stem} (2).webp"]
    assert following.read_bytes() == b"of another account"


def test_a_place_that_cannot_be_made_is_found_before_anything_is_paid(box: Box, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    left = box("generate", "flux-1.1-pro", "A lighthouse", "--to", "file")
    assert left.code == 11
    assert left.sentence == "File exists: file."
    assert box.spent == 0


def test_generate_without_waiting_gives_the_id(box: Box) -> None:
    left = box("generate", "kling-v2.1", "A paper boat", "--no-wait")
    [number] = left.lines
    assert left.sentence == f"Job {number} (video kling-v2.1) accepted; for its result:  neuralbox wait {number}"
    [record] = box("generate", "kling-v2.1", "A paper boat", "--no-wait", "--json").records
    assert record == {"id": int(number) + 1, "status": "pending"}


def test_a_failed_generation_has_its_own_code_and_goes_nowhere(box: Box) -> None:
    box.sandbox.faults.set("fail-generation", 1.0)
    left = box("generate", "kling-v2.1", "A paper boat")
    assert left.code == 7
    said = left.err.splitlines()[-1]
    assert " failed: " in said
    assert "goes on" not in said
    assert box.spent == 0


def test_a_wait_that_ends_names_the_command_that_goes_on(box: Box) -> None:
    box.sandbox.faults.set("error-503@GET /generate/{id}", 1.0)
    left = box("generate", "kling-v2.1", "A paper boat", "--timeout", "0")
    assert left.code == 8
    first, said, last = left.err.splitlines()
    assert said == "The service answers with HTTP 503. Still waiting."
    assert last.endswith(f"The job goes on; to continue:  neuralbox wait {first.split()[1]}")
    assert "client." not in last


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("generate", "gpt-5", ""), "prompt"),
        (("generate", "gpt-5", "-"), "prompt"),
        (("generate", "gpt-5", "Hi", "-p", "seed"), "NAME=VALUE"),
        (("stream", "gpt-5", " "), "prompt"),
        (("stream", "gpt-5", "Hi", "--temperature", "3"), "temperature"),
        (("generate", "flux-9", "Hi"), "flux-9"),
    ],
)
def test_what_cannot_be_right_costs_nothing(arguments: tuple[str, ...], said: str, box: Box) -> None:
    left = box(*arguments)
    assert left.code in {2, 6}
    assert said in left.sentence
    assert box.spent == 0


def test_without_tokens_the_way_to_the_balance_is_shown(box: Box) -> None:
    box.sandbox.ledger.account_of_key(box.key).balance = 1
    left = box("generate", "kling-v2.1", "A paper boat")
    assert left.code == 4
    assert left.sentence.endswith("`neuralbox balance` shows what is left.")


def blocked(model: str = "flux-1.1-pro") -> tuple[str, ...]:
    """Let a file stand where a model's directory of files would be; return the options that name it."""
    Path("out").mkdir()
    Path("out", model).write_text("in the way")
    return ("--to", "out", "--name-by", "{model}/{id}")


def test_what_is_paid_and_cannot_be_saved_is_shown_and_named(box: Box) -> None:
    places = blocked()
    left = box("generate", "flux-1.1-pro", "A lighthouse", *places, "--json")
    assert left.code == 2
    [record], error = left.records, json.loads(left.err)
    assert record["url"]
    assert record["not_saved"] == "`out/flux-1.1-pro` is not a directory, so nothing can be put into it."
    assert "path" not in record
    assert error["job"] == record["id"]
    command = f"neuralbox download {record['id']} --to out --name-by '{{model}}/{{id}}'"
    assert error["message"] == f"{record['not_saved']} It is paid for; to fetch it later:  {command}"
    Path("out/flux-1.1-pro").unlink()
    assert box("download", str(record["id"]), *places).lines == [f"out/flux-1.1-pro/{record['id']}.webp"]


def test_a_stop_while_a_file_is_fetched_names_what_is_paid(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neuralbox._files.download.save", stopped)
    left = box("generate", "flux-1.1-pro", "A lighthouse", "--to", "out")
    number = box("history", "--json").records[0]["id"]
    assert left.code == exit_codes.INTERRUPTED
    assert left.sentence == f"Stopped. It is paid for; to fetch it later:  neuralbox download {number} --to out"
    text, picture = box("generate", "gpt-5", "Hi", "--no-wait").lines[0], str(number)
    assert box("wait", picture, text, "--to", "out").sentence.endswith(
        f"To continue:  neuralbox wait {picture} {text} --to out"  # the text was not shown either
    )


def test_a_completed_job_without_an_address_is_no_file(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    number = box("generate", "flux-1.1-pro", "A lighthouse", "--no-wait").lines[0]
    monkeypatch.setattr("neuralbox.sandbox._endpoints.answers.file_url", lambda *_: None)
    left = box("wait", number, "-o", "x.webp")
    assert left.code == 2
    assert "the service gave no address of its file." in left.err
    assert left.err.splitlines()[-1].endswith(f"neuralbox download {number} -o x.webp")
    assert box("wait", number).code == 0


# stream.


def test_stream_prints_the_text_as_it_comes_and_the_price(box: Box) -> None:
    left = box("stream", "gpt-5", "Good morning", "--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "50")
    assert left.code == 0
    assert len(left.lines) == 1
    assert left.err.startswith("2 tokens")
    *deltas, result = box("stream", "gpt-5", "Good morning", "--json").records
    assert "".join(record["delta"] for record in deltas) == result["text"]


def test_a_stream_that_fails_ends_its_line_first(box: Box) -> None:
    box.sandbox.faults.set("stream-error", 1.0)
    left = box("stream", "gpt-5", "Good morning")
    assert left.code == 7
    assert left.out.endswith("\n")
    assert left.sentence


def test_a_stream_goes_to_a_file_as_well(box: Box) -> None:
    left = box("stream", "gpt-5", "Good morning", "-o", "said/story.txt")
    assert left.err.startswith("said/story.txt: 2 tokens")
    assert Path("said/story.txt").read_text("utf-8") == left.out
    *deltas, result = box("stream", "gpt-5", "Good morning", "--json", "-o", "story.txt").records
    assert result["path"] == "story.txt"
    assert Path("story.txt").read_text("utf-8") == "".join(record["delta"] for record in deltas) + "\n"
    spent = box.spent
    refused = box("stream", "gpt-5", "Good morning", "-o", "story.txt")
    assert refused.sentence.startswith("story.txt is there already; --overwrite replaces it.")
    assert box.spent == spent
    assert box("stream", "gpt-5", "Another", "-o", "story.txt", "--overwrite").code == 0
    assert "Another" in Path("story.txt").read_text("utf-8")


def test_what_came_of_a_stream_that_was_cut_short_is_beside_its_file(box: Box) -> None:
    box.sandbox.faults.set("stream-error", 1.0)
    left = box("stream", "gpt-5", "Good morning", "-o", "story.txt")
    assert left.code == 7
    assert left.err.splitlines()[0] == "story.txt.part has what came of it."
    assert Path("story.txt.part").read_text("utf-8") + "\n" == left.out
    assert [path.name for path in Path().iterdir() if path.name.startswith("story")] == ["story.txt.part"]


def test_a_stream_whose_file_cannot_be_written_was_printed_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("neuralbox._files.partial_file.write_whole", full)
    left = box("stream", "gpt-5", "Good morning", "-o", "story.txt")
    assert left.code == exit_codes.UNUSABLE_DISK
    assert len(left.lines) == 1
    assert "goes on" not in left.err
    box.sandbox.faults.set("stream-error", 1.0)
    cut = box("stream", "gpt-5", "Good morning", "-o", "story.txt")
    assert cut.code == 7
    assert ".part" not in cut.err


# wait.


def test_a_wait_for_what_is_no_id_does_not_advise_to_wait_for_it(box: Box) -> None:
    left = box("wait", "")
    assert left.code == 2
    assert left.sentence.endswith("not ''.")


def test_wait_shows_each_result(box: Box) -> None:
    ids = [submitted(box), submitted(box)]
    left = box("wait", *ids, "--to", "videos")
    assert left.code == 0
    assert left.lines == [f"videos/{job_id}.mp4" for job_id in ids]
    again = box("wait", *ids, "--to", "videos", "--json")
    assert [record["path"] for record in again.records] == left.lines


def test_a_wait_with_a_failure_shows_the_others(box: Box) -> None:
    good = submitted(box)
    box.sandbox.faults.set("fail-generation", 1.0)
    bad = submitted(box)
    left = box("wait", good, bad)
    assert left.code == 7
    assert len(left.lines) == 1
    assert f"{bad} failed: " in left.err


def test_a_file_that_cannot_be_saved_keeps_no_other_from_it(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AGAIN", 0.0)
    first, second = (box("generate", "flux-1.1-pro", f"A {what}", "--no-wait").lines[0] for what in ("fox", "boat"))
    video, places = submitted(box), blocked()
    left = box("wait", first, second, video, *places)
    assert left.code == 2
    assert left.lines == [f"out/kling-v2.1/{video}.mp4"]
    why = "`out/flux-1.1-pro` is not a directory, so nothing can be put into it."
    assert left.err.splitlines() == [
        f"{first}: {why}",
        f"{second}: {why}",
        "26 tokens",
        (
            "They are paid for; to fetch them later:  "
            f"neuralbox download {first} {second} --to out --name-by '{{model}}/{{id}}'"
        ),
    ]
    records = box("wait", first, video, *places, "--json").records
    assert [record.get("not_saved") for record in records] == [why, None]
    unknown = box("wait", first, "1", *places)
    assert unknown.code == 6
    assert f"{first}: {why}" in unknown.err.splitlines()
    assert unknown.err.splitlines()[-1].startswith("The service does not know the job 1.")
    box.sandbox.faults.set("fail-generation", 1.0)
    assert box("wait", first, submitted(box), *places).code == exit_codes.FAILED


def test_a_file_that_is_gone_is_not_to_be_fetched_later(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: object, **__: object) -> None:
        raise ExpiredFileError("The storage has no such file.")

    monkeypatch.setattr("neuralbox._files.download.save", gone)
    number = box("generate", "flux-1.1-pro", "A lighthouse", "--no-wait").lines[0]
    left = box("wait", number, "--to", "out")
    assert (left.code, left.sentence) == (exit_codes.NOT_FOUND, f"{number}: The storage has no such file.")


def test_a_wait_that_times_out_shows_what_is_done_and_names_the_rest(slow_box: Box) -> None:
    [record] = slow_box("generate", "flux-1.1-pro", "A lighthouse", "--json").records
    slow = submitted(slow_box)
    left = slow_box("wait", str(record["id"]), slow, "--timeout", "0.1")
    assert left.code == 8
    assert left.lines == [record["url"]]
    assert left.err.splitlines()[-1].endswith(f" To continue:  neuralbox wait {slow}")


def test_an_unknown_id_is_said_at_once_and_nothing_goes_on(slow_box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AGAIN", 0.0)
    known = submitted(slow_box)
    left = slow_box("wait", "1", known)
    assert left.code == 6
    first, last = left.err.splitlines()
    assert first == "The service does not know the job 1; it is asked once more."
    assert last.startswith("The service does not know the job 1. HTTP 404")
    assert last.endswith(f" To continue:  neuralbox wait {known}")
    assert "not lost" not in last
    [finished] = slow_box("generate", "flux-1.1-pro", "A lighthouse", "--no-wait").lines
    left = slow_box("wait", finished, "1")
    assert (left.code, len(left.lines)) == (6, 1)
    assert "neuralbox wait" not in left.err  # nothing is left to wait for
    assert "again" not in slow_box("wait", finished, NEURALBOX_API_KEY="sk_wrong").err


def test_a_wait_says_after_the_first_poll_without_an_answer_what_is_wrong(
    slow_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = slow_box("wait", "1", "2", "--timeout", "0", NEURALBOX_BASE_URL="http://127.0.0.1:1")
    assert left.code == 8
    first, *_ = left.err.splitlines()
    assert "Connection refused" in first
    assert first.endswith(" Still waiting.")
    slow = submitted(slow_box)
    monkeypatch.setattr(waiting, "SILENCE", 0.02)
    slow_box.sandbox.faults.set("latency", 0.3)
    left = slow_box("wait", slow, "--timeout", "0.01")
    assert left.err.splitlines()[0] == "No answer within 0.02 s. Still waiting."


def test_a_later_poll_that_fails_is_said_once(box: Box) -> None:
    number = submitted(box)
    session = CommandSession()
    voice = PollVoice(session)
    hooks = voice.hooks()
    voice.is_waiting = True
    call = CallInfo(1, "request", "neuralbox", "http://127.0.0.1:1", "GET", "/generate/1")
    with patch.object(CommandSession, "print_problem") as said:
        for _ in range(2):
            assert hooks.on_failure is not None
            hooks.on_failure(FailureEvent(call, 1, "ConnectError", 0.1))
            hooks.on_failure(FailureEvent(call, 1, "Cancelled", 0.1))
    assert [each.args for each in said.call_args_list] == [("No connection: http://127.0.0.1:1. Still waiting.",)]
    box.sandbox.faults.set("error-503@GET /generate/{id}", 1.0)
    left = box("wait", number, "--timeout", "0.5")
    assert [
        line.startswith(("HTTP 503", "The service answers with HTTP 503.")) for line in left.err.splitlines()[:2]
    ] == [
        True,
        True,
    ]
    assert len(left.err.splitlines()) == 3


# download.


def test_download_takes_ids_and_addresses(box: Box, tmp_path: Path) -> None:
    [record] = box("generate", "flux-1.1-pro", "A lighthouse", "--json").records
    left = box("download", str(record["id"]), record["url"], "--to", "out", "--overwrite")
    assert left.code == 0
    assert left.lines[0] == f"out/{record['id']}.webp"
    [first, _] = box("download", str(record["id"]), record["url"], "--to", "two", "--overwrite", "--json").records
    assert first["source"] == str(record["id"])
    assert first["bytes"] == (tmp_path / first["path"]).stat().st_size


def test_a_download_that_fails_does_not_keep_the_others(box: Box) -> None:
    [record] = box("generate", "flux-1.1-pro", "A lighthouse", "--json").records
    number = str(record["id"])
    left = box("download", "1", number, "--to", "out")
    assert left.code == 6
    assert left.lines == [f"out/{number}.webp"]
    assert left.sentence.startswith("1: HTTP 404 (not_found)")
    left = box("download", "1", number, "--to", "out", "--json")
    assert left.code == 1  # not found, and a file that is there
    assert [one["error"] for one in left.records] == ["NotFoundError", "ConfigurationError"]


def test_a_download_of_what_is_not_finished_says_what_to_do(slow_box: Box) -> None:
    [number] = slow_box("generate", "kling-v2.1", "A paper boat", "--no-wait").lines
    said = f"The job {number} (kling-v2.1) is pending, so it has no file yet: run `neuralbox wait {number}` first."
    left = slow_box("download", number)
    assert (left.code, left.sentence) == (2, f"{number}: {said}")
    [record] = slow_box("download", number, "--json").records
    assert record == {"source": number, "error": "ConfigurationError", "message": said}
    url = slow_box.server.url
    assert (
        f"run `neuralbox wait {number} --base-url {url}` first" in slow_box("download", number, "--base-url", url).err
    )


def test_a_text_is_no_file_to_download(box: Box) -> None:
    number = box("generate", "gpt-5", "Good morning", "--no-wait").lines[0]
    left = box("download", number)
    assert (left.code, "is a text" in left.sentence) == (2, True)
    assert left.sentence.endswith(f"so it has no file: `neuralbox wait {number}` prints it.")


def test_a_full_disk_is_said_and_nothing_paid_is_lost(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        left: Left = box("generate", "flux-1.1-pro", "A lighthouse", "--to", "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left.code == 11
    assert "It is paid for; to fetch it later:  neuralbox download " in left.sentence
    number, *repeated = left.sentence.split()[-3:]
    assert repeated == ["--to", "out"]
    assert box("download", number, "--to", "out").lines == [f"out/{number}.webp"]


def test_the_price_is_said_as_far_as_it_is_known() -> None:
    from neuralbox import Generation

    assert generate._cost(Generation.read({"id": 1, "tokens_used": 1, "balance_remaining": 0})) == "1 token, 0 left"
    assert generate._cost(Generation.read({"id": 1})) == "price not said"


# A text below the prompt, and the words of a recording.


def test_a_text_from_a_file_or_a_pipe_is_the_context_of_the_prompt(box: Box) -> None:
    Path("letter.txt").write_text("Dear Ann,\n", encoding="utf-8-sig")

    def prompt_of(left: Left) -> str:
        [record] = left.records
        return str(box.sandbox.ledger.generations[record["id"]].prompt)

    said = "Summarise this.\n\nDear Ann,"
    assert prompt_of(box("generate", "gpt-5", "Summarise this.", "-c", "letter.txt", "--json")) == said
    piped = box("generate", "gpt-5", "Summarise this.", "-c", "-", "--json", stdin="Dear Ann,\n")
    assert prompt_of(piped) == said
    assert prompt_of(box("generate", "gpt-5", "-", "-c", "letter.txt", "--json", stdin="\ufeffSummarise this.")) == said
    assert box("stream", "gpt-5", "Summarise this.", "-c", "letter.txt").code == 0
    Path("bytes").write_bytes(b"\xff")
    spent = box.spent
    for arguments, why in (
        (("-", "-c", "-"), "Standard input can be the prompt or the context, not both."),
        (("Hi", "-c", "-"), "There is no text in standard input."),
        (("Hi", "-c", "bytes"), "bytes is no text in UTF-8, so it cannot be the context of a prompt."),
        (("Hi", "-c", "nowhere"), "The context 'nowhere' cannot be read: No such file or directory."),
    ):
        left = box("generate", "gpt-5", *arguments, stdin="")
        assert (left.code, left.sentence) == (2, why)
    assert box.spent == spent


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_is_paid_for_and_cannot_be_printed_is_named(
    box: Box, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "The output cannot be written: No space left on device")

    Path("talk.mp3").write_bytes(b"talk")
    monkeypatch.setattr(output, "write_result", full)
    for arguments in (("generate", "gpt-5", "Hi"), ("generate", "flux-1.1-pro", "Hi"), ("transcribe", "talk.mp3")):
        left = box(*arguments, *options)
        assert left.code == 11
        assert f"neuralbox wait {max(box.sandbox.ledger.generations)}" in left.sentence


def test_a_recording_is_written_down(box: Box) -> None:
    [spoken] = box("generate", "openai-tts", "Good morning!", "-o", "morning.mp3").lines
    left = box("transcribe", spoken, "--model", "elevenlabs-scribe", "--language", "en", "--diarize")
    assert left.code == 0
    assert left.lines
    assert box("transcribe", spoken, "-o", "words.txt").lines == ["words.txt"]
    assert Path("words.txt").read_text()
    assert box("transcribe", "nowhere.mp3").code == 2
    assert generate._transcribing("wh") == ["whisper"]
