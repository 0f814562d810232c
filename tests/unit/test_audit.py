"""Evidence: every change of a connection is written down, with who made it, and without secrets."""

from __future__ import annotations

import pytest

from connections import history, services
from connections.errors import ServiceError
from connections.lifecycle import MOVES, require_move
from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from providers.catalogue import sync_providers
from tests.factories import ACME, make_connection, make_registration
from webhooks import registrations

pytestmark = pytest.mark.django_db


def entries(connection: IntegrationConnection) -> list[tuple[str, str, str]]:
    rows = ConnectionHistory.objects.filter(connection=connection).order_by("entry_id")
    return [(row.operation, row.actor, row.outcome) for row in rows]


def test_a_life_of_a_connection_can_be_read_from_its_history() -> None:
    sync_providers()
    connection = services.create_connection(
        tenant_id=ACME,
        provider_id="fake",
        display_name="Acme",
        credential={"token": "t"},
        settings={"base_url": "http://127.0.0.1:1"},
        actor="api:zoe",
    )
    services.verify_connection(connection, actor="api:zoe")
    services.suspend_connection(connection, actor="staff:ravi")
    services.resume_connection(connection, actor="staff:ravi")
    services.update_connection(connection, actor="api:zoe", display_name="New")
    issued = registrations.create_registration(connection, actor="api:zoe")
    registrations.rotate_secret(issued.registration, actor="staff:ravi")
    services.delete_connection(connection, actor="api:zoe")
    assert entries(connection) == [
        ("created", "api:zoe", "ok"),
        ("verified", "api:zoe", "failed"),
        ("suspended", "staff:ravi", "ok"),
        ("resumed", "staff:ravi", "ok"),
        ("updated", "api:zoe", "ok"),
        ("webhook_created", "api:zoe", "ok"),
        ("webhook_secret_rotated", "staff:ravi", "ok"),
        ("webhook_deleted", "api:zoe", "ok"),
        ("deleted", "api:zoe", "ok"),
    ]
    assert set(ConnectionHistory.objects.values_list("tenant_id", flat=True)) == {ACME}


def test_what_changes_nothing_is_not_written_down() -> None:
    connection = make_connection()
    services.update_connection(connection, actor="api:zoe", display_name=connection.display_name, status="active")
    assert entries(connection) == []


def test_an_entry_is_redacted_and_bounded() -> None:
    connection = make_connection()
    history.record(connection, "verified", actor="x" * 300, detail="Bearer abcdefghijklmnop zoe@example.com " * 200)
    entry = ConnectionHistory.objects.get()
    assert len(entry.actor) == 200
    assert len(entry.detail) <= 2000
    assert "abcdefghijklmnop" not in entry.detail
    assert "zoe@example.com" not in entry.detail


def test_a_refused_change_leaves_no_entry_and_no_change() -> None:
    connection = make_connection(status=ConnectionStatus.ERROR)
    with pytest.raises(ServiceError):
        services.update_connection(connection, actor="api:zoe", display_name="New", status="active")
    connection.refresh_from_db()
    assert connection.display_name != "New"
    assert entries(connection) == []


def test_a_deleted_connection_can_no_longer_be_changed() -> None:
    connection = make_connection()
    registration, _, _ = make_registration(connection)
    services.delete_connection(connection, actor="api:zoe")
    for change in (
        lambda: services.update_connection(connection, actor="api:zoe", display_name="New"),
        lambda: services.verify_connection(connection, actor="api:zoe"),
        lambda: services.suspend_connection(connection, actor="api:zoe"),
        lambda: services.delete_connection(connection, actor="api:zoe"),
        lambda: registrations.create_registration(connection, actor="api:zoe"),
        lambda: registrations.rotate_secret(registration, actor="api:zoe"),
    ):
        with pytest.raises(ServiceError) as refused:
            change()
        assert refused.value.status == 404


@pytest.mark.parametrize("current", ConnectionStatus.values)
@pytest.mark.parametrize("wanted", ConnectionStatus.values)
def test_only_the_moves_of_the_table_are_allowed(current: str, wanted: str) -> None:
    allowed = wanted == current or wanted in MOVES[current]
    if allowed:
        require_move(current, wanted)
    else:
        with pytest.raises(ServiceError) as refused:
            require_move(current, wanted)
        assert refused.value.status == 409
    assert not (current == ConnectionStatus.DELETED and wanted != current and allowed)
