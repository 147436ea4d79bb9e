"""Keys of the gateway's own, and callers with keys of the service: what each may do, spend and see."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest

from neuralbox import AsyncNeuralBox, Budget, ConfigurationError, JournalError
from neuralbox.gateway import KeyFile, _callers, _keys, app
from neuralbox.gateway._joins import JOINED_FOR
from neuralbox.gateway._purchases import Purchase
from neuralbox.testing import in_memory

from ..files.locks import interrupt_by
from .caller import Answered, Calls, calling, in_process


def test_a_key_is_shown_once_kept_as_a_hash_and_refused_when_it_is_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    assert keys.all() == []
    secret, made = keys.make("web", budget=100, models=("gpt-5",), per_minute=5, now=7.0)
    assert secret not in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyFile(path).find(secret) == keys.find(secret) == made
    assert (made.may_use("gpt-5"), made.may_use("sora-2"), made.created_at) == (True, False, 7)
    assert keys.find("nbgw_other") is None
    with pytest.raises(ConfigurationError, match="name of its own"):
        keys.make("web")
    with pytest.raises(ConfigurationError, match="`budget` must be at least 1"):
        keys.make("app", budget=0)
    other, _ = KeyFile(path).make("app")
    assert keys.find(other) is not None  # made by another process
    with pytest.raises(ConfigurationError, match="no key 'mail'"):
        keys.revoke("mail")
    keys.revoke(made.id)
    assert keys.find(secret) is None


def test_two_keys_that_are_made_at_once_are_both_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    gone, _ = KeyFile(path).make("gone")
    other = interrupt_by(monkeypatch, _keys, lambda: KeyFile(path).make("web"))
    KeyFile(path).make("app")
    other.join()
    assert [each.name for each in KeyFile(path).all()] == ["gone", "app", "web"]
    other = interrupt_by(monkeypatch, _keys, lambda: KeyFile(path).revoke("gone"))
    KeyFile(path).make("mail")
    other.join()
    assert KeyFile(path).find(gone) is None
    assert [each.name for each in KeyFile(path).all()] == ["app", "web", "mail"]
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize(
    "content",
    ["", "{}", '{"keys": [{"id": "a"}]}', '{"keys": [{"digest": "a"}]}', "[]", pytest.param("[" * 100_000, id="deep")],
)
def test_a_file_of_keys_that_is_none_is_said_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holds no keys of a gateway"):
        KeyFile(path).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget", 0),
        ("budget", "60"),
        ("budget", True),
        ("per_minute", 0),
        ("per_minute", 1.5),
        ("models", "gpt-5"),
        ("models", [5]),
    ],
)
@pytest.mark.anyio
async def test_a_limit_that_is_none_is_the_operators_business_and_said_in_the_log_alone(
    tmp_path: Path, name: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Its callers were told that they had asked wrongly, and where the file is; or that the gateway had failed."""
    async with in_process(tmp_path) as calls:
        path = tmp_path / "keys.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        record["keys"][0][name] = value
        path.write_text(json.dumps(record), encoding="utf-8")
        for key in (calls.key, "nbgw_other"):
            refused = await calls.chat(key=key)
            assert (refused.status, refused.error["code"]) == (503, "misconfigured")
            assert refused.headers["x-should-retry"] == "true"
            assert str(path) not in refused.error["message"]
    assert f"`{name}` of a key is a" in caplog.text
    assert repr(value) in caplog.text


def test_a_place_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be used: Not a directory"):
        KeyFile(tmp_path / "file" / "keys.json").all()
    with pytest.raises(ConfigurationError, match="cannot be used: No such file"):
        KeyFile(tmp_path / "nowhere" / "keys.json").make("me")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("header", "code"), [("", None), ("Basic x", None), ("Bearer ", None), ("Bearer nbgw_x", "invalid_api_key")]
)
async def test_a_key_that_is_not_ours_is_refused_before_anything_is_read(
    tmp_path: Path, header: str, code: str | None
) -> None:
    async with in_process(tmp_path) as calls:
        for path in ("models", "videos/video_1", "videos/video_1/content"):
            came = await calls.get(path, authorization=header)
            assert (came.status, came.error["code"], came.headers["x-should-retry"]) == (401, code, "false")
        assert (await calls.chat(x_authorization=header, key="nb_operator")).status == 401
        assert not calls.running.ledger.requests_by_route


@pytest.mark.anyio
async def test_a_key_uses_its_models_alone_and_no_more_often_than_it_may(tmp_path: Path) -> None:
    async with in_process(tmp_path, models=("gpt-5", "dall-e-3"), per_minute=2) as calls:
        other = await calls.post("images/generations", {"model": "flux-1.1-pro", "prompt": "A fox"})
        assert (other.status, other.error["code"]) == (404, "model_not_found")
        assert {each["id"] for each in (await calls.get("models")).body["data"]} == {"gpt-5", "dall-e-3"}
        assert [(await calls.chat()).status for _ in range(2)] == [200, 200]
        assert (await calls.chat(x_stainless_retry_count="1")).status == 200  # a repetition is no request more
        refused = await calls.chat()
        assert (refused.status, refused.error["type"], refused.headers["retry-after"]) == (429, "requests", "60")
        await calls.running.time.sleep(60.0)
        assert (await calls.chat()).status == 200


@pytest.mark.anyio
async def test_a_journal_that_cannot_be_used_is_the_operators_business_and_said_in_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with in_memory(balance=1_000) as running:
        gateway = app(connect=lambda key: running.client(api_key=key), journal=tmp_path / "nowhere" / "jobs.sqlite")
        refused = await Calls(gateway, "nb_own", running).chat()
        assert (refused.status, refused.error["code"]) == (503, "journal_unavailable")
        assert "nowhere" not in refused.error["message"]
        assert f"There is no folder {tmp_path / 'nowhere'}" in caplog.text
        await gateway.aclose()


@pytest.mark.anyio
async def test_several_at_once_are_as_many_requests_of_a_keys_minute(tmp_path: Path) -> None:
    async with in_process(tmp_path, per_minute=3) as calls:
        assert (await calls.chat()).status == 200
        await calls.running.time.sleep(20.0)
        assert (await calls.chat(n=2)).status == 200
        refused = await calls.chat(n=2)
        assert (refused.status, refused.headers["retry-after"]) == (429, "60")  # both places of the later call
        assert (await calls.chat()).headers["retry-after"] == "40"
        never = await calls.chat(n=4)
        assert (never.status, never.error["param"]) == (400, "n")
        await calls.running.time.sleep(60.0)
        assert (await calls.chat(n=3)).status == 200
        assert calls.posts == 6


@pytest.mark.anyio
async def test_a_caller_over_its_budget_is_refused_and_others_are_not(tmp_path: Path) -> None:
    total = Budget(1_000)
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, budget=5, journal=journal, client={"budget": total}) as calls:
            said = [await calls.chat() for _ in range(4)]
            assert [each.status for each in said] == [200, 200, 429, 429]
            assert said[-1].error["type"] == "insufficient_quota"
            assert said[-1].headers["x-should-retry"] == "false"
            assert (total.spent, calls.charges) == (4, 2)
            key = calls.key
        after = Budget(1_000)
        async with calling(tmp_path, running, journal=journal, client={"budget": after}) as calls:
            assert (await calls.chat(key=key)).status == 429  # what the journal says was spent counts
            assert (await calls.chat()).status == 200
            assert after.spent == 6


@pytest.mark.anyio
async def test_what_an_earlier_run_left_running_is_charged_to_its_key(tmp_path: Path) -> None:
    journal = tmp_path / "gateway.sqlite"
    body = {"model": "kling-v2.1", "prompt": "A boat"}
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, budget=100, journal=journal) as calls:
            assert (await calls.post("videos", body)).status == 200
            key = calls.key
        total = Budget(1_000)
        async with calling(tmp_path, running, journal=journal, client={"budget": total}) as calls:
            listed = await calls.get("videos", key=key)
            (video,) = listed.body["data"]
            while (await calls.get(f"videos/{video['id']}", key=key)).body["status"] != "completed":
                await running.time.sleep(5.0)
            (charge,) = running.ledger.charges
            await running.time.sleep(1.0)
            assert total.spent == charge.tokens


@pytest.mark.anyio
async def test_a_changed_key_has_its_new_limits_at_once(tmp_path: Path) -> None:
    async with in_process(tmp_path, budget=3) as calls:
        assert [(await calls.chat()).status for _ in range(2)] == [200, 429]
        path = tmp_path / "keys.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        record["keys"][0]["budget"] = 4_000
        path.write_text(json.dumps(record), encoding="utf-8")
        assert (await calls.chat()).status == 200
        record["keys"][0]["per_minute"] = 1
        path.write_text(json.dumps(record), encoding="utf-8")
        assert [(await calls.chat()).status for _ in range(2)] == [200, 429]
        assert len((await calls.get("models")).body["data"]) > 2
        record["keys"][0]["models"] = ["gpt-5"]
        path.write_text(json.dumps(record), encoding="utf-8")
        assert [each["id"] for each in (await calls.get("models")).body["data"]] == ["gpt-5"]


# Keys of the service.


@pytest.mark.anyio
async def test_keys_of_the_service_are_passed_on_each_with_its_own_account_and_journal(tmp_path: Path) -> None:
    with in_memory(balance=10_000) as running:
        gateway = app(connect=lambda key: running.client(api_key=key), journal=tmp_path / "jobs.sqlite")
        calls = Calls(gateway, "nb_one", running)
        first = await calls.chat()
        other = await calls.chat(x_stainless_retry_count="1", key="nb_two")
        again = await calls.chat(x_stainless_retry_count="1")
        assert first.body == again.body != other.body
        assert running.ledger.balance("nb_one") == running.ledger.balance("nb_two") == 9_998
        for key in ("sk-1234", "nb_with a blank", "nbgw_x"):
            assert (await calls.chat(key=key)).error["code"] == "invalid_api_key"
        made = await calls.post("videos", {"model": "kling-v2.1", "prompt": "A boat"})
        assert made.body["id"].startswith("video_1")
        assert (await calls.get(f"videos/{made.body['id']}", key="nb_two")).status == 404
        assert (await calls.get("videos/video_")).status == 404
        await gateway.aclose()
    assert len([each async for each in anyio.Path(tmp_path).glob("jobs-*.sqlite")]) == 2


@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.anyio
async def test_a_key_that_the_service_does_not_know_takes_no_place_and_leaves_no_file(
    tmp_path: Path, has_journal: bool
) -> None:
    async def service(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        error = {"code": "invalid_api_key", "message": "Invalid API key"}
        return httpx.Response(401, json={"detail": error, "error": error})

    asked: list[str] = []
    with in_memory() as running:
        transport = httpx.MockTransport(service)
        gateway = app(
            connect=lambda key: AsyncNeuralBox(api_key=key, base_url=running.url, transport=transport),
            journal=tmp_path / "jobs.sqlite" if has_journal else None,
        )
        came = await Calls(gateway, "nb_gone", running).chat()
        assert (came.status, came.error["code"]) == (401, "invalid_api_key")
        assert not gateway.callers.accounts()
        assert not any(path.endswith("/generate") for path in asked)
        await gateway.aclose()
    assert [each async for each in anyio.Path(tmp_path).iterdir()] == []


@pytest.mark.anyio
async def test_no_more_clients_are_kept_than_there_is_room_for_but_none_is_closed_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_callers, "MOST_CALLERS", 2)
    with in_memory() as running:
        made: list[AsyncNeuralBox] = []

        def connect(key: str) -> AsyncNeuralBox:
            made.append(running.client(api_key=key))
            return made[-1]

        gateway = app(connect=connect)
        for number in range(1, 5):
            assert (await Calls(gateway, f"nb_{number}", running).chat()).status == 200
        again = await Calls(gateway, "nb_1", running).chat(x_stainless_retry_count="1")
        assert again.status == 200
        assert len(running.ledger.charges) == 4  # whoever repeats a call finds it, however many called meanwhile
        assert (len(gateway.callers.accounts()), len(made)) == (4, 4)
        await running.time.sleep(JOINED_FOR + 1.0)
        busy, inside, *_ = gateway.callers.accounts()
        busy.cashier._running["busy"] = Purchase("busy")
        inside.visitors += 1
        assert (await Calls(gateway, "nb_5", running).chat()).status == 200
        assert {busy, inside} < set(gateway.callers.accounts())
        assert len(gateway.callers.accounts()) == 3
        inside.visitors -= 1
        busy.cashier._running.clear()
        await gateway.aclose()
        assert not gateway.callers.accounts()


@pytest.mark.anyio
async def test_a_caller_is_inside_until_its_answer_has_gone_out(tmp_path: Path) -> None:
    inside: list[int] = []
    with in_memory() as running:
        gateway = app(connect=lambda key: running.client(api_key=key))
        calls = Calls(gateway, "nb_1", running)

        def look(came: Answered) -> bool:
            inside.extend(account.visitors for account in gateway.callers.accounts())
            return False

        await calls.chat(stream=True, leaves=look)
        assert set(inside) == {1}
        (account,) = gateway.callers.accounts()
        assert account.visitors == 0
        await gateway.aclose()


@pytest.mark.anyio
async def test_a_journal_remembers_for_a_client_that_had_to_go_and_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_callers, "MOST_CALLERS", 1)
    total = Budget(1_000)
    with in_memory() as running:
        gateway = app(connect=lambda key: running.client(api_key=key, budget=total), journal=tmp_path / "jobs.sqlite")
        one, two = (Calls(gateway, key, running) for key in ("nb_1", "nb_2"))
        first = await one.chat()
        assert (await two.chat()).status == 200
        assert len(gateway.callers.accounts()) == 1
        again = await one.chat(x_stainless_retry_count="1")
        assert again.headers["x-neuralbox-id"] == first.headers["x-neuralbox-id"]
        assert len(running.ledger.charges) == 2
        assert total.spent == 4
        (account,) = gateway.callers.accounts()
        account.cashier._stack.push_async_callback(refuse_to_close)
        assert (await two.chat()).status == 200  # it is no fault of the one that needs the room
        assert "The disk is full." in caplog.text
        await gateway.aclose()


async def refuse_to_close() -> None:
    raise JournalError("The disk is full.", reason="full")


class GatedService:
    """A service that answers one path only when it is let."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.reached = anyio.Event()
        self.gate = anyio.Event()
        self.generated = 0

    def client(self, key: str) -> AsyncNeuralBox:
        return AsyncNeuralBox(api_key=key, base_url="http://box.test", transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(self._path):
            self.reached.set()
            await self.gate.wait()
        if request.url.path.endswith("/generate"):
            self.generated += 1
            made = {"id": self.generated, "status": "completed", "result_text": "Hello", "tokens_spent": 2}
            return httpx.Response(200, json=made)
        return httpx.Response(200, json={"balance": 5, "items": [], "total": 0, "page": 1, "limit": 100, "pages": 1})


@pytest.mark.anyio
async def test_a_journal_that_cannot_be_closed_keeps_no_other_from_its_good_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = GatedService("/generate")
    clients: list[AsyncNeuralBox] = []

    def connect(key: str) -> AsyncNeuralBox:
        clients.append(service.client(key))
        return clients[-1]

    with in_memory() as running:
        gateway = app(connect=connect, journal=tmp_path / "jobs.sqlite", grace=60.0)
        callers = [Calls(gateway, f"nb_{number}", running) for number in range(3)]
        for calls in callers:
            assert (await calls.get("videos")).status == 200
        for account in gateway.callers.accounts()[:2]:
            account.cashier._stack.push_async_callback(refuse_to_close)
        came, raised = Answered(), []

        async def stop() -> None:
            try:
                await gateway.aclose()
            except JournalError as error:
                raised.append(error.message)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(callers[2].chat, answer=came))
            await service.reached.wait()
            tasks.start_soon(stop)
            while not gateway._is_stopping:
                await anyio.lowlevel.checkpoint()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            service.gate.set()
        assert came.status == 200  # its time was not cut short
        assert raised == ["The disk is full."]
        assert caplog.text.count("The disk is full.") == 1  # of the other
        for client in clients:
            with pytest.raises(ConfigurationError, match="closed"):
                await client.account.balance()
        assert not gateway.callers.accounts()


@pytest.mark.anyio
@pytest.mark.parametrize("is_opened", [False, True])
async def test_an_account_that_is_opened_while_the_gateway_stops_is_closed_again(
    tmp_path: Path, is_opened: bool
) -> None:
    service, came = GatedService("/balance"), Answered()
    with in_memory() as running:
        gateway = app(connect=service.client, journal=tmp_path / "jobs.sqlite")
        await gateway.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(Calls(gateway, "nb_1", running).chat, answer=came))
            await service.reached.wait()
            if is_opened:  # before whoever asked for it is told to go
                await gateway.callers.aclose(0.0)
                service.gate.set()
            else:
                await gateway.aclose()
        service.gate.set()
        assert (came.status, came.error["code"]) == (503, "stopping")
        assert not gateway.callers.accounts()
        assert not service.generated
        await gateway.aclose()
        await gateway.start()  # and is opened by a gateway that was started again
        assert (await Calls(gateway, "nb_1", running).chat()).status == 200
        await gateway.aclose()


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": "keys.json"},
        {"client": True},
        {"max_body_bytes": 0},
        {"join_equal": -1.0},
        {"grace": -1.0},
        {"journal": "postgresql://somebody:secret@box.test/db#run"},
    ],
)
def test_an_application_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    if "client" in wrong:
        wrong = {"client": AsyncNeuralBox(api_key="nb_x")}
    with pytest.raises(ConfigurationError):
        app(**wrong)  # type: ignore[arg-type]
