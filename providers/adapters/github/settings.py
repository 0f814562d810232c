"""What a connection to GitHub is made of."""

from __future__ import annotations

from typing import Final

from providers.adapters.github.polling import STREAMS
from providers.canonical import JSON

DEFAULT_BASE_URL: Final = "https://api.github.com"

SETTINGS_SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "base_url": {
            "type": "string",
            "format": "uri",
            "pattern": "^https?://",
            "default": DEFAULT_BASE_URL,
            "description": "API address; https://HOST/api/v3 for Enterprise Server.",
        },
        "repositories": {
            "type": "array",
            "items": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_-]+/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$",
                "maxLength": 140,
            },
            "uniqueItems": True,
            "maxItems": 500,
            "description": "Repositories to poll and to make webhooks in, as owner/name.",
        },
        "streams": {
            "type": "array",
            "items": {"enum": [stream.name for stream in STREAMS]},
            "uniqueItems": True,
            "description": "Lists to poll; without it: issues.",
        },
        "poll_interval_seconds": {"type": "integer", "minimum": 60, "maximum": 86400},
    },
    "additionalProperties": False,
}

CREDENTIAL_SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "token": {
            "type": "string",
            "minLength": 1,
            "maxLength": 4096,
            "pattern": "^[!-~]+$",
            "description": "Personal access token, OAuth token or installation token.",
        },
        "app_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]{1,100}$",
            "x-public": True,
            "description": "Instead of a token: client id or id of a GitHub App.",
        },
        "installation_id": {
            "type": "string",
            "pattern": "^[0-9]{1,20}$",
            "x-public": True,
            "description": "Number of the app's installation, from the address of its settings page.",
        },
        "private_key": {
            "type": "string",
            "minLength": 1,
            "maxLength": 16000,
            "x-multiline": True,
            "description": "Private key of the app, as downloaded (PEM).",
        },
    },
    "oneOf": [{"required": ["token"]}, {"required": ["app_id", "installation_id", "private_key"]}],
    "additionalProperties": False,
}
