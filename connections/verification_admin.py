"""What staff see of a connection's proof and of its credential's end, and how they replace the credential."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any, cast

from django import forms
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from connections.expiry import Forecast, forecast
from connections.forms import credential_form_fields, credential_of
from connections.models import ConnectionStatus, ConnectionVerification, IntegrationConnection, VerificationOutcome
from connections.rotation import replace_credential
from connections.verification import newest
from connections.verification_steps import StepName
from connections.verification_words import Outcome
from providers import registry
from providers.console.base import EvidenceInline, actor_of
from providers.console.display import EMPTY, age, column, label, moment
from providers.console.verbs import verb

_COLOURS: dict[str, str] = {
    Outcome.OK: "success",
    Outcome.WARNING: "warning",
    Outcome.FAILED: "danger",
    Outcome.SKIPPED: "",
}
# Names of Material Symbols, the icons of the console.
_ICONS: dict[str, str] = {
    Outcome.OK: "check_circle",
    Outcome.WARNING: "warning",
    Outcome.FAILED: "error",
    Outcome.SKIPPED: "do_not_disturb_on",
}
_NAMES: dict[str, str] = {
    StepName.RESOLVE: "Find the address",
    StepName.TLS: "Encrypt",
    StepName.AUTHENTICATE: "Sign in",
    StepName.SCOPES: "Scopes",
    StepName.FIRST_READ: "Read",
    StepName.WEBHOOK_LOOP: "Webhooks",
}
_ENDINGS = {
    Forecast.EXPIRED: label("credential ended", "danger"),
    Forecast.EXPIRING: label("credential ends soon", "warning"),
}
_RESTING = (ConnectionStatus.SUSPENDED, ConnectionStatus.DELETED)


class ReplaceCredentialForm(forms.Form):
    """A new credential; its parts are added for the provider of the connection."""

    auth_ref = forms.CharField(
        required=False,
        max_length=300,
        label="Or a reference",
        widget=UnfoldAdminTextInputWidget,
        help_text="Reference to a credential that is in the secret store already; then leave the fields above empty.",
    )
    ends_on = forms.DateField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="The day on which it ends (0:00 UTC), where the provider does not tell. Empty: not known, or never.",
    )
    allow_account_change = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="May be of another account",
        help_text="Without this, a credential of another account than the one verified before is refused.",
    )


def _offer_parts(form: forms.Form, connection: IntegrationConnection) -> None:
    form.fields = {**credential_form_fields(registry.get(connection.provider_id)), **form.fields}


def _may_replace(connection: IntegrationConnection) -> bool:
    known = connection.provider_id in registry.slugs()
    return known and bool(connection.auth_ref) and connection.status not in _RESTING


class CredentialVerbs:
    """For the page of a connection."""

    @verb(
        "Replace credential",
        icon="key",
        question="The provider is called with the new credential first. Only if it is good, and of the same account, "
        "does it replace the old one, which is then deleted. Otherwise nothing changes.",
        available=_may_replace,
        form=ReplaceCredentialForm,
        describe=_offer_parts,
        at_most=1,
    )
    def replace_credential(
        self,
        request: HttpRequest,
        connection: IntegrationConnection,
        *,
        auth_ref: str,
        ends_on: Any,
        allow_account_change: bool,
        **parts: str,
    ) -> str:
        row = replace_credential(
            connection,
            credential=credential_of(parts) or None,
            auth_ref=auth_ref,
            credential_expires_at=datetime.combine(ends_on, time.min, tzinfo=UTC) if ends_on else None,
            allow_account_change=allow_account_change,
            actor=actor_of(request),
        )
        return f"{row} uses the new credential of {row.account} and is active."

    @column("last verification, step by step")
    def proof(self, connection: IntegrationConnection) -> str | SafeString:
        last = newest(connection)
        return steps_block(last) if last is not None else EMPTY

    @column("credential ends")
    def expires(self, connection: IntegrationConnection) -> str | SafeString:
        mark, when = ending_label(connection), moment(connection.credential_expires_at)
        return format_html("{} {}", mark, when) if mark else when


class VerificationInline(EvidenceInline):
    model = ConnectionVerification
    verbose_name_plural = "verifications"
    fields = ("when", "purpose", "outcome_label", "stopped_at", "actor")
    readonly_fields = fields

    @column("when")
    def when(self, row: ConnectionVerification) -> str | SafeString:
        return age(row.created_at)

    @column("outcome")
    def outcome_label(self, row: ConnectionVerification) -> SafeString:
        return label(row.get_outcome_display(), _COLOURS[row.outcome])

    @column("why")
    def stopped_at(self, row: ConnectionVerification) -> str | SafeString:
        if row.outcome == VerificationOutcome.OK:
            return EMPTY
        worst = next((step for step in row.steps if step["outcome"] == row.outcome), None)
        return f"{_NAMES[worst['step']]}: {worst['summary']}" if worst is not None else EMPTY


def ending_label(connection: IntegrationConnection) -> SafeString | None:
    """A warning where the credential ends soon or has ended."""
    return _ENDINGS.get(forecast(connection))


def steps_block(found: ConnectionVerification) -> SafeString:
    """The steps as a list: how each went, what was seen, and what to do."""
    rows = format_html_join("", "{}", ((_step(cast("dict[str, Any]", step)),) for step in found.steps))
    return format_html(
        '<div class="console-diagnosis"><div class="console-muted">{}, {}</div><ul class="console-steps">{}</ul></div>',
        found,
        age(found.created_at),
        rows,
    )


def _step(step: dict[str, Any]) -> SafeString:
    outcome = step["outcome"]
    took = format_html(' <span class="console-muted">{} ms</span>', step["duration_ms"]) if step["duration_ms"] else ""
    seen = format_html_join("", "<dt>{}</dt><dd>{}</dd>", step["evidence"].items())
    return format_html(
        '<li class="{0}"><span class="material-symbols-outlined" aria-hidden="true">{1}</span>'
        "<div>{2} <strong>{3}</strong>{4}<div>{5}</div>{6}{7}</div></li>",
        outcome,
        _ICONS[outcome],
        label(outcome, _COLOURS[outcome]),
        _NAMES[step["step"]],
        took,
        step["summary"],
        format_html('<div class="console-advice">{}</div>', step["advice"]) if step["advice"] else "",
        format_html('<dl class="console-keys">{}</dl>', seen) if seen else "",
    )
