from django.urls import path

from polling.backfill_views import BackfillViewSet
from polling.views import HealthViewSet, PollingViewSet

_CONNECTION = "v1/integrations/connections/<uuid:connection_id>"
_BACKFILL = f"{_CONNECTION}/backfills/<uuid:backfill_id>"

urlpatterns = [
    path(f"{_CONNECTION}/polling", PollingViewSet.as_view({"get": "retrieve"})),
    path(f"{_CONNECTION}/poll", PollingViewSet.as_view({"post": "poll"})),
    path(f"{_CONNECTION}/backfill", BackfillViewSet.as_view({"post": "start"})),
    path(f"{_CONNECTION}/backfills", BackfillViewSet.as_view({"get": "list"})),
    path(_BACKFILL, BackfillViewSet.as_view({"get": "retrieve"})),
    path(f"{_BACKFILL}/pause", BackfillViewSet.as_view({"post": "pause"})),
    path(f"{_BACKFILL}/resume", BackfillViewSet.as_view({"post": "resume"})),
    path(f"{_BACKFILL}/cancel", BackfillViewSet.as_view({"post": "cancel"})),
    path("internal/integrations/connections/<uuid:connection_id>/health", HealthViewSet.as_view({"get": "retrieve"})),
]
