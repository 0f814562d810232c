"""Twenty processes and one refresh token that may be used once; and a process killed with the answer in its hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import connection as database
from django.db.models.functions import Now

from connections.incidents import from_now
from connections.models import AccessToken, ConnectionStatus, Incident, IntegrationConnection
from connections.runtime import client_for
from tests.token_server import Answer, TokenServer, authorised, running_tokens

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 20

# Loaded once, then forked: each child is a process of its own with its own connections to the database.
CREW = """
import django; django.setup()
import os, sys
from django.db import connection as database
from connections import token_refresh
from connections.models import IntegrationConnection
from connections.runtime import client_for
from providers import registry
registry.get("gitlab")
if sys.argv[3] == "killed":
    token_refresh._keep = lambda *told: os.kill(os.getpid(), 9)
start, go = os.pipe()
children = []
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if child:
        children.append(child)
        continue
    os.close(go)
    connection = IntegrationConnection.objects.get(pk=sys.argv[1])
    os.read(start, 1)
    try:
        with client_for(connection) as client:
            outcome = str(client.get("user").status)
    except Exception as error:
        outcome = type(error).__name__
    os.write(1, (outcome + "\\n").encode())
    os._exit(0)
os.close(start)
os.close(go)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with running_tokens() as stub:
        yield stub
        assert stub.faults == []


def run_crew(connection: IntegrationConnection, processes: int = PROCESSES, mode: str = "whole") -> Counter[str]:
    """What each process came to."""
    config = database.settings_dict
    host = config["HOST"] or config["OPTIONS"].get("host", "")
    ended = subprocess.run(
        [sys.executable, "-c", CREW, str(connection.pk), str(processes), mode],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "integration_adapters.settings",
            "DATABASE_URL": f"postgresql://{config['USER']}:{config['PASSWORD']}@/{config['NAME']}?host={host}",
            "REDIS_URL": django_settings.REDIS_URL,
        },
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=60,
    )
    return Counter(line for line in ended.stdout.splitlines() if line.isalnum())


def slowly(answer: Answer) -> Answer:
    time.sleep(0.5)  # the others arrive while it is under way
    return answer


def age(connection: IntegrationConnection, **columns: object) -> None:
    past = from_now(timedelta(seconds=-10))
    AccessToken.objects.filter(auth_ref=connection.auth_ref).update(
        **{"expires_at": past, "refresh_at": past, "last_refreshed_at": Now() - timedelta(hours=2), **columns}
    )


def assert_alive(connection: IntegrationConnection, server: TokenServer) -> None:
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    assert not server.ended
    assert not Incident.objects.exists()
    age(connection)
    with client_for(connection) as client:
        assert client.get("user").status == 200


def test_twenty_processes_with_an_ended_token_refresh_it_once(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection)
    server.answers = [slowly]
    assert run_crew(connection) == {"200": PROCESSES}
    assert len(server.requests) == 1
    assert len(set(server.calls)) == 1
    assert_alive(connection, server)


def test_twenty_processes_whose_token_is_refused_early_refresh_it_once(server: TokenServer) -> None:
    connection = authorised(server)
    later = from_now(timedelta(hours=1))
    age(connection, expires_at=later, refresh_at=later)
    server.good.clear()
    server.answers = [slowly]
    assert run_crew(connection) == {"200": PROCESSES}
    assert len(server.requests) == 1
    assert_alive(connection, server)


def test_a_process_killed_between_answer_and_commit_costs_nothing_within_the_grace_period(server: TokenServer) -> None:
    server.grace = True
    connection = authorised(server)
    # The provider refuses a token that is not due for an hour.
    age(connection, expires_at=from_now(timedelta(hours=1)), refresh_at=from_now(timedelta(hours=1)))
    server.good.clear()
    assert run_crew(connection, 1, "killed") == {}
    row = AccessToken.objects.get()
    assert (row.generation, row.attempts, len(server.requests)) == (1, 1, 1)
    assert row.refresh_started_at is not None
    AccessToken.objects.update(lease_until=Now() - timedelta(seconds=1))
    with client_for(connection) as client:
        assert client.get("user").status == 200
    assert {sent["refresh_token"] for sent in server.requests} == set(server.used)
    assert_alive(connection, server)
