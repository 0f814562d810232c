"""What the simulated organisation lets be made and changed, and the single things that writers read.

https://learn.microsoft.com/rest/api/azure/devops; unknown members are refused, so that a slip of the pen is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from providers.adapters.azure_devops.simulated_lists import Refused
from providers.adapters.azure_devops.simulated_pulls import Code, PullWrites

JSON = dict[str, Any]
Answer = tuple[int, Any]

KINDS = ("Bug", "Task", "User Story")
STATES = ("New", "Active", "Resolved", "Closed")
_TAGGED = re.compile(r"SELECT \[System\.Id\] FROM WorkItems WHERE \[System\.Tags\] CONTAINS '([^']+)' ORDER BY .+")
_FIELDS: Mapping[str, type] = {
    "System.Title": str,
    "System.Description": str,
    "System.Tags": str,
    "System.State": str,
    "System.AssignedTo": str,
    "Microsoft.VSTS.Common.Priority": int,
}


class World(Code, Protocol):
    """The organisation as writers need it."""

    items: list[JSON]
    project: JSON

    def new_item(self, kind: str, fields: JSON) -> JSON: ...

    def change_item(self, item: JSON, fields: JSON) -> None: ...


class Writes:
    """``made`` has a line for each thing made or changed. ``forbidden``: the token may only read.

    ``hidden``: work items that queries do not show yet.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.made: list[str] = []
        self.forbidden = False
        self.hidden: set[int] = set()
        self.comments: dict[int, list[JSON]] = {}
        self.pulls = PullWrites(world, self.made)

    def answer(
        self, method: str, steps: list[str], query: dict[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer | None:
        """Status and body for the path below the organisation; ``None`` if it is none of this. Raises ``Refused``."""
        at_project = steps[:1] != ["_apis"]
        project, path = (steps[0], steps[2:]) if at_project else ("", steps[1:])
        if steps[1 if at_project else 0 :][:1] != ["_apis"]:
            return None
        handler = self._handler(method, project, path)
        if handler is None:
            return None
        if self.forbidden and method != "GET" and path != ["wit", "wiql"]:
            raise Refused(403, "AccessDeniedException", "TF401027: You need the permission to contribute.")
        wanted = "7.1-preview.4" if path[:2] == ["wit", "workItems"] else "7.1"
        if query.get("api-version") != wanted:
            raise Refused(400, "VssVersionNotSpecifiedException", "No api-version was supplied.")
        if project and project not in (self._world.project["id"], self._world.project["name"]):
            raise Refused(404, "ProjectDoesNotExistWithNameException", "TF200016: The project does not exist.")
        if method == "GET":
            return handler(query)
        patch = path[:2] == ["wit", "workitems"]
        kind = "application/json-patch+json" if patch else "application/json"
        if headers.get("content-type", "").partition(";")[0] != kind:
            raise Refused(415, "VssRequestContentTypeNotSupportedException", "The content type is not supported.")
        try:
            return handler(orjson.loads(body))
        except orjson.JSONDecodeError:
            raise Refused(400, "JsonReaderException", "The body is no JSON.") from None

    def _handler(self, method: str, project: str, path: list[str]) -> Callable[[Any], Answer] | None:
        match method, path:
            case "POST", ["wit", "workitems", kind] if project and kind.startswith("$"):
                return lambda body: self._create(kind[1:], body)
            case "GET", ["wit", "workitems", number]:
                return lambda _: (200, self._shown(self._item(number)))
            case "PATCH", ["wit", "workitems", number]:
                return lambda body: self._change(self._item(number), body)
            case "POST", ["wit", "wiql"] if project:
                return self._query
            case "GET", ["wit", "workitemtypes", kind, "states"] if project:
                return lambda _: self._states(kind)
            case "GET", ["wit", "workItems", number, "comments"] if project:
                return lambda query: self._listed(number, query)
            case "POST", ["wit", "workItems", number, "comments"] if project:
                return lambda body: self._comment(number, body)
            case _, ["git", "repositories", repository, *rest]:
                return self.pulls.handler(method, repository, rest)
        return None

    # --- work items ---

    def _create(self, kind: str, patch: Any) -> Answer:
        if kind not in KINDS:
            raise Refused(404, "WorkItemTypeNotFoundException", f"VS402323: Work item type {kind} does not exist.")
        fields, links = self._patched(patch, None)
        if not fields.get("System.Title", "").strip():
            raise Refused(400, "RuleValidationException", "TF401320: Rule Error for field Title. Error code: Required.")
        item = self._world.new_item(kind, fields)
        item["relations"] = links
        self.made.append(f"{kind} {item['id']}")
        return 200, self._shown(item)

    def _change(self, item: JSON, patch: Any) -> Answer:
        fields, _ = self._patched(patch, item["rev"])
        changed = {name: value for name, value in fields.items() if item["fields"].get(name) != value}
        if changed:
            self._world.change_item(item, changed)
            self.made.append(f"{', '.join(sorted(changed))} of {item['id']}")
        return 200, self._shown(item)

    def _patched(self, patch: Any, rev: int | None) -> tuple[JSON, list[JSON]]:
        """Fields and links of a JSON patch (RFC 6902), checked."""
        fields: JSON = {}
        links: list[JSON] = []
        if not isinstance(patch, list) or not patch:
            raise Refused(400, "VssPropertyValidationException", "You must pass a valid patch document in the body.")
        for change in patch:
            operation, path, value = (change.get(name) for name in ("op", "path", "value"))
            name = str(path).removeprefix("/fields/")
            if (operation, path) == ("test", "/rev") and rev is not None:
                if value != rev:
                    raise Refused(412, "TestFailedException", "VS403324: The test operation failed at /rev.")
            elif (operation, path) == ("add", "/relations/-"):
                self._item(str(value["url"]).rpartition("/")[2])
                links.append(value)
            elif operation == "add" and isinstance(value, _FIELDS.get(name, ())):
                fields[name] = self._field(name, value)
            else:
                raise Refused(400, "VssPropertyValidationException", f"TF51535: Cannot find field {name}.")
        return fields, links

    def _field(self, name: str, value: Any) -> Any:
        if name == "System.State" and value not in STATES:
            message = "TF401320: Rule Error for field State. Error code: HasValues, InvalidNotOldValue."
            raise Refused(400, "RuleValidationException", message)
        if name != "System.AssignedTo":
            return value
        found = [person for person in self._world.people() if person["uniqueName"].lower() == value.lower()]
        if not found:
            raise Refused(400, "RuleValidationException", f"The identity value '{value}' is an unknown identity.")
        return found[0]

    def _item(self, number: str) -> JSON:
        there = [item for item in self._world.items if not item["fields"].get("System.IsDeleted")]
        found = next((item for item in there if str(item["id"]) == number), None)
        if found is None:
            message = f"TF401232: Work item {number} does not exist, or you do not have permissions to read it."
            raise Refused(404, "WorkItemUnauthorizedAccessException", message)
        return found

    def _shown(self, item: JSON) -> JSON:
        address = f"https://dev.azure.example/acme-shop/_workitems/edit/{item['id']}"
        return {"id": item["id"], "rev": item["rev"], "fields": item["fields"], "_links": {"html": {"href": address}}}

    def _query(self, body: Any) -> Answer:
        asked = _TAGGED.fullmatch(body.get("query", "")) if set(body) == {"query"} else None
        if asked is None:
            raise Refused(400, "WorkItemTrackingQueryException", "TF51006: The query statement is missing a clause.")
        found = [
            {"id": item["id"], "url": ""}
            for item in self._world.items
            if asked[1].casefold() in _tags(item) and item["id"] not in self.hidden
        ]
        return 200, {"queryType": "flat", "workItems": found}

    def _states(self, kind: str) -> Answer:
        if kind not in KINDS:
            raise Refused(404, "WorkItemTypeNotFoundException", f"VS402323: Work item type {kind} does not exist.")
        return 200, {"count": len(STATES), "value": [{"name": state, "color": "b2b2b2"} for state in STATES]}

    # --- comments on work items ---

    def _listed(self, number: str, query: dict[str, str]) -> Answer:
        rows = self.comments.get(self._item(number)["id"], [])
        rows = rows[::-1] if query.get("order") == "desc" else rows
        start = int(query.get("continuationToken", "0"))
        page = rows[start : start + min(int(query.get("$top", "200")), 200)]
        more = {"continuationToken": str(start + len(page))} if start + len(page) < len(rows) else {}
        return 200, {"totalCount": len(rows), "count": len(page), "comments": page, **more}

    def _comment(self, number: str, body: Any) -> Answer:
        item = self._item(number)
        if set(body) != {"text"} or not isinstance(body["text"], str) or not body["text"].strip():
            raise Refused(400, "VssPropertyValidationException", "The comment text is missing.")
        comment = self.add_comment(item["id"], body["text"], self._world.bot())
        self.made.append(f"comment {comment['id']} on {item['id']}")
        return 200, comment

    def add_comment(self, number: int, text: str, author: JSON) -> JSON:
        """Somebody comments on a work item."""
        own = 50_000 + sum(map(len, self.comments.values()))
        comment = {"workItemId": number, "id": own, "version": 1, "text": text, "createdBy": author}
        comment["createdDate"] = self._world.now()
        self.comments.setdefault(number, []).append(comment)
        return comment


def _tags(item: JSON) -> list[str]:
    return [tag.strip().casefold() for tag in item["fields"].get("System.Tags", "").split(";")]
