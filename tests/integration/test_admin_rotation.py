"""Rotating in the console: what the form says, and the page that shows a secret once."""

from __future__ import annotations

import pytest

from connections.services import waive_signatures
from tests.factories import make_connection, make_registration
from tests.staff import auditor, list_of, operator, page_of, said
from webhooks.models import WebhookRegistration
from webhooks.registrations import create_registration

pytestmark = pytest.mark.django_db


def test_a_page_that_shows_a_secret_can_be_reloaded_without_a_second_rotation() -> None:
    row, _, _ = make_registration(make_connection())
    client = operator()
    turned = client.post(page_of(row, "rotate"), {"secret": ""})
    address = turned.headers["Location"]
    assert 'id="issued-secret"' in client.get(address).content.decode()
    again = client.get(address)
    assert again.headers["Location"] == page_of(row)
    assert "shown once" in said(again)[0]
    row.refresh_from_db()
    assert row.secret_version == 2


def test_what_is_shown_once_is_shown_to_whoever_asked_for_it_soon_and_not_after_the_next_rotation() -> None:
    row, _, _ = make_registration(make_connection())
    other, client = auditor(), operator()
    address = client.post(page_of(row, "rotate"), {"secret": ""}).headers["Location"]
    assert b"issued-secret" not in other.get(address, follow=True).content
    WebhookRegistration.objects.update(secret_version=3)
    assert client.get(address).status_code == 302
    late = client.post(page_of(row, "rotate"), {"secret": "a-secret-of-ours"}).headers["Location"]
    session = client.session
    session[f"issued:{row.pk}"] = {**session[f"issued:{row.pk}"], "until": 0}
    session.save()
    assert client.get(late).status_code == 302


def test_where_only_the_url_is_shown_nothing_is_said_of_both() -> None:
    row, _, _ = make_registration(make_connection())
    page = operator().post(page_of(row, "rotate"), {"secret": "a-secret-of-ours"}, follow=True).content.decode()
    assert 'id="issued-url"' in page
    assert 'id="issued-secret"' not in page
    assert "both" not in page.lower()


def test_rotating_says_what_the_scheme_needs_and_what_is_wrong_with_what_was_entered() -> None:
    row = create_registration(make_connection("slack"), actor="staff:ravi", secret="a" * 32).registration
    client = operator()
    assert "The provider shows it: paste it here." in client.get(page_of(row, "rotate")).content.decode()
    response = client.post(page_of(row, "rotate"), {"secret": ""})
    assert "secret is needed: it comes from the provider" in said(response)[0]
    assert 'id="confirm"' in response.content.decode()


def test_an_unsigned_door_offers_no_rotation() -> None:
    connection = make_connection()
    connection = waive_signatures(connection, actor="staff:ravi", reason="The appliance cannot sign.")
    row = create_registration(connection, actor="staff:ravi", scheme="unsigned").registration
    assert page_of(row, "rotate") not in operator().get(page_of(row)).content.decode()


def test_a_new_unsigned_door_shows_its_url_and_no_secret() -> None:
    connection = make_connection()
    waive_signatures(connection, actor="staff:ravi", reason="The appliance cannot sign.")
    fields = {"connection": str(connection.pk), "events": "", "scheme": "unsigned", "secret": ""}
    page = operator().post(list_of(WebhookRegistration, "add"), fields, follow=True).content.decode()
    assert 'id="issued-url"' in page
    assert 'id="issued-secret"' not in page
    assert "There is no secret" in page
