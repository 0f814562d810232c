from django.urls import path

from providers.views import ProviderViewSet

urlpatterns = [
    path("v1/integrations/providers", ProviderViewSet.as_view({"get": "list"})),
    path("v1/integrations/providers/<slug:provider_id>", ProviderViewSet.as_view({"get": "retrieve"})),
]
