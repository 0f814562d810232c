"""Providers and actions over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from connections.tenancy import TENANT_READER, Principal
from providers.catalogue import sync_providers
from tests.api import client_of, error_of, pointers_of
from tests.factories import ACME, make_action, make_connection

pytestmark = pytest.mark.django_db

PROVIDERS = "/v1/integrations/providers"
ACTIONS = "/v1/integrations/actions"


def test_the_registry_is_listed_and_read() -> None:
    slugs = sync_providers()
    reader = client_of(ACME, TENANT_READER)
    listed = reader.get(PROVIDERS).json()["results"]
    assert [row["provider_id"] for row in listed] == slugs
    fake = reader.get(f"{PROVIDERS}/fake").json()
    assert fake["capabilities"] == {"webhook": True, "polling": True, "outbound_actions": True}
    assert fake["settings_schema"]["properties"]["projects"]
    assert fake["webhook_schemes"] == ["hmac", "hmac_body", "unsigned"]
    error_of(reader.get(f"{PROVIDERS}/nobody"), 404)


def test_the_registry_pages_like_every_list() -> None:
    slugs = sync_providers()
    page = client_of().get(PROVIDERS, {"page_size": 1}).json()
    seen = [page["results"][0]["provider_id"]]
    while page["next"]:
        page = client_of().get(page["next"]).json()
        seen.append(page["results"][0]["provider_id"])
    assert seen == slugs
    assert pointers_of(client_of().get(PROVIDERS, {"name": "x"})) == {"/name"}
    assert pointers_of(client_of().get(f"{PROVIDERS}?cursor=cD0lMDA%3D")) == {"/cursor"}


def test_no_provider_for_development_is_shown_in_production(settings: Any) -> None:
    sync_providers()
    client = APIClient()
    client.force_authenticate(Principal("zoe", ACME, frozenset({TENANT_READER})))
    settings.IS_PRODUCTION = True
    assert "fake" not in {row["provider_id"] for row in client.get(PROVIDERS).json()["results"]}
    error_of(client.get(f"{PROVIDERS}/fake"), 404)


def test_actions_are_listed_filtered_and_read() -> None:
    connection = make_connection()
    failed = make_action(connection, status="failed", error="no")
    done = make_action(connection)
    client = client_of(ACME, TENANT_READER)
    assert [row["action_id"] for row in client.get(ACTIONS).json()["results"]] == [str(done.pk), str(failed.pk)]
    assert [row["status"] for row in client.get(ACTIONS, {"status": "failed"}).json()["results"]] == ["failed"]
    read = client.get(f"{ACTIONS}/{done.pk}").json()
    assert read["result"] == {"reference": "c1", "url": "https://fake.example/c1"}
    error_of(client.get(f"{ACTIONS}/{uuid.uuid4()}"), 404)
    assert pointers_of(client.get(ACTIONS, {"status": "lost"})) == {"/status"}
