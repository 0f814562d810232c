"""Registrations: the doors of connections. A URL and a secret are shown once, when they are made."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from connections.console import OfConnection
from connections.errors import ServiceError
from connections.models import ConnectionStatus, IntegrationConnection
from connections.service_form import ServiceForm
from providers.console.base import ConsoleAdmin, EvidenceInline, actor_of
from providers.console.display import age, column, label, link, moment, words
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    ConnectionProviderFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    TenantFilter,
)
from providers.console.verbs import verb
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.registrations import (
    IssuedRegistration,
    create_registration,
    delete_registration,
    masked_url,
    resume_registration,
    rotate_secret,
    suspend_registration,
)

STATUS_COLOURS: dict[str, str] = {
    RegistrationStatus.PENDING: "info",
    RegistrationStatus.ACTIVE: "success",
    RegistrationStatus.SUSPENDED: "warning",
    RegistrationStatus.DELETED: "",
}
_SECRET_HELP = "Only for a provider that chooses the secret itself; empty makes a new random one."


class RegistrationStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    column = "status"
    options = RegistrationStatus


class SecretForm(forms.Form):
    """What a rotation may be told."""

    secret = forms.CharField(
        required=False,
        strip=True,
        label="New secret",
        help_text=_SECRET_HELP,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )


class RegistrationForm(ServiceForm):
    """A new door."""

    fields_by_pointer: ClassVar[dict[str, str]] = {"events_subscribed": "events"}
    issued: IssuedRegistration

    events = forms.CharField(
        required=False,
        label="Events subscribed",
        widget=UnfoldAdminTextareaWidget,
        help_text="One a line, in the provider's words, as on the provider's page; empty means all.",
    )
    scheme = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Signature scheme of the adapter; empty takes its first.",
    )
    secret = forms.CharField(
        required=False,
        strip=True,
        help_text=_SECRET_HELP,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = WebhookRegistration
        fields = ("connection",)

    def perform(self, cleaned: dict[str, Any]) -> WebhookRegistration:
        self.issued = create_registration(
            cleaned["connection"],
            actor=self.actor,
            events_subscribed=cleaned["events"].split(),
            scheme=cleaned["scheme"],
            secret=cleaned["secret"],
        )
        return self.issued.registration


class RegistrationInline(EvidenceInline):
    model = WebhookRegistration
    verbose_name_plural = "webhook registrations"
    fields = ("page", "status_label", "scheme", "received", "made")
    readonly_fields = fields

    @column("registration")
    def page(self, registration: WebhookRegistration) -> SafeString:
        return link("webhooks_webhookregistration_change", registration.pk, registration.pk)

    @column("status")
    def status_label(self, registration: WebhookRegistration) -> SafeString:
        return label(registration.get_status_display(), STATUS_COLOURS[registration.status])

    @column("last delivery")
    def received(self, registration: WebhookRegistration) -> str | SafeString:
        return age(registration.last_received_at)

    @column("made")
    def made(self, registration: WebhookRegistration) -> str | SafeString:
        return age(registration.created_at)


@admin.register(WebhookRegistration)
class RegistrationAdmin(OfConnection, ConsoleAdmin):
    list_display = ("registration_id", "status_label", "connection_link", "tenant_id", "scheme", "received", "made")
    list_select_related = ("connection",)
    list_filter = (
        RegistrationStatusFilter,
        ConnectionProviderFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=registration_id", "=connection", "=tenant_id")
    search_help_text = "Registration id, connection id or tenant, whole."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    autocomplete_fields = ("connection",)
    actions = ("suspend", "resume")
    actions_row = ("rotate", "suspend", "resume")
    actions_detail = ("rotate", "suspend", "resume", "remove")
    add_fieldsets = (
        (None, {"fields": ("connection", "events")}),
        ("Signature", {"fields": ("scheme", "secret")}),
    )
    fieldsets = (
        (None, {"fields": (("status_label", "connection_link", "tenant_id"), "address")}),
        ("Signature", {"fields": (("scheme", "grace"), "subscribed")}),
        ("Times", {"fields": (("received_exactly", "made_exactly"), "registration_id")}),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        form = super().get_form(request, obj, change=change, **{**kwargs, "form": RegistrationForm})
        return type(form.__name__, (form,), {"actor": actor_of(request)})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else [name for _, part in self.fieldsets for name in _flat(part["fields"])]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing of a door is edited; it is rotated, suspended, deleted."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows are never deleted; the verb ``remove`` deletes softly."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The form's service has saved; what it issued is shown by ``response_add``."""
        request.issued = form.issued, not form.cleaned_data["secret"]  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        issued, made_here = request.issued  # type: ignore[attr-defined]
        return self._show_once(request, issued, "The webhook is registered", with_secret=made_here)

    @verb(
        "Rotate secret",
        icon="key",
        question="A new signing secret is made and shown once. The old one goes on verifying until the grace ends.",
        available=lambda row: row.status != RegistrationStatus.DELETED,
        form=SecretForm,
    )
    def rotate(self, request: HttpRequest, registration: WebhookRegistration, *, secret: str) -> HttpResponse:
        issued = rotate_secret(registration, actor=actor_of(request), secret=secret)
        return self._show_once(request, issued, "The secret is rotated", with_secret=not secret)

    @verb(
        "Suspend",
        icon="pause_circle",
        question="The door answers 404 until it is resumed; the provider may give up or switch the webhook off.",
        available=lambda row: row.status in (RegistrationStatus.ACTIVE, RegistrationStatus.PENDING),
    )
    def suspend(self, request: HttpRequest, registration: WebhookRegistration) -> str:
        suspend_registration(registration, actor=actor_of(request))
        return f"The {registration} is suspended."

    @verb("Resume", icon="play_circle", available=lambda row: row.status == RegistrationStatus.SUSPENDED)
    def resume(self, request: HttpRequest, registration: WebhookRegistration) -> str:
        resume_registration(registration, actor=actor_of(request))
        return f"The {registration} is active again."

    @verb(
        "Delete",
        icon="delete",
        permission="retire",
        danger=True,
        question="The URL stops working and its secrets are removed for good. Events stay.",
        available=lambda row: row.status != RegistrationStatus.DELETED,
    )
    def remove(self, request: HttpRequest, registration: WebhookRegistration) -> str:
        delete_registration(registration, actor=actor_of(request))
        return f"The {registration} is deleted."

    @column("status")
    def status_label(self, registration: WebhookRegistration) -> SafeString:
        return label(registration.get_status_display(), STATUS_COLOURS[registration.status])

    @column("URL, token hidden")
    def address(self, registration: WebhookRegistration) -> str:
        return masked_url(registration)

    @column("events subscribed")
    def subscribed(self, registration: WebhookRegistration) -> str | SafeString:
        return words(registration.events_subscribed) if registration.events_subscribed else "all"

    @column("previous secret verifies until")
    def grace(self, registration: WebhookRegistration) -> str | SafeString:
        return moment(registration.previous_secret_until)

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

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "connection":
            kwargs["queryset"] = _open_connections()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def _show_once(
        self, request: HttpRequest, issued: IssuedRegistration, title: str, *, with_secret: bool
    ) -> TemplateResponse:
        """A rendered answer, never a redirect: a message would carry the secret through a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "issued": issued,
            "with_secret": with_secret,
            "done": reverse("admin:webhooks_webhookregistration_change", args=[issued.registration.pk]),
        }
        return TemplateResponse(request, "admin/console/issued.html", context)


def _open_connections() -> QuerySet[IntegrationConnection]:
    return IntegrationConnection.objects.exclude(status=ConnectionStatus.DELETED)


def _flat(fields: Any) -> list[str]:
    return [name for line in fields for name in (line if isinstance(line, tuple) else (line,))]
