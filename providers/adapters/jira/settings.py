"""What a connection to Jira is made of."""

from __future__ import annotations

from typing import Final

from providers.canonical import JSON
from providers.minting import CLIENT_PARTS

_ADDRESS: Final = r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$"

SETTINGS_SCHEMA: JSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["base_url"],
    "additionalProperties": False,
    "properties": {
        "base_url": {
            "type": "string",
            "pattern": _ADDRESS,
            "maxLength": 500,
            "description": "https://your-site.atlassian.net, or https://api.atlassian.com/ex/jira/{cloudId}"
            " for scoped tokens and OAuth.",
        },
        "site_url": {
            "type": "string",
            "pattern": _ADDRESS,
            "maxLength": 500,
            "description": "Address people browse; needed for links only where base_url is the API gateway.",
        },
        "projects": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]{1,79}$"},
            "uniqueItems": True,
            "maxItems": 100,
            "description": "Keys of the projects to poll and to be told of; all the credential can see if empty.",
        },
        "streams": {
            "type": "array",
            "items": {"enum": ["issues"]},
            "uniqueItems": True,
            "description": "What to poll.",
        },
        "poll_interval_seconds": {
            "type": "integer",
            "minimum": 30,
            "maximum": 3600,
            "description": "Pause between polls.",
        },
    },
}

CREDENTIAL_SCHEMA: JSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "oneOf": [{"required": ["token"]}, {"required": ["client_id", "client_secret"]}],
    "additionalProperties": False,
    "properties": {
        "email": {
            "type": "string",
            "minLength": 3,
            "x-public": True,
            "description": "Account of an API token. Without it the token is sent as a bearer token.",
        },
        "token": {
            "type": "string",
            "minLength": 8,
            "description": "API token, OAuth access token or, on Data Center, personal access token.",
        },
        **CLIENT_PARTS,
    },
}
