"""Whose token it is, what it is allowed and when it ends.

https://docs.github.com/en/rest/users/users#get-the-authenticated-user
https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from providers.client import ProviderClient
from providers.document import Document, compact
from providers.errors import AuthFailed, ProviderFault
from providers.scopes import ScopeNeed, scopes_in
from providers.spi import Identity

# Scopes of classic tokens; what a fine-grained token or an app may do is not told.
REQUIRED_SCOPES: Final[Mapping[str, Sequence[ScopeNeed]]] = {
    "polling": (ScopeNeed(any_of=("repo",), purpose="to read private repositories"),),
    "outbound_actions": (
        ScopeNeed(any_of=("repo", "public_repo"), purpose="to write issues, pull requests and comments"),
        ScopeNeed(any_of=("repo", "repo:status", "public_repo"), purpose="to set commit statuses"),
    ),
    "webhook": (
        ScopeNeed(any_of=("repo", "admin:repo_hook", "write:repo_hook"), purpose="to make webhooks in repositories"),
    ),
}
EXPIRATION_HEADER: Final = "github-authentication-token-expiration"
_EXPIRATION = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (UTC|[+-]\d{4})", re.ASCII)


def identify(client: ProviderClient) -> Identity:
    """``GET /user``; a token of an app installation has no user and is asked for its repositories."""
    try:
        answer = client.get("/user")
    except AuthFailed as refused:
        if refused.status != 403:
            raise
        return _installation(client)
    user = Document(answer.json())
    login = user.text("/login", limit=100)
    if not login:
        raise ProviderFault("GitHub does not say whose token this is.")
    scopes = answer.headers.get("x-oauth-scopes")
    return Identity(
        account=login,
        details=compact({"type": user.text("/type"), "scopes": scopes}),
        scopes=scopes_in(scopes),
        expires_at=expiration(answer.headers.get(EXPIRATION_HEADER, "")),
    )


def expiration(told: str) -> datetime | None:
    """The day a personal access token ends; ``None`` for one that does not, and for a form nobody documents."""
    if not _EXPIRATION.fullmatch(told):
        return None
    try:
        return datetime.strptime(told.replace("UTC", "+0000"), "%Y-%m-%d %H:%M:%S %z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _installation(client: ProviderClient) -> Identity:
    """https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation"""
    try:
        found = Document(client.get("/installation/repositories", params={"per_page": 1}).json())
    except AuthFailed as refused:
        raise AuthFailed(
            "GitHub refuses the token (403). A fine-grained token may lack a permission, a classic one the "
            "organisation's single sign-on, or too many bad logins block it for a while.",
            status=refused.status,
        ) from None
    total = found.integer("/total_count")
    if total is None:
        raise ProviderFault("GitHub does not say what the token can see.")
    owner = found.text("/repositories/0/owner/login", limit=100)
    return Identity(account=owner or "app installation", details={"type": "Installation", "repositories": str(total)})
