from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView

from integration_adapters.views import Health, Metrics, Ready, Schema

urlpatterns = [
    path("", include("connections.urls")),
    path("", include("webhooks.urls")),
    path("", include("polling.urls")),
    path("", include("events.urls")),
    path("", include("actions.urls")),
    path("", include("providers.urls")),
    path("health", Health.as_view()),
    path("ready", Ready.as_view()),
    path("metrics", Metrics.as_view()),
    path("schema", Schema.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema", metadata_class=None)),
    path("redoc", SpectacularRedocView.as_view(url_name="schema", template_name="api/redoc.html", metadata_class=None)),
    path("admin/", admin.site.urls),
]

handler400 = "integration_adapters.errors.bad_request"
handler403 = "integration_adapters.errors.permission_denied"
handler404 = "integration_adapters.errors.not_found"
handler500 = "integration_adapters.errors.server_error"
