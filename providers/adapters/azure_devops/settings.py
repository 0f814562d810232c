"""JSON Schema of a connection's settings: where the organisation is, and what of it is polled.

Names: https://learn.microsoft.com/azure/devops/organizations/settings/naming-restrictions
"""

from __future__ import annotations

from providers.canonical import JSON

_NAME = r"[^\s/\\:?#%][^/\\:?#%]*"

SETTINGS: JSON = {
    "type": "object",
    "properties": {
        "base_url": {
            "type": "string",
            "pattern": r"^https?://[^\s/?#@]+(/[^\s/?#@]+)+/?$",
            "maxLength": 500,
            "description": "https://dev.azure.com/ORGANISATION, or https://SERVER/COLLECTION.",
        },
        "projects": {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{_NAME}$", "maxLength": 64},
            "uniqueItems": True,
            "maxItems": 100,
            "description": "Names or ids of the projects to poll.",
        },
        "repositories": {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{_NAME}/{_NAME}$", "maxLength": 130},
            "uniqueItems": True,
            "maxItems": 200,
            "description": "Repositories whose pushes to poll, as project/repository; names or ids.",
        },
        "streams": {
            "type": "array",
            "items": {"enum": ["work_items", "builds", "pull_requests_created", "pull_requests_closed", "pushes"]},
            "uniqueItems": True,
            "description": "Lists to poll; without it: all but pushes.",
        },
        "poll_interval_seconds": {"type": "integer", "minimum": 60, "maximum": 86400},
    },
    "required": ["base_url"],
    "additionalProperties": False,
}
