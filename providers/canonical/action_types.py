"""What can be asked of a provider, in words that no provider owns.

The names of targets are those signals use in ``resource`` and ``canonical_keys``, so that what came in can be answered
with what it says. Texts are Markdown (CommonMark); an adapter turns them into what its provider shows.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

_TEXT: Final = {"type": "string", "minLength": 1, "pattern": r"\S"}
_NAMES: Final = {
    "type": "array",
    "items": {**_TEXT, "maxLength": 200},
    "minItems": 1,
    "maxItems": 50,
    "uniqueItems": True,
}


def _line(length: int, description: str) -> dict[str, Any]:
    return {**_TEXT, "maxLength": length, "pattern": r"^[^\r\n]*\S[^\r\n]*$", "description": description}


def _id(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": 300, "pattern": r"^\S+$", "description": description}


def _text(length: int, description: str) -> dict[str, Any]:
    return {**_TEXT, "maxLength": length, "description": description}


def _names(description: str) -> dict[str, Any]:
    return {**_NAMES, "description": description}


TARGET_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "repository": _id("Repository, as owner/name or what signals call it."),
    "project": _line(200, "Project, team or space the new thing belongs to, by its key or id."),
    "issue_key": _id("Issue, as signals name it: owner/name#12 where issues belong to a repository, else WEB-12."),
    "pr_number": {"type": "integer", "minimum": 1, "description": "Number of the pull or merge request."},
    "commit": {"type": "string", "pattern": "^[0-9a-f]{7,64}$", "description": "Commit id, hexadecimal."},
    "workspace_id": _id("Workspace or team the channel lies in, where its id is not enough."),
    "channel_id": _id("Channel or chat, by the provider's id."),
    "thread_id": _id("Message that begins the thread to answer in."),
    "message_id": _id("Message, by its id within the channel."),
    "page_id": _id("Page, by the provider's id."),
    "comment_id": _id("Comment to answer to."),
}

PAYLOAD_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "title": _line(255, "Title or summary, one line."),
    "body": _text(60_000, "Text, Markdown."),
    "labels": _names("Labels to add."),
    "assignees": _names("Who is to be assigned: the provider's login, account id or e-mail address."),
    "reviewers": _names("Who is to review: the provider's login, account id or e-mail address."),
    "issue_type": _line(100, "Kind of issue, in the provider's word: bug, Task …"),
    "priority": _line(100, "Priority, in the provider's word."),
    "parent": _id("Key or id of what it lies below."),
    "state": _line(100, "State it is to have, in the provider's word; open and closed where it knows no others."),
    "state_reason": _line(100, "Why, in the provider's word: completed, not_planned …"),
    "source_branch": _line(250, "Branch with the changes."),
    "target_branch": _line(250, "Branch they are to go into."),
    "draft": {"type": "boolean", "description": "Whether it is a draft."},
    "status": {"enum": ["pending", "success", "failure", "error"], "description": "What the check says."},
    "context": _line(100, "Name of the check; a later status of the same name replaces this one."),
    "description": _line(140, "What came of it, one line."),
    "url": {"type": "string", "format": "uri", "pattern": "^https?://", "maxLength": 2000, "description": "Details."},
    "text": _text(12_000, "Message, Markdown."),
    "reaction": {**_TEXT, "maxLength": 100, "pattern": r"^\S+$", "description": "Name of the emoji, without colons."},
    "branch": _line(250, "Branch or tag to run on."),
    "pipeline": _line(200, "Pipeline or workflow to run, by name or file."),
    "variables": {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 4000},
        "maxProperties": 50,
        "description": "Values handed to the run.",
    },
}


def _fields(text: str) -> dict[str, bool]:
    return {name.rstrip("?"): not name.endswith("?") for name in text.split()}


class ActionType(StrEnum):
    """Canonical commands. Each knows which fields its target and its payload may have, and which they must."""

    meaning: str
    target: dict[str, bool]
    payload: dict[str, bool]

    def __new__(cls, value: str, meaning: str, target: str, payload: str) -> ActionType:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.target, member.payload = _fields(target), _fields(payload)
        return member

    CREATE_ISSUE = (
        "create_issue",
        "Create an issue, task or work item.",
        "repository? project?",
        "title body? labels? assignees? issue_type? priority? parent?",
    )
    UPDATE_ISSUE = (
        "update_issue",
        "Change what an issue says.",
        "issue_key",
        "title? body? issue_type? priority? parent?",
    )
    TRANSITION_ISSUE = ("transition_issue", "Move an issue to another state.", "issue_key", "state state_reason?")
    COMMENT_ON_ISSUE = ("comment_on_issue", "Comment on an issue.", "issue_key comment_id?", "body")
    ADD_LABELS = (
        "add_labels",
        "Add labels to an issue or pull request.",
        "issue_key? repository? pr_number?",
        "labels",
    )
    ASSIGN = ("assign", "Assign an issue or pull request.", "issue_key? repository? pr_number?", "assignees")
    CREATE_PR = (
        "create_pr",
        "Open a pull or merge request.",
        "repository",
        "title body? source_branch target_branch draft? reviewers?",
    )
    UPDATE_PR = (
        "update_pr",
        "Change what a pull or merge request says, or its state.",
        "repository pr_number",
        "title? body? target_branch? state?",
    )
    COMMENT_ON_PR = ("comment_on_pr", "Comment on a pull or merge request.", "repository pr_number comment_id?", "body")
    REQUEST_REVIEW = ("request_review", "Ask people to review.", "repository pr_number", "reviewers")
    SET_COMMIT_STATUS = (
        "set_commit_status",
        "Say on a commit what a check came to.",
        "repository commit",
        "status context description? url? branch?",
    )
    TRIGGER_PIPELINE = ("trigger_pipeline", "Start a pipeline.", "repository? project?", "branch pipeline? variables?")
    POST_CHAT_MESSAGE = (
        "post_chat_message",
        "Post a message, in a thread if one is named.",
        "channel_id workspace_id? thread_id?",
        "text",
    )
    UPDATE_CHAT_MESSAGE = (
        "update_chat_message",
        "Change a message of our own.",
        "channel_id workspace_id? message_id thread_id?",
        "text",
    )
    ADD_REACTION = (
        "add_reaction",
        "React to a message.",
        "channel_id workspace_id? message_id thread_id?",
        "reaction",
    )
    CREATE_PAGE = ("create_page", "Create a page.", "project", "title body? parent?")
    UPDATE_PAGE = ("update_page", "Change a page.", "page_id", "title? body?")
    COMMENT_ON_PAGE = ("comment_on_page", "Comment on a page.", "page_id comment_id?", "body")


def schema(
    fields: dict[str, bool], known: dict[str, dict[str, Any]], narrowed: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """JSON Schema (2020-12) of an object with these fields, of which those marked must be given.

    ``narrowed`` holds what a provider says further of a field: shorter, fewer, certain words only. An object of which
    no field must be given must have one all the same.
    """
    described: dict[str, Any] = {
        "type": "object",
        "properties": {name: {**known[name], **narrowed.get(name, {})} for name in fields},
        "required": [name for name, needed in fields.items() if needed],
        "additionalProperties": False,
    }
    return described if described["required"] else {**described, "minProperties": 1}
