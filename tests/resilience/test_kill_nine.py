"""Every process killed with SIGKILL, the broker emptied, the sink away: nothing lost, nothing twice.

CHAOS_EVENTS sets how many webhooks and how many polled items there are (default 150 each).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from django.conf import settings as django_settings
from django.db import connection as database

from connections.models import IntegrationConnection
from connections.secret_store import secret_store
from events.models import UNDELIVERED, AdapterEvent
from events.services import ledger
from providers import registry
from providers.simulation import SimulatedAnswer
from providers.verification import HmacScheme, sign
from tests.contract.provider_server import serving
from tests.factories import ACME, make_connection, make_registration
from tests.neighbours import Pm3Stub, running_pm3

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS = int(os.environ.get("CHAOS_EVENTS", "150"))
DEADLINE_SECONDS = 60 + EVENTS / 5
PAGE_SIZE = 25


class Processes:
    """web, worker and beat as a supervisor would run them, on the test database."""

    def __init__(self, pm3_url: str, logs: Path) -> None:
        config = database.settings_dict
        self.port = _free_port()
        self._logs = logs
        self._env = {
            **os.environ,
            "DATABASE_URL": f"postgresql://{config['USER']}:@/{config['NAME']}?host={config['HOST'] or _socket()}",
            "REDIS_URL": django_settings.REDIS_URL,
            "PM3_SERVICE_URL": pm3_url,
            "PM3_TIMEOUT_SECONDS": "3",
            "DELIVERY_LEASE_SECONDS": "8",
            "POLL_LEASE_SECONDS": "8",
            "POLL_INTERVAL_MIN_SECONDS": "1",
            "POLL_INTERVAL_SECONDS": "1",
            "POLLS_PER_MINUTE": "600",
        }
        binaries = Path(sys.executable).parent
        celery = [str(binaries / "celery"), "-A", "integration_adapters"]
        granian = [str(binaries / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.port)]
        self._commands = {
            "web": [*granian, "--no-access-log", "integration_adapters.wsgi:application"],
            "worker": [*celery, "worker", "--concurrency", "2", "--loglevel", "warning", "-Q", "default,delivery"],
            "beat": [*celery, "beat", "--loglevel", "warning"],
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._commands[name], env=self._env, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """SIGKILL for the process and its children: nothing gets to say goodbye."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> Processes:
        for name in self._commands:
            self.start(name)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for name in list(self._running):
            self.kill(name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _socket() -> str:
    with database.cursor() as cursor:
        cursor.execute("SHOW unix_socket_directories")
        return str(cursor.fetchone()[0])


@contextmanager
def _source(number: int) -> Iterator[str]:
    """A tracker with ``number`` issues, all changed just after live polling began to look."""
    issues: list[dict[str, str]] = []

    def answer(
        method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        since = datetime.fromisoformat(query["since"][0])
        if not issues:
            for n in range(number):
                moment = (since + timedelta(milliseconds=n)).isoformat()
                shape = {"key": f"POLL-{n}", "title": "polled", "state": "open"}
                issues.append({**shape, "created": moment, "updated": moment})
        rows = [issue for issue in issues if datetime.fromisoformat(issue["updated"]) >= since]
        start = int(query.get("cursor", ["0"])[0])
        following = str(start + PAGE_SIZE) if len(rows) > start + PAGE_SIZE else None
        content = {"issues": rows[start : start + PAGE_SIZE], "next": following}
        return SimulatedAnswer(200, {"content-type": "application/json"}, json.dumps(content).encode())

    with serving(answer) as server:
        yield server.url


class Sender(threading.Thread):
    """A provider: sends each delivery until it is answered 2xx, as one that redelivers does."""

    def __init__(self, url: str, secret: str, number: int) -> None:
        super().__init__(daemon=True)
        webhook = registry.get("fake").webhook
        assert webhook is not None
        scheme = webhook.schemes["hmac"]
        assert isinstance(scheme, HmacScheme)
        self._scheme, self._url, self._secret, self._number = scheme, url, secret.encode(), number
        self._pause = 10 / number  # long enough to be hit by every blow
        self.accepted = 0
        self.refused: list[int] = []

    def run(self) -> None:
        for number in range(self._number):
            at = datetime.now(UTC).isoformat()
            issue = {"key": f"HOOK-{number}", "title": "hooked", "state": "open", "updated": at}
            event = {"type": "issue.created", "id": uuid.uuid4().hex, "at": at, "actor": "zoe", "issue": issue}
            body = json.dumps(event).encode()
            while not self._sent(body):
                time.sleep(0.2)
            self.accepted += 1
            time.sleep(self._pause)

    def _sent(self, body: bytes) -> bool:
        headers = sign(self._scheme, body=body, secret=self._secret, timestamp=int(time.time()))
        try:
            answer = requests.post(self._url, body, headers=headers, timeout=5)
        except requests.RequestException:
            return False
        if answer.status_code not in (200, 202):
            self.refused.append(answer.status_code)
        return answer.status_code in (200, 202)


def _until(reached: Callable[[], bool], seconds: float, what: str) -> None:
    ends_at = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < ends_at, f"{what} took longer than {seconds:.0f} s"
        time.sleep(0.2)


def _chaos(processes: Processes, pm3: Pm3Stub, stop: Callable[[], bool]) -> int:
    """Kill in turn and empty the broker until ``stop``; returns the number of blows."""
    blows = 0
    while not stop():
        for name in ("worker", "beat", "web"):
            time.sleep(3)
            processes.kill(name)
            processes.start(name)
            redis.Redis.from_url(django_settings.REDIS_URL).flushdb()
            pm3.outage = 0 if pm3.outage else 503
            blows += 1
    pm3.outage = 0
    return blows


def test_nothing_is_lost_and_nothing_is_told_twice(tmp_path: Path) -> None:
    secret_store().put(ACME, "token-of-acme", name="platform/pm3")
    with running_pm3() as pm3, _source(EVENTS) as source_url, Processes(pm3.url, tmp_path) as processes:
        connection = make_connection(settings={"base_url": source_url})
        _, token, secret = make_registration(connection)
        url = f"http://127.0.0.1:{processes.port}/v1/integrations/webhooks/fake/{token}"
        sender = Sender(url, secret, EVENTS)
        sender.start()
        blows = _chaos(processes, pm3, lambda: sender.accepted == EVENTS)
        _until(lambda: len(pm3.signals) >= 2 * EVENTS, DEADLINE_SECONDS, "delivering the rest")
        _until(
            lambda: not AdapterEvent.objects.filter(delivery_status__in=UNDELIVERED).exists(), 60, "marking the rest"
        )
        sender.join(5)

    assert blows >= 3
    assert [status for status in sender.refused if status < 500] == []
    titles = [s["payload"]["canonical_keys"]["issue_key"] for s in pm3.signals.values()]
    expected = [f"{road}-{n}" for road in ("HOOK", "POLL") for n in range(EVENTS)]
    assert sorted(titles) == sorted(expected)
    assert pm3.faults == []
    figures = ledger(connection.pk)
    assert figures["delivered"] == 2 * EVENTS
    assert figures["received"] == sum(count for name, count in figures.items() if name != "received")
    assert IntegrationConnection.objects.get().status == "active"
    _report(figures, blows, pm3)


def _report(figures: dict[str, int], blows: int, pm3: Pm3Stub) -> None:
    line: dict[str, Any] = {**figures, "blows": blows, "handed over": sum(pm3.arrivals.values())}
    print("\n" + ", ".join(f"{name} {value}" for name, value in line.items()))  # noqa: T201 - shown with -s
