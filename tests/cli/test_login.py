"""Keeping keys: in a keyring, in a file for its owner alone, for one address, and on no screen."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import keyring
import keyring.errors
import pytest
import typer
from keyring.backend import KeyringBackend
from keyring.backends import fail

from neuralbox._cli.key_store import forget_key, keep_key, kept_profiles
from neuralbox._files import own_file
from neuralbox.sandbox import Server

from ..files.locks import interrupt_by
from .conftest import Box, Left, run
from .test_output import Screen


class Keys(KeyringBackend):
    """A keyring in memory; locked, it opens for nobody."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def _open(self) -> None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("nobody unlocked it")

    def get_password(self, service: str, username: str) -> str | None:
        self._open()
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._open()
        if self.held.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("no such password")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    held = Keys()
    monkeypatch.setattr(keyring, "get_keyring", lambda: held)
    for name in ("get_password", "set_password", "delete_password"):
        monkeypatch.setattr(keyring, name, getattr(held, name))
    return held


@pytest.fixture
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)


def login(box: Box, *arguments: str, key: str = "") -> Left:
    left = run("login", *arguments, "--base-url", box.server.url, stdin=(key or box.key) + "\n")
    assert (key or box.key) not in left.out + left.err
    return left


def test_a_key_is_tried_kept_in_the_keyring_used_and_forgotten(box: Box, keys: Keys, config: Path) -> None:
    left = login(box)
    assert left.code == 0
    assert left.err == "The key is right; 100000 tokens are left.\n"
    assert left.lines == [f"Kept for the profile 'default' and {box.server.url}, in the system's keyring."]
    assert keys.held == {("neuralbox", "default"): box.key}
    assert box.key not in (config.parent / "credentials.json").read_text()
    assert run("balance").code == 0
    assert run("logout").out == "The key of the profile 'default' is forgotten.\n"
    assert keys.held == {}
    assert run("logout").out == "The key of the profile 'default' is not kept here.\n"
    assert run("balance").code == 2


@pytest.mark.usefixtures("no_keyring")
def test_without_a_keyring_a_file_keeps_it_for_its_owner_alone(box: Box, config: Path) -> None:
    file = config.parent / "credentials.json"
    left = login(box, "--json")
    assert left.records == [{"profile": "default", "service": "neuralbox", "base_url": box.server.url}]
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert login(box, "--profile", "work", "--no-check").out.endswith(f"in {file}, for you alone to read.\n")
    assert json.loads(file.read_text()).keys() == {"default", "work"}
    assert run("balance", "--profile", "work").code == 0
    file.chmod(0o644)
    left = run("balance")
    assert left.code == 2
    assert left.sentence.startswith(f"Others can read the keys in {file}, so none was used: make a new key, and run")
    file.chmod(0o600)
    assert run("logout", "--profile", "work").code == 0
    assert run("balance").code == 0


@pytest.mark.usefixtures("no_keyring")
def test_two_keys_that_are_kept_at_once_are_both_there(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(name: str) -> str:
        return keep_key(name, f"nb_{name}", "http://box.test", in_file=True, login="neuralbox login")

    keep("gone")
    others = [
        interrupt_by(monkeypatch, own_file, lambda: keep("work")),
        interrupt_by(monkeypatch, own_file, lambda: forget_key("gone", "neuralbox login")),
    ]
    keep("home")
    for other in others:
        other.join()
    assert kept_profiles() == {"home", "work"}
    assert [each.name for each in config.parent.iterdir()] == ["credentials.json"]


def test_a_keyring_that_nobody_has_is_none(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    assert "for you alone to read" in login(box).out


def test_a_keyring_that_keeps_nothing_is_none(box: Box, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "set_password", lambda *_: None)
    assert "for you alone to read" in login(box).out
    assert run("balance").code == 0


def test_a_locked_keyring_is_one_clear_line(box: Box, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    login(box)
    keys.is_locked = True
    for left, more in ((run("balance"), ""), (login(box), f" --base-url {box.server.url}"), (run("logout"), "")):
        assert left.code == 2
        said = f"The system's keyring cannot be used (KeyringLocked): unlock it, or run neuralbox login{more} --file"
        assert said in left.err
    keys.is_locked = False
    keys.held.clear()
    assert run("balance").sentence == "The system's keyring has the key no more: run neuralbox login"
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "keyring", None)
        for command in ("balance", "logout"):
            assert "pip install 'neuralbox[keyring]'" in run(command).sentence
    assert run("logout").code == 0  # though the keyring has it no more
    assert login(box, "--file").code == 0
    assert keys.held == {}


def test_a_kept_key_goes_nowhere_but_where_it_was_given_for(box: Box, keys: Keys) -> None:
    login(box)
    left = run("balance", "--base-url", "http://127.0.0.1:1")
    assert left.code == 2
    assert f"The one that is kept is for {box.server.url}, and not sent to http://127.0.0.1:1." in left.sentence
    assert run("balance", "--base-url", f"{box.server.url}/api/v2/").code == 0
    # The environment's key counts, unless the profile is named.
    assert run("balance", NEURALBOX_API_KEY="nb_other", NEURALBOX_BASE_URL=box.server.url).code == 0


def test_a_profile_that_nobody_knows_is_refused_and_no_other_account_pays(box: Box, keys: Keys, config: Path) -> None:
    login(box, "--profile", "work")
    login(box, "--profile", "gemini", "--service", "geminigen")
    config.write_text("[profiles.sandbox]\nmax-sending = 1\n")
    said = (
        f"There is no profile 'wrok', neither in {config} nor among the kept keys; there is default, gemini, sandbox, work. "
        "`neuralbox login --profile wrok` keeps the key of a new one."
    )
    generate = ("generate", "gpt-5", "Good morning")
    left = box(*generate, "--profile", "wrok")
    assert (left.code, left.sentence) == (2, said)
    assert box(*generate, NEURALBOX_PROFILE="wrok").sentence == said
    assert "--profile must be the name of a profile" in box(*generate, "--profile", "").sentence
    config.write_text('profile = "wrok"\n[profiles.sandbox]\nmax-sending = 1\n')
    assert box(*generate).sentence == said
    assert box.spent == 0
    assert box(*generate, "--profile", "sandbox").code == 0
    assert run(*generate, "--profile", "work").code == 0
    assert run("logout", "--profile", "wrok").out == "The key of the profile 'wrok' is not kept here.\n"


def test_a_key_from_a_pipe_of_windows_is_kept_without_its_mark(box: Box, keys: Keys) -> None:
    assert login(box, "--no-check", key=f"\ufeff{box.key}").code == 0
    assert keys.held == {("neuralbox", "default"): box.key}


def test_what_is_no_key_or_a_wrong_one_is_not_kept(box: Box, keys: Keys) -> None:
    assert login(box, key="sk-other-service").code == 2
    assert run("login", stdin="").sentence == "There is no API key on standard input; its first line is read."
    assert login(box, key="\t").code == 2
    assert login(box, key="sk_wrong").code == 3
    assert login(box, "--service", "geminigen", key="gg wrong").code == 2
    assert keys.held == {}


def test_the_other_service_has_a_key_of_its_own(box: Box, slowly_served: Server, keys: Keys) -> None:
    assert login(box, "--service", "geminigen").err == "The key is right.\n"
    assert keys.held == {("neuralbox", "default (geminigen)"): box.key}
    assert login(box, "--service", "geminigen", "--no-check").err == ""
    assert run("geminigen", "history").code == 0
    # `--base-url` is the other service's: the key stays with the address it was given for.
    assert box("costs", "--geminigen", "--base-url", slowly_served.url).code == 0
    assert run("logout", "--service", "geminigen").code == 0
    assert "GEMINIGEN_API_KEY" in run("geminigen", "history").sentence


def test_the_command_that_keeps_a_missing_key_is_for_that_profile_and_service(
    box: Box, keys: Keys, config: Path
) -> None:
    config.parent.mkdir()
    config.write_text("[profiles.work]\n")
    assert " or run `neuralbox login --profile work`." in run("balance", "--profile", "work").sentence
    said = run("geminigen", "history", "--profile", "work").sentence
    assert " or run `neuralbox login --service geminigen --profile work`." in said
    assert login(box, "--profile", "work", "--service", "geminigen").code == 0
    assert run("geminigen", "history", "--profile", "work").code == 0
    keys.held.clear()
    assert run("geminigen", "history", "--profile", "work").sentence.endswith(
        "run neuralbox login --service geminigen --profile work"
    )


@pytest.mark.parametrize("content", ["garbage", "[]", "\udcff", "[" * 100_000], ids=["word", "list", "bytes", "deep"])
def test_garbage_in_the_keys_file_is_one_clear_line(content: str, box: Box, config: Path) -> None:
    config.parent.mkdir()
    file = config.parent / "credentials.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    file.chmod(0o600)
    left = run("balance")
    assert (left.code, left.sentence) == (2, f"{file} is garbage: remove it, and run neuralbox login")
    file.write_text('{"default": 5}')
    assert run("balance").sentence.startswith("There is no API key")
    assert run("logout").code == 0
    file.unlink()
    file.mkdir()
    assert "cannot be read" in run("balance").sentence
    file.rmdir()
    config.parent.rmdir()
    config.parent.write_text("no directory")
    assert run("balance").sentence.startswith("There is no API key")


def test_the_key_is_typed_where_nobody_sees_it(box: Box, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuralbox._cli.login import _typed

    asked: list[dict[str, object]] = []

    def prompt(text: str, **how: object) -> str:
        asked.append({"text": text, **how})
        return box.key

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(sys, "stdin", Screen())
    assert _typed("neuralbox") == _typed("geminigen") == box.key
    assert asked[0] == {"text": "NeuralBox API key (not shown)", "hide_input": True, "err": True}
    assert asked[1]["text"] == "GeminiGen API key (not shown)"
    from neuralbox import ConfigurationError

    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="no standard input"):
        _typed("neuralbox")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8"))
    with pytest.raises(ConfigurationError, match="no text on standard input"):
        _typed("neuralbox")


def test_a_key_that_moves_into_the_file_does_not_stay_in_the_keyring(box: Box, keys: Keys) -> None:
    assert login(box).code == 0
    assert [*keys.held.values()] == [box.key]
    assert login(box, "--file").code == 0
    assert keys.held == {}
    assert login(box).code == 0
    keys.is_locked = True
    left = login(box, "--file")
    assert left.code == 0
    assert "the former one stays in the system's keyring, which cannot be opened" in left.out
