"""`neuralbox gateway`: keys from the command line, and a gateway as a process that ends in good order."""

from __future__ import annotations

import errno
import json
import shlex
import signal
import sys
from pathlib import Path

import httpx
import pytest
import typer

from neuralbox._cli import exit_codes, gateway, output
from neuralbox.gateway import _keys

from .conftest import Box, run
from .processes import finish, start


def test_keys_are_made_listed_and_revoked() -> None:
    made = run("gateway", "key", "web", "--budget", "50", "--model", "gpt-5", "--model", "sora-2", "--per-minute", "9")
    assert made.lines[0].startswith("nbgw_")
    listed = run("gateway", "keys")
    assert listed.out.split("\t")[1:] == ["web", "budget=50", "per_minute=9", "models=gpt-5,sora-2\n"]
    assert made.lines[0] not in listed.out
    (record,) = run("gateway", "keys", "--json").records
    assert (record["name"], record["budget"]) == ("web", 50)
    assert set(run("gateway", "key", "app", "--json").records[0]) == {"key", "id", "name"}
    assert run("gateway", "revoke", "web").err == "web is revoked.\n"
    gone = run("gateway", "revoke", "web")
    assert (gone.code, gone.sentence) == (exit_codes.USAGE, "There is no key 'web' in gateway-keys.json.")


def test_a_key_that_could_not_be_shown_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "The output cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(output, "write_result", full)
        assert run("gateway", "key", "me").code == exit_codes.UNUSABLE_DISK
    assert run("gateway", "keys").lines == []
    assert run("gateway", "key", "me").code == 0


def test_a_key_that_nobody_could_see_is_not_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # closed before we began
    with pytest.raises(typer.Exit) as left:
        gateway.key("me")
    assert left.value.exit_code == exit_codes.USAGE
    assert capsys.readouterr().err == "There is no standard output to show the key on, so none was made.\n"
    assert [*Path().iterdir()] == []


def test_a_full_disk_is_no_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_keys, "write_own", full)
    left = run("gateway", "key", "me")
    said = "The file of keys gateway-keys.json cannot be used: No space left on device."
    assert (left.code, left.out, left.sentence) == (exit_codes.UNUSABLE_DISK, "", said)
    nowhere = run("gateway", "key", "me", "--keys", "nowhere/keys.json")
    assert (nowhere.code, "No such file" in nowhere.sentence) == (exit_codes.USAGE, True)
    assert run("gateway", "keys").sentence == "There are no keys in gateway-keys.json."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "has no key to call with"),
        (["--alias", "gpt-4o"], "`--alias` is NAME=SLUG"),
        (["--host", "192.0.2.1"], "192.0.2.1 is not a loopback address"),
        (["--host", "example.test"], "example.test is not a loopback address"),
        (["--port", "1", "--host", "127.0.0.1"], "cannot listen on 127.0.0.1 port 1"),
    ],
)
def test_a_gateway_that_cannot_be_served_is_one_sentence(
    box: Box, options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if options:
        box("gateway", "key", "me")
    if "--port" in options:
        monkeypatch.setattr("socket.socket.bind", _in_use)
    left = box("gateway", *options)
    assert left.code != 0
    assert said in left.sentence


def test_a_gateway_that_would_never_stop_is_wrong_usage(box: Box) -> None:
    box("gateway", "key", "me")
    left = box("gateway", "--grace", "inf")
    assert left.code == exit_codes.USAGE
    assert "'--grace'" in left.err


def test_traces_without_their_extra_are_one_sentence(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [each for each in sys.modules if each.startswith("neuralbox.otel")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    left = box("gateway", "--trace", "--pass-keys-on", "--quiet")
    said = "This needs `opentelemetry`, which is not installed: run  pip install 'neuralbox[otel]'"
    assert (left.code, left.sentence) == (exit_codes.USAGE, said)


def _in_use(*_: object) -> None:
    raise OSError(errno.EADDRINUSE, "Address already in use")


@pytest.mark.parametrize("own", [True, False])
def test_a_gateway_serves_until_it_is_told_to_stop(box: Box, tmp_path: Path, own: bool) -> None:
    key = box("gateway", "key", "me").lines[0] if own else box.key
    given = {"NEURALBOX_BASE_URL": box.server.url, "NEURALBOX_API_KEY": box.key if own else ""}
    options = ["--port", "0", "--json", "--journal", "jobs.sqlite", "--budget", "50", "--alias", "gpt-4o=gpt-5"]
    process = start("gateway", *options, "--trace" if own else "--quiet", given=given)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "my secret"}]}
    for _ in range(2):
        came = httpx.post(
            f"{url}/chat/completions", json=body, headers={"authorization": f"Bearer {key}", "idempotency-key": "1"}
        )
        assert came.status_code == 200, came.text
    process.send_signal(signal.SIGTERM)
    left = finish(process)
    assert (left.code, box.spent) == (0, 2)
    assert ("POST /v1/chat/completions 200" in left.err) is own
    assert "my secret" not in left.err
    assert list(tmp_path.glob("jobs*.sqlite"))


def test_a_gateway_in_this_process_listens_where_it_is_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the waiting for a signal; on IPv6, by name, and with the log of accesses."""
    from neuralbox._listening import StoppableServer

    async def at_once(server: object, sockets: object = None) -> None:
        assert sockets

    monkeypatch.setattr(StoppableServer, "serve", at_once)
    box("gateway", "key", "me")
    left = box("gateway", "--port", "0", "--trace", "--host", "localhost", "--alias", "a=gpt-5", "--budget", "9")
    assert left.code == 0
    assert left.out.startswith("Gateway on http://localhost:")
    passed = box("gateway", "--port", "0", "--json", "--pass-keys-on", "--quiet", "--allow-remote", "--host", "::1")
    assert passed.records[0]["url"].startswith("http://[::1]:")


def test_the_key_that_a_gateway_lacks_is_made_in_its_own_file(box: Box) -> None:
    for options in ([], ["--keys", "the team.json"]):
        named = shlex.join(["neuralbox", "gateway", "key", "NAME", *options])
        left = box("gateway", *options)
        assert (left.code, f"has no key to call with: `{named}` makes one." in left.sentence) == (2, True)


@pytest.mark.parametrize("passed_on", [[], ["--pass-keys-on"]])
def test_a_gateway_keeps_its_journal_in_no_database(box: Box, passed_on: list[str]) -> None:
    """As a path it would be a file in a directory called `postgresql:`."""
    box("gateway", "key", "me")
    left = box("gateway", "--journal", "postgresql://me:secret@box.test/db#summer", *passed_on)
    assert left.code != 0
    assert "is a file of its own" in left.err
    assert "secret" not in left.err
