"""From a stored event to a signal.

The stored payload is ``{"event": …, "pointers": {…}, "sent_at": …}``: what the sender sent, where this connection looks
for things, and the time of the attempt for events that bring none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from providers.adapters.standard_webhooks.reading import Reading
from providers.canonical import JSON, Resource, Severity, Signal, SignalType
from providers.document import Document, compact

_ID_LENGTH = 200

# What the sender's id is called for each family of signals.
_KEY_OF_FAMILY = {
    "issue": "issue_key",
    "deployment": "deployment_id",
    "page": "page_id",
    **dict.fromkeys(("pipeline", "job", "check"), "run_id"),
}


def stored(event: JSON, pointers: Mapping[str, str], sent_at: datetime | None) -> JSON:
    """The payload to keep: everything needed to map it later, when the settings may be others."""
    return {"event": event, "pointers": dict(pointers), "sent_at": sent_at.isoformat() if sent_at else None}


def occurred_at(payload: JSON) -> datetime | None:
    """The sender's time of the happening, else of the attempt."""
    return _reading(payload).time("occurred_at") or Document(payload).time("/sent_at")


def signal(signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    reading = _reading(payload)
    entity = reading.text("entity_id", limit=_ID_LENGTH)
    family = signal_type.partition("_")[0]
    number = reading.integer("pr_number") or (reading.integer("entity_id") if family == "pr" else None)
    own_key = _KEY_OF_FAMILY.get(family, "entity_id")
    word = (reading.text("severity", limit=40) or "").lower()
    fields = {name: reading.field(name) for name in signal_type.fields}
    fields["state"] = (fields.get("state") or "").lower()
    if own_key in signal_type.fields:
        fields[own_key] = fields[own_key] or entity
    environment = reading.field("environment")
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(payload),
        actor_id=reading.person("actor", limit=_ID_LENGTH),
        resource=Resource(
            repository=reading.text("repository", limit=_ID_LENGTH),
            branch=reading.text("branch", limit=_ID_LENGTH),
            commit=reading.text("commit", limit=_ID_LENGTH),
            pr_id=number,
            file_path=reading.field("file_path"),
            service_name=reading.text("service", limit=_ID_LENGTH),
            environment=environment,
            deployment_id=entity if family == "deployment" else None,
        ),
        canonical_keys=compact({"entity_id": entity, own_key: entity, "pr_number": number}),
        fields={name: value for name, value in compact(fields).items() if name in signal_type.fields},
        attributes=compact({"type": event_type, "severity": word}),
        severity=Severity(word) if word in set(Severity) else None,
    )


def _reading(payload: JSON) -> Reading:
    pointers: Any = payload.get("pointers")
    return Reading(payload.get("event"), pointers if isinstance(pointers, dict) else {})
