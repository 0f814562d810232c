"""What a request body may be: one JSON object of bounded size, made of text a database can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

MAX_DEPTH = 32


class BodyTooLarge(APIException):
    """More than ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes."""

    status_code = 413
    default_detail = "The body is too large."
    default_code = "payload_too_large"


class ObjectParser(BaseParser):
    """``application/json``, strictly: no NaN, no lone surrogates, no NUL, not nested deeper than 32."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        # REST framework reads the stream itself, so Django's own limit is not asked.
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise BodyTooLarge
        try:
            return storable_object(raw)
        except ValueError as error:
            raise ParseError(f"The body {error}.", code="invalid_json") from None


class AlwaysJson(BaseContentNegotiation):
    """Everything is answered as JSON, whatever ``Accept`` says (RFC 9110, 12.5.1 allows it)."""

    def select_parser(self, request: Request, parsers: Sequence[BaseParser]) -> BaseParser | None:  # type: ignore[override]
        # A body without a declared type is taken for JSON; anything else must say that it is.
        declared = (request.content_type or "").partition(";")[0].strip().lower()
        return parsers[0] if declared in ("", parsers[0].media_type) else None

    def select_renderer(  # type: ignore[override]
        self, request: Request, renderers: Sequence[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], str(renderers[0].media_type)


def storable_object(raw: bytes) -> dict[str, Any]:
    """The JSON object. Raises ``ValueError`` with what is wrong with it, as the end of a sentence."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise ValueError("is not valid JSON") from None
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    _require_storable(value)
    return value


def _require_storable(root: dict[str, Any]) -> None:
    """PostgreSQL stores no NUL in text or JSON; and what is nested without end is nobody's settings."""
    pending: list[tuple[Any, int]] = [(root, 1)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, str):
            if "\x00" in value:
                raise ValueError("holds a NUL character, which cannot be stored")
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
            if isinstance(value, dict):
                pending.extend((key, depth) for key in value)
            pending.extend((item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))
