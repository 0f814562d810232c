"""Hooks at providers that are slow, silent, or told two things at once: what a request does, and what the task."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionHistory
from connections.secret_store import secret_store
from connections.services import delete_connection
from providers.client import ProviderClient
from providers.deadline import Deadline
from tests.api import CONNECTIONS, client_of, error_of
from tests.factories import make_registration
from tests.hub_provider import Hub, HubRegistrar, hub_connection, post
from tests.integration.test_webhook_hooks import door_of, doors, due_again, registered, row
from webhooks import provider_hooks
from webhooks.hook_upkeep import PAUSES, settle_due
from webhooks.models import WebhookRegistration

pytestmark = pytest.mark.django_db


def kept_secret() -> str:
    return secret_store().get(row().tenant_id, row().secret_ref)


def time_ends_after(answers: int, monkeypatch: Any) -> None:
    """So many answers come in time; ``monkeypatch.undo()`` gives time again."""
    real, heard = ProviderClient._send, itertools.count(1)

    def counted(self: ProviderClient, *args: Any, **values: Any) -> Any:
        answer = real(self, *args, **values)
        if next(heard) == answers:
            monkeypatch.setattr(Deadline, "left", lambda _: 0.0)
        return answer

    monkeypatch.setattr(ProviderClient, "_send", counted)


@pytest.mark.parametrize("new", ["made first", "made last"])
def test_of_two_rotations_after_the_lease_the_provider_ends_with_the_newer(
    hub: Hub, monkeypatch: Any, new: str
) -> None:
    registered(hub_connection(hub, "north"))
    one, other = row(), row()
    real, asked = HubRegistrar.change_secret, []

    def overtaken(self: Any, *args: Any, **values: Any) -> None:
        asked.append(values["secret"])
        if len(asked) == 1:
            if new == "made last":
                real(self, *args, **values)
            # As a release that knows no leases does it.
            WebhookRegistration.objects.update(hooks_held_until=None, hook_error="")
            provider_hooks.rotate(other, actor="staff:olga")
        real(self, *args, **values)

    monkeypatch.setattr(HubRegistrar, "change_secret", overtaken)
    issued = provider_hooks.rotate(one, actor="staff:ravi")
    assert hub.hooks["h1"]["secret"] == kept_secret() == issued.secret
    assert (issued.registration.secret_version, row().hook_error, row().hook_retry_at) == (3, "", None)


@pytest.mark.parametrize("read", ["before", "after"])
def test_a_rotation_during_another_is_refused_and_the_secret_just_told_verifies(
    hub: Hub, monkeypatch: Any, read: str
) -> None:
    told = registered(hub_connection(hub, "north"))
    one, other = row(), row()
    real = HubRegistrar.change_secret

    def overtaken(self: Any, *args: Any, **values: Any) -> None:
        real(self, *args, **values)
        with pytest.raises(ServiceError) as caught:
            provider_hooks.rotate(other if read == "before" else row(), actor="staff:olga")
        assert (caught.value.code, caught.value.status) == ("HOOKS_BUSY", 409)

    monkeypatch.setattr(HubRegistrar, "change_secret", overtaken)
    issued = provider_hooks.rotate(one, actor="staff:ravi")
    assert hub.hooks["h1"]["secret"] == kept_secret() == issued.secret
    assert (row().secret_version, row().hook_error, row().hooks_held_until) == (2, "", None)
    for number, secret in enumerate((told["secret"], issued.secret)):
        assert post((None, door_of(told)[1], secret), {"kind": "made", "id": str(number)}).status_code == 202


def test_a_rotation_begun_before_another_failed_replaces_no_secret_the_provider_may_have(hub: Hub) -> None:
    registered(hub_connection(hub, "north"))
    read_before = row()
    hub.faults = ["made-then-500"]
    with pytest.raises(ServiceError):
        provider_hooks.rotate(row(), actor="staff:ravi")
    at_provider = hub.hooks["h1"]["secret"]
    with pytest.raises(ServiceError) as caught:
        provider_hooks.rotate(read_before, actor="staff:olga")
    assert caught.value.code == "ROTATION_UNFINISHED"
    assert kept_secret() == at_provider


def test_a_rotation_after_one_the_provider_was_told_of_keeps_the_secret_it_was_told(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    told = registered(connection)
    address = doors(connection, told["registration_id"], "rotate")
    second = client_of().post(address, {}).json()
    hub.outage = 503
    error_of(client_of().post(address, {}), 502)
    assert hub.hooks["h1"]["secret"] == second["secret"]
    assert post((None, door_of(told)[1], second["secret"]), {"kind": "made", "id": "1"}).status_code == 202


def test_a_try_that_is_killed_counts_and_after_the_last_one_it_is_given_up(hub: Hub, monkeypatch: Any) -> None:
    class Killed(BaseException):
        """What the time limit of the worker raises, or the end of its process."""

    def killed(*_: Any, **__: Any) -> None:
        tries.append(1)
        raise Killed

    tries: list[int] = []
    connection = hub_connection(hub, "north")
    make_registration(connection, provider_hooks={"north": "h1"}, secret_version=2, hook_error="x")
    WebhookRegistration.objects.update(hook_retry_at=timezone.now())
    monkeypatch.setattr(HubRegistrar, "change_secret", killed)
    for _ in PAUSES:
        due_again()
        with pytest.raises(Killed):
            settle_due()
    assert row().hook_retry_at is not None
    due_again()
    with pytest.raises(Killed):
        settle_due()
    due_again()
    settle_due()
    assert len(tries) == len(PAUSES) + 1
    assert row().hook_retry_at is None
    assert "north" in row().hook_error
    assert "by hand" in row().hook_error
    assert ConnectionHistory.objects.filter(operation="hooks_told", outcome="failed").count() == 1


def test_a_run_ends_in_time_however_many_doors_are_due(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    for _ in range(3):
        values = {"provider_hooks": {"north": "h1"}, "secret_version": 2, "hook_retry_at": timezone.now()}
        make_registration(connection, **values)
    assert settle_due(seconds=0) == 0
    assert hub.asked == []
    assert settle_due() == 3


def test_telling_many_places_goes_on_where_time_ended(hub: Hub, monkeypatch: Any) -> None:
    connection = hub_connection(hub, "a", "b", "c")
    told = registered(connection)
    hub.outage = 503
    client_of().post(doors(connection, told["registration_id"], "rotate"), {})
    hub.outage = 0
    time_ends_after(2, monkeypatch)
    due_again()
    settle_due()
    assert [hook["secret"] == kept_secret() for hook in hub.hooks.values()] == [True, True, False]
    assert "Concerned: c." in row().hook_error
    monkeypatch.undo()
    asked_before = len(hub.asked)
    due_again()
    settle_due()
    assert [path for _, path in hub.asked[asked_before:]] == ["/places/c/hooks/h3"]
    assert {hook["secret"] for hook in hub.hooks.values()} == {kept_secret()}
    assert (row().hook_error, row().hook_retry_at) == ("", None)


def test_a_list_of_told_places_from_another_version_is_not_believed(hub: Hub) -> None:
    """A process of an older release rotates the secret and leaves the list as it was."""
    registered(hub_connection(hub, "a", "b"))
    told = {"version": 1, "places": ["a", "b"]}
    WebhookRegistration.objects.update(
        secret_version=2, hooks_told=told, hook_error="untold", hook_retry_at=timezone.now()
    )
    settle_due()
    assert [method for method, _ in hub.asked].count("PUT") == 2


@pytest.mark.parametrize("fault", [500, 400])
def test_a_place_that_fails_does_not_keep_the_others_untold_or_their_hooks_there(hub: Hub, fault: int) -> None:
    connection = hub_connection(hub, *"abc")
    told = registered(connection)
    hub.faults = [fault]
    client_of().post(doors(connection, told["registration_id"], "rotate"), {})
    assert {hook["place"] for hook in hub.hooks.values() if hook["secret"] == kept_secret()} == {"b", "c"}
    assert "Concerned: a." in row().hook_error
    hub.faults = [fault]
    client_of().delete(doors(connection, told["registration_id"]))
    assert [hook["place"] for hook in hub.hooks.values()] == ["a"]


def test_a_credential_that_is_refused_is_not_tried_in_every_place(hub: Hub) -> None:
    connection = hub_connection(hub, *"abc")
    told = registered(connection)
    asked, hub.outage = len(hub.asked), 401
    client_of().post(doors(connection, told["registration_id"], "rotate"), {})
    assert len(hub.asked) == asked + 1


def test_a_slow_provider_that_gets_on_is_never_given_up(hub: Hub, monkeypatch: Any) -> None:
    places = "abcdefghijkl"
    connection = hub_connection(hub, *places)
    told = registered(connection)
    time_ends_after(1, monkeypatch)
    client_of().post(doors(connection, told["registration_id"], "rotate"), {})
    for _ in places[1:]:
        assert row().hook_attempts == 0
        monkeypatch.undo()
        time_ends_after(1, monkeypatch)
        due_again()
        settle_due()
    assert {hook["secret"] for hook in hub.hooks.values()} == {kept_secret()}
    assert (row().hook_error, row().hook_retry_at) == ("", None)


def test_removing_at_a_slow_provider_is_not_given_up_either(hub: Hub, monkeypatch: Any) -> None:
    places = "abcdefghij"
    connection = hub_connection(hub, *places)
    told = registered(connection)
    # Two requests a place.
    time_ends_after(2, monkeypatch)
    client_of().delete(doors(connection, told["registration_id"]))
    for _ in places[1:]:
        monkeypatch.undo()
        time_ends_after(2, monkeypatch)
        due_again()
        settle_due()
    assert hub.hooks == {}
    assert (row().provider_hooks, row().hook_error) == ({}, "")


def test_a_slow_provider_that_does_not_get_on_is_given_up(hub: Hub, monkeypatch: Any) -> None:
    connection = hub_connection(hub, "a")
    told = registered(connection)
    monkeypatch.setattr(Deadline, "left", lambda _: 0.0)
    client_of().post(doors(connection, told["registration_id"], "rotate"), {})
    for _ in PAUSES:
        due_again()
        settle_due()
    assert (row().hook_attempts, row().hook_retry_at) == (len(PAUSES) + 1, None)


class TestInsideARequest:
    def test_what_takes_too_long_is_gone_on_with_by_the_task(self, hub: Hub, monkeypatch: Any) -> None:
        connection = hub_connection(hub, *"abcdef")
        # Two requests a place.
        time_ends_after(4, monkeypatch)
        told = registered(connection, events_subscribed=["made"])
        assert told["provider_hooks"] == {"a": "h1", "b": "h2", "c": "", "d": "", "e": "", "f": ""}
        assert "c, d, e, f" in told["hook_error"]
        diagnosis = told["diagnosis"]
        assert (diagnosis["code"], diagnosis["advice"]) == ("hooks_unmade", told["hook_error"])
        assert row().hook_retry_at is not None
        assert len(hub.asked) == 4
        monkeypatch.undo()
        settle_due()
        assert sorted(hook["place"] for hook in hub.hooks.values()) == list("abcdef")
        assert {(hook["url"], hook["secret"], *hook["events"]) for hook in hub.hooks.values()} == {
            (told["public_url"], told["secret"], "made")
        }
        assert (row().hook_error, row().hook_retry_at) == ("", None)
        assert row().provider_hooks == {hook["place"]: hook_id for hook_id, hook in hub.hooks.items()}

    def test_a_place_that_then_refuses_is_shown_and_keeps_no_other(self, hub: Hub, monkeypatch: Any) -> None:
        time_ends_after(2, monkeypatch)
        registered(hub_connection(hub, *"abc"))
        monkeypatch.undo()
        hub.refused_places = {"b"}
        for _ in range(2):
            due_again()
            settle_due()
        assert sorted(hook["place"] for hook in hub.hooks.values()) == ["a", "c"]
        assert row().provider_hooks == {"a": "h1", "b": "", "c": "h2"}
        assert "404" in row().hook_error
        assert "Concerned: b." in row().hook_error

    def test_a_slow_answer_is_cut_off(self, hub: Hub, settings: Any) -> None:
        settings.PROVIDER_HOOKS_SECONDS = 0.3
        answered = threading.Event()

        def wait() -> None:
            answered.wait(30)

        hub.before_answer = wait
        told = registered(hub_connection(hub, "a"))
        answered.set()
        assert (told["provider_hooks"], told["status"]) == ({"a": ""}, "pending")

    def test_of_a_closed_door_the_rest_is_removed_by_the_task(self, hub: Hub, monkeypatch: Any) -> None:
        connection = hub_connection(hub, *"abc")
        told = registered(connection)
        time_ends_after(2, monkeypatch)
        assert client_of().delete(doors(connection, told["registration_id"])).status_code == 204
        assert sorted(hook["place"] for hook in hub.hooks.values()) == ["b", "c"]
        monkeypatch.undo()
        due_again()
        settle_due()
        assert hub.hooks == {}

    def test_only_some_at_once_so_that_doors_have_threads(self, hub: Hub, settings: Any) -> None:
        connection = hub_connection(hub, "a")
        rotate = doors(connection, registered(connection)["registration_id"], "rotate")
        settings.PROVIDER_TURNS = 0
        asked = len(hub.asked)
        for address in (doors(connection), rotate, f"{CONNECTIONS}/{connection.pk}/verify"):
            response = client_of().post(address, {"register": True} if address == doors(connection) else {})
            assert error_of(response, 503)["code"] == "TEMPORARILY_UNAVAILABLE"
            assert int(response["Retry-After"]) > 0
        error_of(client_of().delete(f"{CONNECTIONS}/{connection.pk}"), 503)
        assert len(hub.asked) == asked
        assert row().secret_version == 1

    def test_a_door_is_closed_without_a_turn_and_its_hooks_are_removed_by_the_task(
        self, hub: Hub, settings: Any
    ) -> None:
        connection = hub_connection(hub, "a")
        told = registered(connection)
        settings.PROVIDER_TURNS = 0
        assert client_of().delete(doors(connection, told["registration_id"])).status_code == 204
        assert post(door_of(told), {"kind": "made"}).status_code == 404
        assert len(hub.hooks) == 1
        settle_due()
        assert hub.hooks == {}

    def test_what_calls_nobody_needs_no_turn(self, hub: Hub, settings: Any) -> None:
        settings.PROVIDER_TURNS = 0
        connection = hub_connection(hub, "a")
        told = client_of().post(doors(connection), {}).json()
        assert client_of().post(doors(connection, told["registration_id"], "rotate"), {}).status_code == 200
        assert client_of().delete(doors(connection, told["registration_id"])).status_code == 204
        delete_connection(connection, actor="staff:ravi")

    def test_verifying_takes_a_bounded_time(self, hub: Hub, settings: Any) -> None:
        settings.PROVIDER_VERIFY_SECONDS = 0.3
        connection = hub_connection(hub)
        answered = threading.Event()

        def wait() -> None:
            answered.wait(30)

        hub.before_answer = wait
        told = client_of().post(f"{CONNECTIONS}/{connection.pk}/verify").json()
        answered.set()
        assert told["status"] == "error"
        assert "time" in told["last_error"]
