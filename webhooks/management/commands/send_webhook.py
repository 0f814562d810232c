"""Sends a webhook as the provider would: signs a file with the secret of a registration and posts it."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.secret_store import SecretsUnreachable, SecretUnavailable, secret_store
from providers.verification import Scheme, sign
from providers.verification.signing import CannotSign
from webhooks.lookup import OPEN_REGISTRATIONS, Door, open_door
from webhooks.models import WebhookRegistration
from webhooks.registrations import public_url

TIMEOUT_SECONDS = 30.0


class Command(BaseCommand):
    help = "Sign a payload as the provider would and post it to a running server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--connection", help="id of the connection; its newest open registration is used")
        parser.add_argument("--registration", help="id of the registration, instead of --connection")
        parser.add_argument("--file", required=True, help="the body, sent byte by byte; - reads standard input")
        parser.add_argument("--event", default="", help="the event's name, where the provider says it in a header")
        parser.add_argument("--scheme", default="", help="take the registration with this signature scheme")
        parser.add_argument("--url", default="", help="where the server is, if not at PUBLIC_BASE_URL")
        parser.add_argument("--delivery", default="", help="delivery id; the same again is a redelivery")
        parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="one more header")

    def handle(self, **options: Any) -> None:
        door = _door(options["connection"], options["registration"], options["scheme"])
        body = _body(options["file"])
        delivery = options["delivery"] or str(uuid.uuid4())
        headers = {
            **door.webhook.delivery_headers(options["event"], delivery),
            **_given(options["header"]),
            **_proof(door.scheme, door, body, delivery),
        }
        answer = _post(_address(door, options["url"]), body, headers)
        self.stdout.write(f"{answer.status_code} {answer.reason}")
        self.stdout.write(answer.text[:2000])
        if not answer.ok:
            raise CommandError("The delivery was refused.", returncode=1)


def _door(connection: str | None, registration: str | None, scheme: str) -> Door:
    if bool(connection) == bool(registration):
        raise CommandError("Give either --connection or --registration.")
    rows = WebhookRegistration.objects.select_related("connection").filter(status__in=OPEN_REGISTRATIONS)
    try:
        found = (
            rows.filter(pk=uuid.UUID(registration)) if registration else rows.filter(connection=uuid.UUID(connection))
        )
    except ValueError:
        raise CommandError("That is no id; the admin and the API show them.") from None
    if scheme:
        found = found.filter(scheme=scheme)
    row = found.order_by("-registration_id").first()
    if row is None:
        wanted = f" with the scheme {scheme}" if scheme else ""
        raise CommandError(f"There is no open registration{wanted}; add a webhook to the connection first.")
    door = open_door(row)
    if door is None:
        raise CommandError("The connection is suspended or deleted, or its provider is not served here.")
    return door


def _body(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None


def _given(headers: list[str]) -> dict[str, str]:
    pairs = [header.partition(":") for header in headers]
    if not all(colon for _, colon, _ in pairs):
        raise CommandError("A header looks like NAME:VALUE.")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _proof(scheme: Scheme, door: Door, body: bytes, delivery: str) -> dict[str, str]:
    row = door.registration
    try:
        secret = secret_store().get(row.tenant_id, row.secret_ref) if row.secret_ref else ""
        return sign(scheme, body=body, secret=secret.encode(), identifier=delivery)
    except CannotSign as error:
        raise CommandError(f"{error} Have the provider send a test instead.") from None
    except (SecretUnavailable, SecretsUnreachable) as error:
        raise CommandError(f"The signing secret cannot be read: {error}") from None


def _address(door: Door, base: str) -> str:
    url = public_url(door.registration)
    if not url:
        raise CommandError("The URL of the registration cannot be read from the secret store.")
    return f"{base.rstrip('/')}{urlsplit(url).path}" if base else url


def _post(url: str, body: bytes, headers: dict[str, str]) -> requests.Response:
    try:
        return requests.post(url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except requests.exceptions.RequestException as error:
        # The URL holds the token, so only its beginning is told.
        where = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        raise CommandError(
            f"Nobody answers at {where} ({type(error).__name__}). Is the server running? --url says where it is."
        ) from None
