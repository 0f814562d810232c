"""A whole installation on one machine, whose every part can be killed: for ``script/chaos`` and its test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from integration_adapters import web
from integration_adapters.embedded import Engine, free_port, postgres, valkey

PROCESSES = ("web", "worker", "beat")
_ROOT = Path(__file__).resolve().parents[2]
_SHORT_LEASES = {
    "PM3_TIMEOUT_SECONDS": "3",
    "DELIVERY_LEASE_SECONDS": "8",
    "POLL_LEASE_SECONDS": "8",
    "POLL_INTERVAL_MIN_SECONDS": "1",
    "POLL_INTERVAL_SECONDS": "1",
    "POLLS_PER_MINUTE": "600",
}


class Rig:
    """Engines that survive a crash of the machine (fsync on), and web, worker and beat beside them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._postgres = postgres(directory, durable=True)
        self._valkey = valkey(directory)
        self._engines: dict[str, subprocess.Popen[bytes]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.port = free_port()
        self.environment: dict[str, str] = {
            **os.environ,
            **_SHORT_LEASES,
            "ENVIRONMENT": "dev",
            "DATABASE_URL": self._postgres.url,
            "REDIS_URL": self._valkey.url,
            "OUTBOUND_ALLOWED": "127.0.0.1",
        }
        binaries = Path(sys.executable).parent
        celery = [str(binaries / "celery"), "-A", "integration_adapters"]
        self._commands = {
            "web": [sys.executable, *web.command(port=self.port, stop_seconds=5)],
            "worker": [*celery, "worker", "--concurrency", "2", "--loglevel", "warning", "-Q", "default,delivery"],
            "beat": [*celery, "beat", "--loglevel", "warning"],
        }

    def start_engines(self) -> None:
        self.start_postgres()
        self.start_redis()

    def start_postgres(self) -> None:
        self._start_engine("postgres", self._postgres)

    def start_redis(self) -> None:
        self._start_engine("redis", self._valkey)

    def kill_engine(self, name: str) -> None:
        """SIGKILL, as a crash of its machine: PostgreSQL recovers from its log, Redis comes back empty."""
        process = self._engines.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def start(self, name: str) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._commands[name], env=self.environment, cwd=_ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """SIGKILL for the process and its children: nothing gets to say goodbye."""
        process = self._running.pop(name)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def tend(self) -> list[str]:
        """Start again what ended by itself, as a supervisor would; returns the names."""
        ended = [name for name, process in self._running.items() if process.poll() is not None]
        for name in ended:
            self.kill(name)
            self.start(name)
        return ended

    def manage(self, *arguments: str) -> None:
        """Run a management command to its end. Raises ``CalledProcessError``."""
        with (self._directory / "manage.log").open("ab") as log:
            subprocess.run(
                [sys.executable, "manage.py", *arguments],
                env=self.environment,
                cwd=_ROOT,
                stdout=log,
                stderr=log,
                check=True,
            )

    def stop(self) -> None:
        for name in list(self._running):
            self.kill(name)
        for name in list(self._engines):
            self.kill_engine(name)

    def _start_engine(self, name: str, engine: Engine) -> None:
        process = engine.start()
        self._engines[name] = process
        engine.wait_until_ready(process)
