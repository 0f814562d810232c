"""The SignalEnvelope: the one shape in which happenings leave this service.

The schema is published as ``docs/schemas/signal-envelope-<version>.json`` and every envelope is validated
against it before it is sent. Keys are those of the ingestion service; ours stand beside its own inside
``payload``.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jsonschema_rs
from django.conf import settings

from events.models import AdapterEvent
from providers.canonical import FIELDS, Severity, Signal
from providers.document import compact

SCHEMA_VERSION = "1.0.0"
SIGNAL_NAMESPACE = uuid.UUID("5f0b8a52-2b0f-5b0c-9a57-6f6f3d0f7f7e")

_TIME = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 500}


def signal_id(connection_id: uuid.UUID, dedupe_key: str) -> uuid.UUID:
    """The signal's id (UUID 5, RFC 9562): a redelivery of the same event is the same signal."""
    return uuid.uuid5(SIGNAL_NAMESPACE, f"{connection_id}:{dedupe_key}")


def seal(event: AdapterEvent, signal: Signal, *, api_version: str) -> dict[str, Any]:
    """The envelope of a mapped event. Tenant, connection, ids and times come from the row, never the adapter."""
    occurred_at = signal.occurred_at or event.occurred_at or event.received_at
    payload: dict[str, Any] = {
        "provider_metadata": {
            "provider_id": event.provider_id,
            "connection_id": str(event.connection_id),
            "provider_event_type": event.provider_event_type,
            "api_version": api_version,
            "source": event.source,
        },
        "canonical_keys": compact(dict(signal.canonical_keys)),
        "event_name": str(signal.signal_type),
        "severity": str(signal.severity or signal.signal_type.severity),
        "tags": {},
        "attributes": compact(dict(signal.attributes)),
        **compact({name: signal.fields.get(name) for name in signal.signal_type.fields}),
    }
    resource = {name: getattr(signal.resource, name) for name in signal.resource.__dataclass_fields__}
    envelope = {
        "signal_id": str(event.signal_id or signal_id(event.connection_id, event.dedupe_key)),
        "tenant_id": event.tenant_id,
        "environment": settings.ENVIRONMENT,
        "producer_id": str(event.connection_id),
        "signal_kind": "event",
        "signal_type": str(signal.signal_type),
        "occurred_at": _iso(occurred_at),
        "ingested_at": _iso(event.received_at),
        "actor_id": signal.actor_id,
        "correlation_id": event.correlation_id,
        "resource": compact(resource) or None,
        "payload": payload,
        "schema_version": SCHEMA_VERSION,
    }
    return compact(envelope)


def problems(envelope: Any) -> list[str]:
    """What the schema has against an envelope, one line a fault; empty if it is valid."""
    return [
        f"/{'/'.join(str(step) for step in error.instance_path)}: {error.message}"[:300]
        for error in _validator().iter_errors(envelope)
    ]


def envelope_schema() -> dict[str, Any]:
    """The published JSON Schema (2020-12)."""
    fields = {
        name: {"type": kind, "description": meaning, **({"items": {"type": "string"}} if kind == "array" else {})}
        for name, (kind, meaning) in FIELDS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:integration-adapters:signal-envelope:{SCHEMA_VERSION}",
        "title": "SignalEnvelope",
        "description": "One happening at an outside tool, in canonical words.",
        "type": "object",
        "required": [
            *("signal_id", "tenant_id", "environment", "producer_id", "signal_kind", "signal_type"),
            *("occurred_at", "ingested_at", "payload", "schema_version"),
        ],
        "additionalProperties": False,
        "properties": {
            "signal_id": {"type": "string", "format": "uuid"},
            "tenant_id": {"type": "string", "minLength": 1, "maxLength": 100},
            "environment": {"enum": ["dev", "stage", "prod"]},
            "producer_id": {"type": "string", "format": "uuid", "description": "The connection."},
            "signal_kind": {"enum": ["event", "metric", "log", "trace"]},
            "signal_type": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]{0,59}$",
                "description": "What happened; docs/signals.md lists the canonical types.",
            },
            "occurred_at": {**_TIME, "description": "The provider's clock."},
            "ingested_at": {**_TIME, "description": "When this service received it."},
            "actor_id": {**_TEXT, "description": "Who did it, in the provider's ids."},
            "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "span_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "correlation_id": {**_TEXT, "description": "The provider's id of the event."},
            "sequence_no": {"type": "integer"},
            "schema_version": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
            "resource": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    **{
                        name: {"type": "string"}
                        for name in (
                            *("service_name", "repository", "branch", "commit", "module", "plane"),
                            *("file_path", "environment", "deployment_id"),
                        )
                    },
                    "pr_id": {"type": "integer"},
                },
            },
            "payload": {
                "type": "object",
                "required": ["provider_metadata", "canonical_keys", "event_name", "severity"],
                "additionalProperties": False,
                "properties": {
                    "provider_metadata": {
                        "type": "object",
                        "required": ["provider_id", "connection_id", "provider_event_type", "source"],
                        "additionalProperties": {"type": "string"},
                    },
                    "canonical_keys": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
                    "event_name": {"type": "string", "minLength": 1},
                    "severity": {"enum": [str(s) for s in Severity]},
                    "tags": {"type": "object", "additionalProperties": {"type": "string"}},
                    "attributes": {"type": "object"},
                    **fields,
                },
            },
        },
    }


@cache
def _validator() -> Any:
    return jsonschema_rs.validator_for(envelope_schema(), validate_formats=True)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
