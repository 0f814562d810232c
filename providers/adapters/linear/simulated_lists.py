"""How the simulated API answers the queries for lists: against an excerpt of Linear's published schema, so that a name
it does not have is refused, and nothing is given that was not asked for.

A cursor is the id of an item and counts from where that item stands now. Complexity is reckoned as Linear documents it
(https://linear.app/developers/rate-limiting).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from graphql import FieldNode, GraphQLError, GraphQLSchema, SelectionSetNode, build_schema, graphql_sync, parse
from graphql.utilities import value_from_ast_untyped

from providers.document import moment_of

JSON = dict[str, Any]
DEFAULT_PAGE, LARGEST_PAGE, DEAREST_QUERY = 50, 250, 10_000

_ARGUMENTS = "after: String, first: Int, includeArchived: Boolean, orderBy: PaginationOrderBy"
_LISTS = (("issues", "Issue"), ("comments", "Comment"), ("projects", "Project"), ("cycles", "Cycle"))
_LISTED = (*_LISTS, ("projectUpdates", "ProjectUpdate"))
_CONNECTED = ("Issue", "Comment", "Project", "Cycle", "ProjectUpdate", "IssueLabel", "IssueHistory")
_NODE = "id: ID! createdAt: DateTime! updatedAt: DateTime! archivedAt: DateTime"
_SIDES = "StateId: String AssigneeId: String CycleId: String TeamId: String ProjectId: String ParentId: String"
_VALUES = "Title: String Priority: Float Estimate: Float DueDate: TimelessDate"


def _both_sides(fields: str) -> str:
    words = fields.split()
    pairs = list(zip(words[::2], words[1::2], strict=True))
    return " ".join(f"{side}{name} {kind}" for side in ("from", "to") for name, kind in pairs)


_SCHEMA = f"""
scalar DateTime
scalar DateTimeOrDuration
scalar TimelessDate
enum PaginationOrderBy {{ createdAt updatedAt }}
enum ProjectUpdateHealthType {{ atRisk offTrack onTrack }}
input DateComparator {{ eq: DateTimeOrDuration gt: DateTimeOrDuration gte: DateTimeOrDuration lt: DateTimeOrDuration }}
input StringComparator {{ eq: String in: [String!] }}
input TeamFilter {{ key: StringComparator }}
input TeamCollectionFilter {{ some: TeamFilter }}
input IssueFilter {{ updatedAt: DateComparator team: TeamFilter }}
input NullableIssueFilter {{ updatedAt: DateComparator team: TeamFilter }}
input CommentFilter {{ updatedAt: DateComparator issue: NullableIssueFilter }}
input ProjectFilter {{ updatedAt: DateComparator accessibleTeams: TeamCollectionFilter }}
input ProjectUpdateFilter {{ updatedAt: DateComparator project: ProjectFilter }}
input CycleFilter {{ updatedAt: DateComparator team: TeamFilter }}
type PageInfo {{ endCursor: String hasNextPage: Boolean! }}
type User {{ id: ID! name: String! }}
type ActorBot {{ id: ID name: String type: String! }}
type Team {{ id: ID! key: String! name: String! }}
type WorkflowState {{ id: ID! name: String! type: String! }}
type ProjectStatus {{ id: ID! name: String! }}
type ProjectMilestone {{ id: ID! name: String! }}
type IssueLabel {{ id: ID! name: String! }}
type Issue {{
  {_NODE} identifier: String! number: Float! title: String! description: String url: String! trashed: Boolean
  priority: Float! priorityLabel: String! labelIds: [String!]! completedAt: DateTime canceledAt: DateTime
  state: WorkflowState! team: Team! creator: User assignee: User project: Project cycle: Cycle parent: Issue
  projectMilestone: ProjectMilestone labels({_ARGUMENTS}): IssueLabelConnection!
  history({_ARGUMENTS}): IssueHistoryConnection!
}}
type IssueHistory {{
  {_NODE} actorId: String toState: WorkflowState {_both_sides(_SIDES)} {_both_sides(_VALUES)}
  updatedDescription: Boolean addedLabelIds: [String!] removedLabelIds: [String!] archived: Boolean trashed: Boolean
}}
type Comment {{
  {_NODE} body: String! url: String! editedAt: DateTime parentId: String issueId: String documentContentId: String
  projectId: String projectUpdateId: String issue: Issue projectUpdate: ProjectUpdate user: User botActor: ActorBot
}}
type Project {{
  {_NODE} name: String! description: String! url: String! slugId: String! targetDate: TimelessDate
  status: ProjectStatus! lead: User creator: User
}}
type ProjectUpdate {{
  {_NODE} body: String! health: ProjectUpdateHealthType! url: String! editedAt: DateTime user: User! project: Project!
}}
type Cycle {{
  {_NODE} number: Float! name: String description: String startsAt: DateTime! endsAt: DateTime! completedAt: DateTime
  team: Team!
}}
{" ".join(f"type {name}Connection {{ nodes: [{name}!]! pageInfo: PageInfo! }}" for name in _CONNECTED)}
type Query {{ {" ".join(f"{name}({_ARGUMENTS}, filter: {kind}Filter): {kind}Connection!" for name, kind in _LISTED)} }}
"""


@cache
def _schema() -> GraphQLSchema:
    return build_schema(_SCHEMA)


def answer(request: JSON, lists: dict[str, list[JSON]]) -> tuple[JSON | None, list[str], float]:
    """Data, errors and complexity. ``lists`` has everything there is, by the name of the query's field."""
    variables = request.get("variables") or {}
    try:
        document = parse(request["query"])
    except GraphQLError as error:
        return None, [error.message], 0
    cost = sum(_cost(node.selection_set, variables) for node in document.definitions if hasattr(node, "selection_set"))
    if cost > DEAREST_QUERY:
        return None, ["Query too complex"], cost
    root = {name: _resolver(rows) for name, rows in lists.items()}
    result = graphql_sync(
        _schema(), request["query"], root, variable_values=variables, operation_name=request.get("operationName")
    )
    return _as_written(result.data), [error.message for error in result.errors or ()], cost


def _as_written(value: Any) -> Any:
    """Whole numbers without a fraction, as JavaScript writes them."""
    if isinstance(value, dict):
        return {name: _as_written(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_as_written(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _resolver(rows: list[JSON]) -> Callable[..., JSON]:
    def resolve(_: object, **asked: Any) -> JSON:
        if asked.get("orderBy") != "updatedAt":
            raise GraphQLError("This world knows only the order of the last change.")
        found = [row for row in rows if _matches(row, asked.get("filter") or {})]
        found = [row for row in found if asked.get("includeArchived") or not row.get("archivedAt")]
        return page(sorted(found, key=lambda row: row["updatedAt"], reverse=True), **asked)

    return resolve


def page(rows: list[JSON], *, first: int = DEFAULT_PAGE, after: str | None = None, **_: Any) -> JSON:
    """One page of a connection."""
    if not 0 < first <= LARGEST_PAGE:
        raise GraphQLError("Argument Validation Error")
    start = 0
    if after:
        places = [index for index, row in enumerate(rows) if row["id"] == after]
        if not places:
            raise GraphQLError("Entity not found: cursor")
        start = places[0] + 1
    nodes = rows[start : start + first]
    more = start + first < len(rows)
    return {"nodes": nodes, "pageInfo": {"endCursor": nodes[-1]["id"] if nodes else None, "hasNextPage": more}}


def _matches(row: JSON, chosen: JSON) -> bool:
    for name, wanted in chosen.items():
        if name == "updatedAt":
            since, changed = moment_of(wanted["gte"]), moment_of(row["updatedAt"])
            if not (since and changed and changed >= since):
                return False
        elif name == "key":
            if row["key"] not in wanted["in"]:
                return False
        elif name == "accessibleTeams":
            if not any(_matches(team, wanted["some"]) for team in row["teams"]):
                return False
        elif not (row.get(name) and _matches(row[name], wanted)):
            return False
    return True


def _cost(selection: SelectionSetNode | None, variables: JSON) -> float:
    """An object is a point, a property a tenth; a list costs what it may hold."""
    points = 1.0
    for field in selection.selections if selection else ():
        if not isinstance(field, FieldNode):
            continue
        if field.selection_set is None:
            points += 0.1
            continue
        points += _cost(field.selection_set, variables) * _size(field, variables)
    return points


def _size(field: FieldNode, variables: JSON) -> float:
    """How many there may be: one, or what a connection is asked for."""
    inside = field.selection_set.selections if field.selection_set else ()
    if not any(isinstance(one, FieldNode) and one.name.value == "nodes" for one in inside):
        return 1
    given = [value_from_ast_untyped(one.value, variables) for one in field.arguments or () if one.name.value == "first"]
    return float(given[0]) if given and isinstance(given[0], int) else DEFAULT_PAGE
