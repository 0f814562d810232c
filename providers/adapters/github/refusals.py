"""What answers of GitHub mean beyond their status, and why it refused, in its own words.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit,
https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#validation-failed
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from providers.adapters.github.quotas import PAUSE_SECONDS
from providers.client import Response
from providers.document import Document, parse_json
from providers.errors import ProviderError, ProviderFault, RateLimited

_MOST: Final = 5
_CODES: Final = {
    "missing": "does not exist",
    "missing_field": "is missing",
    "invalid": "is not valid",
    "already_exists": "exists already",
    "unprocessable": "cannot be processed",
}


def classify(answer: Response) -> ProviderError | None:
    """A secondary limit that only the message tells: no header names a time, and 403 alone is a missing permission."""
    timed = "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"
    if answer.status not in (403, 429) or timed:
        return None
    try:
        message = Document(parse_json(answer.content)).text("/message") or ""
    except ValueError:
        return None
    if "secondary rate limit" not in message.lower():
        return None
    return RateLimited(
        "GitHub's secondary rate limit is reached.", status=answer.status, retry_after_seconds=PAUSE_SECONDS
    )


def explain(answer: Response) -> str:
    """``Validation Failed: title is missing``, or nothing where the body says nothing."""
    try:
        refusal = Document(answer.json())
    except ProviderFault:
        return ""
    reasons = list(dict.fromkeys(_reasons(refusal.at("/errors"))))[:_MOST]
    return ": ".join(part for part in (refusal.text("/message") or "", "; ".join(reasons)) if part)


def _reasons(errors: Any) -> Iterator[str]:
    """Errors come as objects with a code and a field, as plain texts, or as one text."""
    for error in map(Document, errors if isinstance(errors, list) else [errors]):
        message, code = error.text("/message") or error.text(""), error.text("/code")
        if message:
            yield message
        elif code:
            yield f"{error.text('/field', '/resource') or 'something'} {_CODES.get(code, code)}"
