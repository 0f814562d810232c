"""Forms of the admin: what they make, and at which field a refusal is shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from connections.secret_store import get_credential
from providers.catalogue import sync_providers
from providers.models import IntegrationProvider, ProviderStatus
from tests.factories import ACME, make_connection
from tests.staff import operator, page_of

pytestmark = pytest.mark.django_db

ADD = "/admin/connections/integrationconnection/add/"


def filled(**values: Any) -> dict[str, Any]:
    sync_providers()
    return {
        "tenant_id": ACME,
        "display_name": "Payments issues",
        "enabled_capabilities": ["webhook", "polling"],
        "credential_token": "a-very-secret-token",
        "auth_ref": "",
        "settings": '{"projects": ["PAY"]}',
        "metadata_tags": '{"team": "payments"}',
        "api_version": "1",
        **values,
    }


def add(**values: Any) -> Any:
    return operator().post(f"{ADD}?provider=fake", filled(**values))


def errors_of(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    return {name: list(errors) for name, errors in response.context["adminform"].form.errors.items()}


def test_adding_a_connection_first_asks_for_the_provider() -> None:
    sync_providers()
    IntegrationProvider.objects.filter(pk="jira").update(status=ProviderStatus.DEPRECATED)
    page = operator().get(ADD).content.decode()
    assert "?provider=fake" in page
    assert "?provider=jira" not in page
    refused = operator().get(f"{ADD}?provider=jira").content.decode()
    assert "credential_token" not in refused


def test_a_connection_is_made_pending_with_its_credential_in_the_store_and_a_trace_of_who_made_it() -> None:
    response = add()
    assert response.status_code == 302, errors_of(response)
    row = IntegrationConnection.objects.get()
    assert row.status == ConnectionStatus.PENDING_VERIFICATION
    assert get_credential(ACME, row.auth_ref) == {"token": "a-very-secret-token"}
    assert row.settings == {"projects": ["PAY"]}
    assert row.metadata_tags == {"team": "payments"}
    assert row.enabled_capabilities == {"webhook": True, "polling": True, "outbound_actions": False}
    assert ConnectionHistory.objects.get(connection=row).actor == "staff:operator-zoe"
    assert LogEntry.objects.get(object_id=str(row.pk)).is_addition()


def test_a_connection_that_only_receives_needs_no_credential() -> None:
    response = add(credential_token="", enabled_capabilities=["webhook"])
    assert response.status_code == 302, errors_of(response)
    assert IntegrationConnection.objects.get().auth_ref == ""


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"credential_token": ""}, "credential_token", "needed"),
        ({"settings": '{"projects": "PAY"}'}, "settings", "projects"),
        ({"settings": '{"base_url": "http://10.0.0.8"}'}, "settings", "base_url"),
        ({"settings": "{not json"}, "settings", "JSON"),
        ({"settings": "[1]"}, "settings", "object"),
        ({"metadata_tags": '{"team": 7}'}, "metadata_tags", "text"),
        ({"display_name": "  "}, "display_name", "required"),
        ({"auth_ref": "secret:x", "credential_token": ""}, "auth_ref", "reference"),
        ({"enabled_capabilities": ["time_travel"]}, "enabled_capabilities", "choice"),
        ({"tenant_id": "x" * 101}, "tenant_id", "100"),
    ],
)
def test_what_is_refused_is_said_at_its_field_and_nothing_is_stored(
    values: dict[str, Any], field: str, words: str
) -> None:
    errors = errors_of(add(**values))
    assert list(errors) == [field]
    assert words in errors[field][0]
    assert not IntegrationConnection.objects.exists()


def test_a_connection_is_edited_through_the_service() -> None:
    connection = make_connection(settings={"projects": ["OLD"]}, streams_stale=False)
    response = operator().post(page_of(connection), filled(display_name="Renamed", enabled_capabilities=["webhook"]))
    assert response.status_code == 302, errors_of(response)
    connection.refresh_from_db()
    assert connection.display_name == "Renamed"
    assert connection.settings == {"projects": ["PAY"]}
    assert connection.enabled_capabilities["polling"] is False
    assert connection.streams_stale
    assert connection.status == ConnectionStatus.ACTIVE
    assert "settings" in ConnectionHistory.objects.get(connection=connection, operation="updated").detail


def test_fields_that_are_not_offered_cannot_be_changed_by_sending_them() -> None:
    connection = make_connection()
    before = (connection.tenant_id, connection.auth_ref, connection.status)
    operator().post(
        page_of(connection), filled(tenant_id="globex", auth_ref="secret:x", status="deleted", provider="jira")
    )
    connection.refresh_from_db()
    assert (connection.tenant_id, connection.auth_ref, connection.status) == before
    assert connection.provider_id == "fake"


def test_an_edit_that_is_refused_keeps_what_was_typed_and_the_row() -> None:
    connection = make_connection(display_name="Before")
    response = operator().post(
        page_of(connection), filled(display_name="After", settings='{"poll_interval_seconds": 1}')
    )
    assert list(errors_of(response)) == ["settings"]
    page = response.content.decode()
    assert "poll_interval_seconds&quot;: 1" in page
    connection.refresh_from_db()
    assert connection.display_name == "Before"


def test_a_deleted_connection_is_shown_but_not_edited() -> None:
    connection = make_connection(status=ConnectionStatus.DELETED)
    client = operator()
    assert client.get(page_of(connection)).status_code == 200
    assert client.post(page_of(connection), filled(display_name="After")).status_code == 403


def test_the_form_explains_the_settings_of_its_provider() -> None:
    page = operator().get(page_of(make_connection())).content.decode()
    assert "Project keys to poll" in page


@pytest.mark.parametrize("field", ["settings", "metadata_tags"])
@pytest.mark.parametrize(
    "text",
    [
        '{"team": "\\u0000"}',
        '{"team": "\\ud800"}',
        '{"team": NaN}',
        f'{{"team": {"9" * 5000}}}',
        "[" * 5000,
        '{"team":' * 3000 + "1" + "}" * 3000,
    ],
    ids=["nul", "lone surrogate", "NaN", "endless number", "unclosed", "nested"],
)
def test_json_that_cannot_be_stored_is_refused_at_its_field(field: str, text: str) -> None:
    assert list(errors_of(add(**{field: text}))) == [field]
    row = make_connection()
    edited = operator().post(page_of(row), filled(**{field: text}))
    assert list(errors_of(edited)) == [field]
    row.refresh_from_db()
    assert row.settings == row.metadata_tags == {}
