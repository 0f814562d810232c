"""Cursor pages over primary keys that rise with time: stable while rows are added, and cheap at any depth."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as UnusableValue
from django.db import DataError
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

MAX_PAGE_SIZE = 200
MAX_CURSOR_LENGTH = 500


class NewestFirst(CursorPagination):
    """``{"results", "next", "previous"}``, newest first. UUIDv7 keys rise with time, so the key is the order."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE
    ordering = "-pk"

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        # A view of rows without such a key names its own order.
        return (getattr(view, "ordering", self.ordering),)

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("page_size")
        if given is None:
            return int(self.page_size or MAX_PAGE_SIZE)
        if not (given.isascii() and given.isdigit() and len(given) <= 6 and 1 <= int(given) <= MAX_PAGE_SIZE):
            raise ValidationError({"page_size": f"must be a number from 1 to {MAX_PAGE_SIZE}"})
        return int(given)

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        cursor = request.query_params.get(self.cursor_query_param, "")
        if len(cursor) > MAX_CURSOR_LENGTH:
            raise ValidationError({"cursor": "is not a cursor of this list"})
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValueError, TypeError, UnusableValue, DataError):
            raise ValidationError({"cursor": "is not a cursor of this list"}) from None

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        size = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": self.page_size}
        cursor = {"type": "string", "maxLength": MAX_CURSOR_LENGTH}
        return [
            {"name": "cursor", "in": "query", "schema": cursor, "description": "Taken from next or previous."},
            {"name": "page_size", "in": "query", "schema": size, "description": "Rows a page."},
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "properties": {
                "results": schema,
                "next": {**link, "description": "The next, older page; null on the last one."},
                "previous": {**link, "description": "The page before; null on the first one."},
            },
        }
