"""How a command leaves: which code, and which words."""

from __future__ import annotations

import errno
import json

import pytest
import typer

from neuralbox import (
    APITimeoutError,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DownloadError,
    ExpiredFileError,
    Generation,
    GenerationFailedError,
    GenerationTimeoutError,
    InsufficientTokensError,
    JobRef,
    JournalError,
    ModelUnavailableError,
    NeuralBoxError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    StreamInterruptedError,
    SubmissionUnknownError,
    UnprocessableEntityError,
)
from neuralbox._cli.errors import Failures, Paid, code_of, plain_words, sentence_of
from neuralbox._cli.invocation import current
from neuralbox._types import ListenError

from .conftest import Box

JOB = JobRef(18_500, "video", "kling-v2.1")


def leave(error: BaseException, paid: Paid | None = None, *, as_json: bool = False) -> int:
    with pytest.raises(typer.Exit) as left, plain_words(as_json=as_json, paid=paid):
        raise error
    return left.value.exit_code


def caused_by(cause: Exception) -> DownloadError:
    error = DownloadError("x")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NeuralBoxError("x"), 1),
        (ConfigurationError("x"), 2),
        (JournalError("x", reason="changed"), 2),
        (JournalError("x", reason="missing"), 2),
        (AuthenticationError("x", status_code=401), 3),
        (PermissionDeniedError("x", status_code=403), 3),
        (InsufficientTokensError("x", status_code=402), 4),
        (BudgetExceededError("x"), 4),
        (RateLimitError("x", status_code=429), 5),
        (NotFoundError("x", status_code=404), 6),
        (ExpiredFileError("x"), 6),
        (GenerationFailedError("x"), 7),
        (GenerationTimeoutError("x"), 8),
        (SubmissionUnknownError("x"), 9),
        (ConnectError("x"), 10),
        (ModelUnavailableError("x", status_code=503), 10),
        (ProtocolError("x"), 10),
        (StreamInterruptedError("x"), 10),
        (DownloadError("x"), 10),
        (caused_by(ConnectError("x")), 10),
        (caused_by(APITimeoutError("x", phase="read")), 10),
        (caused_by(PermissionDeniedError("x", status_code=403)), 10),
        (caused_by(OSError("x")), 11),
        (JournalError("x", reason="full"), 11),
        (JournalError("x", reason="a word of tomorrow"), 11),
        (OSError("x"), 11),
        (ListenError(errno.EACCES, "x"), 1),
        (JournalError("x", reason="locked"), 12),
        (KeyError("x"), 1),
    ],
)
def test_every_class_of_error_has_its_code(error: Exception, code: int) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize("command", [("sandbox",), ("gateway",), ("mcp", "--http")])
def test_a_server_that_may_not_listen_is_no_fault_of_the_disk(
    command: tuple[str, ...], box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    box("gateway", "key", "me")
    monkeypatch.setattr("socket.socket.bind", refuse)
    left = box(*command, "--port", "80")
    assert left.code == 1
    assert "cannot listen on 127.0.0.1 port 80: Permission denied" in left.sentence


def test_failures_share_a_code_or_have_the_general_one() -> None:
    failures = Failures()
    assert failures.code == 0
    assert failures.add(GenerationFailedError("It failed.")) == "It failed."
    failures.add(GenerationFailedError("It failed."))
    assert failures.code == 7
    failures.add(ConnectError("Down."))
    assert failures.code == 1


# Words.


def test_advice_for_programs_is_replaced_by_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(ConnectionLostError("The connection broke.").with_job(JOB)) == 10
    assert capsys.readouterr().err == "The connection broke. The job goes on; to continue:  neuralbox wait 18500\n"


def test_of_an_unknown_job_nothing_is_said_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    error = NotFoundError("HTTP 404: Check the id or model, and `base_url`.", status_code=404).with_job(JOB)
    assert leave(error, Paid([JOB])) == 6
    assert capsys.readouterr().err == (
        "The service does not know the job 18500 (video kling-v2.1). HTTP 404: Check the id or model, and "
        "NEURALBOX_BASE_URL. `neuralbox history` and `neuralbox models` list what there is.\n"
    )


def test_the_other_jobs_of_a_wait_are_named_where_one_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    error = GenerationFailedError("It failed.", job=JOB)
    leave(error, Paid([JOB, JobRef(7), JobRef("gen_8")]))
    assert capsys.readouterr().err == "It failed. Jobs go on; to continue:  neuralbox wait 7 gen_8\n"


def test_of_ids_that_were_typed_nothing_is_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    leave(KeyboardInterrupt(), Paid([JobRef(7)], is_ours=False))
    assert capsys.readouterr().err == "Stopped. To continue:  neuralbox wait 7\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            SubmissionUnknownError("It was not sent again. It stays in `client.unresolved`, and `client.x()` looks."),
            "It was not sent again.",
        ),
        (
            GenerationTimeoutError("It goes on running on the server; `client.job(error.job)` attaches again."),
            "It goes on running on the server.",
        ),
        (
            InsufficientTokensError("No tokens; `client.account.balance()` shows it.", status_code=402),
            "No tokens. `neuralbox balance` shows what is left.",
        ),
        (
            AuthenticationError("Check it (`api_key=` or NEURALBOX_API_KEY).", status_code=401),
            "Check it (NEURALBOX_API_KEY).",
        ),
        (ConfigurationError("No API key: pass `api_key=` or set X."), "No API key: set X."),
        (
            ConfigurationError("It is junk. Check `base_url=` and NEURALBOX_BASE_URL."),
            "It is junk. Check --base-url and NEURALBOX_BASE_URL.",
        ),
        (
            ConfigurationError("`a` is there; pass `overwrite=True` to replace it."),
            "`a` is there; pass --overwrite to replace it.",
        ),
        (DownloadError("It is private. `private_files=True` of the client allows it."), "It is private."),
        (ConfigurationError("It needs `socksio`; or pass `trust_env=False` to go without."), "It needs `socksio`."),
        (RateLimitError("The limit is reached; see `.retry_after`.", status_code=429), "The limit is reached."),
        (
            RateLimitError("The limit is reached; see `.retry_after`.", status_code=429, retry_after=61.4),
            "The limit is reached. Try again in 61 s.",
        ),
        (
            UnprocessableEntityError("Not accepted; see `.fields`.", status_code=422, fields={"seed": "no number."}),
            "Not accepted. seed: no number.",
        ),
        (
            UnprocessableEntityError(
                "Not valid: seed: no number; see `.fields`.",
                status_code=422,
                fields={"seed": "no number.", "size": "too large"},
            ),
            "Not valid: seed: no number. size: too large.",
        ),
        (
            JournalError("The disk is full.", reason="full", unwritten={"a": JobRef(5), "b": JobRef(6)}),
            "The disk is full. Paid for, and not in the journal (2):  neuralbox wait 5 6",
        ),
        (OSError(28, "No space left on device", "out/5.mp4"), "No space left on device: out/5.mp4."),
        (NeuralBoxError("Two\n lines."), "Two lines."),
    ],
)
def test_an_error_is_one_line_in_words_of_the_command_line(error: Exception, said: str) -> None:
    assert sentence_of(error) == said


def test_the_commands_that_are_named_repeat_the_callers_options(capsys: pytest.CaptureFixture[str]) -> None:
    leave(JournalError("Full.", reason="full", unwritten={"a": JobRef(5)}), Paid(options=["--profile", "work"]))
    leave(NotFoundError("HTTP 404.", status_code=404), Paid(options=["--profile", "work"]))
    leave(NotFoundError("HTTP 404.", status_code=404), Paid(options=["--profile", "work"], service="geminigen"))
    assert capsys.readouterr().err.splitlines() == [
        "Full. Paid for, and not in the journal (1):  neuralbox wait 5 --profile work",
        "HTTP 404. `neuralbox history --profile work` and `neuralbox models --profile work` list what there is.",
        "HTTP 404. `neuralbox geminigen history --profile work` lists what there is.",
    ]


def test_a_file_that_could_not_be_saved_is_paid_for_and_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    leave(DownloadError("The disk is full.", job=JOB))
    leave(DownloadError("The disk is full."))
    leave(
        DownloadError("The disk is full.", job=JobRef("6a1f")), Paid(service="geminigen", saving_options=["--to", "o"])
    )
    leave(DownloadError("The disk is full.", job=JOB), Paid([JOB, JobRef(7)], unsaved=[JOB]))
    leave(ExpiredFileError("It is gone.", job=JOB), Paid([JOB], unsaved=[JOB]))
    assert capsys.readouterr().err.splitlines() == [
        "The disk is full. It is paid for; to fetch it later:  neuralbox download 18500",
        "The disk is full.",
        "The disk is full. It is paid for; to fetch it later:  neuralbox geminigen get 6a1f --to o",
        "The disk is full. Jobs go on; to continue:  neuralbox wait 18500 7",
        "It is gone.",
    ]


def test_better_advice_stands_for_all_but_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    paid = Paid([JOB], advice="Run it again.")
    leave(KeyboardInterrupt(), paid)
    leave(ConnectError("Down.").with_job(JOB), paid)
    leave(ConfigurationError("Not so."), paid)
    assert [line.partition(" Check")[0] for line in capsys.readouterr().err.splitlines()] == [
        "Stopped. Run it again.",
        "Down.",
        "Not so.",
    ]


def test_a_request_on_its_way_is_not_forgotten_at_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(KeyboardInterrupt(), Paid(is_sending=True)) == 130
    assert capsys.readouterr().err == (
        "Stopped. A paid request may have left; whether it was accepted shows:  neuralbox history\n"
    )


def test_an_error_as_json_names_its_class_its_code_and_its_job(capsys: pytest.CaptureFixture[str]) -> None:
    leave(GenerationFailedError("It failed.", job=JOB), as_json=True)
    leave(ConfigurationError("Not so."), as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().err.splitlines()] == [
        {"error": "GenerationFailedError", "message": "It failed.", "exit_code": 7, "job": 18_500},
        {"error": "ConfigurationError", "message": "Not so.", "exit_code": 2},
    ]


def test_leaving_the_prompt_for_the_key_is_a_stop(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(typer.Abort()) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_closed_pipe_is_worth_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(BrokenPipeError(32, "Broken pipe")) == 141
    assert capsys.readouterr().err == ""


def test_a_bug_and_whatever_debugging_meets_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError), plain_words():
        raise KeyError("ours")
    monkeypatch.setattr(current, "debug", True)
    with pytest.raises(ConfigurationError), plain_words():
        raise ConfigurationError("Not so.")


def test_an_error_whose_advice_is_for_programs_only_is_still_a_sentence() -> None:
    assert sentence_of(ConfigurationError("Call `client.job(7)`.")) == "Call `client.job(7)`."
    assert sentence_of(ConfigurationError("")) == "ConfigurationError"


def test_an_unknown_request_names_what_may_be_its_own_and_the_command_that_comes_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(count: int, *, as_json: bool = False) -> str:
        found = [
            Generation.read({"id": number, "model": "kling-v2.1", "created_at": "2026-03-08T12:00:00Z"})
            for number in range(1, count + 1)
        ]
        paid = Paid(saving_options=["--to", "my out"])
        with pytest.raises(typer.Exit), plain_words(as_json=as_json, paid=paid):
            raise SubmissionUnknownError("Unknown.", candidates=found)
        return capsys.readouterr().err.strip()

    assert said(0) == "Unknown. Whether it was shows:  neuralbox history"
    known = "2026-03-08 12:00:00 UTC, kling-v2.1"
    assert said(1) == f"Unknown. It may be 1, {known}. If it is:  neuralbox wait 1 --to 'my out'"
    assert said(5).endswith(f"or 3, {known}; or one of 2 more. If it is:  neuralbox wait ID --to 'my out'")
    record = json.loads(said(2, as_json=True))
    assert [each["id"] for each in record["candidates"]] == [1, 2]
    assert record["next"] == "neuralbox wait ID --to 'my out'"
