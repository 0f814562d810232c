"""Cuts the operations an adapter calls out of a vendor's OpenAPI description. README.md says how.

    python -m tests.contract.openapi.cut DESCRIPTION OPERATIONS VERSION > EXTRACT

Kept are the path, the parameters, the schema of the request's body and the statuses of answers; texts and examples are
left out, references are replaced by what they refer to. Where the description says how an operation changes with a
version, it is changed so, up to the given one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_SAID = frozenset({"description", "example", "examples", "summary", "title"})


def cut(description: dict[str, Any], operations: list[tuple[str, str]], version: str) -> dict[str, Any]:
    """The extract. ``operations``: method and path template. Raises ``KeyError`` for one that is not described."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path in operations:
        described = _at_version(description["paths"][path][method.lower()], version)
        kept: dict[str, Any] = {"operationId": described["operationId"]}
        parameters = [_plain(parameter, description) for parameter in described.get("parameters", [])]
        kept["parameters"] = parameters
        if "requestBody" in described:
            kept["requestBody"] = _plain(described["requestBody"], description)
        kept["responses"] = {status: {"description": ""} for status in described["responses"]}
        paths.setdefault(path, {})[method.lower()] = kept
    info = {**{name: description["info"][name] for name in ("title", "version", "license")}, "x-api-version": version}
    return {"openapi": description["openapi"], "info": info, "servers": description["servers"], "paths": paths}


def _at_version(operation: dict[str, Any], version: str) -> Any:
    for change in operation.get("x-github-breaking-changes", []):
        if change["version"] <= version:
            operation = _patched(operation, change["patch"])
    return operation


def _patched(value: Any, patch: Any) -> Any:
    """RFC 7396, or the one form of RFC 6902 that takes away and replaces members."""
    if isinstance(patch, list):
        value = json.loads(json.dumps(value))
        for step in patch:
            *way, last = (part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:])
            place = value
            for name in way:
                place = place[name]
            if step["op"] == "remove":
                del place[last]
            elif step["op"] == "replace":
                place[last] = step["value"]
            else:
                raise ValueError(f"a patch that does {step['op']!r}")
        return value
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, new in patch.items():
        if new is None:
            result.pop(name, None)
        else:
            result[name] = _patched(result.get(name), new)
    return result


def _plain(value: Any, description: dict[str, Any], *, named: bool = False) -> Any:
    """Without references and texts. ``named``: the members are names of properties, not words of the description."""
    if isinstance(value, list):
        return [_plain(item, description) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str) and not named:
        place: Any = description
        for part in value["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        return _plain(place, description)
    return {
        name: _plain(item, description, named=name == "properties" and not named)
        for name, item in value.items()
        if named or not (name in _SAID or name.startswith("x-"))
    }


if __name__ == "__main__":
    source, chosen, wanted = sys.argv[1:]
    lines = [line.split() for line in Path(chosen).read_text().splitlines()]
    extract = cut(json.loads(Path(source).read_text()), [(method, path) for method, path in lines], wanted)
    sys.stdout.write(json.dumps(extract, indent=1, ensure_ascii=False) + "\n")
