"""Which entity an event is about: those of one entity are handed on in the order they came.

Built from names rather than ids, because the lists that are polled do not tell the id of the repository.
Pull requests and issues of a repository share their numbers, and a comment on either names only the number.
"""

from __future__ import annotations

from providers.document import Document

_MAX_KEY = 200

_NUMBER_OF_ITEM = ("/pull_request/number", "/issue/number", "/number")
# What a key is made of beside the repository: its first word, and where the rest is found.
_ITEM = ("item", _NUMBER_OF_ITEM)
_ENTITIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "push": ("ref", ("/ref",)),
    **dict.fromkeys(("pull_request", "pull_request_review", "pull_request_review_comment"), _ITEM),
    **dict.fromkeys(("pull_request_review_thread", "issues", "issue_comment"), _ITEM),
    "workflow_run": ("run", ("/workflow_run/id",)),
    "workflow_job": ("run", ("/workflow_job/run_id",)),
    "check_run": ("check", ("/check_run/id",)),
    "deployment_status": ("deployment", ("/deployment/id",)),
    "release": ("release", ("/release/id",)),
    "dependabot_alert": ("dependency_alert", ("/alert/number",)),
    "code_scanning_alert": ("code_alert", ("/alert/number",)),
    "secret_scanning_alert": ("secret_alert", ("/alert/number",)),
}


def ordering_key(event_type: str, document: Document) -> str:
    """The entity, or nothing where the body names none."""
    event = event_type.partition(".")[0]
    repository = (document.text("/repository/full_name") or "").lower()
    if event == "repository":
        # Its name may be what changes.
        key = f"repository:{document.text('/repository/id') or ''}"
        return key if len(key) <= _MAX_KEY and not key.endswith(":") else ""
    if event == "status":
        commit, context = document.text("/sha"), document.text("/context")
        key = f"status:{repository}:{commit}:{context}" if commit and context else ""
    else:
        kind, pointers = _ENTITIES.get(event, ("", ()))
        own = document.text(*pointers)
        key = f"{kind}:{repository}:{own}" if own else ""
    return key if repository and len(key) <= _MAX_KEY else ""
