"""``script/server``: everything on one machine, with real engines and a sandbox. Ends when it is told to."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

from integration_adapters import embedded, web
from integration_adapters.development import place
from integration_adapters.supervisor import WARNINGS, Program, Supervisor

STAFF = "admin"
TENANT = "acme"
WEB_READY_SECONDS = 60.0
PORT_WAIT_SECONDS = 5.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SANDBOX_LINES = re.compile(f"{WARNINGS.pattern}|^(simulating|arrived|webhook|waiting)\\b")


class Refused(RuntimeError):
    """It cannot start; the message tells a person what to do."""


def main() -> int:
    """Run until a signal ends it. Exit code 0 after an ordered stop, 1 if it could not start."""
    options = _options()
    # SIGINT too: a shell that starts this in the background has it ignored.
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with place.owned("./script/server"):
            return _serve(options)
    except place.InUse as owner:
        print(f"{owner} already uses this clone; stop it first, or use ./script/manage beside it.", file=sys.stderr)
    except (Refused, embedded.EngineFailed) as error:
        print(f"Cannot start: {error}", file=sys.stderr)
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./script/server", description=__doc__)
    parser.add_argument("--reset", action="store_true", help="start empty: forget all data below var/ first")
    parser.add_argument("--no-sandbox", action="store_true", help="no simulated providers, no sink, no demo data")
    return parser.parse_args()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _serve(options: argparse.Namespace) -> int:
    began = time.monotonic()
    place.end_leftovers()
    if options.reset:
        place.empty()
    given = place.given_environment()
    server = _Server(given, sandbox=not options.no_sandbox and given.get("ENVIRONMENT", "dev") in ("", "dev"))
    with Supervisor(say) as supervisor:
        try:
            server.start(supervisor)
            server.announce(time.monotonic() - began)
            while True:
                supervisor.tend()
                time.sleep(0.2)
        except KeyboardInterrupt:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            say("server", "stopping")
    say("server", "stopped")
    return 0


class _Server:
    """What is started, in order, and what the developer is told."""

    def __init__(self, given: dict[str, str], *, sandbox: bool) -> None:
        self._given = given
        self._sandbox = sandbox
        self._host = given.get("HOST") or "127.0.0.1"
        self._port = _port(given.get("PORT") or "8000", self._host)
        self._environment: dict[str, str] = {}
        self._sandbox_port = 0

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self._host == "0.0.0.0" else self._host  # noqa: S104 (compared, not bound)
        return f"http://{host}:{self._port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self._sandbox_port}"

    def start(self, supervisor: Supervisor) -> None:
        """Start everything and return when it answers."""
        say("server", "starting PostgreSQL and Valkey" if self._starts_engines() else "using the engines given")
        self._environment = {**self._given, **start_engines(supervisor, self._given), **self._addresses()}
        place.publish(self._environment)
        if self._sandbox:
            arguments = ("--port", str(self._sandbox_port), "--target", self.url)
            supervisor.run(self._program("sandbox", "manage.py", "sandbox", *arguments, shown=SANDBOX_LINES))
        say("server", "preparing the database")
        self._complete(supervisor, "prepare_development", "--token-file", str(place.RUN / "token"), "--tenant", TENANT)
        self._run_application(supervisor)
        if self._sandbox:
            if not supervisor.wait_for(lambda: _answers(f"{self.sandbox_url}/"), WEB_READY_SECONDS):
                raise Refused(f"the sandbox does not answer; see {place.LOGS / 'sandbox.log'}")
            self._complete(supervisor, "seed_sandbox", "--url", self.sandbox_url)
        if not supervisor.wait_for(lambda: _answers(f"{self.url}/health"), WEB_READY_SECONDS):
            raise Refused(f"the web server does not answer; see {place.LOGS / 'web.log'}")

    def announce(self, seconds: float) -> None:
        """Where to look."""
        token = (place.RUN / "token").read_text().strip()
        sandbox = (
            f"""
  Sandbox    simulated providers with a happening every few seconds, told by webhook or left for polling;
             what arrived downstream: {self.sandbox_url}/sink/summary"""
            if self._sandbox
            else ""
        )
        print(
            f"""
Integration Adapters is running (ready after {seconds:.0f} s).

  Admin      {self.url}/admin/   user {STAFF}, password {self._environment["STAFF_PASSWORD"]}
  API docs   {self.url}/docs
  Try it     curl -s -H 'Authorization: Bearer {token}' '{self.url}/v1/integrations/events?page_size=3'{sandbox}
  Logs       {place.LOGS.relative_to(place.ROOT)}/*.log
  Stop       Ctrl-C
""",
            flush=True,
        )

    def _starts_engines(self) -> bool:
        return not (self._given.get("DATABASE_URL") and self._given.get("REDIS_URL"))

    def _addresses(self) -> dict[str, str]:
        values = {
            "PUBLIC_BASE_URL": self._given.get("PUBLIC_BASE_URL") or self.url,
            "STAFF_USER": STAFF,
            "STAFF_PASSWORD": _kept(place.VAR / "admin-password", lambda: secrets.token_urlsafe(9)),
            "PYTHONUNBUFFERED": "1",
            "PROMETHEUS_MULTIPROC_DIR": str(_emptied(place.RUN / "metrics")),
        }
        if self._sandbox:
            self._sandbox_port = _sandbox_port()
            allowed = [self._given.get("OUTBOUND_ALLOWED", ""), f"127.0.0.1:{self._sandbox_port}"]
            values["OUTBOUND_ALLOWED"] = ",".join(entry for entry in allowed if entry)
            values["PM3_SERVICE_URL"] = self._given.get("PM3_SERVICE_URL") or f"{self.sandbox_url}/sink"
        return values

    def _run_application(self, supervisor: Supervisor) -> None:
        supervisor.run(self._program("web", *web.command(host=self._host, port=self._port, stop_seconds=5)))
        celery = ("-m", "celery", "-A", "integration_adapters")
        # One kind of worker needs no gossip, and a single host no heartbeat.
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")
        for name, queue in (("worker", "default"), ("delivery", "delivery")):
            own = ("--queues", queue, "--hostname", f"{name}@%h", "--concurrency", "2")
            supervisor.run(self._program(name, *celery, "worker", *own, *quiet))
        supervisor.run(self._program("beat", *celery, "beat", "--pidfile", "", "--loglevel", "INFO"))

    def _program(self, name: str, *arguments: str, shown: re.Pattern[str] = WARNINGS) -> Program:
        return Program.of_command(
            name,
            (sys.executable, *arguments),
            log=place.LOGS / f"{name}.log",
            environment=self._environment,
            shown=shown,
        )

    def _complete(self, supervisor: Supervisor, command: str, *arguments: str) -> None:
        log = place.LOGS / f"{command}.log"
        log.unlink(missing_ok=True)
        if supervisor.complete(self._program(command, "manage.py", command, *arguments)) != 0:
            raise Refused(f"{command} failed:\n{log.read_text()[-4000:]}")


def start_engines(supervisor: Supervisor, given: dict[str, str]) -> dict[str, str]:
    """Start the engines whose addresses were not given, and return their addresses."""
    addresses: dict[str, str] = {}
    for name, make in (("DATABASE_URL", embedded.postgres), ("REDIS_URL", embedded.valkey)):
        if given.get(name):
            continue
        engine = make(place.VAR)
        supervisor.run(Program.of_engine(engine))
        if not supervisor.wait_for(engine.is_ready, embedded.START_TIMEOUT_SECONDS):
            raise Refused(f"{engine.name} is not ready after {embedded.START_TIMEOUT_SECONDS:.0f} s; see {engine.log}")
        addresses[name] = engine.url
    return addresses


def say(who: str, text: str) -> None:
    """A line on the terminal."""
    with contextlib.suppress(BrokenPipeError):
        print(f"{time.strftime('%H:%M:%S')} {who:<9}| {text}", flush=True)


def _port(text: str, host: str) -> int:
    """The web port, proven to be free now. Raises ``Refused``."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise Refused(f"PORT must be a number from 1 to 65535, not {text!r}.")
    port = int(text)
    deadline = time.monotonic() + PORT_WAIT_SECONDS
    while not _is_free(host, port):
        # The web server of a run that has just been killed may still be going.
        if time.monotonic() > deadline:
            raise Refused(f"port {port} is in use. Choose another: PORT={port + 1} ./script/server")
        time.sleep(0.2)
    return port


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise Refused(f"port {port} needs privileges; choose one above 1023.") from None
        except OSError:
            return False
    return True


def _sandbox_port() -> int:
    """The same port as last time, because connections remember it; another one only if it is taken."""
    path = place.VAR / "sandbox-port"
    port = int(_kept(path, lambda: str(embedded.free_port())))
    if not _is_free("127.0.0.1", port):
        port = embedded.free_port()
        path.write_text(str(port))
    return port


def _kept(path: Path, make: Any) -> str:
    """A value made once and kept in a file only its owner reads."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as handle:
            handle.write(make())
    return path.read_text().strip()


def _emptied(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 (our own loopback address)
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
