"""What is read before and after a write: names to ids, and what carries the id we chose.

Names of fields are those of the published schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from providers.adapters.linear import graphql
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderFault, Rejected

# The largest page there is; labels of the names asked for and states of one team are far fewer.
_PAGE: Final = 250
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

TEAM: Final = "query Team($key: String!) { teams(first: 1, filter: {key: {eq: $key}}) { nodes { id } } }"
_ISSUE: Final = "query IssueOfId($id: String!) { issue(id: $id) { identifier url } }"
_STATES: Final = f"""
query StatesOfIssue($id: String!) {{
  issue(id: $id) {{ identifier url state {{ id }} team {{ states(first: {_PAGE}) {{ nodes {{ id name }} }} }} }}
}}
"""
_TEAM_OF_ISSUE: Final = "query TeamOfIssue($id: String!) { issue(id: $id) { team { id } } }"
_COMMENT: Final = "query CommentOfId($id: String!) { comment(id: $id) { id url parent { id } } }"
_LABELS: Final = f"""
query Labels($filter: IssueLabelFilter!) {{
  issueLabels(first: {_PAGE}, filter: $filter) {{ nodes {{ id name team {{ id }} }} }}
}}
"""
_USERS: Final = "query Users($filter: UserFilter!) { users(first: 3, filter: $filter) { nodes { id } } }"


def team_of_key(client: ProviderClient, key: str) -> str | None:
    """Id of a team, or ``None`` if there is none of that key or the credential cannot see it."""
    return asked(client, "Team", TEAM, {"key": key}).text("/teams/nodes/0/id")


def team_id(client: ProviderClient, key_or_id: str) -> str:
    found = key_or_id if _UUID.fullmatch(key_or_id) else team_of_key(client, key_or_id)
    if not found:
        raise Rejected(f"There is no team {key_or_id} at Linear, or the credential cannot see it.")
    return found


def team_of_issue(client: ProviderClient, issue_key: str) -> str:
    """The team an issue is in now; one that was moved has kept its old key as a second name."""
    found = asked(client, "TeamOfIssue", _TEAM_OF_ISSUE, {"id": issue_key}).text("/issue/team/id")
    if not found:
        raise ProviderFault("Linear does not say which team the issue is in.")
    return found


def states_of(client: ProviderClient, issue_key: str) -> tuple[Document, Mapping[str, str]]:
    """The issue with its state, and the ids of its team's states by name."""
    issue = Document(asked(client, "StatesOfIssue", _STATES, {"id": issue_key}).at("/issue"))
    states = {state.text("/name"): state.text("/id") for state in issue.items("/team/states/nodes")}
    found = {name: state for name, state in states.items() if name and state}
    if not found or not issue.text("/state/id"):
        raise ProviderFault("Linear does not say which states there are.")
    return issue, found


def state_of_name(states: Mapping[str, str], name: str) -> str:
    """The state of that name; signals tell names in small letters."""
    folded = {one.casefold(): state for one, state in states.items()}
    found = states.get(name) or folded.get(name.strip().casefold())
    if found is None:
        raise Rejected(f"The issue's team has no state {name!r}; it has: {', '.join(states)}.")
    return found


def label_ids(client: ProviderClient, names: Sequence[str], team: str) -> list[str]:
    """Ids of labels of the team or of the whole workspace, in any case. Raises ``Rejected`` if one is not there."""
    chosen = {
        "and": [
            {"or": [{"team": {"null": True}}, {"team": {"id": {"eq": team}}}]},
            {"or": [{"name": {"eqIgnoreCase": name.strip()}} for name in names]},
        ]
    }
    labels = _nodes(asked(client, "Labels", _LABELS, {"filter": chosen}), "/issueLabels/nodes")
    # A team's own label comes before one of the workspace.
    labels.sort(key=lambda label: label.text("/team/id") is not None)
    found = {(label.text("/name") or "").casefold(): label.text("/id") for label in labels}
    missing = [name for name in names if not found.get(name.strip().casefold())]
    if missing:
        raise Rejected(f"Linear has no label {', '.join(map(repr, missing))} for this team.")
    # Two names may mean one label.
    return list(dict.fromkeys(str(found[name.strip().casefold()]) for name in names))


def user_id(client: ProviderClient, who: str) -> str:
    """Id of the one active user with this e-mail address or display name; an id stands for itself."""
    if _UUID.fullmatch(who):
        return who
    chosen = {"email" if "@" in who else "displayName": {"eqIgnoreCase": who.strip()}}
    users = _nodes(asked(client, "Users", _USERS, {"filter": chosen}), "/users/nodes")
    found = {user.text("/id") for user in users} - {None}
    if len(found) != 1:
        told = "Nobody" if not found else "More than one person"
        raise Rejected(f"{told} at Linear is known as {who!r}; give the e-mail address or the user's id.")
    return str(found.pop())


def thread_of(client: ProviderClient, comment_id: str) -> str:
    """The comment that begins the thread this one is in: threads have one level."""
    comment = asked(client, "CommentOfId", _COMMENT, {"id": comment_id})
    found = comment.text("/comment/parent/id", "/comment/id")
    if not found:
        raise ProviderFault("Linear does not say which comment this is.")
    return found


def issue_of_id(client: ProviderClient, issue_id: str) -> Document | None:
    """The issue, or ``None`` if there is none."""
    return _there(client, "IssueOfId", _ISSUE, issue_id, "issue")


def comment_of_id(client: ProviderClient, comment_id: str) -> Document | None:
    """The comment, or ``None`` if there is none."""
    return _there(client, "CommentOfId", _COMMENT, comment_id, "comment")


def _there(client: ProviderClient, operation: str, text: str, identity: str, name: str) -> Document | None:
    try:
        return Document(asked(client, operation, text, {"id": identity}).at(f"/{name}"))
    except Rejected as refused:
        if refused.status == graphql.NOT_FOUND:
            return None
        raise


def asked(client: ProviderClient, operation: str, text: str, variables: Mapping[str, Any]) -> Document:
    """The data of a query. Raises ``ProviderError``."""
    return graphql.data(client.post_query(graphql.PATH, json=graphql.request(operation, text, variables)))


def _nodes(data: Document, pointer: str) -> list[Document]:
    if not isinstance(data.at(pointer), list):
        raise ProviderFault("Linear's answer holds no list.")
    return data.items(pointer)
