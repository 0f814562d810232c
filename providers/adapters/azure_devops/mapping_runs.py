"""Builds, pipeline runs, classic releases, deployments and approvals.

Pointers are those of https://learn.microsoft.com/azure/devops/service-hooks/events; a build tells its outcome in
another place at resource version 1.0 than at 2.0.
"""

from __future__ import annotations

import re

from providers.adapters.azure_devops.mapping_code import surroundings
from providers.adapters.azure_devops.parts import Parts
from providers.adapters.azure_devops.places import (
    ID_LENGTH,
    NAME_LENGTH,
    branch,
    full_name,
    page,
    person,
    project_id,
)
from providers.canonical import SignalType
from providers.document import Document

_OLD_SOURCE = re.compile(r"LG:(refs/[^:]{1,400}):([0-9a-fA-F]{40,64})")
_PULL = re.compile(r"refs/pull/([0-9]{1,12})/merge", re.ASCII)
_APPROVED = {"approved": "approved", "rejected": "changes_requested"}


def outcome(document: Document) -> str:
    """The build's outcome in the vendor's word, lower case: ``result`` at version 2.0, ``status`` at 1.0."""
    return (document.text("/resource/result", "/resource/status", limit=NAME_LENGTH) or "").lower()


def build(document: Document, _: SignalType) -> Parts:
    old = _OLD_SOURCE.fullmatch(document.text("/resource/sourceGetVersion") or "")
    ref = document.text("/resource/sourceBranch") or (old[1] if old else "")
    pull = _PULL.fullmatch(ref)
    number = int(pull[1]) if pull else None
    run_id = document.text("/resource/id", limit=ID_LENGTH)
    name = document.text("/resource/buildNumber", limit=NAME_LENGTH)
    pipeline = document.text("/resource/definition/name", limit=NAME_LENGTH)
    return Parts(
        resource={
            "repository": _built_repository(document),
            "branch": branch(ref),
            "commit": document.text("/resource/sourceVersion", limit=NAME_LENGTH) or (old[2] if old else None),
            "pr_id": number,
        },
        keys={
            "repository_id": document.text("/resource/repository/id", limit=NAME_LENGTH),
            "project_id": project_id(document),
            "run_id": run_id,
            "pr_number": number,
        },
        fields={
            "title": " ".join(part for part in (pipeline, name) if part),
            "name": name,
            "state": "completed",
            "conclusion": outcome(document),
            "url": page(document, "/resource/_links/web/href"),
            "run_id": run_id,
            "pipeline": pipeline,
        },
        attributes={
            **surroundings(document),
            "partial": outcome(document) == "partiallysucceeded" or None,
            "reason": document.text("/resource/reason", limit=NAME_LENGTH),
        },
        actor=person(document, "/resource/requestedFor", "/resource/requests/0/requestedFor"),
    )


def _built_repository(document: Document) -> str | None:
    # Pipelines also build repositories of other hosts, whose names are not this organisation's.
    kind = document.text("/resource/repository/type", limit=ID_LENGTH)
    name = document.text("/resource/repository/name", limit=NAME_LENGTH)
    return full_name(document, name) if kind in (None, "TfsGit") else None


def run(document: Document, _: SignalType) -> Parts:
    source, run_id = "/resource/run/resources/repositories/self", document.text("/resource/run/id", limit=ID_LENGTH)
    ref, pipeline = document.text(f"{source}/refName"), document.text("/resource/pipeline/name", limit=NAME_LENGTH)
    name = document.text("/resource/run/name", limit=NAME_LENGTH)
    pull = _PULL.fullmatch(ref or "")
    number = int(pull[1]) if pull else None
    return Parts(
        resource={
            "branch": branch(ref),
            "commit": document.text(f"{source}/version", limit=NAME_LENGTH),
            "pr_id": number,
        },
        keys={
            "repository_id": document.text(f"{source}/repository/id", limit=NAME_LENGTH),
            "project_id": project_id(document),
            "run_id": run_id,
            "pr_number": number,
        },
        fields={
            "title": " ".join(part for part in (pipeline, name) if part),
            "name": name,
            "state": (document.text("/resource/run/state", limit=NAME_LENGTH) or "").lower(),
            "url": page(document, "/resource/run/_links/web/href"),
            "run_id": run_id,
            "pipeline": pipeline,
        },
        attributes=surroundings(document),
        actor=person(document, "/resource/run/requestedFor", "/resource/requestedFor", "/resource/requestedBy"),
    )


def job_result(document: Document) -> str:
    """How a job ended, in the vendor's word, lower case; empty while it waits or runs."""
    return (document.text("/resource/job/result", limit=NAME_LENGTH) or "").lower()


def job(document: Document, signal_type: SignalType) -> Parts:
    """A job of a run."""
    parts, name = run(document, signal_type), document.text("/resource/job/name", limit=NAME_LENGTH)
    parts.keys["job_id"] = document.text("/resource/job/id", limit=ID_LENGTH)
    parts.fields |= {
        "title": name,
        "name": name,
        "state": (document.text("/resource/job/state", limit=NAME_LENGTH) or "").lower(),
        "conclusion": job_result(document),
        "url": page(document, "/resource/job/_links/web/href", "/resource/run/_links/web/href"),
    }
    parts.attributes["stage"] = document.text("/resource/stage/name", limit=NAME_LENGTH)
    return parts


def deployment(document: Document, _: SignalType) -> Parts:
    environment = document.text("/resource/environment/name", limit=NAME_LENGTH)
    state = document.text("/resource/environment/status", limit=NAME_LENGTH) or ""
    release = ("/resource/environment/release", "/resource/release")
    return Parts(
        resource={"environment": environment},
        keys={
            "environment_id": document.text("/resource/environment/id", limit=ID_LENGTH),
            "release_id": document.text(*(f"{root}/id" for root in release), limit=ID_LENGTH),
            "project_id": project_id(document),
        },
        fields={
            "environment": environment,
            "state": state.lower(),
            "url": page(document, *(f"{root}/_links/web/href" for root in release)),
            "description": document.text(*(f"{root}/name" for root in release), limit=NAME_LENGTH),
        },
        attributes={**surroundings(document), "partial": state.lower() == "partiallysucceeded" or None},
        actor=person(document, "/resource/deployment/requestedFor", "/resource/deployment/requestedBy"),
    )


def release(document: Document, _: SignalType) -> Parts:
    name, author = document.text("/resource/release/name"), person(document, "/resource/release/createdBy")
    return Parts(
        keys={
            "release_id": document.text("/resource/release/id", limit=ID_LENGTH),
            "project_id": project_id(document),
        },
        fields={
            "title": name,
            "name": name,
            "url": page(document, "/resource/release/_links/web/href"),
            "author": author,
            "body": document.text("/resource/release/description"),
        },
        attributes={
            **surroundings(document),
            "pipeline": document.text("/resource/release/releaseDefinition/name", limit=NAME_LENGTH),
        },
        actor=author,
    )


def approval(document: Document, signal_type: SignalType) -> Parts:
    """An approval of a classic release, or of a stage of a pipeline run."""
    stage = document.text("/resource/approval/releaseEnvironment/name", "/resource/stageName", "/resource/stage/name")
    on_environment = document.text("/resource/resource/type", limit=ID_LENGTH) == "environment"
    environment = document.text("/resource/approval/releaseEnvironment/name", limit=NAME_LENGTH)
    environment = environment or (document.text("/resource/resource/name") if on_environment else None)
    status = (document.text("/resource/approval/status", limit=NAME_LENGTH) or "").lower()
    reviewer = person(document, "/resource/approval/approvedBy", "/resource/approval/approver")
    completed = signal_type is SignalType.DEPLOYMENT_APPROVAL_COMPLETED
    return Parts(
        resource={"environment": environment},
        keys={
            "approval_id": document.text("/resource/approval/id", limit=ID_LENGTH),
            "release_id": document.text("/resource/release/id", limit=ID_LENGTH),
            "run_id": document.text("/resource/run/id", limit=ID_LENGTH),
            "project_id": project_id(document),
        },
        fields={
            "environment": environment,
            "state": status,
            "url": page(document, "/resource/release/_links/web/href", "/resource/run/_links/web/href"),
            "description": document.text("/resource/release/name", "/resource/run/name", limit=NAME_LENGTH),
            "stage": stage,
            "pipeline": document.text(
                "/resource/pipeline/name", "/resource/release/releaseDefinition/name", limit=NAME_LENGTH
            ),
            "reviewer": reviewer,
            "review_state": _APPROVED.get(status) if completed else None,
        },
        attributes=surroundings(document),
        actor=reviewer if completed else None,
    )
