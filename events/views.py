"""Events: /v1/integrations/events, and envelopes of other adapters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import django_filters
from django.core.validators import RegexValidator
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connections import validation
from connections.api import ProviderFilter, StrictFilters, TenantViewSet, actor_of, principal_of, validated
from connections.errors import ServiceError
from connections.tenancy import IsService
from events.acceptance import MAX_SIGNALS_A_REQUEST, accept_envelopes
from events.models import AdapterEvent, AdapterEventQuerySet, DeliveryStatus, Source
from events.replays import start_replay
from events.serializers import (
    ERROR_CODE,
    SIGNAL_TYPE,
    AcceptedSignals,
    Event,
    EventDetail,
    Replayed,
    ReplayedEvent,
    ReplayRequest,
)
from events.services import replay


class EventFilters(StrictFilters):
    connection_id = django_filters.UUIDFilter(field_name="connection_id")
    provider_id = ProviderFilter()
    signal_type = django_filters.CharFilter(validators=[RegexValidator(SIGNAL_TYPE)])
    status = django_filters.ChoiceFilter(field_name="delivery_status", choices=DeliveryStatus.choices)
    source = django_filters.ChoiceFilter(choices=Source.choices)
    last_error_code = django_filters.CharFilter(
        validators=[RegexValidator(ERROR_CODE)], help_text="Cause of the last failure; with status dead, of the death."
    )
    since = django_filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="gte", help_text="Received since.")
    until = django_filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="lt", help_text="Received before.")


@extend_schema(tags=["Events"])
class EventViewSet(TenantViewSet):
    """What came in, newest first."""

    # Payload and envelope are left out of lists: a page of them could be megabytes.
    rows = AdapterEvent.objects.defer("payload", "envelope")
    serializer_class = Event
    filterset_class = EventFilters

    @extend_schema(summary="List events", operation_id="events_list")
    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(Event(page, many=True).data)

    @extend_schema(summary="Read an event with its envelope", operation_id="events_read", responses={200: EventDetail})
    def retrieve(self, request: Request, event_id: Any) -> Response:
        return Response(EventDetail(self._event()).data)

    @extend_schema(
        summary="Deliver an event again",
        description="The signal keeps its id, so the receiver sees a redelivery, not a second signal.",
        operation_id="events_replay_one",
        request=None,
        responses={202: ReplayedEvent},
    )
    def replay_one(self, request: Request, event_id: Any) -> Response:
        event = self._event()
        if not replay(self.get_queryset().filter(pk=event.pk), actor=actor_of(request)):
            raise ServiceError("NOTHING_TO_DELIVER", "The event is ignored; it becomes no signal.", status=409)
        return Response({"event_id": event.pk, "status": DeliveryStatus.PENDING.value}, status=202)

    @extend_schema(
        summary="Deliver events again",
        description="All events that meet the filter now, whatever became of them; ignored ones stay ignored. A "
        "thousand are due at once, the others within seconds, batch by batch; count is all of them. Three such "
        "replays of a tenant may run at a time: one more is refused with 409, TOO_MANY_REPLAYS, until one is done.",
        operation_id="events_replay",
        request=ReplayRequest,
        responses={202: Replayed},
    )
    def replay_many(self, request: Request) -> Response:
        conditions = validated(self, ReplayRequest)
        asked = start_replay(principal_of(request).tenant_id, conditions, actor=actor_of(request))
        return Response({"count": asked.matched}, status=202)

    def get_queryset(self) -> AdapterEventQuerySet:
        rows = super().get_queryset()
        assert isinstance(rows, AdapterEventQuerySet)  # noqa: S101 - replay takes nothing else
        return rows

    def _event(self) -> AdapterEvent:
        rows = self.get_queryset().select_related("connection").defer(None)
        event: AdapterEvent | None = rows.filter(pk=self.kwargs["event_id"]).first()
        if event is None:
            raise Http404
        return event


class NormalisedEvents(APIView):
    """Envelopes of adapters that run elsewhere."""

    permission_classes = (IsService,)

    @extend_schema(
        tags=["Internal"],
        summary="Hand in envelopes",
        description='One SignalEnvelope, or up to 1000 as {"signals": […]}. producer_id must be a connection of the '
        "token's tenant. Each envelope has a result of its own; a repeated signal_id is a duplicate.",
        operation_id="events_accept",
        request={"application/json": OpenApiTypes.OBJECT},
        responses={202: AcceptedSignals},
    )
    def post(self, request: Request) -> Response:
        body: dict[str, Any] = request.data  # type: ignore[assignment]
        envelopes: Any = body["signals"] if set(body) == {"signals"} else [body]
        if not isinstance(envelopes, list) or not 1 <= len(envelopes) <= MAX_SIGNALS_A_REQUEST:
            reason = f"must be a list of 1 to {MAX_SIGNALS_A_REQUEST} envelopes"
            raise validation.invalid(validation.problem("/signals", reason))
        results = accept_envelopes(principal_of(request).tenant_id, envelopes)
        return Response({"results": [asdict(result) for result in results]}, status=202)
