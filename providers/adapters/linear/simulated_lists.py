"""How the simulated API answers the queries for lists: against an excerpt of Linear's published schema, so that a name
it does not have is refused, and nothing is given that was not asked for.

A cursor is the id of an item and counts from where that item stands now. Complexity is reckoned as Linear documents it
(https://linear.app/developers/rate-limiting).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from graphql import FieldNode, GraphQLError, SelectionSetNode, graphql_sync, parse
from graphql.utilities import value_from_ast_untyped

from providers.adapters.linear.simulated_schema import schema
from providers.document import moment_of

JSON = dict[str, Any]
DEFAULT_PAGE, LARGEST_PAGE, DEAREST_QUERY = 50, 250, 10_000

DEFAULT_PAGE, LARGEST_PAGE, DEAREST_QUERY = 50, 250, 10_000


def answer(
    request: JSON, lists: Mapping[str, Iterable[JSON]], others: Mapping[str, Callable[..., Any]] | None = None
) -> tuple[JSON | None, list[GraphQLError], float]:
    """Data, errors and complexity. ``lists`` has everything there is, by the name of the query's field; ``others`` is
    asked for all other fields.
    """
    variables = request.get("variables") or {}
    try:
        document = parse(request["query"])
    except GraphQLError as error:
        return None, [error], 0
    cost = sum(_cost(node.selection_set, variables) for node in document.definitions if hasattr(node, "selection_set"))
    if cost > DEAREST_QUERY:
        return None, [GraphQLError("Query too complex")], cost
    root = {**{name: _resolver(rows) for name, rows in lists.items()}, **(others or {})}
    result = graphql_sync(
        schema(), request["query"], root, variable_values=variables, operation_name=request.get("operationName")
    )
    return _as_written(result.data), result.errors or [], cost


def _as_written(value: Any) -> Any:
    """Whole numbers without a fraction, as JavaScript writes them."""
    if isinstance(value, dict):
        return {name: _as_written(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_as_written(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _resolver(rows: Iterable[JSON]) -> Callable[..., JSON]:
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
