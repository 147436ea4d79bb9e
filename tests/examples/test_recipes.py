"""The recipes of the documentation, run as their frameworks run them, against a sandbox on a socket."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from neuralbox.sandbox import Sandbox, Server, serve
from neuralbox.testing import FastTime, using

from .. import documents

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]


@pytest.fixture
def anyio_backend() -> str:
    """The frameworks run on asyncio alone."""
    return "asyncio"


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Sandbox(speed=1_000)) as served:
        yield served


@pytest.fixture(autouse=True)
def _reader(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents.equip(monkeypatch, service=server.url, directory=tmp_path)


@pytest.fixture
def _soon_again() -> Iterator[None]:
    """Let the client try again at once what the service asks to try in a second."""
    with using(FastTime(100)):
        yield


opened: list[ModuleType] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """A client of a process is closed at its end; here it is the test's."""
    yield
    for module in opened:
        if hasattr(module, "client"):
            module.client().close()
    opened.clear()


def recipe(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a program by its path."""
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    opened.append(module)
    return module


@pytest.mark.usefixtures("_soon_again")
async def test_fastapi(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    app = recipe("fastapi_app", monkeypatch).app
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://app") as http:
        reply = await http.post("/captions", params={"subject": "a heron"})
        assert "a heron" in reply.json()["caption"]
        assert "a tram" in (await http.get("/stories", params={"subject": "a tram"})).text
        server.sandbox.faults.set("rate-limit", 1.0)
        refused = await http.post("/captions", params={"subject": "x"})
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)


@pytest.mark.usefixtures("_soon_again")
def test_flask(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    module = recipe("flask_app", monkeypatch)
    browser = module.app.test_client()
    assert "a heron" in browser.post("/captions", data={"subject": "a heron"}).json["caption"]
    assert browser.post("/captions").status_code == 400
    assert "a tram" in browser.get("/stories?subject=a+tram").text
    server.sandbox.faults.set("rate-limit", 1.0)
    assert browser.post("/captions", data={"subject": "x"}).status_code == 503


async def test_django(monkeypatch: pytest.MonkeyPatch) -> None:
    module = recipe("django_app", monkeypatch)
    transport = httpx.ASGITransport(module.application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert "a heron" in (await http.get("/captions", params={"subject": "a heron"})).json()["caption"]
        assert (await http.get("/balance")).json()["tokens"] < 100_000


CELERY = """\
from celery.contrib.testing.worker import start_worker
from celery_tasks import app, client, picture
from kombu import Connection

# What is in memory is looked at each second, and a worker that is to end looks up every two.
app.conf.broker_transport_options = {"polling_interval": 0.01}
drain = Connection.drain_events
Connection.drain_events = lambda self, timeout=None, **options: drain(self, timeout=0.02, **options)

with start_worker(app, pool="solo", perform_ping_check=False):
    for _ in range(2):  # as after a kill
        print(picture.delay("heron", "A heron, woodcut").get(timeout=30, interval=0.01))
client().close()
"""


@pytest.mark.parametrize("is_shared", [False, True])
def test_celery_buys_once_what_is_asked_for_twice(
    is_shared: bool, server: Server, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: a worker takes the signals and the log of the process that it is in."""
    if is_shared:
        monkeypatch.setenv("NEURALBOX_JOURNAL", request.getfixturevalue("postgres").url())
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(RECIPES)!r})\n{CELERY}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    [path] = set(done.stdout.splitlines())
    assert path.startswith("pictures/")
    assert len(server.sandbox.ledger.charges) == 1
    assert len([*(tmp_path / "pictures").iterdir()]) == 1
