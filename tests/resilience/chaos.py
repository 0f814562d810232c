"""Load on a whole installation while its parts are killed, emptied and taken away, one after the other.

Every webhook that was answered 2xx, and every polled item, must reach the ingestion service once. Run by
``script/chaos``; ``python -m tests.resilience.chaos --help`` lists the options. Exits 1 if anything was
lost or told twice.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.resilience.rig import PROCESSES, Rig

if TYPE_CHECKING:
    from tests.neighbours import Pm3Stub

SENDERS = 4
START_SECONDS = 60.0
TENANT = "acme"


@dataclass
class Course:
    """What is done to the rig, in order, while load runs."""

    rig: Rig
    pm3: Pm3Stub
    redis_gone_seconds: float
    pause_seconds: float
    say: Callable[[str], None]
    restarted: int = 0

    def run(self) -> None:
        for name in PROCESSES:
            self._step(f"kill -9 {name}", lambda name=name: (self.rig.kill(name), self.rig.start(name)))
        self._step("everything killed at once", self._kill_all)
        self._step("Redis emptied by a crash", lambda: (self.rig.kill_engine("redis"), self.rig.start_redis()))
        self._step("PostgreSQL killed and recovered", self._crash_postgres)
        self._step("ingestion service answers 503", self._outage)
        self._step("ingestion service takes signals and drops the answer", self._drop_answers)
        self._step(f"Redis gone for {self.redis_gone_seconds:.0f} s", self._redis_gone)
        self._step("PostgreSQL and Redis killed together", self._crash_both)

    def rest(self, seconds: float) -> None:
        """Let it run, starting again what ended by itself."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            ended = self.rig.tend()
            self.restarted += len(ended)
            time.sleep(0.25)

    def _step(self, what: str, blow: Callable[[], Any]) -> None:
        self.say(what)
        blow()
        self.rest(self.pause_seconds)

    def _kill_all(self) -> None:
        for name in PROCESSES:
            self.rig.kill(name)
        for name in PROCESSES:
            self.rig.start(name)

    def _crash_postgres(self) -> None:
        self.rig.kill_engine("postgres")
        self.rest(self.pause_seconds / 2)
        self.rig.start_postgres()

    def _crash_both(self) -> None:
        self.rig.kill_engine("postgres")
        self.rig.kill_engine("redis")
        self.rig.start_postgres()
        self.rig.start_redis()

    def _outage(self) -> None:
        self.pm3.outage = 503
        self.rest(self.pause_seconds * 2)
        self.pm3.outage = 0

    def _drop_answers(self) -> None:
        for _ in range(3):
            self.pm3.commit_then_drop = True
            self.rest(self.pause_seconds / 3)
        self.pm3.commit_then_drop = False

    def _redis_gone(self) -> None:
        self.rig.kill_engine("redis")
        self.rest(self.redis_gone_seconds)
        self.rig.start_redis()


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    with _directory(options.keep) as directory:
        rig = Rig(directory)
        try:
            rig.start_engines()
            os.environ.update(rig.environment, DJANGO_SETTINGS_MODULE="integration_adapters.settings")
            rig.manage("migrate", "--verbosity", "0")
            import django

            django.setup()
            report = _run(rig, options)
        finally:
            rig.stop()
    sys.stdout.write(json.dumps(report, indent=None if options.json else 2) + "\n")
    return 0 if is_whole(report) else 1


def is_whole(report: dict[str, Any]) -> bool:
    """Whether everything that was answered or offered arrived, once, and the ledger says the same."""
    nothing = ("lost", "twice", "not asked for", "unaccounted", "senders that never ended", "faults")
    return not any(report[name] for name in nothing) and report["delivered"] == (
        report["answered 2xx"] + report["polled"]
    )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/chaos", description=__doc__)
    parser.add_argument("--rate", type=float, default=60.0, help="webhooks a second (default 60)")
    parser.add_argument("--polled", type=int, default=1000, help="items to poll (default 1000)")
    parser.add_argument("--redis-gone", type=float, default=600.0, help="seconds without Redis (default 600)")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between blows (default 10)")
    parser.add_argument("--json", action="store_true", help="print nothing but the report, in one line")
    parser.add_argument("--keep", metavar="DIRECTORY", help="where data and logs go and stay")
    return parser.parse_args(arguments)


@contextmanager
def _directory(keep: str | None) -> Iterator[Path]:
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        yield Path(keep)
    else:
        with tempfile.TemporaryDirectory(prefix="chaos-") as name:
            yield Path(name)


def _run(rig: Rig, options: argparse.Namespace) -> dict[str, Any]:
    # Models can be imported only once Django is set up on the rig's own database.
    from connections.secret_store import secret_store
    from providers import registry
    from tests.factories import make_connection, make_registration
    from tests.neighbours import running_pm3
    from tests.resilience.load import Sender, tracker

    began = time.monotonic()

    def say(what: str) -> None:
        if not options.json:
            sys.stdout.write(f"{time.monotonic() - began:7.1f} s  {what}\n")
            sys.stdout.flush()

    secret_store().put(TENANT, "token-of-acme", name="platform/pm3")
    with running_pm3() as pm3, tracker(options.polled) as tracker_url:
        rig.environment["PM3_SERVICE_URL"] = pm3.url
        connection = make_connection(settings={"base_url": tracker_url})
        registration, token, secret = make_registration(connection)
        webhook = registry.get("fake").webhook
        assert webhook is not None
        url = f"http://127.0.0.1:{rig.port}/v1/integrations/webhooks/fake/{token}"
        scheme = webhook.schemes[registration.scheme]
        senders = [Sender(f"HOOK{n}", url, scheme, secret, options.rate / SENDERS) for n in range(SENDERS)]
        for name in PROCESSES:
            rig.start(name)
        for sender in senders:
            sender.start()
        course = Course(rig, pm3, options.redis_gone, options.pause, say)
        course.rest(options.pause)
        course.run()
        say("bringing the rest home")
        for sender in senders:
            sender.finish()
        wanted = {f"POLL-{n}" for n in range(options.polled)}
        _bring_home(course, pm3, senders, wanted)
        # Also where that took too long: what was answered was promised.
        wanted |= {key for sender in senders for key in sender.accepted}
        return _report(connection.pk, course, senders, wanted)


def _bring_home(course: Course, pm3: Pm3Stub, senders: list[Any], wanted: set[str]) -> None:
    """Wait until nothing is missing and nothing waits, or until that has taken too long."""
    from django.db import DatabaseError, connection

    from events.models import UNDELIVERED, AdapterEvent

    ends_at = time.monotonic() + 120 + len(wanted) / 5
    while time.monotonic() < ends_at:
        course.rest(1)
        if any(sender.is_alive() for sender in senders):
            continue
        wanted |= {key for sender in senders for key in sender.accepted}
        if len(pm3.signals) < len(wanted):
            continue
        try:
            if not AdapterEvent.objects.filter(delivery_status__in=UNDELIVERED).exists():
                return
        except DatabaseError:
            connection.close()


def _report(connection_id: Any, course: Course, senders: list[Any], wanted: set[str]) -> dict[str, Any]:
    from dataclasses import asdict

    from django.db import connection

    from events.ledger import ledger

    connection.close()  # it may be of before the crash
    accounts = ledger(connection_id)
    told = [signal["payload"]["canonical_keys"]["issue_key"] for signal in course.pm3.signals.values()]
    statuses: dict[str, int] = {}
    for sender in senders:
        for status, number in sender.statuses.items():
            name = str(status) if status else "no answer"
            statuses[name] = statuses.get(name, 0) + number
    return {
        "answered 2xx": sum(len(sender.accepted) for sender in senders),
        "senders that never ended": sum(sender.is_alive() for sender in senders),
        "polled": len([key for key in wanted if key.startswith("POLL-")]),
        "lost": len(wanted - set(told)),
        "twice": len(told) - len(set(told)),
        "not asked for": len(set(told) - wanted),
        "handed over": sum(course.pm3.arrivals.values()),
        "answers": dict(sorted(statuses.items())),
        "processes that ended by themselves": course.restarted,
        "faults": course.pm3.faults,
        "unaccounted": accounts.unaccounted,
        **asdict(accounts),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
