"""What the views cannot say themselves: the error body on every operation, the providers' door, the envelope."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from events.envelope import envelope_schema

_METHODS = ("get", "post", "patch", "delete")
_DOOR = "/v1/integrations/webhooks/{provider_id}/{connection_token}"

_ERROR = {
    "type": "object",
    "description": "Every error, whatever raised it.",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details", "timestamp"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
                "message": {"type": "string"},
                "details": {"type": "object"},
                "timestamp": {"type": "string", "format": "date-time"},
            },
        }
    },
    "example": {
        "error": {
            "code": "VALIDATION_FAILED",
            "message": "Some values cannot be accepted.",
            "details": {"problems": [{"pointer": "/settings/base_url", "reason": "must be https"}]},
            "timestamp": "2026-03-01T09:30:00.000Z",
        }
    },
}

_REASONS = {
    "400": "The request cannot be understood, or some values cannot be accepted.",
    "401": "No valid bearer token.",
    "403": "The token's roles do not allow this.",
    "404": "There is no such object, or it is another tenant's.",
    "409": "The object's state does not allow this now.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "Understood, but it cannot be done like this; details say what is wrong.",
    "429": "Too many requests; Retry-After says when to come back.",
    "500": "Something failed on our side.",
    "502": "The provider failed; try again.",
    "503": "A part of this service is not available; try again.",
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "integration_adapters.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def complete(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Postprocessing hook of drf-spectacular."""
    schemas = result["components"]["schemas"]
    for name, schema in schemas.items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema["additionalProperties"] = False
    schemas["Error"] = _ERROR
    schemas["SignalEnvelope"] = {k: v for k, v in envelope_schema().items() if k not in ("$schema", "$id")}
    for path, item in result["paths"].items():
        for method in _METHODS:
            if method in item:
                _add_errors(path, method, item[method])
    result["paths"][_DOOR] = {"post": _door()}
    result["paths"] = dict(sorted(result["paths"].items()))
    return result


def _add_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    json = "application/json"
    codes = {code for code in responses if code >= "400" and json not in responses[code].get("content", ())} | {"500"}
    if operation.get("security"):
        codes |= {"401", "403", "503"}
    if "{" in path:
        codes.add("404")
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        codes.add("400")
    if "requestBody" in operation:
        codes |= {"400", "413", "415"}
    if method != "get" and path.startswith("/v1/"):
        codes.add("409")
    for code in codes:
        error = _error(code)
        # A browser may be told the same on a page.
        error["content"] |= responses.get(code, {}).get("content", {})
        responses[code] = error
    operation["responses"] = dict(sorted(responses.items()))


def _error(code: str) -> dict[str, Any]:
    return {
        "description": _REASONS[code],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _door() -> dict[str, Any]:
    told = {
        "type": "object",
        "required": ["status", "events"],
        "properties": {
            "status": {"type": "string", "enum": ["accepted", "duplicate", "quarantined", "unrouted"]},
            "events": {"type": "integer", "minimum": 0, "description": "Events stored by this request."},
        },
    }
    answer = {"application/json": {"schema": told}}
    return {
        "operationId": "webhooks_receive",
        "summary": "The providers' door",
        "description": "Where a provider posts. No bearer token: the provider's signature over the raw body is the "
        "proof. Some providers insist on other codes than these; they get what they insist on. Handshakes are "
        "answered in the provider's own form.",
        "tags": ["Webhooks"],
        "security": [{}],
        "parameters": [
            {"in": "path", "name": name, "required": True, "schema": {"type": "string"}, "description": meaning}
            for name, meaning in (
                ("provider_id", "Provider the registration belongs to."),
                ("connection_token", "Secret part of the registration's URL."),
            )
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
        "responses": {
            "200": {"description": "Seen before, or a handshake.", "content": {**answer, "text/plain": {}}},
            "202": {
                "description": "Stored; it will be delivered. Quarantined: proven, but not understood, and kept.",
                "content": answer,
            },
            **{code: _error(code) for code in ("400", "401", "404", "413", "415", "429", "500", "503")},
        },
    }
