"""``manage.py backfill``: started and followed in a process of its own, with a terminal and without."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.utils import timezone

from polling import backfill_turns as turns
from polling.backfill import cancel_backfill, pause_backfill
from polling.backfill_terminal import NOBODY, TAKEN_UP_WITHIN, told
from polling.models import Backfill, BackfillStatus
from tests.backfills import ACTOR, WITHIN, asked, connect, tick
from tests.factories import ACME, GLOBEX, make_connection
from tests.polling_provider import Ledger
from tests.resilience.test_polling_crash import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SINCE, UNTIL = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def environment() -> dict[str, str]:
    config = database.settings_dict
    host = config["HOST"] or config["OPTIONS"].get("host", "")
    return {
        **os.environ,
        "DATABASE_URL": f"postgresql://{config['USER']}:{config['PASSWORD']}@/{config['NAME']}?host={host}",
        "REDIS_URL": django_settings.REDIS_URL,
        "EXTRA_ADAPTERS": "ledger=tests.polling_provider.LedgerAdapter",
        "PYTHONUNBUFFERED": "1",
        "TERM": "xterm",
        "COLUMNS": "140",
    }


@contextmanager
def command(*arguments: str, output: Any = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, on the test's database; killed at the end."""
    manage = str(Path(django_settings.BASE_DIR) / "manage.py")
    process = subprocess.Popen(
        [sys.executable, manage, "backfill", *arguments],
        env=environment(),
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(*arguments: str) -> str:
    """What the command says, called in this process."""
    said = io.StringIO()
    call_command("backfill", *arguments, stdout=said)
    return said.getvalue()


def refusal(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return str(caught.value)


def started() -> Backfill:
    wait_until(Backfill.objects.exists, "the command does not start the backfill")
    return Backfill.objects.get()


def test_it_starts_and_follows_to_the_end_line_by_line(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PAGES_A_RUN", 2)
    ledger.add(25, at=WITHIN)
    connection = connect(ledger)
    with command(str(connection.pk), "--since", SINCE, "--until", UNTIL, "--stream", "entries") as process:
        backfill = started()
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        tick(backfill)
        lines.append(process.stdout.readline())
        tick(backfill)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    assert f"Backfill {backfill.pk} of ledger of acme (acme): 2026-01-01 00:00 to 2026-02-01 00:00 UTC" in lines[0]
    assert lines[1] == "pending 0 %, 0 pages, 0 new of 0 events\n"
    assert re.match(r"running \d+ %, 2 pages, 20 new of 20 events, entries main", lines[2])
    assert rest == "completed 100 %, 3 pages, 25 new of 25 events\n"
    assert backfill.requested_by.startswith("command:")


def test_in_a_terminal_it_draws_a_bar(ledger: Ledger) -> None:
    ledger.add(5, at=WITHIN)
    connection = connect(ledger)
    shown, terminal = pty.openpty()
    with command(str(connection.pk), "--since", SINCE, "--until", UNTIL, output=terminal) as process:
        os.close(terminal)
        tick(started())
        drawn = b""
        while True:
            try:
                drawn += os.read(shown, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait(30) == 0
    os.close(shown)
    text = drawn.decode()
    assert "━" in text
    assert "100%" in text
    assert "1 page, 5 new of 5" in text


def test_control_c_leaves_it_running_and_says_how_to_go_on(ledger: Ledger) -> None:
    connection = connect(ledger)
    with command(str(connection.pk), "--since", SINCE, "--until", UNTIL) as process:
        backfill = started()
        assert process.stdout is not None
        process.stdout.readline()
        assert process.stdout.readline().startswith("pending")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "It goes on without this window." in said
    for verb in ("--watch", "--pause", "--cancel"):
        assert f"./script/manage backfill {verb} {backfill.pk}" in said
    assert tick(backfill).status == BackfillStatus.COMPLETED


def test_it_need_not_be_followed(ledger: Ledger) -> None:
    connection = connect(ledger)
    said = run(str(connection.pk), "--since", SINCE, "--no-follow")
    backfill = Backfill.objects.get()
    assert str(backfill.pk) in said
    assert timezone.now() - backfill.until < TAKEN_UP_WITHIN  # until now, if no end is given


def test_it_is_paused_resumed_cancelled_and_listed_by_id(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    other = asked(connect(ledger, tenant_id=GLOBEX))
    key = str(backfill.pk)
    assert f"The backfill {key} is paused where it is." in run("--pause", key)
    backfill.refresh_from_db()
    assert backfill.paused_by.startswith("command:")
    assert "Paused by command:" in run("--list")
    assert refusal("--pause", key) == "The backfill is paused already."
    assert "goes on" in run("--resume", key)
    assert refusal("--resume", key) == "The backfill is not paused."
    assert "is cancelled" in run("--cancel", key)
    assert refusal("--cancel", key) == "The backfill has already ended: cancelled."
    lines = run("--list").splitlines()
    assert [line.split()[:2] for line in lines] == [[str(other.pk), "pending"], [key, "cancelled"]]
    assert run("--list", "--tenant", GLOBEX).split()[0] == str(other.pk)
    assert run("--list", str(backfill.connection_id)).split()[0] == key
    assert run("--list", "--tenant", "nobody") == "There is none.\n"


def test_one_that_was_started_before_is_watched(ledger: Ledger) -> None:
    ledger.add(5, at=WITHIN)
    backfill = asked(connect(ledger))
    pause_backfill(backfill, actor=ACTOR)
    said = run("--watch", str(backfill.pk))
    assert "paused 0 %, 0 pages, 0 new of 0 events, Paused by api:zoe." in said
    assert f"./script/manage backfill --resume {backfill.pk}" in said
    cancel_backfill(backfill, actor=ACTOR)
    assert refusal("--watch", str(backfill.pk)) == "It was cancelled."


def test_one_that_failed_says_why(ledger: Ledger) -> None:
    ledger.outage = 404
    backfill = asked(connect(ledger))
    while not tick(backfill).completed_at:
        pass
    assert refusal("--watch", str(backfill.pk)).startswith("Not read: entries main (")


def test_nobody_to_read_it_is_noticed(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    assert NOBODY not in told(backfill, timezone.now())
    assert NOBODY in told(backfill, timezone.now() + 2 * TAKEN_UP_WITHIN)
    Backfill.objects.update(waiting_for="The connection has used its 60 polls for a minute.")
    backfill.refresh_from_db()
    assert told(backfill, timezone.now()).endswith("The connection has used its 60 polls for a minute.")


def test_what_cannot_be_done_is_refused_in_words(ledger: Ledger) -> None:
    connection = make_connection(tenant_id=ACME)
    key, unknown = str(connection.pk), str(uuid.uuid4())
    assert "Give a connection and --since" in refusal(key)
    assert "Give a connection and --since" in refusal("--since", SINCE)
    assert "names no time zone" in refusal(key, "--since", "2026-01-01T00:00:00")
    assert "is no ISO 8601 time" in refusal(key, "--since", "yesterday")
    assert "since must be before until" in refusal(key, "--since", UNTIL, "--until", SINCE)
    assert refusal(unknown, "--since", SINCE) == "There is no such connection."
    assert refusal(key, "--since", SINCE, "--tenant", GLOBEX) == "There is no such connection."
    assert refusal("--watch", unknown) == "There is no such backfill."
    assert "must be among issues" in refusal(key, "--since", SINCE, "--stream", "no_such")
    assert not Backfill.objects.exists()
