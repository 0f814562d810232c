"""From this provider's words to the canonical vocabulary: a table, and one small function a shape.

Reads with ``Document``, so that a part that is missing or of the wrong type is ``None``: a thin payload
gives a thin signal, never an exception.
"""

from __future__ import annotations

from typing import Any

from providers.canonical import JSON, Resource, Signal, SignalType
from providers.document import Document, compact

# The provider's event type: what it becomes. A type that is not here is stored as ignored, not lost.
EVENT_TYPES = {
    "issue.created": SignalType.ISSUE_CREATED,
    "issue.updated": SignalType.ISSUE_UPDATED,
    "issue.closed": SignalType.ISSUE_CLOSED,
    "issue.commented": SignalType.ISSUE_COMMENTED,
    "deploy.failed": SignalType.DEPLOYMENT_FAILED,
}

_STATE_CATEGORIES = {"open": "new", "working": "in_progress", "closed": "done"}


def happening(kind: str, key: str, event_type: str, version: str) -> str:
    """The name of one happening, built alike by both roads, so that it becomes one signal.

    Only what changes the issue itself is seen by both; a comment is told by the webhook alone.
    """
    what = event_type.removeprefix(f"{kind}.")
    if not (key and version and what in ("created", "updated", "closed")):
        return ""
    return f"{kind}:{key}:{what}:{version}"


def signal(signal_type: SignalType, payload: JSON) -> Signal:
    """One stored payload as a signal. Both roads store the same shape, so one function serves both."""
    event = Document(payload)
    if signal_type is SignalType.DEPLOYMENT_FAILED:
        resource, keys, fields = _deployment(event)
    elif signal_type is SignalType.ISSUE_COMMENTED:
        resource, keys, fields = Resource(), _issue_keys(event), _comment(event)
    else:
        resource, keys, fields = Resource(), _issue_keys(event), _issue(event)
    return Signal(
        signal_type=signal_type,
        occurred_at=event.time("/at"),
        actor_id=event.text("/actor"),
        resource=resource,
        canonical_keys=compact(keys),
        # Each signal type lists the fields it may carry; a shape may know more than one type wants.
        fields={name: value for name, value in compact(fields).items() if name in signal_type.fields},
    )


def _issue_keys(event: Document) -> dict[str, Any]:
    key = event.text("/issue/key")
    return {"issue_key": key, "project_key": key.rpartition("-")[0] if key else None}


def _issue(event: Document) -> dict[str, Any]:
    state = (event.text("/issue/state") or "").lower()
    return {
        "title": event.text("/issue/title"),
        "body": event.text("/issue/description"),
        "state": state,
        "state_category": _STATE_CATEGORIES.get(state),
        "state_reason": event.text("/issue/resolution"),
        "url": event.text("/issue/url"),
        "author": event.text("/issue/author"),
        "assignee": event.text("/issue/assignee"),
        "labels": event.texts("/issue/labels"),
        "changed_fields": event.texts("/changed"),
    }


def _comment(event: Document) -> dict[str, Any]:
    return {
        "title": event.text("/issue/title"),
        "body": event.text("/comment/text"),
        "url": event.text("/comment/url", "/issue/url"),
        "author": event.text("/comment/author"),
        "comment_id": event.text("/comment/id"),
    }


def _deployment(event: Document) -> tuple[Resource, dict[str, Any], dict[str, Any]]:
    environment = event.text("/deployment/environment")
    deployment_id = event.text("/deployment/id")
    resource = Resource(
        service_name=event.text("/deployment/service"), environment=environment, deployment_id=deployment_id
    )
    fields = {
        "environment": environment,
        "state": "failed",
        "url": event.text("/deployment/url"),
        "log_url": event.text("/deployment/log_url"),
        "description": event.text("/deployment/message"),
    }
    return resource, {"deployment_id": deployment_id}, fields
