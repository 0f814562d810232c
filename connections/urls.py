from django.urls import path

from connections.incident_views import IncidentViewSet
from connections.oauth_views import OAuthAuthorize, OAuthCallback
from connections.verification_views import VerificationViewSet
from connections.views import ConnectionViewSet, WaiverViewSet

urlpatterns = [
    path("v1/integrations/connections", ConnectionViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "v1/integrations/connections/<uuid:connection_id>",
        ConnectionViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path("v1/integrations/connections/<uuid:connection_id>/verify", VerificationViewSet.as_view({"post": "verify"})),
    path("v1/integrations/connections/<uuid:connection_id>/rotate", VerificationViewSet.as_view({"post": "rotate"})),
    path(
        "v1/integrations/connections/<uuid:connection_id>/verifications",
        VerificationViewSet.as_view({"get": "list"}),
    ),
    path(
        "v1/integrations/connections/<uuid:connection_id>/waiver",
        WaiverViewSet.as_view({"post": "create", "delete": "destroy"}),
    ),
    path("v1/integrations/connections/<uuid:connection_id>/incidents", IncidentViewSet.as_view({"get": "list"})),
    path("v1/integrations/oauth/<slug:provider_id>/authorize", OAuthAuthorize.as_view()),
    path("v1/integrations/oauth/callback", OAuthCallback.as_view()),
]
