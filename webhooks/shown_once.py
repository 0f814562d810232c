"""A URL and a secret that are shown once, after a redirect: a reload of that page neither shows nor does them again.

The session keeps which registration may be shown to this person and until when. What is shown comes from the secret
store; it is in no cookie, no address and no session.
"""

from __future__ import annotations

import time
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from connections.errors import ServiceError
from webhooks.hook_upkeep import signing_secret
from webhooks.models import WebhookRegistration
from webhooks.registrations import public_url

SECONDS = 120


class ShownOnce:
    """Mixin for the pages of registrations."""

    def get_urls(self) -> list[Any]:
        own: Any = self
        view = own.admin_site.admin_view(self.issued_view)
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("<uuid:registration_id>/issued/", view, name="webhooks_webhookregistration_issued"), *urls]

    def show_once(
        self, request: HttpRequest, registration: WebhookRegistration, title: str, *, with_secret: bool
    ) -> HttpResponseRedirect:
        """Lead this person to the page that shows the URL and, ``with_secret``, the signing secret as it is now."""
        request.session[_key(registration)] = {
            "title": title,
            "version": registration.secret_version,
            "with_secret": with_secret and bool(registration.secret_ref),
            "until": time.time() + SECONDS,
        }
        return HttpResponseRedirect(reverse("admin:webhooks_webhookregistration_issued", args=[registration.pk]))

    def issued_view(self, request: HttpRequest, registration_id: Any) -> HttpResponse:
        own: Any = self
        row: WebhookRegistration | None = own.get_object(request, str(registration_id))
        asked = request.session.pop(_key(row), None) if row is not None else None
        done = reverse("admin:webhooks_webhookregistration_change", args=[registration_id])
        if row is None or asked is None or asked["until"] < time.time() or asked["version"] != row.secret_version:
            words = "A secret is shown once and cannot be shown again; if it is lost, rotate it."
            own.message_user(request, words, messages.WARNING)
            return HttpResponseRedirect(done)
        try:
            secret = signing_secret(row) if asked["with_secret"] else ""
        except ServiceError as error:
            own.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(done)
        context = {
            **own.admin_site.each_context(request),
            "opts": own.opts,
            "title": asked["title"],
            "registration": row,
            "url": public_url(row),
            "secret": secret,
            "done": done,
        }
        return TemplateResponse(request, "admin/console/issued.html", context)


def _key(registration: WebhookRegistration) -> str:
    return f"issued:{registration.pk}"
