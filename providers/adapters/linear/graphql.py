"""How Linear's one endpoint is asked, and what its answers mean.

Errors come with status 200 as well, a rate limit with 400, so every answer is read before its status counts.
Sources: https://linear.app/developers/graphql and https://linear.app/developers/rate-limiting
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.client import Response
from providers.document import Document, parse_json
from providers.errors import AuthFailed, LacksAccess, ProviderError, ProviderFault, RateLimited, Rejected

PATH = "graphql"
REFUSED = "Linear refused the request."
UNDONE = "Linear did not do it and does not say why."
NOT_FOUND = 404
# The words Linear puts into ``extensions.type``, and ``code`` in capitals. Anything else is a refusal.
_ERRORS: tuple[tuple[type[ProviderError], frozenset[str], str], ...] = (
    (
        AuthFailed,
        frozenset(("authentication error",)),
        "Linear does not accept the credential.",
    ),
    (
        LacksAccess,
        frozenset(("forbidden",)),
        "The credential may not do this at Linear: a scope, a role or access to a team is missing.",
    ),
    (
        RateLimited,
        frozenset(("ratelimited",)),
        "Linear's rate limit is reached.",
    ),
    (
        ProviderFault,
        frozenset(("internal error", "network error", "lock timeout")),
        "Linear failed.",
    ),
    (
        Rejected,
        frozenset(("usage limit exceeded", "feature not accessible")),
        "The workspace's plan at Linear does not allow this.",
    ),
)


def classify(answer: Response) -> ProviderError | None:
    """The error an answer holds, whatever its status; ``None`` leaves it to the usual table."""
    if answer.status >= 500:
        return None
    try:
        body = Document(parse_json(answer.content))
    except ValueError:
        return None
    errors, successes = body.items("/errors"), _successes(body)
    if True in successes and errors:
        # It was done, and telling of it failed: sent again or looked for, it is found.
        return ProviderFault("Linear failed to tell what it did.", status=answer.status)
    if not errors:
        return Rejected(UNDONE, status=answer.status) if False in successes else None
    code = next((error.text("/extensions/code", "/extensions/type", limit=100) or "" for error in errors), "")
    words = {word for error in errors for word in _words(error)}
    for kind, known, message in _ERRORS:
        if words & known:
            return kind(message, status=answer.status, code=code)
    if any((error.text("/message") or "").startswith("Entity not found") for error in errors):
        gone = "There is no such thing at Linear, or the credential cannot see it."
        return Rejected(gone, status=NOT_FOUND, code=code)
    return Rejected(REFUSED, status=answer.status, code=code)


def explain(answer: Response) -> str:
    """Linear's own words for a refusal, those meant for people where there are any."""
    try:
        errors = Document(parse_json(answer.content)).items("/errors")
    except ValueError:
        return ""
    told = (error.text("/extensions/userPresentableMessage", "/message") for error in errors)
    return "; ".join(dict.fromkeys(text for text in told if text))


def _successes(body: Document) -> set[bool | None]:
    """What each mutation in an answer says of itself."""
    data = body.at("/data")
    return {Document(told).boolean("/success") for told in data.values()} if isinstance(data, dict) else set()


def _words(error: Document) -> list[str]:
    found = (error.text(f"/extensions/{name}") or "" for name in ("code", "type"))
    return [word.lower().replace("_", " ") for word in found]


def request(operation: str, text: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The body of one request."""
    return {"operationName": operation, "query": text, "variables": dict(variables or {})}


def data(answer: Response) -> Document:
    """The data of an answer. Raises ``ProviderFault`` where there is none."""
    body = Document(answer.json())
    if not isinstance(body.at("/data"), dict):
        raise ProviderFault("Linear's answer holds no data.", status=answer.status)
    return Document(body.at("/data"))
