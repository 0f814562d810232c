from django.urls import path

from events.gap_views import GapViewSet
from events.views import EventViewSet, NormalisedEvents

urlpatterns = [
    path("v1/integrations/events", EventViewSet.as_view({"get": "list"})),
    path("v1/integrations/events/replay", EventViewSet.as_view({"post": "replay_many"})),
    path("v1/integrations/events/<uuid:event_id>", EventViewSet.as_view({"get": "retrieve"})),
    path("v1/integrations/events/<uuid:event_id>/replay", EventViewSet.as_view({"post": "replay_one"})),
    path("v1/integrations/connections/<uuid:connection_id>/gaps", GapViewSet.as_view({"get": "list"})),
    path("internal/integrations/events/normalised", NormalisedEvents.as_view()),
]
