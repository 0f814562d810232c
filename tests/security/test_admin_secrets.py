"""SEC-IA-01 in the admin: secrets go in and are never shown; what is shown once never travels in a cookie."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session

from connections.models import ConnectionHistory, IntegrationConnection, StoredSecret
from connections.secret_store import secret_store
from events.models import AdapterEvent
from tests.factories import ACME, make_action, make_connection, make_event, make_registration
from tests.staff import auditor, list_of, operator, page_of
from webhooks.models import WebhookRegistration

pytestmark = pytest.mark.django_db

SECRET = "s3cr3t-of-the-tenant-4711"


def all_evidence() -> str:
    """Everything the console wrote down beside the secret store."""
    rows: list[Any] = [*LogEntry.objects.values(), *ConnectionHistory.objects.values()]
    rows += [*IntegrationConnection.objects.values(), *WebhookRegistration.objects.values()]
    return repr(rows)


def everywhere(response: Any) -> str:
    return response.content.decode() + repr(response.headers) + response.cookies.output()


def test_a_credential_that_was_typed_is_never_rendered_back() -> None:
    make_connection()
    fields = {
        "tenant_id": ACME,
        "display_name": "",
        "enabled_capabilities": ["webhook"],
        "credential_token": SECRET,
        "auth_ref": "",
        "settings": "{}",
        "metadata_tags": "{}",
        "api_version": "1",
    }
    client = operator()
    address = list_of(IntegrationConnection, "add") + "?provider=fake"
    refused = client.post(address, fields)
    assert refused.status_code == 200
    assert SECRET not in everywhere(refused)
    made = client.post(address, {**fields, "display_name": "Tracker"})
    assert made.status_code == 302
    assert SECRET not in everywhere(made)
    connection = IntegrationConnection.objects.get(display_name="Tracker")
    for page in (page_of(connection), page_of(connection, "history"), list_of(IntegrationConnection)):
        assert SECRET not in everywhere(client.get(page))
    assert SECRET not in all_evidence()


def test_the_url_and_the_secret_of_a_new_webhook_are_shown_once_and_not_through_a_cookie() -> None:
    connection = make_connection()
    client = operator()
    made = client.post(list_of(WebhookRegistration, "add"), {"connection": str(connection.pk), "events": ""})
    response = client.get(made.headers["Location"])
    registration = WebhookRegistration.objects.get()
    url = secret_store().get(ACME, registration.url_ref)
    token, secret = url.rsplit("/", 1)[1], secret_store().get(ACME, registration.secret_ref)
    page = response.content.decode()
    assert response.status_code == 200
    assert url in page
    assert secret in page
    assert "no-store" in response["Cache-Control"]
    shown_elsewhere = everywhere(made) + response.cookies.output() + repr(response.headers)
    shown_elsewhere += repr([session.get_decoded() for session in Session.objects.all()])
    for address in (page_of(registration), list_of(WebhookRegistration), page_of(connection), list_of(LogEntry)):
        shown_elsewhere += everywhere(client.get(address))
    assert token not in shown_elsewhere
    assert secret not in shown_elsewhere
    assert "********" in client.get(page_of(registration)).content.decode()
    assert token not in all_evidence()
    assert secret not in all_evidence()


def test_rotating_shows_the_new_secret_once_and_keeps_the_old_one_until_the_grace_ends() -> None:
    registration, _, old = make_registration(make_connection())
    client = operator()
    response = client.post(page_of(registration, "rotate"), {"secret": ""}, follow=True)
    registration.refresh_from_db()
    new = secret_store().get(ACME, registration.secret_ref)
    assert new != old
    assert new in response.content.decode()
    assert old not in response.content.decode()
    assert secret_store().get(ACME, registration.previous_secret_ref) == old
    assert new not in everywhere(client.get(page_of(registration)))
    assert new not in all_evidence()


def test_a_secret_staff_bring_themselves_is_not_shown_at_all() -> None:
    registration, _, _ = make_registration(make_connection())
    client = operator()
    response = client.post(page_of(registration, "rotate"), {"secret": SECRET})
    registration.refresh_from_db()
    assert secret_store().get(ACME, registration.secret_ref) == SECRET
    assert SECRET not in everywhere(response) + everywhere(client.get(response.headers["Location"]))


def test_a_secret_that_is_too_short_is_refused_without_being_repeated() -> None:
    registration, _, old = make_registration(make_connection())
    response = operator().post(page_of(registration, "rotate"), {"secret": "s3cr3t"})
    registration.refresh_from_db()
    assert secret_store().get(ACME, registration.secret_ref) == old
    assert "s3cr3t" not in everywhere(response)


def test_the_secret_store_has_no_page_and_no_permission() -> None:
    from django.contrib import admin
    from django.contrib.auth.models import Permission

    assert StoredSecret not in admin.site._registry
    assert not Permission.objects.filter(content_type__model="storedsecret", group__isnull=False).exists()


def test_what_a_caller_put_into_an_action_is_redacted_on_its_page() -> None:
    token = "ghp_" + "a1B2" * 9
    action = make_action(make_connection(), payload={"body": f"use {token}", "password": SECRET})
    page = everywhere(auditor().get(page_of(action)))
    assert token not in page
    assert SECRET not in page


def test_no_page_shows_a_reference_that_could_be_opened_as_a_secret() -> None:
    connection = make_connection(credential={"token": SECRET})
    make_event(connection)
    client = auditor()
    for address in (page_of(connection), list_of(AdapterEvent), list_of(IntegrationConnection)):
        assert SECRET not in everywhere(client.get(address))
