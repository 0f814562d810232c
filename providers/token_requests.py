"""Requests to token endpoints and what is answered (RFC 6749, sections 3.2, 4.4, 5 and 6).

Whoever asks gets a ``TokenSet`` or a ``ProviderError``: ``GrantEnded`` where only a new authorisation helps,
``Misconfigured`` where the client itself is refused, and the usual ones for what passes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import quote_plus, urlsplit

import orjson

from providers.client import ClientConfig, ProviderClient, Response
from providers.deadline import Deadline
from providers.disclosure import without
from providers.document import parse_json
from providers.errors import GrantEnded, Misconfigured, ProviderError, ProviderFault, RateLimited, Rejected
from providers.known_secrets import SHORTEST
from providers.oauth import OAuth2
from providers.outbound import OutboundPolicy

# What can stand in a header after "Bearer " (RFC 6750, section 2.1, and what vendors make of it).
_TOKEN: Final = re.compile(r"[!-~]{1,16000}", re.ASCII)
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)
_LONGEST_LIFE_SECONDS: Final = 10 * 365 * 86400.0
_CLIENT_REFUSED: Final = frozenset({"invalid_client", "unauthorized_client", "incorrect_client_credentials"})
# Fields of requests that are no secrets.
_PUBLIC: Final = frozenset({"grant_type", "client_id", "redirect_uri", "scope"})
_PASSING: Final = frozenset(
    {"temporarily_unavailable", "server_error", "internal_error", "fatal_error", "service_unavailable"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """One POST to a token endpoint. ``fields`` and ``headers`` hold secrets.

    ``classify`` reads refusals; ``None`` stands for those of RFC 6749.
    """

    url: str
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    encoding: Literal["form", "json"] = "form"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    classify: Callable[[Response], ProviderError | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """What was granted. ``expires_in``: seconds; ``None`` where the server does not say, or it does not expire.

    ``scopes``: those granted; ``None``: those asked for (RFC 6749, section 5.1).
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_in: float | None = None
    scopes: tuple[str, ...] | None = None


def token_request(
    oauth: OAuth2, *, origin: str, client_id: str, client_secret: str, fields: Mapping[str, str]
) -> TokenRequest:
    """A request of the client to this server; ``fields`` begin with ``grant_type``.

    ``origin`` is that of the client's registration: its secret is sent nowhere else.
    """
    sent, headers = dict(fields), {}
    if oauth.client_authentication == "basic" and client_secret:
        # Section 2.3.1: both are encoded as in a form before they are joined.
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        sent["client_id"] = client_id
        if client_secret:
            sent["client_secret"] = client_secret
    return TokenRequest(
        url=oauth.token_url.replace("{origin}", origin or oauth.default_origin),
        fields=sent,
        encoding=oauth.token_format,
        headers=headers,
        classify=lambda answer: refusal(answer, ended=oauth.ended_errors),
    )


def ask(
    request: TokenRequest,
    policy: OutboundPolicy,
    *,
    deadline: Deadline | None = None,
    observe: Callable[[str], None] | None = None,
) -> Response:
    """Send it, once. Raises ``ProviderError``; the answer of a success may still be unreadable (``granted``)."""
    parts = urlsplit(request.url)
    classify = request.classify or refusal
    config = ClientConfig(
        base_url=f"{parts.scheme}://{parts.netloc}",
        headers=request.headers,
        # The name of an error may be anything, also what was sent.
        classify=lambda answer: classify(replace(answer, content=_unsent(answer.content, request.fields))),
    )
    fields = dict(request.fields)
    with ProviderClient(config, policy, observe, deadline) as client:
        if request.encoding == "json":
            answer = client.write("POST", request.url, json=fields)
        else:
            answer = client.write("POST", request.url, form=fields)
    return replace(answer, content=_with_shown_scopes(answer.content, request.fields))


def _secrets(fields: Mapping[str, Any]) -> list[str]:
    return _long_enough(str(value) for name, value in fields.items() if name not in _PUBLIC)


def _long_enough(secrets: Iterable[str]) -> list[str]:
    return [secret for secret in secrets if len(secret) >= SHORTEST]


def _unsent(content: bytes, fields: Mapping[str, Any]) -> bytes:
    """What a server says, without the secrets it was sent."""
    return without(content, _secrets(fields))


def _with_shown_scopes(content: bytes, fields: Mapping[str, Any]) -> bytes:
    """Scopes are shown and kept in clear, so none of them is a secret that was sent or a token that is granted."""
    try:
        body = parse_json(content)
    except ValueError:
        return content
    if not isinstance(body, dict) or not isinstance(body.get("scope"), str):
        return content
    tokens = [body[name] for name in ("access_token", "refresh_token") if isinstance(body.get(name), str)]
    told = without(body["scope"].encode(), [*_secrets(fields), *_long_enough(tokens)])
    return orjson.dumps({**body, "scope": told.decode()})


def granted(answer: Response) -> TokenSet:
    """The tokens of a successful answer (section 5.1). Raises ``ProviderFault`` for anything else."""
    body = answer.json()
    if not isinstance(body, dict):
        raise ProviderFault("The token server answered something that is no token.", status=answer.status)
    access = usable_token(body.get("access_token"))
    if not access:
        raise ProviderFault("The token server answered without a usable access token.", status=answer.status)
    if body.get("refresh_token") and not usable_token(body["refresh_token"]):
        raise ProviderFault("The token server answered with an unusable refresh token.", status=answer.status)
    return TokenSet(
        access_token=access,
        refresh_token=usable_token(body.get("refresh_token")),
        expires_in=_seconds(body.get("expires_in")),
        scopes=_scopes(body.get("scope")),
    )


def usable_token(value: Any) -> str:
    """The token if it can be sent in a header, else an empty string."""
    return value if isinstance(value, str) and _TOKEN.fullmatch(value) else ""


def refusal(answer: Response, *, ended: tuple[str, ...] = ()) -> ProviderError | None:
    """What a token server refuses (section 5.2), also where its status says otherwise; ``None`` for the usual table.

    ``ended``: its own names, besides ``invalid_grant``, for a grant that is over.
    """
    code = _error_code(answer)
    status = answer.status
    if 300 <= status < 400:
        # Followed, it would send the code or the refresh token a second time.
        return ProviderFault("The token server answers with another address.", status=status)
    if not code and (status < 400 or status >= 500 or status in (408, 429)):
        return None
    if not code and "retry-after" in answer.headers:
        return RateLimited("The token server asks to wait.", status=status)
    told = f" ({code})" if code else f" ({status})"
    if code == "invalid_grant" or code in ended:
        return GrantEnded(f"The provider no longer accepts the authorisation{told}.", status=status)
    if code in _PASSING or status >= 500:
        return ProviderFault(f"The token server failed{told}.", status=status)
    if status == 429 or code in ("slow_down", "ratelimited"):
        return RateLimited("The token server's rate limit is reached.", status=status)
    if code in _CLIENT_REFUSED or status == 401:
        return Misconfigured(f"The token server refuses the client: its id or secret{told}.", status=status)
    return Rejected(f"The token server refuses the request{told}.", status=status)


def _error_code(answer: Response) -> str:
    """The name of the error, empty without one. What the server says beside it is not repeated."""
    try:
        body = parse_json(answer.content)
    except ValueError:
        return ""
    code = body.get("error") if isinstance(body, dict) else None
    if not code:
        return ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "unnamed"


def _seconds(value: Any) -> float | None:
    """Some servers write the number as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST_LIFE_SECONDS:
        return None
    return float(value)


def _scopes(value: Any) -> tuple[str, ...] | None:
    return tuple(re.split(r"[\s,]+", value.strip()))[:200] if isinstance(value, str) and value.strip() else None
