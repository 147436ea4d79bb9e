"""The blocking client and the life of a process: fork, exit, signals, notebooks. Each in a process of its own.

Most of them are forks of one interpreter that has imported the package, and end as every interpreter does.

A script ends with code 0, says what it was to say, and is quiet on standard error under default warning filters, but for
CPython's own warning (3.12 and later) that a process with threads forks.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.server import ROOT, Running
from neuralbox._concurrency import per_loop

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows: no fork, no signals to send; not run there")

IMPORTS = """\
import json, os, signal, sys, threading, time
import anyio._backends._asyncio  # with the next, what the first call imports
import neuralbox
import neuralbox._transport.httpcore2.pool
from neuralbox.sync import NeuralBox
from neuralbox.sync._loop import thread
from neuralbox.sync._call import call

def made(url, **options):
    return NeuralBox(api_key="nb_x", base_url=url, trust_env=False, **options)
"""
FORKS = """
for told in sys.stdin:
    pid = os.fork()
    if not pid:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
else:
    sys.exit(0)
script, output, errors, *urls = json.loads(told)
for number, path in enumerate((os.devnull, output, errors)):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
SERVER, SILENT, DRIPPING = urls
exec(compile(script, "<script>", "exec"))
"""

Run = Callable[[str], str]


class Prepared:
    """An interpreter that has imported the package and done nothing else. Each script runs in a fork of it, to an exit of its own.

    Importing takes fifty times what most of the scripts do.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "default", "-c", IMPORTS + FORKS],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str, directory: Path, *urls: str) -> tuple[int, str, str]:
        """Run a script; its exit code, and what it said on both streams."""
        output, errors = directory / "output", directory / "errors"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        hangs = threading.Timer(60, os.killpg, (self._process.pid, signal.SIGKILL))
        hangs.start()
        print(json.dumps([script, str(output), str(errors), *urls]), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline() or signal.SIGKILL)
        hangs.cancel()
        return code, output.read_text(encoding="utf-8"), errors.read_text(encoding="utf-8")

    def close(self) -> None:
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    made = Prepared()
    yield made
    made.close()


@pytest.fixture
def run(prepared: Prepared, server: Running, silent: Running, dripping: Running, tmp_path: Path) -> Run:
    urls = (server.url, silent.url, dripping.url)

    def run_script(script: str) -> str:
        code, output, errors = prepared.run(textwrap.dedent(script), tmp_path, *urls)
        said = "\n".join(line for line in errors.splitlines() if not about_forking(line))
        assert (code, said) == (0, ""), errors
        return output

    return run_script


def about_forking(line: str) -> bool:
    """Whether a line is CPython's warning about fork, or the source line it quotes."""
    return "is multi-threaded, use of f" in line or line.strip() in {
        "pid = os.fork()",
        "self.pid = os.fork()",
        "pid, fd = os.forkpty()",
    }


# Fork.


def test_children_forked_beside_busy_threads_work_and_so_does_the_parent(run: Run) -> None:
    said = run(
        """
        nb = made(SERVER)
        assert nb.generations.get(1).id == 1
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                nb.generations.get(2)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for one in threads:
            one.start()
        with nb.text.stream(model="gpt-5", prompt="x", max_tokens=2_000) as stream:
            next(stream)
            for _ in range(6):
                pid = os.fork()
                if pid == 0:
                    try:
                        ok = all(nb.generations.get(k).id == k for k in range(1, 6))
                        with nb.text.stream(model="gpt-5", prompt="x", max_tokens=30) as own:
                            ok = ok and len(list(own)) == 30
                        nb.close()
                        thread.shutdown()
                        os._exit(0 if ok else 3)
                    except BaseException:
                        import traceback
                        traceback.print_exc()
                        os._exit(4)
                assert os.waitpid(pid, 0)[1] == 0
                assert nb.generations.get(3).id == 3
            stop.set()
            for one in threads:
                one.join()
            assert len(list(stream)) == 1_999
        nb.close()
        print("fine")
        """
    )
    assert said == "fine\n"


def test_a_child_forked_beside_a_paid_call_does_not_wait_for_its_answer(run: Run) -> None:
    said = run(
        """
        from neuralbox._rate_limit.limiter import limiter_of
        from neuralbox._rate_limit.windows import Window, Windows

        nb = made(SILENT)
        core = nb._async._core
        limiter = limiter_of(core)
        limiter.windows = Windows(Window(100, 1, core.clock() + 1_800), known=True, noted_at=core.clock())
        threading.Thread(target=lambda: nb.text.create(model="gpt-5", prompt="x"), daemon=True).start()
        while not limiter.under_way:
            time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            try:
                nb.text.create(model="gpt-5", prompt="y")
            except neuralbox.RateLimitError:
                os._exit(0)
            os._exit(3)
        assert os.waitpid(pid, 0)[1] == 0
        assert len(limiter.under_way) == 1
        print("fine")
        """
    )
    assert said == "fine\n"


def test_prefork_workers_of_a_parent_that_used_the_client_serve_and_exit_quietly(run: Run) -> None:
    said = run(
        """
        nb = made(SERVER)
        nb.generations.get(1)
        stream = nb.text.stream(model="gpt-5", prompt="x", max_tokens=2_000).__enter__()
        next(stream)
        workers = []
        for number in range(2):
            pid = os.fork()
            if pid == 0:
                found = []
                serving = [threading.Thread(target=lambda: found.append(nb.generations.get(5).id)) for _ in range(4)]
                for one in serving:
                    one.start()
                for one in serving:
                    one.join()
                assert found == [5] * 4
                try:
                    list(stream)
                except neuralbox.ConfigurationError as error:
                    assert "forked child" in str(error), error
                else:
                    raise SystemExit("read the parent's stream")
                stream.__exit__(None, None, None)
                del stream
                sys.exit(0)  # as a worker ends: exit hooks and the collector run in the child
            workers.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in workers] == [0, 0]
        assert len(list(stream)) == 1_999
        stream.__exit__(None, None, None)
        nb.close()
        print("fine")
        """
    )
    assert said == "fine\n"


POOLED = """
import multiprocessing, sys
from neuralbox.sync import NeuralBox

nb = NeuralBox(api_key="nb_x", base_url={url!r}, trust_env=False)

def ask(number):
    return nb.generations.get(number).id

if __name__ == "__main__":
    assert ask(1) == 1
    with multiprocessing.get_context({method!r}).Pool({processes}) as pool:
        assert pool.map(ask, range(1, 21)) == list(range(1, 21))
    assert ask(2) == 2
    nb.close()
    print("fine")
"""


def test_multiprocessing_pools_work_by_fork(run: Run, server: Running) -> None:
    assert run(POOLED.format(url=server.url, method="fork", processes=2)) == "fine\n"


def test_multiprocessing_pools_work_by_spawn(server: Running, tmp_path: Path) -> None:
    path = tmp_path / "pooled.py"
    path.write_text(POOLED.format(url=server.url, method="spawn", processes=1), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "default", path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "fine\n")


def test_a_lock_of_the_transport_that_was_held_at_the_fork_is_another_one_in_the_child() -> None:
    per_loop._lock.__enter__()  # by another thread, let us say
    per_loop._lock._renew()  # what the fork hook does
    per_loop.PerLoop[object]().drop_dead()


# Exit.


def test_exit_is_quick_and_quiet_whatever_is_open(run: Run) -> None:
    before = time.monotonic()
    run(
        """
        nb, slow, long = made(SERVER), made(SILENT), made(DRIPPING)
        nb.generations.get(1)
        stream = long.text.stream(model="gpt-5", prompt="x").__enter__()
        next(stream)
        watch = nb.job(neuralbox.JobRef(5, "video")).watch()
        next(watch)
        listing = iter(nb.history.list())
        next(listing, None)
        threading.Thread(target=slow.generations.get, args=(1,), daemon=True).start()
        def hammer():
            while True:
                nb.generations.get(2)
        for _ in range(2):
            threading.Thread(target=hammer, daemon=True).start()
        time.sleep(0.05)
        """
    )
    assert time.monotonic() - before < 5, "of which most is the start of the interpreter"


def test_an_exit_hook_may_use_a_client_that_was_used_before(run: Run) -> None:
    said = run(
        """
        import atexit
        nb = made(SERVER)
        nb.generations.get(1)
        atexit.register(lambda: print("hook", nb.generations.get(2).id))
        """
    )
    assert said == "hook 2\n"


def test_an_exit_hook_that_makes_the_first_call_works_or_says_why_not(run: Run) -> None:
    said = run(
        """
        import atexit
        nb = made(SERVER)
        def hook():
            try:
                print("hook", nb.generations.get(2).id)
            except neuralbox.ConfigurationError as error:
                print("hook", error)
        atexit.register(hook)
        """
    )
    assert said == "hook 2\n" or "cannot start its background thread" in said


def test_an_exit_hook_that_needs_a_name_resolved_is_told_that_it_is_too_late(run: Run) -> None:
    said = run(
        """
        import atexit
        nb = made(SERVER)
        nb.generations.get(1)
        other = made(SERVER.replace("127.0.0.1", "localhost"))
        def hook():
            try:
                print("hook", other.generations.get(2).id)
            except neuralbox.ConfigurationError as error:
                print("hook", error)
        atexit.register(hook)
        """
    )
    assert "resolves no host names any more" in said


def test_a_hook_that_runs_after_ours_and_a_late_finalizer_get_a_clear_error(server: Running) -> None:
    script = """\
import atexit, builtins, sys

def after_ours():
    try:
        nb.generations.get(1)
    except neuralbox.ConfigurationError as error:
        print("hook:", error)
    nb.close()

atexit.register(after_ours)
import neuralbox
from neuralbox.sync import NeuralBox

class Holder:
    def __init__(self):
        self.nb = NeuralBox(api_key="nb_x", base_url=sys.argv[1], trust_env=False)
        self.nb.generations.get(1)

    def __del__(self, expected=neuralbox.ConfigurationError):
        try:
            self.nb.generations.get(1)
        except expected as error:
            print("late:", error)

nb = NeuralBox(api_key="nb_x", base_url=sys.argv[1], trust_env=False)
nb.generations.get(1)
builtins.keep = Holder()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, server.url], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == ["hook", "late"]
    assert done.stdout.count("The interpreter is shutting down") == 2


def test_system_exit_in_a_coroutine_ends_the_program_and_not_the_loop(run: Run) -> None:
    said = run(
        """
        nb = made(SERVER)
        async def leave():
            raise SystemExit(7)
        try:
            call(leave)
        except SystemExit as error:
            print(error.code, nb.generations.get(3).id)
        nb.close()
        sys.exit(0)
        """
    )
    assert said == "7 3\n"


def test_a_client_collected_at_exit_is_quiet(run: Run) -> None:
    run(
        """
        import gc
        gc.disable()
        nb = made(SERVER)
        nb.generations.get(1)
        cycle = [nb]
        cycle.append(cycle)
        del nb, cycle
        """
    )


@pytest.mark.parametrize("home", ["re", "string", "neuralbox", "neuralbox.sync._loop", "__main__"])
def test_what_lives_in_another_modules_globals_is_quiet_at_exit_whatever_the_order(run: Run, home: str) -> None:
    # Modules are taken down one by one: ours may be empty before theirs is.
    run(
        f"""
        import importlib, re, string
        home = importlib.import_module({home!r})
        home.client, home.unused = made(SERVER), made(SERVER)
        home.client.generations.get(1)
        home.copy = home.client.with_options(max_retries=0)
        home.resource, home.job = home.client.images, home.client.job(5)
        home.raw = home.client.with_raw_response.images
        home.listing = iter(home.client.history.list())
        next(home.listing, None)
        home.stream = made(DRIPPING).text.stream(model="gpt-5", prompt="x").__enter__()
        next(home.stream)
        """
    )


# Signals.


def test_sigint_ends_a_program_at_once(run: Run) -> None:
    said = run(
        """
        slow = made(SILENT)
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        before = time.monotonic()
        try:
            slow.generations.get(1)
        except KeyboardInterrupt:
            assert time.monotonic() - before < 5  # the server is silent for longer
            print(len(thread.running))
        slow.close()
        """
    )
    assert said == "0\n"


def test_interrupts_at_random_moments_leave_no_wrong_answer_no_task_and_no_lost_slot(run: Run) -> None:
    said = run(
        """
        from benchmarks.bench_sync import interrupts
        found = interrupts(SERVER, 150, seed=1)
        assert found.interrupted + found.completed == 150
        assert found.interrupted > 20, found
        print(found.wrong, found.tasks_left, found.slots_lost)
        """
    )
    assert said == "0 0 0\n"


# Notebooks.


def test_a_notebook_cell_may_call_and_may_await(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="the dev extra brings nbclient and ipykernel")
    pytest.importorskip("ipykernel", reason="the dev extra brings nbclient and ipykernel")
    from nbformat import v4

    cells = [
        "from neuralbox import AsyncNeuralBox\nfrom neuralbox.sync import NeuralBox",
        f"options = dict(api_key='nb_x', base_url={server.url!r}, trust_env=False)\nnb = NeuralBox(**options)",
        "nb.generations.get(4).id",
        "with nb.text.stream(model='gpt-5', prompt='x', max_tokens=5) as s:\n    pieces = list(s)\nlen(pieces)",
        "async with AsyncNeuralBox(**options) as anb:\n    found = (await anb.generations.get(6)).id\nfound",
        "nb.generations.get(7).id + (nb.close() or 0)",
    ]
    surroundings = {"PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1", "IPYTHONDIR": "/nonexistent"}
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    book = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the kernel machinery's own
        nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
    said = [[output.get("data", {}).get("text/plain", output) for output in cell.outputs] for cell in book.cells]
    assert said == [[], [], ["4"], ["5"], ["6"], ["7"]]


# Where the runner is there.


@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
def test_under_gevent_calls_overlap_and_the_hub_goes_on(silent: Running) -> None:
    script = """\
from gevent import monkey
monkey.patch_all()
import sys, time
import anyio, gevent
from neuralbox.sync import NeuralBox
from neuralbox.sync._call import call

nb = NeuralBox(api_key="nb_x", base_url=sys.argv[1], trust_env=False)
ticks = []
def ticker():
    while True:
        ticks.append(1)
        gevent.sleep(0.005)
going = gevent.spawn(ticker)
call(anyio.sleep, 0)
before = time.monotonic()
gevent.joinall([gevent.spawn(call, anyio.sleep, 0.2) for _ in range(20)], raise_error=True)
assert time.monotonic() - before < 3  # one after the other they take 4
assert len(ticks) > 15
going.kill()
nb.close()
print("fine")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, silent.url], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only: a wait for a lock cannot be interrupted there")
def test_on_windows_ctrl_c_is_heard_within_half_a_second() -> None:
    raise NotImplementedError("no runner yet")


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded interpreter")
def test_without_the_gil_streams_lose_nothing() -> None:
    from .test_iteration import test_random_sizes_and_random_breaks_over_four_threads_never_hang as at_random

    at_random()
