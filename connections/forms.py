"""The staff form of a connection, made of what its provider needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from connections.models import IntegrationConnection
from connections.parsing import storable_object
from connections.service_form import ServiceForm
from connections.services import create_connection, update_connection
from providers.spi import Adapter

CREDENTIAL_PREFIX = "credential_"

_CAPABILITY_LABELS = {
    "webhook": "Receive webhooks",
    "polling": "Poll",
    "outbound_actions": "Run actions",
}


class SecretTextWidget(forms.Textarea):
    """A secret of several lines, such as a key; like a password it is not written back into the page."""

    def __init__(self) -> None:
        looks = UnfoldAdminTextareaWidget().attrs
        super().__init__(attrs={**looks, "rows": 4, "autocomplete": "off", "spellcheck": "false"})

    def format_value(self, value: Any) -> None:
        return None


class IndentedJSONField(forms.JSONField):
    """JSON as a person can read and edit it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 6}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        # What was typed comes back as it was typed, also where it is not JSON.
        return value if isinstance(value, str) else json.dumps(value or {}, indent=2, ensure_ascii=False)

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def to_python(self, value: Any) -> Any:
        if not value:
            return {}
        try:
            return storable_object(value.encode())
        except ValueError as error:
            raise forms.ValidationError(f'This {error}. An object looks like {{"name": "value"}}.') from None


class ConnectionForm(ServiceForm):
    """What can be said of a connection after it was made. Subclassed a request with adapter and actor."""

    adapter: ClassVar[Adapter]

    enabled_capabilities = forms.MultipleChoiceField(
        required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, label="Used for"
    )
    settings = IndentedJSONField()
    metadata_tags = IndentedJSONField(label="Tags", help_text='Free labels, text to text: {"team": "payments"}.')
    api_version = forms.ChoiceField(label="API version", widget=UnfoldAdminSelectWidget)

    class Meta:
        model = IntegrationConnection
        fields: ClassVar[tuple[str, ...]] = (
            "display_name",
            "enabled_capabilities",
            "settings",
            "metadata_tags",
            "api_version",
        )
        widgets: ClassVar[dict[str, Any]] = {"display_name": UnfoldAdminTextInputWidget}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        can = [name for name, offered in self.adapter.capabilities().items() if offered]
        self._choices("enabled_capabilities", [(name, _CAPABILITY_LABELS[name]) for name in can])
        self._choices("api_version", [(version, version) for version in self.adapter.api_versions])
        self.initial["enabled_capabilities"] = self._capabilities_at_first(can)
        self.fields["settings"].help_text = settings_help(self.adapter)

    def perform(self, cleaned: dict[str, Any]) -> IntegrationConnection:
        return update_connection(self.instance, actor=self.actor, **self._values(cleaned))

    def field_of(self, pointer: str) -> tuple[str | None, str]:
        """A problem of the credential belongs to the field of its part, or to the first one."""
        name, *rest = pointer.lstrip("/").split("/")
        if name != "credential":
            return super().field_of(pointer)
        parts = [field for field in self.fields if field.startswith(CREDENTIAL_PREFIX)]
        wanted = CREDENTIAL_PREFIX + rest[0] if rest else next(iter(parts), "")
        return (wanted if wanted in parts else None), ""

    def _capabilities_at_first(self, can: list[str]) -> list[str]:
        return [name for name in can if self.instance.uses(name)]

    def _values(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        on = cleaned["enabled_capabilities"]
        return {
            "display_name": cleaned["display_name"],
            "enabled_capabilities": {name: name in on for name in self.adapter.capabilities()},
            "settings": cleaned["settings"],
            "metadata_tags": cleaned["metadata_tags"],
            "api_version": cleaned["api_version"],
        }

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]


class NewConnectionForm(ConnectionForm):
    """All of it, with the credential, which goes into the secret store and is never shown again."""

    auth_ref = forms.CharField(
        required=False,
        max_length=300,
        label="Or a reference",
        widget=UnfoldAdminTextInputWidget,
        help_text="Reference to a credential that is in the secret store already; then leave the fields above empty.",
    )

    class Meta(ConnectionForm.Meta):
        fields = ("tenant_id", *ConnectionForm.Meta.fields, "auth_ref")
        widgets = {**ConnectionForm.Meta.widgets, "tenant_id": UnfoldAdminTextInputWidget}

    def _capabilities_at_first(self, can: list[str]) -> list[str]:
        return can

    def perform(self, cleaned: dict[str, Any]) -> IntegrationConnection:
        return create_connection(
            tenant_id=cleaned["tenant_id"],
            provider_id=self.adapter.slug,
            credential=credential_of(cleaned) or None,
            auth_ref=cleaned["auth_ref"],
            actor=self.actor,
            **self._values(cleaned),
        )


class WaiverForm(forms.Form):
    """Why unsigned deliveries are acceptable."""

    reason = forms.CharField(
        min_length=10,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept with your name, and shown on the connection.",
    )


def form_for(adapter: Adapter, actor: str, *, new: bool) -> type[ConnectionForm]:
    """The form class for one provider: its capabilities, versions, settings and credential fields."""
    declared: dict[str, Any] = {"adapter": adapter, "actor": actor}
    if not new:
        return type("ConnectionForm", (ConnectionForm,), declared)
    declared |= credential_form_fields(adapter)
    return type("NewConnectionForm", (NewConnectionForm,), declared)


def credential_form_fields(adapter: Adapter) -> dict[str, forms.Field]:
    """A field for each part of a credential, by the name it has in a form; what is secret is never shown again."""
    schema = adapter.credential_schema
    # Where there are several forms of credential, each part says which it belongs to.
    properties: dict[str, Any] = schema.get("properties", {})
    required = set(properties) if "oneOf" in schema else set(schema.get("required", ()))
    found: dict[str, forms.Field] = {}
    for name, facts in properties.items():
        hint = str(facts.get("description", ""))
        found[CREDENTIAL_PREFIX + name] = forms.CharField(
            required=False,
            strip=True,
            label=name.replace("_", " ").capitalize(),
            help_text=f"{hint}{'' if name in required else ' Optional.'}".strip(),
            widget=_credential_widget(facts),
        )
    return found


def _credential_widget(facts: Mapping[str, Any]) -> forms.Widget:
    if facts.get("x-multiline"):
        return SecretTextWidget()
    widget: forms.Widget = (
        UnfoldAdminTextInputWidget()
        if facts.get("x-public")
        else UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
    )
    return widget


def credential_of(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """The credential that was entered into such fields; empty where none was."""
    return {
        name.removeprefix(CREDENTIAL_PREFIX): value
        for name, value in cleaned.items()
        if name.startswith(CREDENTIAL_PREFIX) and value
    }


def credential_fields(adapter: Adapter) -> list[str]:
    """Names of the form's fields for a credential."""
    return [CREDENTIAL_PREFIX + name for name in adapter.credential_schema.get("properties", {})]


def settings_help(adapter: Adapter) -> SafeString:
    """What the adapter's settings mean, taken from its schema."""
    schema = adapter.settings_schema
    required = schema.get("required", ())
    rows = format_html_join(
        "",
        "<dt>{}</dt><dd>{}</dd>",
        (
            (name, f"{_kind(facts)}{', required' if name in required else ''}. {facts.get('description', '')}".strip())
            for name, facts in schema.get("properties", {}).items()
        ),
    )
    return format_html('A JSON object with these keys:<dl class="console-keys">{}</dl>', rows)


def _kind(facts: dict[str, Any]) -> str:
    kind = str(facts.get("type", "any"))
    items = facts.get("items")
    return f"{kind} of {items['type']}" if isinstance(items, dict) and "type" in items else kind
