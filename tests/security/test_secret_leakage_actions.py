"""SEC-IA-01: what goes out. Neither the credential nor a secret a caller wrote into a command comes to light."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db.models.functions import Now

from actions.models import NormalisedAction
from actions.tasks import run_due_actions
from connections.models import IntegrationConnection
from tests.security.leakage_canaries import SHAPES
from tests.security.leakage_parrot import Parrot, ParrotAdapter
from tests.security.leakage_watch import Watch, parrot, watch
from tests.tracker import settled, work

__all__ = ["parrot", "watch"]

pytestmark = pytest.mark.django_db

EXECUTE = "/internal/integrations/actions/execute"


def ask(watch: Watch, connection: IntegrationConnection, key: str, *, query: str = "", **more: Any) -> Any:
    body = {
        "provider_id": "parrot",
        "connection_id": str(connection.pk),
        "canonical_type": "comment_on_issue",
        "target": {"issue_key": "WEB-1"},
        "payload": {"body": "Deployed."},
        "idempotency_key": key,
        **more.pop("body", {}),
    }
    return watch.call("post", EXECUTE + query, body, **more)


def go_on(watch: Watch) -> None:
    """What beat puts into the queue, and what a worker then does."""
    NormalisedAction.objects.filter(status="pending").update(next_attempt_at=Now())
    run_due_actions()
    NormalisedAction.objects.filter(status="processing").update(next_attempt_at=Now())
    settled()
    watch.called(work)


def test_the_credential_stays_inside_on_every_way_an_action_ends(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    moods = ("ok", "rejected", "refuse", "fault", "redirect", "elsewhere", "junk")
    for shape, some in zip(SHAPES, (moods, moods[:2]), strict=True):
        connection = watch.create(parrot, {"token": watch.plant("a token", shape)})
        ask(watch, connection, "dry", query="?dry_run=true")
        for mood in some:
            parrot.mood = mood
            IntegrationConnection.objects.filter(pk=connection.pk).update(status="active")
            ask(watch, connection, f"{shape}-{mood}")
            ask(watch, connection, f"{shape}-{mood}")
            go_on(watch)
        watch.call("get", "/v1/integrations/actions")
    statuses = set(NormalisedAction.objects.values_list("status", flat=True))
    assert {"completed", "failed"} <= statuses
    assert any("actions.run_claimed" in command for command in watch.commands)
    assert watch.leaks(admin_too=True) == []


def test_the_credential_stays_inside_when_the_action_breaks(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    for shape in SHAPES:
        connection = watch.create(parrot, {"token": watch.plant("a token", shape)})
        for place in ("request", "done", "find", "client_config"):
            ParrotAdapter.broken = {place}
            ask(watch, connection, f"dry-{shape}-{place}", query="?dry_run=true")
            ask(watch, connection, f"{shape}-{place}")
            ask(watch, connection, f"{shape}-{place}-later", HTTP_PREFER="respond-async")
            go_on(watch)
    assert "action_fault" in watch.lines.getvalue()
    assert watch.leaks() == []


def test_a_secret_a_caller_wrote_is_kept_no_longer_than_it_is_needed(watch: Watch, parrot: Parrot) -> None:
    """Until the command is done its payload is kept as it was asked for; then nothing is left of the secret."""
    secret = watch.plant("a token in a comment", "token")
    connection = watch.create(parrot, {"token": "parrot-token-of-the-test"})
    told = {"body": {"payload": {"body": f"Use {secret} to sign in."}}}
    ask(watch, connection, "sync", **told)
    ask(watch, connection, "async", HTTP_PREFER="respond-async", **told)
    waiting = NormalisedAction.objects.get(idempotency_key="async")
    assert secret in json.dumps(waiting.payload)
    watch.call("get", "/v1/integrations/actions", roles=("tenant_reader",))
    watch.call("get", f"/v1/integrations/actions/{waiting.pk}", roles=("tenant_reader",))
    go_on(watch)
    assert set(NormalisedAction.objects.values_list("status", flat=True)) == {"completed"}
    assert any(secret in sent for sent in parrot.sent)
    # It had to be stored until it was sent; statements say so and nothing else does.
    watch.told = [(place, content) for place, content in watch.told if "statement" not in place]
    assert watch.leaks() == []
