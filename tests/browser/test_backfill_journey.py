"""A backfill in a real browser: asked for from its connection, its bar moving by itself, paused and resumed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from polling.models import Backfill, BackfillStatus
from tests.backfills import LEDGERS, connect, tick
from tests.browser.test_admin_journey import sign_in
from tests.polling_provider import Ledger
from tests.staff import list_of, page_of

pytestmark = pytest.mark.django_db(transaction=True)

# Pages look every five seconds.
WITHIN_TWO_LOOKS = 15_000


@pytest.fixture(autouse=True)
def _ledgers(ledger: Ledger, settings: Any) -> None:
    settings.EXTRA_ADAPTERS = LEDGERS


def test_staff_ask_for_a_window_watch_its_bar_and_pause_it(page: Page, live_server: Any, ledger: Ledger) -> None:
    connection = connect(ledger, "sliced_ledger", display_name="Web tracker")
    sign_in(page, live_server)
    page.goto(live_server.url + page_of(connection))
    page.locator("li > a", has_text="More").click()
    page.locator(f'a[href$="{connection.pk}/backfill/"]').click()
    page.get_by_label("entries").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    backfill = Backfill.objects.get()
    assert backfill.streams == ["entries"]

    page.goto(live_server.url + page_of(backfill))
    expect(page.get_by_text("0 %", exact=True)).to_be_visible()
    # Somebody else moves it; nobody touches this page.
    Backfill.objects.update(
        status=BackfillStatus.RUNNING,
        share_done=0.4,
        pages=12,
        pace=[[timezone.now().timestamp() - 60, 0.0]],
        updated_at=timezone.now(),
    )
    expect(page.get_by_text("40 %, about")).to_be_visible(timeout=WITHIN_TWO_LOOKS)
    expect(page.get_by_text("0 of 1 part, 12 pages")).to_be_visible()

    page.get_by_role("link", name="Pause").click()
    page.locator("#confirm").get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused by staff:operator-zoe.")).to_be_visible()
    page.get_by_role("link", name="Resume").click()
    page.locator("#confirm").get_by_role("button", name="Resume").click()
    expect(page.get_by_text("goes on.")).to_be_visible()
    assert tick(backfill).status == BackfillStatus.COMPLETED
    expect(page.get_by_text("100 %", exact=True)).to_be_visible(timeout=WITHIN_TWO_LOOKS)


def test_a_list_that_brings_itself_up_to_date_keeps_what_was_selected(
    page: Page, live_server: Any, ledger: Ledger
) -> None:
    connection = connect(ledger)
    rows = [
        Backfill.objects.create(
            tenant_id=connection.tenant_id,
            connection=connection,
            since=timezone.now() - timedelta(days=number + 2),
            until=timezone.now() - timedelta(days=1),
            next_run_at=timezone.now(),
            status=BackfillStatus.RUNNING,
        )
        for number in range(2)
    ]
    sign_in(page, live_server)
    page.goto(live_server.url + list_of(Backfill))
    box = page.locator(f'input[name="_selected_action"][value="{rows[0].pk}"]')
    box.check()
    Backfill.objects.filter(pk=rows[1].pk).update(status=BackfillStatus.COMPLETED)
    expect(page.get_by_text("100 %", exact=True)).to_be_visible(timeout=WITHIN_TWO_LOOKS)
    assert box.is_checked()
