"""Installation tokens of a GitHub App: an hour's access, minted with the app's private key.

Source: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
and https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from providers.adapters.github.settings import DEFAULT_BASE_URL
from providers.client import Response
from providers.document import Document
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault, RateLimited
from providers.minting import TokenMinter
from providers.token_requests import TokenRequest, TokenSet, usable_token

# "60 seconds in the past" against clock drift; at most ten minutes ahead.
_ISSUED_BEFORE: Final = timedelta(seconds=60)
_VALID_FOR: Final = timedelta(minutes=9)
_INSTALLATION: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----(.+?)-----END \1-----", re.DOTALL)
_REFUSED: Final = {
    401: "GitHub does not accept the app's key: its id and its private key do not belong together, or it was removed",
    403: "GitHub does not give the app a token: its installation may be suspended",
    404: "GitHub knows no such installation of the app",
}


class InstallationTokens(TokenMinter):
    """``app_id``, ``private_key`` and ``installation_id`` instead of a token."""

    def audience(self, settings: Mapping[str, Any]) -> str:
        return _base_url(settings)

    def matches(self, credential: Mapping[str, str]) -> bool:
        return not credential.get("token") and bool(credential.get("app_id"))

    def request(self, settings: Mapping[str, Any], credential: Mapping[str, str], now: datetime) -> TokenRequest:
        installation = credential.get("installation_id") or ""
        if not _INSTALLATION.fullmatch(installation):
            raise Misconfigured("The credential has no usable installation_id.")
        return TokenRequest(
            url=f"{_base_url(settings)}/app/installations/{installation}/access_tokens",
            encoding="json",
            headers={"Accept": "application/vnd.github+json", "Authorization": f"Bearer {_signed(credential, now)}"},
            classify=_refusal,
        )

    def read(self, answer: Response, now: datetime) -> TokenSet:
        body = Document(answer.json())
        token, ends = usable_token(body.text("/token", limit=16_000)), body.time("/expires_at")
        if not token or ends is None:
            raise ProviderFault("GitHub answered without a usable token.", status=answer.status)
        granted = body.at("/permissions")
        scopes = sorted(f"{name}:{access}" for name, access in granted.items()) if isinstance(granted, dict) else ()
        # Their clock may differ from ours by less than it takes to matter; a token that ended is renewed at once.
        return TokenSet(access_token=token, expires_in=max(1.0, (ends - now).total_seconds()), scopes=tuple(scopes))


def _base_url(settings: Mapping[str, Any]) -> str:
    return str(settings.get("base_url") or DEFAULT_BASE_URL).rstrip("/")


def _signed(credential: Mapping[str, str], now: datetime) -> str:
    claims = {"iat": now - _ISSUED_BEFORE, "exp": now + _VALID_FOR, "iss": credential["app_id"]}
    try:
        return jwt.encode(claims, _key(credential.get("private_key") or ""), algorithm="RS256")
    except (jwt.PyJWTError, ValueError, TypeError):
        # The library's words may hold parts of the key.
        raise Misconfigured("The private key of the app is not a usable RSA key.") from None


def _key(pem: str) -> str:
    """The key with its lines, which forms and environment variables like to lose."""
    found = _PEM.search(pem.replace("\\n", "\n"))
    if found is None:
        raise ValueError("no PEM")
    kind, body = found.groups()
    return f"-----BEGIN {kind}-----\n{chr(10).join(body.split())}\n-----END {kind}-----\n"


def _refusal(answer: Response) -> ProviderError | None:
    if answer.status in (403, 429) and answer.headers.get("x-ratelimit-remaining") == "0":
        return RateLimited("GitHub's rate limit for the app is reached.", status=answer.status)
    if answer.status in _REFUSED and "retry-after" not in answer.headers:
        return AuthFailed(f"{_REFUSED[answer.status]} ({answer.status}).", status=answer.status)
    return None
