from django.urls import path

from webhooks.door import receive
from webhooks.views import RegistrationViewSet, RejectionViewSet

_ONE = "v1/integrations/connections/<uuid:connection_id>/webhooks"

urlpatterns = [
    path("v1/integrations/webhooks/<str:provider_id>/<str:connection_token>", receive),
    path(_ONE, RegistrationViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{_ONE}/<uuid:registration_id>", RegistrationViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
    path(f"{_ONE}/<uuid:registration_id>/rotate", RegistrationViewSet.as_view({"post": "rotate"})),
    path(
        f"{_ONE}/<uuid:registration_id>/previous_secret",
        RegistrationViewSet.as_view({"delete": "drop_previous_secret"}),
    ),
    path(f"{_ONE}/<uuid:registration_id>/rejections", RejectionViewSet.as_view({"get": "list"})),
]
