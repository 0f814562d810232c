"""From a sender's body to a signal: who somebody is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.adapters.standard_webhooks.adapter import StandardWebhooksAdapter
from providers.canonical import Signal
from providers.redaction import redact
from providers.spi import WebhookRequest

ADAPTER = StandardWebhooksAdapter()


def mapped(body: Any, settings: dict[str, Any] | None = None) -> Signal:
    """The signal as it is made in service: from the stored, redacted payload alone."""
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1674087231"}
    request = WebhookRequest(headers=headers, body=orjson.dumps(body), settings=settings or {})
    (event,) = ADAPTER.process_webhook(request)
    assert event.signal_type is not None
    return ADAPTER.normalise(event.signal_type, event.event_type, redact(event.payload, emails=True))


@pytest.mark.parametrize(
    ("data", "actor"),
    [
        ({"user": {"id": "zoe@acme.example", "name": "Zoe"}}, "Zoe"),
        ({"user": {"id": "zoe@acme.example"}}, None),
        ({"actor": {"id": "zoe@acme.example"}, "user": {"id": 7}}, "7"),
    ],
)
def test_somebody_whose_id_is_an_address_is_told_by_another_name(data: Any, actor: str | None) -> None:
    assert mapped({"type": "issue.created", "data": data}).actor_id == actor


def test_a_person_in_a_field_is_named_or_left_out() -> None:
    body = {"type": "issue.created", "data": {"by": "zoe@acme.example"}}
    rule = {"type": "issue.created", "signal_type": "issue_created"}
    fields = mapped(body, {"mapping": [rule], "pointers": {"author": "/data/by"}}).fields
    assert "author" not in fields
