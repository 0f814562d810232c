"""Hooks that are still to be made at a slow provider: rotations meanwhile, and making them by the button."""

from __future__ import annotations

from typing import Any

import pytest

from connections.errors import ServiceError
from providers.client import ProviderClient
from tests.api import client_of, error_of
from tests.hub_provider import Hub, hub_connection, post
from tests.integration.test_admin_verbs import press
from tests.integration.test_webhook_hook_upkeep import kept_secret, time_ends_after
from tests.integration.test_webhook_hooks import door_of, doors, due_again, registered, row
from tests.staff import said
from webhooks import provider_hooks
from webhooks.hook_upkeep import settle_due

pytestmark = pytest.mark.django_db


@pytest.fixture
def begun(hub: Hub, monkeypatch: Any) -> dict[str, Any]:
    """A door whose hook in ``a`` is made; in ``b`` and ``c`` there was no time for it."""
    connection = hub_connection(hub, *"abc")
    time_ends_after(2, monkeypatch)
    told = registered(connection)
    monkeypatch.undo()
    return told


def address(told: dict[str, Any], part: str = "") -> str:
    connection = row().connection
    assert connection is not None
    return doors(connection, told["registration_id"], part)


@pytest.mark.parametrize("given", [{}, {"secret": "a-new-one-of-ours"}], ids=["made here", "given"])
def test_a_rotation_before_all_hooks_are_made_is_a_rotation(
    hub: Hub, begun: dict[str, Any], given: dict[str, str]
) -> None:
    rotated = client_of().post(address(begun, "rotate"), given)
    assert rotated.status_code == 200, rotated.content
    told = rotated.json()
    assert (told["secret_version"], told["hook_error"]) == (2, "")
    assert told["secret"] == given.get("secret", kept_secret()) != begun["secret"]
    assert {hook["place"]: hook["secret"] for hook in hub.hooks.values()} == dict.fromkeys("abc", told["secret"])


def test_so_it_is_after_an_earlier_rotation(hub: Hub, monkeypatch: Any) -> None:
    connection = hub_connection(hub, "a")
    told = registered(connection)
    second = client_of().post(doors(connection, told["registration_id"], "rotate"), {}).json()
    connection.settings["places"] = ["a", "b", "c"]
    connection.save()
    time_ends_after(2, monkeypatch)
    provider_hooks.make_hooks(row(), actor="staff:ravi")
    monkeypatch.undo()
    assert row().provider_hooks == {"a": "h1", "b": "h2", "c": ""}
    hub.outage = 503
    error_of(client_of().post(address(told, "rotate"), {}), 502)
    assert row().secret_version == 3
    assert post((None, door_of(told)[1], second["secret"]), {"kind": "made", "id": "1"}).status_code == 202
    hub.outage = 0
    due_again()
    settle_due()
    assert {hook["place"]: hook["secret"] for hook in hub.hooks.values()} == dict.fromkeys("abc", kept_secret())


def test_hooks_are_not_made_while_the_task_makes_them(hub: Hub, begun: dict[str, Any], monkeypatch: Any) -> None:
    real, refused = ProviderClient.write, []

    def between(self: Any, *args: Any, **values: Any) -> Any:
        # The task has looked for the URL and is about to make the hook.
        with pytest.raises(ServiceError) as caught:
            provider_hooks.make_hooks(row(), actor="staff:ravi")
        refused.append((caught.value.code, caught.value.status))
        return real(self, *args, **values)

    monkeypatch.setattr(ProviderClient, "write", between)
    settle_due()
    assert refused == [("HOOKS_BUSY", 409)] * 2
    assert sorted(hook["place"] for hook in hub.hooks.values()) == list("abc")


def test_the_task_makes_none_while_they_are_made(hub: Hub, begun: dict[str, Any], monkeypatch: Any) -> None:
    real = ProviderClient.write

    def between(self: Any, *args: Any, **values: Any) -> Any:
        settle_due()
        return real(self, *args, **values)

    monkeypatch.setattr(ProviderClient, "write", between)
    provider_hooks.make_hooks(row(), actor="staff:ravi")
    assert sorted(hook["place"] for hook in hub.hooks.values()) == list("abc")


def test_hooks_that_were_made_meanwhile_are_not_made_again(hub: Hub, begun: dict[str, Any]) -> None:
    read_before = row()
    settle_due()
    asked = len(hub.asked)
    provider_hooks.make_hooks(read_before, actor="staff:ravi")
    assert len(hub.asked) == asked


def test_a_door_closed_while_the_task_makes_its_hooks_leaves_none(
    hub: Hub, begun: dict[str, Any], monkeypatch: Any
) -> None:
    real = ProviderClient.write
    closed: list[Any] = []

    def between(self: Any, *args: Any, **values: Any) -> Any:
        if not closed:
            closed.append(provider_hooks.close(row(), actor="staff:ravi"))
        return real(self, *args, **values)

    monkeypatch.setattr(ProviderClient, "write", between)
    settle_due()
    due_again()
    settle_due()
    assert hub.hooks == {}


def test_the_button_tells_where_hooks_are_and_warns_of_the_rest(
    hub: Hub, begun: dict[str, Any], monkeypatch: Any
) -> None:
    time_ends_after(2, monkeypatch)
    first, second = said(press(row(), "make-hooks"))
    monkeypatch.undo()
    assert "still to be made in c." in first
    assert second == "Hooks at the provider: a, b."
    assert said(press(row(), "make-hooks")) == ["Hooks at the provider: a, b, c."]
    assert (row().hook_error, row().hook_retry_at, row().hooks_held_until) == ("", None, None)
