"""What the console shows of a registration."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from connections.console import OfConnection
from connections.models import ConnectionRoute
from providers.console.display import EMPTY, age, column, label, link, moment, words
from webhooks.diagnosis import diagnose, old_secret_note, scheme_of
from webhooks.diagnosis_display import diagnosis_block
from webhooks.lock_words import scheme_words
from webhooks.models import QuarantinedDelivery, RegistrationStatus, WebhookRegistration
from webhooks.provider_hooks import can_make_hooks
from webhooks.registrations import masked_url

STATUS_COLOURS: dict[str, str] = {
    RegistrationStatus.PENDING: "info",
    RegistrationStatus.ACTIVE: "success",
    RegistrationStatus.SUSPENDED: "warning",
    RegistrationStatus.DELETED: "",
}


class RegistrationColumns(OfConnection):
    """Mixin with the columns of the list and the fields of the page."""

    @column("how it stands")
    def diagnosis(self, registration: WebhookRegistration) -> SafeString:
        return diagnosis_block(diagnose([registration])[registration.pk])

    @column("status")
    def status_label(self, registration: WebhookRegistration) -> SafeString:
        return label(registration.get_status_display(), STATUS_COLOURS[registration.status])

    @column("connection")
    def connection_link(self, registration: WebhookRegistration) -> str | SafeString:
        if registration.connection is None:
            return label("shared", "info")
        return super().connection_link(registration)

    @column("connection")
    def belongs_to(self, registration: WebhookRegistration) -> str | SafeString:
        if registration.connection is not None:
            return super().connection_link(registration)
        routes = ConnectionRoute.objects.filter(provider=registration.provider_id)
        number = routes.values("connection").distinct().count()
        return f"Shared; {number} {'connection is' if number == 1 else 'connections are'} routed here."

    @column("URL, token hidden")
    def address(self, registration: WebhookRegistration) -> str:
        return masked_url(registration)

    @column("scheme")
    def lock(self, registration: WebhookRegistration) -> str:
        scheme = scheme_of(registration)
        return f"{registration.scheme}: {scheme_words(scheme)}" if scheme is not None else registration.scheme

    @column("secret")
    def current_secret(self, registration: WebhookRegistration) -> str | SafeString:
        if not registration.secret_ref:
            return EMPTY
        since = registration.secret_since or registration.created_at
        used = registration.secret_used_at
        return format_html(
            "Version {}, set {}, {}",
            registration.secret_version,
            age(since),
            format_html("last used {}", age(used)) if used else "not used yet",
        )

    @column("secret before the last rotation")
    def old_secret(self, registration: WebhookRegistration) -> str | SafeString:
        note = old_secret_note(registration)
        if not note:
            return EMPTY
        used = registration.previous_secret_used_at
        return format_html(
            "Verifies until {}{}<br>{}",
            moment(registration.previous_secret_until),
            format_html(", last used {}", age(used)) if used else "",
            note,
        )

    @column("events subscribed")
    def subscribed(self, registration: WebhookRegistration) -> str | SafeString:
        return words(registration.events_subscribed) if registration.events_subscribed else "all"

    @column("hooks made through its API")
    def hooks(self, registration: WebhookRegistration) -> str | SafeString:
        if not registration.provider_hooks:
            return "None; this hook is set up by hand." if not can_make_hooks(registration) else "None yet."
        rows = ((place, hook_id or "perhaps made") for place, hook_id in sorted(registration.provider_hooks.items()))
        return format_html('<dl class="console-keys">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", rows))

    @column("trouble there")
    def hook_trouble(self, registration: WebhookRegistration) -> str | SafeString:
        if not registration.hook_error:
            return EMPTY
        retry = registration.hook_retry_at
        return format_html("{} {}", registration.hook_error, format_html("Next try {}.", age(retry)) if retry else "")

    @column("missed deliveries")
    def gaps(self, registration: WebhookRegistration) -> str | SafeString:
        if registration.connection is None:
            return EMPTY
        query = f"connection={registration.connection_id}"
        return link("events_deliverygap_changelist", "gaps of its connection", query=query)

    @column("quarantined deliveries")
    def quarantined(self, registration: WebhookRegistration) -> str | SafeString:
        number = QuarantinedDelivery.objects.filter(registration=registration).count()
        if not number:
            return "none"
        query = f"registration={registration.pk}"
        return link("webhooks_quarantineddelivery_changelist", f"{number} could not be read", query=query)

    @column("last delivery")
    def received(self, registration: WebhookRegistration) -> str | SafeString:
        return age(registration.last_received_at)

    @column("made")
    def made(self, registration: WebhookRegistration) -> str | SafeString:
        return age(registration.created_at)

    @column("last delivery")
    def received_exactly(self, registration: WebhookRegistration) -> str | SafeString:
        return moment(registration.last_received_at)

    @column("made")
    def made_exactly(self, registration: WebhookRegistration) -> str | SafeString:
        return moment(registration.created_at)
