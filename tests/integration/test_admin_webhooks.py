"""The console's pages of webhooks: how a door is made, what is shown, and every verb of it."""

from __future__ import annotations

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections.models import ConnectionHistory, IntegrationConnection
from connections.services import waive_signatures
from events.compression import pack
from events.models import AdapterEvent
from providers.catalogue import sync_providers
from providers.spi import ProviderEvent, WebhookRequest
from tests.factories import make_connection, make_event, make_quarantined, make_registration, make_rejection
from tests.hub_provider import Hub, HubWebhook, hub_connection, post
from tests.integration.test_admin_verbs import logged, press
from tests.staff import auditor, list_of, operator, page_of, said, select
from webhooks.models import (
    PublishedKeys,
    QuarantinedDelivery,
    RegistrationStatus,
    RejectedDelivery,
    WebhookRegistration,
)
from webhooks.registrations import create_shared_registration, rotate_secret

pytestmark = pytest.mark.django_db

ADD = "/admin/webhooks/webhookregistration/add/"


def body_of(address: str) -> str:
    response = operator().get(address)
    assert response.status_code == 200
    return str(response.content.decode())


def quarantined(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> QuarantinedDelivery:
    monkeypatch.setattr(HubWebhook, "broken", True)
    post(make_registration(hub_connection(hub)), {"kind": "made", "id": "1", "password": "hunter2hunter2"})
    monkeypatch.setattr(HubWebhook, "broken", False)
    return QuarantinedDelivery.objects.get()


# Making


def test_first_the_connection_is_asked_then_what_its_provider_offers(hub: Hub) -> None:
    connection = hub_connection(hub, display_name="<script>alert(1)</script>")
    assert "scheme" not in body_of(ADD)
    chosen = operator().post(ADD, {"connection": str(connection.pk)})
    assert chosen.headers["Location"] == f"{ADD}?connection={connection.pk}"
    page = body_of(chosen.headers["Location"])
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    for words in ("HMAC-SHA256 of the body in the header x-hub-signature", "The provider shows it: paste it here."):
        assert words in page
    assert "Make the hook at the provider" in page
    assert "Make the hook at the provider" not in body_of(f"{ADD}?connection={make_connection().pk}")


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"scheme": "token"}, "secret", "comes from the provider"),
        ({"scheme": "standard", "secret": "not-a-whsec-secret"}, "secret", "must begin with whsec_"),
        ({"scheme": "ed25519", "secret": "0123456789"}, "secret", "32 byte public key"),
        ({"scheme": "hmac", "secret": "short"}, "secret", "8 to 1000 characters"),
        ({"scheme": "unsigned"}, "__all__", "waiver"),
        ({"scheme": "no-such"}, "scheme", "select a valid choice"),
        ({"events": "no.such.event"}, "events", "does not send"),
    ],
)
def test_what_a_scheme_cannot_use_is_refused_at_its_field(
    hub: Hub, values: dict[str, str], field: str, words: str
) -> None:
    fields = {"connection": str(hub_connection(hub).pk), "events": "", "secret": "", **values}
    response = operator().post(f"{ADD}?connection={fields['connection']}", fields)
    assert response.status_code == 200
    assert words in str(response.context["adminform"].form.errors[field]).lower()
    assert not WebhookRegistration.objects.exists()


def test_a_hook_is_made_at_the_provider_with_the_webhook(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    client = operator()
    fields = {"connection": str(connection.pk), "events": "made", "scheme": "timed", "secret": "", "register": "on"}
    response = client.post(f"{ADD}?connection={connection.pk}", fields)
    row = WebhookRegistration.objects.get()
    assert response.headers["Location"] == page_of(row)
    assert said(response) == ["The webhook is registered. Hooks at the provider: north."]
    assert (row.scheme, row.events_subscribed, hub.hooks["h1"]["events"]) == ("hmac", ["made"], ["made"])
    page = body_of(page_of(row))
    assert "<dt>north</dt><dd>h1</dd>" in page
    assert page_of(row, "make-hooks") not in page  # none is missing any more


def test_a_webhook_whose_hook_could_not_be_made_is_closed_as_through_the_api(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    hub.outage = 503
    address = f"{ADD}?connection={connection.pk}"
    fields = {"connection": str(connection.pk), "events": "", "scheme": "hmac", "secret": "", "register": "on"}
    response = operator().post(address, fields)
    assert response.headers["Location"] == address
    assert any("could not be made at the provider. The provider failed (503)." in text for text in said(response))
    assert WebhookRegistration.objects.get().status == RegistrationStatus.DELETED


def test_a_hook_that_cannot_be_made_says_why_in_the_form_and_on_the_page(hub: Hub) -> None:
    fields = {"events": "", "scheme": "hmac", "secret": "", "register": "on"}
    connection = hub_connection(hub)
    response = operator().post(f"{ADD}?connection={connection.pk}", {"connection": str(connection.pk), **fields})
    assert "name no places" in str(response.context["adminform"].form.errors)
    assert not WebhookRegistration.objects.exists()
    row, _, _ = make_registration(hub_connection(hub, "north"))
    hub.outage = 503
    assert "The hook could not be made at the provider. The provider failed (503)." in said(press(row, "make-hooks"))[0]


def test_a_shared_door_is_made_for_an_app_and_shows_how_many_are_routed_to_it(hub: Hub) -> None:
    sync_providers()
    client = operator()
    go = client.get(reverse("admin:webhooks_webhookregistration_add_shared"))
    assert go.headers["Location"] == f"{ADD}?shared=1"
    page = client.get(f"{ADD}?shared=1").content.decode()
    assert 'value="hub"' in page
    assert 'value="fake"' not in page
    response = client.post(f"{ADD}?shared=1", {"provider": "hub", "secret": ""}, follow=True)
    row = WebhookRegistration.objects.get()
    assert (response.status_code, row.connection, row.tenant_id) == (200, None, "*")
    shown = response.content.decode()
    assert 'id="issued-secret"' in shown
    assert "one connection" not in shown
    assert "0 connections are routed here" in body_of(page_of(row))
    assert "shared" in body_of(list_of(WebhookRegistration))
    assert auditor().get(f"{ADD}?shared=1").status_code == 403
    assert auditor().get(reverse("admin:webhooks_webhookregistration_add_shared")).status_code == 403


# The page and its verbs


def test_the_page_tells_which_secret_is_used_and_the_old_one_can_be_dropped(hub: Hub) -> None:
    row, token, old = make_registration(hub_connection(hub))
    issued = rotate_secret(row, actor="staff:ravi")
    post((row, token, issued.secret), {"kind": "made", "id": "1"})
    page = body_of(page_of(row))
    assert "Version 2" in page
    assert "Nothing has used the old secret for" in page
    press(row, "drop-secret")
    assert logged(row) == "Drop the old secret."
    assert post((row, token, old), {"kind": "made", "id": "2"}).status_code == 401
    assert page_of(row, "drop-secret") not in body_of(page_of(row))


def test_rotating_a_door_with_hooks_shows_no_secret_because_nobody_has_to_copy_it(hub: Hub) -> None:
    row, _, _ = make_registration(hub_connection(hub, "north"))
    press(row, "make-hooks")
    response = press(row, "rotate", secret="")
    assert response.status_code == 302
    assert "have the new one" in said(response)[0]


def test_what_is_left_at_the_provider_is_shown_and_can_be_tried_again(hub: Hub) -> None:
    row, _, _ = make_registration(hub_connection(hub, "north"))
    press(row, "make-hooks")
    hub.outage = 503
    assert (
        "is deleted. The provider failed (503). Concerned: north. It is tried again." in said(press(row, "remove"))[0]
    )
    page = body_of(page_of(row))
    assert "a hook is left at the provider" in page
    assert "Next try" in page
    hub.outage = 0
    press(row, "tell-provider")
    assert hub.hooks == {}
    row.refresh_from_db()
    assert (row.status, row.provider_hooks, row.hook_error) == (RegistrationStatus.DELETED, {}, "")


def test_the_diagnosis_stands_on_top_of_the_page_and_of_the_connections_page() -> None:
    connection = make_connection()
    row, _, _ = make_registration(connection)
    make_rejection(row)
    for page in (body_of(page_of(row)), body_of(page_of(connection))):
        assert "console-diagnosis" in page
        assert "their signature was made with another secret" in page
        assert page.index("console-diagnosis") < page.index("Tenant id")


def test_deleted_webhooks_are_listed_when_they_are_asked_for() -> None:
    connection = make_connection()
    kept, _, _ = make_registration(connection)
    gone, _, _ = make_registration(connection, status=RegistrationStatus.DELETED)
    client = operator()
    listed = client.get(list_of(WebhookRegistration)).context["cl"].result_list
    assert [row.pk for row in listed] == [kept.pk]
    listed = client.get(list_of(WebhookRegistration), {"status": "deleted"}).context["cl"].result_list
    assert [row.pk for row in listed] == [gone.pk]


def test_a_webhook_is_named_by_its_connection_and_provider() -> None:
    connection = make_connection(display_name="Web tracker")
    row, _, _ = make_registration(connection)
    assert str(row) == "webhook of Web tracker (fake)"
    client = operator()
    costs = []
    for _ in range(2):
        make_registration(connection)
        with CaptureQueriesContext(database) as captured:
            client.get(list_of(WebhookRegistration))
        costs.append(len(captured))
    assert costs[0] == costs[1]


# Waivers


def test_unsigned_deliveries_are_accepted_with_a_reason_shown_in_red_and_refused_again() -> None:
    connection = make_connection()
    press(connection, "waive", reason="The appliance cannot sign, and its network is ours.")
    connection.refresh_from_db()
    assert connection.unsigned_waiver_by == "staff:operator-zoe"
    red = '<span class="console-label danger">unsigned accepted</span>'
    assert red in body_of(list_of(IntegrationConnection))
    page = body_of(page_of(connection))
    assert red in page
    assert "The appliance cannot sign" in page
    assert page_of(connection, "waive/") not in page
    event = make_event(connection, proof="unsigned:waived")
    assert '<span class="console-label danger">unsigned:waived</span>' in body_of(page_of(event))
    press(connection, "withdraw")
    connection.refresh_from_db()
    assert not connection.waives_signatures
    assert red not in body_of(page_of(connection))
    assert ConnectionHistory.objects.filter(operation="waiver_withdrawn").exists()


def test_without_a_reason_nothing_is_accepted_and_where_all_sign_it_is_not_offered() -> None:
    connection = make_connection()
    response = operator().post(page_of(connection, "waive"), {"reason": "why not"})
    assert response.status_code == 200
    connection.refresh_from_db()
    assert not connection.waives_signatures
    signing = make_connection("github")
    assert page_of(signing, "waive") not in body_of(page_of(signing))


# Evidence


def test_a_rejected_delivery_is_explained_and_filtered_by_its_reason() -> None:
    row, _, _ = make_registration(make_connection())
    kept = make_rejection(row)
    make_rejection(row, reason="timestamp_stale")
    page = body_of(page_of(kept))
    for words in ("Their signature was made with another secret", "Rotate the secret", "x-hub-signature", "120 bytes"):
        assert words in page
    listed = operator().get(list_of(RejectedDelivery), {"reason": "timestamp_stale"}).context["cl"].result_list
    assert [found.reason for found in listed] == ["timestamp_stale"]
    for registration, number in ((row.pk, 2), (kept.pk, 0), ("nonsense", 0)):
        found = operator().get(list_of(RejectedDelivery), {"registration": str(registration)}).context["cl"]
        assert len(found.result_list) == number


def test_a_quarantined_delivery_is_read_again_from_its_page(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = quarantined(hub, monkeypatch)
    page = body_of(page_of(kept))
    assert "The adapter has a fault." in page
    assert "hunter2hunter2" not in page
    assert "1 could not be read" in body_of(page_of(kept.registration))
    client = operator()
    response = client.post(page_of(kept, "read-again"))
    assert said(response) == ["It is read: 1 new event."]
    assert AdapterEvent.objects.count() == 1
    assert not QuarantinedDelivery.objects.exists()
    assert response.headers["Location"] == list_of(QuarantinedDelivery)


def test_where_the_body_was_not_kept_it_cannot_be_read_again(hub: Hub) -> None:
    row, _, _ = make_registration(hub_connection(hub))
    kept = make_quarantined(row, body=pack(""), detail="Neither JSON nor a form, so the body is not kept.")
    page = body_of(page_of(kept))
    assert page_of(kept, "read-again") not in page
    assert page_of(kept, "discard") in page
    assert "nothing to do" in said(operator().post(page_of(kept, "read-again")))[0]


def test_a_delivery_of_an_unknown_account_is_told_as_taken_and_leads_to_quarantine(hub: Hub) -> None:
    row, _, _ = make_registration(hub_connection(hub))
    taken = make_rejection(row, reason="unrouted")
    page = body_of(page_of(taken))
    assert "refused" not in str(taken)
    assert "it is not kept" not in page
    assert f"{list_of(QuarantinedDelivery)}?registration={row.pk}" in page
    assert list_of(QuarantinedDelivery) + "?registration" not in body_of(page_of(make_rejection(row)))


def test_a_selection_is_read_again_and_what_cannot_be_stays(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = quarantined(hub, monkeypatch)
    hopeless = make_quarantined(kept.registration, headers={})

    def events(_: HubWebhook, request: WebhookRequest) -> list[ProviderEvent]:
        return [] if request.headers else [][0]

    monkeypatch.setattr(HubWebhook, "events", events)
    response = select(operator(), [kept, hopeless], "read_again", confirmed="yes")
    assert any("still fails (IndexError)" in message for message in said(response))
    assert list(QuarantinedDelivery.objects.all()) == [hopeless]


def test_discarding_needs_a_reason(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = quarantined(hub, monkeypatch)
    client = operator()
    assert client.post(page_of(kept, "discard"), {"reason": ""}).status_code == 200
    assert QuarantinedDelivery.objects.exists()
    response = client.post(page_of(kept, "discard"), {"reason": "A test of ours."}, follow=True)
    assert not QuarantinedDelivery.objects.exists()
    assert response.redirect_chain == [(list_of(QuarantinedDelivery), 302)]
    assert "exist" not in response.content.decode()


def test_an_auditor_reads_evidence_and_presses_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = quarantined(hub, monkeypatch)
    row = kept.registration
    waive_signatures(row.connection, actor="staff:ravi", reason="Only for this test of ours.")
    client = auditor()
    assert client.get(page_of(kept)).status_code == 200
    verbs = [(kept, "read-again"), (kept, "discard"), (row.connection, "waive"), (row.connection, "withdraw")]
    verbs += [(row, verb) for verb in ("make-hooks", "tell-provider", "drop-secret")]
    for target, verb in verbs:
        assert client.post(page_of(target, verb), {"reason": "because I want it"}).status_code == 403, verb
    assert QuarantinedDelivery.objects.exists()


def test_published_keys_show_why_they_could_not_be_fetched() -> None:
    PublishedKeys.objects.create(url="https://keys.hub.example/jwks", last_error="The provider failed (500).")
    assert "The provider failed (500)." in body_of(list_of(PublishedKeys))


def test_a_shared_door_has_its_page_and_its_verbs(hub: Hub) -> None:
    sync_providers()
    row = create_shared_registration("hub", actor="staff:ravi").registration
    assert "shared webhook of hub" in body_of(page_of(row, "suspend"))
    press(row, "suspend")
    press(row, "resume")
    press(row, "remove")
    row.refresh_from_db()
    assert row.status == RegistrationStatus.DELETED
