"""What staff do, in a real browser: sign in, make a connection, verify it, find an event and replay it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import requests
from playwright.sync_api import Page, expect

from connections.models import ConnectionStatus, IntegrationConnection
from events.models import AdapterEvent, DeliveryAttempt, DeliveryStatus
from integration_adapters.roles import AUDITOR, OPERATOR
from providers import registry
from providers.adapters.fake.simulator import Simulator
from providers.verification import HmacScheme, sign
from tests.contract.provider_server import Server, serving
from tests.factories import make_action, make_connection, make_event, make_registration
from tests.integration.test_admin_lists import make_backfill, make_cursor
from tests.staff import PASSWORD, make_staff

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider() -> Iterator[Server]:
    with serving(Simulator(seed=1, faults=False).handle) as server:
        yield server


def sign_in(page: Page, server: Any, role: str = OPERATOR) -> None:
    make_staff(role)
    page.goto(f"{server.url}/admin/")
    page.get_by_label("Username").fill(f"{role}-zoe")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#dashboard")).to_be_visible()


def deliver(url: str, secret: str) -> None:
    """What the provider does with the URL and the secret staff gave it."""
    webhook = registry.get("fake").webhook
    assert webhook is not None
    scheme = next(iter(webhook.schemes.values()))
    assert isinstance(scheme, HmacScheme)
    body = orjson.dumps(
        {"type": "issue.created", "at": "2026-11-20T10:00:00Z", "issue": {"key": "WEB-1", "title": "Door sticks"}}
    )
    headers = sign(scheme, body=body, secret=secret.encode(), timestamp=int(time.time()))
    answer = requests.post(url, data=body, headers={**headers, "x-fake-delivery": uuid.uuid4().hex}, timeout=10)
    assert answer.status_code == 202, answer.text


def test_staff_make_a_connection_verify_it_and_replay_one_of_its_events(
    page: Page, live_server: Any, provider: Server, settings: Any
) -> None:
    settings.PUBLIC_BASE_URL = live_server.url
    make_connection(display_name="Somebody else's")
    sign_in(page, live_server)

    page.locator("a", has_text="Connections").first.click()
    page.locator('a[href$="/connections/integrationconnection/add/"]').first.click()
    page.locator('a[href="?provider=fake"]').click()
    page.get_by_label("Tenant id").fill("acme")
    page.get_by_label("Display name").fill("Web tracker")
    page.get_by_label("Token").fill(Simulator.credential["token"])
    page.get_by_label("Settings").fill(orjson.dumps({"base_url": provider.url}).decode())
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()

    page.get_by_role("link", name="Web tracker").first.click()
    expect(page.get_by_text("Pending verification").first).to_be_visible()
    page.get_by_role("link", name="Verify").click()
    page.locator("#confirm").get_by_role("button", name="Verify").click()
    expect(page.get_by_text("and active")).to_be_visible()
    connection = IntegrationConnection.objects.get(display_name="Web tracker")
    assert connection.status == ConnectionStatus.ACTIVE

    page.locator("li > a", has_text="More").click()
    page.get_by_role("link", name="Add webhook").click()
    page.get_by_role("button", name="Save", exact=True).click()
    url, secret = page.locator("#issued-url").inner_text(), page.locator("#issued-secret").inner_text()
    deliver(url, secret)
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text("********")).to_be_visible()
    assert secret not in page.content()

    AdapterEvent.objects.update(delivery_status=DeliveryStatus.DEAD, last_error="Given up after 24 hours.")
    page.goto(f"{live_server.url}/admin/")
    page.locator("#dashboard").get_by_role("link", name="issue.created").click()
    expect(page.get_by_text('"title": "Door sticks"').first).to_be_visible()
    page.locator('a[href$="/replay-events/"]').click()
    page.locator("#confirm").get_by_role("button", name="Replay").click()
    expect(page.get_by_text("is due for delivery again")).to_be_visible()
    assert AdapterEvent.objects.get().delivery_status == DeliveryStatus.PENDING


def test_a_selection_of_a_filtered_list_is_replayed(page: Page, live_server: Any) -> None:
    connection = make_connection()
    for _ in range(2):
        make_event(connection, delivery_status=DeliveryStatus.DEAD)
    make_event(connection, delivery_status=DeliveryStatus.DELIVERED)
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/admin/events/adapterevent/")
    page.locator("#changelist a", has_text="Filters").click()
    page.locator("#changelist-filter").locator("select[name=status]").select_option("dead", force=True)
    page.get_by_role("button", name="Apply Filters").click()
    expect(page).to_have_url(re.compile("status=dead"))
    expect(page.locator("#result_list tbody tr.data-row, #result_list tbody tr")).to_have_count(2)
    page.locator("#action-toggle, thead input[type=checkbox]").first.check()
    page.locator("select[name=action]").select_option("replay_events")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("Replay: done for 2.")).to_be_visible()
    assert AdapterEvent.objects.filter(delivery_status=DeliveryStatus.PENDING).count() == 2


def test_an_auditor_sees_everything_and_is_offered_nothing(page: Page, live_server: Any) -> None:
    connection = make_connection(display_name="Web tracker")
    address = f"{live_server.url}/admin/connections/integrationconnection/{connection.pk}/change/"
    for role, offered in ((OPERATOR, 1), (AUDITOR, 0)):
        page.context.clear_cookies()
        sign_in(page, live_server, role)
        page.goto(address)
        expect(page.get_by_text("Web tracker").first).to_be_visible()
        expect(page.locator('a[href$="/verify/"]')).to_have_count(offered)
        expect(page.locator('a[href$="/poll/"]')).to_have_count(offered)
        expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(offered)


def test_no_page_is_wider_than_the_window_or_breaks_its_own_security_policy(page: Page, live_server: Any) -> None:
    """The ``page`` fixture fails this test for every error the browser reports, blocked scripts among them."""
    connection = make_connection(last_error="refused " * 30, metadata_tags={"team": "x" * 200})
    event = make_event(connection, payload={"title": "long " * 400, "token": "x" * 900}, last_error="y" * 600)
    DeliveryAttempt.objects.create(
        tenant_id=connection.tenant_id, event=event, number=1, error_code="http_503", error="z" * 600
    )
    rows = [event, make_cursor(connection), make_backfill(connection), make_action(connection), connection]
    rows.append(make_registration(connection)[0])
    sign_in(page, live_server)
    addresses = ["", "connections/integrationconnection/add/", "connections/integrationconnection/add/?provider=fake"]
    for row in rows:
        model = f"{row._meta.app_label}/{row._meta.model_name}/"
        addresses += [model, f"{model}{row.pk}/change/"]
    addresses += ["events/deliveryattempt/", "connections/connectionhistory/", "providers/integrationprovider/"]
    addresses += ["django_celery_beat/periodictask/", "admin/logentry/", "providers/integrationprovider/fake/change/"]
    wide = []
    for address in addresses:
        page.goto(f"{live_server.url}/admin/{address}")
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1"):
            wide.append(address)
    assert wide == []
