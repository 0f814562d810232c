"""A connection made by authorisation, in a real browser: its policies and cookies let the way there and back pass."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from connections.models import IntegrationConnection
from tests.authorisation_server import AuthorisationServer
from tests.browser.test_admin_journey import sign_in
from tests.factories import ACME

pytestmark = pytest.mark.django_db(transaction=True)


def test_staff_go_to_the_providers_page_and_come_back_to_the_connection(
    page: Page, live_server: Any, gate: AuthorisationServer, settings: Any
) -> None:
    settings.PUBLIC_BASE_URL = live_server.url
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/admin/connections/integrationconnection/add/")
    page.locator('a[href$="authorise/?provider=gate"]').click()
    page.get_by_label("Tenant").fill(ACME)
    page.get_by_label("Display name").fill("Our gate")
    page.get_by_label("Settings").fill(f'{{"base_url": "{gate.url}/api"}}')
    page.get_by_role("button", name="Next").click()
    page.get_by_role("link", name="Continue").click()
    expect(page.get_by_text("May it?")).to_be_visible()
    page.get_by_role("link", name="Allow").click()
    expect(page.get_by_text("is authorised as zoe and active")).to_be_visible()
    connection = IntegrationConnection.objects.get()
    assert page.url == f"{live_server.url}/admin/connections/integrationconnection/{connection.pk}/change/"
