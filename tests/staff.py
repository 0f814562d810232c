"""Staff for tests of the admin: one person a role, and the addresses of its pages."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from integration_adapters.roles import AUDITOR, OPERATOR

PASSWORD = "correct-horse-battery"


def make_staff(role: str = OPERATOR) -> User:
    """A staff user in one of the roles."""
    person, _ = User.objects.get_or_create(username=f"{role}-zoe", defaults={"is_staff": True})
    person.set_password(PASSWORD)
    person.save()
    person.groups.set([Group.objects.get(name=role)])
    return person


def signed_in(role: str = OPERATOR) -> Client:
    """A browser in which that person is signed in."""
    client = Client()
    client.force_login(make_staff(role), backend="django.contrib.auth.backends.ModelBackend")
    return client


def operator() -> Client:
    return signed_in(OPERATOR)


def auditor() -> Client:
    return signed_in(AUDITOR)


def page_of(row: Model, part: str = "change") -> str:
    """The row's page, or the page of one of its verbs (``part`` is then the verb's path)."""
    change = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return change if part == "change" else change.removesuffix("change/") + part + "/"


def list_of(model: type[Model], part: str = "changelist") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{part}")


def said(response: HttpResponse) -> list[str]:
    """What the console told the person."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def select(client: Client, rows: list[Any], verb: str, **extra: str) -> Any:
    """Choose a verb for some rows of a list."""
    keys = [str(row.pk) for row in rows]
    return client.post(list_of(type(rows[0])), {"action": verb, "_selected_action": keys, **extra})
