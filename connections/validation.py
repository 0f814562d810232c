"""What a connection may be made of. Problems name the place and the reason, never the value."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import orjson
from django.conf import settings as deployment

from connections.errors import ServiceError
from connections.models import no_capabilities
from connections.secret_store import SecretUnavailable, get_credential
from providers.addresses import is_public
from providers.outbound import origin_of
from providers.spi import Adapter

MAX_TAGS = 50
MAX_TAG_NAME_LENGTH = 100
MAX_TAG_VALUE_LENGTH = 500
MAX_SETTINGS_BYTES = 64 * 1024
MAX_CREDENTIAL_BYTES = 64 * 1024
# Secrets under this prefix are how we speak to the platform's own services; no connection may use them.
RESERVED_REFERENCES = "platform/"

Problem = dict[str, str]


def invalid(*problems: Problem) -> ServiceError:
    """The error for values that cannot be accepted."""
    return ServiceError("VALIDATION_FAILED", "Some values cannot be accepted.", {"problems": list(problems)})


def problem(pointer: str, reason: str) -> Problem:
    """One fault: where (JSON pointer into the request's body) and why."""
    return {"pointer": pointer, "reason": reason}


def check_settings(adapter: Adapter, settings: Mapping[str, Any]) -> None:
    """Against the adapter's schema, and its address against the rules for outbound calls."""
    found = schema_problems(adapter.settings_schema, settings, "/settings")
    if len(orjson.dumps(settings)) > MAX_SETTINGS_BYTES:
        found.append(problem("/settings", f"is larger than {MAX_SETTINGS_BYTES} bytes"))
    reason = _address_fault(settings["base_url"]) if isinstance(settings.get("base_url"), str) else ""
    if reason:
        found.append(problem("/settings/base_url", reason))
    if found:
        raise invalid(*found)


def check_credential(adapter: Adapter, credential: Mapping[str, Any], *, pointer: str = "/credential") -> None:
    """Against the adapter's schema; nothing of the credential is repeated."""
    found = schema_problems(adapter.credential_schema, credential, pointer)
    if len(orjson.dumps(credential)) > MAX_CREDENTIAL_BYTES:
        found.append(problem(pointer, f"is larger than {MAX_CREDENTIAL_BYTES} bytes"))
    if found:
        raise invalid(*found)


def check_auth_ref(adapter: Adapter, tenant_id: str, auth_ref: str) -> None:
    """The reference must lead this tenant to a credential the adapter can use."""
    if len(auth_ref) > 300 or auth_ref.startswith(RESERVED_REFERENCES):
        raise invalid(problem("/auth_ref", "is not a reference a connection can use"))
    try:
        credential = get_credential(tenant_id, auth_ref)
    except SecretUnavailable as error:
        raise invalid(problem("/auth_ref", str(error))) from None
    check_credential(adapter, credential, pointer="/auth_ref")


def checked_capabilities(adapter: Adapter, wanted: Mapping[str, Any]) -> dict[str, bool]:
    """All three switches; those not named are off. Only what the adapter can do may be on."""
    can, known, found = adapter.capabilities(), no_capabilities(), []
    for name, on in wanted.items():
        if name not in known:
            found.append(problem("/enabled_capabilities", f"knows only {', '.join(known)}"))
        elif not isinstance(on, bool):
            found.append(problem(f"/enabled_capabilities/{name}", "must be true or false"))
        elif on and not can[name]:
            found.append(problem(f"/enabled_capabilities/{name}", f"{adapter.label} does not offer this"))
    if found:
        raise invalid(*found)
    return {**known, **wanted}


def checked_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Text to text, a bounded number of bounded length."""
    if len(tags) > MAX_TAGS:
        raise invalid(problem("/metadata_tags", f"has more than {MAX_TAGS} entries"))
    for name, value in tags.items():
        if not isinstance(value, str) or len(value) > MAX_TAG_VALUE_LENGTH:
            reason = f"every value must be text of at most {MAX_TAG_VALUE_LENGTH} characters"
            raise invalid(problem("/metadata_tags", reason))
        if not name or len(name) > MAX_TAG_NAME_LENGTH:
            raise invalid(problem("/metadata_tags", f"every name must have 1 to {MAX_TAG_NAME_LENGTH} characters"))
    return dict(tags)


def checked_name(name: str) -> str:
    """A name people can read: not blank, at most 200 characters."""
    name = name.strip()
    if not name or len(name) > 200:
        raise invalid(problem("/display_name", "must have 1 to 200 characters"))
    return name


def checked_version(adapter: Adapter, api_version: str) -> str:
    """A version the adapter speaks; empty takes its default."""
    if api_version and api_version not in adapter.api_versions:
        raise invalid(problem("/api_version", f"{adapter.label} is spoken in {', '.join(adapter.api_versions)}"))
    return api_version or adapter.api_versions[0]


def origin(settings: Mapping[str, Any]) -> str:
    """Scheme, host and port a credential is sent to; empty for the provider's own address."""
    parts = urlsplit(str(settings.get("base_url") or ""))
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""


def schema_problems(schema: Mapping[str, Any], value: Any, pointer: str) -> list[Problem]:
    """The first faults of a value against a JSON Schema (2020-12); none of them repeats the value."""
    # The mask keeps values out of the messages: a settings object may hold a misplaced credential.
    validator = jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True, mask="the value")
    return [
        problem("/".join([pointer, *(_escaped(step) for step in error.instance_path)]), error.message[:300])
        for error in validator.iter_errors(value)
    ][:20]


def _escaped(step: Any) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _address_fault(base_url: str) -> str:
    """Why the address may not be called, or an empty string. The client looks again at every call."""
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not an address"
    if not host or parts.scheme not in ("http", "https"):
        return "must be an https address"
    if parts.username is not None or parts.query or parts.fragment:
        return "must hold no user name, password, query or fragment"
    if origin_of(base_url) is None:
        return "is not an address"
    if deployment.OUTBOUND_POLICY.admits(base_url):
        return ""
    if parts.scheme != "https":
        return "must be https"
    try:
        public = is_public(ipaddress.ip_address(host))
    except ValueError:
        public = host.lower().rstrip(".") != "localhost"
    return "" if public else "leads to a private address, which is not allowed"
