"""Connections and their history. The page is put together with what the ways in add to it by the project package."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from connections.breaker_admin import BreakerAdmin, BreakerVerbs
from connections.errors import ServiceError
from connections.forms import WaiverForm, credential_fields, form_for
from connections.history_admin import HistoryAdmin, HistoryInline
from connections.incident_admin import IncidentAdmin, IncidentInline
from connections.lifecycle import MOVES
from connections.models import ConnectionStatus, IntegrationConnection
from connections.oauth_admin import AuthorisationAdmin, AuthoriseVerbs, ClientAdmin
from connections.oauth_forms import authorised_providers
from connections.receipt_admin import ReceiptAdmin
from connections.services import (
    delete_connection,
    receives_only,
    resume_connection,
    suspend_connection,
    verify_connection,
    waive_signatures,
    withdraw_waiver,
)
from connections.token_admin import TokenColumns
from connections.verification_admin import CredentialVerbs, VerificationInline, ending_label
from providers import registry
from providers.console.base import ConsoleAdmin, actor_of
from providers.console.display import (
    EMPTY,
    age,
    capability_words,
    column,
    error_line,
    label,
    link,
    moment,
    text_block,
)
from providers.console.filters import (
    ChoiceFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    ProviderFilter,
    TenantFilter,
)
from providers.console.verbs import verb
from providers.models import IntegrationProvider, ProviderStatus
from providers.verification import UnsignedScheme

__all__ = [
    "AuthorisationAdmin",
    "BreakerAdmin",
    "ClientAdmin",
    "ConnectionAdmin",
    "HistoryAdmin",
    "HistoryInline",
    "IncidentAdmin",
    "IncidentInline",
    "ReceiptAdmin",
    "VerificationInline",
]

STATUS_COLOURS: dict[str, str] = {
    ConnectionStatus.PENDING_VERIFICATION: "info",
    ConnectionStatus.ACTIVE: "success",
    ConnectionStatus.SUSPENDED: "warning",
    ConnectionStatus.ERROR: "danger",
    ConnectionStatus.DELETED: "",
}


_UNSIGNED = label("unsigned accepted", "danger")


def _may_waive(connection: IntegrationConnection) -> bool:
    if connection.waives_signatures or connection.provider_id not in registry.slugs():
        return False
    webhook = registry.get(connection.provider_id).webhook
    return webhook is not None and any(isinstance(scheme, UnsignedScheme) for scheme in webhook.schemes.values())


def _can_verify(connection: IntegrationConnection) -> bool:
    resting = (ConnectionStatus.SUSPENDED, ConnectionStatus.DELETED)
    return connection.status not in resting and not receives_only(connection)


class ConnectionStatusFilter(ChoiceFilter):
    """Deleted connections are shown when they are asked for."""

    title = "status"
    parameter_name = "status"
    column = "status"
    options = ConnectionStatus

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value():
            return super().queryset(request, queryset)
        return queryset.exclude(status=ConnectionStatus.DELETED)


class ConnectionAdmin(CredentialVerbs, AuthoriseVerbs, BreakerVerbs, TokenColumns, ConsoleAdmin):
    list_display = (
        "display_name",
        "provider",
        "tenant_id",
        "status_label",
        "used_for",
        "success",
        "trouble",
        "made",
    )
    list_select_related = ("provider",)
    list_filter = (
        ConnectionStatusFilter,
        ProviderFilter,
        TenantFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=connection_id", "=tenant_id", "^display_name")
    search_help_text = "Connection id or tenant, whole, or the beginning of the name."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    inlines = (IncidentInline, VerificationInline, HistoryInline)
    actions: Any = ("verify", "suspend", "resume")
    actions_row: Any = ("verify", "suspend", "resume")
    actions_detail: Any = (
        *("verify", "replace_credential", "authorise", "suspend", "resume"),
        *("waive", "withdraw", "remove"),
    )
    readonly_fields: ClassVar[Any] = (
        "provider",
        "tenant_id",
        "status_label",
        "account",
        "auth_ref",
        "waiver",
        "breaker_line",
        "proof",
        "expires",
        "access_token",
        "verified",
        "success",
        "failures",
        "error_text",
        "events_link",
        "connection_id",
        "made_exactly",
        "changed_exactly",
    )
    change_fieldsets: Any = (
        (
            "Health",
            {
                "fields": (
                    ("status_label", "provider", "tenant_id"),
                    ("verified", "success", "failures"),
                    "error_text",
                    ("events_link", "waiver", "breaker_line"),
                )
            },
        ),
        ("Verification", {"fields": ("proof",)}),
        (
            "Connection",
            {"fields": ("display_name", "enabled_capabilities", "settings", "metadata_tags", "api_version")},
        ),
        (
            "Keys",
            {
                "fields": (
                    ("account", "auth_ref", "expires"),
                    "access_token",
                    ("connection_id", "made_exactly", "changed_exactly"),
                )
            },
        ),
    )

    # --- making and changing -------------------------------------------------------------------------

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the provider, then a form made of what this provider needs."""
        if not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        chosen = IntegrationProvider.objects.filter(pk=request.GET.get("provider", ""), registered=True).first()
        if chosen is None or chosen.status == ProviderStatus.DEPRECATED:
            return self._choose_provider(request)
        title = {"title": f"Add {chosen.name} connection", **(extra_context or {})}
        return super().add_view(request, form_url, title)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        slug = obj.provider_id if obj is not None else request.GET["provider"]
        if obj is not None and not self.has_change_permission(request, obj):
            return super().get_form(request, obj, change=change, **kwargs)
        return form_for(registry.get(slug), actor_of(request), new=obj is None)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return self.change_fieldsets
        adapter = registry.get(request.GET["provider"])
        return (
            (f"{adapter.label} connection", {"fields": ("tenant_id", "display_name", "enabled_capabilities")}),
            (
                "Credential",
                {
                    "fields": (*credential_fields(adapter), "auth_ref"),
                    "description": "Goes into the secret store and is never shown again. "
                    "A connection that only receives webhooks needs none.",
                },
            ),
            ("Settings", {"fields": ("settings", "metadata_tags", "api_version")}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj is not None else ()

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Editing, unlike the verbs, needs the adapter and a connection that is not deleted."""
        if isinstance(obj, IntegrationConnection):
            gone = obj.status == ConnectionStatus.DELETED or obj.provider_id not in registry.slugs()
            if gone:
                return False
        return self._holds(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows are never deleted; the verb ``remove`` deletes softly."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The form's service has saved."""

    def _choose_provider(self, request: HttpRequest) -> TemplateResponse:
        offered = IntegrationProvider.objects.filter(registered=True).exclude(status=ProviderStatus.DEPRECATED)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Add connection: which provider?",
            "providers": offered.order_by("name"),
            "authorised": authorised_providers().exclude(status=ProviderStatus.DEPRECATED),
            "authorise": reverse("admin:connections_integrationconnection_authorise"),
            "back": reverse("admin:connections_integrationconnection_changelist"),
        }
        return TemplateResponse(request, "admin/console/choose_provider.html", context)

    # --- verbs ---------------------------------------------------------------------------------------

    @verb(
        "Verify",
        icon="verified",
        question="The provider is called once with the credential. The connection becomes active, or error.",
        available=_can_verify,
        at_most=10,
    )
    def verify(self, request: HttpRequest, connection: IntegrationConnection) -> str:
        verified = verify_connection(connection, actor=actor_of(request))
        if verified.status != ConnectionStatus.ACTIVE:
            raise ServiceError("VERIFICATION_FAILED", verified.last_error)
        return f"{connection} is verified as {verified.account} and active."

    @verb(
        "Suspend",
        icon="pause_circle",
        question="The connection stops receiving, polling and acting. Webhooks sent meanwhile are answered 404.",
        available=lambda row: ConnectionStatus.SUSPENDED in MOVES[row.status],
    )
    def suspend(self, request: HttpRequest, connection: IntegrationConnection) -> str:
        suspend_connection(connection, actor=actor_of(request))
        return f"{connection} is suspended."

    @verb("Resume", icon="play_circle", available=lambda row: row.status == ConnectionStatus.SUSPENDED)
    def resume(self, request: HttpRequest, connection: IntegrationConnection) -> str:
        status = resume_connection(connection, actor=actor_of(request)).get_status_display()
        return f"{connection} is resumed: {status.lower()}."

    @verb(
        "Accept unsigned deliveries",
        icon="gpp_maybe",
        danger=True,
        question="Deliveries to webhooks of an unsigned scheme will be believed though they prove nothing: whoever "
        "knows the URL can send events as this tenant's. Signed webhooks stay as they are. Your name and the reason "
        "are kept, and every event says so.",
        available=_may_waive,
        form=WaiverForm,
        at_most=1,
    )
    def waive(self, request: HttpRequest, connection: IntegrationConnection, *, reason: str) -> str:
        waive_signatures(connection, actor=actor_of(request), reason=reason)
        return f"Unsigned deliveries of {connection} are accepted."

    @verb(
        "Refuse unsigned deliveries",
        icon="gpp_good",
        question="Deliveries that prove nothing are answered 401 again.",
        available=lambda row: row.waives_signatures,
    )
    def withdraw(self, request: HttpRequest, connection: IntegrationConnection) -> str:
        withdraw_waiver(connection, actor=actor_of(request))
        return f"Unsigned deliveries of {connection} are refused again."

    @verb(
        "Delete",
        icon="delete",
        permission="retire",
        danger=True,
        question="Its webhook URLs stop working and its credential is removed for good. Events and history stay.",
        available=lambda row: row.status != ConnectionStatus.DELETED,
    )
    def remove(self, request: HttpRequest, connection: IntegrationConnection) -> str:
        delete_connection(connection, actor=actor_of(request))
        return f"{connection} is deleted."

    # --- what is shown -------------------------------------------------------------------------------

    @column("status")
    def status_label(self, connection: IntegrationConnection) -> SafeString:
        shown = label(connection.get_status_display(), STATUS_COLOURS[connection.status])
        marks = (_UNSIGNED if connection.waives_signatures else None, ending_label(connection))
        return format_html_join(" ", "{}", ((mark,) for mark in (shown, *marks) if mark))

    @column("unsigned deliveries")
    def waiver(self, connection: IntegrationConnection) -> str | SafeString:
        if not connection.waives_signatures:
            return "refused"
        who, at = connection.unsigned_waiver_by, age(connection.unsigned_waiver_at)
        return format_html("Accepted by {}, {}: {}", who, at, connection.unsigned_waiver_reason)

    @column("used for")
    def used_for(self, connection: IntegrationConnection) -> str | SafeString:
        return capability_words(connection.enabled_capabilities)

    @column("last success")
    def success(self, connection: IntegrationConnection) -> str | SafeString:
        return age(connection.last_success_at)

    @column("last error")
    def trouble(self, connection: IntegrationConnection) -> str | SafeString:
        return error_line(connection.last_error, connection.last_error_at)

    @column("made")
    def made(self, connection: IntegrationConnection) -> str | SafeString:
        return age(connection.created_at)

    @column("last verified")
    def verified(self, connection: IntegrationConnection) -> str | SafeString:
        return moment(connection.last_verified_at)

    @column("failures since the last success")
    def failures(self, connection: IntegrationConnection) -> int:
        return connection.consecutive_failures

    @column("last error")
    def error_text(self, connection: IntegrationConnection) -> str | SafeString:
        if not connection.last_error:
            return EMPTY
        return text_block(f"{connection.last_error}\n{_failed_at(connection)}".strip())

    @column("events")
    def events_link(self, connection: IntegrationConnection) -> SafeString:
        return link("events_adapterevent_changelist", "Events of this connection", query=f"connection={connection.pk}")

    @column("made")
    def made_exactly(self, connection: IntegrationConnection) -> str | SafeString:
        return moment(connection.created_at)

    @column("changed")
    def changed_exactly(self, connection: IntegrationConnection) -> str | SafeString:
        return moment(connection.updated_at)


def _failed_at(connection: IntegrationConnection) -> str:
    """When it last failed, as plain text."""
    at = connection.last_error_at
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
