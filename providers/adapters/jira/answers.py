"""Jira's own words for a refusal."""

from __future__ import annotations

from providers.client import Response
from providers.document import Document, parse_json


def explain(answer: Response) -> str:
    """General messages, then what is wrong with each field: ``{"errorMessages": […], "errors": {"summary": "…"}}``."""
    try:
        body = Document(parse_json(answer.content))
    except ValueError:
        return ""
    fields = body.at("/errors")
    named = [f"{name}: {told}" for name, told in fields.items()] if isinstance(fields, dict) else []
    return "; ".join([*body.texts("/errorMessages"), *named, *body.texts("/messages", "/key")])
