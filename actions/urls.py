from django.urls import path

from actions.views import ActionViewSet, ExecuteAction

urlpatterns = [
    path("v1/integrations/actions", ActionViewSet.as_view({"get": "list"})),
    path("v1/integrations/actions/<uuid:action_id>", ActionViewSet.as_view({"get": "retrieve"})),
    path("internal/integrations/actions/execute", ExecuteAction.as_view()),
]
