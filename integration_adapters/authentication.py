"""Bearer tokens of API clients: who asks, for which tenant, in which roles.

Modes (``IAM_MODE``): ``jwks`` checks the signature against the identity service's published keys;
``introspect`` asks the identity service and reads tenant and roles from the token it approved; ``local``
signs and checks with a key derived from ``SECRET_KEY`` and is for development only.

Algorithms are pinned, a token cannot choose how it is checked (RFC 8725, section 3.1). A token without a
tenant is refused: there is nothing it could see.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import jwt
import structlog
from django.conf import settings
from django.core.cache import cache as remembered
from jwt.exceptions import PyJWKClientConnectionError
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from connections.exchange import NoAnswer, exchange
from connections.platform import platform_headers
from connections.secret_store import SecretsUnreachable
from connections.tenancy import ROLES, SHARED_TENANT, Principal
from integration_adapters.published_keys import published_keys

MAX_TOKEN_LENGTH = 8192
LEEWAY_SECONDS = 10
LOCAL_ISSUER = "integration-adapters-local"
PUBLISHED_KEY_ALGORITHMS = ("RS256", "ES256", "EdDSA")
LOCAL_ALGORITHM = "HS256"

_INVALID = "The token is not valid."


class IdentityUnavailable(APIException):
    """The identity service does not answer: the token may be good, so this is no 401."""

    status_code = 503
    default_detail = "The identity service does not answer."
    default_code = "identity_unavailable"


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer <JWT>``."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = token.strip()
        if not token or len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise AuthenticationFailed(_INVALID)
        principal = principal_of(claims_of(token))
        structlog.contextvars.bind_contextvars(tenant_id=principal.tenant_id, subject=principal.subject)
        return principal, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="integration-adapters"'


def claims_of(token: str) -> dict[str, Any]:
    """The verified claims. Raises ``AuthenticationFailed`` or ``IdentityUnavailable``."""
    try:
        match settings.IAM_MODE:
            case "jwks":
                return _with_published_keys(token)
            case "introspect":
                return _introspected(token)
            case "local" if not settings.IS_PRODUCTION:
                return _decode(token, _local_key(), [LOCAL_ALGORITHM], LOCAL_ISSUER)
    except jwt.ExpiredSignatureError:
        raise AuthenticationFailed("The token has expired.") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise AuthenticationFailed(_INVALID) from None
    raise AuthenticationFailed("This deployment accepts no tokens: IAM_MODE=local is for development only.")


def principal_of(claims: dict[str, Any]) -> Principal:
    """Subject, tenant and roles. Unknown roles are dropped; without a tenant there is no principal."""
    tenant_id, subject, roles = claims.get("tenant_id"), claims.get("sub"), claims.get("roles")
    if not _is_name(tenant_id) or tenant_id == SHARED_TENANT:
        raise AuthenticationFailed("The token names no tenant.")
    if not _is_name(subject):
        raise AuthenticationFailed("The token names no subject.")
    names = roles.split() if isinstance(roles, str) else roles if isinstance(roles, list) else []
    known = frozenset(name for name in names if isinstance(name, str) and name in ROLES)
    return Principal(subject=str(subject), tenant_id=str(tenant_id), roles=known)


def issue_local_token(*, tenant_id: str, roles: Sequence[str], subject: str, ttl_seconds: int) -> str:
    """A token for development. Raises ``ValueError`` outside ``IAM_MODE=local`` and in production."""
    if settings.IAM_MODE != "local" or settings.IS_PRODUCTION:
        raise ValueError("Tokens are issued here only with IAM_MODE=local and ENVIRONMENT=dev.")
    now = int(time.time())
    claims = {
        "iss": LOCAL_ISSUER,
        "aud": settings.IAM_AUDIENCE,
        "sub": subject,
        "tenant_id": tenant_id,
        "roles": list(roles),
        "iat": now,
        "exp": now + ttl_seconds,
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode(claims, _local_key(), algorithm=LOCAL_ALGORITHM)


def _decode(token: str, key: Any, algorithms: Sequence[str], issuer: str) -> dict[str, Any]:
    return jwt.decode(
        token,
        key,
        algorithms=list(algorithms),
        audience=settings.IAM_AUDIENCE,
        issuer=issuer,
        leeway=LEEWAY_SECONDS,
        options={"require": ["exp", "iss", "aud", "sub"]},
    )


def _local_key() -> bytes:
    # Derived, so that a token never is made with the key that signs sessions.
    return hmac.digest(settings.SECRET_KEY.encode(), b"integration-adapters local tokens", "sha256")


def _require_pinned(token: str) -> None:
    header = jwt.get_unverified_header(token)
    if header.get("alg") not in PUBLISHED_KEY_ALGORITHMS:
        raise jwt.InvalidAlgorithmError
    if "crit" in header:
        # RFC 7515, section 4.1.11: what has to be understood and is not. We know no extension.
        raise jwt.InvalidTokenError


def _with_published_keys(token: str) -> dict[str, Any]:
    if not settings.IAM_ISSUER or not settings.IAM_JWKS_URL:
        raise IdentityUnavailable("IAM_ISSUER and IAM_JWKS_URL are not set.")
    # Before any key is fetched: an unusable token must cost no request.
    _require_pinned(token)
    try:
        key = published_keys(settings.IAM_JWKS_URL).get_signing_key_from_jwt(token)
    except PyJWKClientConnectionError:
        raise IdentityUnavailable from None
    return _decode(token, key, PUBLISHED_KEY_ALGORITHMS, settings.IAM_ISSUER)


def _introspected(token: str) -> dict[str, Any]:
    """The token's own claims, once the identity service has vouched for it."""
    if not settings.IAM_SERVICE_URL:
        raise IdentityUnavailable("IAM_SERVICE_URL is not set.")
    _require_pinned(token)
    claims: dict[str, Any] = jwt.decode(
        token,
        options={"verify_signature": False, "verify_exp": True, "verify_nbf": True, "require": ["exp", "sub"]},
        leeway=LEEWAY_SECONDS,
    )
    _require_meant_for_us(claims)
    principal = principal_of(claims)
    lives = int(claims["exp"]) - time.time()
    cache_key = f"iam:{hashlib.sha256(token.encode()).hexdigest()}"
    subject = remembered.get(cache_key)
    if subject is None:
        subject, valid = _vouched_for(token, principal.tenant_id)
        # Never remembered longer than the token itself lives, or than the identity service's word.
        remember = int(min(settings.IAM_CACHE_SECONDS, lives, valid))
        if remember > 0:
            remembered.set(cache_key, subject, remember)
    if subject != principal.subject:
        raise jwt.InvalidTokenError
    return claims


def _require_meant_for_us(claims: dict[str, Any]) -> None:
    """Who vouches for a token does not say for whom it was made; where the token says it, that counts."""
    audience, issuer = claims.get("aud"), claims.get("iss")
    named = audience if isinstance(audience, list) else [audience]
    if audience is not None and settings.IAM_AUDIENCE not in named:
        raise jwt.InvalidAudienceError
    if issuer is not None and settings.IAM_ISSUER not in ("", issuer):
        raise jwt.InvalidIssuerError


def _vouched_for(token: str, tenant_id: str) -> tuple[str, float]:
    """The subject the identity service vouches for, and for how many seconds."""
    try:
        answer = exchange(
            "POST",
            f"{settings.IAM_SERVICE_URL}/iam/v1/verify",
            platform_headers(tenant_id, "iam"),
            {"token": token},
            timeout_seconds=settings.IAM_TIMEOUT_SECONDS,
            service="identity service",
        )
    except (NoAnswer, SecretsUnreachable):
        raise IdentityUnavailable from None
    if answer.status in (400, 401, 403, 422):
        raise AuthenticationFailed(_INVALID)
    body = answer.document()
    if answer.status != 200 or not isinstance(body, dict) or not isinstance(body.get("sub"), str):
        raise IdentityUnavailable
    valid = _seconds_until(body.get("valid_until"))
    if valid <= -LEEWAY_SECONDS:
        raise jwt.ExpiredSignatureError
    return body["sub"], valid


def _seconds_until(moment: Any) -> float:
    """Until a time in ISO 8601; without end where none can be read."""
    try:
        until = datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        return math.inf
    return (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - time.time()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 100 and value.isprintable()
