"""Look and navigation of the admin."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

_BADGE_COLOURS = {"dev": "info", "stage": "warning", "prod": "danger"}


def environment_badge(_: HttpRequest) -> list[str]:
    """Where one is; nobody should suspend a connection in the wrong place."""
    return [settings.ENVIRONMENT, _BADGE_COLOURS[settings.ENVIRONMENT]]


def console_style(_: HttpRequest) -> str:
    return static("integration_adapters/console.css")


def favicon(_: HttpRequest) -> str:
    return static("integration_adapters/favicon.svg")


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    """An entry that is shown to those who may see the model."""
    app, name = model.split(".")

    def may_see(request: HttpRequest) -> bool:
        return request.user.has_perm(f"{app}.view_{name}")

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": may_see,
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Integration Adapters",
    "SITE_HEADER": "Integration Adapters",
    "SITE_SUBHEADER": "Staff console",
    "SITE_SYMBOL": "hub",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": favicon}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "ENVIRONMENT": "integration_adapters.unfold.environment_badge",
    "DASHBOARD_CALLBACK": "integration_adapters.dashboard.add_figures",
    "STYLES": [console_style],
    "SIDEBAR": {
        # It searches the names of the menu's entries, and they all can be seen.
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [{"title": "Dashboard", "icon": "monitoring", "link": reverse_lazy("admin:index")}],
            },
            {
                "title": "Integrations",
                "separator": True,
                "items": [
                    _item("Connections", "cable", "connections.integrationconnection"),
                    _item("Webhooks", "webhook", "webhooks.webhookregistration"),
                    _item("Polling cursors", "sync", "polling.pollingcursor"),
                    _item("Backfills", "history_toggle_off", "polling.backfill"),
                    _item("Providers", "category", "providers.integrationprovider"),
                    _item("OAuth clients", "passkey", "connections.oauthclient"),
                ],
            },
            {
                "title": "Evidence",
                "separator": True,
                "items": [
                    _item("Incidents", "notification_important", "connections.incident"),
                    _item("Circuit breakers", "electric_bolt", "connections.connectionbreaker"),
                    _item("Events", "bolt", "events.adapterevent"),
                    _item("Rejected deliveries", "block", "webhooks.rejecteddelivery"),
                    _item("Quarantine", "inventory_2", "webhooks.quarantineddelivery"),
                    _item("Gaps", "join_inner", "events.deliverygap"),
                    _item("Missed deliveries", "call_missed", "webhooks.misseddelivery"),
                    _item("Hooks at providers", "anchor", "webhooks.watchedhook"),
                    _item("Ingress outages", "cloud_off", "webhooks.ingressoutage"),
                    _item("Published keys", "vpn_key", "webhooks.publishedkeys"),
                    _item("Failed deliveries", "error", "events.deliveryattempt"),
                    _item("Replays", "replay", "events.replay"),
                    _item("Actions", "outbound", "actions.normalisedaction"),
                    _item("Receipts", "verified_user", "connections.receipt"),
                    _item("Authorisations", "login", "connections.oauthauthorisation"),
                    _item("Connection history", "history", "connections.connectionhistory"),
                    _item("Staff log", "receipt_long", "admin.logentry"),
                ],
            },
            {
                "title": "Schedule",
                "separator": True,
                "collapsible": True,
                "items": [
                    _item("Periodic tasks", "schedule", "django_celery_beat.periodictask"),
                    _item("Intervals", "timer", "django_celery_beat.intervalschedule"),
                    _item("Crontabs", "calendar_month", "django_celery_beat.crontabschedule"),
                ],
            },
            {
                "title": "Access",
                "separator": True,
                "collapsible": True,
                "items": [
                    _item("Users", "person", "auth.user"),
                    _item("Roles", "group", "auth.group"),
                    _item("Sign-in attempts", "lock", "axes.accessattempt"),
                    _item("Sign-ins", "login", "axes.accesslog"),
                ],
            },
        ],
    },
}
