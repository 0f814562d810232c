"""Registrations: the doors of connections. A URL and a secret are shown once, when they are made."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connections.errors import ServiceError
from providers.console.base import ConsoleAdmin, EvidenceInline, actor_of
from providers.console.display import age, column, label, link
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    ProviderFilter,
    TenantFilter,
)
from providers.console.verbs import shortcut, verb
from providers.verification import UnsignedScheme
from webhooks import evidence_admin, repair_admin
from webhooks.diagnosis import scheme_of
from webhooks.evidence_admin import RejectionInline
from webhooks.forms import (
    ChooseConnectionForm,
    RegistrationForm,
    SecretForm,
    SharedRegistrationForm,
    connection_named,
    describe_secret,
    open_connections,
)
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.provider_hooks import close, lacks_hooks, make_hooks, make_hooks_or_close, rotate, settle_now
from webhooks.registration_page import STATUS_COLOURS, RegistrationColumns
from webhooks.registrations import drop_previous_secret, resume_registration, suspend_registration
from webhooks.repair_admin import WatchedHookInline
from webhooks.shown_once import ShownOnce

__all__ = ["RegistrationAdmin", "RegistrationInline", "evidence_admin", "repair_admin"]


class RegistrationStatusFilter(ChoiceFilter):
    """Deleted registrations are shown when they are asked for."""

    title = "status"
    parameter_name = "status"
    column = "status"
    options = RegistrationStatus

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value():
            return super().queryset(request, queryset)
        return queryset.exclude(status=RegistrationStatus.DELETED)


class RegistrationInline(EvidenceInline):
    model = WebhookRegistration
    verbose_name_plural = "webhook registrations"
    fields = ("page", "status_label", "scheme", "received", "made")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookRegistration]:
        """A row is named by its connection."""
        rows: QuerySet[WebhookRegistration] = super().get_queryset(request)
        return rows.select_related("connection")

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


def _is_present(registration: WebhookRegistration) -> bool:
    return bool(registration.status != RegistrationStatus.DELETED)


def _can_rotate(registration: WebhookRegistration) -> bool:
    scheme = scheme_of(registration)
    return _is_present(registration) and scheme is not None and not isinstance(scheme, UnsignedScheme)


@admin.register(WebhookRegistration)
class RegistrationAdmin(RegistrationColumns, ShownOnce, ConsoleAdmin):
    list_display = (
        "registration_id",
        "status_label",
        "connection_link",
        "tenant_id",
        "provider",
        "scheme",
        "received",
        "made",
    )
    list_select_related = ("connection", "provider")
    list_filter = (
        RegistrationStatusFilter,
        ProviderFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=registration_id", "=connection", "=tenant_id")
    search_help_text = "Registration id, connection id or tenant, whole."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    autocomplete_fields = ("connection",)
    inlines = (WatchedHookInline, RejectionInline)
    actions = ("suspend", "resume")
    actions_list = ("add_shared",)
    actions_row = ("rotate", "suspend", "resume")
    actions_detail = (
        "rotate",
        "make_hooks",
        "tell_provider",
        {"title": "More", "icon": "more_horiz", "items": ["drop_secret", "suspend", "resume", "remove"]},
    )
    fieldsets = (
        (None, {"fields": ("diagnosis", ("status_label", "belongs_to", "tenant_id"), "address")}),
        ("Proof", {"fields": (("lock", "subscribed"), ("current_secret", "old_secret"))}),
        ("At the provider", {"fields": (("hooks", "hook_trouble", "gaps"),)}),
        ("Times", {"fields": (("received_exactly", "made_exactly"), ("quarantined", "registration_id"))}),
    )

    # --- making --------------------------------------------------------------------------------------

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the connection, then a form made of what its provider offers."""
        given = request.POST.get("connection", "")
        if request.method == "POST" and "events" not in request.POST and connection_named(given):
            return HttpResponseRedirect(f"{request.path}?connection={given}")
        # One way on: the next page, or the URL and the secret, which are shown once.
        one_button = {"show_save_and_continue": False, "show_save_and_add_another": False}
        answer = super().add_view(request, form_url, {**(extra_context or {}), **one_button})
        made: Any = getattr(request, "issued", None)
        if made is None or not made[1].get("register"):
            return answer
        return self._make_hooks(request, made[0].registration)

    def _make_hooks(self, request: HttpRequest, registration: WebhookRegistration) -> HttpResponse:
        """Make the hooks of a new door, now that its transaction is over; where that fails, nothing is left open."""
        try:
            row = make_hooks_or_close(registration, actor=actor_of(request))
        except ServiceError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(f"{request.path}?connection={registration.connection_id}")
        self.message_user(request, f"The webhook is registered. {self._told_of_hooks(request, row)}", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:webhooks_webhookregistration_change", args=[row.pk]))

    def _told_of_hooks(self, request: HttpRequest, row: WebhookRegistration) -> str:
        """Where hooks are; what still is to be done there is a warning of its own."""
        if row.hook_error:
            self.message_user(request, row.hook_error, messages.WARNING)
        places = ", ".join(sorted(place for place, hook in row.provider_hooks.items() if hook)) or "none yet"
        return f"Hooks at the provider: {places}."

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        chosen, declared = _chosen(request), {"actor": actor_of(request)}
        base: Any = ChooseConnectionForm
        if chosen is not None:
            base, declared = RegistrationForm, {**declared, "webhook": chosen[1]}
        elif "shared" in request.GET:
            base = SharedRegistrationForm
        form = super().get_form(request, obj, change=change, **{**kwargs, "form": base})
        return type(form.__name__, (form,), declared)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return self.fieldsets
        chosen = _chosen(request)
        if chosen is not None:
            first = ("connection", "register") if chosen[1].registrar is not None else ("connection",)
            # Unfold shows descriptions as markup, and the name is the tenant's.
            whose = format_html("A webhook of {}.", chosen[0])
            return (
                (None, {"fields": (*first, "events"), "description": whose}),
                ("Proof", {"fields": ("scheme", "secret")}),
            )
        if "shared" in request.GET:
            about = "The one webhook of an app that many tenants have installed."
            return ((None, {"fields": ("provider", "secret"), "description": about}),)
        return (
            (None, {"fields": ("connection",), "description": "Whose webhook is it? The next page asks the rest."}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else [name for _, part in self.fieldsets for name in _flat(part["fields"])]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        return () if _chosen(request) is not None else self.autocomplete_fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing of a door is edited; it is rotated, suspended, deleted."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows are never deleted; the verb ``remove`` deletes softly."""
        return False

    def has_shared_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The form's service has saved; what it issued is shown once by ``response_add``."""
        request.issued = form.issued, form.cleaned_data  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        issued, asked = request.issued  # type: ignore[attr-defined]
        if asked.get("register"):
            return HttpResponse()  # ``add_view`` makes the hooks and answers
        with_secret = not asked["secret"]
        return self.show_once(request, issued.registration, "The webhook is registered", with_secret=with_secret)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "connection":
            kwargs["queryset"] = open_connections()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @shortcut("Add shared webhook", icon="hub", permission="shared")
    def add_shared(self, object_id: str) -> str:
        return reverse("admin:webhooks_webhookregistration_add") + "?shared=1"

    # --- verbs ---------------------------------------------------------------------------------------

    @verb(
        "Rotate secret",
        icon="key",
        question="A new signing secret is made and shown once. The old one goes on verifying until the grace ends. "
        "Hooks that were made through the provider's API are given it; then nobody has to copy it.",
        available=_can_rotate,
        form=SecretForm,
        describe=describe_secret,
    )
    def rotate(self, request: HttpRequest, registration: WebhookRegistration, *, secret: str) -> HttpResponse | str:
        issued = rotate(registration, actor=actor_of(request), secret=secret)
        if issued.registration.provider_hooks:
            return "The secret is rotated, and the hooks at the provider have the new one."
        return self.show_once(request, issued.registration, "The secret is rotated", with_secret=not secret)

    @verb(
        "Drop the old secret",
        icon="key_off",
        danger=True,
        question="The grace of the last rotation ends now: what the old secret signs is refused from this moment on.",
        available=lambda row: bool(row.previous_secret_ref),
    )
    def drop_secret(self, request: HttpRequest, registration: WebhookRegistration) -> str:
        drop_previous_secret(registration, actor=actor_of(request))
        return "The old secret is dropped."

    @verb(
        "Make hooks",
        icon="add_link",
        question="The provider is called: a hook with this URL and secret is made in every place the connection's "
        "settings name and that has none yet.",
        available=lacks_hooks,
        at_most=1,
    )
    def make_hooks(self, request: HttpRequest, registration: WebhookRegistration) -> str:
        row = make_hooks(registration, actor=actor_of(request))
        return self._told_of_hooks(request, row)

    @verb(
        "Try the provider again",
        icon="sync",
        question="The provider is called: its hooks get the current secret or, if the webhook is deleted, are removed.",
        available=lambda row: bool(row.hook_error),
        at_most=1,
    )
    def tell_provider(self, request: HttpRequest, registration: WebhookRegistration) -> str:
        settle_now(registration)
        return "The provider is up to date."

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
        question="The URL stops working and its secrets are removed for good. Hooks that were made through the "
        "provider's API are removed there. Events stay.",
        available=_is_present,
    )
    def remove(self, request: HttpRequest, registration: WebhookRegistration) -> str:
        row = close(registration, actor=actor_of(request))
        return f"The {registration} is deleted. {row.hook_error}".strip()


def _chosen(request: HttpRequest) -> Any:
    """The connection a new door is for, with its provider's push road, once that is known."""
    given = request.POST.get("connection", "") if "events" in request.POST else ""
    return connection_named(given or request.GET.get("connection", ""))


def _flat(fields: Any) -> list[str]:
    return [name for line in fields for name in (line if isinstance(line, tuple) else (line,))]
