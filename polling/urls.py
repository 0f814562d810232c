from django.urls import path

from polling.views import HealthViewSet, PollingViewSet

_CONNECTION = "v1/integrations/connections/<uuid:connection_id>"

urlpatterns = [
    path(f"{_CONNECTION}/polling", PollingViewSet.as_view({"get": "retrieve"})),
    path(f"{_CONNECTION}/poll", PollingViewSet.as_view({"post": "poll"})),
    path(f"{_CONNECTION}/backfill", PollingViewSet.as_view({"post": "backfill"})),
    path("internal/integrations/connections/<uuid:connection_id>/health", HealthViewSet.as_view({"get": "retrieve"})),
]
