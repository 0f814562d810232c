"""Whose token it is, what it is allowed and when it ends.

https://docs.gitlab.com/api/users/ and https://docs.gitlab.com/api/personal_access_tokens/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from providers.client import ProviderClient
from providers.document import Document, compact
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault, Rejected
from providers.scopes import ScopeNeed
from providers.spi import Identity

REQUIRED_SCOPES: Final[Mapping[str, Sequence[ScopeNeed]]] = {
    "polling": (ScopeNeed(any_of=("read_api", "api"), purpose="to read lists", essential=True),),
    "outbound_actions": (ScopeNeed(any_of=("api",), purpose="to write anything", essential=True),),
    "webhook": (ScopeNeed(any_of=("api",), purpose="to make webhooks"),),
}
# One of them is needed to be told who one is; a token without any is of a kind whose rights are named otherwise.
_CLASSIC: Final = {"api", "read_api", "read_user"}


def identify(client: ProviderClient) -> Identity:
    """``GET /user`` answers to every kind of token."""
    try:
        user = Document(client.get("user").json())
    except AuthFailed as refused:
        if refused.status != 403:
            raise
        raise AuthFailed(
            "GitLab refuses the token (403): it needs the scope read_user, read_api or api.", status=403
        ) from None
    except Rejected as refused:
        if refused.status != 404:
            raise
        raise Misconfigured("There is no GitLab API at base_url; its address ends in /api/v4.") from None
    username = user.text("/username", limit=200)
    if not username:
        raise ProviderFault("GitLab does not say whose token this is.")
    kind = "bot" if user.boolean("/bot") else "user"
    scopes, expires_at = _of_the_token(client)
    return Identity(
        account=username,
        details=compact({"type": kind, "state": user.text("/state", limit=50)}),
        scopes=scopes,
        expires_at=expires_at,
    )


def _of_the_token(client: ProviderClient) -> tuple[Sequence[str] | None, datetime | None]:
    """Scopes and end of a personal, project or group access token; nothing for an OAuth token, which is refused."""
    try:
        token = Document(client.get("personal_access_tokens/self").json())
    except ProviderError:
        return None, None
    scopes = sorted(set(token.texts("/scopes")))
    return (scopes if _CLASSIC & set(scopes) else None), _midnight(token.text("/expires_at", limit=20))


def _midnight(day: str | None) -> datetime | None:
    """A token ends at midnight UTC of its day."""
    try:
        return datetime.strptime(day or "", "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
