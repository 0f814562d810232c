"""Confluence's own words for a refusal."""

from __future__ import annotations

from providers.client import Response
from providers.document import Document, parse_json


def explain(answer: Response) -> str:
    """REST v2 tells a list of errors with titles and details, v1 one message."""
    try:
        body = Document(parse_json(answer.content))
    except ValueError:
        return ""
    errors = (": ".join(filter(None, (e.text("/title"), e.text("/detail")))) for e in body.items("/errors"))
    return "; ".join(filter(None, errors)) or body.text("/message") or ""
