"""Shapes of what GitLab runs and publishes: pipelines, jobs, deployments, releases, and what its scanners find.

Source: https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

from __future__ import annotations

import re

from providers.adapters.gitlab.mapping_parts import ATTRIBUTES, Parts, Shape, first_line, lower, page
from providers.canonical import Severity, SignalType
from providers.document import Document

_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})", re.ASCII)
_ENDS = frozenset({"success", "failed", "canceled", "skipped"})


def _pipeline(document: Document, _: SignalType) -> Parts:
    root = ATTRIBUTES
    number, state = document.integer("/merge_request/iid"), lower(document, f"{root}/status")
    run_id = document.text(f"{root}/id")
    return Parts(
        resource={
            "branch": None if document.boolean(f"{root}/tag") else document.text(f"{root}/ref"),
            "commit": document.text(f"{root}/sha"),
            "pr_id": number,
        },
        keys={"pr_number": number, "run_id": run_id},
        fields={
            "title": first_line(document, "/commit/title", "/merge_request/title", "/commit/message"),
            "name": document.text(f"{root}/name"),
            "state": state,
            "conclusion": state if state in _ENDS else None,
            # Before 16.0 the body had no address of its own.
            "url": document.text(f"{root}/url") or page(document, "pipelines", run_id),
            "run_id": run_id,
            "run_number": document.integer(f"{root}/iid"),
            "pipeline": document.text(f"{root}/name"),
        },
        attributes={
            "source": document.text(f"{root}/source"),
            "detailed_status": document.text(f"{root}/detailed_status"),
            "duration_seconds": document.integer(f"{root}/duration"),
        },
    )


def _job(document: Document, _: SignalType) -> Parts:
    # ``/commit/id`` is the number of the pipeline here, not a commit.
    job_id, run_id, state = document.text("/build_id"), document.text("/pipeline_id"), lower(document, "/build_status")
    return Parts(
        resource={
            "branch": None if document.boolean("/tag") else document.text("/ref"),
            "commit": document.text("/sha"),
            "environment": document.text("/environment/name"),
        },
        keys={"job_id": job_id, "run_id": run_id},
        fields={
            "title": document.text("/build_name"),
            "name": document.text("/build_name"),
            "state": state,
            "conclusion": state,
            "url": page(document, "jobs", job_id),
            "run_id": run_id,
            "pipeline": document.text("/commit/name"),
        },
        attributes={
            "stage": document.text("/build_stage"),
            "allow_failure": document.boolean("/build_allow_failure"),
            "failure_reason": document.text("/build_failure_reason") if state == "failed" else None,
        },
    )


def _deployment(document: Document, _: SignalType) -> Parts:
    environment, deployment_id = document.text("/environment"), document.text("/deployment_id")
    return Parts(
        resource={
            "branch": document.text("/ref"),
            # A webhook has the commit in short; the address of the commit holds all of it.
            "commit": document.text("/sha") or _commit_in(document.text("/commit_url")),
            "environment": environment,
            "deployment_id": deployment_id,
        },
        keys={"deployment_id": deployment_id},
        fields={
            "environment": environment,
            "state": lower(document, "/status"),
            "url": document.text("/deployable_url"),
            "description": document.text("/commit_title"),
        },
        attributes={"environment_tier": document.text("/environment_tier")},
    )


def _commit_in(url: str | None) -> str | None:
    tail = (url or "").rpartition("/")[2]
    return tail if _COMMIT.fullmatch(tail) else None


def _release(document: Document, _: SignalType) -> Parts:
    return Parts(
        resource={"commit": document.text("/commit/id")},
        keys={"release_id": document.text("/id")},
        fields={
            "title": document.text("/name", "/tag"),
            "name": document.text("/name"),
            "tag": document.text("/tag"),
            "url": document.text("/url"),
            "body": document.text("/description"),
        },
    )


_SEVERITIES = {
    **dict.fromkeys(("info", "low"), Severity.INFO),
    "medium": Severity.WARNING,
    "high": Severity.ERROR,
    "critical": Severity.CRITICAL,
}
# Everything else a scanner reports is about code, or the running code.
_ALERT_KINDS = {
    "secret_detection": "secret",
    **dict.fromkeys(("dependency_scanning", "container_scanning"), "dependency"),
}


def _vulnerability(document: Document, signal_type: SignalType) -> Parts:
    root = ATTRIBUTES
    url, path = document.text(f"{root}/url"), document.text(f"{root}/location/file")
    number = (url or "").rpartition("/")[2]
    report = document.text(f"{root}/report_type")
    still_open = signal_type is SignalType.SECURITY_ALERT_OPENED
    return Parts(
        resource={"file_path": path},
        keys={"alert_number": int(number) if number.isascii() and number.isdigit() and len(number) < 16 else None},
        fields={
            "title": document.text(f"{root}/title"),
            "state": lower(document, f"{root}/state"),
            "url": url,
            "alert_kind": _ALERT_KINDS.get(report, "code") if report else None,
            "alert_rule": document.text(f"{root}/identifiers/0/name"),
            "file_path": path,
        },
        attributes={"report_type": report},
        severity=_SEVERITIES.get(lower(document, f"{root}/severity")) if still_open else None,
    )


SHAPES: dict[str, Shape] = {
    "pipeline": _pipeline,
    "build": _job,
    "deployment": _deployment,
    "release": _release,
    "vulnerability": _vulnerability,
}
