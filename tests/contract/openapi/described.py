"""A provider that refuses, with 400, every request its vendor's OpenAPI description does not describe.

Beyond the description it refuses what that leaves open: parameters of the query and members of the body that it does
not name. A typing error in an optional one would otherwise pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest
from werkzeug.datastructures import MultiDict

from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Answer


class Described:
    """Hands on to ``answer`` what fits. ``used``: the operations that were called, as ``GET /user``.

    ``misfits``: what was refused; ``undescribed``: what was answered with a status that is not described.
    """

    def __init__(self, extract: Path, answer: Answer, *, formats_are_wrong_of: Collection[str] = ()) -> None:
        """``formats_are_wrong_of``: operationId and parameter, where the vendor's own text says another form."""
        self._answer = answer
        self._description, self._openapi = _read(extract, tuple(formats_are_wrong_of))
        self._server: str = self._description["servers"][0]["url"]
        self.misfits: list[str] = []
        self.used: set[str] = set()
        self.undescribed: list[str] = []
        # A path without a placeholder comes before one that has one in its stead.
        self._templates = [
            (re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", path)), path) for path in sorted(self._description["paths"])
        ]

    @property
    def operations(self) -> set[str]:
        paths = self._description["paths"].items()
        return {f"{method.upper()} {path}" for path, methods in paths for method in methods}

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        reasons = self._reasons(method, path, query, headers, body)
        if reasons:
            self.misfits.append(f"{method} {path}: {'; '.join(reasons)}")
            return SimulatedAnswer(400, {"content-type": "application/json"}, orjson.dumps({"message": reasons[0]}))
        answer = self._answer(method, path, query, headers, body)
        self._note(method, path, answer)
        return answer

    def _reasons(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> list[str]:
        request = MockRequest(self._server, method, path, headers=headers, data=body)
        request.parameters.query = MultiDict((name, value) for name, values in query.items() for value in values)
        request.content_type = headers.get("content-type", "application/json")
        reasons = [f"{error} {error.__cause__ or ''}".strip() for error in self._openapi.iter_request_errors(request)]
        if reasons:
            return reasons
        operation = self._operation(method, path)
        known = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
        reasons = [f"no parameter {name}" for name in query if name not in known]
        given = orjson.loads(body) if body else None
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if given is not None and schema is None:
            return [*reasons, "no body is taken"]
        return [*reasons, *_unnamed(schema, given, "")]

    def _template(self, path: str) -> str:
        return next(template for pattern, template in self._templates if pattern.fullmatch(path))

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        described: dict[str, Any] = self._description["paths"][self._template(path)][method.lower()]
        return described

    def _note(self, method: str, path: str, answer: SimulatedAnswer) -> None:
        self.used.add(f"{method} {self._template(path)}")
        if str(answer.status) not in self._operation(method, path)["responses"]:
            self.undescribed.append(f"{method} {path}: {answer.status}")


@cache
def _read(extract: Path, formats_are_wrong_of: tuple[str, ...]) -> tuple[dict[str, Any], OpenAPI]:
    description = json.loads(extract.read_text())
    for operation in (each for methods in description["paths"].values() for each in methods.values()):
        for parameter in operation["parameters"]:
            if f"{operation['operationId']} {parameter['name']}" in formats_are_wrong_of:
                del parameter["schema"]["format"]
    return description, OpenAPI.from_dict(description)


def _unnamed(schema: Any, value: Any, place: str) -> list[str]:
    """Members that no alternative of the schema names."""
    if not isinstance(schema, dict):
        return []
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            return min((_unnamed(each, value, place) for each in schema[word]), key=len)
    if isinstance(value, list):
        return [reason for item in value for reason in _unnamed(schema.get("items"), item, f"{place}/*")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    named = schema["properties"]
    reasons = [f"no member {place}/{name}" for name in value if name not in named]
    return reasons + [
        reason for name in value if name in named for reason in _unnamed(named[name], value[name], f"{place}/{name}")
    ]
