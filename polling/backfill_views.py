"""Backfills of a connection: /v1/integrations/connections/{id}/backfill and /backfills."""

from __future__ import annotations

from typing import Any

import django_filters
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import StrictFilters, TenantViewSet, actor_of, validated
from polling.backfill import cancel_backfill, pause_backfill, resume_backfill, start_backfill
from polling.backfill_serializers import BackfillRequest, BackfillState
from polling.backfill_status import backfill_status
from polling.models import Backfill, BackfillPurpose, BackfillStatus

_WINDOW = OpenApiExample(
    "January, two streams",
    request_only=True,
    value={"since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z", "streams": ["issues", "comments"]},
)
_HALF_WAY = OpenApiExample(
    "Half way",
    response_only=True,
    value={
        "backfill_id": "019c2f4e-7d1a-7c33-9b1e-0f6f5c0d2a11",
        "connection_id": "019c2f4e-1111-7c33-9b1e-0f6f5c0d2a11",
        "purpose": "asked",
        "status": "running",
        "since": "2026-01-01T00:00:00Z",
        "until": "2026-02-01T00:00:00Z",
        "streams": [],
        "notice": "",
        "requested_by": "api:zoe",
        "paused_by": "",
        "paused_at": None,
        "progress_percent": 52,
        "eta_seconds": 480,
        "eta_at": "2026-03-01T09:38:00Z",
        "reading": {
            "stream": "issues",
            "partition": "acme/web",
            "since": "2026-01-15T00:00:00Z",
            "until": "2026-01-22T00:00:00Z",
        },
        "parts_done": 1,
        "parts_total": 3,
        "pages": 118,
        "events_found": 11764,
        "events_new": 311,
        "waiting_for": "",
        "last_error": "",
        "next_run_at": "2026-03-01T09:30:00Z",
        "started_at": "2026-03-01T09:21:00Z",
        "completed_at": None,
        "created_at": "2026-03-01T09:20:55Z",
    },
)


class BackfillFilters(StrictFilters):
    status = django_filters.ChoiceFilter(choices=BackfillStatus.choices)
    purpose = django_filters.ChoiceFilter(choices=BackfillPurpose.choices)


@extend_schema(tags=["Polling"])
class BackfillViewSet(TenantViewSet):
    """Windows of the past that are read beside live polling."""

    rows = Backfill.objects.all()
    serializer_class = BackfillState
    filterset_class = BackfillFilters

    @extend_schema(
        summary="Read a window of the past",
        description="Runs beside live polling, in slices of time, and does not move its cursors; live polling goes "
        "first. Where the provider does not keep all of the window, notice says from when it is read. Ten may be "
        "unfinished for a connection: one more is refused with 409, TOO_MANY_BACKFILLS.",
        operation_id="polling_backfill",
        request=BackfillRequest,
        responses={202: BackfillState},
        examples=[_WINDOW, _HALF_WAY],
    )
    def start(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        asked = validated(self, BackfillRequest)
        backfill = start_backfill(
            connection, asked["since"], asked["until"], actor=actor_of(request), streams=asked.get("streams")
        )
        return Response(_state(backfill), status=202)

    @extend_schema(
        summary="List backfills",
        description="Those of one connection, newest first; repairs of gaps among them.",
        operation_id="backfills_list",
    )
    def list(self, request: Request, connection_id: Any) -> Response:
        rows = self.filter_queryset(self.get_queryset()).filter(connection=self.connection())
        page = self.paginate_queryset(rows) or []
        now = timezone.now()
        return self.get_paginated_response(
            BackfillState([backfill_status(backfill, now) for backfill in page], many=True).data
        )

    @extend_schema(
        summary="Read a backfill",
        description="How far it is, what it waits for, and when it will have ended if it goes on as it does.",
        operation_id="backfills_read",
        responses={200: BackfillState},
        examples=[_HALF_WAY],
    )
    def retrieve(self, request: Request, connection_id: Any, backfill_id: Any) -> Response:
        return Response(_state(self._backfill()))

    @extend_schema(
        summary="Pause a backfill",
        description="It stops where it is: a page that is being read is read again later. Refused with 409, "
        "BACKFILL_PAUSED, if it is paused already, and BACKFILL_ENDED if it has ended.",
        operation_id="backfills_pause",
        request=None,
        responses={200: BackfillState},
    )
    def pause(self, request: Request, connection_id: Any, backfill_id: Any) -> Response:
        backfill = self._backfill()
        pause_backfill(backfill, actor=actor_of(request))
        return Response(_state(self._backfill()))

    @extend_schema(
        summary="Resume a backfill",
        description="It goes on where it was paused. Refused with 409, BACKFILL_NOT_PAUSED, if it is not paused, and "
        "BACKFILL_ENDED if it has ended.",
        operation_id="backfills_resume",
        request=None,
        responses={200: BackfillState},
    )
    def resume(self, request: Request, connection_id: Any, backfill_id: Any) -> Response:
        backfill = self._backfill()
        resume_backfill(backfill, actor=actor_of(request))
        return Response(_state(self._backfill()))

    @extend_schema(
        summary="Cancel a backfill",
        description="It stops for good; what was read stays. Refused with 409, BACKFILL_ENDED, if it has ended.",
        operation_id="backfills_cancel",
        request=None,
        responses={200: BackfillState},
    )
    def cancel(self, request: Request, connection_id: Any, backfill_id: Any) -> Response:
        backfill = self._backfill()
        cancel_backfill(backfill, actor=actor_of(request))
        return Response(_state(self._backfill()))

    def _backfill(self) -> Backfill:
        rows = self.get_queryset().select_related("connection").filter(connection=self.connection())
        backfill: Backfill | None = rows.filter(pk=self.kwargs["backfill_id"]).first()
        if backfill is None:
            raise Http404
        return backfill


def _state(backfill: Backfill) -> Any:
    return BackfillState(backfill_status(backfill, timezone.now())).data
