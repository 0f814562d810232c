"""Roles of staff: groups that every deployment has. Who is in them is decided in the admin."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

OPERATOR = "operator"
AUDITOR = "auditor"

# Everything an auditor looks at. Secrets have no page at all.
VIEWED = (
    "providers.integrationprovider",
    "connections.integrationconnection",
    "connections.connectionhistory",
    "connections.connectionverification",
    "connections.incident",
    "connections.oauthclient",
    "connections.oauthauthorisation",
    "connections.receipt",
    "connections.connectionbreaker",
    "webhooks.webhookregistration",
    "webhooks.rejecteddelivery",
    "webhooks.quarantineddelivery",
    "webhooks.publishedkeys",
    "webhooks.watchedhook",
    "webhooks.misseddelivery",
    "webhooks.ingressoutage",
    "events.deliverygap",
    "polling.pollingcursor",
    "polling.backfill",
    "events.adapterevent",
    "events.deliveryattempt",
    "events.replay",
    "actions.normalisedaction",
    "admin.logentry",
    "django_celery_beat.periodictask",
    "django_celery_beat.intervalschedule",
    "django_celery_beat.crontabschedule",
)
# What an operator does beyond looking. ``change`` is also the permission for the verbs of a page.
ACTED_ON = {
    "providers.integrationprovider": ("change",),
    "connections.integrationconnection": ("add", "change", "delete"),
    "connections.oauthclient": ("add", "change", "delete"),
    "connections.connectionbreaker": ("change",),
    "connections.receipt": ("change",),
    "webhooks.webhookregistration": ("add", "change", "delete"),
    "webhooks.quarantineddelivery": ("change", "delete"),
    "polling.pollingcursor": ("change",),
    "polling.backfill": ("add", "change"),
    "events.adapterevent": ("change",),
    "actions.normalisedaction": ("add", "change"),
    "django_celery_beat.periodictask": ("change",),
    "django_celery_beat.intervalschedule": ("add", "change"),
    "django_celery_beat.crontabschedule": ("add", "change"),
}


def seed_roles(using: str = "default") -> None:
    """Create the groups and give them exactly these permissions; membership is left alone."""
    looking = [(model, "view") for model in VIEWED]
    acting = [(model, verb) for model, verbs in ACTED_ON.items() for verb in verbs]
    for name, wanted in ((AUDITOR, looking), (OPERATOR, looking + acting)):
        group, _ = Group.objects.using(using).get_or_create(name=name)
        group.permissions.set(_permissions(wanted, using))


def _permissions(wanted: list[tuple[str, str]], using: str) -> list[Permission]:
    condition = Q(pk__in=())
    for model, verb in wanted:
        app, name = model.split(".")
        condition |= Q(content_type__app_label=app, codename=f"{verb}_{name}")
    return list(Permission.objects.using(using).filter(condition))
