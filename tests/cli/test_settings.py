"""The user's file: what it sets, what counts before it, and what is wrong with it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from neuralbox._cli.batch_settings import recall
from neuralbox._cli.settings import Settings, read_settings
from neuralbox._cli.settings_place import settings_file

from .conftest import Box, run

FULL = """\
profile = "work"

[defaults]
to = "~/pictures"
timeout = 900
name_by = "id"

[profiles.work]
base-url = "http://127.0.0.1:1"
to = "out"
poll-interval = 2.5
max-sending = 4
max-downloads = 2
max-in-flight = 10
"""


def write(config: Path, text: str) -> Path:
    config.parent.mkdir(mode=0o700, exist_ok=True)
    config.write_text(text)
    config.chmod(0o644)
    return config


def test_without_a_file_nothing_is_set(config: Path) -> None:
    assert read_settings() == Settings()
    config.parent.write_text("no directory")
    assert read_settings() == Settings()


def test_a_file_may_begin_with_the_mark_of_windows(config: Path) -> None:
    write(config, "\ufeff[defaults]\ntimeout = 900\n")
    assert read_settings() == Settings(timeout=900)


def test_the_profile_counts_before_the_defaults(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(config, FULL)
    assert read_settings() == Settings(
        "work",
        base_url="http://127.0.0.1:1",
        to=Path("out"),
        name_by="id",
        timeout=900,
        poll_interval=2.5,
        max_sending=4,
        max_downloads=2,
        max_in_flight=10,
    )
    write(config, f"{FULL}[profiles.other]\n")
    monkeypatch.setenv("NEURALBOX_PROFILE", "other")
    assert read_settings() == Settings("other", is_named=True, to=Path.home() / "pictures", name_by="id", timeout=900)


def test_the_file_stands_where_the_system_keeps_such_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEURALBOX_CONFIG", " ")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_file().name == "config.toml"
    assert settings_file().parent.name == "neuralbox"


def test_an_option_counts_before_the_file_and_a_named_profile_before_the_environment(config: Path, box: Box) -> None:
    write(config, FULL)
    assert box("balance").code == 0  # the environment says where, since nobody named the profile
    left = box("balance", "--profile", "work")
    assert left.code == 10
    assert "127.0.0.1:1" in left.err or "Connection refused" in left.err
    assert box("--profile", "work", "balance", "--base-url", box.server.url).code == 0
    assert run("balance", NEURALBOX_API_KEY=box.key).code == 10


def test_a_command_takes_its_defaults_from_the_file(config: Path, box: Box) -> None:
    write(
        config,
        '[defaults]\nto = "out"\nname-by = "n-{key}"\nmax-sending = 1\npoll-interval = 0.02\ntimeout = 20\n',
    )
    number = box("generate", "flux-1.1-pro", "A lighthouse", "--no-wait").lines[0]
    assert box("wait", number).lines == [f"out/n-{number}.webp"]
    assert box("wait", number, "-o", "here.webp", "--poll-interval", "0.5").lines == ["here.webp"]
    Path("run.jsonl").write_text('{"kind": "image", "model": "flux-1.1-pro", "prompt": "A heron", "key": "heron"}\n')
    assert box("batch", "run", "run.jsonl").code == 0
    assert Path("out/n-heron.webp").exists()
    assert recall(Path("run.sqlite")).to == os.path.abspath("out")  # noqa: PTH100


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profile = ", "is no TOML: "),
        ("\udcff", "is no TOML: "),
        (f"a={'[' * 3_000}", "is no TOML: "),
        ('[defaults]\nto = "a\\u0000"', "'to' must be a directory."),
        ("[defaults]\nto = '~nobody-of-this-name/a'", "The home directory in '~nobody-of-this-name/a' is not known."),
        ("profile = 3", "`profile` must be the name of a profile, whose table is [profiles.NAME]; it is 3."),
        ("profiles = 3", "`profiles` must be a table, [profiles]."),
        ("defaults = []", "`defaults` must be a table, [defaults]."),
        ("[profiles]\ndefault = 1", "the profile 'default' must be a table, [profiles.default]."),
        ("[defaults]\ntimeout = 'long'", "'timeout' must be a number of seconds."),
        ("[defaults]\ntimeout = true", "'timeout' must be a number of seconds."),
        ("[defaults]\nmax-sending = 0", "'max-sending' must be a whole number above 0."),
        ("[defaults]\nto = ''", "'to' must be a directory."),
        ("[defaults]\napi-key = 'nb_x'", "'api-key' is no setting there; `neuralbox login` keeps the key."),
        ("timeout = 3", "'timeout' stands outside a table: write it below [defaults]."),
        ("[defaults]\ncolour = 1", "'colour' is no setting there; it knows base-url, to, "),
        ("[defaults]\nname-by = 'x'", "Files are named by `key`, by `id` or by a template"),
    ],
)
def test_a_file_that_is_garbage_is_one_clear_line(text: str, said: str, config: Path, box: Box) -> None:
    config.parent.mkdir()
    config.write_bytes(text.encode("utf-8", "surrogateescape"))
    left = box("generate", "flux-1.1-pro", "A lighthouse")
    assert left.code == 2
    assert said in left.sentence
    assert "nb_x" not in left.sentence
    assert box.spent == 0


def test_settings_in_the_home_of_nobody_are_one_clear_line(box: Box) -> None:
    left = box("balance", NEURALBOX_CONFIG="~nobody-of-this-name/config.toml")
    said = "The home directory in '~nobody-of-this-name/config.toml' is not known."
    assert (left.code, left.sentence) == (2, said)


def test_a_mistyped_table_is_told_also_where_a_profile_is_named(config: Path, box: Box) -> None:
    write(config, '[profile.sandbox]\nbase-url = "http://127.0.0.1:1"\n')
    left = box("balance", "--profile", "sandbox")
    assert left.code == 2
    assert left.sentence.startswith(
        f"{config}: `profile` must be the name of a profile, whose table is [profiles.NAME]"
    )


def test_a_file_that_others_can_change_or_nobody_can_read_is_refused(
    config: Path, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(config, FULL).chmod(0o646)
    left = box("balance")
    assert (left.code, left.sentence.endswith(f"chmod 644 {config}")) == (2, True)
    assert "Others can change" in left.sentence
    config.unlink()
    config.mkdir()
    assert "is no regular file" in box("balance").sentence
    config.rmdir()
    config.symlink_to(config)
    assert box("balance").sentence == f"The settings in {config} cannot be read: Too many levels of symbolic links."


def test_quiet_and_verbose_stand_wherever_one_writes_them(box: Box) -> None:
    log = logging.getLogger("neuralbox")
    number = box("generate", "kling-v2.1", "A boat", "--no-wait", "-q").lines[0]
    for arguments in (("-q", "wait", number), ("wait", number, "--quiet")):
        left = box(*arguments)
        assert (left.code, left.err) == (0, "")
    left = box("balance", "-q", NEURALBOX_BASE_URL="nowhere")
    assert left.sentence  # errors are said all the same
    assert box("balance", "-v").code == 0
    assert log.level == logging.INFO
    assert box("-vv", "balance", "-v").code == 0
    assert log.level == logging.DEBUG


@pytest.mark.parametrize(
    "arguments",
    [
        ("batch", "-q", "status", "none.sqlite"),
        ("batch", "--profile", "nobody", "status", "none.sqlite"),
        ("geminigen", "-v", "get", "1"),
        ("gateway", "-q", "revoke", "nobody"),
        ("gateway", "--profile", "nobody", "--alias", "none"),
        ("gateway", "-vq", "--alias", "none"),
        ("history", "-v", "-q", "export", "none.txt"),
        ("history", "--profile", "nobody", "export", "none.txt"),
        ("history", "--profile=nobody", "export", "none.txt"),
        ("history", "-vq", "list", "--profile", "nobody"),
        ("history", "--limit", "1", "-q"),
        ("history", "-q", "--limit", "1"),
        ("history", "-q"),
    ],
)
def test_a_command_of_several_takes_what_every_command_takes(arguments: tuple[str, ...]) -> None:
    left = run(*arguments)
    assert left.code == 2
    assert "Usage" not in left.err


def test_a_profile_without_its_name_is_wrong_usage() -> None:
    assert "Option '--profile' requires an argument." in run("history", "--profile").err


@pytest.mark.parametrize(
    "arguments", [("-h",), ("balance", "-h"), ("batch", "-h"), ("history", "-h"), ("batch", "run", "-h")]
)
def test_h_is_help_everywhere(arguments: tuple[str, ...]) -> None:
    left = run(*arguments)
    assert (left.code, left.err) == (0, "")
    assert left.out.startswith("Usage: neuralbox")
    assert "-h, --help" in left.out
