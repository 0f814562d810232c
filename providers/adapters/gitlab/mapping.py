"""From GitLab's payloads to signals: when it happened, what it is about, and how a stored payload is read.

Pointers are those of https://docs.gitlab.com/user/project/integrations/webhook_events/. A part that is missing or of
another type is ``None``: a thin payload gives a thin signal.
"""

from __future__ import annotations

from datetime import datetime

from providers.adapters.gitlab import mapping_runs, mapping_shapes
from providers.adapters.gitlab.mapping_parts import ID_LENGTH, Parts, repository_id
from providers.canonical import JSON, Resource, Signal, SignalType
from providers.document import Document, compact, moment_of

_SHAPES = {**mapping_shapes.SHAPES, **mapping_runs.SHAPES}
_KEY_LENGTH = 200


def signal(signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    document = Document(payload)
    shape = _SHAPES.get(event_type.partition(".")[0])
    parts = shape(document, signal_type) if shape else Parts()
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(signal_type, event_type, document),
        actor_id=parts.actor or document.text("/user/username", limit=ID_LENGTH),
        resource=Resource(**{"repository": document.text("/project/path_with_namespace"), **parts.resource}),
        canonical_keys=compact({"repository_id": repository_id(document), **parts.keys}),
        fields={name: value for name, value in compact(parts.fields).items() if name in signal_type.fields},
        attributes=compact(parts.attributes),
        severity=parts.severity,
    )


def time(document: Document, *pointers: str) -> datetime | None:
    """The first usable time. Besides ISO 8601 GitLab writes ``2026-03-02 17:08:07 UTC``."""
    for pointer in pointers:
        value = document.at(pointer)
        if isinstance(value, str) and value.endswith(" UTC"):
            value = f"{value.removesuffix(' UTC')}+00:00"
        moment = moment_of(value)
        if moment:
            return moment
    return None


_CREATED, _UPDATED = "/object_attributes/created_at", "/object_attributes/updated_at"

# When it happened, by GitLab's clock. What is not here has no time of its own: the body of a push knows only its
# commits, that of a changed release the day of its publication. Some pointers are of polled bodies only.
_TIMES: dict[str, tuple[str, ...]] = {
    "merge_request": (_UPDATED,),
    "issue": (_UPDATED,),
    "work_item": (_UPDATED,),
    "note": (_UPDATED,),
    "emoji": (_UPDATED,),
    "pipeline": ("/object_attributes/finished_at", _UPDATED),
    "build": ("/build_finished_at_iso", "/build_finished_at"),
    "deployment": ("/status_changed_at",),
    "milestone": (_UPDATED,),
    "vulnerability": (_UPDATED,),
    "project_create": ("/created_at",),
    "user_add_to_group": ("/created_at",),
    "user_update_for_group": ("/updated_at",),
}
_TIMES_OF_TYPE: dict[SignalType, tuple[str, ...]] = {
    SignalType.PR_OPENED: (_CREATED,),
    SignalType.PR_MERGED: ("/object_attributes/merged_at", _UPDATED),
    SignalType.PR_CLOSED: ("/object_attributes/closed_at", _UPDATED),
    SignalType.ISSUE_CREATED: (_CREATED,),
    SignalType.ISSUE_CLOSED: ("/object_attributes/closed_at", _UPDATED),
    SignalType.PR_COMMENTED: (_CREATED,),
    SignalType.ISSUE_COMMENTED: (_CREATED,),
    SignalType.COMMIT_COMMENTED: (_CREATED,),
    SignalType.PIPELINE_STARTED: (_UPDATED, _CREATED),
    SignalType.RELEASE_PUBLISHED: ("/released_at", "/created_at"),
}


def occurred_at(signal_type: SignalType, event_type: str, document: Document) -> datetime | None:
    """The provider's time of the happening, or ``None`` where the payload does not tell it."""
    if signal_type is SignalType.PUSH:
        head = document.text("/after")
        return next(
            (time(commit, "/timestamp") for commit in document.items("/commits") if commit.text("/id") == head), None
        )
    return time(document, *_TIMES_OF_TYPE.get(signal_type, _TIMES.get(event_type.partition(".")[0], ())))


def ordering_key(event_type: str, document: Document) -> str:
    """The entity an event is about; empty where the body does not name it."""
    kind = event_type.partition(".")[0]
    if kind in ("note", "emoji"):
        kind = next((about for about in ("merge_request", "issue") if document.at(f"/{about}") is not None), kind)
        prefix, parts = _NOTED.get(kind, ("", ()))
    else:
        prefix, parts = _ENTITIES.get(kind, ("", ()))
    found = [document.text(pointer) for pointer in parts]
    if not found or not all(found):
        return ""
    key = ":".join([prefix, *(part for part in found if part)])
    return key if len(key) <= _KEY_LENGTH else ""


_REF = ("ref", ("/project_id", "/ref"))
_ISSUE = ("issue", ("/object_attributes/id",))
_MEMBER = ("member", ("/group_id", "/user_id"))
_ENTITIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "push": _REF,
    "tag_push": _REF,
    "merge_request": ("pr", ("/object_attributes/target_project_id", "/object_attributes/iid")),
    "issue": _ISSUE,
    "work_item": _ISSUE,
    "pipeline": ("pipeline", ("/object_attributes/id",)),
    "build": ("pipeline", ("/pipeline_id",)),
    "deployment": ("deployment", ("/deployment_id",)),
    # The list of releases knows no number of its project; the address of a release is told everywhere.
    "release": ("release", ("/url",)),
    "wiki_page": ("page", ("/project/id", "/object_attributes/slug")),
    "milestone": ("milestone", ("/object_attributes/id",)),
    "vulnerability": ("alert", ("/object_attributes/url",)),
    "project_create": ("repository", ("/project_id",)),
    "project_destroy": ("repository", ("/project_id",)),
    "user_add_to_group": _MEMBER,
    "user_update_for_group": _MEMBER,
    "user_remove_from_group": _MEMBER,
}
_NOTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "merge_request": ("pr", ("/merge_request/target_project_id", "/merge_request/iid")),
    "issue": ("issue", ("/issue/id",)),
}
