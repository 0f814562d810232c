"""Signing in, roles and the first page of the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.models import ConnectionStatus
from events.models import DeliveryStatus
from integration_adapters.roles import AUDITOR, OPERATOR, seed_roles
from providers.console.filters import first_key_at
from tests.factories import make_connection, make_event
from tests.integration.test_admin_lists import make_cursor
from tests.staff import PASSWORD, auditor, make_staff, operator, page_of

pytestmark = pytest.mark.django_db

LOGIN, INDEX = "/admin/login/", "/admin/"


def sign_in(name: str, password: str) -> Any:
    return Client().post(LOGIN, {"username": name, "password": password})


def test_signing_in_leads_to_the_dashboard() -> None:
    make_staff()
    response = sign_in("operator-zoe", PASSWORD)
    assert response.status_code == 302
    assert response["Location"] == INDEX


def test_after_ten_failures_the_right_password_does_not_help_from_that_address() -> None:
    make_staff()
    for _ in range(10):
        sign_in("operator-zoe", "wrong")
    locked = sign_in("operator-zoe", PASSWORD)
    assert locked.status_code == 429
    assert "Too many failed sign-ins" in locked.content.decode()
    assert PASSWORD not in locked.content.decode()


def test_signing_in_and_the_dashboard_work_while_redis_is_away(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    make_staff()
    assert sign_in("operator-zoe", "wrong").status_code == 200
    assert sign_in("operator-zoe", PASSWORD).status_code == 302
    assert operator().get(INDEX).status_code == 200
    assert operator().get(reverse("admin:search"), {"s": "acme"}).status_code == 200


def test_a_stranger_is_sent_to_sign_in() -> None:
    for address in (INDEX, page_of(make_connection())):
        response = Client().get(address)
        assert response.status_code == 302
        assert response["Location"].startswith(LOGIN)


def test_every_deployment_has_the_two_roles_and_an_auditor_only_looks() -> None:
    looking = set(Group.objects.get(name=AUDITOR).permissions.values_list("codename", flat=True))
    acting = set(Group.objects.get(name=OPERATOR).permissions.values_list("codename", flat=True))
    assert looking
    assert all(name.startswith("view_") for name in looking)
    assert looking < acting
    assert not [name for name in acting if "secret" in name or name.endswith(("_user", "_group", "_permission"))]


def test_roles_are_put_right_again_and_their_members_kept() -> None:
    person = make_staff(AUDITOR)
    group = Group.objects.get(name=AUDITOR)
    group.permissions.clear()
    seed_roles()
    assert group.permissions.exists()
    assert person.groups.get() == group


def test_the_dashboard_tells_what_came_in_what_waits_and_what_is_broken() -> None:
    broken = make_connection(
        display_name="Broken tracker",
        status=ConnectionStatus.ERROR,
        last_error="The credential was refused.",
        last_error_at=timezone.now(),
    )
    three_hours_ago = timezone.now() - timedelta(hours=3)
    make_event(broken, event_id=first_key_at(three_hours_ago), received_at=three_hours_ago)
    make_event(broken, delivery_status=DeliveryStatus.DELIVERED)
    dead = make_event(broken, delivery_status=DeliveryStatus.DEAD, last_error="Given up after 24 hours.")
    make_cursor(broken, stream="broken-stream", consecutive_failures=2, last_error="answered 503")
    response = operator().get(INDEX)
    page = response.content.decode()
    assert response.context["chart"]["total"] == 3
    assert {e["status"]: e["number"] for e in response.context["chart"]["legend"]} == {
        "delivered": 1,
        "ignored": 0,
        "pending": 1,
        "failed": 0,
        "dead": 1,
    }
    assert response.context["backlog"] == {"number": 1, "age": "3 h"}
    for words in ("Broken tracker", "The credential was refused.", "broken-stream", "answered 503", page_of(dead)):
        assert words in page


def test_the_dashboard_of_an_empty_deployment_says_so() -> None:
    page = auditor().get(INDEX).content.decode()
    assert "nothing waits" in page
    assert "No events were received in the last 24 hours." in page


def test_the_dashboard_shows_nothing_to_staff_without_a_role() -> None:
    make_event(make_connection(), delivery_status=DeliveryStatus.DEAD, last_error="Given up.")
    person = make_staff()
    person.groups.clear()
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    response = client.get(INDEX)
    assert response.status_code == 200
    assert "chart" not in response.context
    assert "Given up." not in response.content.decode()


def test_an_auditor_reads_the_log_of_staff() -> None:
    connection = make_connection()
    operator().post(page_of(connection, "suspend"))
    page = auditor().get("/admin/admin/logentry/").content.decode()
    assert "operator-zoe" in page
    assert "Suspend." in page
    assert LogEntry.objects.count() == 1
