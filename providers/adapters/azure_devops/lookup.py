"""What is read before and after a write: places, work items, the account itself.

Sources: https://learn.microsoft.com/rest/api/azure/devops/wit/work-items/get-work-item,
https://learn.microsoft.com/rest/api/azure/devops/wit/work-item-type-states/list
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from providers.adapters.azure_devops.items import params
from providers.adapters.azure_devops.places import organisation_at
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderFault, Rejected

IDENTITY_PATH: Final = "_apis/connectionData"
# The service has this call as a preview only.
IDENTITY_VERSION: Final = "7.1-preview"
GUID: Final = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_GUID = re.compile(GUID, re.ASCII)


def step(name: str) -> str:
    """A name as a step of a path. Raises ``Rejected`` for one that would lead elsewhere."""
    if name.strip() in (".", ".."):
        raise Rejected(f"{name!r} is no name.")
    return quote(name, safe="")


def versioned(path: str, version: str = "7.1") -> str:
    """The address of a write: without its version it is refused."""
    return f"{path}?api-version={version}"


def repository_path(client: ProviderClient, target: Mapping[str, Any]) -> str:
    """Path of a repository: by its id, or as (organisation/)project/repository. Raises ``Rejected``."""
    named = target["repository"]
    if _GUID.fullmatch(named):
        return f"_apis/git/repositories/{named}"
    *before, project, name = named.split("/")
    own = organisation_at(client.base_url) or ""
    if before and before[0].casefold() != own.casefold():
        raise Rejected(f"This connection is to the organisation {own}, not to {before[0]}.")
    return f"{step(project)}/_apis/git/repositories/{step(name)}"


def pull_path(client: ProviderClient, target: Mapping[str, Any]) -> str:
    return f"{repository_path(client, target)}/pullRequests/{target['pr_number']}"


def own_id(client: ProviderClient) -> str:
    """Identity of the account the credential belongs to."""
    body = Document(client.get(IDENTITY_PATH, params={"api-version": IDENTITY_VERSION}).json())
    account = body.text("/authenticatedUser/id")
    if not account:
        raise ProviderFault("Azure DevOps does not say whose token this is.")
    return account


def work_item_path(number: str) -> str:
    return f"_apis/wit/workitems/{number}"


def work_item(client: ProviderClient, number: str) -> Document:
    """The work item as it is now, with its revision and its project."""
    item = Document(client.get(work_item_path(number), params=params()).json())
    if item.integer("/id") is None or item.integer("/rev") is None or not field(item, "System.TeamProject"):
        raise ProviderFault("Azure DevOps does not say which work item this is.")
    return item


def field(item: Document, name: str) -> str:
    return item.text(f"/fields/{name}") or ""


def tags_of(item: Document) -> list[str]:
    """The tags, which lie in one field; all of them, for they are written back."""
    tags = item.at("/fields/System.Tags")
    return [tag.strip() for tag in tags.split(";") if tag.strip()] if isinstance(tags, str) else []


def state_of_name(client: ProviderClient, item: Document, name: str) -> str:
    """The state of that name as the work item's type spells it; signals tell names in small letters."""
    project, kind = field(item, "System.TeamProject"), field(item, "System.WorkItemType")
    path = f"{step(project)}/_apis/wit/workitemtypes/{step(kind)}/states"
    states = listed_values(client, path)
    names = [state.text("/name") or "" for state in states]
    found = next((one for one in names if one.casefold() == name.strip().casefold()), None)
    if not found:
        raise Rejected(f"A {kind} has no state {name!r}; it has: {', '.join(names)}.")
    return found


def listed_values(client: ProviderClient, path: str, **asked: str) -> list[Document]:
    """A list the service gives whole."""
    body = Document(client.get(path, params=params(**asked)).json())
    values = body.at("/value")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ProviderFault("Azure DevOps's answer holds no list.")
    return body.items("/value")
