"""Authorisations in the admin: the apps at providers, what became of each visit, and the way there."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from connections.console import OfConnection
from connections.errors import ServiceError
from connections.models import (
    AuthorisationOutcome,
    ConnectionStatus,
    IntegrationConnection,
    OAuthAuthorisation,
    OAuthClient,
)
from connections.oauth import Begun, begin
from connections.oauth_clients import redirect_uri, remove_client, split_scopes
from connections.oauth_forms import AuthoriseForm, ClientForm, NewClientForm, authorised_providers
from providers import registry
from providers.console.base import ConsoleAdmin, EvidenceAdmin, actor_of
from providers.console.display import EMPTY, age, column, label, moment, note_line, text_block, words
from providers.console.filters import ChoiceFilter, MadeBetweenFilter, MadeWithinFilter, ProviderFilter, TenantFilter
from providers.console.verbs import verb
from providers.models import ProviderStatus

OUTCOME_COLOURS: dict[str, str] = {
    AuthorisationOutcome.UNDER_WAY: "info",
    AuthorisationOutcome.CONNECTED: "success",
    AuthorisationOutcome.FAILED: "danger",
}
_RESTING = (ConnectionStatus.SUSPENDED, ConnectionStatus.DELETED)


def _may_authorise(connection: IntegrationConnection) -> bool:
    known = connection.provider_id in registry.slugs()
    if not known or not connection.auth_ref:
        return False
    return registry.get(connection.provider_id).oauth is not None and connection.status not in _RESTING


class AuthoriseVerbs:
    """For the page of a connection: to the provider's page and back, in this browser session."""

    def get_urls(self) -> list[Any]:
        own: Any = self
        view = own.admin_site.admin_view(self.authorise_new)
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("authorise/", view, name="connections_integrationconnection_authorise"), *urls]

    @verb(
        "Authorise again",
        icon="passkey",
        question="A person signs in at the provider and grants access anew. What is granted replaces the credential if "
        "it works and is of the same account; otherwise nothing changes.",
        available=_may_authorise,
        at_most=1,
    )
    def authorise(self, request: HttpRequest, connection: IntegrationConnection) -> HttpResponse:
        begun = begin(
            tenant_id=connection.tenant_id,
            provider_id=connection.provider_id,
            actor=actor_of(request),
            connection=connection,
            browser=_session_of(request),
        )
        back = reverse("admin:connections_integrationconnection_change", args=[connection.pk])
        return self._lead_out(request, begun, back=back)

    def authorise_new(self, request: HttpRequest) -> HttpResponse:
        """A connection that is not there yet, of the provider in the query."""
        own: Any = self
        if not own.has_add_permission(request):
            raise PermissionDenied
        offered = authorised_providers().exclude(status=ProviderStatus.DEPRECATED)
        provider = get_object_or_404(offered, pk=request.GET.get("provider", ""))
        adapter = registry.get(provider.pk)
        form = AuthoriseForm(adapter, request.POST or None)
        if request.method == "POST" and form.is_valid():
            wanted = form.cleaned_data
            try:
                begun = begin(
                    tenant_id=wanted["tenant_id"],
                    provider_id=provider.pk,
                    actor=actor_of(request),
                    display_name=wanted["display_name"],
                    settings=wanted["settings"],
                    scopes=split_scopes(wanted["scopes"]),
                    site=wanted.get("site", ""),
                    browser=_session_of(request),
                )
            except ServiceError as error:
                _show(form, error)
            else:
                return self._lead_out(request, begun, back=reverse("admin:connections_integrationconnection_add"))
        context = {
            **own.admin_site.each_context(request),
            "opts": own.opts,
            "title": f"Add {provider.name} connection by authorisation",
            "question": "The next page leads to the provider, where a person signs in and grants access.",
            "label": "Next",
            "form": form,
            "found": (),
            "back": reverse("admin:connections_integrationconnection_add"),
        }
        return TemplateResponse(request, "admin/console/confirm.html", context)

    def _lead_out(self, request: HttpRequest, begun: Begun, *, back: str) -> HttpResponse:
        """A page with a link: a form that is answered with another origin's address is stopped by the page's policy."""
        own: Any = self
        row = begun.authorisation
        context = {
            **own.admin_site.each_context(request),
            "opts": own.opts,
            "title": f"Continue at {row.provider.name}",
            "authorisation": row,
            "scopes": row.scopes,
            "authorize_url": begun.authorize_url,
            "back": back,
        }
        return TemplateResponse(request, "admin/console/authorise.html", context)


def _session_of(request: HttpRequest) -> str:
    key = request.session.session_key
    assert key  # whoever is signed in has one  # noqa: S101
    return key


def _show(form: Form, error: ServiceError) -> None:
    """At the field it is about, as far as there is one."""
    problems = error.details.get("problems", ())
    for problem in problems:
        name, _, place = problem["pointer"].lstrip("/").partition("/")
        told = f"{place}: {problem['reason']}" if place else problem["reason"]
        form.add_error(name if name in form.fields else None, told)
    if not problems:
        form.add_error(None, error.message)


@admin.register(OAuthClient)
class ClientAdmin(ConsoleAdmin):
    """Apps registered at providers. The secret is written, never shown."""

    list_display = ("provider", "tenant_id", "server", "client_id", "asked_for", "has_secret", "changed")
    list_select_related = ("provider",)
    list_filter = (ProviderFilter, TenantFilter)
    search_fields = ("=client_row_id", "=tenant_id", "^client_id")
    search_help_text = "Tenant, whole, or the beginning of the client id."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    actions_detail: Any = ("remove",)
    readonly_fields: ClassVar[Any] = ("callback", "provider", "tenant_id", "server", "has_secret", "made", "changed")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return super().get_form(request, obj, change=change, **kwargs)
        return NewClientForm if obj is None else ClientForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        secret = ("client_secret",) if self.has_change_permission(request, obj) else ()
        registered = {"fields": ("callback",), "description": "Enter this address where the app is registered."}
        if obj is None:
            return (
                ("At the provider", registered),
                ("App", {"fields": ("provider", "tenant_id", "origin", "client_id", *secret, "scopes")}),
            )
        return (
            ("At the provider", registered),
            ("App", {"fields": (("provider", "tenant_id", "server"), "client_id", *secret, "has_secret", "scopes")}),
            ("Times", {"fields": (("made", "changed"),)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj is not None else ("callback",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The verb ``remove`` does it, and takes the secret along."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The form's service has saved."""

    @verb(
        "Remove",
        icon="delete",
        permission="retire",
        danger=True,
        question="Connections that were authorised with this app cannot renew their access until the same app is "
        "entered again. Its secret is removed for good.",
        at_most=1,
    )
    def remove(self, request: HttpRequest, client: OAuthClient) -> str:
        remove_client(client)
        return f"{client} is removed."

    @column("redirect address")
    def callback(self, client: OAuthClient) -> str:
        return redirect_uri()

    @column("server")
    def server(self, client: OAuthClient) -> str:
        return client.origin or "the provider's own"

    @column("scopes")
    def asked_for(self, client: OAuthClient) -> str | SafeString:
        return words(client.scopes) if client.scopes else "the adapter's"

    @column("secret")
    def has_secret(self, client: OAuthClient) -> SafeString:
        return label("kept", "success") if client.secret_ref else label("none", "warning")

    @column("made")
    def made(self, client: OAuthClient) -> str | SafeString:
        return moment(client.created_at)

    @column("changed")
    def changed(self, client: OAuthClient) -> str | SafeString:
        return age(client.updated_at)


class OutcomeFilter(ChoiceFilter):
    title = "outcome"
    parameter_name = "outcome"
    column = "outcome"
    options = AuthorisationOutcome


@admin.register(OAuthAuthorisation)
class AuthorisationAdmin(OfConnection, EvidenceAdmin):
    """Visits to authorisation pages, kept for a month."""

    list_display = (
        "display_name",
        "provider",
        "tenant_id",
        "outcome_label",
        "actor",
        "what",
        "connection_link",
        "when",
    )
    list_select_related = ("provider", "connection")
    list_filter = (
        OutcomeFilter,
        ProviderFilter,
        TenantFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=authorisation_id", "=connection")
    search_help_text = "Connection id, whole."
    fields = (
        ("display_name", "provider", "tenant_id"),
        ("outcome_label", "actor", "connection_link"),
        "full_detail",
        ("asked_for", "return_url"),
        ("started", "came_back", "expires"),
    )
    readonly_fields = (
        "outcome_label",
        "connection_link",
        "full_detail",
        "asked_for",
        "started",
        "came_back",
        "expires",
    )

    @column("outcome")
    def outcome_label(self, row: OAuthAuthorisation) -> SafeString:
        if row.outcome == AuthorisationOutcome.UNDER_WAY and row.expires_at < timezone.now():
            return label("Not finished", "warning")
        return label(row.get_outcome_display(), OUTCOME_COLOURS[row.outcome])

    @column("detail")
    def what(self, row: OAuthAuthorisation) -> str | SafeString:
        return note_line(row.detail)

    @column("detail")
    def full_detail(self, row: OAuthAuthorisation) -> str | SafeString:
        return text_block(row.detail) if row.detail else EMPTY

    @column("scopes asked for")
    def asked_for(self, row: OAuthAuthorisation) -> str | SafeString:
        return words(row.scopes)

    @column("when")
    def when(self, row: OAuthAuthorisation) -> str | SafeString:
        return age(row.created_at)

    @column("started")
    def started(self, row: OAuthAuthorisation) -> str | SafeString:
        return moment(row.created_at)

    @column("came back")
    def came_back(self, row: OAuthAuthorisation) -> str | SafeString:
        return moment(row.claimed_at)

    @column("good until")
    def expires(self, row: OAuthAuthorisation) -> str | SafeString:
        return moment(row.expires_at)
