"""The shapes of GitHub's payloads: one small function each, saying what it knows.

Pointers are those of https://docs.github.com/en/webhooks/webhook-events-and-payloads. A part that is
missing or of another type is ``None``: a thin payload gives a thin signal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from providers.canonical import JSON, Severity
from providers.document import Document

ID_LENGTH = 200


@dataclass(slots=True)
class Parts:
    """What a shape knows; ``signal`` keeps what the signal type may carry."""

    resource: JSON = field(default_factory=dict)
    keys: JSON = field(default_factory=dict)
    fields: JSON = field(default_factory=dict)
    actor: str | None = None
    severity: Severity | None = None


def _push(document: Document) -> Parts:
    ref = document.text("/ref") or ""
    name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    message = document.text("/head_commit/message") or ""
    deleted = document.boolean("/deleted") or document.text("/after") == "0" * 40
    commits = document.at("/commits")
    return Parts(
        resource={
            "branch": name if ref.startswith("refs/heads/") else None,
            "commit": None if deleted else document.text("/after", "/head_commit/id"),
        },
        fields={
            "title": message.split("\n", 1)[0].strip(),
            "name": name,
            "url": document.text("/compare"),
            "forced": document.boolean("/forced"),
            "before": document.text("/before"),
            "commit_count": len(commits) if isinstance(commits, list) else None,
        },
        actor=document.text("/sender/login", "/pusher/name", limit=ID_LENGTH),
    )


def _item(document: Document, root: str) -> JSON:
    """The fields issues and pull requests share."""
    return {
        "title": document.text(f"{root}/title"),
        "body": document.text(f"{root}/body"),
        "state": (document.text(f"{root}/state") or "").lower(),
        "url": document.text(f"{root}/html_url"),
        "author": document.text(f"{root}/user/login"),
        "assignees": document.texts(f"{root}/assignees", "/login"),
        "labels": document.texts(f"{root}/labels", "/name"),
        "milestone": document.text(f"{root}/milestone/title"),
        "label": document.text("/label/name"),
        "changed_fields": _changed(document),
    }


def _changed(document: Document) -> list[str]:
    changes = document.at("/changes")
    return sorted(changes) if isinstance(changes, dict) else []


def _item_keys(document: Document, number: int | None, *, pull_request: bool) -> JSON:
    repository = document.text("/repository/full_name")
    key = f"{repository}#{number}" if repository and number is not None else None
    return {"pr_number": number} if pull_request else {"issue_number": number, "issue_key": key}


def _pull_request(document: Document) -> Parts:
    # Items of the polled issue list lie under /issue and know neither branch nor commit.
    root = "/issue" if document.at("/pull_request") is None else "/pull_request"
    action = document.text("/action")
    number = document.integer(f"{root}/number", "/number")
    commit = document.text("/after" if action == "synchronize" else "", f"{root}/head/sha")
    merged_by = None
    if action == "closed" and document.time(f"{root}/merged_at"):
        commit = document.text(f"{root}/merge_commit_sha") or commit
        merged_by = document.text(f"{root}/merged_by/login", limit=ID_LENGTH)
    assignee = document.text("/assignee/login")
    return Parts(
        resource={"branch": document.text(f"{root}/head/ref"), "commit": commit, "pr_id": number},
        keys=_item_keys(document, number, pull_request=True),
        fields={
            **_item(document, root),
            "draft": document.boolean(f"{root}/draft"),
            "from_fork": _from_fork(document, root),
            "base_branch": document.text(f"{root}/base/ref"),
            "before": document.text("/before"),
            "merged_by": merged_by,
            "assignee": assignee,
            "previous_assignee": assignee,
            "reviewer": document.text("/requested_reviewer/login"),
            "reviewer_team": document.text("/requested_team/slug", "/requested_team/name"),
        },
        actor=merged_by,
    )


def _from_fork(document: Document, root: str) -> bool | None:
    base, head = document.integer(f"{root}/base/repo/id"), document.integer(f"{root}/head/repo/id")
    if base is None:
        return None
    if head is None:
        # A deleted fork leaves a null behind; a payload that never had the part says nothing.
        part = document.at(f"{root}/head")
        return True if isinstance(part, dict) and "repo" in part and part["repo"] is None else None
    return head != base


def _review(document: Document) -> Parts:
    parts = _pull_request(document)
    commit = document.text("/review/commit_id")
    if commit:
        parts.resource["commit"] = commit
    review = {
        "body": document.text("/review/body"),
        "url": document.text("/review/html_url"),
        "review_state": (document.text("/review/state") or "").lower(),
        "reviewer": document.text("/review/user/login"),
    }
    parts.fields.update({**review, "url": review["url"] or parts.fields["url"]})
    parts.keys["review_id"] = document.integer("/review/id")
    return parts


def _review_comment(document: Document) -> Parts:
    parts = _pull_request(document)
    parts.resource["commit"] = document.text("/comment/commit_id") or parts.resource["commit"]
    parts.resource["file_path"] = document.text("/comment/path")
    parts.fields.update(_comment(document), title=document.text("/pull_request/title"))
    parts.fields["thread_id"] = document.text("/comment/in_reply_to_id", "/comment/id")
    parts.keys["comment_id"] = parts.fields["comment_id"]
    return parts


def _review_thread(document: Document) -> Parts:
    parts = _pull_request(document)
    parts.resource["file_path"] = document.text("/thread/comments/0/path")
    parts.fields["thread_id"] = document.text("/thread/node_id")
    parts.fields["file_path"] = parts.resource["file_path"]
    parts.fields["url"] = document.text("/thread/comments/0/html_url", "/pull_request/html_url")
    return parts


def _comment(document: Document) -> JSON:
    return {
        "title": document.text("/issue/title"),
        "body": document.text("/comment/body"),
        "url": document.text("/comment/html_url"),
        "author": document.text("/comment/user/login"),
        "comment_id": document.text("/comment/id"),
        "file_path": document.text("/comment/path"),
    }


def _issue_comment(document: Document) -> Parts:
    number = document.integer("/issue/number")
    on_pull_request, fields = document.at("/issue/pull_request") is not None, _comment(document)
    keys = _item_keys(document, number, pull_request=on_pull_request)
    return Parts(
        resource={"pr_id": number} if on_pull_request else {},
        keys={**keys, "comment_id": fields["comment_id"]},
        fields=fields,
    )


def _commit_comment(document: Document) -> Parts:
    fields = _comment(document)
    return Parts(
        resource={"commit": document.text("/comment/commit_id"), "file_path": fields["file_path"]},
        keys={"comment_id": fields["comment_id"]},
        fields=fields,
    )


def _issue(document: Document) -> Parts:
    action = document.text("/action")
    number = document.integer("/issue/number")
    fields = _item(document, "/issue")
    # "assignee" is the person of this happening; as an attribute of the issue it is gone since 2026-03-10.
    assignee = document.text("/assignee/login")
    fields |= {
        "state_category": {"open": "new", "closed": "done"}.get(fields["state"]),
        "state_reason": document.text("/issue/state_reason"),
        "issue_type": document.text("/issue/type/name", "/type/name"),
        "assignee": None if action == "unassigned" else assignee,
        "previous_assignee": assignee if action == "unassigned" else None,
        "transferred_to": document.text("/changes/new_issue/html_url"),
        "parent": document.text("/issue/parent_issue_url"),
    }
    return Parts(keys=_item_keys(document, number, pull_request=False), fields=fields)


def _run(root: str, branch: str) -> Callable[[Document], Parts]:
    """Runs of workflows, jobs and checks are alike; only the place of the branch differs."""

    def shape(document: Document) -> Parts:
        number = document.integer(f"{root}/pull_requests/0/number")
        run_id = document.text(f"{root}/run_id", f"{root}/id")
        return Parts(
            resource={
                "branch": document.text(f"{root}{branch}"),
                "commit": document.text(f"{root}/head_sha"),
                "pr_id": number,
            },
            keys={"pr_number": number, "run_id": run_id, "job_id": _job_id(document, root)},
            fields={
                "title": document.text(f"{root}/display_title", f"{root}/output/title", f"{root}/name"),
                "name": document.text(f"{root}/name"),
                "state": (document.text(f"{root}/status") or "").lower(),
                "conclusion": document.text(f"{root}/conclusion"),
                "url": document.text(f"{root}/html_url"),
                "run_id": run_id,
                "run_attempt": document.integer(f"{root}/run_attempt"),
                "run_number": document.integer(f"{root}/run_number"),
                "pipeline": document.text(f"{root}/workflow_name", "/workflow/name", f"{root}/app/name"),
                "description": document.text(f"{root}/output/summary"),
            },
        )

    return shape


def _job_id(document: Document, root: str) -> str | None:
    return document.text(f"{root}/id") if root == "/workflow_job" else None


def _status(document: Document) -> Parts:
    state = (document.text("/state") or "").lower()
    return Parts(
        resource={"branch": document.text("/branches/0/name"), "commit": document.text("/sha")},
        keys={"run_id": document.text("/id")},
        fields={
            "title": document.text("/context"),
            "name": document.text("/context"),
            "state": state,
            "conclusion": None if state == "pending" else state,
            "description": document.text("/description"),
            "url": document.text("/target_url"),
            "run_id": document.text("/id"),
        },
    )


def _deployment_status(document: Document) -> Parts:
    ref, commit = document.text("/deployment/ref"), document.text("/deployment/sha")
    environment = document.text("/deployment_status/environment", "/deployment/environment")
    deployment_id = document.text("/deployment/id")
    return Parts(
        resource={
            "branch": None if ref == commit else ref,  # may also be a commit
            "commit": commit,
            "environment": environment,
            "deployment_id": deployment_id,
        },
        keys={"deployment_id": deployment_id},
        fields={
            "environment": environment,
            "state": (document.text("/deployment_status/state") or "").lower(),
            "url": document.text("/deployment_status/target_url", "/deployment_status/environment_url"),
            "log_url": document.text("/deployment_status/log_url"),
            "description": document.text("/deployment_status/description", "/deployment/description"),
        },
    )


def _release(document: Document) -> Parts:
    tag = document.text("/release/tag_name")
    return Parts(
        resource={"branch": document.text("/release/target_commitish")},
        keys={"release_id": document.text("/release/id")},
        fields={
            "title": document.text("/release/name", "/release/tag_name"),
            "name": document.text("/release/name"),
            "tag": tag,
            "prerelease": document.boolean("/release/prerelease"),
            "url": document.text("/release/html_url"),
            "author": document.text("/release/author/login"),
            "body": document.text("/release/body"),
        },
    )


def _repository(document: Document) -> Parts:
    now, then = document.text("/repository/owner/login"), document.text("/changes/repository/name/from")
    owner = document.text("/changes/owner/from/user/login", "/changes/owner/from/organization/login")
    before = (owner or now, then or document.text("/repository/name"))
    return Parts(
        fields={
            "name": document.text("/repository/full_name"),
            "previous_name": "/".join(part for part in before if part) if owner or then else None,
            "description": document.text("/repository/description"),
            "url": document.text("/repository/html_url"),
            "changed_fields": _changed(document),
        }
    )


_SEVERITIES = {
    **dict.fromkeys(("low", "note"), Severity.INFO),
    **dict.fromkeys(("medium", "moderate", "warning"), Severity.WARNING),
    **dict.fromkeys(("high", "error"), Severity.ERROR),
    "critical": Severity.CRITICAL,
}


def _alert(kind: str, title: str, rule: str, severity: tuple[str, ...], path: str) -> Callable[[Document], Parts]:
    def shape(document: Document) -> Parts:
        # Only code scanning names these, and sometimes at the last place it looked alone.
        ref = document.text("/ref", "/alert/most_recent_instance/ref") or ""
        word = (document.text(*severity) or "").lower() if document.text("/alert/state") == "open" else ""
        file_path = document.text(path)
        return Parts(
            resource={
                "branch": ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None,
                "commit": document.text("/commit_oid", "/alert/most_recent_instance/commit_sha"),
                "file_path": file_path,
            },
            keys={"alert_number": document.integer("/alert/number")},
            fields={
                "title": document.text(title),
                "state": (document.text("/alert/state") or "").lower(),
                "state_reason": document.text("/alert/dismissed_reason", "/alert/resolution"),
                "url": document.text("/alert/html_url"),
                "alert_kind": kind,
                "alert_rule": document.text(rule),
                "file_path": file_path,
            },
            severity=_SEVERITIES.get(word),
        )

    return shape


def _merge_group(document: Document) -> Parts:
    base, head = document.text("/merge_group/base_ref") or "", document.text("/merge_group/head_ref") or ""
    # refs/heads/gh-readonly-queue/<base>/pr-<number>-<base sha>
    number = head.rpartition("/pr-")[2].partition("-")[0] if "/pr-" in head else ""
    pr_number = int(number) if number.isascii() and number.isdigit() and len(number) < 12 else None
    branch = base.removeprefix("refs/heads/")
    return Parts(
        resource={"branch": branch or None, "commit": document.text("/merge_group/head_sha"), "pr_id": pr_number},
        keys={"pr_number": pr_number},
        fields={"base_branch": branch, "name": head.removeprefix("refs/heads/")},
    )


SHAPES: dict[str, Callable[[Document], Parts]] = {
    "push": _push,
    "pull_request": _pull_request,
    "pull_request_review": _review,
    "pull_request_review_comment": _review_comment,
    "pull_request_review_thread": _review_thread,
    "issues": _issue,
    "issue_comment": _issue_comment,
    "commit_comment": _commit_comment,
    "workflow_run": _run("/workflow_run", "/head_branch"),
    "workflow_job": _run("/workflow_job", "/head_branch"),
    "check_run": _run("/check_run", "/check_suite/head_branch"),
    "status": _status,
    "deployment_status": _deployment_status,
    "release": _release,
    "repository": _repository,
    "dependabot_alert": _alert(
        "dependency",
        "/alert/security_advisory/summary",
        "/alert/security_advisory/ghsa_id",
        ("/alert/security_advisory/severity",),
        "/alert/dependency/manifest_path",
    ),
    "code_scanning_alert": _alert(
        "code",
        "/alert/rule/description",
        "/alert/rule/id",
        ("/alert/rule/security_severity_level", "/alert/rule/severity"),
        "/alert/most_recent_instance/location/path",
    ),
    "secret_scanning_alert": _alert(
        "secret", "/alert/secret_type_display_name", "/alert/secret_type", (), "/alert/first_location_detected/path"
    ),
    "merge_group": _merge_group,
}
