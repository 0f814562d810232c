"""A poll killed at every statement boundary, one after the other: the oracle set, each once, the ledger adds up."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from events.ledger import ledger as where_everything_went
from events.models import AdapterEvent, IntakeTally
from polling.cursors import sync_now
from polling.models import PollingCursor, PollOutcome
from polling.runner import poll_once
from polling.schedule import Claim, claim_connection, claim_due
from tests.contract.provider_server import Server, serving
from tests.extent import extent
from tests.factories import make_connection
from tests.shifting_source import START, ShiftingSource

pytestmark = pytest.mark.django_db(transaction=True)

# A list of some pages that is edited, added to and shortened while it is read.
SEED = 4
# Far from reached; a poll that makes ever more statements is a finding of its own.
BOUNDARIES_AT_MOST = 400
# The usual run leaves some out, the thorough one none.
STEP = extent(3, 1)


@pytest.fixture
def server(settings: Any) -> Iterator[Server]:
    settings.EXTRA_ADAPTERS = {"shifting": "tests.shifting_source.ShiftingAdapter"}
    with serving(ShiftingSource(SEED).handle) as running:
        yield running


def fresh_world(server: Server) -> ShiftingSource:
    source = ShiftingSource(SEED)
    source.restless = True
    server.answer = source.handle
    AdapterEvent.objects.all().delete()
    IntakeTally.objects.all().delete()
    PollingCursor.objects.update(
        cursor_position={}, run_in_progress=False, lease_token=None, started_from=START - timedelta(days=1)
    )
    return source


def killed_at(number: int, claim: Claim) -> tuple[int, bool]:
    """Poll in a process of its own that dies at the boundary of that number; how many it passed, and whether it died.

    A boundary lies before each statement, and before and after each commit.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            _die_at(number, writer)
            poll_once(claim.cursor_id, claim.lease_token)
        finally:
            os._exit(0)
    os.close(writer)
    passed = 0
    while chunk := os.read(reader, 4096):
        passed += len(chunk)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return passed, os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _die_at(number: int, writer: int) -> None:
    # The parent's connection belongs to the parent; this process makes its own.
    database.connection = None
    database.inc_thread_sharing()
    passed = 0

    def boundary() -> None:
        nonlocal passed
        if passed == number:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1
        os.write(writer, b".")

    def execute(call: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        boundary()
        return call(sql, params, many, context)

    backend: Any = database
    commit = backend._commit

    def committed() -> None:
        boundary()
        commit()
        boundary()

    backend._commit = committed
    database.execute_wrappers.append(execute)


def take_over() -> str:
    """The lease of a dead process ends; another one goes on. What its run came to."""
    PollingCursor.objects.update(next_poll_at=timezone.now() - timedelta(seconds=1))
    (claim,) = claim_due(10)
    return poll_once(claim.cursor_id, claim.lease_token).outcome


def test_a_poll_killed_at_any_statement_ends_as_the_oracle_says(server: Server, settings: Any) -> None:
    settings.POLLS_PER_MINUTE = 100_000
    connection = make_connection("shifting", credential={"token": "t"}, settings={"base_url": server.url})
    sync_now(connection)
    number = 0
    while True:
        source = fresh_world(server)
        (claim,) = claim_connection(connection)
        passed, died = killed_at(number, claim)
        source.restless = False
        while take_over() != PollOutcome.COMPLETED:
            pass
        take_over()
        told = set(AdapterEvent.objects.values_list("dedupe_key", flat=True))
        assert source.final - told == set(), f"skipped after a kill at boundary {number}"
        assert told - source.versions == set(), f"invented after a kill at boundary {number}"
        counts = where_everything_went(connection.pk)
        assert counts.received == counts.duplicate + len(told), f"the ledger is off after a kill at boundary {number}"
        if not died:
            break
        assert passed == number
        number += STEP
        assert number < BOUNDARIES_AT_MOST
    assert number > 30, "a run of several pages has more boundaries than that"
