"""The console shows each step of a verification and what to do, and replaces a credential without showing it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.models import ConnectionStatus, IntegrationConnection
from connections.secret_store import get_credential
from connections.verification import verify_connection
from providers.adapters.fake.simulator import Simulator
from tests.contract.provider_server import Server, serving
from tests.factories import make_connection
from tests.staff import auditor, list_of, operator, page_of, said

pytestmark = pytest.mark.django_db

GOOD = dict(Simulator.credential)
VERB = "replace-credential"


@pytest.fixture
def provider() -> Iterator[Server]:
    with serving(Simulator(seed=1, faults=False).handle) as server:
        yield server


def token_of(connection: IntegrationConnection) -> Any:
    connection.refresh_from_db()
    return get_credential(connection.tenant_id, connection.auth_ref)["token"]


def test_the_page_shows_which_step_failed_and_what_to_do(provider: Server) -> None:
    connection = make_connection(credential={"token": "wrong"}, settings={"base_url": provider.url})
    verify_connection(connection, actor="staff:ravi")
    page = operator().get(page_of(connection)).content.decode()
    steps = page.partition('class="console-steps"')[2].partition("</ul>")[0]
    assert steps.count("<li") == 6
    failed = steps.partition('class="failed"')[2].partition("</li>")[0]
    assert "Sign in" in failed
    assert "refused the credential" in failed
    assert "Check that the credential" in failed
    assert steps.count('class="skipped"') == 4
    assert "Sign in: The provider refused" in page, "the list of verifications says why as well"


def test_what_a_provider_says_is_no_markup(provider: Server) -> None:
    answer = provider.answer

    def hostile(*request: Any) -> Any:
        told = answer(*request)
        return type(told)(told.status, told.headers, told.body.replace(b"acme-bot", b"<script>alert(1)</script>"))

    provider.answer = hostile
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url})
    verify_connection(connection, actor="staff:ravi")
    page = operator().get(page_of(connection)).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_credential_is_replaced_and_not_shown(provider: Server) -> None:
    connection = make_connection(credential={"token": "old"}, settings={"base_url": provider.url})
    client = operator()
    asked = client.get(page_of(connection, VERB)).content.decode()
    assert 'name="credential_token"' in asked
    assert 'type="password"' in asked
    done = client.post(page_of(connection, VERB), {"credential_token": GOOD["token"], "ends_on": "2031-02-03"})
    assert done.status_code == 302, done.content
    assert token_of(connection) == GOOD["token"]
    assert connection.credential_expires_at == datetime(2031, 2, 3, tzinfo=UTC)
    assert "uses the new credential of acme-bot" in said(done)[0]
    assert GOOD["token"] not in client.get(page_of(connection)).content.decode()


def test_one_that_is_refused_leaves_the_old_and_says_why(provider: Server) -> None:
    connection = make_connection(credential={"token": "old"}, settings={"base_url": provider.url})
    done = operator().post(page_of(connection, VERB), {"credential_token": "wrong-token-0815"})
    assert "The old credential stays" in said(done)[0]
    assert "wrong-token-0815" not in done.content.decode() + "".join(said(done))
    assert (token_of(connection), connection.status) == ("old", ConnectionStatus.ACTIVE)


def test_nothing_entered_is_asked_again(provider: Server) -> None:
    connection = make_connection(credential={"token": "old"}, settings={"base_url": provider.url})
    done = operator().post(page_of(connection, VERB), {"credential_token": ""})
    assert done.status_code == 200
    assert "give either credential or auth_ref" in done.content.decode()
    assert provider.asked == []


def test_an_auditor_sees_the_steps_and_replaces_nothing(provider: Server) -> None:
    connection = make_connection(credential={"token": "old"}, settings={"base_url": provider.url})
    verify_connection(connection, actor="staff:ravi")
    assert "console-steps" in auditor().get(page_of(connection)).content.decode()
    assert auditor().post(page_of(connection, VERB), {"credential_token": GOOD["token"]}).status_code == 403
    assert token_of(connection) == "old"


def test_a_credential_that_ends_soon_is_marked() -> None:
    make_connection(credential_expires_at=timezone.now() + timedelta(days=90))
    assert "ends soon" not in operator().get(list_of(IntegrationConnection)).content.decode()
    make_connection(credential_expires_at=timezone.now() + timedelta(days=3))
    assert "ends soon" in operator().get(list_of(IntegrationConnection)).content.decode()
