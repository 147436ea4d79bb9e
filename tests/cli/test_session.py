"""The key, the arguments' values, and how a command speaks."""

from __future__ import annotations

import functools
import io
import sys

import pytest
import typer

import neuralbox._client
from neuralbox import AsyncNeuralBox, ConfigurationError, ConnectError
from neuralbox._cli.arguments import read_params, read_prompt
from neuralbox._cli.session import CommandSession
from neuralbox._cli.views import Meter
from neuralbox._types import read_id

from .conftest import Box, run
from .test_output import Screen

COMMANDS = [
    ("balance",),
    ("stats",),
    ("models",),
    ("models", "gpt-5"),
    ("price", "dall-e-3"),
    ("generate", "gpt-5", "Good morning"),
    ("stream", "gpt-5", "Good morning"),
    ("wait", "18500"),
    ("download", "18500"),
    ("archive", "mirror"),
    ("history",),
    ("history", "list"),
    ("history", "export", "history.csv"),
    ("history", "report"),
    ("batch", "run", "requests.jsonl"),
    ("batch", "run", "requests.jsonl", "--estimate"),
]


@pytest.fixture(autouse=True)
def _a_file_of_requests() -> None:
    with open("requests.jsonl", "w") as file:  # noqa: PTH123 - in the test's own directory
        file.write('{"kind": "image", "model": "flux-1.1-pro", "prompt": "A lighthouse"}\n')


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_without_a_key_says_how_to_give_one(command: tuple[str, ...]) -> None:
    left = run(*command)
    assert left.code == 2
    assert left.out == ""
    assert left.sentence.startswith("There is no API key: set NEURALBOX_API_KEY ")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_with_a_wrong_key_says_so_and_does_not_show_it(command: tuple[str, ...], box: Box) -> None:
    left = box(*command, NEURALBOX_API_KEY="sk_planted_secret")
    assert "planted" not in left.out + left.err
    assert "NEURALBOX_API_KEY" in left.out + left.err
    assert left.code == 3


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_speaks_json_of_its_errors_too(command: tuple[str, ...]) -> None:
    left = run(*command, "--json")
    assert left.code == 2
    assert left.out == ""
    assert left.sentence.startswith('{"error": "ConfigurationError", "message": "There is no API key: ')


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_that_the_server_is_down(
    command: tuple[str, ...], box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = functools.partial(AsyncNeuralBox, max_retries=0)
    monkeypatch.setattr(neuralbox._client, "AsyncNeuralBox", hasty)
    limit = ("--timeout", "0") if command[0] == "wait" else ()
    left = box(*command, *limit, NEURALBOX_BASE_URL="http://127.0.0.1:1")
    said = (left.out + left.err).splitlines()
    if command[0] == "wait":  # which goes on polling as long as it may
        assert left.code == 8
    elif command[-1] == "report":
        assert left.code in {1, 10}
    else:
        assert left.code == 10
    assert any("Connection refused" in line for line in said)
    assert "Traceback" not in left.err


def test_debug_shows_the_traceback(box: Box) -> None:
    with pytest.raises(ConnectError):
        box("--debug", "balance", NEURALBOX_BASE_URL="http://127.0.0.1:1")


def test_a_key_that_cannot_be_one_is_refused_before_anything_is_sent(box: Box) -> None:
    left = box("balance", NEURALBOX_API_KEY="nb_two words")
    assert left.code == 2
    assert "characters that no key has" in left.sentence


def test_a_plan_without_access_says_so(box: Box) -> None:
    left = box("balance", NEURALBOX_API_KEY="nb_plan_free_x")
    assert left.code == 3
    assert "VIP or Elite" in left.sentence


def test_on_a_terminal_the_key_is_asked_for(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def prompt(text: str, **how: object) -> str:
        asked.append({"text": text, **how})
        return box.key

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setenv("NEURALBOX_BASE_URL", box.server.url)
    monkeypatch.setattr(sys, "stdin", Screen())
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)

    async def work(nb: object, session: CommandSession) -> int:
        session.print_text("worked")
        return 7

    with pytest.raises(typer.Exit) as left:
        CommandSession().run(work)
    assert left.value.exit_code == 7
    assert asked == [{"text": "NeuralBox API key (not shown)", "hide_input": True, "err": True}]
    assert printed.getvalue() == "worked\n"


def test_nobody_is_asked_where_standard_input_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(typer.Exit):
        CommandSession().run(lambda nb, session: None)  # type: ignore[arg-type,return-value]
    assert "There is no API key" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="no text on standard input"):
        read_prompt("-", None)


def test_what_a_meter_draws_is_not_written_twice(capsys: pytest.CaptureFixture[str]) -> None:
    drawn: list[str] = []

    class Drawing(Meter):
        def prints(self, line: str, *, beside: bool = False) -> bool:
            drawn.append(line)
            return True

    session = CommandSession(meter=Drawing())
    session.print_text("a result")
    session.print_status("a status")
    assert drawn == ["a result", "a status"]
    assert capsys.readouterr() == ("", "")


# Values.


def test_options_of_a_model_are_json_where_they_can_be() -> None:
    given = ["size=768x1344", "seed=7", "hd=true", 'tags=["a"]', "note=a=b", "empty="]
    assert read_params(given) == {
        "size": "768x1344",
        "seed": 7,
        "hd": True,
        "tags": ["a"],
        "note": "a=b",
        "empty": "",
    }
    assert read_params(None) == {}
    assert read_params(["deep=" + "[" * 100_000]) == {"deep": "[" * 100_000}


@pytest.mark.parametrize("text", ["size", "=7", " =7"])
def test_an_option_without_name_or_sign_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="NAME=VALUE"):
        read_params([text])


def test_ids_are_numbers_where_they_are_digits() -> None:
    assert [read_id(text) for text in ("18500", "gen_5", "٣", "-1", 7)] == [18_500, "gen_5", "٣", "-1", 7]
    assert read_id("9" * 5_000) == "9" * 5_000  # Python refuses to read it as a number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_url=fox.png", "is a file of this machine"),
        ("image_url=nowhere.png", "does not begin with https://"),
        ("image_url=file:///fox.png", "does not begin with https://"),
        ("image_url=C:fox.png", "does not begin with https://"),
        (
            'messages=[{"content": [{"type": "image_url", "image_url": {"url": "fox.png"}}]}]',
            "is a file of this machine",
        ),
    ],
)
def test_a_file_where_the_service_takes_an_address_is_refused_with_what_to_do(text: str, said: str) -> None:
    with open("fox.png", "w") as file:  # noqa: PTH123 - in the test's own directory
        file.write("a fox")
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_params([text])
    assert caught.value.message.endswith("It takes no uploads there: put the file on the web, and pass its address.")


def test_addresses_pass() -> None:
    for text in (
        "image_url=https://a.test/x.png",
        "image_url=data:image/png;base64,iVBORw0K",
        "image_url=5",
        "urls=[1]",
    ):
        assert read_params([text])
