"""Staff forms of authorisations: an app at a provider, and a connection that is to be authorised."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.db.models import Exists, OuterRef
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from connections.forms import IndentedJSONField, settings_help
from connections.models import OAuthClient
from connections.oauth_clients import put_client, split_scopes
from connections.service_form import ServiceForm
from connections.tenancy import SHARED_TENANT
from providers import registry
from providers.models import IntegrationProvider
from providers.spi import Adapter


class _ScopesField(forms.CharField):
    """Names separated by spaces; what is stored is a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=4000, widget=UnfoldAdminTextInputWidget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return " ".join(value) if isinstance(value, list) else value


class ClientForm(ServiceForm):
    """An app whose id and secret the provider gave; which server it is of does not change."""

    scopes = _ScopesField(help_text="Scopes to ask for, separated by spaces. Empty: the adapter's.")
    client_secret = forms.CharField(
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Goes into the secret store and is never shown again. Empty: the one that is there stays.",
    )

    class Meta:
        model = OAuthClient
        fields: ClassVar[tuple[str, ...]] = ("client_id", "scopes")
        widgets: ClassVar[dict[str, Any]] = {"client_id": UnfoldAdminTextInputWidget}

    def perform(self, cleaned: dict[str, Any]) -> OAuthClient:
        return put_client(
            provider_id=self.instance.provider_id,
            tenant_id=self.instance.tenant_id,
            origin=self.instance.origin,
            client_id=cleaned["client_id"],
            client_secret=cleaned["client_secret"],
            scopes=split_scopes(cleaned["scopes"]),
        )


class NewClientForm(ClientForm):
    """All of it."""

    fields_by_pointer: ClassVar[dict[str, str]] = {"provider_id": "provider"}

    provider = forms.ModelChoiceField(queryset=IntegrationProvider.objects.none(), widget=UnfoldAdminSelectWidget)

    class Meta(ClientForm.Meta):
        fields = ("provider", "tenant_id", "origin", *ClientForm.Meta.fields)
        widgets = {
            **ClientForm.Meta.widgets,
            "tenant_id": UnfoldAdminTextInputWidget,
            "origin": UnfoldAdminTextInputWidget,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["provider"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - declared above
        field.queryset = authorised_providers()

    def perform(self, cleaned: dict[str, Any]) -> OAuthClient:
        return put_client(
            provider_id=cleaned["provider"].pk,
            tenant_id=cleaned["tenant_id"] or SHARED_TENANT,
            origin=cleaned["origin"],
            client_id=cleaned["client_id"],
            client_secret=cleaned["client_secret"],
            scopes=split_scopes(cleaned["scopes"]),
        )


class AuthoriseForm(forms.Form):
    """A connection to be made of what a person grants at the provider's page."""

    tenant_id = forms.CharField(max_length=100, label="Tenant", widget=UnfoldAdminTextInputWidget)
    display_name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    settings = IndentedJSONField()
    scopes = _ScopesField(help_text="Separated by spaces. Empty: those of the OAuth client, else the adapter's.")
    site = forms.CharField(
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        help_text="Name or address of the site that is wanted, where the account reaches several.",
    )

    def __init__(self, adapter: Adapter, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["settings"].help_text = settings_help(adapter)
        if adapter.oauth is None or adapter.oauth.sites is None:
            del self.fields["site"]


def authorised_providers() -> Any:
    """Providers with an authorisation page of their own; ``has_app``: one is registered there."""
    slugs = [slug for slug in registry.slugs() if registry.get(slug).oauth is not None]
    app = OAuthClient.objects.filter(provider=OuterRef("pk"))
    rows = IntegrationProvider.objects.filter(registered=True, pk__in=slugs)
    return rows.annotate(has_app=Exists(app)).order_by("name")
