"""Everything a run needs, started for it and ended with it: engines, rows, servers, senders."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

import psutil
import psycopg
from cryptography.fernet import Fernet

from integration_adapters import web
from integration_adapters.bench.load import Job, Sent
from integration_adapters.embedded import EmbeddedEngines, free_port
from integration_adapters.parent_death import end_with_parent

START_SECONDS = 60.0
STOP_SECONDS = 15.0
DOORS = 64
BARE_SECRET = "the secret of the bare view"
BARE = "integration_adapters.bench.bare:application"


class Stage:
    """Use as a context manager. PostgreSQL keeps its promises here: ``fsync`` is on."""

    def __init__(
        self, directory: Path, *, threads: int = web.THREADS, workers: int = web.WORKERS, doors: int = DOORS
    ) -> None:
        self.directory = directory
        self._doors = doors
        self.threads, self.workers = threads, workers
        self._stack = contextlib.ExitStack()
        self.environment: dict[str, str] = {}
        self.doors: list[tuple[str, str]] = []

    def __enter__(self) -> Stage:
        engines = self._stack.enter_context(EmbeddedEngines(self.directory))
        self.database_url, self.redis_url = engines.start_postgres(), engines.start_valkey()
        self.environment = {**os.environ, **_production(self.directory, self.database_url, self.redis_url)}
        made = self.run_module("integration_adapters.bench.prepare", str(self._doors))
        self.doors = [(path, secret) for path, secret in json.loads(made)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run_module(self, name: str, *arguments: str, given: str = "") -> str:
        """Run a module of ours to its end and return what it printed."""
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", name, *arguments],
            env=self.environment,
            input=given,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def serve(self, application: str = web.APPLICATION, **variables: str) -> Server:
        """The application behind the production command, until the stage ends or it is stopped."""
        port = free_port()
        words = web.command(application, port=port, workers=self.workers, threads=self.threads, stop_seconds=5)
        server = Server(
            (sys.executable, *words), {**self.environment, **variables}, self.directory / f"web-{port}.log", port
        )
        self._stack.callback(server.stop)
        server.wait_until_ready()
        return server

    def start(self, name: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        """Any other process, until the stage ends."""
        process = _start(words, {**self.environment, **variables}, self.directory / f"{name}.log")
        self._stack.callback(_stop, process)
        return process

    def send(self, job: Job) -> Sent:
        """Send from a process of its own."""
        done = self.run_module("integration_adapters.bench.load", given=json.dumps(asdict(job)))
        return Sent(**json.loads(done))

    def forget(self) -> None:
        """Empty tables and a checkpoint, so that no round pays for the one before."""
        with self.connect() as connection:
            connection.execute("TRUNCATE adapter_events, intake_tallies CASCADE")
            connection.execute("CHECKPOINT")

    @contextlib.contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            yield connection

    def processor_seconds(self) -> float:
        """Of PostgreSQL with all it started, up to now."""
        return _processor_seconds(self._postgres())

    def _postgres(self) -> psutil.Process:
        data = str((self.directory / "postgres").resolve())
        for process in psutil.Process().children():
            if data in process.cmdline():
                return process
        raise LookupError("PostgreSQL does not run.")


class Server:
    """One web server with its worker processes."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: Path, port: int) -> None:
        self.port = port
        self._process = _start(words, environment, log)
        self._log = log

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The web server does not answer; see {self._log}")
            time.sleep(0.1)

    def stop(self) -> None:
        _stop(self._process)

    def processor_seconds(self) -> float:
        return _processor_seconds(psutil.Process(self._process.pid))

    def resident_bytes(self) -> int:
        """Of all its processes together."""
        main = psutil.Process(self._process.pid)
        return sum(process.memory_info().rss for process in (main, *main.children(recursive=True)))


def _production(directory: Path, database_url: str, redis_url: str) -> dict[str, str]:
    metrics = directory / "metrics"
    metrics.mkdir(exist_ok=True)
    return {
        "DJANGO_SETTINGS_MODULE": "integration_adapters.settings",
        "ENVIRONMENT": "prod",
        "SECRET_KEY": "a key of this run only, which nobody else will ever see or need",
        "SECRETS_KEYS": Fernet.generate_key().decode(),
        "PUBLIC_BASE_URL": "https://bench.invalid",
        "ALLOWED_HOSTS": "127.0.0.1",
        "IAM_MODE": "jwks",
        "IAM_JWKS_URL": "https://iam.invalid/jwks.json",
        "IAM_ISSUER": "https://iam.invalid",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "LOG_LEVEL": "INFO",
        "PLATFORM_TOKEN": "bench",
    }


def _start(words: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    output: IO[bytes]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603
            list(words),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _processor_seconds(main: psutil.Process) -> float:
    total = 0.0
    for process in (main, *main.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    # Of children that have ended and were waited for.
    times = main.cpu_times()
    return total + float(times.children_user + times.children_system)
