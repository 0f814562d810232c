"""Why GitHub refused, in its own words.

https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#validation-failed
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from providers.client import Response
from providers.document import Document
from providers.errors import ProviderFault

_MOST: Final = 5
_CODES: Final = {
    "missing": "does not exist",
    "missing_field": "is missing",
    "invalid": "is not valid",
    "already_exists": "exists already",
    "unprocessable": "cannot be processed",
}


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
