"""Staff forms of webhooks: a new door, made of what its provider offers, and what a rotation may be told."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanWidget,
)

from connections.models import ConnectionStatus, IntegrationConnection
from connections.service_form import ServiceForm
from providers import registry
from providers.spi import Webhook
from webhooks.lock_words import scheme_words, secret_words
from webhooks.models import WebhookRegistration
from webhooks.provider_hooks import checked_scheme
from webhooks.registrations import IssuedRegistration, create_registration, create_shared_registration


def secret_field(label: str = "Secret", help_text: str = "") -> forms.CharField:
    return forms.CharField(
        required=False,
        strip=True,
        label=label,
        help_text=help_text,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )


class SecretForm(forms.Form):
    """What a rotation may be told."""

    secret = secret_field("New secret")


def describe_secret(form: forms.Form, registration: WebhookRegistration) -> None:
    """Say where the new secret of this door comes from, and what it looks like."""
    webhook = registry.get(registration.provider_id).webhook
    if registration.provider_hooks:
        form.fields["secret"].help_text = "Leave it empty: a new one is made, and the hooks there are given it."
    elif webhook is not None and registration.scheme in webhook.schemes:
        form.fields["secret"].help_text = secret_words(webhook, registration.scheme)


class ReasonForm(forms.Form):
    """Why something is removed."""

    reason = forms.CharField(
        min_length=5, max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), help_text="Kept as evidence."
    )


class ChooseConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """The first question: whose door it is. What else is asked depends on the provider."""

    class Meta:
        model = WebhookRegistration
        fields = ("connection",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["connection"].required = True
        self.fields["connection"].help_text = "Type the beginning of its name."


class RegistrationForm(ServiceForm):
    """A new door of one connection. Subclassed a request with actor and push road."""

    webhook: ClassVar[Webhook]
    fields_by_pointer: ClassVar[dict[str, str]] = {"events_subscribed": "events"}
    issued: IssuedRegistration

    register = forms.BooleanField(
        required=False,
        label="Make the hook at the provider",
        help_text="Through its API, with the connection's credential, in every place the settings name. Else enter "
        "URL and secret there yourself.",
        widget=UnfoldBooleanWidget,
    )
    events = forms.CharField(
        required=False, label="Events subscribed", widget=UnfoldAdminTextareaWidget(attrs={"rows": 4})
    )
    scheme = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    secret = secret_field()

    class Meta:
        model = WebhookRegistration
        fields = ("connection",)
        widgets = {"connection": forms.HiddenInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.webhook.registrar is None:
            del self.fields["register"]
        describe(self, self.webhook)
        known = ", ".join(self.webhook.event_types)
        self.fields["events"].help_text = f"One a line; empty means all. Known: {known or 'not listed'}."

    def perform(self, cleaned: dict[str, Any]) -> WebhookRegistration:
        connection, register = cleaned["connection"], cleaned.get("register", False)
        # The hook itself is made by the page: here a transaction is open.
        scheme = checked_scheme(connection, "") if register else cleaned["scheme"]
        self.issued = create_registration(
            connection,
            actor=self.actor,
            events_subscribed=cleaned["events"].split(),
            scheme=scheme,
            secret=cleaned["secret"],
            made_through_api=register,
        )
        return self.issued.registration


class SharedRegistrationForm(ServiceForm):
    """The one door of an app that many tenants have installed."""

    fields_by_pointer: ClassVar[dict[str, str]] = {"provider_id": "provider"}
    issued: IssuedRegistration

    provider = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        help_text="Each delivery goes to the connections whose account it names, as the provider confirmed it when "
        "they were verified.",
    )
    secret = secret_field(help_text="The signing secret of the app; where the provider makes it, paste it here.")

    class Meta:
        model = WebhookRegistration
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adapters = [registry.get(slug) for slug in registry.slugs()]
        shared = [(a.slug, a.label) for a in adapters if a.webhook is not None and a.webhook.routed]
        self.fields["provider"].choices = shared  # type: ignore[attr-defined]

    def perform(self, cleaned: dict[str, Any]) -> WebhookRegistration:
        self.issued = create_shared_registration(cleaned["provider"], actor=self.actor, secret=cleaned["secret"])
        return self.issued.registration


def describe(form: forms.Form | ServiceForm, webhook: Webhook) -> None:
    """Put the provider's schemes, and what their secrets are, into the fields of a form."""
    form.fields["scheme"].choices = [(name, name) for name in webhook.schemes]  # type: ignore[attr-defined]
    form.fields["scheme"].help_text = _keys((name, scheme_words(scheme)) for name, scheme in webhook.schemes.items())
    form.fields["secret"].help_text = _keys((name, secret_words(webhook, name)) for name in webhook.schemes)


def _keys(rows: Any) -> SafeString:
    return format_html('<dl class="console-keys">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", list(rows)))


def open_connections() -> QuerySet[IntegrationConnection]:
    """Those that can have a door."""
    return IntegrationConnection.objects.exclude(status=ConnectionStatus.DELETED)


def connection_named(value: str) -> tuple[IntegrationConnection, Webhook] | None:
    """The connection with that id and its provider's push road, if it can have a door."""
    try:
        connection = open_connections().filter(pk=uuid.UUID(value)).first()
    except ValueError:
        return None
    if connection is None or connection.provider_id not in registry.slugs():
        return None
    webhook = registry.get(connection.provider_id).webhook
    return (connection, webhook) if webhook is not None else None
