"""Hours in seconds: both clocks of the service, PostgreSQL's and the process's, are moved ahead together.

The process's clock is moved with time-machine. PostgreSQL looks a function up along the search path, in which its own
catalogue comes first only where it is not named; so a schema before it may bring a ``statement_timestamp`` of its own,
which is what Django's ``Now()`` asks. Due times, leases, windows and retention then all go by simulated time, by the
very code that runs in service, and nobody sleeps. Defaults of columns stay with the real clock, which is behind: what
is due "now" by default is due at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import time_machine
import uuid6
from django.db import connection as database

_CLOCK = """
CREATE SCHEMA IF NOT EXISTS simulated;
CREATE OR REPLACE FUNCTION simulated.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.statement_timestamp() + current_setting('simulated.ahead')::interval
$$;
SET search_path = simulated, "$user", public, pg_catalog;
SET simulated.ahead = '0 seconds';
"""


class SimulatedTime:
    """Goes with the real clocks, and ahead when it is told to."""

    def __init__(self, traveller: time_machine.Coordinates) -> None:
        self._traveller = traveller

    def now(self) -> datetime:
        return datetime.now(UTC)

    def pass_by(self, length: timedelta) -> None:
        """So much later."""
        self._traveller.shift(length)
        with database.cursor() as cursor:
            cursor.execute("SELECT current_setting('simulated.ahead')::interval + %s", [length])
            ahead: timedelta = cursor.fetchone()[0]
            cursor.execute("SELECT set_config('simulated.ahead', %s, false)", [f"{ahead.total_seconds()} seconds"])


@contextmanager
def simulated_time() -> Iterator[SimulatedTime]:
    """The clocks belong to the connection of the test's own thread."""
    with database.cursor() as cursor:
        cursor.execute(_CLOCK)
    try:
        with time_machine.travel(datetime.now(UTC), tick=True) as traveller:
            yield SimulatedTime(traveller)
    finally:
        # Time-ordered keys never go back, so those of the next test would be of the time this one came to.
        uuid6._last_v7_timestamp = None
        with database.cursor() as cursor:
            cursor.execute("RESET search_path; DROP SCHEMA simulated CASCADE")
